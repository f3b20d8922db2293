package rib_test

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/tapstack/tapstack/rib"
)

// ways are the routes from src to dst in the order of preference: those of one
// group tie.
func (m *model) ways(src, dst netip.Addr) [][]rib.Route {
	var matching []rib.Route
	for _, r := range m.routes() {
		if r.Prefix.Contains(dst) {
			matching = append(matching, r)
		}
	}
	order := func(a, b rib.Route) int {
		regardless := func(r rib.Route) int { // of the preference
			if r.Prefix == all && r.Origin == rib.RA {
				return m.announcedLen(r.NextHop, src)
			}
			return -1
		}
		onLinkFirst := func(r rib.Route) int {
			if r.NextHop.IsValid() {
				return 1
			}
			return 0
		}
		return cmp.Or(
			cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()),
			cmp.Compare(a.Metric, b.Metric),
			cmp.Compare(regardless(b), regardless(a)),
			cmp.Compare(b.Preference, a.Preference),
			cmp.Compare(onLinkFirst(a), onLinkFirst(b)),
			cmp.Compare(m.announcedLen(b.NextHop, src), m.announcedLen(a.NextHop, src)))
	}
	slices.SortStableFunc(matching, order)
	var groups [][]rib.Route
	for i, r := range matching {
		if i == 0 || order(matching[i-1], r) != 0 {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], r)
	}
	return groups
}

// announcedLen is the length of the longest prefix of src that router
// announced, -1 if it announced none.
func (m *model) announcedLen(router, src netip.Addr) int {
	longest := -1
	for _, a := range m.announced {
		if a.Router == router && a.Prefix.Contains(src) && !src.IsUnspecified() {
			longest = max(longest, a.Prefix.Bits())
		}
	}
	return longest
}

func (m *model) failed(r rib.Route) bool { return m.reach[r.NextHop].state == rib.ReachFailed }

// redirected returns the target for src and dst.
func (m *model) redirected(src, dst netip.Addr) (target netip.Addr, ok bool) {
	if m.address(dst) >= 0 {
		return target, false
	}
	for _, r := range m.redirects {
		switch {
		case r.Dst != dst:
		case r.Src == src:
			return r.Target, true
		case !r.Src.IsValid():
			target, ok = r.Target, true
		}
	}
	return target, ok
}

// candidates are the routes that a host of type A chooses from.
func (m *model) candidates(dst netip.Addr) (candidates []rib.Route) {
	for _, g := range m.ways(netip.IPv6Unspecified(), dst) {
		for _, r := range g {
			if len(candidates) == 0 || r.Prefix == candidates[0].Prefix && r.Metric == candidates[0].Metric {
				candidates = append(candidates, r)
			}
		}
	}
	return candidates
}

// typeA is the one route that a host of type A takes.
func (m *model) typeA(dst netip.Addr) rib.Route {
	return slices.MinFunc(m.candidates(dst), func(a, b rib.Route) int {
		rank := func(r rib.Route) int {
			switch {
			case !r.NextHop.IsValid():
				return 0
			case m.reach[r.NextHop].state == rib.ReachProbable:
				return 1
			}
			return 2
		}
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			cmp.Compare(m.reach[a.NextHop].turn, m.reach[b.NextHop].turn),
			cmp.Compare(slices.Index(m.order, a.Key), slices.Index(m.order, b.Key)))
	})
}

// modelHop is what the model allows: one of hops, after skipping one of
// skipped if there are any; list is all that were skipped then.
type modelHop struct {
	hops, skipped []string
	skipsAlways   bool
	list          []string
}

func (m *model) hop(src, dst netip.Addr) modelHop {
	to := func(r rib.Route) string {
		if r.NextHop.IsValid() {
			return r.NextHop.String()
		}
		return dst.String()
	}
	if target, ok := m.redirected(src, dst); ok {
		return modelHop{hops: []string{target.String()}}
	}
	best := m.best(dst)
	switch {
	case len(best) == 0:
		return modelHop{hops: []string{"none"}}
	case best[0].Origin == rib.Local:
		return modelHop{hops: []string{"local"}}
	case best[0].Metric > rib.RAMetric: // assumed to be on-link
		return modelHop{hops: []string{dst.String()}}
	case m.cfg.TypeA:
		return modelHop{hops: []string{to(m.typeA(dst))}}
	}
	groups := m.ways(src, dst)
	var h modelHop
	for i, g := range groups {
		for _, r := range g {
			switch {
			case !m.failed(r):
				h.hops = append(h.hops, to(r))
			case !slices.Contains(h.list, to(r)):
				h.list = append(h.list, to(r))
			}
		}
		if i == 0 {
			h.skipped = slices.Clone(h.list)
			h.skipsAlways = len(h.hops) == 0
		}
		if len(h.hops) > 0 {
			return h
		}
	}
	return m.allFailed(groups, to)
}

