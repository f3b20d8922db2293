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
}

// Event is an input of Machine.
type Event interface{ isEvent() }

// Op is what a Change does.
type Op uint8

const (
	// OpListen begins a membership that is not reported: the group is
	// received (and shown), but nothing is sent for it until OpJoin, not even
	// an answer to a query (RFC 4862, section 5.4.2: the join is delayed, the
	// listening is not).
	OpListen Op = iota + 1
	// OpJoin begins a membership, or turns one of OpListen into one that is
	// reported.
	OpJoin
	// OpLeave ends the holder's membership; without one it does nothing. The
	// group ends with its last holder: until then one that is reported stays
	// so, even if those who are left only listen.
	OpLeave
)

// Change is one change of one holder's membership.
type Change struct {
	Op     Op
	Group  netip.Addr
	Holder Holder
}

type (
	// Changes are made together and reported together, in as few packets as
	// the records fit in.
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
)

func (Changes) isEvent()      {}
func (SetLinkLocal) isEvent() {}
func (Up) isEvent()           {}
func (Down) isEvent()         {}
func (SetMTU) isEvent()       {}
func (Received) isEvent()     {}

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
	Joined struct{ Group netip.Addr }
	// Left says that a group lost its last holder: the receive filter closes.
	Left struct{ Group netip.Addr }
)

func (Send) isAction()   {}
func (Joined) isAction() {}
func (Left) isAction()   {}

// Config parametrises a Machine. The zero value is RFC 3810.
type Config struct {
	// Version is the mode at start: 0 or 2 for MLDv2 (RFC 3810), 1 for MLDv1
	// (RFC 2710).
	Version int
	// Robustness is the Robustness Variable (RFC 3810, section 9.1); 0 means 2.
	Robustness int
	// MTU of the link, for packing records; 0 means 1500.
	MTU int
	// MaxGroups bounds the groups, and also the holds on all of them
	// together; 0 means 1,048,576. Changes beyond it are ignored and counted.
	MaxGroups int
	// AlwaysDone turns off the optimisation of RFC 2710, section 4: in MLDv1,
	// to leave without a Done when another node reported the group last.
	AlwaysDone bool
}

// Random is the source of chance; nd.Random satisfies it.
type Random interface {
	// Between draws from the uniform distribution over [lo, hi].
	Between(lo, hi time.Duration) time.Duration
}

// FilterMode is a group's filter mode (RFC 3810, section 2).
type FilterMode uint8

const (
	Include FilterMode = iota
	Exclude
)

// Group is one membership.
type Group struct {
	Addr    netip.Addr
	Mode    FilterMode
	Sources []netip.Addr
	Holders []Holder
}
