package nd

import (
	"net/netip"
	"testing"
	"time"
)

const flood = 200_000 // messages

// floodBench has, of each kind that must not give way, an entry: "used", which
// is in DELAY for five more seconds; a router that packets use, one that none
// does; and a static one. One packet a microsecond is a fast flood.
type floodBench struct {
	*bench
	used, router, idle, static netip.Addr
	begin                      time.Time
	adverts, probes            int
	most                       int // entries
}

func newFloodBench(t *testing.T, cfg NeighborConfig) *floodBench {
	f := &floodBench{
		bench: newBench(t, cfg),
		used:  addr("fe80::100"), router: addr("fe80::101"), idle: addr("fe80::102"), static: addr("fe80::103"),
	}
	for _, a := range []netip.Addr{f.router, f.idle} {
		f.do(Heard{a, macA, true}, Resolve{a, addr(hostLL)}, advert(a.String(), "RSO", macA))
	}
	f.do(SetStatic{f.static, macA}, solicit(f.used.String(), hostLL, hostLL, macA))
	f.after(time.Minute) // the routers are STALE
	f.do(Used{f.used}, Used{f.router}, advert(f.router.String(), "RS", macA))
	f.begin = f.now
	return f
}

// step applies an event of the flood. Every hundredth time somebody asks for an
// address of the host, in both ways.
func (f *floodBench) step(i int, ev Event) {
	f.t.Helper()
	f.now = f.now.Add(time.Microsecond)
	f.count(f.n.Step(f.now, ev))
	if i%100 == 0 {
		before := f.adverts
		f.count(f.n.Step(f.now, solicit("::", "ff02::1:ff00:1", hostLL, LinkAddr{})))
		f.count(f.n.Step(f.now, solicit(f.used.String(), hostGlobal, hostGlobal, LinkAddr{})))
		if f.adverts != before+2 {
			f.t.Fatalf("after %d messages the host does not defend its addresses", i)
		}
	}
	f.most = max(f.most, len(f.n.cache.entries))
}

func (f *floodBench) count(actions []Action) {
	for _, a := range actions {
		s, ok := a.(*Send)
		if !ok {
			continue
		}
		switch m := s.Message.(type) {
		case *NeighborAdvert:
			f.adverts++
		case *NeighborSolicit:
			if m.Target == f.used && s.Dst == f.used {
				f.probes++
			}
		}
	}
}

// survived checks what must be as it was, and that the neighbor in use is
// probed when it is due.
func (f *floodBench) survived() {
	f.t.Helper()
	if f.state(f.used.String()) != "delay" || f.state(f.router.String()) != "reachable" ||
		f.state(f.idle.String()) != "stale" || f.state(f.static.String()) != "static" {
		f.t.Errorf("the flood changed %s, %s, %s or %s", f.state(f.used.String()), f.state(f.router.String()),
			f.state(f.idle.String()), f.state(f.static.String()))
	}
	c := f.n.cfg
	if f.most > c.MaxEntries || f.n.timers.Len() > c.MaxEntries+c.MaxDelayedAdverts || f.n.quiet.Len() > 2*c.MaxEntries {
		f.t.Errorf("%d entries, %d timers, %d quiet", f.most, f.n.timers.Len(), f.n.quiet.Len())
	}
	for f.probes == 0 {
		at, ok := f.n.Deadline()
		if !ok {
			f.t.Fatal("the neighbor in use is not probed")
		}
		f.now = at
		f.count(f.n.Advance(at))
	}
	if late := f.now.Sub(f.begin.Add(5 * time.Second)); late != 0 {
		f.t.Errorf("the neighbor in use is probed %v late", late)
	}
}

// own resolves a neighbor that this node wants, and reports whether it could.
func (f *floodBench) own() bool {
	f.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "SO", macA))
	return f.state(peer) == "reachable"
}

func solicitFrom(src netip.Addr, a LinkAddr) Solicited {
	return Solicited{Header{Src: src, Dst: SolicitedNode(addr(hostLL)), From: macB}, &NeighborSolicit{Target: addr(hostLL), SourceLinkAddr: a}}
}

