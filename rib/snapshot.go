package rib

import (
	"math"
	"math/bits"
	"net/netip"

	"github.com/gaissmai/bart"
)

// Snapshot is the state of a Table at one moment. It is immutable; any number
// of goroutines may read it, without a lock.
//
// It answers for unicast destinations. A group is its own next hop, on-link,
// whatever the routes say (RFC 4861, section 5.2), and is never looked up
// here: NextHop and Lookup know no route to it. Source does take groups.
type Snapshot struct {
	prefixes         *bart.Table[members]
	sources          sources
	onLinkAssumption bool
}

// Hop is where a packet goes next.
type Hop struct {
	Addr  [16]byte // the neighbor: a gateway, or the destination itself
	Local bool     // the destination is an address of this interface
}

// assumed is the route of RFC 2461, section 5.2: all is on-link for want of a
// router. Every other route is better.
var (
	assumed      = members{{origin: OnLink, metric: math.MaxUint32, route: &route{Key: assumedKey}}}
	assumedKey   = Key{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Origin: OnLink, Metric: math.MaxUint32}
	lowestBit128 = [16]byte{15: 1}
)

// NextHop returns where a packet to dst goes (RFC 4861, section 5.2): by the
// longest prefix, then the lowest metric, then the highest preference. Among
// routers that tie then, dst and flow choose (RFC 4311, section 2): the same
// two always choose the same router of the same set. flow is best a keyed hash,
// so that nobody outside can tell the choice.
//
// It is false if there is no route: RFC 5942, section 4(4), forbids to take
// dst for a neighbor then.
func (s *Snapshot) NextHop(dst [16]byte, flow uint32) (Hop, bool) {
	ms := s.find(dst)
	if len(ms) == 0 {
		return Hop{}, false
	}
	m := &ms[0]
	if len(ms) > 1 {
		m = &ms[ms.choose(dst, flow)]
	}
	if m.gateway() {
		return Hop{Addr: m.nextHop}, true
	}
	return Hop{Addr: dst, Local: m.origin == Local}, true
}

// Local reports whether dst is an assigned address.
func (s *Snapshot) Local(dst [16]byte) bool {
	ms := s.find(dst)
	return len(ms) > 0 && ms[0].origin == Local
}

// Lookup returns the best route to dst; of routers that tie, one of them. Its
// owners and its end are not in a snapshot: they are zero. Interfaces compare
// their routes by prefix length, metric and preference.
func (s *Snapshot) Lookup(dst netip.Addr) (Route, bool) {
	if !dst.Is6() {
		return Route{}, false
	}
	ms := s.find(dst.As16())
	if len(ms) == 0 {
		return Route{}, false
	}
	m := &ms[0]
	return Route{Key: m.key(single(dst.WithZone(""))), Preference: m.preference}, true
}

// IsSource reports whether addr may be given as a source by a caller: it is
// assigned and unicast (RFC 6724, section 4). A deprecated address may.
func (s *Snapshot) IsSource(addr netip.Addr) bool {
	if !addr.Is6() {
		return false
	}
	ms := s.find(addr.As16())
	return len(ms) > 0 && ms[0].origin == Local && !ms[0].anycast
}

// Source returns the source address for a packet to dst, unicast or group, for
// which the caller has given none (RFC 6724, section 5). It is false if the
// interface has no address to use.
func (s *Snapshot) Source(dst netip.Addr) (netip.Addr, bool) {
	dst = dst.WithZone("")
	if !dst.Is6() {
		return netip.Addr{}, false
	}
	// Rule 1: prefer same address.
	if s.IsSource(dst) {
		return dst, true
	}
	return s.sources.best(dst)
}

// find returns the routes of the longest prefix of dst, none if there is no
// route.
func (s *Snapshot) find(dst [16]byte) members {
	if dst[0] == 0xff {
		return nil
	}
	ms, ok := s.prefixes.Lookup(netip.AddrFrom16(dst))
	switch {
	case ok && ms[0].origin == Local:
		return ms
	case dst == [16]byte{} || dst == lowestBit128:
		// RFC 4291, sections 2.5.2 and 2.5.3: `::` is no destination, and ::1
		// never leaves the node.
		return nil
	case ok && ms[0].gateway() && isLinkLocal(dst):
		// RFC 4007, section 9: a packet does not leave its destination's zone.
		return nil
	case !ok && s.onLinkAssumption:
		// If there were a default router, ::/0 would have matched.
		return assumed
	}
	return ms
}

func isLinkLocal(a [16]byte) bool { return a[0] == 0xfe && a[1]&0xc0 == 0x80 }

// choose returns the index of the route for dst and flow among the best.
func (ms members) choose(dst [16]byte, flow uint32) int {
	n := 1
	for n < len(ms) && ms[n].ties(&ms[0]) {
		n++
	}
	b := bitsFrom(dst)
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	h := b.hi*odd1 ^ bits.RotateLeft64(b.lo*odd2, 29) ^ uint64(flow)*odd1
	h = (h ^ h>>32) * odd2
	return int(h >> 32 * uint64(n) >> 32)
}

// ties reports whether both are gateways of the same metric and preference.
func (m *member) ties(o *member) bool {
	return m.gateway() && o.gateway() && m.metric == o.metric && m.preference == o.preference
}
