package stack

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// Routers and the addresses that come of them, on the Core.

var (
	slaacPrefix = netip.MustParsePrefix("2001:db8:5::/64")
	slaacAddr   = netip.MustParseAddr("2001:db8:5::ff:fe00:1") // with the EUI-64 identifier of ownMAC
	otherRouter = netip.MustParseAddr("fe80::8")
)

// routerAdvert is what a usual router says.
func routerAdvert(lifetime time.Duration, prefixes ...nd.PrefixInformation) *nd.RouterAdvert {
	return &nd.RouterAdvert{RouterLifetime: lifetime, SourceLinkAddr: peerMAC, Prefixes: prefixes}
}

func prefixOption(valid, preferred time.Duration) nd.PrefixInformation {
	return nd.PrefixInformation{Prefix: slaacPrefix, OnLink: true, Autonomous: true, ValidLifetime: valid, PreferredLifetime: preferred}
}

func (n *node) hearsRouter(router netip.Addr, m *nd.RouterAdvert) { n.hears(router, nd.AllNodes, m) }

// route returns the route to exactly p with this origin.
func (n *node) route(p string, origin rib.Origin) (rib.Route, bool) {
	want := netip.MustParsePrefix(p)
	for _, r := range n.core.Routes() {
		if r.Prefix == want && r.Origin == origin {
			return r, true
		}
	}
	return rib.Route{}, false
}

func (n *node) address(a netip.Addr) (Address, bool) {
	for _, v := range n.core.Addresses() {
		if v.Prefix.Addr() == a {
			return v, true
		}
	}
	return Address{}, false
}

// Spec: RFC 4862, section 5.5.3, must, LIF-R03
// Spec: RFC 5942, section 4, MUST NOT, ONL-R05
// Spec: RFC 4862, section 5.5, MUST, LIF-R17
func TestRouterBringsRouteAndAddress(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(2*time.Hour, time.Hour)))
	if a, ok := n.address(slaacAddr); !ok || a.State != Tentative || a.Origin != OriginSLAAC {
		t.Fatalf("after the advertisement: %v %v", a, ok)
	}
	n.run(3 * time.Second)
	a, ok := n.address(slaacAddr)
	if !ok || a.State != Preferred || a.Prefix.Bits() != 64 {
		t.Errorf("after DAD: %v %v", a, ok)
	}
	if r, ok := n.route("::/0", rib.RA); !ok || r.NextHop != peerLL || r.Metric != rib.RAMetric {
		t.Errorf("default route: %v %v", r, ok)
	}
	onLink, ok := n.route(slaacPrefix.String(), rib.OnLink)
	if want := (rib.Owner{Kind: rib.OwnerRouter, Addr: peerLL, Prefix: slaacPrefix}); !ok || !slices.Equal(onLink.Owners, []rib.Owner{want}) {
		t.Errorf("the on-link prefix is owned by %v, want the router alone", onLink.Owners)
	}
	if src, ok := n.core.Snapshot().Source(netip.MustParseAddr("2001:db8:77::1")); !ok || src != slaacAddr {
		t.Errorf("source %v %v", src, ok)
	}
	// RA-R08: the router is a neighbor, and known as a router.
	if ns := n.core.Neighbors(); len(ns) != 1 || !ns[0].IsRouter || ns[0].LinkAddr != peerMAC {
		t.Errorf("neighbors: %v", ns)
	}
}

// The routes of a router end with its lifetimes, its address with its own.
//
// Spec: RFC 4862, section 5.5.4, must, LIF-R01
func TestLifetimesOfARouterAndItsPrefix(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(2*time.Hour, time.Hour)))
	n.run(29 * time.Minute)
	if _, ok := n.route("::/0", rib.RA); !ok {
		t.Error("the default route went early")
	}
	n.run(2 * time.Minute)
	if _, ok := n.route("::/0", rib.RA); ok {
		t.Error("the default route outlived the router")
	}
	n.run(30 * time.Minute)
	if a, ok := n.address(slaacAddr); !ok || a.State != Deprecated {
		t.Errorf("after the preferred lifetime: %v %v", a, ok)
	}
	n.run(time.Hour)
	if a, ok := n.address(slaacAddr); ok {
		t.Errorf("after the valid lifetime: %v", a)
	}
	if rs := n.core.Routes(); len(rs) != 2 { // fe80::/64 and the link-local address
		t.Errorf("routes after all lifetimes: %v", rs)
	}
}

