package stack

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// Rules that no machine keeps alone, on the Core.

// Each time that the interface comes up, the link-local address is tested
// after a report that it needs no router for, and routers are asked meanwhile.
//
// Spec: RFC 4862, section 5.3, must, DAD-R09
// Spec: RFC 4862, section 4, may, DAD-R12
// Spec: RFC 4862, section 5.4.2, must, DAD-R22
// Spec: RFC 3590, section 4, must, DAD-R22
func TestDAD_R09_LinkLocalAddressWheneverTheInterfaceComesUp(t *testing.T) {
	for _, profile := range []Profile{RFC2462(), RFC4862(), Current()} {
		n := newRoutedNode(t, CoreConfig{Profile: profile})
		for range 2 {
			n.take()
			n.step(LinkUp{})
			n.run(time.Second - time.Nanosecond)
			out := lines(n.take())
			group := nd.SolicitedNode(ownLL).String()
			report := slices.IndexFunc(out, func(s string) bool {
				return strings.HasPrefix(s, "send :: > ") && strings.Contains(s, "MLD") && strings.Contains(s, group)
			})
			probe := slices.Index(out, "send :: > "+group+": NS "+ownLL.String())
			if report < 0 || probe < report {
				t.Errorf("no report from :: before the probe in\n%s", strings.Join(out, "\n"))
			}
			if !slices.Contains(out, "send :: > ff02::2: RS 00:00:00:00:00:00") {
				t.Error("routers were not asked while the address is tested")
			}
			if a, ok := n.address(ownLL); !ok || a.State != Tentative || a.Origin != OriginLinkLocal {
				t.Errorf("before the end of the test: %+v %v", a, ok)
			}
			n.run(time.Nanosecond)
			if a, _ := n.address(ownLL); a.State != Preferred {
				t.Errorf("after the test: %v", a.State)
			}
			n.step(LinkDown{})
		}
	}
}

// Spec: RFC 4862, section 5.3, must, DAD-R10
func TestDAD_R10_LinkLocalAddressNeverExpires(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.run(200 * 365 * 24 * time.Hour)
	a, ok := n.address(ownLL)
	if !ok || a.State != Preferred || !a.PreferredUntil.IsZero() || !a.ValidUntil.IsZero() {
		t.Errorf("after 200 years: %+v %v", a, ok)
	}
}

// No profile makes an address optimistic of its own accord.
//
// Spec: RFC 4429, section 3.1, SHOULD NOT, ODAD-R02
func TestODAD_R02_OnlyWhoAsksForItGetsAnOptimisticAddress(t *testing.T) {
	for _, profile := range []Profile{RFC2462(), RFC4862(), Current()} {
		n := newRoutedNode(t, CoreConfig{Profile: profile})
		n.step(LinkUp{})
		n.add("2001:db8::5/64")
		n.run(3 * time.Second)
		n.hearsRouter(peerLL, routerAdvert(time.Hour, prefixOption(2*time.Hour, time.Hour)))
		for range 20 {
			for _, a := range n.core.Addresses() {
				if a.State == Optimistic {
					t.Errorf("%v is optimistic", a)
				}
			}
			n.run(100 * time.Millisecond)
		}
		asked := netip.MustParsePrefix("2001:db8::6/64")
		n.addConfig(AddressConfig{Prefix: asked, DAD: dad.Optimistic})
		if a, _ := n.address(asked.Addr()); a.State != Optimistic {
			t.Errorf("asked for: %v", a)
		}
	}
}

