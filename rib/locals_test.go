package rib

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// localAddr is one of 4,096 addresses, so that many come back.
func localAddr(n int) (a [16]byte) {
	binary.BigEndian.PutUint64(a[8:], uint64(n)%4096)
	return a
}

// wantLocals compares a set with a model of it, over all addresses.
func wantLocals(t *testing.T, what string, set *locals, model map[[16]byte]bool) {
	t.Helper()
	for n := range 4096 {
		a := localAddr(n)
		anycast, in := model[a]
		switch l := set.find(a); {
		case (l != nil) != in:
			t.Fatalf("%s: %x is found: %v, want %v", what, a, l != nil, in)
		case in && l.anycast != anycast:
			t.Fatalf("%s: %x is anycast: %v, want %v", what, a, l.anycast, anycast)
		}
	}
	if len(model) == 0 && set != nil {
		t.Errorf("%s: an empty set is not nil", what)
	}
}

// The set is what a map would be, and a snapshot of it stays what it was.
func TestLocalsAreAPersistentMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var set *locals
	model := make(map[[16]byte]bool)
	edit := uint64(0)
	for range 30 {
		grows := r.IntN(2) == 0
		old, oldModel := set, make(map[[16]byte]bool)
		for a, anycast := range model {
			oldModel[a] = anycast
		}
		edit++ // as a snapshot does
		for range r.IntN(4000) {
			a := localAddr(r.IntN(4096))
			_, in := model[a]
			switch {
			case grows || !in:
				anycast := r.IntN(8) == 0
				set, model[a] = set.with(edit, local{a, anycast}), anycast
			default:
				set = set.without(edit, a)
				delete(model, a)
			}
		}
		wantLocals(t, "the set", set, model)
		wantLocals(t, "its snapshot", old, oldModel)
	}
	edit++
	for a := range model {
		set = set.without(edit, a)
	}
	wantLocals(t, "the emptied set", set, nil)
}

// Addresses whose hashes are the same to the last bit are told apart.
func TestLocalsWithTheSameHash(t *testing.T) {
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f // of hash
	inverse := uint64(odd1)
	for range 6 { // Newton: each doubles the bits that are right
		inverse *= 2 - odd1*inverse
	}
	same := func(lo uint64) (a [16]byte) {
		binary.BigEndian.PutUint64(a[:8], inverse*(12345^bits.RotateLeft64(lo*odd2, 29)))
		binary.BigEndian.PutUint64(a[8:], lo)
		return a
	}
	const n = 3 * localsPerLeaf
	var set *locals
	for lo := range uint64(n) {
		if hash(same(lo), 0) != hash(same(0), 0) {
			t.Fatal("the hashes differ")
		}
		set = set.with(1, local{addr: same(lo)})
	}
	for lo := range uint64(2 * n) {
		if found := set.find(same(lo)) != nil; found != (lo < n) {
			t.Errorf("address %d is found: %v", lo, found)
		}
	}
	for lo := range uint64(n) {
		set = set.without(2, same(lo))
	}
	if set != nil {
		t.Error("an empty set is not nil")
	}
}
