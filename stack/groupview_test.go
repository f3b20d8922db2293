package stack

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/tapstack/tapstack/mld"
)

func TestGroupView(t *testing.T) {
	v := newGroupView()
	key := func(k int) [16]byte { return [16]byte{0: 0xff, 1: 5, 14: byte(k >> 8), 15: byte(k)} }
	want := func(k int, source netip.Addr, listened, wanted bool) {
		t.Helper()
		if l, w := v.lookup(key(k), source); l != listened || w != wanted {
			t.Errorf("group %d, source %v: listened to %v, wanted %v, want %v, %v", k, source, l, w, listened, wanted)
		}
	}
	only := func(s netip.Addr) mld.Filter { return mld.Filter{Mode: mld.Include, Sources: []netip.Addr{s}} }
	want(0, sourceA, false, false)
	for k := range 100 {
		v.set(key(k), only(sourceA))
		want(k, sourceA, true, true)
		want(k, sourceB, true, false)
	}
	v.set(key(1), mld.Filter{Mode: mld.Exclude})
	want(1, sourceB, true, true)
	v.set(key(1), mld.Filter{Mode: mld.Exclude, Sources: []netip.Addr{sourceA}})
	want(1, sourceA, true, false)
	want(1, sourceB, true, true)
	v.set(key(1), only(sourceB))
	want(1, sourceA, true, false)
	for k := range 100 {
		v.remove(key(k))
		v.remove(key(k))
		want(k, sourceA, false, false)
	}
	if places := len(*v.filters.Load()); len(v.free) != places || places > 128 {
		t.Errorf("%d of %d places are free after all groups were left", len(v.free), places)
	}
	v.set(key(1), only(sourceA))
	if n := testing.AllocsPerRun(100, func() { v.lookup(key(1), sourceA) }); n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
}

// A reader never sees one group with the filter of another, nor a group that
// is changed without any filter.
func TestGroupViewWhileItChanges(t *testing.T) {
	v := newGroupView()
	fixed, other := [16]byte{0: 0xff, 15: 1}, [16]byte{0: 0xff, 15: 2}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if listened, wanted := v.lookup(fixed, sourceA); listened && !wanted {
					t.Error("the source that the group always has is not wanted")
					return
				}
				if _, wanted := v.lookup(other, sourceA); wanted {
					t.Error("the source that the other group never has is wanted")
					return
				}
			}
		})
	}
	for range 20_000 {
		v.set(fixed, mld.Filter{Mode: mld.Include, Sources: []netip.Addr{sourceA}})
		v.set(other, mld.Filter{Mode: mld.Include, Sources: []netip.Addr{sourceB}})
		v.set(fixed, mld.Filter{Mode: mld.Exclude})
		v.remove(other)
		v.set(other, mld.Filter{Mode: mld.Exclude, Sources: []netip.Addr{sourceA}})
		v.set(fixed, mld.Filter{Mode: mld.Exclude, Sources: []netip.Addr{sourceB}})
		v.remove(fixed)
		v.remove(other)
	}
	close(done)
	readers.Wait()
}

// BenchmarkGroupView is what a received datagram to one of n groups costs.
func BenchmarkGroupView(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v := newGroupView()
			key := func(k int) [16]byte { return [16]byte{0: 0xff, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)} }
			for k := range n {
				v.set(key(k), mld.Filter{Mode: mld.Include, Sources: []netip.Addr{sourceA}})
			}
			b.ReportAllocs()
			for k := 0; b.Loop(); k++ {
				v.lookup(key(k%n), sourceA)
			}
		})
	}
}
