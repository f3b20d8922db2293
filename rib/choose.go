package rib

import (
	"math/bits"
	"net/netip"
	"slices"
)

// choice is what the choice among the routes of a prefix depends on, apart
// from the flow.
type choice struct {
	s *Snapshot
	// announcing says that it matters which router announced a prefix of src.
	announcing bool
	src        bits128
}

func (s *Snapshot) choice(src [16]byte) choice {
	return choice{s: s, announcing: s.announcers != nil && src != [16]byte{}, src: bitsFrom(src)}
}

// place orders the routes of one prefix for a host of type C: the highest is
// the best, and routes with the same place share the load. The metric is in
// the highest bits. The routers that announced the longest prefix of the
// source come next if they are default routers by their advertisements
// ("regardless of Default Router Preference": RFC 8028, section 3.2); else
// they are preferred among routers that would tie, so that a packet takes a
// way that its source belongs to.
func (c choice) place(m *member) uint64 {
	p := uint64(^m.metric)<<32 | uint64(int(m.preference)+2)<<16
	switch {
	case !m.gateway():
		p |= 1 << 15 // on-link before gateways that tie otherwise
	case c.announcing:
		announced := uint64(covering(c.s.announced(m.nextHop), c.src) + 1)
		if m.origin == RA && m.route.Prefix.Bits() == 0 {
			p |= announced << 24
		} else {
			p |= announced
		}
	}
	return p
}

// best returns the highest place of ms, and how many have it. With working, the
// routes through routers that failed do not count; 0: no other is left.
func (c choice) best(ms members, working bool) (top uint64, n int) {
	for i := range ms {
		m := &ms[i]
		if n > 0 && m.metric > uint32(^top>>32) {
			break // the others are no better: ms are sorted by it
		}
		if working && c.s.failed(m) {
			continue
		}
		switch p := c.place(m); {
		case n == 0 || p > top:
			top, n = p, 1
		case p == top:
			n++
		}
	}
	return top, n
}

// pick returns the best of ms, by a hash of 32 bits if there are several; nil
// if working and there is none.
func (c choice) pick(ms members, hash uint64, working bool) *member {
	top, n := c.best(ms, working)
	if n == 0 {
		return nil
	}
	left := int(hash * uint64(n) >> 32)
	for i := range ms {
		m := &ms[i]
		if c.place(m) != top || working && c.s.failed(m) {
			continue
		}
		if left == 0 {
			return m
		}
		left--
	}
	panic("rib: fewer routes than were counted")
}

// detour is the way to dst if m, the best of ms, has failed: the next best
// route through a router that has not. If all have failed, the best is used all
// the same (RFC 4191, section 3.6), among several the one whose failure is the
// oldest, so that they are tried one after the other (RFC 4861, section 6.3.6,
// (2)).
func (s *Snapshot) detour(m *member, ms members, src, dst [16]byte, flow uint32) Hop {
	c := s.choice(src)
	for l := ms; len(l) > 0; l = s.shorter(dst, l) {
		// The other half of the hash: the first half chose m.
		if working := c.pick(l, hash(dst, flow)&0xffff_ffff, true); working != nil {
			hop := working.hop(dst)
			hop.Skipped, hop.HasSkipped = m.nextHop, true
			return hop
		}
	}
	used := c.longestFailed(ms, nil)
	hop := used.hop(dst)
	for l := ms; len(l) > 0 && !hop.HasSkipped; l = s.shorter(dst, l) {
		if other := c.longestFailed(l, used); other != nil {
			hop.Skipped, hop.HasSkipped = other.nextHop, true
		}
	}
	return hop
}

// longestFailed returns of ms, all of which have failed, and without those
// through the router of except, the best one; among several that whose failure
// is the oldest. nil: there is none.
func (c choice) longestFailed(ms members, except *member) (oldest *member) {
	var top, failure uint64
	for i := range ms {
		m := &ms[i]
		if except != nil && m.nextHop == except.nextHop {
			continue
		}
		p, f := c.place(m), c.s.reachOf(m).turn
		if oldest == nil || p > top || p == top && f < failure {
			oldest, top, failure = m, p, f
		}
	}
	return oldest
}

