package stack

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// How a Core names itself: stable, random and temporary identifiers.

var testSecret = []byte("0123456789abcdef")

func stableConfig() CoreConfig {
	return CoreConfig{Identity: Identity{Secret: testSecret, NetIface: "tap0"}, NoRouters: true}
}

// stable is the address of RFC 7217 that stableConfig leads to.
func stable(prefix string, counter uint32) netip.Addr {
	p := netip.MustParsePrefix(prefix)
	iid := nd.StableIID(p, "tap0", "", counter, testSecret)
	a := p.Addr().As16()
	copy(a[8:], iid[:])
	return netip.AddrFrom16(a)
}

// only is the only address with this origin.
func (n *node) only(origin AddressOrigin) Address {
	n.t.Helper()
	var found []Address
	for _, a := range n.core.Addresses() {
		if a.Origin == origin {
			found = append(found, a)
		}
	}
	if len(found) != 1 {
		n.t.Fatalf("%d addresses with the origin %v, want one: %v", len(found), origin, n.core.Addresses())
	}
	return found[0]
}

// Spec: RFC 8064, section 3, SHOULD, IID-R03
// Spec: RFC 7217, section 5, MUST, IID-R04
func TestIID_R03_CurrentIdentifiersAreStableAndOpaque(t *testing.T) {
	cfg := stableConfig()
	cfg.NoRouters = false
	n := newNodeAs(t, cfg)
	n.up()
	if ll, want := n.only(OriginLinkLocal).Prefix.Addr(), stable("fe80::/64", 0); ll != want {
		t.Errorf("link-local address %v, want %v", ll, want)
	}
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(2*time.Hour, time.Hour)))
	n.run(3 * time.Second)
	if a, want := n.only(OriginSLAAC).Prefix.Addr(), stable(slaacPrefix.String(), 0); a != want {
		t.Errorf("autoconfigured address %v, want %v", a, want)
	}
	if a := n.only(OriginTemporary); a.State != Preferred || a.Prefix.Addr() == stable(slaacPrefix.String(), 0) {
		t.Errorf("temporary address %v", a)
	}
	// After the link was down the same addresses come back.
	n.step(LinkDown{})
	n.up()
	if ll, want := n.only(OriginLinkLocal).Prefix.Addr(), stable("fe80::/64", 0); ll != want {
		t.Errorf("after the link was down: %v, want %v", ll, want)
	}
}

// Without a secret of the caller's, the identifiers last as long as the Core.
func TestIdentityWithoutASecret(t *testing.T) {
	n := newNodeAs(t, CoreConfig{NoRouters: true})
	n.up()
	first := n.only(OriginLinkLocal).Prefix.Addr()
	n.step(LinkDown{})
	n.up()
	if again := n.only(OriginLinkLocal).Prefix.Addr(); again != first || first == ownLL {
		t.Errorf("link-local address %v, before %v", again, first)
	}
	for _, a := range []Identity{{Secret: []byte{}}, {Secret: testSecret[:15]}} {
		if a.validate() == nil {
			t.Errorf("a secret of %d octets is taken", len(a.Secret))
		}
	}
}

// duplicates makes the link-local addresses that n tries duplicates.
func (n *node) duplicates(times int) {
	n.t.Helper()
	for k := range times {
		tried := n.only(OriginLinkLocal).Prefix.Addr()
		if want := stable("fe80::/64", uint32(k)); tried != want {
			n.t.Fatalf("try %d: %v, want %v", k, tried, want)
		}
		n.run(500 * time.Millisecond)
		n.isClaimed(tried.String())
		n.run(time.Millisecond) // IDGEN_DELAY is as short as it may be
	}
}

// After a duplicate the next identifier is tried; the counter of the one that
// is unique is to be kept, and the next life begins with it.
//
// Spec: RFC 7217, section 6, SHOULD, IID-R08
// Spec: RFC 7217, section 6, MAY, IID-R10
func TestIID_R10_TheCounterIsKept(t *testing.T) {
	n := newNodeAs(t, stableConfig())
	n.step(LinkUp{})
	n.duplicates(2)
	n.run(2 * time.Second)
	unique := n.only(OriginLinkLocal)
	if unique.State != Preferred || unique.Prefix.Addr() != stable("fe80::/64", 2) {
		t.Errorf("after two duplicates: %v", unique)
	}
	var saved []nd.DADCounter
	for _, act := range n.take() {
		if s, ok := act.(SaveDADCounter); ok {
			saved = append(saved, nd.DADCounter(s))
		}
	}
	if want := (nd.DADCounter{Prefix: netip.MustParsePrefix("fe80::/64"), Counter: 2}); len(saved) == 0 || saved[len(saved)-1] != want {
		t.Fatalf("counters to be kept: %v, want %v", saved, want)
	}
	cfg := stableConfig()
	cfg.Identity.Counters = saved
	next := newNodeAs(t, cfg)
	next.step(LinkUp{})
	if ll := next.only(OriginLinkLocal).Prefix.Addr(); ll != unique.Prefix.Addr() {
		t.Errorf("in the next life %v, want %v", ll, unique.Prefix.Addr())
	}
}

