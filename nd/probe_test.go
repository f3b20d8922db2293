package nd

import (
	"strings"
	"testing"
	"time"
)

// Spec: RFC 4191, section 3.5, SHOULD, DRS-R06
func TestDRS_R06_RouterWithoutAnEntry(t *testing.T) {
	ns := "ns fe80::2 from fe80::1 to ff02::1:ff00:2"
	for _, c := range []struct {
		name   string
		answer Advertised
		want   []string
	}{
		{"solicited", advert(peer, "RSO", macA), []string{"changed fe80::2 reachable 02:00:00:00:00:0a router", "resolved fe80::2 02:00:00:00:00:0a"}},
		// No packet was sent, so that there is nothing to probe for.
		{"unsolicited", advert(peer, "RO", macA), []string{"changed fe80::2 stale 02:00:00:00:00:0a router", "resolved fe80::2 02:00:00:00:00:0a"}},
	} {
		b := newBench(t, NeighborConfig{})
		b.expect(b.do(ProbeRouter{addr(peer)}), "changed fe80::2 incomplete", ns)
		b.expect(b.do(c.answer), c.want...)
		b.after(time.Hour)
		if got := b.state(peer); got != "stale" {
			t.Errorf("%s: %s at last", c.name, got)
		}
	}

	b := newBench(t, NeighborConfig{})
	b.do(ProbeRouter{addr(peer)})
	b.expect(b.after(time.Second - 1))
	b.expect(b.after(1), "removed fe80::2 failed", "unresolved fe80::2")
	b.expect(b.after(time.Hour))
}

// Spec: RFC 4191, section 3.5, MUST, DRS-R06
func TestDRS_R06_OnceAMinute(t *testing.T) {
	for _, keep := range []bool{false, true} {
		b := newBench(t, NeighborConfig{KeepUnreachable: keep})
		tableStates["unreachable"](b)
		b.do(ProbeRouter{addr(other)}) // another router does not matter
		var probes []time.Duration
		begin := b.now
		for range 3600 {
			for _, out := range b.do(ProbeRouter{addr(peer)}) {
				if strings.HasPrefix(out, "ns ") {
					probes = append(probes, b.now.Sub(begin))
				}
			}
			b.after(time.Second)
		}
		// The first one waits for RetransTimer after the last solicitation of
		// Neighbor Unreachability Detection.
		first := time.Duration(0)
		if keep {
			first = time.Second
		}
		if len(probes) != 60 || probes[0] != first {
			t.Fatalf("keep %v: probes at %v", keep, probes)
		}
		for i := range probes[1:] {
			if probes[i+1]-probes[i] != time.Minute {
				t.Errorf("keep %v: probes at %v", keep, probes)
			}
		}
	}
}

// The mark of the minute does not go with the entry.
//
// Spec: RFC 4191, section 3.5, MUST, DRS-R06
func TestDRS_R06_OnceAMinuteWhateverHappens(t *testing.T) {
	for name, ev := range map[string]Event{
		"delete": Delete{addr(peer)}, "flush": Flush{}, "answer": advert(peer, "SO", macA), "conflict": Defend{Addr: addr(peer)},
	} {
		b := newBench(t, NeighborConfig{})
		b.do(ProbeRouter{addr(peer)}, ev, Yield{addr(peer)}, Delete{addr(peer)})
		b.after(time.Minute - 1)
		b.expect(b.do(ProbeRouter{addr(peer)}))
		b.after(1)
		if got := b.do(ProbeRouter{addr(peer)}); len(got) != 2 {
			t.Errorf("%s: after a minute %v", name, got)
		}
	}
}

// A solicitation of the same neighbor just now is enough of one.
//
// Spec: RFC 4861, section 7.3.3, MUST NOT, NUD-R06
func TestNUD_R06_NoProbeRightAfterASolicitation(t *testing.T) {
	b := newBench(t, NeighborConfig{})
	b.do(Resolve{addr(peer), addr(hostLL)}, Delete{addr(peer)})
	b.expect(b.do(ProbeRouter{addr(peer)}))
	b.after(time.Second)
	b.expect(b.do(ProbeRouter{addr(peer)}), "changed fe80::2 incomplete", "ns fe80::2 from fe80::1 to ff02::1:ff00:2")

	b = newBench(t, NeighborConfig{KeepUnreachable: true})
	tableStates["unreachable"](b)
	b.expect(b.do(ProbeRouter{addr(peer)}))
	b.after(time.Second)
	b.expect(b.do(ProbeRouter{addr(peer)}), "ns fe80::2 from fe80::1 to ff02::1:ff00:2")
	b.expect(b.after(time.Hour)) // a single one
}

