package mld

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// someFilters are all filters over the sources A and B, and one more of each
// mode.
var someFilters = []Filter{
	none, including(sourceA), including(sourceB), including(sourceA, sourceB), including(sourceB, sourceC),
	all, excluding(sourceA), excluding(sourceB), excluding(sourceA, sourceB), excluding(sourceB, sourceC),
}

var someSources = []netip.Addr{sourceA, sourceB, sourceC}

// Spec: RFC 3810, section 3, must, MLD2-R02
func TestFilterAccepts(t *testing.T) {
	for _, c := range []struct {
		filter   Filter
		accepted []netip.Addr
	}{
		{none, nil},
		{all, []netip.Addr{sourceA, sourceB, sourceC}},
		{including(sourceC, sourceA, sourceA), []netip.Addr{sourceA, sourceC}},
		{excluding(sourceC, sourceA, sourceA), []netip.Addr{sourceB}},
	} {
		f := c.filter.Normal()
		var got []netip.Addr
		for _, s := range someSources {
			if f.Accepts(s) {
				got = append(got, s)
			}
		}
		if diff := cmp.Diff(c.accepted, got, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filterText(f), diff)
		}
	}
	if c := including(sourceB, sourceA); c.Normal().Sources[0] != sourceA || c.Sources[0] != sourceB {
		t.Error("Normal is not in order, or changed its argument")
	}
}

func TestAcceptsAllocatesNothing(t *testing.T) {
	f := excluding(sourceA, sourceB)
	if n := testing.AllocsPerRun(100, func() { f.Accepts(sourceC) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// slowMerge is RFC 3810, section 4.2, word for word.
func slowMerge(filters []Filter) (merged Filter) {
	lists := func(mode FilterMode, a netip.Addr) (n int) {
		for _, f := range filters {
			for _, s := range f.Sources {
				if f.Mode == mode && s == a {
					n++
					break
				}
			}
		}
		return n
	}
	excludes := 0
	for _, f := range filters {
		if f.Mode == Exclude {
			merged.Mode = Exclude
			excludes++
		}
	}
	for _, a := range someSources { // in order
		inAny := lists(Include, a) > 0
		if merged.Mode == Include && inAny || merged.Mode == Exclude && lists(Exclude, a) == excludes && !inAny {
			merged.Sources = append(merged.Sources, a)
		}
	}
	return merged
}

// The two examples of the RFC, and what becomes of the first with a fourth
// socket.
//
// Spec: RFC 3810, section 4.2, must, MLD2-R02
func TestExamplesOfSection42(t *testing.T) {
	a, b, c, d, e, f := addrN(1), addrN(2), addrN(3), addrN(4), addrN(5), addrN(6)
	socket := func(n uint64, f Filter) Change {
		return Change{OpSet, group5, Holder{Kind: HolderSocket, ID: n}, f}
	}
	for _, x := range []struct {
		changes Changes
		want    Filter
	}{
		{Changes{socket(1, excluding(a, b, c, d)), socket(2, excluding(b, c, d, e)), socket(3, including(d, e, f))}, excluding(b, c)},
		{Changes{socket(1, excluding(a, b, c, d)), socket(2, excluding(b, c, d, e)), socket(3, including(d, e, f)), socket(4, all)}, all},
		{Changes{socket(1, including(a, b, c)), socket(2, including(b, c, d)), socket(3, including(e, f))}, including(a, b, c, d, e, f)},
	} {
		h := newHost(t, Config{}, latest)
		h.step(0, x.changes)
		if diff := cmp.Diff(x.want, h.Groups()[0].Filter, compareAddrs); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// addrN is the nth of many sources, in order.
func addrN(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
}

// addrsN are the first n of them.
func addrsN(n int) (addrs []netip.Addr) {
	for i := range n {
		addrs = append(addrs, addrN(i))
	}
	return addrs
}

// The merger is kept as counts; it is at any time what the holders' filters
// merge to, and what was counted goes with them.
//
// Spec: RFC 3810, section 4.2, MUST, MLD2-R02
func TestMergerIsOfAllHolders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(Config{}, choice(latest))
		filters := map[Holder]Filter{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			h := rapid.SampledFrom(someHolders).Draw(t, "holder")
			f := rapid.SampledFrom(someFilters).Draw(t, "filter")
			if filters[h] = f; f.wantsNone() {
				delete(filters, h)
			}
			actions := m.Step(epoch, set(h, f))
			var list []Filter
			for _, f := range filters {
				list = append(list, f)
			}
			want := slowMerge(list)
			switch {
			case len(list) == 0:
				if len(m.Groups()) != 0 || len(m.groups) != 0 {
					t.Fatal("a group without holders")
				}
			case !want.equal(m.Groups()[0].Filter):
				t.Fatalf("%v merge to %s, not %s", list, filterText(want), filterText(m.Groups()[0].Filter))
			}
			for _, s := range someSources {
				if got, want := m.Accepts(group5, s), len(list) > 0 && want.Accepts(s); got != want {
					t.Fatalf("%s accepts %v: %v", filterText(m.Groups()[0].Filter), s, got)
				}
			}
			for _, a := range actions { // the receive path is told the same
				switch a := a.(type) {
				case Joined:
					if !a.Filter.equal(want) {
						t.Fatalf("%s, want %s", text(a), filterText(want))
					}
				case Filtered:
					if !a.Filter.equal(want) {
						t.Fatalf("%s, want %s", text(a), filterText(want))
					}
				}
			}
		}
	})
}

// What was handed out stays as it is.
func TestFiltersAreImmutable(t *testing.T) {
	h := newHost(t, Config{}, latest)
	given := including(sourceB, sourceA)
	joined := h.Step(epoch, set(socket1, given))[0].(Joined)
	given.Sources[0] = sourceC // the caller's to change
	h.step(0, set(socket2, including(sourceC)))
	h.step(0, set(socket1, none))
	if want := including(sourceA, sourceB); !joined.Filter.equal(want) {
		t.Errorf("changed to %s", filterText(joined.Filter))
	}
	if got, want := fmt.Sprint(h.Groups()[0].Filter), fmt.Sprint(including(sourceC)); got != want {
		t.Errorf("filter %s, want %s", got, want)
	}
}