// Spec: RFC 4861, section 7.2.1, MUST, GRP-R01, GRP-R04
// Spec: RFC 4291, section 2.8, must, GRP-R01
// Spec: RFC 4861, section 6.3.3, must, RA-R20
func TestGRP_R01_GroupsOfAnInterface(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.step(LinkUp{})
	if !n.core.groups.Member(nd.AllNodes) {
		t.Error("the interface is up, and not in ff02::1")
	}
	n.run(10 * time.Second)
	addrs := []netip.Prefix{netip.MustParsePrefix("2001:db8::5/64"), netip.MustParsePrefix("2001:db8::1:5/64"), netip.MustParsePrefix("2001:db8::a:a/64")}
	for _, p := range addrs {
		n.addConfig(AddressConfig{Prefix: p, Anycast: p == addrs[2]})
		n.run(2 * time.Second)
		n.wantErr(n.lastID, nil)
	}
	var want []string
	for _, a := range append(addrs, netip.PrefixFrom(ownLL, 64)) {
		want = append(want, nd.SolicitedNode(a.Addr()).String())
	}
	want = append(want, nd.AllNodes.String())
	slices.Sort(want)
	groups := func() (gs []string) {
		for _, g := range n.core.Groups() {
			gs = append(gs, g.Addr.String())
		}
		slices.Sort(gs)
		return gs
	}
	if got := groups(); !slices.Equal(got, want) { // no ff02::2 among them
		t.Errorf("groups %v, want %v", got, want)
	}
	for _, p := range addrs {
		g := nd.SolicitedNode(p.Addr())
		n.take()
		if err := n.remove(p.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if n.core.groups.Member(g) || !slices.Contains(lines(n.take()), "send "+ownLL.String()+" > ff02::16: MLD TO_IN "+g.String()) {
			t.Errorf("%v was not left with %v", g, p.Addr())
		}
	}
}

// Spec: RFC 4861, section 6.1.1, MUST, RS-R10
// Spec: RFC 4861, section 6.2.6, MUST, RS-R10
func TestRS_R10_RouterSolicitationsAreDiscarded(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	n.run(10 * time.Second)
	n.take()
	before := n.view()
	for _, dst := range []netip.Addr{nd.AllRouters, nd.AllNodes, ownLL} {
		n.hears(peerLL, dst, &nd.RouterSolicit{SourceLinkAddr: peerMAC})
	}
	if after := n.view(); after != before || len(n.take()) != 0 {
		t.Errorf("a Router Solicitation changed\n%s\nto\n%s", before, after)
	}
}

// Packets for all destinations behind a neighbor, and from all sources, wait
// for one resolution and share its entry.
//
// Spec: RFC 4861, section 5.1, must, NDS-R04
func TestNDS_R04_OneEntryForANeighbor(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::1/64")
	n.take()
	n.step(Output{NextHop: peerLL, Src: ownLL, Packet: "to itself"})
	n.step(Output{NextHop: peerLL, Src: netip.MustParseAddr("2001:db8::1"), Packet: "to somebody behind it"})
	n.step(Output{NextHop: peerLL, Src: netip.MustParseAddr("2001:db8::1"), Packet: "to somebody else"})
	if got := len(sent(n.take())); got != 1 || len(n.core.Neighbors()) != 1 {
		t.Errorf("%d solicitations, neighbors %v", got, n.core.Neighbors())
	}
	n.hears(peerLL, ownLL, &nd.NeighborAdvert{Target: peerLL, Solicited: true, TargetLinkAddr: peerMAC})
	for _, act := range n.take() {
		if r, ok := act.(Release); ok && len(r.Packets) != 3 {
			t.Errorf("released %v", r.Packets)
		}
	}
	if ns := n.core.Neighbors(); len(ns) != 1 || ns[0].State != nd.Reachable {
		t.Errorf("neighbors %v", ns)
	}
}

// That the link takes frames to a neighbor, and brings frames from it, says
// nothing of whether packets reach it.
//
// Spec: RFC 4861, section 7.3.3, MUST NOT, NUD-R04
func TestNUD_R04_TheLinkConfirmsNothing(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.hears(peerLL, ownLL, &nd.NeighborSolicit{Target: ownLL, SourceLinkAddr: peerMAC}) // STALE
	seen := map[nd.NeighborState]bool{}
	for range 40 {
		n.step(NeighborUsed{peerLL}) // the link took a packet
		n.hears(peerLL, nd.AllNodes, &nd.NeighborSolicit{Target: ownLL, SourceLinkAddr: peerMAC})
		n.hears(peerLL, ownLL, &nd.NeighborAdvert{Target: peerLL, TargetLinkAddr: peerMAC})
		for _, e := range n.core.Neighbors() {
			seen[e.State] = true
		}
		n.run(200 * time.Millisecond)
	}
	if seen[nd.Reachable] || !seen[nd.Delay] || !seen[nd.Probe] {
		t.Errorf("states: %v", seen)
	}
}

// A full cache and a used up rate of resolutions hold up nothing of what
// addresses need.
//
// Spec: derived, DER, CACHE-R05
func TestCACHE_R05_NothingWaitsBehindResolution(t *testing.T) {
	n := newNode(t, CoreConfig{Limits: Limits{MaxNeighbors: 1, QueuePerNeighbor: 1, MaxQueued: 1}})
	n.up()
	for k := range 1000 {
		stranger := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(k >> 8), 15: byte(k)})
		n.step(Output{NextHop: stranger, Src: ownLL, Packet: k})
	}
	if n.core.Counters().NeighborsRefused+n.core.Counters().ResolutionsRefused == 0 {
		t.Error("there is room for more")
	}
	at := n.now
	n.take()
	n.add("2001:db8::5/64")
	n.hears(netip.IPv6Unspecified(), nd.SolicitedNode(ownLL), &nd.NeighborSolicit{Target: ownLL, Nonce: "abcdef"})
	n.hears(peerLL, nd.SolicitedNode(ownLL), &nd.NeighborSolicit{Target: ownLL, SourceLinkAddr: peerMAC})
	n.step(JoinGroup{0, netip.MustParseAddr("ff05::77"), static, nil})
	own := ownLL.String()
	inOrder(t, n.take(),
		"send "+own+" > ff02::16: MLD TO_EX ff02::1:ff00:5", "send :: > ff02::1:ff00:5: NS 2001:db8::5",
		"send "+own+" > ff02::1: NA "+own, "send "+own+" > fe80::9: NA "+own, "send "+own+" > ff02::16: MLD TO_EX ff05::77")
	if !n.now.Equal(at) {
		t.Error("something waited")
	}
}

