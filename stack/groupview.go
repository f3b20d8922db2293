package stack

import (
	"net/netip"
	"sync/atomic"

	"github.com/tapstack/tapstack/internal/addrmap"
	"github.com/tapstack/tapstack/mld"
)

// groupView is which groups are listened to, and which of their sources, for
// the data path: one goroutine at a time writes it and any number read, without
// a lock and without an allocation. A change costs O(1) in the groups.
type groupView struct {
	// table has for each group 1, if it takes all sources, else the place of
	// its filter plus 2.
	table   *addrmap.Map
	filters atomic.Pointer[[]atomic.Pointer[groupFilter]]
	free    []uint64 // places that are empty
}

// groupFilter names its group, because its place may be another's by the time
// it is looked at.
type groupFilter struct {
	group [16]byte
	mld.Filter
}

const allSources, firstFilter = 1, 2

func newGroupView() *groupView {
	v := &groupView{table: addrmap.New()}
	v.filters.Store(new([]atomic.Pointer[groupFilter]))
	return v
}

// lookup reports whether the group is listened to, and if so, whether packets
// from source are wanted, which has no zone.
func (v *groupView) lookup(group [16]byte, source netip.Addr) (listened, wanted bool) {
	e := v.table.Find(group)
	if e == nil {
		return false, false
	}
	for {
		switch word := e.Load(); word {
		case 0: // deleted meanwhile
			return false, false
		case allSources:
			return true, true
		default:
			f := (*v.filters.Load())[word-firstFilter].Load()
			if f != nil && f.group == group {
				return true, f.Accepts(source)
			}
			// The word was changed before its place was given up: look again.
		}
	}
}

// set enters a group or changes its filter, which must be one that a Machine
// handed out.
func (v *groupView) set(group [16]byte, f mld.Filter) {
	if f.Mode == mld.Exclude && len(f.Sources) == 0 {
		place, had := v.place(group)
		v.table.Set(group, allSources)
		if had {
			v.vacate(place)
		}
		return
	}
	place, had := v.place(group)
	if !had {
		place = v.vacancy()
	}
	(*v.filters.Load())[place].Store(&groupFilter{group, f})
	if !had {
		v.table.Set(group, place+firstFilter)
	}
}

// remove forgets a group.
func (v *groupView) remove(group [16]byte) {
	place, had := v.place(group)
	v.table.Delete(group)
	if had {
		v.vacate(place)
	}
}

// place is where the filter of a group is, if it has one.
func (v *groupView) place(group [16]byte) (place uint64, ok bool) {
	e := v.table.Find(group)
	if e == nil || e.Load() < firstFilter {
		return 0, false
	}
	return e.Load() - firstFilter, true
}

func (v *groupView) vacate(place uint64) {
	(*v.filters.Load())[place].Store(nil)
	v.free = append(v.free, place)
}

// vacancy returns a place that is empty.
func (v *groupView) vacancy() uint64 {
	if len(v.free) == 0 {
		old := *v.filters.Load()
		grown := make([]atomic.Pointer[groupFilter], max(4, 2*len(old)))
		for k := range old {
			grown[k].Store(old[k].Load())
		}
		v.filters.Store(&grown)
		for k := len(old); k < len(grown); k++ {
			v.free = append(v.free, uint64(k))
		}
	}
	last := len(v.free) - 1
	place := v.free[last]
	v.free = v.free[:last]
	return place
}
