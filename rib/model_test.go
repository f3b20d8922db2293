package rib_test

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tapstack/tapstack/rib"
)

// model is a Table that a reader can check by eye: a list of who holds what,
// searched from end to end.
type model struct {
	cfg      rib.Config
	now      time.Time
	holds    []modelHold
	assigned []rib.Assign // in order of assignment

	order     []rib.Key // of the routes, as they came into being
	reach     map[netip.Addr]modelReach
	turns     int
	announced []rib.Announce
	redirects []modelRedirect // the oldest first
}

type modelReach struct {
	state rib.Reachability
	turn  int
}

type modelRedirect struct {
	rib.Redirect
	expires time.Time
}

type modelHold struct {
	key        rib.Key
	owner      rib.Owner
	preference rib.Preference
	expires    time.Time // zero: never
}

func (m *model) step(now time.Time, ev rib.Event) {
	m.advance(now)
	switch ev := ev.(type) {
	case rib.Assign:
		m.drop(func(h modelHold) bool { return h.owner == byAddress(ev.Addr) })
		m.hold(rib.Key{Prefix: netip.PrefixFrom(ev.Addr, 128), Origin: rib.Local}, byAddress(ev.Addr), 0, 0)
		if linkLocalPrefix.Contains(ev.Addr) {
			m.hold(onLink(linkLocalPrefix), byAddress(ev.Addr), 0, 0)
		}
		if ev.OnLink.IsValid() {
			m.hold(onLink(ev.OnLink), byAddress(ev.Addr), 0, 0)
		}
		if i := m.address(ev.Addr); i >= 0 {
			m.assigned[i] = ev
		} else {
			m.assigned = append(m.assigned, ev)
		}
	case rib.Withdraw:
		m.drop(func(h modelHold) bool { return h.owner == byAddress(ev.Addr) })
		if i := m.address(ev.Addr); i >= 0 {
			m.assigned = slices.Delete(m.assigned, i, i+1)
		}
	case rib.Add:
		if m.full(ev.Key) {
			return
		}
		m.drop(func(h modelHold) bool { return h.key == ev.Key && h.owner == ev.Owner })
		m.hold(ev.Key, ev.Owner, ev.Preference, ev.Lifetime)
	case rib.Remove:
		m.drop(func(h modelHold) bool { return h.key == ev.Key && h.owner == ev.Owner })
	case rib.Reach:
		m.noteReach(ev)
	case rib.Select:
		if r := m.reach[ev.Router]; m.cfg.TypeA && m.isGateway(ev.Router) && r.state != rib.ReachProbable {
			m.turns++
			m.reach[ev.Router] = modelReach{r.state, m.turns}
		}
	case rib.Announce:
		if !m.cfg.TypeA && !slices.Contains(m.announced, ev) && len(m.announced) < m.cfg.MaxAnnouncements {
			m.announced = append(m.announced, ev)
		}
	case rib.Renounce:
		m.announced = slices.DeleteFunc(m.announced, func(a rib.Announce) bool { return a == rib.Announce(ev) })
	case rib.Redirect:
		if rib.ValidateRedirect(ev) == nil && m.reach[ev.Target].state != rib.ReachFailed {
			m.redirect(ev)
		}
	case rib.Unredirect:
		m.unredirect(ev.Target)
	case rib.FlushRedirects:
		m.redirects = nil
	}
	m.tidy()
}

func (m *model) noteReach(ev rib.Reach) {
	if !m.isGateway(ev.Addr) {
		return
	}
	r := modelReach{ev.State, m.reach[ev.Addr].turn}
	switch ev.State {
	case rib.ReachProbable:
		r.turn = 0
	case rib.ReachFailed:
		m.turns++
		r.turn = m.turns
		m.unredirect(ev.Addr)
	}
	m.reach[ev.Addr] = r
}

func (m *model) redirect(ev rib.Redirect) {
	m.redirects = slices.DeleteFunc(m.redirects, func(r modelRedirect) bool { return r.Src == ev.Src && r.Dst == ev.Dst })
	if len(m.redirects) == m.cfg.MaxRedirects {
		m.redirects = m.redirects[1:]
	}
	m.redirects = append(m.redirects, modelRedirect{ev, m.now.Add(m.cfg.RedirectLifetime)})
}

func (m *model) unredirect(target netip.Addr) {
	m.redirects = slices.DeleteFunc(m.redirects, func(r modelRedirect) bool { return r.Target == target })
}

