package stack

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// EventType names what happened.
type EventType string

// The types of Event, and which of its fields each one fills.
const (
	AddressTentative  EventType = "address_tentative"  // Address, Prefix
	AddressAssigned   EventType = "address_assigned"   // Address, Prefix, State
	AddressDeprecated EventType = "address_deprecated" // Address
	AddressDuplicate  EventType = "address_duplicate"  // Address, LinkAddr, Reason
	AddressRemoved    EventType = "address_removed"    // Address, Reason
	AddressConflict   EventType = "address_conflict"   // Address, LinkAddr
	DADLooped         EventType = "dad_looped"         // Address
	RouteAdded        EventType = "route_added"        // Prefix, NextHop, State (the origin)
	RouteRemoved      EventType = "route_removed"      // Prefix, NextHop, State (the origin)
	GroupJoined       EventType = "group_joined"       // Group
	GroupFiltered     EventType = "group_filtered"     // Group, State (the filter mode): other sources are listened to
	GroupLeft         EventType = "group_left"         // Group
	MLDVersion        EventType = "mld_version"        // State: the version that is spoken now
	NeighborChanged   EventType = "neighbor_changed"   // Address, LinkAddr, State
	LinkIsUp          EventType = "link_up"
	LinkIsDown        EventType = "link_down"
	RouterAdded       EventType = "router_added"    // Address
	RouterRemoved     EventType = "router_removed"  // Address
	RouterOptions     EventType = "router_options"  // Address: it advertises other options than before
	NoRouters         EventType = "no_routers"      // no solicitation was answered
	ManagedFlags      EventType = "managed_flags"   // State: managed, other or none
	AutoconfFailed    EventType = "autoconf_failed" // Prefix, Reason
	IPv6Disabled      EventType = "ipv6_disabled"   // Address, Reason
	Lost              EventType = "lost"            // From, To: the numbers that were missed
)

// Event is one thing that happened, in the order in which it happened. Which
// fields are set depends on Type.
type Event struct {
	Seq       uint64
	Time      time.Time
	Type      EventType
	Interface string
	Address   netip.Addr
	Prefix    netip.Prefix
	NextHop   netip.Addr
	Group     netip.Addr
	LinkAddr  nd.LinkAddr
	State     string
	Reason    string
	From, To  uint64
}

// MarshalJSON encodes the event as one object with the fields that are set.
// Time is in RFC 3339 with nanoseconds, in UTC.
func (e Event) MarshalJSON() ([]byte, error) {
	type object struct {
		Seq       uint64    `json:"seq"`
		Time      string    `json:"time"`
		Type      EventType `json:"type"`
		Interface string    `json:"interface,omitempty"`
		Address   string    `json:"address,omitempty"`
		Prefix    string    `json:"prefix,omitempty"`
		NextHop   string    `json:"next_hop,omitempty"`
		Group     string    `json:"group,omitempty"`
		LinkAddr  string    `json:"link_address,omitempty"`
		State     string    `json:"state,omitempty"`
		Reason    string    `json:"reason,omitempty"`
		From      uint64    `json:"from,omitempty"`
		To        uint64    `json:"to,omitempty"`
	}
	o := object{
		Seq: e.Seq, Time: e.Time.UTC().Format("2006-01-02T15:04:05.000000000Z"), Type: e.Type, Interface: e.Interface,
		State: e.State, Reason: e.Reason, From: e.From, To: e.To,
	}
	for dst, a := range map[*string]netip.Addr{&o.Address: e.Address, &o.NextHop: e.NextHop, &o.Group: e.Group} {
		if a.IsValid() {
			*dst = a.String()
		}
	}
	if e.Prefix.IsValid() {
		o.Prefix = e.Prefix.String()
	}
	if !e.LinkAddr.IsZero() {
		o.LinkAddr = e.LinkAddr.String()
	}
	return json.Marshal(o)
}