// Skipped returns the routers that packets of this flow would have gone to
// but for their failures, without the one they go to (RFC 4191, section 3.5),
// the longest prefixes first. It is not for the data path: Hop has the first.
func (s *Snapshot) Skipped(src, dst [16]byte, flow uint32) []netip.Addr {
	hop, _ := s.NextHop(src, dst, flow)
	if !hop.HasSkipped {
		return nil
	}
	c := s.choice(src)
	skipped := []netip.Addr{netip.AddrFrom16(hop.Skipped)}
	for l := s.find(dst); len(l) > 0; l = s.shorter(dst, l) {
		top, n := c.best(l, true)
		for i := range l {
			m, router := &l[i], netip.AddrFrom16(l[i].nextHop)
			if s.failed(m) && (n == 0 || c.place(m) >= top) && m.nextHop != hop.Addr && !slices.Contains(skipped, router) {
				skipped = append(skipped, router)
			}
		}
		if n > 0 {
			break
		}
	}
	return skipped
}

// shared reports whether router is among those that flows from src to dst are
// shared by; ms are the routes of the longest prefix.
func (s *Snapshot) shared(ms members, src, dst, router [16]byte) bool {
	c := s.choice(src)
	for l := ms; len(l) > 0; l = s.shorter(dst, l) {
		top, n := c.best(l, true)
		if n == 0 {
			continue
		}
		return slices.ContainsFunc(l, func(m member) bool {
			return m.leadsTo(router) && c.place(&m) == top && !s.failed(&m)
		})
	}
	return c.longestFailed(ms, nil).leadsTo(router)
}

// stick returns the route of a host of type A (RFC 4861, section 6.3.6) among
// those with the lowest metric. Routers that are probably reachable come first,
// (1), and of several always the one that has been there longest, so that a
// destination keeps its router. If none is, that comes first whose turn, by
// Select or by a failure, was the longest ago: "so that subsequent requests for
// a default router do not return the same router until all other routers have
// been selected", (2).
func (s *Snapshot) stick(ms members) *member {
	var (
		chosen *member
		best   reach
	)
	for i := range ms {
		m := &ms[i]
		if m.metric != ms[0].metric {
			break
		}
		if !m.gateway() {
			return m
		}
		if r := s.reachOf(m); chosen == nil || r.before(best) || !best.before(r) && m.route.order < chosen.route.order {
			chosen, best = m, r
		}
	}
	return chosen
}

// Routers returns the routers that a host of type A selects from for packets
// from src, which may be zero, to dst: those of the longest prefix with the
// lowest metric. There are none if dst is on-link, its own or redirected, and
// none for a host of type C.
func (s *Snapshot) Routers(src, dst netip.Addr) (routers []netip.Addr) {
	if !s.typeA || !dst.Is6() || src.IsValid() && !src.Is6() || s.Local(dst.As16()) {
		return nil
	}
	if s.redirects != nil {
		var from [16]byte
		if src.IsValid() {
			from = src.As16()
		}
		if _, ok := s.redirected(from, dst.As16()); ok {
			return nil
		}
	}
	ms := s.find(dst.As16())
	for i := range ms {
		switch m := &ms[i]; {
		case m.metric != ms[0].metric:
			return routers
		case !m.gateway():
			return nil
		default:
			routers = append(routers, netip.AddrFrom16(m.nextHop))
		}
	}
	return routers
}

// before reports whether a host of type A prefers a router with r.
func (r reach) before(o reach) bool {
	if probable := r.state == ReachProbable; probable != (o.state == ReachProbable) {
		return probable
	}
	return r.turn < o.turn
}

func (s *Snapshot) reachOf(m *member) (r reach) {
	if s.reach != nil {
		r, _ = s.reach.Lookup(netip.AddrFrom16(m.nextHop))
	}
	return r
}

// failed reports whether m leads to a router that failed.
func (s *Snapshot) failed(m *member) bool {
	return s.reach != nil && m.gateway() && s.reachOf(m).state == ReachFailed
}

// shorter returns the routes of the next shorter prefix of dst; ms are those of
// the one before.
func (s *Snapshot) shorter(dst [16]byte, ms members) members {
	length := ms[0].route.Prefix.Bits()
	if length == 0 {
		return nil
	}
	next, _ := s.prefixes.LookupPrefix(netip.PrefixFrom(netip.AddrFrom16(dst), length-1))
	return next
}

func (m *member) leadsTo(router [16]byte) bool { return m.gateway() && m.nextHop == router }

func (m *member) hop(dst [16]byte) Hop {
	if m.gateway() {
		return Hop{Addr: m.nextHop}
	}
	return Hop{Addr: dst}
}

// hash mixes dst and flow.
func hash(dst [16]byte, flow uint32) uint64 {
	b := bitsFrom(dst)
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	h := b.hi*odd1 ^ bits.RotateLeft64(b.lo*odd2, 29) ^ uint64(flow)*odd1
	return (h ^ h>>32) * odd2
}
