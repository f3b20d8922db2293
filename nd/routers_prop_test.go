package nd

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// heldRoute identifies what AddRoute and RemoveRoute speak of.
type heldRoute struct {
	router, nextHop netip.Addr
	prefix          netip.Prefix
}

// holdModel is what Routers should hold: a map from each route to its end, by
// the letter of RFC 4861, section 6.3.4, and RFC 4191, section 3.1.
type holdModel map[heldRoute]time.Time

func (m holdModel) set(k heldRoute, now time.Time, lifetime time.Duration) {
	if lifetime == 0 {
		delete(m, k)
		return
	}
	m[k] = time.Time{} // never
	if lifetime != Infinity {
		m[k] = now.Add(lifetime)
	}
}

func (m holdModel) advert(now time.Time, src netip.Addr, a *RouterAdvert) {
	through := func(p netip.Prefix) heldRoute { return heldRoute{src, src, p} }
	m.set(through(netip.MustParsePrefix("::/0")), now, a.RouterLifetime)
	for _, r := range a.Routes {
		m.set(through(r.Prefix), now, r.Lifetime)
	}
	for _, p := range a.Prefixes {
		if p.OnLink {
			m.set(heldRoute{router: src, prefix: p.Prefix}, now, p.ValidLifetime)
		}
	}
}

func (m holdModel) expire(now time.Time) {
	for k, end := range m {
		if !end.IsZero() && !end.After(now) {
			delete(m, k)
		}
	}
}

func (m holdModel) remove(gone func(heldRoute) bool) {
	for k := range m {
		if gone(k) {
			delete(m, k)
		}
	}
}

// follow keeps what the actions say is held, and checks that they are no
// nonsense.
func follow(t *rapid.T, held map[heldRoute]bool, defaults map[netip.Addr]bool, actions []RouterAction) {
	for _, a := range actions {
		switch a := a.(type) {
		case AddRoute:
			if a.Lifetime <= 0 {
				t.Fatalf("%+v", a)
			}
			held[heldRoute{a.Router, a.NextHop, a.Prefix}] = true
		case RemoveRoute:
			k := heldRoute{a.Router, a.NextHop, a.Prefix}
			if !held[k] {
				t.Fatalf("removed %+v, which was not there", k)
			}
			delete(held, k)
		case RouterAdded:
			if defaults[a.Router] {
				t.Fatalf("%v added twice", a.Router)
			}
			defaults[a.Router] = true
		case RouterRemoved:
			if !defaults[a.Router] {
				t.Fatalf("%v removed twice", a.Router)
			}
			delete(defaults, a.Router)
		}
	}
}

var drawLifetime = rapid.SampledFrom([]time.Duration{0, time.Second, 2 * time.Second, 5 * time.Second, time.Minute, Infinity})

