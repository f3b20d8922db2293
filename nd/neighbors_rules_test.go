package nd

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Spec: RFC 4861, section 7.2.2, MUST, NDS-R05
// Spec: RFC 4861, section 7.2.2, SHOULD, NDS-R08
// Spec: RFC 4861, section 7.2.2, MUST, NDS-R09
func TestNDS_R05_R08_R09_ResolutionThatFails(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	ns := "ns fe80::2 from fe80::1 to ff02::1:ff00:2"
	b.expect(b.do(Resolve{addr(peer), addr(hostLL)}), "changed fe80::2 incomplete", ns)
	b.expect(b.after(999 * time.Millisecond))
	b.expect(b.do(Resolve{addr(peer), addr(hostLL)}))
	b.expect(b.after(time.Millisecond), ns)
	b.expect(b.after(time.Second), ns)
	b.expect(b.after(time.Second), "removed fe80::2 failed", "unresolved fe80::2")
	b.expect(b.after(24 * time.Hour))
	b.expect(b.do(Resolve{addr(peer), addr(hostLL)}), "changed fe80::2 incomplete", ns)
}

// Spec: RFC 4861, section 7.2.2, SHOULD, NDS-R06
func TestNDS_R06_SourceOfSolicitations(t *testing.T) {
	unassigned := addr("2001:db8:ffff::1")
	for _, c := range []struct {
		name   string
		assign []Defend
		src    netip.Addr
		target string
		want   string // "" if it cannot be resolved
	}{
		{"the packet's", []Defend{{Addr: addr(hostLL)}, {Addr: addr(hostGlobal)}}, addr(hostGlobal), peer, hostGlobal},
		{"the packet's, anycast", []Defend{{Addr: addr(hostLL)}, {Addr: addr(hostGlobal), Anycast: true}}, addr(hostGlobal), peer, hostGlobal},
		{"same scope, link-local", []Defend{{Addr: addr(hostGlobal)}, {Addr: addr(hostLL)}}, unassigned, peer, hostLL},
		{"same scope, global", []Defend{{Addr: addr(hostLL)}, {Addr: addr(hostGlobal)}}, unassigned, other, hostGlobal},
		{"other scope", []Defend{{Addr: addr(hostLL)}}, unassigned, other, hostLL},
		{"no packet's", []Defend{{Addr: addr(hostLL)}}, netip.Addr{}, peer, hostLL},
		{"not an optimistic one", []Defend{{Addr: addr(hostGlobal), Optimistic: true}, {Addr: addr(hostLL)}}, unassigned, other, hostLL},
		{"not another's anycast", []Defend{{Addr: addr(hostLL), Anycast: true}, {Addr: addr(hostGlobal)}}, unassigned, peer, hostGlobal},
		{"none", nil, addr(hostLL), peer, ""},
		{"none but optimistic", []Defend{{Addr: addr(hostLL), Optimistic: true}}, unassigned, peer, ""},
		{"none but anycast", []Defend{{Addr: addr(hostLL), Anycast: true}}, unassigned, peer, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBareBench(t, NeighborConfig{})
			for _, d := range c.assign {
				b.do(d)
			}
			got := b.do(Resolve{addr(c.target), c.src})
			if c.want == "" {
				b.expect(got, "unresolved "+c.target)
				if n := b.n.Counters().NoSource; n != 1 {
					t.Errorf("NoSource = %d", n)
				}
				return
			}
			b.expect(got, "changed "+c.target+" incomplete",
				"ns "+c.target+" from "+c.want+" to "+SolicitedNode(addr(c.target)).String())
		})
	}
}

// An address that was assigned first, and then is optimistic or anycast, is no
// source any more, and one that becomes a plain one is.
//
// Spec: RFC 4861, section 7.2.2, SHOULD, NDS-R06
func TestNDS_R06_FlagsOfAnAddressChange(t *testing.T) {
	b := newBareBench(t, NeighborConfig{})
	resolve := Resolve{addr(other), netip.Addr{}}
	for _, c := range []struct {
		d    Defend
		want bool
	}{
		{Defend{Addr: addr(hostLL), Optimistic: true}, false},
		{Defend{Addr: addr(hostLL)}, true},
		{Defend{Addr: addr(hostLL)}, true},
		{Defend{Addr: addr(hostLL), Anycast: true}, false},
		{Defend{Addr: addr(hostLL)}, true},
	} {
		b.after(time.Minute)
		b.do(c.d)
		if got := b.do(resolve); slices.Contains(got, "unresolved "+other) == c.want {
			t.Errorf("after %+v: %v", c.d, got)
		}
		b.do(Delete{addr(other)})
	}
	b.after(time.Minute)
	b.do(Yield{addr(hostLL)})
	b.expect(b.do(resolve), "unresolved "+other)
}

// Spec: RFC 4429, section 3.2, MUST NOT, ODAD-R06
// Spec: RFC 4429, section 3.2, MUST NOT, ODAD-R07
func TestODAD_R06_R07_PacketFromAnOptimisticAddress(t *testing.T) {
	b := newBareBench(t, NeighborConfig{})
	b.do(Defend{Addr: addr(hostLL)}, Defend{Addr: addr(hostGlobal), Optimistic: true})
	b.expect(b.do(Resolve{addr(other), addr(hostGlobal)}), "unresolved "+other)
	// With the neighbor's link-layer address it goes out, and the probe that
	// follows has another source.
	b.do(solicit(other, hostGlobal, hostGlobal, link(otherMAC)))
	b.expect(b.do(Resolve{addr(other), addr(hostGlobal)}),
		"changed "+other+" delay "+otherMAC, "resolved "+other+" "+otherMAC)
	b.expect(b.after(5*time.Second),
		"changed "+other+" probe "+otherMAC, "ns "+other+" from "+hostLL+" to "+other+" via "+otherMAC)
}

