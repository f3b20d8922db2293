package stack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// adverts returns the unsolicited advertisements to a group among what was
// sent since the last call.
func (n *node) adverts(dst netip.Addr) (all []*nd.NeighborAdvert) {
	for _, f := range sent(n.take()) {
		p, ok := parseControl(f)
		if !ok || p.dst != dst {
			continue
		}
		if m, err := nd.Parse(nd.Header{Src: p.src, Dst: p.dst, From: p.from}, p.hopLimit, p.message); err == nil {
			if na, ok := m.(*nd.NeighborAdvert); ok {
				all = append(all, na)
			}
		}
	}
	return all
}

// Spec: RFC 9131, section 6.1.2, SHOULD, UNA-R02
// Spec: RFC 9131, section 6.1.2, SHOULD NOT, UNA-R03
func TestUNA_R02_NewGlobalAddressIsAdvertisedToRouters(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.step(LinkUp{})
	n.run(10 * time.Second)
	n.addConfig(AddressConfig{Prefix: netip.MustParsePrefix("2001:db8::7/64"), PreferredLifetime: -1})
	n.addConfig(AddressConfig{Prefix: netip.MustParsePrefix("2001:db8::8/64"), Anycast: true})
	n.run(10 * time.Second)
	if as := n.adverts(nd.AllRouters); len(as) != 0 {
		t.Errorf("a link-local, a deprecated or an anycast address was advertised: %v", as)
	}
	n.add("2001:db8::5/64")
	n.run(999 * time.Millisecond)
	if as := n.adverts(nd.AllRouters); len(as) != 0 {
		t.Errorf("advertised while tentative: %v", as)
	}
	n.run(time.Millisecond)
	for k := range 3 {
		as := n.adverts(nd.AllRouters)
		if len(as) != 1 {
			t.Fatalf("advertisement %d: %v", k, as)
		}
		a := as[0]
		if a.Target != netip.MustParseAddr("2001:db8::5") || a.Override || a.Solicited || a.Router || a.TargetLinkAddr != ownMAC {
			t.Errorf("advertisement %+v", a)
		}
		n.run(time.Second)
	}
	n.run(time.Minute)
	if as := n.adverts(nd.AllRouters); len(as) != 0 {
		t.Errorf("more than three: %v", as)
	}
}

// Spec: derived, DER, UNA-R05
func TestUNA_R05_NothingIsSaidOfAnAddressThatIsGone(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.add("2001:db8::5/64")
	n.run(time.Second)
	if as := n.adverts(nd.AllRouters); len(as) != 1 {
		t.Fatalf("%v", as)
	}
	if err := n.remove("2001:db8::5"); err != nil {
		t.Fatal(err)
	}
	n.run(time.Minute)
	if as := n.adverts(nd.AllRouters); len(as) != 0 {
		t.Errorf("after removal: %v", as)
	}
	n.add("2001:db8::6/64")
	n.run(500 * time.Millisecond)
	n.isClaimed("2001:db8::6")
	n.run(time.Minute)
	if as := n.adverts(nd.AllRouters); len(as) != 0 {
		t.Errorf("of a duplicate: %v", as)
	}
}

func TestUNA_R02_OlderProfilesSayNothing(t *testing.T) {
	for _, p := range []Profile{RFC2462(), RFC4862()} {
		n := newNode(t, CoreConfig{Profile: p})
		n.up()
		n.mustAdd("2001:db8::5/64")
		if as := n.adverts(nd.AllRouters); len(as) != 0 {
			t.Errorf("%v", as)
		}
	}
}

// Spec: RFC 4861, section 7.2.6, MAY, UNA-R01
func TestUNA_R01_AnotherLinkAddr(t *testing.T) {
	n := newNode(t, CoreConfig{Profile: RFC4862()})
	n.up()
	n.mustAdd("2001:db8::5/64")
	n.take()
	id := n.id()
	n.step(SetLinkAddr{id, otherMAC})
	n.wantErr(id, nil)
	n.run(10 * time.Second)
	count := map[netip.Addr]int{}
	for _, f := range sent(n.actions) {
		if nd.LinkAddr(f[6:12]) != otherMAC {
			t.Errorf("a frame from %v: %s", nd.LinkAddr(f[6:12]), wire(f))
		}
	}
	for _, a := range n.adverts(nd.AllNodes) {
		count[a.Target]++
		if a.TargetLinkAddr != otherMAC || a.Solicited || a.Router {
			t.Errorf("%+v", a)
		}
	}
	if count[ownLL] != 3 || count[netip.MustParseAddr("2001:db8::5")] != 3 {
		t.Errorf("advertisements %v, want three of each address", count)
	}
	// It is solicited and answers by the new one.
	frame := ndFrame(peerMAC, peerLL, ownLL, &nd.NeighborSolicit{Target: ownLL, SourceLinkAddr: peerMAC})
	copy(frame, otherMAC[:])
	n.receives(frame)
	if fs := sent(n.take()); len(fs) != 1 || !strings.Contains(wire(fs[0]), "NA "+ownLL.String()) {
		t.Errorf("the answer: %v", fs)
	}
	if _, ok := n.address(ownLL); !ok {
		t.Error("the address of the old link-layer address went")
	}
	// Solicitations and addresses that are formed from now on have it too.
	n = newRoutedNode(t, CoreConfig{})
	n.up()
	n.step(SetLinkAddr{LinkAddr: otherMAC})
	n.run(time.Minute)
	solicited := false
	for _, f := range sent(n.take()) {
		if s := wire(f); strings.Contains(s, "RS") {
			solicited = true
			if !strings.Contains(s, "RS "+otherMAC.String()) {
				t.Errorf("a solicitation of routers: %s", s)
			}
		}
	}
	if !solicited {
		t.Error("no router was solicited")
	}
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(2*time.Hour, time.Hour)))
	if a := n.only(OriginSLAAC).Prefix.Addr(); a != netip.MustParseAddr("2001:db8:5::ff:fe00:8") {
		t.Errorf("the autoconfigured address is %v", a)
	}
	id = n.id()
	n.step(SetLinkAddr{id, nd.LinkAddr{1}})
	if n.results[id] == nil {
		t.Error("a group is taken for a link-layer address")
	}
}
