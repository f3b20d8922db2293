package stack_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
)

// Linux sends a Redirect when it forwards a packet out of the interface where
// the packet came in (RFC 4861, section 8.2).

// newRedirecting makes a network in which router 1 is the stack's default
// router, and a worse first hop than it need be to two destinations:
// 2001:db8:d::9, which is on the link (mac3, though the stack cannot know), and
// 2001:db8:c::9, which is behind router 2.
func newRedirecting(t *testing.T, cfg stack.InterfaceConfig) *routed {
	t.Helper()
	r := newRouted(t, cfg, 2)
	neighbor := netnstest.NewNode(t)
	r.a.Join(t, neighbor, "eth0", mac3)
	neighbor.AddAddress(t, "eth0", "2001:db8:d::9/64")
	r.routers[0].AddAddress(t, "eth0", "2001:db8:d::1/64")
	r.host.AddAddress(t, "eth0", "2001:db8:c::9/128")
	r.host.Run(t, "ip", "-6", "route", "add", "2001:db8:d::/64", "via", "2001:db8:b::1")
	r.routers[0].Run(t, "ip", "-6", "route", "add", "2001:db8:c::/64", "via", ll2, "dev", "eth0")
	r.routers[1].Run(t, "ip", "-6", "route", "add", "2001:db8:c::/64", "via", "2001:db8:b::9")
	mustAdd(t, r.i, offLink("2001:db8:d::5/64"))
	mustAddRoute(t, r.i, "::/0", ll1)
	return r
}

var (
	redirectedOnLink  = netip.MustParseAddr("2001:db8:d::9")
	redirectedOffLink = netip.MustParseAddr("2001:db8:c::9")
)

// firstHops are the link-layer addresses that our packets to dst went to.
func firstHops(wire *sniffer, i *stack.Interface, dst netip.Addr) (macs []string) {
	for _, c := range wire.await("a packet to "+dst.String(), func(c captured) bool {
		return c.eth.SrcMAC.String() == i.LinkAddr().String() && c.ip.DstIP.Equal(dst.AsSlice()) && c.icmpType == 128
	}) {
		macs = append(macs, c.eth.DstMAC.String())
	}
	return macs
}

// redirectTo returns the route that a Redirect of dst made.
func redirectTo(i *stack.Interface, dst netip.Addr) (rib.Route, bool) {
	for _, r := range i.Routes() {
		if r.Prefix.Addr() == dst && r.Origin.String() == "redirect" {
			return r, true
		}
	}
	return rib.Route{}, false
}

// The packet after a Redirect goes to the better first hop: the destination
// itself, or another router.
//
// Spec: RFC 4861, section 8.3, SHOULD, RDR-R02
func TestRedirectsOfLinux(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]stack.Profile{"rfc4862": patientAs(stack.RFC4862()), "current": patientProfile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRedirecting(t, stack.InterfaceConfig{Profile: profile, NoRouters: true})
			for _, want := range []struct {
				dst    netip.Addr
				target string
				mac    string
			}{{redirectedOnLink, redirectedOnLink.String(), mac3}, {redirectedOffLink, ll2, mac2}} {
				wire := capture(t, r.a.Namespace, "tap0")
				if err := ping(t, r.i, want.dst, nil); err != nil {
					t.Fatal(err)
				}
				wire.await("a Redirect", func(c captured) bool { return c.icmpType == 137 })
				waitFor(t, "the redirect to be a route", func() bool { _, ok := redirectTo(r.i, want.dst); return ok })
				if err := ping(t, r.i, want.dst, nil); err != nil {
					t.Errorf("after the Redirect: %v", err)
				}
				waitFor(t, "both packets on the wire", func() bool { return len(firstHops(wire, r.i, want.dst)) == 2 })
				if got := firstHops(wire, r.i, want.dst); got[0] != mac1 || got[1] != want.mac {
					t.Errorf("the first hops to %v are %v, want %s, then %s", want.dst, got, mac1, want.mac)
				}
				route, err := r.i.Route(want.dst, netip.Addr{})
				if err != nil || route.NextHop.WithZone("").String() != want.target {
					t.Errorf("the route to %v: %+v %v, want by way of %s", want.dst, route, err, want.target)
				}
				if n := len(wire.await("a Redirect", func(c captured) bool { return c.icmpType == 137 })); n != 1 {
					t.Errorf("%d Redirects: one was not enough", n)
				}
			}
			// Nothing else is redirected.
			if route, err := r.i.Route(netip.MustParseAddr("2001:db8:c::8"), netip.Addr{}); err != nil || route.NextHop.WithZone("").String() != ll1 {
				t.Errorf("the route to a neighbor of the destination: %+v %v", route, err)
			}
		})
	}
}