// Spec: RFC 4429, section 3.3, MUST, ODAD-R08
// Spec: RFC 4429, section 3.3, MUST NOT, ODAD-R09
func TestODAD_R08_R09_SolicitationOfAnOptimisticAddress(t *testing.T) {
	b := newBareBench(t, NeighborConfig{})
	b.do(Defend{Addr: addr(hostLL), Optimistic: true})
	b.expect(b.do(solicit("::", "ff02::1:ff00:1", hostLL, LinkAddr{})))
	b.expect(b.do(solicit(peer, "ff02::1:ff00:1", hostLL, link(peerMAC))),
		"changed fe80::2 stale "+peerMAC, "na fe80::1 from fe80::1 to fe80::2 S via "+peerMAC)
	// Who gave no link-layer address cannot be asked for it.
	b.expect(b.do(solicit(other, hostLL, hostLL, LinkAddr{})))
	// Once DAD is over the address is defended.
	b.do(Defend{Addr: addr(hostLL)})
	b.expect(b.do(solicit("::", "ff02::1:ff00:1", hostLL, LinkAddr{})), "na fe80::1 from fe80::1 to ff02::1 O")
}

// Spec: RFC 4861, section 7.2.3, MUST, NDV-R03
func TestNDV_R03_SolicitationOfAnAddressThatIsNotOurs(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	for _, target := range []string{"fe80::ff:fe00:1", peer, "::", "::1"} {
		b.expect(b.do(solicit(peer, "ff02::1:ff00:1", target, link(peerMAC))))
		b.expect(b.do(solicit("::", "ff02::1:ff00:1", target, LinkAddr{})))
	}
	if got := b.n.Entries(); len(got) != 0 {
		t.Errorf("entries %v", got)
	}
	if got := b.n.Counters().SolicitsNotOurs; got != 8 {
		t.Errorf("SolicitsNotOurs = %d", got)
	}
}

// Spec: RFC 4861, section 7.2.4, MUST, NDV-R06
// Spec: RFC 4861, section 7.2.4, SHOULD, NDV-R07
// Spec: RFC 4861, section 7.2.3, SHOULD, NDV-R09
func TestNDV_R06_R07_R09_Answers(t *testing.T) {
	for _, dst := range []string{hostGlobal, "ff02::1:ff00:1"} {
		b := newBench(t, NeighborConfig{})
		b.expect(b.do(solicit(peer, dst, hostGlobal, link(peerMAC))),
			"changed fe80::2 stale "+peerMAC,
			"na 2001:db8::1 from 2001:db8::1 to fe80::2 S O via "+peerMAC)
		b.expect(b.do(solicit(peer, dst, hostGlobal, LinkAddr{})),
			"na 2001:db8::1 from 2001:db8::1 to fe80::2 S O via "+peerMAC)
		b.expect(b.after(time.Hour)) // an answer begins no probes
	}
}

// Spec: RFC 4861, section 7.2.4, MUST, DAD-R37
// Spec: RFC 4861, section 7.2.3, MUST NOT, NDV-R09
func TestDAD_R37_DefenceAgainstProbes(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.expect(b.do(solicit("::", "ff02::1:ff00:1", hostGlobal, LinkAddr{})),
		"na 2001:db8::1 from 2001:db8::1 to ff02::1 O")
	if got := b.n.Entries(); len(got) != 0 {
		t.Errorf("entries %v", got)
	}
	b.do(Yield{addr(hostGlobal)})
	b.expect(b.do(solicit("::", "ff02::1:ff00:1", hostGlobal, LinkAddr{})))
}

// A frame with the own link-layer address as its source is a frame like any
// other.
//
// Spec: RFC 4862, appendix A, must, DAD-R33
func TestDAD_R33_FramesFromTheOwnLinkLayerAddress(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	ns := solicit("::", "ff02::1:ff00:1", hostGlobal, LinkAddr{})
	ns.From = link(hostMAC)
	b.expect(b.do(ns), "na 2001:db8::1 from 2001:db8::1 to ff02::1 O")
	na := advert(hostGlobal, "O", link(hostMAC))
	na.From = link(hostMAC)
	b.expect(b.do(na), "conflict 2001:db8::1 "+hostMAC+" from "+hostMAC)
}

// Spec: RFC 4862, section 5.4.4, DER, DAD-R36
func TestDAD_R36_AdvertisementOfAnAssignedAddress(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	for _, flags := range []string{"", "S", "O", "SO", "RSO"} {
		b.expect(b.do(advert(hostLL, flags, link(peerMAC))), "conflict fe80::1 "+peerMAC+" from "+otherMAC)
		b.expect(b.do(advert(hostLL, flags, LinkAddr{})), "conflict fe80::1 "+otherMAC+" from "+otherMAC)
	}
	// Others have an anycast address too; an optimistic one is package dad's.
	b.do(Defend{Addr: addr(hostLL), Anycast: true})
	b.expect(b.do(advert(hostLL, "", link(peerMAC))))
	b.do(Defend{Addr: addr(hostLL), Optimistic: true})
	b.expect(b.do(advert(hostLL, "O", link(peerMAC))))
	if got := b.n.Entries(); len(got) != 0 {
		t.Errorf("entries %v", got)
	}

	b = newBench(t, NeighborConfig{PlainAdvertForAssigned: true})
	b.expect(b.do(advert(hostLL, "O", link(peerMAC))))
	b.expect(b.do(Yield{addr(hostLL)}, advert(hostLL, "O", link(peerMAC))))
}

