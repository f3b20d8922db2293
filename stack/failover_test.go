package stack

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// Which router takes a packet, and what happens when one dies, on the Core.

var (
	otherMAC = nd.LinkAddr{2, 0, 0, 0, 0, 8}
	farAway  = netip.MustParseAddr("2001:db8:77::1")
)

// twoRouters brings up a node that heard two routers, peerLL first.
func twoRouters(t *testing.T, p Profile) *node {
	t.Helper()
	n := newRoutedNode(t, CoreConfig{Profile: p})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(24*time.Hour, 24*time.Hour)))
	second := routerAdvert(30*time.Minute, prefixOption(24*time.Hour, 24*time.Hour))
	second.SourceLinkAddr = otherMAC
	n.receives(ndFrame(otherMAC, otherRouter, nd.AllNodes, second))
	n.run(3 * time.Second)
	if _, ok := n.address(slaacAddr); !ok {
		t.Fatal("no address")
	}
	n.take()
	return n
}

// answers confirms that a neighbor is there, as often as it is solicited
// during d.
func (n *node) answersOnly(alive netip.Addr, mac nd.LinkAddr, d time.Duration) {
	for range int(d / (100 * time.Millisecond)) {
		n.take()
		n.run(100 * time.Millisecond)
		n.resendAll()
		for _, f := range sent(n.take()) {
			if strings.Contains(wire(f), "NS "+alive.String()) {
				n.receives(ndFrame(mac, alive, slaacAddr, &nd.NeighborAdvert{Target: alive, Router: true, Solicited: true, Override: true, TargetLinkAddr: mac}))
			}
		}
	}
}

// The router in use dies: the flows through it go through the other one when
// three unicast probes were not answered, and not before.
//
// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R01
// Spec: RFC 4861, section 7.3.3, must, NDS-R11
// Spec: RFC 4191, section 3.2, must, DRS-R04
func TestDRS_R01_FailoverWithinTheTimeOfNUD(t *testing.T) {
	for name, p := range map[string]Profile{"rfc2462": RFC2462(), "rfc4862": RFC4862(), "current": Current()} {
		n := twoRouters(t, p)
		dead, alive, aliveMAC := peerLL, otherRouter, otherMAC
		var flow uint32
		for ; ; flow++ { // one through the router that will die
			if n.sends(slaacAddr, farAway, flow).to == peerMAC {
				break
			}
		}
		// The packet made the STALE entry DELAY: 5 s, then three probes.
		n.answersOnly(alive, aliveMAC, 7900*time.Millisecond)
		if p := n.sends(slaacAddr, farAway, flow); p.to != peerMAC {
			t.Errorf("%s: left the router after 7.9 s: %v", name, p.to)
		}
		n.answersOnly(alive, aliveMAC, 200*time.Millisecond)
		if p := n.sends(slaacAddr, farAway, flow); p.to != otherMAC {
			t.Errorf("%s: after 8.1 s the packet goes to %v, want the other router; neighbors %v", name, p.to, n.core.Neighbors())
		}
		// It comes back with its next advertisement from another link-layer
		// address, or when it answers.
		n.hears(dead, slaacAddr, &nd.NeighborAdvert{Target: dead, Router: true, Solicited: true, Override: true, TargetLinkAddr: peerMAC})
		back := n.sends(slaacAddr, farAway, flow).to == peerMAC
		// An advertisement for no entry is ignored (RFC 4861, section 7.2.5),
		// so only RFC 7048's entry, which was kept, hears it.
		if want := name == "current"; back != want {
			t.Errorf("%s: used again after its advertisement: %v, want %v", name, back, want)
		}
	}
}

