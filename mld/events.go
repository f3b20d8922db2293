package mld

import (
	"net/netip"
	"strconv"
	"time"
)

// Holder says who holds a membership. Holders are compared by value: whoever
// joins names itself, and only that holder's hold ends when it leaves.
type Holder struct {
	Kind HolderKind
	Addr netip.Addr // HolderAddress
	ID   uint64     // HolderSocket
}

// HolderKind is the kind of a Holder.
type HolderKind uint8

const (
	HolderNode    HolderKind = iota + 1 // the interface itself: ff02::1
	HolderAddress                       // an address, its solicited-node group
	HolderSocket                        // a socket
	HolderStatic                        // an operator or the embedding program
)

// String returns for example "address fe80::1", "socket 7", "static", "node".
func (h Holder) String() string {
	switch h.Kind {
	case HolderNode:
		return "node"
	case HolderAddress:
		return "address " + h.Addr.String()
	case HolderSocket:
		return "socket " + strconv.FormatUint(h.ID, 10)
	case HolderStatic:
		return "static"
	}
	return "unknown"
}

// Header is what the machine needs to know of the packet around a message.
type Header struct {
	Src, Dst netip.Addr
	HopLimit uint8
	// RouterAlert says that the packet had a Hop-by-Hop Options header with a
	// Router Alert option of value 0 (RFC 2711).
	RouterAlert bool
	// Version1 says that the host knows RFC 2710 alone, for which a Query of
	// any length is one of version 1.
	Version1 bool
}

// Event is an input of Machine.
type Event interface{ isEvent() }

// Op is what a Change does.
type Op uint8

const (
	// OpListen begins a membership for all sources that is not reported: the
	// group is received (and shown), but nothing is sent for it until another
	// operation, not even an answer to a query (RFC 4862, section 5.4.2: the
	// join is delayed, the listening is not). It does nothing to a membership
	// that the holder has.
	OpListen Op = iota + 1
	// OpJoin is OpSet with EXCLUDE and an empty list: all sources.
	OpJoin
	// OpLeave is OpSet with INCLUDE and an empty list: it ends the holder's
	// membership; without one it does nothing. The group ends with its last
	// holder: until then one that is reported stays so, even if those who are
	// left only listen.
	OpLeave
	// OpSet puts Filter in place of what the holder had of the group, and has
	// it reported: IPv6MulticastListen of RFC 3810, section 3.
	OpSet
)

// Change is one change of one holder's membership.
type Change struct {
	Op     Op
	Group  netip.Addr
	Holder Holder
	Filter Filter // OpSet
}

// ends reports whether c ends the holder's membership.
func (c Change) ends() bool {
	return c.Op == OpLeave || c.Op == OpSet && c.Filter.wantsNone()
}

// filter is the filter of the membership that c begins or changes.
func (c Change) filter() Filter {
	if c.Op == OpSet {
		return c.Filter
	}
	return Filter{Mode: Exclude}
}

type (
	// Changes are made together and reported together, in as few packets as
	// the records fit in. Those that Check refuses are ignored and counted.
	Changes []Change
	// SetLinkLocal names the source of reports: a valid link-local address,
	// or the unspecified address while there is none (RFC 3590). A change to
	// a valid address reports every group again.
	SetLinkLocal struct{ Addr netip.Addr }
	// Up says that the link can carry packets: every membership is reported
	// anew. A new Machine is down.
	Up struct{}
	// Down says that it cannot: what was to be sent is forgotten, memberships
	// stay.
	Down struct{}
	// SetMTU changes the MTU that reports are packed to, 1280 or more.
	SetMTU struct{ MTU int }
	// Received is a valid message from the link.
	Received struct {
		Header
		Message Message
	}
	// Invalid says that Parse refused a message: it is counted.
	Invalid struct{ Reason Reason }
)

func (Changes) isEvent()      {}
func (SetLinkLocal) isEvent() {}
func (Up) isEvent()           {}
func (Down) isEvent()         {}
func (SetMTU) isEvent()       {}
func (Received) isEvent()     {}
func (Invalid) isEvent()      {}

// Action is an output of Machine.
type Action interface{ isAction() }

type (
	// Send puts Message on the wire with hop limit 1 and a Hop-by-Hop Router
	// Alert.
	Send struct {
		Src, Dst netip.Addr
		Message  Message
	}
	// Joined says that a group got its first holder: the receive filter opens.
	// Filter is the merger of all holders' filters (RFC 3810, section 4.2).
	Joined struct {
		Group netip.Addr
		Filter
	}
	// Filtered says that the merger of the holders' filters of a group became
	// another.
	Filtered struct {
		Group netip.Addr
		Filter
	}
	// Left says that a group lost its last holder: the receive filter closes.
	Left struct{ Group netip.Addr }
)

func (Send) isAction()     {}
func (Joined) isAction()   {}
func (Filtered) isAction() {}
func (Left) isAction()     {}

// Config parametrises a Machine. The zero value is RFC 3810.
type Config struct {
	// Version is the mode at start: 0 or 2 for MLDv2 (RFC 3810), 1 for MLDv1
	// (RFC 2710).
	Version int
	// IgnoreV1 makes MLDv2 deaf to Queries of version 1, so that a forged one
	// cannot turn source filters off: the defence of RFC 3810, section 10.1.
	// A link whose querier speaks version 1 only needs it false.
	IgnoreV1 bool
	// Robustness is the Robustness Variable (RFC 3810, section 9.1); 0 means 2.
	Robustness int
	// UnsolicitedReportInterval is the longest time between two reports of one
	// change. 0 means that of the version spoken: 1 s (RFC 3810, section 9.11)
	// or 10 s (RFC 2710, section 7.10).
	UnsolicitedReportInterval time.Duration
	// MTU of the link, for packing records; 0 means 1500.
	MTU int
	// MaxGroups bounds the groups, with those whose leave is yet to be
	// repeated; 0 means 1,048,576.
	MaxGroups int
	// MaxHolders bounds the memberships of all holders in all groups; 0 means
	// MaxGroups.
	MaxHolders int
	// MaxSources bounds the sources that the filters of one group name
	// together; 0 means 1,024.
	MaxSources int
	// Burst bounds the reports that are sent back to back when a new
	// link-local address has every group reported again; 0 means no bound.
	// The others follow in bursts, Gap apart. First reports of a change are
	// always sent at once, for what follows may rely on them: the probe of an
	// address goes to a group that was joined before (RFC 4862, section
	// 5.4.2). Repeats and answers are spread at random anyway.
	Burst int
	// Gap is the time between two bursts; 0 means 100 ms.
	Gap time.Duration
	// AlwaysDone turns off the optimisation of RFC 2710, section 4: in MLDv1,
	// to leave without a Done when another node reported the group last.
	AlwaysDone bool
}

// Random is the source of chance; nd.Random satisfies it.
type Random interface {
	// Between draws from the uniform distribution over [lo, hi].
	Between(lo, hi time.Duration) time.Duration
}

// Group is one membership: the merger of its holders' filters (RFC 3810,
// section 4.2), and the holders.
type Group struct {
	Addr netip.Addr
	Filter
	Holders []Holder
}
