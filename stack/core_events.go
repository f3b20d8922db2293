package stack

import (
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// CoreEvent is an input of Core.
type CoreEvent interface{ isCoreEvent() }

// RequestID names a command, so that its Done can be told from others. Zero
// asks for no Done.
type RequestID uint64

// AddressConfig says which address to add, and how.
type AddressConfig struct {
	// Prefix is the address with its prefix length.
	Prefix netip.Prefix
	// OnLink states that this prefix is on-link, for as long as the address
	// is assigned. An address alone makes no prefix on-link (RFC 5942,
	// section 4); the zero value states nothing.
	OnLink netip.Prefix
	// DAD is how to test the address; the zero value is RFC 4862,
	// section 5.4.
	DAD dad.Mode
	// Anycast addresses are not tested and never a source.
	Anycast bool
	// PreferredLifetime, then ValidLifetime end the address's life
	// (RFC 4862, section 5.5.4). 0 means for ever; a negative
	// PreferredLifetime is over from the start.
	PreferredLifetime, ValidLifetime time.Duration
}

// AddRequest is one address of AddAddresses.
type AddRequest struct {
	ID RequestID
	AddressConfig
	// Configured addresses run DAD again at each link up whatever came of
	// earlier runs. Done comes at once; what becomes of them is told by
	// events alone.
	Configured bool
}

type (
	// FrameReceived is an Ethernet frame from the link that may hold an ND or
	// MLD message. The Core does not keep Frame.
	FrameReceived struct{ Frame []byte }
	// LinkUp is the start or a fresh start: the link-local address first,
	// then the kept addresses run DAD.
	LinkUp struct{}
	// LinkDown withdraws every address and route and forgets what was
	// learned. Nothing is sent.
	LinkDown struct{}
	// Shutdown removes every address in good order, with resets and leaves on
	// the wire, then takes the link down.
	Shutdown struct{}
	// AddAddresses starts DAD for all of them at once.
	AddAddresses struct{ Requests []AddRequest }
	// CancelAdds ends pending adds and removes their addresses, completely. It
	// has no effect on those that are done.
	CancelAdds struct{ IDs []RequestID }
	// RemoveAddress removes an address in whatever state.
	RemoveAddress struct {
		ID   RequestID
		Addr netip.Addr
	}
	// RemoveAddresses removes addresses like that, and has the groups that go
	// with them reported together.
	RemoveAddresses struct{ Requests []RemoveAddress }
	// AcceptAddress ends endless probing on a link that loops frames back
	// (RFC 7527, section 4.1).
	AcceptAddress struct {
		ID   RequestID
		Addr netip.Addr
	}
	// ProbeFailed says that the link did not take a Send with this Probe.
	ProbeFailed struct {
		Addr netip.Addr
		Err  error
	}
	// AddRoute adds a static route, or an on-link prefix if there is no
	// gateway.
	AddRoute struct {
		ID RequestID
		RouteConfig
	}
	// RemoveRoute removes what AddRoute added, and nothing else.
	RemoveRoute struct {
		ID RequestID
		RouteConfig
	}
	// SetNeighbor makes a static neighbor entry.
	SetNeighbor struct {
		ID       RequestID
		Addr     netip.Addr
		LinkAddr nd.LinkAddr
	}
	// DeleteNeighbor removes a neighbor entry.
	DeleteNeighbor struct {
		ID   RequestID
		Addr netip.Addr
	}
	// FlushNeighbors removes every neighbor entry that is not static.
	FlushNeighbors struct{ ID RequestID }
	// JoinGroup has a holder listen to a group: to all sources, or to Sources
	// besides those that it listens to already.
	JoinGroup struct {
		ID      RequestID
		Group   netip.Addr
		Holder  mld.Holder
		Sources []netip.Addr
	}
	// LeaveGroup ends a holder's membership, or only that of Sources.
	LeaveGroup struct {
		ID      RequestID
		Group   netip.Addr
		Holder  mld.Holder
		Sources []netip.Addr
	}
	// SetGroupFilter puts Filter in place of what a holder had of a group.
	SetGroupFilter struct {
		ID     RequestID
		Group  netip.Addr
		Holder mld.Holder
		Filter mld.Filter
	}
	// LeaveGroups ends a holder's memberships of all the groups, and reports
	// that together.
	LeaveGroups struct {
		ID     RequestID
		Holder mld.Holder
		Groups []netip.Addr
	}
	// SetMTU changes the MTU of the link, 1280 or more.
	SetMTU struct{ MTU int }
	// Output is a packet whose next hop has no usable neighbor entry. The
	// Core keeps it until the neighbor is resolved, or gives it back in
	// Unreachable, Resend or Discard. A host of type A may have it wait for
	// another router than NextHop (RFC 4861, section 6.3.6).
	Output struct {
		NextHop, Src, Dst netip.Addr
		Flow              uint32 // its flow, which rib.Snapshot.NextHop was given
		Packet            any
	}
	// RouterSkipped says that a packet of this flow was sent through another
	// router than the best one, because that one does not answer. The data
	// path tells of it about once a second.
	RouterSkipped struct {
		Src, Dst netip.Addr
		Flow     uint32
	}
	// Progress says that an upper layer made forward progress with Remote by
	// packets from Local of this flow (RFC 4861, section 7.3.1). It is told
	// after WatchProgress only.
	Progress struct {
		Local, Remote netip.Addr
		Flow          uint32
	}
	// SetLinkAddr changes the interface's link-layer address, which must be a
	// unicast address. The addresses stay; the neighbors are told (RFC 4861,
	// section 7.2.6).
	SetLinkAddr struct {
		ID       RequestID
		LinkAddr nd.LinkAddr
	}
	// NeighborUsed says that a packet went to a neighbor whose entry was
	// STALE or UNREACHABLE.
	NeighborUsed struct{ Addr netip.Addr }
)

func (FrameReceived) isCoreEvent()   {}
func (LinkUp) isCoreEvent()          {}
func (LinkDown) isCoreEvent()        {}
func (Shutdown) isCoreEvent()        {}
func (AddAddresses) isCoreEvent()    {}
func (CancelAdds) isCoreEvent()      {}
func (RemoveAddress) isCoreEvent()   {}
func (RemoveAddresses) isCoreEvent() {}
func (AcceptAddress) isCoreEvent()   {}
func (ProbeFailed) isCoreEvent()     {}
func (AddRoute) isCoreEvent()        {}
func (RemoveRoute) isCoreEvent()     {}
func (SetNeighbor) isCoreEvent()     {}
func (DeleteNeighbor) isCoreEvent()  {}
func (FlushNeighbors) isCoreEvent()  {}
func (JoinGroup) isCoreEvent()       {}
func (LeaveGroup) isCoreEvent()      {}
func (SetGroupFilter) isCoreEvent()  {}
func (LeaveGroups) isCoreEvent()     {}
func (SetMTU) isCoreEvent()          {}
func (Output) isCoreEvent()          {}
func (RouterSkipped) isCoreEvent()   {}
func (Progress) isCoreEvent()        {}
func (SetLinkAddr) isCoreEvent()     {}
func (NeighborUsed) isCoreEvent()    {}

// CoreAction is an output of Core. Actions are executed in order.
type CoreAction interface{ isCoreAction() }

type (
	// Send puts an Ethernet frame on the link. Probe, if set, is the address
	// that the frame tests: when the link does not take it, the Core must be
	// told with ProbeFailed.
	Send struct {
		Frame []byte
		Probe netip.Addr
	}
	// Enable gives an address to the sockets: it is assigned, or optimistic.
	Enable struct{ Addr netip.Addr }
	// Abort ends every connection of an address, with a reset on the wire
	// where the protocol has one.
	Abort struct{ Addr netip.Addr }
	// Disable takes an address from the sockets. Connections stay and are
	// silent, in case the address comes back, until an Abort.
	Disable struct{ Addr netip.Addr }
	// Publish replaces the snapshot that the data path reads.
	Publish struct{ Snapshot *rib.Snapshot }
	// SetNeighborView replaces what the data path knows of one neighbor.
	SetNeighborView struct{ Neighbor nd.Neighbor }
	// DropNeighborView forgets a neighbor in the data path.
	DropNeighborView struct{ Addr netip.Addr }
	// Release sends the packets that waited for a neighbor, in order.
	Release struct {
		Packets  []any
		LinkAddr nd.LinkAddr
	}
	// Resend gives back packets whose next hop did not answer, and which
	// another one takes now: they are sent as if they came from the sockets.
	Resend struct{ Packets []any }
	// WatchProgress asks for Progress: once of each connection for each
	// Generation. 0 asks for none.
	WatchProgress struct{ Generation uint32 }
	// UseLinkAddr changes the source of the frames with data and the
	// destination of those that are taken.
	UseLinkAddr struct{ LinkAddr nd.LinkAddr }
	// Unreachable gives back packets whose next hop did not answer: their
	// senders are told address unreachable (RFC 4861, section 7.2.2).
	Unreachable struct{ Packets []any }
	// Discard gives back packets that had no room in the queue, or whose
	// interface went down.
	Discard struct{ Packets []any }
	// OpenGroup opens the receive filter for a group, as far as Filter goes.
	OpenGroup struct {
		Group  netip.Addr
		Filter mld.Filter
	}
	// FilterGroup replaces the Filter of a group that is open.
	FilterGroup struct {
		Group  netip.Addr
		Filter mld.Filter
	}
	// CloseGroup closes it.
	CloseGroup struct{ Group netip.Addr }
	// SetHopLimit changes the default hop limit of what the sockets send.
	SetHopLimit struct{ HopLimit uint8 }
	// SetPathMTU changes the largest packet that the sockets send.
	SetPathMTU struct{ MTU int }
	// SetUsable says whether packets may be sent at all.
	SetUsable struct{ Usable bool }
	// SaveDADCounter asks to keep a DAD counter in stable storage (RFC 7217,
	// section 6) and to give it to the next Core as one of
	// Identity.Counters.
	SaveDADCounter nd.DADCounter
	// Done is the result of a command: exactly one for each RequestID.
	Done struct {
		ID  RequestID
		Err error
	}
	// Notify is a fact for subscribers. The shell fills in Seq and Interface.
	Notify struct{ Event Event }
)

func (*Send) isCoreAction()            {}
func (Enable) isCoreAction()           {}
func (Abort) isCoreAction()            {}
func (Disable) isCoreAction()          {}
func (Publish) isCoreAction()          {}
func (SetNeighborView) isCoreAction()  {}
func (DropNeighborView) isCoreAction() {}
func (Release) isCoreAction()          {}
func (Resend) isCoreAction()           {}
func (WatchProgress) isCoreAction()    {}
func (UseLinkAddr) isCoreAction()      {}
func (Unreachable) isCoreAction()      {}
func (Discard) isCoreAction()          {}
func (OpenGroup) isCoreAction()        {}
func (FilterGroup) isCoreAction()      {}
func (CloseGroup) isCoreAction()       {}
func (SetHopLimit) isCoreAction()      {}
func (SetPathMTU) isCoreAction()       {}
func (SetUsable) isCoreAction()        {}
func (SaveDADCounter) isCoreAction()   {}
func (Done) isCoreAction()             {}
func (Notify) isCoreAction()           {}
