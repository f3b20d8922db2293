package nd

import (
	"testing"
	"time"
)

// When each solicitation, and NoRouters, comes out until nothing is due or d is
// over.
func (b *routersBench) schedule(d time.Duration) (solicits []time.Duration, noRouters time.Duration) {
	b.t.Helper()
	begin := b.now
	for at, ok := b.r.Deadline(); ok && at.Sub(begin) <= d; at, ok = b.r.Deadline() {
		for _, line := range b.after(at.Sub(b.now)) {
			if line == "no routers" {
				noRouters = at.Sub(begin)
			} else {
				solicits = append(solicits, at.Sub(begin))
			}
		}
	}
	return solicits, noRouters
}

// Spec: RFC 4861, section 6.3.7, SHOULD, RS-R01
// Spec: RFC 4861, section 6.3.7, SHOULD, RS-R04
// Spec: RFC 4861, section 6.3.7, must, RS-R06
func TestRS_R01_ThreeSolicitationsFourSecondsApart(t *testing.T) {
	b := newOffBench(t, RouterConfig{})
	b.expect(b.do(Enable{}))
	solicits, none := b.schedule(time.Hour)
	at := 500 * time.Millisecond // the middle of the random delay
	for i, want := range []time.Duration{at, at + 4*time.Second, at + 8*time.Second} {
		if len(solicits) != 3 || solicits[i] != want {
			t.Fatalf("solicited at %v", solicits)
		}
	}
	if none != at+9*time.Second {
		t.Errorf("no routers at %v", none)
	}
	if got := b.r.Counters().Solicits; got != 3 {
		t.Errorf("counted %d", got)
	}
}

// asked records what a Random is asked.
type asked struct{ lo, hi []time.Duration }

func (a *asked) Between(lo, hi time.Duration) time.Duration {
	a.lo, a.hi = append(a.lo, lo), append(a.hi, hi)
	return hi
}
func (*asked) Nonce() Nonce { return "nonce." }

// Spec: RFC 4861, section 6.3.7, SHOULD, RS-R04
// Spec: RFC 4861, section 6.3.7, may, DAD-R21
func TestRS_R04_RandomDelayUnlessDADHasDelayed(t *testing.T) {
	random := &asked{}
	r := NewRouters(RouterConfig{}, random)
	if out := r.Step(epoch, Enable{}); len(out) != 0 {
		t.Errorf("at once: %v", out)
	}
	if len(random.lo) != 1 || random.lo[0] != 0 || random.hi[0] != time.Second {
		t.Errorf("drew from %v to %v", random.lo, random.hi)
	}
	b := newOffBench(t, RouterConfig{})
	b.expect(b.do(Enable{Delayed: true}), "rs from ::")
}

// A second start of the interface, even soon after, keeps the distance; after
// Disable the interface is a new one.
//
// Spec: RFC 4861, section 6.3.7, SHOULD, RS-R01
func TestRS_R01_EnableAgain(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	b.after(time.Second)
	b.expect(b.do(lives(routerA, time.Hour)), "router fe80::a", "add ::/0 via fe80::a by fe80::a for 1h0m0s")
	b.expect(b.do(Enable{Delayed: true}))
	solicits, none := b.schedule(time.Minute)
	if len(solicits) != 3 || solicits[0] != 3*time.Second || none != 12*time.Second {
		t.Errorf("solicited at %v, no routers at %v", solicits, none)
	}
	b.do(Disable{})
	b.expect(b.do(Enable{Delayed: true}), "rs from ::")
}

// Spec: RFC 4861, section 6.3.7, must, RS-R02
// Spec: RFC 4861, section 6.3.7, SHOULD, RS-R03
// Spec: RFC 4861, section 4.1, MUST NOT, RS-R03
// Spec: RFC 4429, section 3.2, MUST NOT, ODAD-R05
func TestRS_R02_Source(t *testing.T) {
	mac := link(hostMAC)
	for _, test := range []struct {
		source SetSource
		want   string
	}{
		{SetSource{}, "rs from ::"},
		{SetSource{Addr: addr("::"), SourceLinkAddr: mac}, "rs from ::"},
		{SetSource{Addr: addr("ff02::1"), SourceLinkAddr: mac}, "rs from ::"},
		{SetSource{Addr: addr(hostLL), SourceLinkAddr: mac}, "rs from fe80::1 sllao " + hostMAC},
		{SetSource{Addr: addr(hostLL)}, "rs from fe80::1"}, // optimistic
	} {
		b := newRoutersBench(t, RouterConfig{})
		b.expect(b.do(test.source))
		b.expect(b.after(4*time.Second), test.want)
	}
}

// An address of before Disable may be tentative after it.
//
// Spec: RFC 4861, section 6.3.7, must, RS-R02
func TestRS_R02_DisableForgetsTheSource(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	b.do(SetSource{Addr: addr(hostLL), SourceLinkAddr: link(hostMAC)}, Disable{})
	b.do(SetSource{Addr: addr(hostLL), SourceLinkAddr: link(hostMAC)})
	b.expect(b.do(Enable{Delayed: true}), "rs from ::")
}