// drawAdvert draws an advertisement of few prefixes, so that they meet.
func drawAdvert(t *rapid.T) *RouterAdvert {
	prefixes := rapid.SampledFrom([]netip.Prefix{
		netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:2::/64"), netip.MustParsePrefix("::/0"),
	})
	m := &RouterAdvert{}
	if lifetime := drawLifetime.Draw(t, "router lifetime"); lifetime != Infinity {
		m.RouterLifetime = lifetime
	}
	for range rapid.IntRange(0, 3).Draw(t, "prefixes") {
		m.Prefixes = append(m.Prefixes, PrefixInformation{
			Prefix: prefixes.Draw(t, "prefix"), OnLink: rapid.Bool().Draw(t, "L"), Autonomous: rapid.Bool().Draw(t, "A"),
			ValidLifetime: drawLifetime.Draw(t, "valid"), PreferredLifetime: drawLifetime.Draw(t, "preferred"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "routes") {
		m.Routes = append(m.Routes, RouteInformation{Prefix: prefixes.Draw(t, "route"), Lifetime: drawLifetime.Draw(t, "lifetime")})
	}
	for range rapid.IntRange(0, 1).Draw(t, "servers") {
		m.DNSServers = append(m.DNSServers, RecursiveDNS{Servers: []netip.Addr{addr("2001:db8::53")}, Lifetime: drawLifetime.Draw(t, "dns")})
	}
	return m
}

// Whatever several routers say, what is held is what a map would hold that
// forgets each hold at its end.
//
// Spec: RFC 4861, section 6.3.4, MUST NOT, RA-R03
// Spec: RFC 8028, section 3.1, SHOULD, RA-R17
func TestRouterHoldsAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRouters(RouterConfig{Preferences: true}, &counted{})
		now := epoch
		model, held, defaults := holdModel{}, map[heldRoute]bool{}, map[netip.Addr]bool{}
		follow(t, held, defaults, r.Step(now, Enable{}))
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			src := addr(fmt.Sprintf("fe80::%d", rapid.IntRange(1, 3).Draw(t, "router")))
			model.expire(now)
			var ev RouterEvent
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				ev = NotRouter{src}
				model.remove(func(k heldRoute) bool { return k.nextHop == src })
			case 1:
				ev = Forget{src}
				model.remove(func(k heldRoute) bool { return k.router == src })
			case 2:
				follow(t, held, defaults, r.Step(now, Disable{}))
				clear(model)
				ev = Enable{}
			default:
				m := drawAdvert(t)
				model.advert(now, src, m)
				ev = Advert{Header: Header{Src: src, Dst: AllNodes}, RouterAdvert: m}
			}
			follow(t, held, defaults, r.Step(now, ev))
			compareHolds(t, r, model, held, defaults)
		}
		for at, ok := r.Deadline(); ok && at.Before(now.Add(time.Hour)); at, ok = r.Deadline() {
			follow(t, held, defaults, r.Advance(at))
			model.expire(at)
			compareHolds(t, r, model, held, defaults)
		}
	})
}

// compareHolds compares the model with what was told and with what is listed.
func compareHolds(t *rapid.T, r *Routers, model holdModel, held map[heldRoute]bool, defaults map[netip.Addr]bool) {
	told := map[heldRoute]bool{}
	onList := map[netip.Addr]bool{}
	for k := range model {
		told[k] = true
		if k.prefix.Bits() == 0 && k.nextHop.IsValid() {
			onList[k.router] = true
		}
	}
	if d := cmp.Diff(told, held, cmpAddrs); d != "" {
		t.Fatalf("(-model +told)\n%s", d)
	}
	if d := cmp.Diff(onList, defaults, cmpAddrs); d != "" {
		t.Fatalf("default routers (-model +told)\n%s", d)
	}
	listed := holdModel{}
	for _, i := range r.Routers() {
		if i.Default {
			listed[heldRoute{i.Addr, i.Addr, netip.MustParsePrefix("::/0")}] = i.Expires
		}
		for _, p := range i.Prefixes {
			if p.OnLink {
				listed[heldRoute{router: i.Addr, prefix: p.Prefix}] = p.OnLinkExpires
			}
		}
		for _, p := range i.Routes {
			listed[heldRoute{i.Addr, i.Addr, p.Prefix}] = p.Expires
		}
	}
	if d := cmp.Diff(model, listed, cmpAddrs); d != "" {
		t.Fatalf("(-model +listed)\n%s", d)
	}
}

// A late caller gets what a punctual one does.
func TestRoutersLateAndPunctual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backoff := rapid.Bool().Draw(t, "backoff")
		late := NewRouters(RouterConfig{Preferences: true, Backoff: backoff}, &counted{})
		punctual := NewRouters(RouterConfig{Preferences: true, Backoff: backoff}, &counted{})
		now := epoch
		both := func(ev RouterEvent) {
			var want []RouterAction
			for at, ok := punctual.Deadline(); ok && !at.After(now); at, ok = punctual.Deadline() {
				want = append(want, punctual.Advance(at)...)
			}
			want = append(want, punctual.Step(now, ev)...)
			if d := cmp.Diff(want, late.Step(now, ev), cmpAddrs); d != "" {
				t.Fatalf("(-punctual +late)\n%s", d)
			}
		}
		both(Enable{})
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
			src := addr(fmt.Sprintf("fe80::%d", rapid.IntRange(1, 3).Draw(t, "router")))
			both(Advert{Header: Header{Src: src, Dst: AllNodes}, RouterAdvert: drawAdvert(t)})
		}
	})
}

