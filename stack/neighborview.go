package stack

import (
	"encoding/binary"

	"github.com/tapstack/tapstack/internal/addrmap"
	"github.com/tapstack/tapstack/nd"
)

// neighborView is what the data path knows of the neighbors: a table that one
// goroutine (the loop) writes and any number read, without a lock. A change of
// state stores one word; adding and losing a neighbor is O(1).
type neighborView struct{ table *addrmap.Map }

// The word of a neighbor is its link-layer address and these.
const (
	entryPresent = 1 << 48 // so that no word is 0
	entryTell    = 1 << 49 // the loop wants to know of the next use
)

func newNeighborView() *neighborView { return &neighborView{table: addrmap.New()} }

// lookup returns the link-layer address of a neighbor. tell is true for
// exactly one caller after the loop asked to be told of the next use.
func (v *neighborView) lookup(addr [16]byte) (l nd.LinkAddr, tell, ok bool) {
	e := v.table.Find(addr)
	if e == nil {
		return nd.LinkAddr{}, false, false
	}
	word := e.Load()
	if word&entryPresent == 0 { // deleted meanwhile
		return nd.LinkAddr{}, false, false
	}
	if word&entryTell != 0 {
		tell = e.CompareAndSwap(word, word&^entryTell)
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], word)
	return nd.LinkAddr(b[2:8]), tell, true
}

// set enters or changes a neighbor. Only the loop calls it.
func (v *neighborView) set(addr [16]byte, l nd.LinkAddr, tell bool) {
	var b [8]byte
	copy(b[2:], l[:])
	word := binary.BigEndian.Uint64(b[:]) | entryPresent
	if tell {
		word |= entryTell
	}
	v.table.Set(addr, word)
}

// remove forgets a neighbor. Only the loop calls it.
func (v *neighborView) remove(addr [16]byte) { v.table.Delete(addr) }
