package stack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// Redirects on the Core (RFC 4861, section 8).

func redirect(target netip.Addr, mac nd.LinkAddr) *nd.Redirect {
	return &nd.Redirect{Target: target, Destination: farAway, TargetLinkAddr: mac}
}

// redirectedNode has the default router peerLL and the address slaacAddr.
func redirectedNode(t *testing.T, p Profile) *node {
	t.Helper()
	n := newRoutedNode(t, CoreConfig{Profile: p})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(24*time.Hour, 24*time.Hour)))
	n.run(3 * time.Second)
	if p := n.sends(slaacAddr, farAway, 1); p.to != peerMAC {
		t.Fatalf("before the redirect the packet goes to %v", p.to)
	}
	return n
}

// Spec: RFC 4861, section 8.3, SHOULD, RDR-R02
// Spec: RFC 4861, section 8.3, MUST, RDR-R03
// Spec: RFC 4861, section 8.3, MUST, RDR-R04
// Spec: RFC 8028, section 3.4, SHOULD, RDR-R07
func TestRDR_R02_RedirectToAnotherRouter(t *testing.T) {
	for name, p := range map[string]Profile{"rfc2462": RFC2462(), "rfc4862": RFC4862(), "current": Current()} {
		n := redirectedNode(t, p)
		n.hears(peerLL, slaacAddr, redirect(otherRouter, otherMAC))
		if e, ok := n.core.neighbors.Lookup(otherRouter); !ok || e.State != nd.Stale || !e.IsRouter || e.LinkAddr != otherMAC {
			t.Errorf("%s: the target's entry: %+v %v", name, e, ok)
		}
		for flow := range uint32(4) {
			if p := n.sends(slaacAddr, farAway, flow); p.to != otherMAC {
				t.Errorf("%s: flow %d goes to %v", name, flow, p.to)
			}
		}
		if p := n.sends(slaacAddr, netip.MustParseAddr("2001:db8:77::2"), 1); p.to != peerMAC {
			t.Errorf("%s: another destination goes to %v", name, p.to)
		}
		n.mustAdd("2001:db8:5::77/128")
		want := otherMAC
		if name == "current" {
			want = peerMAC
		}
		if p := n.sends(netip.MustParseAddr("2001:db8:5::77"), farAway, 1); p.to != want {
			t.Errorf("%s: from another source it goes to %v, want %v", name, p.to, want)
		}
		r, ok := n.route(farAway.String()+"/128", rib.Redirected)
		if !ok || r.NextHop != otherRouter || len(r.Owners) != 1 || r.Owners[0].Addr != peerLL {
			t.Errorf("%s: route %+v %v", name, r, ok)
		}
		// It is an exception that ends, not a route that stays.
		n.run(time.Hour)
		if r, ok := n.route(farAway.String()+"/128", rib.Redirected); ok {
			t.Errorf("%s: after an hour: %+v", name, r)
		}
	}
}

// Spec: RFC 4861, section 8.3, MUST, RDR-R04
// Spec: RFC 4861, section 8.1, MUST NOT, RDR-R05
func TestRDR_R04_RedirectToTheDestinationMakesItOnLink(t *testing.T) {
	n := redirectedNode(t, Current())
	n.hears(peerLL, slaacAddr, redirect(farAway, otherMAC))
	if p := n.sends(slaacAddr, farAway, 1); p.to != otherMAC {
		t.Errorf("the packet goes to %v", p.to)
	}
	if e, ok := n.core.neighbors.Lookup(farAway); !ok || e.IsRouter {
		t.Errorf("the entry: %+v %v", e, ok)
	}
	// It does not answer: the packet goes through the router again.
	for range 120 {
		n.run(100 * time.Millisecond)
	}
	if p := n.sends(slaacAddr, farAway, 1); p.to != peerMAC {
		t.Errorf("after NUD the packet goes to %v", p.to)
	}
	if r, ok := n.route(farAway.String()+"/128", rib.Redirected); ok {
		t.Errorf("still there: %+v", r)
	}
}