// IPv6 goes on even when all identifiers fail, without another kind of them.
//
// Spec: RFC 4862, section 5.4.5, MAY, DAD-R43
// Spec: RFC 7217, section 6, MUST NOT, IID-R09
func TestDAD_R43_OpaqueDuplicatesDisableNothing(t *testing.T) {
	n := newNodeAs(t, stableConfig())
	n.step(LinkUp{})
	n.duplicates(4)
	n.run(time.Hour)
	if n.core.IPv6Disabled() {
		t.Error("IPv6 is disabled")
	}
	if as, fs := n.core.Addresses(), n.core.Failures(); len(as) != 0 || len(fs) != 4 {
		t.Errorf("addresses %v, failures %v", as, fs)
	}
	n.mustAdd("2001:db8::5/64")
}

// With the knob dad_ll_failure=interface no identifier saves the interface once
// all of them have failed (RFC 2462, section 5.4.5).
func TestAllIdentifiersFailAndRFC2462Disables(t *testing.T) {
	cfg := stableConfig()
	cfg.Profile.linkLocalFailure = disableAlways
	n := newNodeAs(t, cfg)
	n.step(LinkUp{})
	for k := range 4 {
		if n.core.IPv6Disabled() {
			t.Fatalf("disabled after %d duplicates", k)
		}
		n.run(500 * time.Millisecond)
		n.isClaimed(n.only(OriginLinkLocal).Prefix.Addr().String())
		n.run(time.Millisecond)
	}
	if !n.core.IPv6Disabled() {
		t.Error("not disabled after all identifiers failed")
	}
	// An operator's address ends that, and no other is formed beside it.
	id := n.add("fe80::77/64")
	n.run(3 * time.Second)
	n.wantErr(id, nil)
	if as := n.core.Addresses(); len(as) != 1 {
		t.Errorf("addresses after recovery: %v", as)
	}
}

func TestRandomIdentifiersAreOthersEachTime(t *testing.T) {
	cfg := stableConfig()
	cfg.Profile.identifiers = randomIdentifiers
	n := newNodeAs(t, cfg)
	n.up()
	first := n.only(OriginLinkLocal).Prefix.Addr()
	n.step(LinkDown{})
	n.up()
	if again := n.only(OriginLinkLocal).Prefix.Addr(); again == first {
		t.Errorf("%v again", again)
	}
	if g := n.core.Groups(); len(g) != 2 {
		t.Errorf("groups: %v", g)
	}
}

// A link-local address that an operator removed is formed again only at the
// next link up.
func TestRemovedLinkLocalAddressStaysAway(t *testing.T) {
	n := newNodeAs(t, stableConfig())
	n.up()
	ll := n.only(OriginLinkLocal).Prefix.Addr()
	if err := n.remove(ll.String()); err != nil {
		t.Fatal(err)
	}
	n.run(time.Hour)
	if as := n.core.Addresses(); len(as) != 0 {
		t.Fatalf("addresses: %v", as)
	}
	n.step(LinkDown{})
	n.up()
	if again := n.only(OriginLinkLocal).Prefix.Addr(); again != ll {
		t.Errorf("after link up %v, want %v", again, ll)
	}
}

// RFC 2462, section 5.4: an autoconfigured address with the identifier of the
// link-local address waits for the test of that one and is not tested itself;
// one that a person configures is.
//
// Spec: RFC 2462, section 5.4, MAY, DAD-R05
// Spec: RFC 2462, section 5.4, DER, DAD-R07
func TestDAD_R05_SameIdentifierIsNotTestedAgain(t *testing.T) {
	p := RFC2462()
	if err := p.Set("dad_skip_same_iid", "on"); err != nil {
		t.Fatal(err)
	}
	n := newRoutedNode(t, CoreConfig{Profile: p})
	n.random.point = 0.5
	n.step(LinkUp{})
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(2*time.Hour, time.Hour)))
	if a, ok := n.address(slaacAddr); !ok || a.State != Tentative {
		t.Fatalf("while the link-local address is tested: %v %v", a, ok)
	}
	n.run(10 * time.Second)
	if a, ok := n.address(slaacAddr); !ok || a.State != Preferred {
		t.Errorf("after the link-local address was assigned: %v %v", a, ok)
	}
	if _, probed := n.probes[slaacAddr]; probed {
		t.Error("the address was tested all the same")
	}
	n.mustAdd("2001:db8:5::77/64")
	if _, probed := n.probes[netip.MustParseAddr("2001:db8:5::77")]; !probed {
		t.Error("a manual address was not tested")
	}
}

func TestDAD_R07_NothingIsAssignedWithoutTheLinkLocalAddress(t *testing.T) {
	p := RFC2462()
	for knob, value := range map[string]string{"dad_skip_same_iid": "on", "dad_ll_failure": "continue"} {
		if err := p.Set(knob, value); err != nil {
			t.Fatal(err)
		}
	}
	n := newRoutedNode(t, CoreConfig{Profile: p})
	n.step(LinkUp{})
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(2*time.Hour, time.Hour)))
	n.isClaimed(ownLL.String())
	n.run(time.Minute)
	if as := n.core.Addresses(); len(as) != 0 {
		t.Errorf("addresses: %v", as)
	}
}