// Who claims every address that is tested keeps all away. It is told each
// time, ends after a few tries, and is no obstacle when DAD is off.
//
// Spec: RFC 3756, section 4.1.3, DER, CACHE-R07
func TestCACHE_R07_WhoClaimsEveryAddress(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{Profile: Current()})
	n.up()
	claimAll := func(d time.Duration) (probes int) {
		for until := n.now.Add(d); n.now.Before(until); n.run(100 * time.Millisecond) {
			for _, act := range n.take() {
				if s, ok := act.(*Send); ok && s.Probe.IsValid() {
					probes++
					n.isClaimed(s.Probe.String())
				}
			}
		}
		return probes
	}
	before := len(n.core.Addresses())
	n.hearsRouter(peerLL, routerAdvert(30*24*time.Hour, prefixOption(nd.Infinity, nd.Infinity)))
	for range 3 {
		id := n.add("2001:db8::5/64")
		claimAll(time.Second)
		var dup *dad.DuplicateError
		if !errors.As(n.results[id], &dup) {
			t.Errorf("the add ended with %v", n.results[id])
		}
	}
	claimAll(time.Hour)
	if again := claimAll(time.Hour); again != 0 {
		t.Errorf("%d more probes after an hour", again)
	}
	failures := len(n.core.Failures())
	if most := 3 + 1 + 3; failures < 3+1 || failures > most || n.core.Counters().Duplicates != uint64(failures) {
		t.Errorf("%d failures, %d counted, want at most %d", failures, n.core.Counters().Duplicates, most)
	}
	if got := len(n.core.Addresses()); got != before {
		t.Errorf("%d addresses, want %d", got, before)
	}
	p := Current()
	if err := p.Set("dad_transmits", "0"); err != nil {
		t.Fatal(err)
	}
	n = newNode(t, CoreConfig{Profile: p})
	n.up()
	id := n.add("2001:db8::5/64")
	n.isClaimed("2001:db8::5")
	n.wantErr(id, nil)
}

