package nd

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// counted draws from a sequence that depends on nothing but how often it was
// asked.
type counted struct{ n uint64 }

func (c *counted) Between(lo, hi time.Duration) time.Duration {
	c.n = c.n*6364136223846793005 + 1442695040888963407
	return lo + time.Duration(c.n>>33)%(hi-lo+1)
}

func (*counted) Nonce() Nonce { return "nonce." }

// watcher checks what must hold for whatever Neighbors is told.
type watcher struct {
	t   *rapid.T
	n   *Neighbors
	cfg NeighborConfig
	now time.Time

	view      map[netip.Addr]Neighbor // as Changed and Removed tell it
	assigned  map[netip.Addr]Defend
	solicited map[netip.Addr]time.Time // when each neighbor was solicited last
	waiting   map[netip.Addr]time.Time // until when each resolution must end
	announced map[netip.Addr]time.Time // when each own address was announced to the routers
	probed    map[netip.Addr]time.Time // when each router was probed
	log       []string
}

// advance fires one deadline after the other, so that each action's time is
// known.
func (w *watcher) advance(now time.Time) {
	for {
		at, ok := w.n.Deadline()
		if !ok || at.After(now) {
			break
		}
		if at.Before(w.now) {
			w.t.Fatalf("deadline %v is before %v", at, w.now)
		}
		w.now = at
		w.watch(w.n.Advance(at))
	}
	w.now = now
	for a, end := range w.waiting {
		if end.Before(now) {
			w.t.Fatalf("the resolution of %v should have ended at %v, now %v", a, end, now)
		}
	}
}

func (w *watcher) step(ev Event) {
	switch ev := ev.(type) {
	case Resolve:
		if _, ok := w.waiting[ev.Addr]; !ok {
			end := time.Duration(max(w.cfg.MaxMulticastSolicit, 1)) * w.cfg.RetransTimer
			w.waiting[ev.Addr] = w.now.Add(end)
		}
	case Defend:
		w.assigned[ev.Addr] = ev
	case Yield:
		delete(w.assigned, ev.Addr)
		delete(w.announced, ev.Addr)
	}
	actions := w.n.Step(w.now, ev)
	w.watch(actions)
	if _, ok := ev.(ProbeRouter); ok {
		w.watchProbe(actions)
	}
	w.settle()
}

func (w *watcher) watchProbe(actions []Action) {
	for _, a := range actions {
		if s, ok := a.(*Send); ok {
			target := s.Message.(*NeighborSolicit).Target
			if last, ok := w.probed[target]; ok && w.now.Sub(last) < time.Minute {
				w.t.Fatalf("%v probed at %v and %v", target, last, w.now)
			}
			w.probed[target] = w.now
		}
	}
}

func (w *watcher) watch(actions []Action) {
	for _, a := range actions {
		w.log = append(w.log, describeAction(a))
		switch a := a.(type) {
		case *Send:
			w.watchSend(a)
		case Changed:
			w.view[a.Neighbor.Addr] = a.Neighbor
			if !a.Neighbor.Since.After(w.now) && (a.Neighbor.State == Incomplete) == a.Neighbor.LinkAddr.IsZero() {
				continue
			}
			w.t.Fatalf("at %v: %+v", w.now, a)
		case Removed:
			if _, ok := w.view[a.Addr]; !ok {
				w.t.Fatalf("%v was not there", a.Addr)
			}
			delete(w.view, a.Addr)
		case Resolved:
			if a.LinkAddr.IsZero() || a.LinkAddr != w.view[a.Addr].LinkAddr {
				w.t.Fatalf("resolved to %v, which is %+v", a.LinkAddr, w.view[a.Addr])
			}
			delete(w.waiting, a.Addr)
		case Unresolved:
			delete(w.waiting, a.Addr)
		}
	}
}

