package rib

// locals is a set of assigned addresses: a trie of their hashes, four bits at
// each level, with a few addresses in each leaf. It is persistent, like the
// routes: a snapshot keeps what it has. But only the first change after a
// snapshot copies a node; from then on until the next one, the node is the
// table's alone, and is changed in place. So that 100,000 addresses that are
// assigned in one step cost about as much as in a map, and one address that
// goes costs a copy of its path.
type locals struct {
	edit  uint64 // of the node: see Table.edit
	addrs []local
	below *[localFanout]*locals // nil: a leaf; else addrs is empty
}

type local struct {
	addr    [16]byte
	anycast bool
}

const (
	localBits   = 4
	localFanout = 1 << localBits
	// localsPerLeaf is how many addresses a leaf has before it is divided. A
	// leaf that no bit of the hash is left for takes any number.
	localsPerLeaf = 8
)

// find returns the entry of a, or nil.
func (n *locals) find(a [16]byte) *local {
	if n == nil {
		return nil
	}
	for h := hash(a, 0); n.below != nil; h <<= localBits {
		if n = n.below[h>>(64-localBits)]; n == nil {
			return nil
		}
	}
	for i := range n.addrs {
		if n.addrs[i].addr == a {
			return &n.addrs[i]
		}
	}
	return nil
}

// with returns the set with l, in place of an earlier entry of its address.
func (n *locals) with(edit uint64, l local) *locals { return n.insert(edit, hash(l.addr, 0), 64, l) }

// insert is with below a node to which all but the first bits of the hash lead,
// which are shifted out of h.
func (n *locals) insert(edit, h uint64, bits int, l local) *locals {
	if n = n.own(edit); n.below == nil {
		for i := range n.addrs {
			if n.addrs[i].addr == l.addr {
				n.addrs[i] = l
				return n
			}
		}
		if len(n.addrs) < localsPerLeaf || bits == 0 {
			n.addrs = append(n.addrs, l)
			return n
		}
		n.divide(edit, bits)
	}
	side := h >> (64 - localBits)
	n.below[side] = n.below[side].insert(edit, h<<localBits, bits-localBits, l)
	return n
}

// divide makes a leaf a node with leaves below.
func (n *locals) divide(edit uint64, bits int) {
	all := n.addrs
	n.addrs, n.below = nil, new([localFanout]*locals)
	for _, l := range all {
		h := hash(l.addr, 0) << (64 - bits)
		side := h >> (64 - localBits)
		n.below[side] = n.below[side].insert(edit, h<<localBits, bits-localBits, l)
	}
}

// without returns the set without a, which is in it; nil: it is empty. A node
// goes with the last of what is below it.
func (n *locals) without(edit uint64, a [16]byte) *locals { return n.remove(edit, hash(a, 0), a) }

func (n *locals) remove(edit, h uint64, a [16]byte) *locals {
	n = n.own(edit)
	if n.below != nil {
		side := h >> (64 - localBits)
		n.below[side] = n.below[side].remove(edit, h<<localBits, a)
		if *n.below == [localFanout]*locals{} {
			return nil
		}
		return n
	}
	last := len(n.addrs) - 1
	for i := range n.addrs {
		if n.addrs[i].addr == a {
			n.addrs[i] = n.addrs[last]
			break
		}
	}
	if n.addrs = n.addrs[:last]; last == 0 {
		return nil
	}
	return n
}

// own returns a node that may be changed in this edit: n itself if it was made
// in it, else a copy. A nil n is an empty leaf.
func (n *locals) own(edit uint64) *locals {
	switch {
	case n == nil:
		return &locals{edit: edit}
	case n.edit == edit:
		return n
	case n.below == nil:
		return &locals{edit: edit, addrs: append([]local(nil), n.addrs...)}
	}
	below := *n.below
	return &locals{edit: edit, below: &below}
}
