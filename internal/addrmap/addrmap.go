// Package addrmap is a hash table of IPv6 addresses for the data path: one
// goroutine at a time writes it, and any number read it without a lock and
// without an allocation. Each address has one word, which readers may change
// too, by compare and swap.
package addrmap

import (
	"hash/maphash"
	"sync/atomic"
)

// Map is a table. Set, Delete and Len are the writer's: one call at a time.
// Find, and the methods of what it returns, are everybody's.
type Map struct {
	seed  maphash.Seed
	table atomic.Pointer[table]
	count int
}

// table is the heads of the chains. Each Entry is in two chains at most: that
// of the newest table and, until all readers have left it, that of the one
// before. side says which of the two links belongs to this table.
type table struct {
	heads []atomic.Pointer[Entry]
	side  int
}

// Entry is an address in a Map, until it is deleted.
type Entry struct {
	addr [16]byte
	word atomic.Uint64
	next [2]atomic.Pointer[Entry]
}

// firstSize is the number of chains of a new Map.
const firstSize = 64

// New makes an empty Map.
func New() *Map {
	m := &Map{seed: maphash.MakeSeed()}
	m.table.Store(&table{heads: make([]atomic.Pointer[Entry], firstSize)})
	return m
}

func (m *Map) head(t *table, addr [16]byte) *atomic.Pointer[Entry] {
	return &t.heads[maphash.Comparable(m.seed, addr)&uint64(len(t.heads)-1)]
}

// Find returns the entry of an address, or nil.
func (m *Map) Find(addr [16]byte) *Entry {
	t := m.table.Load()
	for {
		for e := m.head(t, addr).Load(); e != nil; e = e.next[t.side].Load() {
			if e.addr == addr {
				return e
			}
		}
		// Who stays in an old table while the Map grows twice may be led into
		// the wrong chain.
		newest := m.table.Load()
		if newest == t {
			return nil
		}
		t = newest
	}
}

// Load returns the word: 0 once the address was deleted.
func (e *Entry) Load() uint64 { return e.word.Load() }

// CompareAndSwap changes the word if it is old, which must not be 0.
func (e *Entry) CompareAndSwap(old, word uint64) bool { return e.word.CompareAndSwap(old, word) }

// Set gives an address its word, which must not be 0.
func (m *Map) Set(addr [16]byte, word uint64) {
	if e := m.Find(addr); e != nil {
		e.word.Store(word)
		return
	}
	t := m.table.Load()
	if m.count >= len(t.heads) {
		t = m.grow(t)
	}
	e := &Entry{addr: addr}
	e.word.Store(word)
	head := m.head(t, addr)
	e.next[t.side].Store(head.Load())
	head.Store(e)
	m.count++
}

// Delete forgets an address.
func (m *Map) Delete(addr [16]byte) {
	t := m.table.Load()
	at := m.head(t, addr)
	for e := at.Load(); e != nil; e = e.next[t.side].Load() {
		if e.addr == addr {
			e.word.Store(0)
			at.Store(e.next[t.side].Load())
			m.count--
			return
		}
		at = &e.next[t.side]
	}
}

// Len is the number of addresses.
func (m *Map) Len() int { return m.count }

// grow doubles the table. The entries stay what they are, so that no change of
// a word by a reader is lost: they are chained anew by their other link, while
// readers go on in the old table by the first.
func (m *Map) grow(old *table) *table {
	t := &table{heads: make([]atomic.Pointer[Entry], 2*len(old.heads)), side: 1 - old.side}
	for i := range old.heads {
		for e := old.heads[i].Load(); e != nil; e = e.next[old.side].Load() {
			head := m.head(t, e.addr)
			e.next[t.side].Store(head.Load())
			head.Store(e)
		}
	}
	m.table.Store(t)
	return t
}
