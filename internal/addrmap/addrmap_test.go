package addrmap

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func key(k int) (a [16]byte) {
	binary.BigEndian.PutUint64(a[8:], uint64(k))
	return a
}

// TestModel: a Map is a Go map from addresses to words.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, model := New(), map[[16]byte]uint64{}
		most := rapid.IntRange(1, 1000).Draw(t, "addresses")
		for range rapid.IntRange(0, 2000).Draw(t, "steps") {
			a := key(rapid.IntRange(0, most).Draw(t, "address"))
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				m.Delete(a)
				delete(model, a)
			} else {
				word := rapid.Uint64Min(1).Draw(t, "word")
				m.Set(a, word)
				model[a] = word
			}
		}
		if m.Len() != len(model) {
			t.Errorf("Len %d, want %d", m.Len(), len(model))
		}
		for k := range most + 1 {
			want, ok := model[key(k)]
			e := m.Find(key(k))
			if (e != nil) != ok || ok && e.Load() != want {
				t.Errorf("address %d: %v, want %d, %v", k, e, want, ok)
			}
		}
	})
}

// TestDeleted: who found an entry before it was deleted sees that it is gone,
// and cannot bring it back.
func TestDeleted(t *testing.T) {
	m := New()
	m.Set(key(1), 5)
	e := m.Find(key(1))
	m.Delete(key(1))
	if e.Load() != 0 || e.CompareAndSwap(5, 6) || m.Find(key(1)) != nil {
		t.Error("the entry is still there")
	}
}

// TestReadersUnderChange: readers find every address that stays, while others
// come and go and the table grows.
func TestReadersUnderChange(t *testing.T) {
	m := New()
	const stay = 50
	for k := range stay {
		m.Set(key(k), 1)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for k := 0; !stop.Load(); k++ {
				if e := m.Find(key(k % stay)); e == nil || e.Load() == 0 {
					t.Errorf("address %d is lost", k%stay)
					return
				}
			}
		})
	}
	const most = 1 << 15
	for k := range most {
		m.Set(key(stay+k), 1)
		if k >= most/2 {
			m.Delete(key(stay + k - most/2))
		}
	}
	stop.Store(true)
	wg.Wait()
	if m.Len() != stay+most/2 {
		t.Errorf("Len %d, want %d", m.Len(), stay+most/2)
	}
}

// TestNoSwapIsLost: what readers change while the table grows is not lost.
func TestNoSwapIsLost(t *testing.T) {
	m := New()
	const counted = 16
	for k := range counted {
		m.Set(key(k), 1)
	}
	var stop atomic.Bool
	var added atomic.Uint64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for k := 0; !stop.Load(); k++ {
				e := m.Find(key(k % counted))
				if word := e.Load(); e.CompareAndSwap(word, word+1) {
					added.Add(1)
				}
			}
		})
	}
	for k := range 1 << 15 {
		m.Set(key(counted+k), 1)
	}
	stop.Store(true)
	wg.Wait()
	total := uint64(0)
	for k := range counted {
		total += m.Find(key(k)).Load() - 1
	}
	if total != added.Load() {
		t.Errorf("%d of %d changes are there", total, added.Load())
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	m := New()
	m.Set(key(1), 1)
	if n := testing.AllocsPerRun(100, func() { m.Find(key(1)); m.Find(key(2)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFind looks up addresses of a table of size n, all of them one after
// the other or the same few again and again.
func BenchmarkFind(b *testing.B) {
	for _, bench := range []struct{ n, used int }{{10, 10}, {65_536, 1000}, {65_536, 65_536}} {
		b.Run(fmt.Sprintf("%d of %d", bench.used, bench.n), func(b *testing.B) {
			m := New()
			for k := range bench.n {
				m.Set(key(k), 1)
			}
			k := 0
			for b.Loop() {
				if m.Find(key(k)).Load() == 0 {
					b.Fatal(k)
				}
				if k++; k == bench.used {
					k = 0
				}
			}
		})
	}
}