func (m *model) isGateway(a netip.Addr) bool {
	return slices.ContainsFunc(m.holds, func(h modelHold) bool { return h.key.NextHop == a }) ||
		slices.ContainsFunc(m.redirects, func(r modelRedirect) bool { return r.Target == a })
}

// tidy numbers the routes that are new, and forgets what is gone.
func (m *model) tidy() {
	has := func(k rib.Key) bool {
		return slices.ContainsFunc(m.holds, func(h modelHold) bool { return h.key == k })
	}
	m.order = slices.DeleteFunc(m.order, func(k rib.Key) bool { return !has(k) })
	for _, h := range m.holds {
		if !slices.Contains(m.order, h.key) {
			m.order = append(m.order, h.key)
		}
	}
	for a := range m.reach {
		if !m.isGateway(a) {
			delete(m.reach, a)
		}
	}
}

func (m *model) full(k rib.Key) bool {
	n := 0
	for _, r := range m.routes() {
		if r.Key == k {
			return false
		}
		if r.Origin != rib.Local {
			n++
		}
	}
	return n >= m.cfg.MaxRoutes
}

func (m *model) advance(now time.Time) {
	m.now = now
	m.drop(func(h modelHold) bool { return !h.expires.IsZero() && !h.expires.After(now) })
	m.redirects = slices.DeleteFunc(m.redirects, func(r modelRedirect) bool { return !r.expires.After(now) })
	m.tidy()
}

func (m *model) hold(k rib.Key, o rib.Owner, p rib.Preference, lifetime time.Duration) {
	h := modelHold{key: k, owner: o, preference: p}
	if lifetime > 0 {
		h.expires = m.now.Add(lifetime)
	}
	if !slices.Contains(m.holds, h) {
		m.holds = append(m.holds, h)
	}
}

func (m *model) drop(f func(modelHold) bool) { m.holds = slices.DeleteFunc(m.holds, f) }

func (m *model) address(a netip.Addr) int {
	return slices.IndexFunc(m.assigned, func(ev rib.Assign) bool { return ev.Addr == a })
}

// listed lists the routes and the redirects as Table.Routes does.
func (m *model) listed() []rib.Route {
	routes := m.routes()
	for _, r := range m.redirects {
		v := rib.Route{Key: rib.Key{Prefix: netip.PrefixFrom(r.Dst, 128), Origin: rib.Redirected}, Src: r.Src, Expires: r.expires}
		if r.Target != r.Dst {
			v.NextHop = r.Target
		}
		if r.From.IsValid() {
			v.Owners = []rib.Owner{{Kind: rib.OwnerRouter, Addr: r.From}}
		}
		routes = append(routes, v)
	}
	slices.SortStableFunc(routes, func(a, b rib.Route) int {
		exception := func(r rib.Route) int {
			if r.Origin == rib.Redirected {
				return 1
			}
			return 0
		}
		return cmp.Or(
			a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()),
			cmp.Compare(exception(a), exception(b)), a.Src.Compare(b.Src))
	})
	return routes
}

// routes lists the routes as Table.Routes does.
func (m *model) routes() []rib.Route {
	var routes []rib.Route
	for _, h := range m.holds {
		i := slices.IndexFunc(routes, func(r rib.Route) bool { return r.Key == h.key })
		if i < 0 {
			routes = append(routes, rib.Route{Key: h.key, Preference: h.preference, Owners: []rib.Owner{h.owner}, Expires: h.expires})
			continue
		}
		r := &routes[i]
		r.Owners = append(r.Owners, h.owner)
		r.Preference = max(r.Preference, h.preference)
		if h.expires.IsZero() || r.Expires.IsZero() {
			r.Expires = time.Time{}
		} else if h.expires.After(r.Expires) {
			r.Expires = h.expires
		}
	}
	for _, r := range routes {
		slices.SortFunc(r.Owners, func(a, b rib.Owner) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Addr.Compare(b.Addr), a.Prefix.Compare(b.Prefix))
		})
	}
	slices.SortFunc(routes, func(a, b rib.Route) int {
		local := func(r rib.Route) int {
			if r.Origin == rib.Local {
				return 0
			}
			return 1
		}
		return cmp.Or(
			a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()),
			cmp.Compare(local(a), local(b)),
			cmp.Compare(a.Metric, b.Metric), cmp.Compare(b.Preference, a.Preference),
			a.NextHop.Compare(b.NextHop), cmp.Compare(a.Origin, b.Origin))
	})
	return routes
}