// Spec: RFC 4862, section 5.4, MUST NOT, DAD-R06
func TestDAD_R06_SkippingIsForbiddenSinceRFC4862(t *testing.T) {
	for _, p := range []Profile{RFC4862(), Current()} {
		if err := p.Set("dad_skip_same_iid", "on"); err == nil {
			t.Error("the knob can be set")
		}
		if err := p.Set("dad_skip_same_iid", "off"); err != nil {
			t.Error(err)
		}
	}
	p := RFC2462()
	n := newRoutedNode(t, CoreConfig{Profile: p})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(2*time.Hour, time.Hour)))
	n.run(3 * time.Second)
	if _, probed := n.probes[slaacAddr]; !probed {
		t.Error("without the knob RFC 2462 does not test either")
	}
}

// With the knob optimistic_dad an autoconfigured address is used while it is
// tested, if a router's link-layer address is known.
//
// Spec: RFC 4429, section 3.3, MAY, ODAD-R01
// Spec: RFC 4429, section 3.3, SHOULD NOT, ODAD-R03
func TestODAD_R01_AutoconfiguredAddressesAreOptimistic(t *testing.T) {
	for _, known := range []bool{true, false} {
		cfg := CoreConfig{}
		if err := cfg.Profile.Set("optimistic_dad", "on"); err != nil {
			t.Fatal(err)
		}
		n := newRoutedNode(t, cfg)
		n.up()
		ra := routerAdvert(30*time.Minute, prefixOption(2*time.Hour, time.Hour))
		want := Optimistic
		if !known {
			ra.SourceLinkAddr, want = nd.LinkAddr{}, Tentative
		}
		n.hearsRouter(peerLL, ra)
		if a, _ := n.address(slaacAddr); a.State != want {
			t.Errorf("router known %v: %v, want %v", known, a.State, want)
		}
		n.run(3 * time.Second)
		if a, _ := n.address(slaacAddr); a.State != Preferred {
			t.Errorf("after DAD: %v", a.State)
		}
	}
}

// A packet from an optimistic address goes to a default router while its
// neighbor must not be resolved for it, and waits where there is none.
//
// Spec: RFC 4429, section 3.2, SHOULD, ODAD-R07
func TestODAD_R07_DefaultRouterTakesThePacket(t *testing.T) {
	neighbor, src := netip.MustParseAddr("2001:db8:5::99"), netip.MustParseAddr("2001:db8:5::5")
	for _, router := range []bool{true, false} {
		n := newRoutedNode(t, CoreConfig{})
		n.up()
		lifetime := 30 * time.Minute
		if !router {
			lifetime = 0
		}
		n.hearsRouter(peerLL, routerAdvert(lifetime, nd.PrefixInformation{Prefix: slaacPrefix, OnLink: true, ValidLifetime: time.Hour}))
		n.addConfig(AddressConfig{Prefix: netip.PrefixFrom(src, 64), DAD: dad.Optimistic})
		n.take()
		p := n.sends(src, neighbor, 1)
		if router != (p.to == peerMAC) {
			t.Errorf("with a router %v: the packet went to %v", router, p.to)
		}
		for _, f := range sent(n.take()) {
			if strings.Contains(wire(f), "NS "+neighbor.String()) {
				t.Errorf("the neighbor is solicited: %s", wire(f))
			}
		}
	}
}

// A temporary address is preferred as a source, and goes with its lifetime.
//
// Spec: RFC 6724, section 5, MUST, SAS-R11
// Spec: RFC 8981, section 3.4, must, IID-R11
func TestTemporaryAddresses(t *testing.T) {
	cfg := stableConfig()
	cfg.NoRouters = false
	n := newNodeAs(t, cfg)
	n.up()
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(30*24*time.Hour, 7*24*time.Hour)))
	n.run(3 * time.Second)
	temporary := n.only(OriginTemporary)
	if src, ok := n.core.Snapshot().Source(netip.MustParseAddr("2001:db8:77::1")); !ok || src != temporary.Prefix.Addr() {
		t.Errorf("source %v %v, want %v", src, ok, temporary.Prefix.Addr())
	}
	var seen []netip.Addr
	for range 10 * 24 {
		n.run(time.Hour)
		for _, a := range n.core.Addresses() {
			if a.Origin == OriginTemporary && !slices.Contains(seen, a.Prefix.Addr()) {
				seen = append(seen, a.Prefix.Addr())
			}
		}
	}
	if _, ok := n.address(temporary.Prefix.Addr()); ok {
		t.Error("it is still there after ten days")
	}
	if len(seen) < 6 {
		t.Errorf("%d temporary addresses in ten days (seven of them preferred), want one a day or so", len(seen))
	}
}