// Somebody who asks with one of our addresses as the source gets no answer, and
// this node becomes no neighbor of itself.
func TestSolicitationFromAnAddressOfOurs(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.expect(b.do(solicit(hostLL, "ff02::1:ff00:1", hostGlobal, link(peerMAC))))
	b.expect(b.do(solicit(hostLL, hostGlobal, hostGlobal, LinkAddr{})))
	b.expect(b.do(solicit(hostGlobal, hostGlobal, hostGlobal, link(hostMAC))))
	if got := b.n.Counters().SolicitsFromOwn; got != 3 || len(b.n.Entries()) != 0 {
		t.Errorf("SolicitsFromOwn = %d, entries %v", got, b.n.Entries())
	}
}

// A neighbor that gives itself our link-layer address is not believed.
func TestLinkLayerAddressThatIsOurs(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.expect(b.do(solicit(peer, "ff02::1:ff00:1", hostLL, link(hostMAC))),
		"changed fe80::2 incomplete", "ns fe80::2 from fe80::1 to ff02::1:ff00:2")
	b.expect(b.do(advert(peer, "SO", link(hostMAC))))
	b.expect(b.do(advert(peer, "SO", link(peerMAC))),
		"changed fe80::2 reachable "+peerMAC, "resolved fe80::2 "+peerMAC,
		"na fe80::1 from fe80::1 to fe80::2 S O via "+peerMAC)
	b.expect(b.do(advert(peer, "SO", link(hostMAC))))
	b.expect(b.do(solicit(peer, "ff02::1:ff00:1", hostLL, link(hostMAC))),
		"na fe80::1 from fe80::1 to fe80::2 S O via "+peerMAC)
}

// Spec: RFC 4861, section 7.2.4, SHOULD, NDV-R08
// Spec: RFC 4861, section 7.2.7, SHOULD, NDV-R08
func TestNDV_R08_AnycastAnswersAreDelayed(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Defend{Addr: addr("2001:db8::a"), Anycast: true})
	ask := solicit(peer, "ff02::1:ff00:a", "2001:db8::a", link(peerMAC))
	b.expect(b.do(ask), "changed fe80::2 stale "+peerMAC)
	b.expect(b.do(ask)) // one answer for both
	b.expect(b.do(solicit("::", "ff02::1:ff00:a", "2001:db8::a", LinkAddr{})))
	b.expect(b.after(499 * time.Millisecond))
	b.expect(b.after(time.Millisecond),
		"na 2001:db8::a from fe80::1 to fe80::2 S via "+peerMAC,
		"na 2001:db8::a from 2001:db8::1 to ff02::1")
	b.expect(b.after(time.Hour))

	// The answer is not sent if the address is gone by then.
	b.do(ask)
	b.do(Yield{addr("2001:db8::a")})
	if at, ok := b.n.Deadline(); ok {
		t.Errorf("deadline %v", at)
	}
	b.do(Defend{Addr: addr("2001:db8::a"), Anycast: true})
	b.expect(b.after(time.Hour))

	// Without another address, the anycast address is the source.
	b.do(Yield{addr(hostLL)}, Yield{addr(hostGlobal)}, ask)
	b.expect(b.after(time.Second), "na 2001:db8::a from 2001:db8::a to fe80::2 S via "+peerMAC)
}

// Those that were sent, and those of an address that went, make room.
func TestDelayedAdvertsMakeRoom(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxDelayedAdverts: 2})
	b.do(solicit(peer, hostLL, hostLL, link(peerMAC)))
	anycast := Defend{Addr: addr("2001:db8::a"), Anycast: true}
	ask := func(src string) []string {
		return b.do(solicit(src, "ff02::1:ff00:a", "2001:db8::a", LinkAddr{}))
	}
	for range 5 {
		b.do(anycast)
		b.expect(ask(peer))
		b.expect(ask("::"))
		b.do(Yield{anycast.Addr})
		b.do(anycast)
		b.expect(ask(peer))
		b.after(time.Second)
	}
}

// Beyond the bound anycast answers are not delayed.
func TestDelayedAdvertsAreBounded(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxDelayedAdverts: 1})
	b.do(Defend{Addr: addr("2001:db8::a"), Anycast: true})
	b.expect(b.do(solicit(peer, "ff02::1:ff00:a", "2001:db8::a", link(peerMAC))), "changed fe80::2 stale "+peerMAC)
	b.expect(b.do(solicit(other, "ff02::1:ff00:a", "2001:db8::a", link(otherMAC))),
		"changed 2001:db8::3 stale "+otherMAC, "na 2001:db8::a from 2001:db8::1 to 2001:db8::3 S via "+otherMAC)
	b.expect(b.after(time.Second), "na 2001:db8::a from fe80::1 to fe80::2 S via "+peerMAC)
}

// Spec: RFC 4861, section 7.2.4, must, NDV-R11
func TestNDV_R11_SenderWithoutLinkLayerAddress(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.expect(b.do(solicit(peer, hostLL, hostLL, LinkAddr{})),
		"changed fe80::2 incomplete", "ns fe80::2 from fe80::1 to ff02::1:ff00:2")
	b.expect(b.do(solicit(peer, hostGlobal, hostGlobal, LinkAddr{}))) // the answer to this one, then
	b.expect(b.do(advert(peer, "SO", link(peerMAC))),
		"changed fe80::2 reachable "+peerMAC, "resolved fe80::2 "+peerMAC,
		"na 2001:db8::1 from 2001:db8::1 to fe80::2 S O via "+peerMAC)
	if got := b.n.Counters().AdvertsDropped; got != 1 {
		t.Errorf("AdvertsDropped = %d", got)
	}

	// Whoever does not answer gets no answer.
	b = newBench(t, NeighborConfig{})
	b.do(solicit(peer, hostLL, hostLL, LinkAddr{}))
	b.after(2 * time.Second)
	b.expect(b.after(time.Second), "removed fe80::2 failed", "unresolved fe80::2")
	if got := b.n.Counters().AdvertsDropped; got != 1 {
		t.Errorf("AdvertsDropped = %d", got)
	}

	// Nor is there one from an address that is gone meanwhile, even if it is
	// back.
	for _, back := range []bool{false, true} {
		b = newBench(t, NeighborConfig{})
		b.do(solicit(peer, hostGlobal, hostGlobal, LinkAddr{}), Yield{addr(hostGlobal)})
		if back {
			b.do(Defend{Addr: addr(hostGlobal)})
		}
		b.expect(b.do(advert(peer, "SO", link(peerMAC))),
			"changed fe80::2 reachable "+peerMAC, "resolved fe80::2 "+peerMAC)
	}
}