func (w *watcher) watchSend(s *Send) {
	own, ok := w.assigned[s.Src]
	if !ok {
		w.t.Fatalf("%v is not assigned", s.Src)
	}
	switch m := s.Message.(type) {
	case *NeighborSolicit:
		if own.Optimistic {
			w.t.Fatalf("a solicitation from the optimistic %v", s.Src)
		}
		if last, ok := w.solicited[m.Target]; ok && w.now.Sub(last) < w.cfg.RetransTimer {
			w.t.Fatalf("%v solicited at %v and %v", m.Target, last, w.now)
		}
		w.solicited[m.Target] = w.now
	case *NeighborAdvert:
		d, ok := w.assigned[m.Target]
		if !ok || m.Override && (d.Anycast || d.Optimistic) || m.Router || m.Solicited == s.Dst.IsMulticast() {
			w.t.Fatalf("advertisement %+v of %+v", m, d)
		}
		if s.Dst == AllRouters {
			if last, ok := w.announced[m.Target]; ok && w.now.Sub(last) < w.cfg.RetransTimer {
				w.t.Fatalf("%v announced at %v and %v", m.Target, last, w.now)
			}
			w.announced[m.Target] = w.now
		}
	default:
		w.t.Fatalf("a host sends no %T", m)
	}
	if s.To.IsZero() != s.Dst.IsMulticast() {
		w.t.Fatalf("%v by way of %v", s.Dst, s.To)
	}
	h, b := Header{Src: s.Src, Dst: s.Dst}, Append(nil, s.Src, s.Dst, s.Message)
	if _, err := Parse(h, 255, b); err != nil {
		w.t.Fatal(err)
	}
	if ipv6Header := 40; ipv6Header+len(b) > minLinkMTU {
		w.t.Fatalf("a message of %d octets", len(b))
	}
}

// settle checks the machine between two events.
func (w *watcher) settle() {
	entries := w.n.Entries()
	var incomplete int
	for _, nb := range entries {
		if nb.State == Incomplete {
			incomplete++
		}
		if _, ok := w.assigned[nb.Addr]; ok {
			w.t.Fatalf("entry of the own %v", nb.Addr)
		}
		if d := cmp.Diff(w.view[nb.Addr], nb, cmpAddrs); d != "" {
			w.t.Fatalf("(-told +listed)\n%s", d)
		}
	}
	if len(w.view) != len(entries) || len(entries) > w.cfg.MaxEntries || incomplete > w.cfg.MaxIncomplete {
		w.t.Fatalf("%d told, %d listed, %d incomplete", len(w.view), len(entries), incomplete)
	}
	if at, ok := w.n.Deadline(); ok && !at.After(w.now) {
		w.t.Fatalf("deadline %v at %v", at, w.now)
	}
	for a := range w.waiting {
		if nb, ok := w.n.Lookup(a); !ok || nb.State != Incomplete {
			w.t.Fatalf("somebody waits for %v, which is %+v", a, nb)
		}
	}
	for r := range w.n.cache.ranks {
		for place := w.n.cache.ranks[r].Front(); place != nil; place = place.Next() {
			e := place.Value.(*entry)
			if w.n.cache.entries[e.Addr.As16()] != e || e.currentRank() != rank(r) || e.rank != rank(r) || e.place != place {
				w.t.Fatalf("rank %d has %+v", r, e)
			}
		}
	}
	if most := w.cfg.MaxEntries + w.cfg.MaxDelayedAdverts + len(w.assigned); w.n.timers.Len() > most || w.n.quiet.Len() > 2*w.cfg.MaxEntries || w.n.probed.Len() > w.cfg.MaxProbedRouters {
		w.t.Fatalf("%d timers, %d quiet, %d probed", w.n.timers.Len(), w.n.quiet.Len(), w.n.probed.Len())
	}
}

func drawConfig(t *rapid.T) NeighborConfig {
	small := func(name string) int { return rapid.IntRange(1, 4).Draw(t, name) }
	seconds := func(name string) time.Duration {
		return time.Duration(rapid.IntRange(1, 12).Draw(t, name)) * time.Second / 2
	}
	return NeighborConfig{
		LinkAddr:            link(hostMAC),
		MaxMulticastSolicit: small("multicast"), MaxUnicastSolicit: small("unicast"),
		RetransTimer: seconds("retrans"), DelayFirstProbeTime: seconds("delay"),
		BaseReachableTime: 2 * seconds("reachable"),
		KeepUnreachable:   rapid.Bool().Draw(t, "keep"),
		MaxEntries:        small("entries"), MaxIncomplete: small("incomplete"),
		MaxResolveRate: small("rate"), MaxDelayedAdverts: small("delayed"),
		MaxNeighborAdvertisement: small("adverts"), MaxProbedRouters: small("probed"), MaxIdleRouters: small("idle routers"),
	}
}