// RFC 4191, section 3.5: a router that was passed over is solicited, once a
// minute at the most, and only while packets would go to it.
//
// Spec: RFC 4191, section 3.5, SHOULD, DRS-R06
// Spec: RFC 4191, section 3.2, must, DRS-R03
func TestDRS_R06_SkippedRouterIsProbed(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	preferred := routerAdvert(30 * time.Minute)
	preferred.Preference = nd.High
	n.hearsRouter(peerLL, preferred)
	second := routerAdvert(30*time.Minute, prefixOption(24*time.Hour, 24*time.Hour))
	second.SourceLinkAddr = otherMAC
	n.receives(ndFrame(otherMAC, otherRouter, nd.AllNodes, second))
	// The second router alone announced the prefix, so that only a packet
	// from elsewhere would go to the first.
	n.mustAdd("2001:db8:6::1/128")
	src := netip.MustParseAddr("2001:db8:6::1")
	n.sends(src, farAway, 0)
	n.answersOnly(otherRouter, otherMAC, 10*time.Second)
	if p := n.sends(src, farAway, 0); p.to != otherMAC {
		t.Fatalf("the packet goes to %v", p.to)
	}
	solicits := func(d time.Duration, traffic bool) (count int) {
		for range int(d / time.Second) {
			if traffic {
				n.sends(src, farAway, 0)
			}
			n.run(time.Second)
			for _, f := range sent(n.take()) {
				s := wire(f)
				switch {
				case strings.Contains(s, "NS "+peerLL.String()):
					count++
				case strings.Contains(s, "NS "+otherRouter.String()):
					n.receives(ndFrame(otherMAC, otherRouter, slaacAddr, &nd.NeighborAdvert{Target: otherRouter, Router: true, Solicited: true, TargetLinkAddr: otherMAC}))
				}
			}
		}
		return count
	}
	solicits(2*time.Minute, false) // what is left of UNREACHABLE
	if got := solicits(5*time.Minute, false); got != 0 {
		t.Errorf("%d solicitations without traffic", got)
	}
	if got := solicits(5*time.Minute, true); got < 4 || got > 6 {
		t.Errorf("%d solicitations in five minutes of traffic, want one a minute", got)
	}
	n.hears(peerLL, ownLL, &nd.NeighborAdvert{Target: peerLL, Router: true, Solicited: true, TargetLinkAddr: peerMAC})
	if p := n.sends(src, farAway, 0); p.to != peerMAC {
		t.Errorf("after the answer the packet goes to %v, want the preferred router", p.to)
	}
}

var ownGlobal = netip.MustParseAddr("2001:db8:6::1")

// unresolvedRouters brings up a node that heard fe80::a1, a2 and a3, in this
// order, whose link-layer addresses it does not know.
func unresolvedRouters(t *testing.T, p Profile) *node {
	t.Helper()
	n := newRoutedNode(t, CoreConfig{Profile: p})
	n.up()
	for _, r := range []string{"fe80::a1", "fe80::a2", "fe80::a3"} {
		silent := routerAdvert(30 * time.Minute)
		silent.SourceLinkAddr = nd.LinkAddr{}
		n.hearsRouter(netip.MustParseAddr(r), silent)
	}
	n.mustAdd(ownGlobal.String() + "/128")
	n.take()
	return n
}

// solicited returns the last two digits of the neighbors that were solicited
// since the last call of take.
func (n *node) solicited() string {
	var targets []string
	for _, f := range sent(n.take()) {
		if _, target, ok := strings.Cut(wire(f), "NS fe80::"); ok {
			targets = append(targets, target)
		}
	}
	return strings.Join(targets, " ")
}

// farNumber is one of several destinations behind routers.
func farNumber(k int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 5: 0x77, 15: byte(k)})
}

// answers has a router of unresolvedRouters resolved.
func (n *node) answers(router string, mac nd.LinkAddr) {
	a := netip.MustParseAddr(router)
	n.receives(ndFrame(mac, a, ownLL, &nd.NeighborAdvert{Target: a, Router: true, Solicited: true, Override: true, TargetLinkAddr: mac}))
}

// While no router is known to be reachable, each destination has the next one.
// Packets to one destination wait together; the first router that answers has
// the traffic from then on, and those that wait for others keep their turn.
//
// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R02
func TestDRS_R02_EachDestinationHasTheNextRouter(t *testing.T) {
	for name, p := range map[string]Profile{"rfc2462": RFC2462(), "rfc4862": RFC4862()} {
		n := unresolvedRouters(t, p)
		var packets []*packet
		var turns []string
		for _, k := range []int{1, 1, 2, 1, 2, 3, 3} {
			packets = append(packets, n.sends(ownGlobal, farNumber(k), 0))
			turns = append(turns, n.solicited())
		}
		if got := strings.Join(turns, ","); got != "a1,,a2,,,a3," {
			t.Errorf("%s: solicited %s", name, got)
		}
		n.answers("fe80::a2", otherMAC)
		for k, want := range []bool{false, false, true, false, true, false, false} {
			if got := packets[k].to == otherMAC; got != want {
				t.Errorf("%s: packet %d went to %v", name, k, packets[k].to)
			}
		}
		if later := n.sends(ownGlobal, farNumber(1), 0); later.to != otherMAC {
			t.Errorf("%s: not to the router that answered: %v", name, later.to)
		}
		late := &packet{src: ownGlobal, dst: farNumber(1)} // sent before the data path knew of the answer
		n.step(Output{NextHop: netip.MustParseAddr("fe80::a3"), Src: late.src, Dst: late.dst, Packet: late})
		if late.to != otherMAC {
			t.Errorf("%s: not to the router that answered meanwhile: %v", name, late.to)
		}
		n.answers("fe80::a1", peerMAC)
		if packets[0].to != peerMAC || packets[1].to != peerMAC {
			t.Errorf("%s: the first packets, %v and %v, did not keep their turn", name, packets[0].to, packets[1].to)
		}
	}
}

