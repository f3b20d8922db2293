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

// node is a node of a binary trie of addresses, path-compressed and immutable:
// a change copies the nodes on its path. An inner node stands for all that is
// below it by the candidate that was assigned first; as all below share their
// bits before bit, that one also tells the prefix.
type node struct {
	first candidate
	child [2]*node // by the value of bit
	bit   uint8    // the first in which the children differ; 128: a leaf
}

const leaf = 128

// with returns the trie with c, in place of an earlier c of the same address.
func (n *node) with(c candidate) *node {
	if n == nil {
		return &node{first: c, bit: leaf}
	}
	common := n.first.addr.common(c.addr)
	switch {
	case common < int(n.bit):
		return join(uint8(common), n, &node{first: c, bit: leaf})
	case n.bit == leaf:
		return &node{first: c, bit: leaf}
	}
	side := c.addr.bit(n.bit)
	return join(n.bit, n.child[side].with(c), n.child[1-side])
}

// without returns the trie without addr, which is in it.
func (n *node) without(addr bits128) *node {
	if n.bit == leaf {
		return nil
	}
	side := addr.bit(n.bit)
	rest := n.child[side].without(addr)
	if rest == nil {
		return n.child[1-side]
	}
	return join(n.bit, rest, n.child[1-side])
}

// join makes the parent of a and b, which differ at bit first.
func join(bit uint8, a, b *node) *node {
	n := &node{first: a.first, bit: bit}
	if b.first.order < a.first.order {
		n.first = b.first
	}
	side := a.first.addr.bit(bit)
	n.child[side], n.child[1-side] = a, b
	return n
}

// longest returns, of the addresses that have the most leading bits in common
// with d, the one assigned first, and how many bits that is; counting ends at
// limit (RFC 6724, section 2.2).
func (n *node) longest(d bits128, limit int) (candidate, int) {
	for {
		common := n.first.addr.common(d)
		if n.bit == leaf || common < int(n.bit) || limit <= int(n.bit) {
			return n.first, min(common, limit)
		}
		n = n.child[d.bit(n.bit)]
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
		if n.first.addr.common(p.addr) < min(int(n.bit), p.bits) {
			return nil
		}
		if int(n.bit) >= p.bits {
			return n
		}
		n = n.child[p.addr.bit(n.bit)]
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