// drawEvent draws from few addresses, so that events meet.
func drawEvent(t *rapid.T) Event {
	neighbor := rapid.SampledFrom([]string{"fe80::2", "fe80::3", "fe80::4", "2001:db8::5", "2001:db8::6", hostLL})
	own := rapid.SampledFrom([]string{hostLL, hostGlobal, "2001:db8::a"})
	mac := rapid.SampledFrom([]LinkAddr{{}, macA, macB, macA, macB, link(hostMAC)})
	peer := func() string { return neighbor.Draw(t, "neighbor") }
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	switch rapid.IntRange(0, 23).Draw(t, "event") {
	default:
		return Resolve{addr(peer()), addr(own.Draw(t, "src"))}
	case 5, 6:
		return Used{addr(peer())}
	case 7:
		return Confirm{addr(peer())}
	case 8, 9, 10:
		src := rapid.SampledFrom([]string{peer(), "::"}).Draw(t, "src")
		a := mac.Draw(t, "sllao")
		if src == "::" {
			a = LinkAddr{}
		}
		return solicit(src, "ff02::1:ff00:1", own.Draw(t, "target"), a)
	case 11, 12, 13:
		flags := ""
		for _, f := range []string{"R", "S", "O"} {
			if flag(f) {
				flags += f
			}
		}
		return advert(peer(), flags, mac.Draw(t, "tllao"))
	case 14, 15:
		return Defend{Addr: addr(own.Draw(t, "own")), Anycast: rapid.IntRange(0, 3).Draw(t, "anycast") == 0, Optimistic: rapid.IntRange(0, 3).Draw(t, "optimistic") == 0}
	case 16:
		return Yield{addr(own.Draw(t, "own"))}
	case 17:
		return SetStatic{addr(peer()), mac.Draw(t, "mac")}
	case 18:
		return Delete{addr(peer())}
	case 20:
		return Announce{addr(own.Draw(t, "own")), rapid.SampledFrom([]netip.Addr{AllNodes, AllRouters, AllRouters}).Draw(t, "dst"), flag("override")}
	case 21:
		return SetLinkAddr{mac.Draw(t, "mac")}
	case 22, 23:
		return ProbeRouter{addr(peer())}
	case 19:
		if flag("timers") {
			return SetTimers{ReachableTime: time.Duration(rapid.IntRange(0, 9).Draw(t, "reachable")) * time.Second}
		}
		return Flush{Static: flag("static")}
	}
}

// Whatever happens: a neighbor is solicited once in RetransTimer at most, and
// only from an address that may be; no router is probed, and no address
// announced, more often than allowed; nothing is sent that is too long for a
// link, or that only routers send; who waits is told the end in time; nobody
// is told something else than what Entries lists; bounds hold; no deadline
// stays behind; and a machine that is called late does the same.
//
// Spec: RFC 4861, section 7.3.3, MUST NOT, NUD-R06
// Spec: RFC 4861, section 7.2.2, MUST, NDS-R08
// Spec: RFC 9131, section 6.1.2, MUST, UNA-R02
// Spec: RFC 4191, section 3.5, MUST, DRS-R06
// Spec: RFC 4861, section 9, MUST NOT, NDV-R12
// Spec: RFC 4861, section 8.3, MUST NOT, RDR-R06
func TestNeighborsInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		w := &watcher{
			t: t, n: NewNeighbors(cfg, &counted{}), cfg: cfg, now: epoch,
			view:      make(map[netip.Addr]Neighbor),
			assigned:  make(map[netip.Addr]Defend),
			solicited: make(map[netip.Addr]time.Time),
			waiting:   make(map[netip.Addr]time.Time),
			announced: make(map[netip.Addr]time.Time),
			probed:    make(map[netip.Addr]time.Time),
		}
		late := NewNeighbors(cfg, &counted{})
		var lateLog []Action
		for range rapid.IntRange(0, 80).Draw(t, "events") {
			pause := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, time.Minute}).Draw(t, "pause")
			w.advance(w.now.Add(pause))
			ev := drawEvent(t)
			w.step(ev)
			lateLog = append(lateLog, late.Step(w.now, ev)...)
		}
		w.advance(w.now.Add(time.Hour))
		lateLog = append(lateLog, late.Advance(w.now)...)
		w.settle()
		if len(w.waiting) > 0 {
			t.Fatalf("still waiting: %v", w.waiting)
		}

		if d := cmp.Diff(w.log, describe(lateLog), cmpEmpty); d != "" {
			t.Fatalf("(-punctual +late)\n%s", d)
		}
	})
}
