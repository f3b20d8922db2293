package mld

import (
	"net/netip"
	"slices"
)

// FilterMode is a filter mode (RFC 3810, section 2).
type FilterMode uint8

const (
	Include FilterMode = iota // from the listed sources only
	Exclude                   // from all sources but the listed ones
)

// String returns "include" or "exclude".
func (m FilterMode) String() string {
	if m == Exclude {
		return "exclude"
	}
	return "include"
}

// Filter says from which sources packets to a group are wanted (RFC 3810,
// section 3). The zero value, INCLUDE with an empty list, wants none.
type Filter struct {
	Mode FilterMode
	// Sources may be in any order in what a Machine is given. In what it
	// hands out they are in order, each once, and must not be changed.
	Sources []netip.Addr
}

// Accepts reports whether packets from source are wanted. The filter is one
// that a Machine handed out or that Normal returned. Accepts takes no lock and
// allocates nothing: it is for the receive path.
func (f Filter) Accepts(source netip.Addr) bool {
	_, listed := slices.BinarySearchFunc(f.Sources, source, netip.Addr.Compare)
	return listed == (f.Mode == Include)
}

// Normal returns the filter with its sources in order, each once, in a list of
// its own.
func (f Filter) Normal() Filter {
	f.Sources = inOrder(slices.Clone(f.Sources))
	return f
}

// wantsNone reports whether f is INCLUDE with an empty list: no filter at all.
func (f Filter) wantsNone() bool { return f.Mode == Include && len(f.Sources) == 0 }

// equal compares two filters whose sources are in order.
func (f Filter) equal(other Filter) bool {
	return f.Mode == other.Mode && slices.Equal(f.Sources, other.Sources)
}

// inOrder sorts the addresses and drops repetitions, in place.
func inOrder(addrs []netip.Addr) []netip.Addr {
	if len(addrs) == 0 {
		return nil
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// isSource reports whether a packet can have the source address a: "The Source
// Address [i] fields are a vector of n unicast addresses" (RFC 3810, section
// 5.1.11).
func isSource(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.Zone() == "" && !a.IsUnspecified() && !isGroup(a)
}