// Spec: RFC 4861, section 6.3.7, MUST, RS-R05
func TestRS_R05_StopAfterAnAnswer(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	b.do(lives(routerA, time.Hour))
	if solicits, none := b.schedule(time.Minute); solicits != nil || none != 0 {
		t.Errorf("solicited at %v, no routers at %v", solicits, none)
	}

	b = newRoutersBench(t, RouterConfig{}) // after the last one, too
	b.after(8 * time.Second)
	b.do(lives(routerA, time.Hour))
	b.expect(b.after(time.Minute))
}

// Spec: RFC 4861, section 6.3.7, SHOULD, RS-R05
func TestRS_R05_SolicitOnceThoughARouterIsKnown(t *testing.T) {
	b := newOffBench(t, RouterConfig{})
	b.do(Enable{}, lives(routerA, time.Hour))
	b.expect(b.after(500*time.Millisecond), "rs from ::")
	b.do(lives(routerA, time.Hour))
	b.expect(b.after(time.Minute))
}

// An advertisement with lifetime 0 is not the answer that ends soliciting, but
// shows that the link has a router that advertises.
//
// Spec: RFC 4861, section 6.3.7, must, RS-R06
func TestRS_R06_AnyAdvertisementIsHeard(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	b.do(lives(routerA, 0))
	if solicits, none := b.schedule(time.Minute); len(solicits) != 2 || none != 0 {
		t.Errorf("solicited at %v, no routers at %v", solicits, none)
	}

	b = newRoutersBench(t, RouterConfig{})
	b.after(8 * time.Second)
	b.do(lives(routerA, 0)) // while it waits after the last
	b.expect(b.after(time.Minute))
}

// Spec: RFC 4861, section 6.3.7, must, RS-R06
func TestRS_R06_RoutersMayComeLater(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	b.schedule(time.Minute)
	b.expect(b.do(lives(routerA, time.Hour)), "router fe80::a", "add ::/0 via fe80::a by fe80::a for 1h0m0s")
}

// Spec: RFC 7559, section 2, MUST, RS-R07
func TestRS_R07_BackOffWithoutEnd(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{Backoff: true})
	solicits, none := b.schedule(24 * time.Hour)
	last, pause := time.Duration(0), 4*time.Second
	for i, at := range solicits {
		if at-last != pause {
			t.Fatalf("pause %d is %v, not %v", i, at-last, pause)
		}
		last, pause = at, min(2*pause, time.Hour)
	}
	if len(solicits) < 24 {
		t.Errorf("%d solicitations in a day", len(solicits))
	}
	if none != 13*time.Second {
		t.Errorf("no routers at %v", none)
	}
}

// Spec: RFC 7559, section 2, MUST, RS-R07
func TestRS_R07_RandomTenth(t *testing.T) {
	random := &asked{}
	r := NewRouters(RouterConfig{Backoff: true}, random)
	r.Step(epoch, Enable{Delayed: true})
	for range 12 {
		at, _ := r.Deadline()
		r.Advance(at)
	}
	prev := time.Duration(0)
	for i := range random.lo {
		lo, hi := 19*prev/10, 21*prev/10
		switch {
		case i == 0:
			lo, hi = 3600*time.Millisecond, 4400*time.Millisecond
		case prev > time.Hour && random.lo[i] == 54*time.Minute: // drawn again, since it was too long
			lo, hi = 54*time.Minute, 66*time.Minute
		}
		if d := random.lo[i] - lo; d < -1 || d > 1 {
			t.Errorf("draw %d from %v, not %v", i, random.lo[i], lo)
		}
		if d := random.hi[i] - hi; d < -1 || d > 1 {
			t.Errorf("draw %d to %v, not %v", i, random.hi[i], hi)
		}
		prev = random.hi[i]
	}
	if prev != 66*time.Minute {
		t.Errorf("at last %v", prev)
	}
}

// Spec: RFC 7559, section 2.1, MUST, RS-R08
func TestRS_R08_OnlyADefaultRouteStopsIt(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{Backoff: true, Preferences: true})
	b.do(lives(routerA, 0), announces(routerA, pio("2001:db8::/64", "LA", time.Hour)))
	none := ra(routerA, RouterAdvert{RouterLifetime: time.Hour, Routes: []RouteInformation{rio("::/0", Medium, 0)}})
	b.do(none)
	if solicits, _ := b.schedule(time.Minute); len(solicits) != 4 {
		t.Errorf("solicited at %v", solicits)
	}
	b.do(lives(routerA, 18*time.Hour))
	for _, line := range b.after(17 * time.Hour) {
		if line == "rs from ::" {
			t.Error("solicited after a default route")
		}
	}
}
