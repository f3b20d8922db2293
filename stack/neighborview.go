package stack

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"

	"github.com/tapstack/tapstack/nd"
)

// neighborView is what the data path knows of the neighbors: a hash table that
// one goroutine (the loop) writes and any number read, without a lock. A change
// of state stores one word; adding and losing a neighbor is O(1).
type neighborView struct {
	seed    maphash.Seed
	buckets atomic.Pointer[[]atomic.Pointer[neighborEntry]]
	count   int // the writer's
}

// neighborEntry is one neighbor with a link-layer address.
type neighborEntry struct {
	addr [16]byte
	word atomic.Uint64 // entryPresent, entryTell and the link-layer address
	next atomic.Pointer[neighborEntry]
}

const (
	entryPresent = 1 << 48 // cleared when the entry is gone
	entryTell    = 1 << 49 // the loop wants to know of the next use
)

func newNeighborView() *neighborView {
	v := &neighborView{seed: maphash.MakeSeed()}
	buckets := make([]atomic.Pointer[neighborEntry], 64)
	v.buckets.Store(&buckets)
	return v
}

func (v *neighborView) bucket(buckets []atomic.Pointer[neighborEntry], addr [16]byte) *atomic.Pointer[neighborEntry] {
	return &buckets[maphash.Comparable(v.seed, addr)&uint64(len(buckets)-1)]
}

func (v *neighborView) find(addr [16]byte) *neighborEntry {
	for e := v.bucket(*v.buckets.Load(), addr).Load(); e != nil; e = e.next.Load() {
		if e.addr == addr {
			return e
		}
	}
	return nil
}

// lookup returns the link-layer address of a neighbor. tell is true for
// exactly one caller after the loop asked to be told of the next use.
func (v *neighborView) lookup(addr [16]byte) (l nd.LinkAddr, tell, ok bool) {
	e := v.find(addr)
	if e == nil {
		return nd.LinkAddr{}, false, false
	}
	word := e.word.Load()
	if word&entryPresent == 0 {
		return nd.LinkAddr{}, false, false
	}
	if word&entryTell != 0 {
		tell = e.word.CompareAndSwap(word, word&^entryTell)
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
	if e := v.find(addr); e != nil {
		e.word.Store(word)
		return
	}
	if v.count >= 2*len(*v.buckets.Load()) {
		v.grow()
	}
	e := &neighborEntry{addr: addr}
	e.word.Store(word)
	head := v.bucket(*v.buckets.Load(), addr)
	e.next.Store(head.Load())
	head.Store(e)
	v.count++
}

// remove forgets a neighbor. Only the loop calls it.
func (v *neighborView) remove(addr [16]byte) {
	at := v.bucket(*v.buckets.Load(), addr)
	for e := at.Load(); e != nil; e = e.next.Load() {
		if e.addr == addr {
			e.word.Store(0)
			at.Store(e.next.Load())
			v.count--
			return
		}
		at = &e.next
	}
}

// grow doubles the table. Readers go on in the old one, whose entries are
// copied and not moved, until they load the new one; a word that they change
// meanwhile is a lost entryTell at most, which is set again at the next change
// of state.
func (v *neighborView) grow() {
	old := *v.buckets.Load()
	buckets := make([]atomic.Pointer[neighborEntry], 2*len(old))
	for i := range old {
		for e := old[i].Load(); e != nil; e = e.next.Load() {
			c := &neighborEntry{addr: e.addr}
			c.word.Store(e.word.Load())
			head := v.bucket(buckets, c.addr)
			c.next.Store(head.Load())
			head.Store(c)
		}
	}
	v.buckets.Store(&buckets)
}