// The data path sent three packets by the same snapshot: they have three
// routers all the same. A fourth destination begins a new round, and a host of
// type C stays with what its flow chose.
//
// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R02
func TestDRS_R02_RequestsAtOnce(t *testing.T) {
	for name, row := range map[string]struct {
		profile Profile
		want    string
	}{"rfc2462": {RFC2462(), "[a1 a2 a3 a1 a2]"}, "rfc4862": {RFC4862(), "[a1 a2 a3 a1 a2]"}, "current": {Current(), "[a3 a3 a3 a3 a3]"}} {
		n := unresolvedRouters(t, row.profile)
		var turns []string
		for k := range 5 {
			src, dst := ownGlobal, farNumber(k)
			n.step(Output{NextHop: netip.MustParseAddr("fe80::a3"), Src: src, Dst: dst, Packet: &packet{src: src, dst: dst}})
			for _, r := range []string{"a1", "a2", "a3"} {
				if n.core.queue.holds(netip.MustParseAddr("fe80::"+r), dst) {
					turns = append(turns, r)
				}
			}
		}
		if got := fmt.Sprint(turns); got != row.want {
			t.Errorf("%s: waiting for %s, want %s", name, got, row.want)
		}
	}
}

// Two routers fail while the third is still to answer: no packet is given up,
// though by their turns one that failed is next.
func TestPacketsOutliveRoutersThatFailTogether(t *testing.T) {
	for name, p := range map[string]Profile{"rfc2462": RFC2462(), "rfc4862": RFC4862()} {
		n := unresolvedRouters(t, p)
		first := n.sends(ownGlobal, farNumber(1), 0)
		n.run(50 * time.Millisecond)
		second := n.sends(ownGlobal, farNumber(2), 0)
		n.run(2960 * time.Millisecond)
		n.resendAll()
		n.run(50 * time.Millisecond)
		n.resendAll()
		if got := n.solicited(); !strings.HasSuffix(got, "a3 a1") {
			t.Fatalf("%s: solicited %s, want the third last, and the first again", name, got)
		}
		n.answers("fe80::a3", otherMAC)
		if first.to != otherMAC {
			t.Errorf("%s: the first packet went to %v, given up: %v", name, first.to, first.lost)
		}
		n.run(3 * time.Second)
		n.resendAll()
		if second.to != otherMAC {
			t.Errorf("%s: the second packet went to %v, given up: %v", name, second.to, second.lost)
		}
	}
}

// Without a known reachable router each is tried in turn, and a packet that
// waited for one that does not answer goes to the next; only when all have
// failed is its sender told.
//
// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R02
func TestDRS_R02_RoutersAreTriedInTurn(t *testing.T) {
	for name, p := range map[string]Profile{"rfc2462": RFC2462(), "rfc4862": RFC4862(), "current": Current()} {
		n := unresolvedRouters(t, p)
		packet := n.sends(ownGlobal, farAway, 7)
		var tried []string
		for range 100 {
			n.run(100 * time.Millisecond)
			n.resendAll()
		}
		for _, f := range sent(n.take()) {
			if _, target, ok := strings.Cut(wire(f), "NS "); ok && !slices.Contains(tried, target) {
				tried = append(tried, target)
			}
		}
		if len(tried) != 3 || !packet.lost {
			t.Errorf("%s: tried %v, want all three; sender told: %v", name, tried, packet.lost)
		}
	}
}

// Spec: RFC 4861, section 7.2.5, MUST, NUD-R07
func TestNUD_R07_TrafficLeavesARouterThatIsNoneAnyMore(t *testing.T) {
	n := twoRouters(t, Current())
	n.hears(peerLL, ownLL, &nd.NeighborAdvert{Target: peerLL, Solicited: true, TargetLinkAddr: peerMAC})
	for flow := range uint32(16) {
		if p := n.sends(slaacAddr, farAway, flow); p.to != otherMAC {
			t.Fatalf("flow %d goes to %v", flow, p.to)
		}
	}
	if r, ok := n.route("::/0", rib.RA); !ok || r.NextHop != otherRouter {
		t.Errorf("default route %v %v", r, ok)
	}
}