// Who needs an answer to the probe makes a whole resolution of it.
func TestProbeBecomesAResolution(t *testing.T) {
	ns := "ns fe80::2 from fe80::1 to ff02::1:ff00:2"
	for name, ev := range map[string]Event{
		"packet": Resolve{addr(peer), addr(hostLL)},
		"answer": solicit(peer, hostLL, hostLL, LinkAddr{}),
	} {
		b := newBench(t, NeighborConfig{})
		b.do(ProbeRouter{addr(peer)})
		b.after(time.Second / 2)
		b.expect(b.do(ev))
		b.expect(b.after(time.Second/2), ns)
		b.expect(b.after(time.Second), ns)
		b.expect(b.after(time.Second), "removed fe80::2 failed", "unresolved fe80::2")

		b.after(time.Minute)
		b.do(ProbeRouter{addr(peer)}, ev)
		got := b.do(advert(peer, "O", macA))
		if delay := name == "packet"; delay != (b.state(peer) == "delay") {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What cannot be probed costs no minute.
func TestProbeThatIsNotSent(t *testing.T) {
	b := newBareBench(t, NeighborConfig{KeepUnreachable: true})
	b.expect(b.do(ProbeRouter{addr(peer)}))
	if got := b.n.Counters().NoSource; got != 1 {
		t.Errorf("NoSource = %d", got)
	}
	b.do(Defend{Addr: addr(hostLL)})
	for _, a := range []string{hostLL, "ff02::2", "::"} {
		b.expect(b.do(ProbeRouter{addr(a)}))
	}
	b.expect(b.do(ProbeRouter{addr(peer)}), "changed fe80::2 incomplete", "ns fe80::2 from fe80::1 to ff02::1:ff00:2")

	b = newBench(t, NeighborConfig{KeepUnreachable: true})
	tableStates["unreachable"](b)
	b.do(Yield{addr(hostLL)}, Yield{addr(hostGlobal)})
	b.after(time.Second)
	b.expect(b.do(ProbeRouter{addr(peer)}))
	b.do(Defend{Addr: addr(hostLL)})
	b.expect(b.do(ProbeRouter{addr(peer)}), "ns fe80::2 from fe80::1 to ff02::1:ff00:2")
}

// Spec: RFC 6583, section 7, REC, CACHE-R01
func TestCACHE_R01_ProbedRoutersAreBounded(t *testing.T) {
	b := newBench(t, NeighborConfig{MaxProbedRouters: 2})
	for i := range 100 {
		b.do(ProbeRouter{neighborAt(i)})
	}
	if got := b.n.Counters().ProbesRefused; got != 98 || b.n.probed.Len() != 2 {
		t.Errorf("%d refused, %d remembered", got, b.n.probed.Len())
	}
	b.after(time.Minute)
	if got := b.do(ProbeRouter{neighborAt(100)}); len(got) != 2 || b.n.probed.Len() != 1 {
		t.Errorf("%v, %d remembered", got, b.n.probed.Len())
	}
}

// Spec: RFC 7048, section 3, must, NUD-R11
// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R01
func TestNUD_R11_WhatIsToldOfARouterThatDoesNotAnswer(t *testing.T) {
	for _, keep := range []bool{false, true} {
		b := newBench(t, NeighborConfig{KeepUnreachable: keep})
		b.do(Heard{addr(peer), macA, true}, Used{addr(peer)})
		b.after(7 * time.Second)
		want := "removed fe80::2 failed"
		if keep {
			want = "changed fe80::2 unreachable 02:00:00:00:00:0a router"
		}
		if got := b.after(time.Second); len(got) == 0 || got[0] != want {
			t.Errorf("keep %v: %v", keep, got)
		}
	}
}

// Only silence is a failure.
func TestRemovalsThatAreNoFailures(t *testing.T) {
	for name, ev := range map[string]Event{
		"delete": Delete{addr(peer)}, "flush": Flush{}, "assigned here": Defend{Addr: addr(peer)},
		"gives way": Resolve{addr(other), addr(hostLL)}, "no source": Yield{addr(hostLL)},
	} {
		b := newBareBench(t, NeighborConfig{MaxEntries: 1})
		b.do(Defend{Addr: addr(hostLL)}, Resolve{addr(peer), addr(hostLL)})
		if got := b.do(ev); len(got) == 0 || got[0] != "removed fe80::2" {
			t.Errorf("%s: %v", name, got)
		}
	}
}
