package rib

import (
	"math"
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
	prefixes         *bart.Fast[members]
	locals           *locals // nil: there are none
	sources          sources
	reach            *bart.Table[reach]      // nil: nothing is known
	announcers       *bart.Table[announcer]  // nil: there are none
	redirects        *bart.Table[exceptions] // nil: there are none
	typeA            bool
	onLinkAssumption bool
}

// Hop is where a packet goes next.
type Hop struct {
	Addr  [16]byte // the neighbor: a gateway, or the destination itself
	Local bool     // the destination is an address of this interface
	// Skipped is the best of the routers that would have been used but failed,
	// if HasSkipped: "the host SHOULD probe each such router" (RFC 4191,
	// section 3.5). Snapshot.Skipped returns all of them.
	HasSkipped bool
	Skipped    [16]byte
}

// assumed is the route of RFC 2461, section 5.2: all is on-link for want of a
// router. Every other route is better.
var (
	assumed      = members{{origin: OnLink, metric: math.MaxUint32, route: &route{Key: assumedKey}}}
	assumedKey   = Key{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Origin: OnLink, Metric: math.MaxUint32}
	lowestBit128 = [16]byte{15: 1}
)

// NextHop returns where a packet from src to dst goes (RFC 4861, section 5.2).
// A redirect decides first. Else it is the longest prefix, then the lowest
// metric, then the highest preference; but among default routers those that
// announced the prefix of src come first (RFC 8028, section 3.2). Routers that
// failed are passed over, for others with the same prefix and then for shorter
// prefixes, as long as there is one that has not (RFC 4191, section 3.2).
//
// Among routers that tie then, dst and flow choose (RFC 4311, section 2): the
// same two always choose the same router of the same set, and who was not
// chosen may fail or come back without moving them. flow is best a keyed hash,
// so that nobody outside can tell the choice. A zero src is a source that is
// not known yet. A host of type A chooses by RFC 4861, section 6.3.6: see
// Config.TypeA.
//
// It is false if there is no route: RFC 5942, section 4(4), forbids to take
// dst for a neighbor then.
func (s *Snapshot) NextHop(src, dst [16]byte, flow uint32) (hop Hop, ok bool) {
	if s.Local(dst) {
		return Hop{Addr: dst, Local: true}, true
	}
	if s.redirects != nil {
		if hop.Addr, ok = s.redirected(src, dst); ok {
			return hop, true
		}
	}
	ms := s.find(dst)
	if len(ms) == 0 {
		return Hop{}, false
	}
	m := &ms[0]
	if len(ms) > 1 {
		if s.typeA {
			m = s.stick(ms)
		} else {
			m = s.choice(src).pick(ms, hash(dst, flow)>>32, false)
		}
	}
	if s.reach != nil && !s.typeA && s.failed(m) {
		return s.detour(m, ms, src, dst, flow), true
	}
	return m.hop(dst), true
}

// IsFirstHop reports whether packets from src, which may be zero, to dst go to
// router now, be it those of some flows alone: whether it is "the current
// first-hop router" of RFC 4861, section 8.1.
func (s *Snapshot) IsFirstHop(src, dst, router netip.Addr) bool {
	if !dst.Is6() || !router.Is6() || src.IsValid() && !src.Is6() {
		return false
	}
	var from [16]byte
	if src.IsValid() {
		from = src.As16()
	}
	if s.Local(dst.As16()) {
		return false
	}
	if s.redirects != nil {
		if to, ok := s.redirected(from, dst.As16()); ok {
			return to == router.As16() && to != dst.As16()
		}
	}
	ms := s.find(dst.As16())
	switch {
	case len(ms) == 0:
		return false
	case s.typeA:
		return s.stick(ms).leadsTo(router.As16())
	}
	return s.shared(ms, from, dst.As16(), router.As16())
}

// Local reports whether dst is an assigned address.
func (s *Snapshot) Local(dst [16]byte) bool {
	return s.locals.find(dst) != nil
}

// Lookup returns the best route to dst, whether its router can be reached or
// not, and redirects apart; of routers that tie, one of them. Its owners and
// its end are not in a snapshot: they are zero. Interfaces compare
// their routes by prefix length, metric and preference.
func (s *Snapshot) Lookup(dst netip.Addr) (Route, bool) {
	if !dst.Is6() {
		return Route{}, false
	}
	if s.Local(dst.As16()) {
		return Route{Key: localRoute(single(dst.WithZone(""))).Key}, true
	}
	ms := s.find(dst.As16())
	if len(ms) == 0 {
		return Route{}, false
	}
	return Route{Key: ms[0].route.Key, Preference: ms[0].preference}, true
}

// IsSource reports whether addr may be given as a source by a caller: it is
// assigned and unicast (RFC 6724, section 4). A deprecated address may.
func (s *Snapshot) IsSource(addr netip.Addr) bool {
	if !addr.Is6() {
		return false
	}
	l := s.locals.find(addr.As16())
	return l != nil && !l.anycast
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
	// Rule 5.5 needs the next hop, which may depend on the source: it is that
	// of a packet whose source is not known yet. NextHop then prefers routers
	// that announced the prefix of the source, so it comes to one of them.
	var announced []prefix
	if s.announcers != nil && !s.sources.rfc3484 {
		if hop, ok := s.NextHop([16]byte{}, dst.As16(), 0); ok {
			announced = s.announced(hop.Addr)
		}
	}
	return s.sources.best(dst, announced)
}

// find returns the routes of the longest prefix of dst, which is no own
// address; none if there is no route.
func (s *Snapshot) find(dst [16]byte) members {
	if dst[0] == 0xff {
		return nil
	}
	ms, ok := s.prefixes.Lookup(netip.AddrFrom16(dst))
	switch {
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