// Spec: RFC 4861, section 8.1, MUST, RDR-R01
func TestRDR_R01_OnlyFromTheFirstHop(t *testing.T) {
	n := redirectedNode(t, Current())
	before := n.view()
	for name, give := range map[string]func(){
		"from another neighbor": func() { n.hears(otherRouter, slaacAddr, redirect(netip.MustParseAddr("fe80::77"), otherMAC)) },
		"of a destination that is on-link": func() {
			n.hears(peerLL, slaacAddr, &nd.Redirect{Target: otherRouter, Destination: netip.MustParseAddr("2001:db8:5::99"), TargetLinkAddr: otherMAC})
		},
		"to an address of ours": func() { n.hears(peerLL, slaacAddr, &nd.Redirect{Target: ownLL, Destination: farAway}) },
		"of an address of ours": func() {
			n.hears(peerLL, slaacAddr, &nd.Redirect{Target: otherRouter, Destination: slaacAddr, TargetLinkAddr: otherMAC})
		},
	} {
		refused := n.core.Counters().RedirectsRefused
		give()
		if n.core.Counters().RedirectsRefused != refused+1 || n.view() != before {
			t.Errorf("%s: counted %d; before:\n%s\nafter:\n%s", name, n.core.Counters().RedirectsRefused-refused, before, n.view())
		}
	}
	// The one that a redirect leads to is the first hop then.
	n.hears(peerLL, slaacAddr, redirect(otherRouter, otherMAC))
	n.hears(otherRouter, slaacAddr, redirect(netip.MustParseAddr("fe80::77"), nd.LinkAddr{2, 0, 0, 0, 0, 7}))
	if p := n.sends(slaacAddr, farAway, 1); p.to != (nd.LinkAddr{2, 0, 0, 0, 0, 7}) {
		t.Errorf("after the second redirect: %v", p.to)
	}
}

// Spec: RFC 8504, section 5.4, SHOULD, RDR-R08
func TestRDR_R08_Switch(t *testing.T) {
	p := Current()
	if err := p.Set("redirects", "off"); err != nil {
		t.Fatal(err)
	}
	n := redirectedNode(t, p)
	before := n.view()
	n.hears(peerLL, slaacAddr, redirect(otherRouter, otherMAC))
	if n.view() != before {
		t.Error("a redirect was heeded")
	}
}

// What was redirected to a router goes back when that is none any more, or not
// a default router.
//
// Spec: RFC 4861, section 6.3.5, MUST, RA-R18
// Spec: RFC 4861, section 7.2.5, MUST, NUD-R07
func TestRedirectEndsWithItsRouter(t *testing.T) {
	for name, ends := range map[string]func(n *node){
		"an advertisement with lifetime 0": func(n *node) {
			ra := routerAdvert(30 * time.Minute)
			ra.SourceLinkAddr, ra.Preference = otherMAC, nd.Low
			n.receives(ndFrame(otherMAC, otherRouter, nd.AllNodes, ra))
			ra.RouterLifetime = 0
			n.receives(ndFrame(otherMAC, otherRouter, nd.AllNodes, ra))
		},
		"a neighbor advertisement without the R flag": func(n *node) {
			n.receives(ndFrame(otherMAC, otherRouter, ownLL, &nd.NeighborAdvert{Target: otherRouter, Solicited: true, TargetLinkAddr: otherMAC}))
		},
	} {
		n := redirectedNode(t, Current())
		n.hears(peerLL, slaacAddr, redirect(otherRouter, otherMAC))
		if p := n.sends(slaacAddr, farAway, 1); p.to != otherMAC {
			t.Fatalf("after the redirect: %v", p.to)
		}
		ends(n)
		if p := n.sends(slaacAddr, farAway, 1); p.to != peerMAC {
			t.Errorf("after %s the packet goes to %v", name, p.to)
		}
	}
}