// KRE-10: what one router takes back, the other still holds.
//
// Spec: RFC 4861, section 6.3.4, MUST NOT, RA-R03
// Spec: derived, DER, KRE-10
// Spec: RFC 4861, section 6.3.5, MUST, RA-R18
func TestTwoRoutersHoldOnePrefix(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	for _, router := range []netip.Addr{peerLL, otherRouter} {
		n.hearsRouter(router, routerAdvert(30*time.Minute, prefixOption(24*time.Hour, time.Hour)))
	}
	n.run(3 * time.Second)
	n.hearsRouter(peerLL, routerAdvert(0, prefixOption(0, 0)))
	if r, ok := n.route("::/0", rib.RA); !ok || r.NextHop != otherRouter {
		t.Errorf("default route %v %v", r, ok)
	}
	if r, ok := n.route(slaacPrefix.String(), rib.OnLink); !ok || len(r.Owners) != 1 || r.Owners[0].Addr != otherRouter {
		t.Errorf("on-link prefix %v %v", r, ok)
	}
	n.hearsRouter(otherRouter, routerAdvert(0, prefixOption(0, 0)))
	if r, ok := n.route(slaacPrefix.String(), rib.OnLink); ok {
		t.Errorf("the prefix outlived both: %v", r)
	}
	// The address has two hours left (RFC 4862, section 5.5.3 (e)), and is
	// deprecated at once.
	if a, ok := n.address(slaacAddr); !ok || a.State != Deprecated || a.ValidUntil.Sub(n.now) != 2*time.Hour {
		t.Errorf("the address: %+v %v", a, ok)
	}
}

// Spec: RFC 4861, section 6.3.7, must, RS-R02
// Spec: RFC 4861, section 6.3.7, MUST, RS-R05
func TestRouterSolicitations(t *testing.T) {
	solicits := func(n *node) (all []string) {
		for _, f := range sent(n.take()) {
			if s := wire(f); strings.Contains(s, "RS") {
				all = append(all, s)
			}
		}
		return all
	}
	n := newRoutedNode(t, CoreConfig{Profile: RFC4862()})
	n.step(LinkUp{})
	n.run(time.Minute)
	want := []string{":: > ff02::2: RS 00:00:00:00:00:00", ownLL.String() + " > ff02::2: RS 02:00:00:00:00:01", ownLL.String() + " > ff02::2: RS 02:00:00:00:00:01"}
	if got := solicits(n); !slices.Equal(got, want) {
		t.Errorf("solicitations %v, want %v", got, want)
	}
	n = newRoutedNode(t, CoreConfig{})
	n.step(LinkUp{})
	n.run(10 * time.Second)
	n.hearsRouter(peerLL, routerAdvert(time.Hour))
	n.take()
	n.run(50 * time.Minute)
	if got := solicits(n); len(got) != 0 {
		t.Errorf("solicited although a router is known: %v", got)
	}
}

// A duplicate of an autoconfigured address vanishes as any other, and leaves
// the prefix alone.
func TestDuplicateOfAnAutoconfiguredAddress(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(time.Hour, prefixOption(2*time.Hour, time.Hour)))
	n.run(100 * time.Millisecond)
	n.isClaimed(slaacAddr.String())
	n.run(10 * time.Second)
	if a, ok := n.address(slaacAddr); ok {
		t.Errorf("the duplicate is listed: %v", a)
	}
	if _, ok := n.route(slaacPrefix.String(), rib.OnLink); !ok {
		t.Error("the duplicate took the router's prefix along")
	}
	if len(n.core.Failures()) != 1 {
		t.Errorf("failures: %v", n.core.Failures())
	}
	// The next advertisement does not bring it back (no automatic retry with
	// the same identifier).
	n.hearsRouter(peerLL, routerAdvert(time.Hour, prefixOption(2*time.Hour, time.Hour)))
	n.run(10 * time.Second)
	if a, ok := n.address(slaacAddr); ok {
		t.Errorf("the duplicate came back: %v", a)
	}
}