// kindOf names a frame that a host may send, and says what is wrong with it.
func kindOf(frame []byte) (kind, problem string) {
	const mtu = 1280
	packet := frame[ethernetHeaderLen:]
	p, ok := parseControl(frame) // which refuses a Fragment header
	switch {
	case !ok:
		return "", "neither Neighbor Discovery nor MLD"
	case len(packet) > mtu || int(binary.BigEndian.Uint16(packet[4:]))+ipv6HeaderLen != len(packet):
		return "", fmt.Sprintf("a packet of %d octets", len(packet))
	}
	unspecified := p.src.IsUnspecified()
	if m, err := nd.Parse(nd.Header{Src: p.src, Dst: p.dst, From: p.from}, p.hopLimit, p.message); err == nil {
		switch m := m.(type) {
		case *nd.NeighborSolicit:
			if unspecified {
				return "probe", ""
			}
			kind = "solicitation to a group"
			if !p.dst.IsMulticast() {
				kind = "solicitation to one"
			}
			if m.Nonce != "" {
				problem = "a nonce where none is wanted"
			}
			return kind, problem
		case *nd.NeighborAdvert:
			kind = "advertisement"
		case *nd.RouterSolicit:
			return "router solicitation", ""
		default:
			return "", fmt.Sprintf("%T from a host", m)
		}
		if unspecified {
			problem = "from ::"
		}
		return kind, problem
	}
	// Hop limit 1, and the Router Alert for MLD (RFC 2711) with its padding.
	if got := hex.EncodeToString(packet[6:8]) + hex.EncodeToString(packet[ipv6HeaderLen:ipv6HeaderLen+8]); got != "0001"+"3a00050200000100" {
		problem = "next header, hop limit and first header are " + got
	}
	return fmt.Sprintf("MLD %d", p.message[0]), problem
}

// Spec: RFC 2710, section 3, must, MLD-R01
// Spec: RFC 3810, section 5, must, MLD-R01
// Spec: RFC 4861, section 9, MUST NOT, NDV-R12
// Spec: RFC 6980, section 5, MUST NOT, FRG-R01
// Spec: RFC 7527, section 4.1, REC, EDAD-R09
// Spec: RFC 4861, section 8.3, MUST NOT, RDR-R06
// Spec: RFC 4291, section 2.5.2, must, SAS-R15
func TestWhatAHostSends(t *testing.T) {
	for name, reports := range map[string][]string{"rfc2462": {"MLD 131", "MLD 132"}, "rfc4862": {"MLD 143"}, "current": {"MLD 143"}} {
		profile, err := ProfileByName(name)
		if err != nil {
			t.Fatal(err)
		}
		n := newRoutedNode(t, CoreConfig{Profile: profile, MTU: 1280})
		n.step(LinkUp{})
		n.run(20 * time.Second)
		var requests []AddRequest
		for k := range 200 {
			a := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 13: byte(k), 15: 5})
			requests = append(requests, AddRequest{AddressConfig: AddressConfig{Prefix: netip.PrefixFrom(a, 64)}})
		}
		n.step(AddAddresses{requests})
		n.addConfig(AddressConfig{Prefix: netip.MustParsePrefix("2001:db8::6/64"), DAD: dad.Optimistic})
		n.hearsRouter(otherRouter, &nd.RouterAdvert{RouterLifetime: time.Hour})
		n.run(10 * time.Second)
		n.hears(netip.IPv6Unspecified(), nd.SolicitedNode(ownLL), &nd.NeighborSolicit{Target: ownLL})
		n.hears(peerLL, ownLL, &nd.NeighborSolicit{Target: ownLL, SourceLinkAddr: peerMAC})
		n.step(NeighborUsed{peerLL})
		n.step(Output{NextHop: otherRouter, Src: ownLL, Packet: "p"})
		// A packet that a router would send elsewhere, and redirect.
		n.receives(ndFrame(peerMAC, peerLL, netip.MustParseAddr("2001:db8:77::1"), &nd.NeighborSolicit{Target: ownLL}))
		n.run(time.Minute)
		for _, req := range requests {
			n.remove(req.Prefix.Addr().String())
		}
		n.run(time.Minute)

		seen := map[string]bool{}
		for _, f := range sent(n.take()) {
			kind, problem := kindOf(f)
			if problem != "" {
				t.Errorf("%s: %s: %s: %x", name, kind, problem, f)
			}
			seen[kind] = true
		}
		want := append(reports, "probe", "solicitation to a group", "solicitation to one", "advertisement", "router solicitation")
		for _, kind := range want {
			if !seen[kind] {
				t.Errorf("%s: no %s was sent: the test tests less than it says", name, kind)
			}
		}
		if len(seen) != len(want) {
			t.Errorf("%s: sent %v, want %v", name, seen, want)
		}
	}
}