// A neighbor that is known not to answer is not used by a redirect or a route
// that comes later.
//
// Spec: RFC 7048, section 3, SHOULD NOT, NUD-R11
func TestNUD_R11_NewWayToANeighborThatDoesNotAnswer(t *testing.T) {
	n := redirectedNode(t, Current())
	silent := netip.MustParseAddr("2001:db8:5::99")
	n.receives(ndFrame(otherMAC, silent, nd.SolicitedNode(slaacAddr), &nd.NeighborSolicit{Target: slaacAddr, SourceLinkAddr: otherMAC}))
	n.sends(slaacAddr, silent, 1)
	n.answersOnly(peerLL, peerMAC, 10*time.Second)
	if e, _ := n.core.neighbors.Lookup(silent); e.State != nd.Unreachable {
		t.Fatalf("the neighbor is %v", e.State)
	}
	n.step(AddRoute{RouteConfig: RouteConfig{Prefix: netip.MustParsePrefix("2001:db8:77::/48"), Via: silent}})
	if p := n.sends(slaacAddr, farAway, 1); p.to != peerMAC {
		t.Errorf("a packet goes by the new route to %v", p.to)
	}
	// The same of a destination off-link that a redirect calls on-link.
	far := netip.MustParseAddr("2001:db8:88::1")
	n.step(RemoveRoute{RouteConfig: RouteConfig{Prefix: netip.MustParsePrefix("2001:db8:77::/48"), Via: silent}})
	n.hears(peerLL, slaacAddr, &nd.Redirect{Target: far, Destination: far, TargetLinkAddr: otherMAC})
	n.sends(slaacAddr, far, 1)
	n.answersOnly(peerLL, peerMAC, 10*time.Second)
	n.hears(peerLL, slaacAddr, &nd.Redirect{Target: far, Destination: far})
	if p := n.sends(slaacAddr, far, 1); p.to != peerMAC {
		t.Errorf("a packet goes by the redirect to %v; the neighbor is %v", p.to, n.core.Neighbors())
	}
}

// A flood of redirects from the first hop is bounded, and the latest counts.
func TestRedirectsAreBounded(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{Limits: Limits{MaxRedirects: 8}})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(24*time.Hour, 24*time.Hour)))
	n.run(3 * time.Second)
	dst := netip.MustParseAddr("2001:db8:77::")
	for range 1000 {
		dst = dst.Next()
		n.hears(peerLL, slaacAddr, &nd.Redirect{Target: otherRouter, Destination: dst, TargetLinkAddr: otherMAC})
	}
	count := 0
	for _, r := range n.core.Routes() {
		if r.Origin == rib.Redirected {
			count++
		}
	}
	if count != 8 || n.core.Counters().RedirectsEvicted != 992 {
		t.Errorf("%d redirects, %d evicted", count, n.core.Counters().RedirectsEvicted)
	}
	if p := n.sends(slaacAddr, dst, 1); p.to != otherMAC {
		t.Errorf("the latest goes to %v", p.to)
	}
	n.step(LinkDown{})
	if rs := n.core.Routes(); len(rs) != 0 {
		t.Errorf("routes while the link is down: %v", rs)
	}
}

// Spec: RFC 5942, section 3, must, ONL-R06
func TestONL_R06_NeighborDiscoveryMakesNothingOnLink(t *testing.T) {
	off := netip.MustParseAddr("2001:db8:88::1")
	for name, p := range map[string]Profile{"rfc2462": RFC2462(), "rfc4862": RFC4862(), "current": Current()} {
		n := redirectedNode(t, p)
		n.receives(ndFrame(otherMAC, off, nd.SolicitedNode(slaacAddr), &nd.NeighborSolicit{Target: slaacAddr, SourceLinkAddr: otherMAC}))
		want := otherMAC
		if name == "current" {
			want = peerMAC
		}
		if p := n.sends(slaacAddr, off, 1); p.to != want {
			t.Errorf("%s: a packet to a node that solicited goes to %v, want %v", name, p.to, want)
		}
	}
}