// best returns the routes to dst that nothing is better than.
func (m *model) best(dst netip.Addr) []rib.Route {
	var best []rib.Route
	for _, r := range m.routes() {
		if !r.Prefix.Contains(dst) {
			continue
		}
		order := 1 // r is better
		if len(best) > 0 {
			b := best[0]
			order = cmp.Or(cmp.Compare(r.Prefix.Bits(), b.Prefix.Bits()),
				cmp.Compare(b.Metric, r.Metric), cmp.Compare(r.Preference, b.Preference))
			if b.Origin == rib.Local && r.Prefix == b.Prefix {
				order = -1
			}
		}
		if order > 0 {
			best = nil
		}
		if order >= 0 {
			best = append(best, r)
		}
	}
	// On-link comes before a gateway.
	if len(best) > 1 && !best[0].NextHop.IsValid() {
		best = best[:1]
	}
	switch {
	case len(best) > 0 && best[0].NextHop.IsValid() && dst.IsLinkLocalUnicast():
		return nil
	case len(best) == 0 && m.cfg.OnLinkAssumption:
		return []rib.Route{{Key: rib.Key{Prefix: all, Origin: rib.OnLink, Metric: math.MaxUint32}}}
	}
	return best
}

// The world of the model test: small, so that everything meets everything.
var (
	modelAddrs    = parse(netip.MustParseAddr, "fe80::1", "fe80::2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1", "fd00::1")
	modelPrefixes = parse(netip.MustParsePrefix, "::/0", "::/0", "::/0", "2001:db8::/32", "2001:db8::/64", "2001:db8::/127", "2001:db8::1/128", "fd00::/8", "fe00::/7")
	modelDsts     = append(parse(netip.MustParseAddr, "fe80::3", "2001:db8::3", "2001:db8:2::1", "fdff::1", "3000::1"), modelAddrs...)
	modelGateways = append(parse(netip.MustParseAddr, "fe80::b"), router9, routerA)
	modelSrcs     = append(parse(netip.MustParseAddr, "2001:db8::1", "2001:db8:1::1", "fd00::1"), netip.IPv6Unspecified())
)

func parse[T any](f func(string) T, list ...string) []T {
	var out []T
	for _, s := range list {
		out = append(out, f(s))
	}
	return out
}

// pick draws one of list, each as likely as the others: rapid.SampledFrom
// prefers the first ones, and the rest would hardly meet.
func pick[T any](t *rapid.T, label string, list ...T) T {
	n := 0
	for _, b := range rapid.SliceOfN(rapid.Bool(), 8, 8).Draw(t, label) {
		n <<= 1
		if b {
			n |= 1
		}
	}
	return list[n*len(list)>>8]
}

// drawKeyAndOwner draws a hold, half of the time one that exists.
func drawKeyAndOwner(t *rapid.T, m *model) (rib.Key, rib.Owner) {
	if rapid.Bool().Draw(t, "existing") {
		existing := slices.DeleteFunc(slices.Clone(m.holds), func(h modelHold) bool {
			return h.owner.Kind == rib.OwnerAddress
		})
		if len(existing) > 0 {
			h := pick(t, "hold", existing...)
			return h.key, h.owner
		}
	}
	router := pick(t, "router", modelGateways...)
	if rapid.Bool().Draw(t, "default router") {
		return advertised(all, router), byRouter(router, all)
	}
	k := rib.Key{
		Prefix: pick(t, "prefix", modelPrefixes...),
		Origin: pick(t, "origin", rib.OnLink, rib.StaticOrigin, rib.RA),
		Metric: pick[uint32](t, "metric", 0, rib.OnLinkMetric, rib.StaticMetric),
	}
	if k.Origin != rib.OnLink {
		k.NextHop = router
	}
	o := byRouter(router, k.Prefix)
	if k.Origin == rib.StaticOrigin || k.Origin == rib.OnLink && rapid.Bool().Draw(t, "by hand") {
		o = byHand()
	}
	return k, o
}

