package rib

import "net/netip"

// sources are the candidate sources of an interface (RFC 6724, section 4),
// immutable. They are sorted into classes: the members of one class differ
// in nothing that rules 2 to 7 look at, but for rule 5.5, which asks for a few
// prefixes. So rule 8 alone decides among those within one of them, or among
// all, by a walk down a trie. There are few classes, however many addresses.
type sources struct {
	rfc3484 bool
	labels  labels
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

func (s sources) with(cl class, c candidate) sources {
	return s.change(cl, func(n *node) *node { return n.with(c) })
}

func (s sources) without(cl class, addr bits128) sources {
	return s.change(cl, func(n *node) *node { return n.without(addr) })
}

// change copies s with another trie for class cl.
func (s sources) change(cl class, edit func(*node) *node) sources {
	trees := make([]tree, 0, len(s.trees)+1)
	var root *node
	for _, t := range s.trees {
		if t.class == cl {
			root = t.root
			continue
		}
		trees = append(trees, t)
	}
	if root = edit(root); root != nil {
		trees = append(trees, tree{cl, root})
	}
	s.trees = trees
	return s
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
