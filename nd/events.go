package nd

import (
	"net/netip"
	"time"
)

// Event is an input of Neighbors.
type Event interface{ isEvent() }

type (
	// Resolve says that a packet for the neighbor Addr waits for its
	// link-layer address. Src is the packet's source. Each Resolve is followed
	// by Resolved or Unresolved, at once or within MaxMulticastSolicit times
	// RetransTimer, and counts as use of the entry.
	Resolve struct{ Addr, Src netip.Addr }
	// Used says that a packet was sent to the neighbor Addr while its entry
	// was STALE or UNREACHABLE. Of a STALE entry the first packet is enough;
	// an UNREACHABLE one is solicited again only if it was used since the last
	// time, so each packet should say so, or one every few seconds.
	Used struct{ Addr netip.Addr }
	// Confirm says that an upper layer made forward progress through Addr
	// (RFC 4861, section 7.3.1).
	Confirm struct{ Addr netip.Addr }
	// Solicited is a received Neighbor Solicitation.
	Solicited struct {
		Header
		*NeighborSolicit
	}
	// Advertised is a received Neighbor Advertisement.
	Advertised struct {
		Header
		*NeighborAdvert
	}
	// Heard says that a Router Advertisement or a Redirect named the node Addr
	// and, unless LinkAddr is zero, its link-layer address. Router says that
	// the message shows it to be a router.
	Heard struct {
		Addr     netip.Addr
		LinkAddr LinkAddr
		Router   bool
	}
	// Defend says that Addr is assigned to this interface: it is defended and
	// may be the source of solicitations. A second Defend of the same address
	// replaces its flags.
	Defend struct {
		Addr netip.Addr
		// Anycast advertisements have O=0 and a random delay.
		Anycast bool
		// Optimistic: RFC 4429, section 3.3. Advertised with O=0, never the
		// source of a solicitation, and a solicitation from the unspecified
		// address is not answered.
		Optimistic bool
	}
	// Yield says that Addr is no longer assigned: nothing is sent for it or
	// from it any more.
	Yield struct{ Addr netip.Addr }
	// Announce asks for MaxNeighborAdvertisement unsolicited advertisements of
	// the defended Addr to the group Dst, RetransTimer apart, the first at
	// once: to AllRouters when a global address is new (RFC 9131, section
	// 6.1.2), to AllNodes when the link-layer address has changed (RFC 4861,
	// section 7.2.6). It takes the place of those that are still to come, and
	// Yield cancels them. Override is what O is; that of an anycast or
	// optimistic address is 0 all the same.
	Announce struct {
		Addr, Dst netip.Addr
		Override  bool
	}
	// SetLinkAddr says that the interface has another link-layer address, which
	// messages have from now on. Each defended address that is not anycast is
	// announced to AllNodes with Override, one after the other. A link-layer
	// address that no node can have is ignored.
	SetLinkAddr struct{ LinkAddr LinkAddr }
	// ProbeRouter says that a packet would have gone to the router Addr, if it
	// were reachable (RFC 4191, section 3.5). An UNREACHABLE entry, or one that
	// is made for it, is solicited once, no router more often than once in a
	// minute; one in another state says enough of the router as it is. The
	// entry that was made is Removed as Failed after RetransTimer without an
	// answer.
	ProbeRouter struct{ Addr netip.Addr }
	// SetStatic makes a permanent entry.
	SetStatic struct {
		Addr     netip.Addr
		LinkAddr LinkAddr
	}
	// Delete removes the entry of Addr.
	Delete struct{ Addr netip.Addr }
	// Flush removes every entry, the static ones too if Static is set.
	Flush struct{ Static bool }
	// SetTimers changes BaseReachableTime and RetransTimer as a Router
	// Advertisement asks (RFC 4861, section 6.3.4); zero leaves a timer as it is.
	SetTimers struct{ ReachableTime, RetransTimer time.Duration }
)

func (Resolve) isEvent()     {}
func (Used) isEvent()        {}
func (Confirm) isEvent()     {}
func (Solicited) isEvent()   {}
func (Advertised) isEvent()  {}
func (Heard) isEvent()       {}
func (Defend) isEvent()      {}
func (Yield) isEvent()       {}
func (Announce) isEvent()    {}
func (SetLinkAddr) isEvent() {}
func (ProbeRouter) isEvent() {}
func (SetStatic) isEvent()   {}
func (Delete) isEvent()      {}
func (Flush) isEvent()       {}
func (SetTimers) isEvent()   {}

// Action is an output of Neighbors.
type Action interface{ isAction() }

type (
	// Send puts Message on the wire. A zero To with a group as Dst means the
	// group's Ethernet address; otherwise To is the neighbor's.
	Send struct {
		Src, Dst netip.Addr
		To       LinkAddr
		Message  Message
	}
	// Changed says that an entry was made or changed state, address or
	// IsRouter.
	Changed struct{ Neighbor Neighbor }
	// Removed says that the entry of Addr is gone. Failed says that it is
	// because the neighbor did not answer, and not because it gave way to
	// another or was removed on purpose.
	Removed struct {
		Addr   netip.Addr
		Failed bool
	}
	// Resolved releases the packets that wait for Addr, in order, to LinkAddr.
	Resolved struct {
		Addr     netip.Addr
		LinkAddr LinkAddr
	}
	// Unresolved says that resolution of Addr failed: the packets that wait
	// for it get ICMPv6 Destination Unreachable, code 3
	// (RFC 4861, section 7.2.2).
	Unresolved struct{ Addr netip.Addr }
	// Conflict says that another node advertised an address that is assigned
	// here (RFC 4862, section 5.4.4). Nothing else changes. LinkAddr is the
	// one that it advertised, else From, the source of the frame. On a link
	// that hands back a node's own multicasts it can be this node itself.
	Conflict struct {
		Addr           netip.Addr
		LinkAddr, From LinkAddr
	}
)

func (*Send) isAction()      {}
func (Changed) isAction()    {}
func (Removed) isAction()    {}
func (Resolved) isAction()   {}
func (Unresolved) isAction() {}
func (Conflict) isAction()   {}

// NeighborState is a state of RFC 4861, section 7.3.2, or RFC 7048.
type NeighborState uint8

// There is no state "none": an entry that is gone is not listed.
const (
	Incomplete NeighborState = iota + 1
	Reachable
	Stale
	Delay
	Probe
	Unreachable // RFC 7048
	Static      // ours: set by hand, never probed
)

// String returns the state's name in lower case.
func (s NeighborState) String() string {
	switch s {
	case Incomplete:
		return "incomplete"
	case Reachable:
		return "reachable"
	case Stale:
		return "stale"
	case Delay:
		return "delay"
	case Probe:
		return "probe"
	case Unreachable:
		return "unreachable"
	case Static:
		return "static"
	}
	return "unknown"
}

// Neighbor is one entry of the Neighbor Cache.
type Neighbor struct {
	Addr     netip.Addr
	LinkAddr LinkAddr // zero while Incomplete
	State    NeighborState
	IsRouter bool
	Since    time.Time // when State was entered
}