func drawEvent(t *rapid.T, m *model) rib.Event {
	addr := pick(t, "addr", modelAddrs...)
	router := pick(t, "of", modelGateways...)
	switch pick(t, "event", 0, 0, 1, 2, 3, 3, 4, 5, 6, 6, 6, 7) {
	case 0:
		ev := drawAssign(t, addr)
		if rapid.Bool().Draw(t, "on-link") {
			ev.OnLink = rapid.SampledFrom(modelPrefixes).Draw(t, "stated")
		}
		return ev
	case 1:
		return rib.Withdraw{Addr: addr}
	case 2:
		k, o := drawKeyAndOwner(t, m)
		return rib.Remove{Key: k, Owner: o}
	case 3:
		return rib.Reach{Addr: router, State: pick(t, "state",
			rib.ReachUnknown, rib.ReachProbable, rib.ReachFailed, rib.ReachFailed)}
	case 4:
		ev := rib.Announce{Router: router, Prefix: pick(t, "announced", modelPrefixes[2:6]...)}
		if pick(t, "renounce", true, false, false, false) {
			return rib.Renounce(ev)
		}
		return ev
	case 5:
		return drawRedirect(t, router)
	case 7:
		return rib.Select{Router: router}
	}
	k, o := drawKeyAndOwner(t, m)
	return rib.Add{
		Key: k, Owner: o,
		Preference: pick[rib.Preference](t, "preference", 0, 0, 0, -1, 1),
		Lifetime:   time.Duration(pick(t, "lifetime", 0, 0, 0, 2, 5, 20)) * time.Second,
	}
}

func drawRedirect(t *rapid.T, router netip.Addr) rib.Event {
	switch pick(t, "redirect", 0, 1, 2, 2, 2, 2, 2, 2) {
	case 0:
		return rib.FlushRedirects{}
	case 1:
		return rib.Unredirect{Target: router}
	}
	ev := rib.Redirect{Dst: pick(t, "dst", modelDsts...), Target: router}
	if pick(t, "on-link", true, false, false) {
		ev.Target = ev.Dst
	}
	ev.From = pick(t, "from", append([]netip.Addr{{}}, modelGateways...)...)
	ev.Src = pick(t, "src", netip.Addr{}, global1, modelSrcs[1])
	return ev
}

// answers is all that a snapshot says about the model's world.
type answers struct {
	NextHops []string
	Lookups  []rib.Route
	Sources  []string
	Local    []bool
	IsSource []bool
	From     []rib.Hop
	First    []bool
}

func ask(s *rib.Snapshot) answers {
	var a answers
	for _, dst := range modelDsts {
		r, _ := s.Lookup(dst)
		a.NextHops = append(a.NextHops, hop(s, dst, 7))
		a.Lookups = append(a.Lookups, r)
		a.Sources = append(a.Sources, source(s, dst))
		a.Local = append(a.Local, s.Local(dst.As16()))
		a.IsSource = append(a.IsSource, s.IsSource(dst))
		for _, src := range modelSrcs {
			h, _ := s.NextHop(src.As16(), dst.As16(), 7)
			a.From = append(a.From, h)
			a.First = append(a.First, s.IsFirstHop(src, dst, router9))
		}
	}
	return a
}

// Spec: RFC 4861, section 5.1, must, RTE-R02
// Spec: RFC 4861, section 6.3.5, DER, RTE-R03
//
// The table is the model: its routes, what it says about their coming and
// going, and what a snapshot answers, then and ever after.
func TestAgainstLinearScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := rib.Config{
			OnLinkAssumption: rapid.Bool().Draw(t, "on-link assumption"),
			RFC3484:          rapid.Bool().Draw(t, "rfc3484"),
			MaxRoutes:        pick(t, "max routes", 4, 1000, 1000),
			TypeA:            pick(t, "type A", true, false, false),
			MaxAnnouncements: 4,
			MaxRedirects:     3,
			RedirectLifetime: 8 * time.Second,
		}
		table, m := rib.New(cfg), &model{cfg: cfg, reach: make(map[netip.Addr]modelReach)}
		now := epoch
		known := make(map[routeID]bool) // by the actions alone
		type record struct {
			snapshot *rib.Snapshot
			answers  answers
		}
		var records []record
		for i := range rapid.IntRange(1, 20).Draw(t, "steps") + pick(t, "more", 0, 10, 20, 30) {
			now = now.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "seconds")) * time.Second)
			ev := drawEvent(t, m)
			if i < 2*len(modelGateways) && rapid.Bool().Draw(t, "begin with routers") {
				// Without several routers there is little to choose.
				router, p := modelGateways[i/2], []netip.Prefix{all, docPrefix}[i%2]
				ev = rib.Add{Key: advertised(p, router), Owner: byRouter(router, p)}
			}
			actions := table.Step(now, ev)
			m.step(now, ev)

			follow(t, known, actions)
			if diff := gocmp.Diff(m.listed(), table.Routes(), compareNetip, emptyIsNil); diff != "" {
				t.Fatalf("routes after %+v (-model +table):\n%s", ev, diff)
			}
			checkKnown(t, known, table.Routes())
			checkDeadline(t, m, table)
			checkGateways(t, m, table)
			s := table.Snapshot()
			checkSnapshot(t, m, s)
			checkChoices(t, m, s)
			records = append(records, record{s, ask(s)})
		}
		for i, r := range records {
			if diff := gocmp.Diff(r.answers, ask(r.snapshot), compareNetip); diff != "" {
				t.Fatalf("snapshot %d of %d has changed (-then +now):\n%s", i, len(records), diff)
			}
		}
		// Everything that has an end ends.
		follow(t, known, table.Advance(now.Add(time.Hour)))
		m.advance(now.Add(time.Hour))
		if diff := gocmp.Diff(m.listed(), table.Routes(), compareNetip, emptyIsNil); diff != "" {
			t.Fatalf("routes in the end (-model +table):\n%s", diff)
		}
		checkKnown(t, known, table.Routes())
	})
}