// Spec: RFC 3756, section 4.3.2, DER, CACHE-R06
// Spec: RFC 6583, section 7.1, REC, CACHE-R02
// Spec: RFC 6583, section 7.1, REC, CACHE-R03
// Spec: derived, DER, CACHE-R05
func TestCACHE_R06_Floods(t *testing.T) {
	for name, ev := range map[string]func(i int) Event{
		"solicitations with an address": func(i int) Event { return solicitFrom(neighborAt(i), macB) },
		// All but the first few are not asked for their address.
		"solicitations without one": func(i int) Event { return solicitFrom(neighborAt(i), LinkAddr{}) },
		"routers":                   func(i int) Event { return Heard{neighborAt(i), macB, true} },
		"redirects":                 func(i int) Event { return Heard{Addr: neighborAt(i), LinkAddr: macB} },
		"advertisements of strangers": func(i int) Event {
			return Advertised{Header{Src: neighborAt(i), Dst: AllNodes}, &NeighborAdvert{Target: neighborAt(i), TargetLinkAddr: macB, Override: true}}
		},
		// These claim what the solicitations made of them.
		"solicitations and advertisements": func(i int) Event {
			if i%2 == 0 {
				return solicitFrom(neighborAt(i/2), macB)
			}
			return Advertised{Header{Src: neighborAt(i / 2), Dst: addr(hostLL)}, &NeighborAdvert{
				Target: neighborAt(i / 2), TargetLinkAddr: macB, Router: true, Solicited: true, Override: true,
			}}
		},
		"addresses of one neighbor": func(i int) Event {
			return solicitFrom(addr("fe80::200"), LinkAddr{2, 3, 4, byte(i >> 16), byte(i >> 8), byte(i)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFloodBench(t, NeighborConfig{MaxEntries: 1000, MaxIncomplete: 100})
			for i := range flood {
				f.step(i, ev(i))
			}
			if !f.own() {
				t.Error("a neighbor that is wanted is not resolved")
			}
			f.survived()
		})
	}
}

// Spec: RFC 6583, section 7.2, REC, CACHE-R04
// Spec: RFC 6583, section 7.1, REC, CACHE-R02
// Spec: RFC 6583, section 7, REC, CACHE-R01
// Spec: derived, DER, CACHE-R05
func TestCACHE_R04_ScanByOwnTraffic(t *testing.T) {
	f := newFloodBench(t, NeighborConfig{MaxEntries: 1000, MaxIncomplete: 100, MaxResolveRate: 1000})
	for i := range flood {
		f.step(i, Resolve{neighborAt(i), addr(hostLL)})
		if f.n.cache.incomplete() > 100 {
			t.Fatalf("%d are being resolved", f.n.cache.incomplete())
		}
	}
	// 0.2 s have room for the burst of 100 and 200 more.
	refused := f.n.Counters().ResolutionsRefused
	if begun := flood - refused; begun < 299 || begun > 301 {
		t.Errorf("%d resolutions have begun", begun)
	}
	f.survived()
	// A second later the rate is there again.
	if !f.own() {
		t.Error("a neighbor that is wanted is not resolved")
	}
}

// Neighbors that answer, and say that they are routers, leave room for others
// when nothing uses them any more.
//
// Spec: RFC 6583, section 7.1, REC, CACHE-R03
// Spec: RFC 6583, section 7, REC, CACHE-R01
func TestCACHE_R03_RoutersByTheirOwnWord(t *testing.T) {
	f := newFloodBench(t, NeighborConfig{MaxEntries: 1000, MaxIdleRouters: 10})
	for i := range 3000 {
		a := neighborAt(i).String()
		f.do(Resolve{neighborAt(i), addr(hostLL)}, advert(a, "RSO", macB), advert(a, "R", macA)) // STALE
		f.do(Used{f.idle}, advert(f.idle.String(), "RSO", macA), advert(f.idle.String(), "R", macB))
	}
	f.after(4 * time.Second)
	if got := len(f.n.cache.entries); got != 1000 {
		t.Errorf("%d entries", got)
	}
	if f.state(f.idle.String()) != "stale" {
		t.Errorf("the router that was used last is %s", f.state(f.idle.String()))
	}
	if !f.own() {
		t.Error("a neighbor that is wanted is not resolved")
	}
	// Those that do not answer any more are idle, too.
	for most, want := range map[int]string{1: "removed " + neighborAt(0).String(), 2: "unresolved fe80::2"} {
		b := newBench(t, NeighborConfig{MaxEntries: 2, MaxIdleRouters: most, KeepUnreachable: true})
		for i := range 2 {
			b.do(Heard{neighborAt(i), macA, true}, Used{neighborAt(i)})
		}
		b.after(10 * time.Second)
		b.expect(b.do(Resolve{addr(peer), addr(hostLL)})[:1], want)
	}
	// Below the bound none gives way.
	b := newBench(t, NeighborConfig{MaxEntries: 3, MaxIdleRouters: 3})
	for i := range 3 {
		b.do(Resolve{neighborAt(i), addr(hostLL)}, advert(neighborAt(i).String(), "RSO", macA))
	}
	b.after(time.Hour)
	b.expect(b.do(Resolve{addr(peer), addr(hostLL)}), "unresolved fe80::2")
}

// Router Advertisements of invented routers, with everything that they can
// have.
//
// Spec: RFC 6583, section 7, REC, CACHE-R01
// Spec: RFC 4861, section 6.3.4, MUST, RA-R05
func TestCACHE_R01_FloodOfRouters(t *testing.T) {
	cfg := RouterConfig{Preferences: true}
	r := NewRouters(cfg, &counted{})
	r.Step(epoch, Enable{Delayed: true})
	r.Step(epoch, lives(routerA, time.Hour))
	now := epoch
	live := map[string]int{} // announcements, as they are told
	for i := range flood {
		now = now.Add(time.Microsecond)
		p := netip.PrefixFrom(neighborAt(i<<8), 120)
		m := RouterAdvert{
			RouterLifetime: time.Duration(i%2) * time.Hour, CaptivePortal: "http://portal.example/",
			Prefixes: []PrefixInformation{{Prefix: p, OnLink: true, ValidLifetime: time.Hour}},
			Routes:   []RouteInformation{{Prefix: p, Lifetime: time.Hour, Preference: High}},
		}
		src := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 12: 1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		if i%3 == 0 {
			src = addr("fe80::ffff:ffff") // one that says something else each time
		}
		for _, a := range r.Step(now, Advert{Header: Header{Src: src, Dst: AllNodes}, RouterAdvert: &m}) {
			switch a.(type) {
			case Announced:
				live["announced"]++
			case Unannounced:
				live["announced"]--
			case AddRoute:
				live["routes"]++
			case RemoveRoute:
				live["routes"]--
			}
		}
		if len(r.routers) > 2*16 || r.timers.Len() > 2*16+3*256+2 || live["announced"] > 256 {
			t.Fatalf("%d routers, %d timers, %d prefixes announced", len(r.routers), r.timers.Len(), live["announced"])
		}
	}
	if rt := r.routers[addr(routerA)]; rt == nil || !rt.isDefault() {
		t.Error("the first router was driven out")
	}
}
