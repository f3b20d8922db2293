package rib

import (
	"net/netip"
	"slices"
)

// sources are the candidate sources of an interface (RFC 6724, section 4),
// persistent like locals. They are sorted into classes: the members of one class differ
// in nothing that rules 2 to 7 look at, but for rule 5.5, which asks for a few
// prefixes. So rule 8 alone decides among those within one of them, or among
// all, by a walk down a trie. There are few classes, however many addresses.
type sources struct {
	rfc3484 bool
	labels  labels
	edit    uint64 // in which trees was made
	trees   []tree
}

type tree struct {
	class class
	root  *node
}

// class is all that rules 2 to 7, but for 5.5, see of an address, and the length of its
// prefix, at which rule 8 stops counting.
type class struct {
	scope      uint8
	label      uint8
	deprecated bool
	temporary  bool
	prefixLen  uint8
}

func (s sources) classOf(addr netip.Addr, ev Assign) class {
	c := class{
		scope: scope(addr),
		label: s.labels.of(addr),
		// RFC 4429, section 2.1: "Implementations should treat an address in
		// state Optimistic as if it were in state Deprecated."
		deprecated: ev.Deprecated && !alwaysPreferred(addr) || ev.Optimistic,
		temporary:  ev.Temporary,
		prefixLen:  uint8(ev.PrefixLen),
	}
	switch {
	case s.rfc3484:
		// RFC 3484, section 2.2: the common prefix "ranges from 0 to 128".
		c.prefixLen = 128
	case ev.PrefixLen == 0:
		c.prefixLen = 64
	}
	return c
}

// best returns the address that rules 2, 3, 5.5, 6, 7 and 8 put first, and of
// what ties then, the one assigned first. announced are the prefixes of the
// next hop for dst.
func (s sources) best(dst netip.Addr, announced []prefix) (netip.Addr, bool) {
	var (
		winner     candidate
		winnerRank rank
		winnerLen  = -1
	)
	d, dScope, dLabel := bitsOf(dst), scope(dst), s.labels.of(dst)
	for _, t := range s.trees {
		c, n := t.root.longestWithin(announced, d, int(t.class.prefixLen))
		r := s.rank(t.class, dScope, dLabel, n >= 0)
		if winnerLen >= 0 && r < winnerRank {
			continue
		}
		if n < 0 {
			c, n = t.root.longest(d, int(t.class.prefixLen))
		}
		if r > winnerRank || n > winnerLen || n == winnerLen && c.order < winner.order {
			winner, winnerRank, winnerLen = c, r, n
		}
	}
	return winner.addr.netip(), winnerLen >= 0
}

// rank is the place of a class before a destination; the highest is the best.
// Each rule has bits of its own, the first rule the highest. Of a class, those
// addresses have a place of their own that are within an announced prefix.
type rank uint16

func (s sources) rank(c class, dstScope, dstLabel uint8, announced bool) rank {
	var r rank
	// Rule 2: prefer appropriate scope: the smallest that reaches the
	// destination, else the largest.
	if c.scope >= dstScope {
		r = 32 - rank(c.scope)
	} else {
		r = rank(c.scope)
	}
	rule := func(better bool) { r = r<<1 | rank(b2i(better)) }
	rule(!c.deprecated)            // Rule 3: avoid deprecated addresses.
	rule(announced)                // Rule 5.5: prefer a prefix advertised by the next hop.
	rule(c.label == dstLabel)      // Rule 6: prefer matching label.
	rule(c.temporary != s.rfc3484) // Rule 7: temporary; RFC 3484: public.
	return r
}

func (s *sources) insert(edit uint64, cl class, c candidate) {
	s.own(edit)
	for i := range s.trees {
		if t := &s.trees[i]; t.class == cl {
			t.root = t.root.with(edit, c)
			return
		}
	}
	s.trees = append(s.trees, tree{cl, (*node)(nil).with(edit, c)})
}

// remove takes out an address, which is there.
func (s *sources) remove(edit uint64, cl class, addr bits128) {
	s.own(edit)
	i := slices.IndexFunc(s.trees, func(t tree) bool { return t.class == cl })
	if s.trees[i].root = s.trees[i].root.without(edit, addr); s.trees[i].root == nil {
		s.trees = slices.Delete(s.trees, i, i+1)
	}
}

// own makes the list of tries one that no snapshot has.
func (s *sources) own(edit uint64) {
	if s.edit != edit {
		s.edit, s.trees = edit, slices.Clone(s.trees)
	}
}

// scope returns the scope of RFC 6724, section 3.1: that of the group, or for
// unicast the multicast scope that it is mapped to.
func scope(a netip.Addr) uint8 {
	const linkLocal, siteLocal, global = 0x2, 0x5, 0xe
	b := a.As16()
	switch {
	case a.IsMulticast():
		return b[1] & 0xf
	case a.IsLinkLocalUnicast(), a.IsLoopback():
		return linkLocal
	case siteLocalUnicast.Contains(a):
		return siteLocal
	}
	return global
}

// alwaysPreferred reports the address types that RFC 6724, sections 3.3 and
// 3.4, calls "preferred" whatever their lifetimes: those that embed an IPv4
// address, and the loopback address.
func alwaysPreferred(a netip.Addr) bool {
	return a.Is4In6() || ipv4Compatible.Contains(a)
}

var (
	siteLocalUnicast = netip.MustParsePrefix("fec0::/10")
	ipv4Compatible   = netip.MustParsePrefix("::/96")
)