// A connection that goes forward keeps its neighbor REACHABLE without a probe.
//
// Spec: RFC 4861, section 7.3.1, SHOULD, NUD-R03
func TestNUD_R03_ForwardProgress(t *testing.T) {
	n := twoRouters(t, Current())
	var flow uint32
	for n.sends(slaacAddr, farAway, flow).to != peerMAC {
		flow++
	}
	if n.plane.progress == 0 {
		t.Fatal("no hints are asked for in DELAY")
	}
	n.step(Progress{Local: slaacAddr, Remote: farAway, Flow: flow})
	if e, _ := n.core.neighbors.Lookup(peerLL); e.State != nd.Reachable {
		t.Errorf("after a hint: %v", e.State)
	}
	// Hints for a neighbor that is not in question change nothing, and no more
	// are asked for once none is.
	n.answersOnly(otherRouter, otherMAC, 10*time.Second)
	if n.plane.progress != 0 {
		t.Error("hints are still asked for")
	}
	n.run(2 * time.Minute)
	n.step(Progress{Local: slaacAddr, Remote: farAway, Flow: flow})
	if e, _ := n.core.neighbors.Lookup(peerLL); e.State != nd.Stale {
		t.Errorf("a hint that nobody asked for: %v", e.State)
	}
}

// A packet goes to the router that advertised the prefix of its source.
//
// Spec: RFC 8028, section 3.2, SHOULD, DRS-R09
// Spec: RFC 8028, section 3.3, SHOULD, SAS-R09
func TestDRS_R09_RouterOfTheSourcesPrefix(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(24*time.Hour, 24*time.Hour)))
	pio := prefixOption(24*time.Hour, 24*time.Hour)
	pio.Prefix = netip.MustParsePrefix("2001:db8:6::/64")
	second := routerAdvert(30*time.Minute, pio)
	second.SourceLinkAddr, second.Preference = otherMAC, nd.High
	n.receives(ndFrame(otherMAC, otherRouter, nd.AllNodes, second))
	n.run(3 * time.Second)
	for flow := range uint32(8) {
		if p := n.sends(slaacAddr, farAway, flow); p.to != peerMAC {
			t.Errorf("a packet from the first router's prefix goes to %v", p.to)
		}
		if p := n.sends(netip.MustParseAddr("2001:db8:6::ff:fe00:1"), farAway, flow); p.to != otherMAC {
			t.Errorf("a packet from the second router's prefix goes to %v", p.to)
		}
	}
	src, ok := n.core.Snapshot().Source(farAway)
	if want := netip.MustParseAddr("2001:db8:6::ff:fe00:1"); !ok || src != want {
		t.Errorf("source %v, want %v of the preferred router's prefix", src, want)
	}
	// When its last announcement ends, the rule ends.
	n.hearsRouter(peerLL, routerAdvert(30*time.Minute, prefixOption(0, 0)))
	if p := n.sends(slaacAddr, farAway, 1); p.to != otherMAC {
		t.Errorf("after the end of the announcement a packet goes to %v, want the preferred router", p.to)
	}
}

// RFC 4191, section 3.6: "If routers W, Y, and Z are all not reachable, then the
// host should use Y while probing the reachability of W and Z."
//
// Spec: RFC 4191, section 3.5, SHOULD, DRS-R06
func TestDRS_R06_EverySkippedRouterIsProbed(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{})
	n.up()
	routers := map[netip.Addr]nd.LinkAddr{
		netip.MustParseAddr("fe80::a1"): {2, 0, 0, 0, 0, 0xa1}, netip.MustParseAddr("fe80::a2"): {2, 0, 0, 0, 0, 0xa2},
		netip.MustParseAddr("fe80::a3"): {2, 0, 0, 0, 0, 0xa3},
	}
	for a, mac := range routers {
		ra := routerAdvert(30 * time.Minute)
		ra.SourceLinkAddr, ra.Preference = mac, nd.Preference(int(a.As16()[15])-0xa2)
		n.receives(ndFrame(mac, a, nd.AllNodes, ra))
	}
	n.mustAdd("2001:db8:6::1/128")
	src := netip.MustParseAddr("2001:db8:6::1")
	// All three die, one after the other.
	for range 3 {
		n.sends(src, farAway, 1)
		n.run(10 * time.Second)
	}
	n.run(2 * time.Minute)
	n.take()
	n.sends(src, farAway, 1)
	n.run(time.Second)
	probed := map[string]bool{}
	for _, f := range sent(n.take()) {
		if _, target, ok := strings.Cut(wire(f), "NS "); ok {
			probed[target] = true
		}
	}
	if len(probed) != 3 {
		t.Errorf("solicited: %v, want all three", probed)
	}
}