// Spec: RFC 4861, section 7.2.3, SHOULD, NDV-R09
func TestNDV_R09_CacheOfTheSender(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "RSO", link(peerMAC)))
	ask := func(a LinkAddr) []string { return b.do(solicit(peer, hostLL, hostLL, a)) }
	na := "na fe80::1 from fe80::1 to fe80::2 S O via "
	b.expect(ask(link(peerMAC)), na+peerMAC)
	b.expect(ask(link(otherMAC)), "changed fe80::2 stale "+otherMAC+" router", na+otherMAC)
	b.do(SetStatic{addr(peer), link(peerMAC)})
	b.expect(ask(link(otherMAC)), na+peerMAC)
}

// Spec: RFC 4861, section 7.3.3, must, NUD-R05
// Spec: RFC 4861, section 7.3.3, SHOULD, NUD-29
func TestNUD_R05_NoProbesWithoutTraffic(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "SO", link(peerMAC)))
	b.expect(b.after(30*time.Second), "changed fe80::2 stale "+peerMAC)
	if at, ok := b.n.Deadline(); ok {
		t.Errorf("deadline %v", at)
	}
	b.expect(b.after(24 * time.Hour))
	// One packet is enough for all probes.
	ns := "ns fe80::2 from fe80::1 to fe80::2 via " + peerMAC
	b.expect(b.do(Used{addr(peer)}), "changed fe80::2 delay "+peerMAC)
	b.expect(b.after(4999 * time.Millisecond))
	b.expect(b.after(time.Millisecond), "changed fe80::2 probe "+peerMAC, ns)
	b.expect(b.after(time.Second), ns)
	b.expect(b.after(time.Second), ns)
	b.expect(b.after(time.Second), "removed fe80::2 failed")
}

// A packet that waited for the address is the first one to a STALE neighbor.
//
// Spec: RFC 4861, section 7.3.3, must, NUD-R05
func TestNUD_R05_TheWaitingPacketsUseTheEntry(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)})
	b.expect(b.do(advert(peer, "O", link(peerMAC))),
		"changed fe80::2 stale "+peerMAC, "resolved fe80::2 "+peerMAC, "changed fe80::2 delay "+peerMAC)
	b.expect(b.after(5*time.Second),
		"changed fe80::2 probe "+peerMAC, "ns fe80::2 from fe80::1 to fe80::2 via "+peerMAC)
}

// Spec: RFC 4861, section 7.3.1, MUST NOT, NUD-R02
func TestNUD_R02_WhatIsNoConfirmation(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "SO", link(peerMAC)))
	b.after(29 * time.Second)
	b.do(advert(peer, "O", link(peerMAC)), solicit(peer, hostLL, hostLL, link(peerMAC)), Used{addr(peer)})
	b.expect(b.after(time.Second), "changed fe80::2 stale "+peerMAC)
}

// That packets could be sent is no sign that they arrive.
//
// Spec: RFC 4861, section 7.3.3, MUST NOT, NUD-R04
func TestNUD_R04_SendingConfirmsNothing(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "SO", link(peerMAC)))
	begin := b.now
	for b.state(peer) != "none" {
		b.do(Used{addr(peer)}, Resolve{addr(peer), addr(hostLL)})
		b.after(100 * time.Millisecond)
		if b.now.Sub(begin) > time.Minute {
			t.Fatalf("%s after a minute without an answer", b.state(peer))
		}
	}
	// ReachableTime, DELAY_FIRST_PROBE_TIME and three probes; DELAY begins
	// with the first packet after ReachableTime.
	if d := b.now.Sub(begin); d < 38*time.Second || d > 38*time.Second+200*time.Millisecond {
		t.Errorf("given up after %v", d)
	}
}

// Spec: RFC 4861, section 7.3.1, SHOULD, NUD-R03
func TestNUD_R03_ConfirmationsKeepAnEntryReachable(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "SO", link(peerMAC)))
	for range 100 {
		b.expect(b.after(29 * time.Second))
		b.expect(b.do(Confirm{addr(peer)}))
	}
	b.expect(b.after(29999 * time.Millisecond))
	b.expect(b.after(time.Millisecond), "changed fe80::2 stale "+peerMAC)
	nb, _ := b.n.Lookup(addr(peer))
	if !nb.Since.Equal(b.now) {
		t.Errorf("stale since %v, now %v", nb.Since, b.now)
	}
}

// Spec: RFC 4861, section 7.2.2, MUST, NUD-R06
// Spec: RFC 4861, section 7.3.3, MUST NOT, NUD-R06
func TestNUD_R06_AnEntryMadeAgainIsNotSolicitedSooner(t *testing.T) {
	ns := "ns fe80::2 from fe80::1 to ff02::1:ff00:2"
	for name, gone := range map[string]Event{
		"delete": Delete{addr(peer)}, "flush": Flush{},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, NeighborConfig{})
			b.do(Resolve{addr(peer), addr(hostLL)})
			b.after(400 * time.Millisecond)
			b.expect(b.do(gone), "removed fe80::2", "unresolved fe80::2")
			b.after(400 * time.Millisecond)
			b.expect(b.do(Resolve{addr(peer), addr(hostLL)}), "changed fe80::2 incomplete")
			b.expect(b.after(200*time.Millisecond), ns)
			b.expect(b.after(time.Second), ns)
			b.expect(b.after(time.Second), "removed fe80::2 failed", "unresolved fe80::2")
		})
	}
}