func TestLinkDownForgetsRouters(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	before := n.view()
	n.hearsRouter(peerLL, &nd.RouterAdvert{
		RouterLifetime: time.Hour, CurHopLimit: 17, MTU: 1400, SourceLinkAddr: peerMAC,
		Prefixes: []nd.PrefixInformation{prefixOption(2*time.Hour, time.Hour)},
	})
	n.run(5 * time.Second)
	limits := func() (ls []uint8, mtus []int) {
		for _, act := range n.take() {
			switch act := act.(type) {
			case SetHopLimit:
				ls = append(ls, act.HopLimit)
			case SetPathMTU:
				mtus = append(mtus, act.MTU)
			}
		}
		return ls, mtus
	}
	if ls, mtus := limits(); !slices.Equal(ls, []uint8{17}) || !slices.Equal(mtus, []int{1400}) {
		t.Errorf("hop limits %v, MTUs %v", ls, mtus)
	}
	n.step(LinkDown{})
	if ls, mtus := limits(); !slices.Equal(ls, []uint8{64}) || !slices.Equal(mtus, []int{1500}) {
		t.Errorf("after link down: hop limits %v, MTUs %v", ls, mtus)
	}
	if rs, as := n.core.Routers(), n.core.Addresses(); len(rs) != 0 || len(as) != 1 {
		t.Errorf("after link down: routers %v, addresses %v", rs, as)
	}
	n.step(LinkUp{})
	n.run(10 * time.Second)
	if after := n.view(); after != before {
		t.Errorf("after down and up:\n%s\nbefore:\n%s", after, before)
	}
}

// Spec: RFC 4861, section 7.3.3, MUST, NUD-R07
func TestNUD_R07_RouterThatIsNoneAnyMore(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(time.Hour))
	n.hears(peerLL, ownLL, &nd.NeighborAdvert{Target: peerLL, Solicited: true, Override: true, TargetLinkAddr: peerMAC})
	if r, ok := n.route("::/0", rib.RA); ok {
		t.Errorf("a route through a node that is no router: %v", r)
	}
}

// Spec: RFC 4862, section 5.5, SHOULD, LIF-R17
func TestNoRoutersIgnoresAdvertisements(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	before := n.view()
	n.hearsRouter(peerLL, routerAdvert(time.Hour, prefixOption(2*time.Hour, time.Hour)))
	n.run(time.Minute)
	if after := n.view(); after != before {
		t.Errorf("an advertisement changed\n%s\nto\n%s", before, after)
	}
}

// Spec: RFC 4862, section 5.5.3, must, LIF-R03
func TestManualAddressIsNotFormedAgain(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	n.mustAdd(slaacAddr.String() + "/64")
	n.hearsRouter(peerLL, routerAdvert(time.Hour, prefixOption(2*time.Hour, time.Hour)))
	n.run(time.Minute)
	if a, _ := n.address(slaacAddr); a.Origin != OriginManual || !a.ValidUntil.IsZero() {
		t.Errorf("the manual address became %+v", a)
	}
	n.run(3 * time.Hour)
	if a, ok := n.address(slaacAddr); !ok || a.State != Preferred {
		t.Errorf("the router's lifetimes ended a manual address: %v %v", a, ok)
	}
}

// An operator's delete of an autoconfigured address holds.
func TestRemovedAutoconfiguredAddressStaysAway(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	advert := routerAdvert(time.Hour, prefixOption(2*time.Hour, time.Hour))
	n.hearsRouter(peerLL, advert)
	n.run(5 * time.Second)
	if err := n.remove(slaacAddr.String()); err != nil {
		t.Fatal(err)
	}
	n.hearsRouter(peerLL, advert)
	n.run(5 * time.Second)
	if a, ok := n.address(slaacAddr); ok {
		t.Errorf("it came back: %v", a)
	}
}