// A switch turns redirects off: Linux goes on sending them, and we go on.
//
// Spec: RFC 8504, section 5.4, SHOULD, RDR-R08
func TestRedirectsOfLinuxTurnedOff(t *testing.T) {
	t.Parallel()
	profile := patientProfile()
	if err := profile.Set("redirects", "off"); err != nil {
		t.Fatal(err)
	}
	r := newRedirecting(t, stack.InterfaceConfig{Profile: profile, NoRouters: true})
	wire := capture(t, r.a.Namespace, "tap0")
	for range 2 {
		if err := ping(t, r.i, redirectedOffLink, nil); err != nil {
			t.Fatal(err)
		}
		wire.await("a Redirect", func(c captured) bool { return c.icmpType == 137 })
	}
	waitFor(t, "both packets on the wire", func() bool { return len(firstHops(wire, r.i, redirectedOffLink)) == 2 })
	if got := firstHops(wire, r.i, redirectedOffLink); got[1] != mac1 {
		t.Errorf("the first hops are %v", got)
	}
	if got, ok := redirectTo(r.i, redirectedOffLink); ok {
		t.Errorf("a route %v", got)
	}
}

// A Redirect of a node that is not the first hop, or not about a packet's
// destination as the first hop sees it, changes nothing.
//
// Spec: RFC 4861, section 8.1, MUST, RDR-R01
func TestForgedRedirects(t *testing.T) {
	t.Parallel()
	r := newRedirecting(t, stack.InterfaceConfig{Profile: patientProfile(), NoRouters: true})
	mustRedirectNothing := func(what string) {
		t.Helper()
		// What was sent before the answer was received before it.
		if err := ping(t, r.i, netip.MustParseAddr(ll3), nil); err != nil {
			t.Fatal(err)
		}
		route, err := r.i.Route(redirectedOffLink, netip.Addr{})
		if err != nil || route.NextHop.WithZone("").String() != ll1 {
			t.Errorf("%s: the route is %+v %v", what, route, err)
		}
		if got, ok := redirectTo(r.i, redirectedOffLink); ok {
			t.Errorf("%s: %v", what, got)
		}
	}
	attacker := netnstest.NewNode(t)
	r.a.Join(t, attacker, "eth0", "02:00:00:00:01:66")
	send := packetSocket(t, attacker, "eth0")
	redirect := func(src string, hopLimit byte, m *nd.Redirect) {
		own := netip.MustParseAddr("2001:db8:a::5")
		f := ipv6Frame(r.i.LinkAddr(), netip.MustParseAddr(src), own, 58, nd.Append(nil, netip.MustParseAddr(src), own, m))
		f[21] = hopLimit
		send(f)
	}
	evil, _ := nd.ParseLinkAddr("02:00:00:00:01:66")
	toAttacker := &nd.Redirect{Target: stack.LinkLocalAddr(evil), Destination: redirectedOffLink, TargetLinkAddr: evil}
	redirect(stack.LinkLocalAddr(evil).String(), 255, toAttacker)
	mustRedirectNothing("from a node that is not the first hop")
	redirect(ll2, 255, toAttacker)
	mustRedirectNothing("from another router")
	redirect(ll1, 254, toAttacker)
	mustRedirectNothing("from off the link")
	redirect(ll1, 255, &nd.Redirect{Target: netip.MustParseAddr("fe80::9"), Destination: netip.MustParseAddr("2001:db8:c::8"), TargetLinkAddr: evil})
	mustRedirectNothing("about another destination")
	frame := ipv6Frame(r.i.LinkAddr(), netip.MustParseAddr(ll1), netip.MustParseAddr("2001:db8:a::5"), 58,
		nd.Append(nil, netip.MustParseAddr(ll1), netip.MustParseAddr("2001:db8:a::5"), toAttacker))
	binary.BigEndian.PutUint16(frame[56:], ^binary.BigEndian.Uint16(frame[56:]))
	frame[21] = 255
	send(frame)
	mustRedirectNothing("with a wrong checksum")
}