// The first probe also waits if the time in DELAY is short.
//
// Spec: RFC 4861, section 7.3.3, MUST NOT, NUD-R06
func TestNUD_R06_DelayShorterThanRetransTimer(t *testing.T) {
	b := newBench(t, NeighborConfig{RetransTimer: 10 * time.Second})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "O", link(peerMAC)))
	b.expect(b.after(9999 * time.Millisecond))
	b.expect(b.after(time.Millisecond),
		"changed fe80::2 probe "+peerMAC, "ns fe80::2 from fe80::1 to fe80::2 via "+peerMAC)
}

// Spec: RFC 4861, section 7.2.5, MUST, NUD-R07
func TestNUD_R07_RouterThatBecomesAHostIsTold(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "RSO", link(peerMAC)))
	b.expect(b.do(advert(peer, "O", LinkAddr{})), "changed fe80::2 reachable "+peerMAC)
	b.expect(b.do(advert(peer, "R", LinkAddr{})), "changed fe80::2 reachable "+peerMAC+" router")
}

// Spec: RFC 4861, section 7.3, must, NUD-R08
func TestNUD_R08_OnlyUnicastNeighbors(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	for _, a := range []netip.Addr{
		{}, addr("::"), addr("::1"), addr("ff02::1"), addr("192.0.2.1"), addr("fe80::2%eth0"), addr(hostLL),
	} {
		b.expect(b.do(Resolve{a, addr(hostLL)}), "unresolved "+a.String())
		b.expect(b.do(SetStatic{a, link(peerMAC)}, Used{a}, Confirm{a}, Delete{a}))
		if a != addr(hostLL) {
			b.expect(b.do(Defend{Addr: a}, Yield{a}))
		}
	}
	b.expect(b.do(SetStatic{addr(peer), LinkAddr{}}, SetStatic{addr(peer), BroadcastLinkAddr}))
	if got := b.n.Entries(); len(got) != 0 {
		t.Errorf("entries %v", got)
	}
}

// Spec: RFC 7048, section 3, SHOULD, NUD-R09
// Spec: RFC 7048, section 3, SHOULD, NUD-R12
func TestNUD_R09_R12_Unreachable(t *testing.T) {
	b := newBench(t, NeighborConfig{KeepUnreachable: true})
	tableStates["unreachable"](b)
	ns := "ns fe80::2 from fe80::1 to ff02::1:ff00:2"
	for _, pause := range []time.Duration{3, 9, 27, 60, 60} {
		b.expect(b.do(Used{addr(peer)}))
		b.expect(b.after(pause*time.Second - 1))
		b.expect(b.after(1), ns)
	}
	// Nobody uses it: silence. The next packet is due a solicitation.
	b.expect(b.after(time.Hour))
	if at, ok := b.n.Deadline(); ok {
		t.Errorf("deadline %v", at)
	}
	b.expect(b.do(Used{addr(peer)}), ns)
	b.expect(b.do(Used{addr(peer)}))
	b.expect(b.after(60*time.Second), ns)
	b.expect(b.do(advert(peer, "SO", macA)), "changed fe80::2 reachable 02:00:00:00:00:0a")
}

// Spec: RFC 4861, section 7.3.3, MUST NOT, NUD-R06
func TestNUD_R06_BackoffIsNeverShorterThanRetransTimer(t *testing.T) {
	b := newBench(t, NeighborConfig{KeepUnreachable: true, RetransTimer: 100 * time.Second})
	b.do(solicit(peer, hostLL, hostLL, macA), Used{addr(peer)})
	for b.state(peer) != "unreachable" {
		b.tableTimer()
	}
	for range 3 {
		b.do(Used{addr(peer)})
		b.expect(b.after(100*time.Second - 1))
		b.expect(b.after(1), "ns fe80::2 from fe80::1 to ff02::1:ff00:2")
	}
}

// Use in an earlier spell of UNREACHABLE does not count for the next.
func TestUnreachableAgain(t *testing.T) {
	b := newBench(t, NeighborConfig{KeepUnreachable: true})
	tableStates["unreachable"](b)
	b.do(Used{addr(peer)}, solicit(peer, hostLL, hostLL, macB), Used{addr(peer)})
	b.after(8 * time.Second)
	if got := b.state(peer); got != "unreachable" {
		t.Fatal(got)
	}
	b.expect(b.after(time.Hour))
}

// Spec: RFC 7048, section 3, MUST, NUD-R10
func TestNUD_R10_MulticastWithinSixtySecondsOfTheFirstRetransmission(t *testing.T) {
	for retrans := time.Second; retrans <= 90*time.Second; retrans += time.Second {
		for _, most := range []int{3, 100} {
			b := newBench(t, NeighborConfig{KeepUnreachable: true, RetransTimer: retrans, MaxUnicastSolicit: most})
			b.do(solicit(peer, hostLL, hostLL, macA), Used{addr(peer)})
			b.after(5 * time.Second) // the first probe
			again := b.now.Add(retrans)
			for b.state(peer) == "probe" {
				b.tableTimer()
			}
			if d := b.now.Sub(again); d > time.Minute {
				t.Errorf("RetransTimer %v: multicast %v after the first retransmission", retrans, d)
			}
		}
	}
}