var emptyIsNil = gocmp.FilterValues(func(a, b []rib.Route) bool { return len(a)+len(b) == 0 },
	gocmp.Comparer(func(a, b []rib.Route) bool { return true }))

// routeID tells routes and redirects apart.
type routeID struct {
	rib.Key
	src netip.Addr
}

// follow keeps known as somebody would who hears only the actions.
func follow(t *rapid.T, known map[routeID]bool, actions []rib.Action) {
	owned := func(r rib.Route) bool {
		return len(r.Owners) == 1 || r.Origin == rib.Redirected && len(r.Owners) == 0
	}
	for _, act := range actions {
		switch act := act.(type) {
		case rib.Added:
			id := routeID{act.Route.Key, act.Route.Src}
			if known[id] || !owned(act.Route) {
				t.Fatalf("added again, or without owner: %+v", act.Route)
			}
			known[id] = true
		case rib.Removed:
			id := routeID{act.Route.Key, act.Route.Src}
			if !known[id] || !owned(act.Route) {
				t.Fatalf("removed, but not there, or without owner: %+v", act.Route)
			}
			delete(known, id)
		}
	}
}

func checkKnown(t *rapid.T, known map[routeID]bool, routes []rib.Route) {
	for _, r := range routes {
		if !known[routeID{r.Key, r.Src}] {
			t.Fatalf("no action told of %+v", r)
		}
	}
	if len(known) != len(routes) {
		t.Fatalf("the actions tell of %d routes, there are %d", len(known), len(routes))
	}
}

func checkDeadline(t *rapid.T, m *model, table *rib.Table) {
	var want time.Time
	for _, r := range m.redirects {
		if want.IsZero() || r.expires.Before(want) {
			want = r.expires
		}
	}
	for _, h := range m.holds {
		if !h.expires.IsZero() && (want.IsZero() || h.expires.Before(want)) {
			want = h.expires
		}
	}
	if got, ok := table.Deadline(); ok == want.IsZero() || !got.Equal(want) {
		t.Fatalf("deadline %v %v, want %v", got, ok, want)
	}
}

func checkSnapshot(t *rapid.T, m *model, s *rib.Snapshot) {
	for _, dst := range modelDsts {
		best := m.best(dst)
		r, ok := s.Lookup(dst)
		if ok != (len(best) > 0) || ok && !slices.ContainsFunc(best, func(b rib.Route) bool {
			return b.Key == r.Key && b.Preference == r.Preference
		}) {
			t.Fatalf("lookup of %v: %+v %v, want one of %+v", dst, r, ok, best)
		}

		own := m.address(dst)
		if got := s.Local(dst.As16()); got != (own >= 0) {
			t.Fatalf("Local(%v) = %v", dst, got)
		}
		if got, want := s.IsSource(dst), own >= 0 && !m.assigned[max(own, 0)].Anycast; got != want {
			t.Fatalf("IsSource(%v) = %v, want %v", dst, got, want)
		}
		wantSource := "none"
		if a, ok := pairwise(m.assigned, dst, m.cfg.RFC3484, m.announcedByNextHop(s, dst)); ok {
			wantSource = a.String()
		}
		if got := source(s, dst); got != wantSource {
			t.Fatalf("source for %v: %s, want %s", dst, got, wantSource)
		}
	}
}
