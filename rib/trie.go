package rib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// candidate is an address that may be a source, and when it was assigned.
type candidate struct {
	addr  bits128
	order uint64
}

// node is a node of a binary trie of addresses, path-compressed and persistent:
// a change copies the nodes on its path, save those that were made in the same
// edit, which no snapshot has (see locals). An inner node stands for all that is
// below it by the candidate that was assigned first; as all below share their
// bits before bit, that one also tells the prefix.
type node struct {
	first candidate
	child [2]*node // by the value of bit
	mark  uint64   // the edit in which it was made, then 8 bits: see bit
}

const leaf = 128

func newNode(edit uint64, bit uint8) *node { return &node{mark: edit<<8 | uint64(bit)} }

// bit is the first in which the children differ; 128: a leaf.
func (n *node) bit() uint8 { return uint8(n.mark) }

// own returns a node that may be changed in this edit: n itself or a copy.
func (n *node) own(edit uint64) *node {
	if n.mark>>8 == edit {
		return n
	}
	c := newNode(edit, n.bit())
	c.first, c.child = n.first, n.child
	return c
}

// with returns the trie with c, in place of an earlier c of the same address.
func (n *node) with(edit uint64, c candidate) *node {
	if n == nil {
		l := newNode(edit, leaf)
		l.first = c
		return l
	}
	common := n.first.addr.common(c.addr)
	switch {
	case common < int(n.bit()):
		parent := newNode(edit, uint8(common))
		side := c.addr.bit(uint8(common))
		parent.child[side], parent.child[1-side] = (*node)(nil).with(edit, c), n
		parent.choose()
		return parent
	case n.bit() == leaf:
		n = n.own(edit)
		n.first = c
		return n
	}
	side := c.addr.bit(n.bit())
	child := n.child[side].with(edit, c)
	n = n.own(edit)
	n.child[side] = child
	n.choose()
	return n
}

// without returns the trie without addr, which is in it.
func (n *node) without(edit uint64, addr bits128) *node {
	if n.bit() == leaf {
		return nil
	}
	side := addr.bit(n.bit())
	rest := n.child[side].without(edit, addr)
	if rest == nil {
		return n.child[1-side]
	}
	n = n.own(edit)
	n.child[side] = rest
	n.choose()
	return n
}

// choose has the children tell who stands for them.
func (n *node) choose() {
	if n.first = n.child[0].first; n.child[1].first.order < n.first.order {
		n.first = n.child[1].first
	}
}

// longest returns, of the addresses that have the most leading bits in common
// with d, the one assigned first, and how many bits that is; counting ends at
// limit (RFC 6724, section 2.2).
func (n *node) longest(d bits128, limit int) (candidate, int) {
	for {
		common := n.first.addr.common(d)
		if n.bit() == leaf || common < int(n.bit()) || limit <= int(n.bit()) {
			return n.first, min(common, limit)
		}
		n = n.child[d.bit(n.bit())]
	}
}

// longestWithin is longest among the addresses that are within one of prefixes;
// it returns -1 if none is.
func (n *node) longestWithin(prefixes []prefix, d bits128, limit int) (best candidate, bits int) {
	bits = -1
	for _, p := range prefixes {
		below := n.within(p)
		if below == nil {
			continue
		}
		c, common := below.longest(d, limit)
		if common > bits || common == bits && c.order < best.order {
			best, bits = c, common
		}
	}
	return best, bits
}

// within returns the node that stands for the addresses of p, nil if there are
// none.
func (n *node) within(p prefix) *node {
	for {
		if n.first.addr.common(p.addr) < min(int(n.bit()), p.bits) {
			return nil
		}
		if int(n.bit()) >= p.bits {
			return n
		}
		n = n.child[p.addr.bit(n.bit())]
	}
}

// prefix is a prefix as numbers.
type prefix struct {
	addr bits128
	bits int
}

func prefixOf(p netip.Prefix) prefix { return prefix{bitsOf(p.Addr()), p.Bits()} }

func (p prefix) contains(a bits128) bool { return p.addr.common(a) >= p.bits }

// bits128 is an address as two numbers.
type bits128 struct{ hi, lo uint64 }

func bitsFrom(a [16]byte) bits128 {
	return bits128{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

func bitsOf(a netip.Addr) bits128 { return bitsFrom(a.As16()) }

func (b bits128) netip() netip.Addr {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], b.hi)
	binary.BigEndian.PutUint64(a[8:], b.lo)
	return netip.AddrFrom16(a)
}

// bit returns bit i, counted from the left.
func (b bits128) bit(i uint8) int {
	if i < 64 {
		return int(b.hi >> (63 - i) & 1)
	}
	return int(b.lo >> (127 - i) & 1)
}

// common returns how many leading bits a and b share.
func (b bits128) common(o bits128) int {
	if x := b.hi ^ o.hi; x != 0 {
		return bits.LeadingZeros64(x)
	}
	return 64 + bits.LeadingZeros64(b.lo^o.lo)
}