// Spec: RFC 4861, section 6.3.4, SHOULD, RA-R06
// Spec: RFC 4861, section 6.3.4, SHOULD, RA-R07
func TestRA_R06_R07_Timers(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	random := &script{}
	b.n.random = random
	reachable := func() time.Duration {
		b.do(Flush{})
		b.after(time.Minute)
		b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "SO", link(peerMAC)))
		at, _ := b.n.Deadline()
		return at.Sub(b.now)
	}
	random.next = 17 * time.Second
	if got := reachable(); got != 17*time.Second {
		t.Errorf("ReachableTime %v", got)
	}
	random.next = 0 // not asked for
	b.do(SetTimers{RetransTimer: 2 * time.Second}, SetTimers{ReachableTime: 30 * time.Second}, SetTimers{})
	if got := reachable(); got != 17*time.Second {
		t.Errorf("ReachableTime %v", got)
	}
	random.next = 11 * time.Second
	b.do(SetTimers{ReachableTime: 10 * time.Second})
	if got := reachable(); got != 11*time.Second {
		t.Errorf("ReachableTime %v", got)
	}
	random.next = 12 * time.Second
	b.after(2 * time.Hour)
	if got := reachable(); got != 12*time.Second {
		t.Errorf("ReachableTime %v", got)
	}
	want := []string{"15s to 45s", "5s to 15s", "5s to 15s"}
	if d := cmp.Diff(want, random.asked); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}

	b.do(Flush{})
	b.after(time.Minute)
	b.do(Resolve{addr(peer), addr(hostLL)})
	if at, _ := b.n.Deadline(); at.Sub(b.now) != 2*time.Second {
		t.Errorf("RetransTimer %v", at.Sub(b.now))
	}
}

// script draws what it is told.
type script struct {
	next  time.Duration
	asked []string
}

func (s *script) Between(lo, hi time.Duration) time.Duration {
	s.asked = append(s.asked, lo.String()+" to "+hi.String())
	return s.next
}

func (*script) Nonce() Nonce { panic("no nonce is needed") }

// A confirmation under a shorter ReachableTime moves the deadline forward.
func TestShorterReachableTimeHoldsFromTheNextConfirmation(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "SO", link(peerMAC)))
	b.do(SetTimers{ReachableTime: 2 * time.Second}, Confirm{addr(peer)})
	b.expect(b.after(2*time.Second), "changed fe80::2 stale "+peerMAC)
}

// Without a source nothing can be probed; the entry stays in use.
func TestProbeWithoutSource(t *testing.T) {
	for _, keep := range []bool{false, true} {
		b := newBench(t, NeighborConfig{KeepUnreachable: keep})
		b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "O", link(peerMAC)))
		b.do(Yield{addr(hostLL)}, Yield{addr(hostGlobal)})
		b.expect(b.after(5*time.Second), "changed fe80::2 stale "+peerMAC)
		b.do(Defend{Addr: addr(hostGlobal)}, Used{addr(peer)})
		b.expect(b.after(5*time.Second),
			"changed fe80::2 probe "+peerMAC, "ns fe80::2 from 2001:db8::1 to fe80::2 via "+peerMAC)
		b.do(Yield{addr(hostGlobal)})
		b.expect(b.after(time.Second), "changed fe80::2 stale "+peerMAC)
	}
}

// An UNREACHABLE entry is silent without a source, and goes on with one.
func TestUnreachableWithoutSource(t *testing.T) {
	b := newBench(t, NeighborConfig{KeepUnreachable: true})
	tableStates["unreachable"](b)
	b.do(Yield{addr(hostLL)}, Yield{addr(hostGlobal)}, Used{addr(peer)})
	b.expect(b.after(time.Hour))
	b.expect(b.do(Used{addr(peer)}))
	b.do(Defend{Addr: addr(hostGlobal)})
	b.expect(b.do(Used{addr(peer)}), "ns fe80::2 from 2001:db8::1 to ff02::1:ff00:2")
}

// When the last source goes, resolutions fail; those of an anycast address's
// own packets go on.
func TestYieldOfTheLastSource(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Defend{Addr: addr("2001:db8::a"), Anycast: true})
	b.do(Resolve{addr(peer), addr(hostLL)}, Resolve{addr("fe80::4"), addr("2001:db8::a")}, solicit(other, hostLL, hostLL, LinkAddr{}))
	b.expect(b.do(Yield{addr(hostLL)}))
	b.expect(b.do(Yield{addr(hostGlobal)}),
		"removed 2001:db8::3", "unresolved 2001:db8::3", "removed fe80::2", "unresolved fe80::2")
	b.expect(b.after(time.Second), "ns fe80::4 from 2001:db8::a to ff02::1:ff00:4")
	b.expect(b.do(Defend{Addr: addr("2001:db8::a"), Optimistic: true}), "removed fe80::4", "unresolved fe80::4")
	b.do(Defend{Addr: addr("2001:db8::a"), Anycast: true}, Resolve{addr("fe80::5"), addr("2001:db8::a")})
	b.expect(b.do(Yield{addr("2001:db8::a")}), "removed fe80::5", "unresolved fe80::5")
	b.expect(b.do(Yield{addr("2001:db8::a")}))
}

// The source of an address resolution that goes is replaced by another.
func TestYieldOfOneSource(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)})
	b.expect(b.do(Yield{addr(hostLL)}))
	b.expect(b.after(time.Second), "ns fe80::2 from 2001:db8::1 to ff02::1:ff00:2")
}

func TestFlushIsInOrder(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	for _, a := range []string{"fe80::9", "2001:db8::9", "fe80::5"} {
		b.do(SetStatic{addr(a), link(peerMAC)})
	}
	b.expect(b.do(Flush{}))
	b.expect(b.do(Flush{Static: true}), "removed 2001:db8::9", "removed fe80::5", "removed fe80::9")
}

// A clock that goes back stands still.
func TestTimeNeverGoesBack(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)})
	b.after(900 * time.Millisecond)
	b.expect(b.after(-time.Hour))
	b.do(Resolve{addr(other), addr(hostLL)})
	at, _ := b.n.Deadline()
	if want := epoch.Add(time.Second); !at.Equal(want) {
		t.Errorf("deadline %v, want %v", at, want)
	}
	if nb, _ := b.n.Lookup(addr(other)); !nb.Since.Equal(epoch.Add(900 * time.Millisecond)) {
		t.Errorf("since %v", nb.Since)
	}
}