// allFailed uses the best all the same, the oldest failure of several first.
func (m *model) allFailed(groups [][]rib.Route, to func(rib.Route) string) modelHop {
	var order []string
	for i, g := range groups {
		slices.SortStableFunc(g, func(a, b rib.Route) int {
			return cmp.Compare(m.reach[a.NextHop].turn, m.reach[b.NextHop].turn)
		})
		for _, r := range groups[i] {
			if !slices.Contains(order, to(r)) {
				order = append(order, to(r))
			}
		}
	}
	h := modelHop{hops: order[:1], list: order[1:], skipsAlways: len(order) > 1}
	h.skipped = slices.Clone(h.list[:min(len(h.list), 1)])
	return h
}

// checkRouters compares what a host of type A selects from, in any order.
func checkRouters(t *rapid.T, m *model, s *rib.Snapshot, src, dst netip.Addr) {
	var want []netip.Addr
	_, redirected := m.redirected(src, dst)
	if best := m.best(dst); m.cfg.TypeA && !redirected && len(best) > 0 && best[0].NextHop.IsValid() {
		for _, r := range m.candidates(dst) {
			want = append(want, r.NextHop)
		}
		if slices.Contains(want, netip.Addr{}) {
			want = nil // dst is on-link
		}
	}
	got := s.Routers(src, dst)
	slices.SortFunc(want, netip.Addr.Compare)
	slices.SortFunc(got, netip.Addr.Compare)
	if !slices.Equal(got, want) {
		t.Fatalf("routers from %v to %v: %v, want %v", src, dst, got, want)
	}
}

func checkGateways(t *rapid.T, m *model, table *rib.Table) {
	for _, a := range slices.Concat(modelGateways, modelDsts) {
		if got := table.IsGateway(a); got != m.isGateway(a) {
			t.Fatalf("IsGateway(%v) = %v", a, got)
		}
	}
}

// checkChoices compares where packets go.
func checkChoices(t *rapid.T, m *model, s *rib.Snapshot) {
	for _, dst := range modelDsts {
		for _, src := range modelSrcs {
			want := m.hop(src, dst)
			for flow := range uint32(3) {
				checkHop(t, s, src, dst, flow*0x5555_5555, want)
			}
			checkRouters(t, m, s, src, dst)
			for _, router := range modelGateways {
				first := slices.Contains(want.hops, router.String())
				if got := s.IsFirstHop(src, dst, router); got != first {
					t.Fatalf("IsFirstHop(%v, %v, %v) = %v, want %v", src, dst, router, got, first)
				}
			}
		}
		checkSourceLeadsToItsRouter(t, m, s, dst)
	}
}

func checkHop(t *rapid.T, s *rib.Snapshot, src, dst netip.Addr, flow uint32, want modelHop) {
	got := hopFrom(s, src, dst, flow)
	if !slices.Contains(want.hops, got) {
		t.Fatalf("next hop from %v to %v: %s, want one of %v", src, dst, got, want.hops)
	}
	h, _ := s.NextHop(src.As16(), dst.As16(), flow)
	list := s.Skipped(src.As16(), dst.As16(), flow)
	if !h.HasSkipped {
		if want.skipsAlways || list != nil {
			t.Fatalf("to %v: no router was skipped, of %v; and %v", dst, want.skipped, list)
		}
		return
	}
	first := netip.AddrFrom16(h.Skipped).String()
	if !slices.Contains(want.skipped, first) || list[0].String() != first {
		t.Fatalf("to %v: skipped %v and %v, want one of %v", dst, first, list, want.skipped)
	}
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	slices.Sort(all)
	slices.Sort(want.list)
	if !slices.Equal(all, want.list) {
		t.Fatalf("to %v: skipped %v, want %v", dst, strings.Join(all, " "), want.list)
	}
}

// announcedByNextHop is what rule 5.5 prefers.
func (m *model) announcedByNextHop(s *rib.Snapshot, dst netip.Addr) (ps []netip.Prefix) {
	hop := hopFrom(s, netip.IPv6Unspecified(), dst, 0)
	for _, a := range m.announced {
		if a.Router.String() == hop {
			ps = append(ps, a.Prefix)
		}
	}
	return ps
}

// checkSourceLeadsToItsRouter checks that a source that the next hop announced
// takes a packet to a router that announced it.
func checkSourceLeadsToItsRouter(t *rapid.T, m *model, s *rib.Snapshot, dst netip.Addr) {
	src, ok := s.Source(dst)
	_, redirected := m.redirected(src, dst)
	within := func(p netip.Prefix) bool { return p.Contains(src) }
	if !ok || redirected || !slices.ContainsFunc(m.announcedByNextHop(s, dst), within) {
		return
	}
	for flow := range uint32(4) {
		hop := hopFrom(s, src, dst, flow)
		if !slices.ContainsFunc(m.announced, func(a rib.Announce) bool { return a.Router.String() == hop && within(a.Prefix) }) {
			t.Fatalf("from %v to %v through %s, which announced no prefix of it: %v", src, dst, hop, m.announced)
		}
	}
}