// An earlier time counts as the latest seen.
func TestRoutersTimeDoesNotGoBack(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxRtrSolicitations: 1})
	b.after(time.Minute)
	b.now = epoch
	b.do(lives(routerA, time.Minute))
	if got := b.r.Routers()[0].Expires; !got.Equal(epoch.Add(2 * time.Minute)) {
		t.Errorf("ends at %v", got)
	}
}

// Spec: RFC 6583, section 7, REC, CACHE-R01
func TestRoutersStayBoundedUnderFloods(t *testing.T) {
	cfg := RouterConfig{
		Preferences: true, MaxRouters: 4, MaxPrefixesPerRouter: 3, MaxPrefixes: 9,
		MaxRoutesPerRouter: 3, MaxRoutes: 9, MaxDNS: 2, MaxUnknown: 64,
	}
	r := NewRouters(cfg, &counted{})
	r.Step(epoch, Enable{Delayed: true})
	r.Step(epoch, lives(routerA, time.Hour)) // the one that is not to be driven out
	for i := range 3000 {
		m := RouterAdvert{Unknown: []RawOption{{Type: 200, Body: make([]byte, 62)}, {Type: 201, Body: make([]byte, 62)}}}
		if i%2 == 0 {
			m.RouterLifetime = 9 * time.Hour
		}
		for j := range 20 {
			p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 13: byte(i >> 8), 14: byte(i), 15: byte(j)}), 128)
			// The hold outlives the announcement.
			m.Prefixes = append(m.Prefixes, PrefixInformation{Prefix: p, OnLink: true, ValidLifetime: 2 * time.Hour}, PrefixInformation{Prefix: p, ValidLifetime: time.Second})
			m.Routes = append(m.Routes, RouteInformation{Prefix: p, Lifetime: time.Hour})
			m.DNSServers = append(m.DNSServers, RecursiveDNS{Servers: []netip.Addr{p.Addr()}, Lifetime: time.Hour})
			m.DNSSearch = append(m.DNSSearch, DNSSearchList{Domains: []string{fmt.Sprint("d", i, j)}, Lifetime: time.Hour})
		}
		src := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)})
		if i%3 == 0 {
			src = addr("fe80::ffff") // one that says something else each time
		}
		now := epoch.Add(time.Duration(i) * time.Second)
		r.Step(now, Advert{Header: Header{Src: src, Dst: AllNodes}, RouterAdvert: &m})

		var defaults, routes, prefixes, known int
		for _, i := range r.Routers() {
			known++
			if i.Default {
				defaults++
			}
			routes += len(i.Routes)
			prefixes += len(i.Prefixes)
			if len(i.Routes) > 3 || len(i.Prefixes) > 6 || len(i.DNSServers) > 2 || len(i.DNSSearch) > 2 || len(i.Unknown) > 1 {
				t.Fatalf("%+v", i)
			}
		}
		if defaults > 4 || known > 8 || routes > 9 || prefixes > 18 || r.timers.Len() > 8+9+18+8*4+2 {
			t.Fatalf("%d default routers of %d, %d routes, %d prefixes, %d timers", defaults, known, routes, prefixes, r.timers.Len())
		}
	}
	if !slices.ContainsFunc(r.Routers(), func(i RouterInfo) bool { return i.Addr == addr(routerA) && i.Default }) {
		t.Error("the first router was driven out")
	}
	c := r.Counters()
	if c.RoutersRefused == 0 || c.PrefixesRefused == 0 || c.RoutesRefused == 0 || c.DNSRefused == 0 || c.UnknownRefused == 0 || c.Adverts != 3001 {
		t.Errorf("%+v", c)
	}
	// Nothing is left behind.
	r.Step(epoch.Add(time.Hour), Disable{})
	if r.timers.Len() != 0 || r.defaults != 0 || r.held != (tally{}) || len(r.routers) != 0 {
		t.Errorf("%d timers, %d defaults, %v", r.timers.Len(), r.defaults, r.held)
	}
	r.Step(epoch.Add(time.Hour), lives(routerA, time.Hour))
	if got := r.Counters().AdvertsIgnored; got != 1 {
		t.Errorf("%d ignored", got)
	}
}