func neighborAt(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: 1, 12: byte(i >> 24), 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
}

func states(b *bench) string {
	var s []string
	for _, nb := range b.n.Entries() {
		s = append(s, nb.Addr.String()+" "+nb.State.String())
	}
	return strings.Join(s, ", ")
}

// Spec: RFC 6583, section 7.1, REC, CACHE-R03
// Spec: RFC 4861, section 5.3, should, NDS-R10
func TestCACHE_R03_WhoGivesWay(t *testing.T) {
	b := newBench(t, NeighborConfig{KeepUnreachable: true, MaxEntries: 9})
	mac := link(peerMAC)
	reach := func(a, flags string) {
		b.do(Resolve{addr(a), addr(hostLL)}, advert(a, "SO"+flags, mac))
	}
	b.do(solicit("fe80::50", hostLL, hostLL, mac), Used{addr("fe80::50")})
	b.after(9 * time.Second) // UNREACHABLE
	reach("fe80::40", "")
	reach("fe80::42", "")
	b.after(30 * time.Second) // STALE, once confirmed
	reach("fe80::30", "R")
	b.after(30 * time.Second)                             // STALE, router
	reach("fe80::20", "")                                 // REACHABLE
	b.do(SetStatic{addr("fe80::10"), mac})                // static
	b.do(solicit("fe80::60", hostLL, hostLL, mac))        // hearsay
	b.do(Resolve{addr("fe80::70"), addr(hostLL)})         // INCOMPLETE
	b.do(solicit("fe80::80", hostLL, hostLL, LinkAddr{})) // INCOMPLETE, for an answer
	if got := len(b.n.Entries()); got != 9 {
		t.Fatalf("%d entries: %s", got, states(b))
	}
	for i, victim := range []string{"fe80::80", "fe80::60", "fe80::50", "fe80::70"} {
		got := b.do(Resolve{neighborAt(i), addr(hostLL)})
		if len(got) < 1 || got[0] != "removed "+victim {
			t.Fatalf("want %s to give way: %v", victim, got)
		}
		b.do(advert(neighborAt(i).String(), "SO", mac)) // in use now
	}
	// fe80::42 is older by use.
	b.do(Confirm{addr("fe80::40")})
	b.after(time.Second)
	for i, victim := range []string{"fe80::42"} {
		got := b.do(Resolve{neighborAt(100 + i), addr(hostLL)})
		if len(got) < 1 || got[0] != "removed "+victim {
			t.Fatalf("want %s to give way: %v", victim, got)
		}
		b.do(advert(neighborAt(100+i).String(), "SO", mac))
	}
	// The rest is in use, a router's, or static.
	b.expect(b.do(Resolve{neighborAt(200), addr(hostLL)}), "unresolved "+neighborAt(200).String())
	b.expect(b.do(SetStatic{neighborAt(200), mac}))
	want := NeighborCounters{Evicted: 5, EntriesRefused: 2, AdvertsDropped: 1}
	if got := b.n.Counters(); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
}

// A flood of solicitations from invented addresses, with advertisements that
// call them reachable routers, displaces nothing but itself.
//
// Spec: RFC 3756, section 4.3.2, DER, CACHE-R06
func TestCACHE_R06_FloodOfInventedNeighbors(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxEntries: 100})
	b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "SO", link(peerMAC)))
	b.after(time.Hour) // STALE
	b.do(Resolve{addr(other), addr(hostLL)})
	for i := range 10_000 {
		src := neighborAt(i).String()
		if i%2 == 0 {
			b.do(solicit(src, hostLL, hostLL, link(otherMAC)), advert(src, "RSO", link(otherMAC)))
		} else {
			b.do(solicit(src, hostLL, hostLL, LinkAddr{}))
		}
		if got := len(b.n.Entries()); got > 100 {
			t.Fatalf("%d entries", got)
		}
	}
	if b.state(peer) != "stale" || b.state(other) != "incomplete" {
		t.Errorf("%s, %s", b.state(peer), b.state(other))
	}
	// And there is room for a neighbor that this node wants.
	got := b.do(Resolve{addr("fe80::77"), addr(hostLL)})
	b.expect(got[max(0, len(got)-2):],
		"changed fe80::77 incomplete", "ns fe80::77 from fe80::1 to ff02::1:ff00:77")
}

// When the cache is full, nodes that only others' word is known of displace
// each other at a bounded rate. Those that get no entry are answered too.
//
// Spec: RFC 6583, section 7.1, REC, CACHE-R02
func TestCACHE_R02_HearsayDisplacesAtABoundedRate(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxEntries: 1, MaxHearsayRate: 10})
	next := 0
	displaced := func() (n int) {
		for range 100 {
			next++
			src := neighborAt(next).String()
			out := b.do(solicit(src, hostLL, hostLL, link(peerMAC)))
			if got := out[len(out)-1]; got != "na fe80::1 from fe80::1 to "+src+" S O via "+peerMAC {
				t.Fatalf("%s is not answered: %v", src, out)
			}
			if b.state(src) == "stale" {
				n++
			}
		}
		return n
	}
	if got := displaced(); got != 1+10 { // the first found room
		t.Errorf("at once %d of 100 got an entry", got)
	}
	b.after(500 * time.Millisecond)
	if got := displaced(); got != 5 {
		t.Errorf("in half a second %d of 100 got an entry", got)
	}
	b.after(time.Hour)
	if got := displaced(); got != 10 {
		t.Errorf("after an hour %d of 100 got an entry", got)
	}
	if got, want := b.n.Counters(), (NeighborCounters{Evicted: 25, EntriesRefused: 300 - 26}); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
	// What this node wants displaces them at any rate.
	out := b.do(Resolve{addr("fe80::77"), addr(hostLL)})
	if b.state("fe80::77") != "incomplete" {
		t.Errorf("no entry for a neighbor that packets wait for: %v", out)
	}
}

// A message that a Parser returned does not depend on those before it.
func TestParser_KeepsNothing(t *testing.T) {
	h := Header{Src: addr(peer), Dst: addr(hostLL)}
	full := &NeighborSolicit{Target: addr(hostLL), SourceLinkAddr: link(peerMAC), Nonce: "nonce."}
	bare := &NeighborSolicit{Target: addr(hostLL)}
	var p Parser
	for _, want := range []*NeighborSolicit{full, bare, full} {
		got, err := p.Parse(h, 255, Append(nil, h.Src, h.Dst, want))
		if err != nil || *got.(*NeighborSolicit) != *want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
}

// Defence goes on when the cache is full.
//
// Spec: RFC 6583, section 7.1, REC, CACHE-R02
func TestCACHE_R02_DefenceNeedsNoEntry(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxEntries: 1})
	b.do(SetStatic{addr(other), link(otherMAC)})
	b.expect(b.do(solicit(peer, hostLL, hostLL, link(peerMAC))), "na fe80::1 from fe80::1 to fe80::2 S O via "+peerMAC)
	b.expect(b.do(solicit("::", "ff02::1:ff00:1", hostLL, LinkAddr{})), "na fe80::1 from fe80::1 to ff02::1 O")
	if got := states(b); got != "2001:db8::3 static" {
		t.Error(got)
	}
}

// Spec: RFC 6583, section 7, REC, CACHE-R01
func TestCACHE_R01_IncompleteEntriesAreBounded(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxIncomplete: 3, MaxResolveRate: 1000})
	for i := range 3 {
		b.after(time.Millisecond)
		b.do(Resolve{neighborAt(i), addr(hostLL)})
	}
	b.do(Resolve{neighborAt(0), addr(hostLL)}) // used again: 1 is the oldest
	b.after(time.Millisecond)
	b.expect(b.do(Resolve{neighborAt(3), addr(hostLL)})[:2],
		"removed 2001:db8:0:1::1", "unresolved 2001:db8:0:1::1")
	// A stranger does not displace them.
	b.after(time.Millisecond)
	b.expect(b.do(solicit(peer, hostLL, hostLL, LinkAddr{})))
	if got := b.n.Counters(); got != (NeighborCounters{Evicted: 1, EntriesRefused: 1, AdvertsDropped: 1}) {
		t.Errorf("counters %+v", got)
	}
}

// What traffic of this node uses is not a stranger's any more.
//
// Spec: RFC 6583, section 7.1, REC, CACHE-R03
func TestCACHE_R03_StrangersThatAreWanted(t *testing.T) {
	for name, want := range map[string]Event{
		"resolved":  Resolve{addr(peer), addr(hostLL)},
		"used":      Used{addr(peer)},
		"confirmed": Confirm{addr(peer)},
	} {
		b := newBench(t, NeighborConfig{MaxEntries: 1})
		if name == "resolved" {
			b.do(solicit(peer, hostLL, hostLL, LinkAddr{}))
		} else {
			b.do(solicit(peer, hostLL, hostLL, link(peerMAC)))
		}
		b.do(want)
		b.do(solicit(other, hostLL, hostLL, link(otherMAC)), solicit("fe80::4", hostLL, hostLL, LinkAddr{}))
		if b.state(peer) == "none" {
			t.Errorf("%s: gone", name)
		}
	}
}

// A stranger who was asked for his link-layer address is not probed for it.
func TestStrangersAreNotProbed(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(solicit(peer, hostLL, hostLL, LinkAddr{}))
	b.do(advert(peer, "", link(peerMAC)))
	b.expect(b.after(time.Hour))
	if got := b.state(peer); got != "stale" {
		t.Error(got)
	}
}

// What is kept of a neighbor that was deleted is forgotten in time.
func TestDeletedNeighborsAreForgotten(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, Delete{addr(peer)})
	if got := b.n.quiet.Len(); got != 1 {
		t.Errorf("%d are quiet", got)
	}
	b.after(time.Second)
	if got := b.n.quiet.Len(); got != 0 {
		t.Errorf("%d are quiet", got)
	}
}

// Spec: RFC 6583, section 7.2, REC, CACHE-R04
// Spec: RFC 6583, section 7.1, REC, CACHE-R02
func TestCACHE_R04_RateOfResolutions(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxIncomplete: 4, MaxResolveRate: 10})
	begin := func(i int) bool {
		got := b.do(Resolve{neighborAt(i), addr(hostLL)})
		return !slices.Contains(got, "unresolved "+neighborAt(i).String())
	}
	// Strangers get half of the burst.
	for i := range 5 {
		b.do(solicit(neighborAt(1000+i).String(), hostLL, hostLL, LinkAddr{}))
	}
	if got := b.n.Counters().ResolutionsRefused; got != 3 {
		t.Errorf("%d strangers refused", got)
	}
	var begun int
	for i := range 20 {
		if begin(i) {
			begun++
		}
	}
	if begun != 2 {
		t.Errorf("%d of a burst of 2", begun)
	}
	begun = 0
	for i := range 1000 {
		b.after(10 * time.Millisecond)
		if begin(100 + i) {
			begun++
		}
	}
	if begun != 100 {
		t.Errorf("%d in 10 s", begun)
	}
	// Maintenance is not held up.
	b.do(solicit(peer, hostLL, hostLL, link(peerMAC)), Used{addr(peer)})
	for b.state(peer) == "delay" {
		b.tableTimer()
	}
	if got := b.state(peer); got != "probe" {
		t.Errorf("state %s", got)
	}
}
