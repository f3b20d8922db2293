package control

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Address is one line of GET /v1/addr. A duplicate is never listed.
type Address struct {
	Interface string     `json:"interface"`
	Address   netip.Addr `json:"address"`
	PrefixLen int        `json:"prefix_len"`
	State     string     `json:"state"`  // tentative, optimistic, preferred, deprecated
	Origin    string     `json:"origin"` // manual, link-local, slaac, temporary, dhcpv6
	// Lifetimes are what is left of them, in seconds, rounded up; null is
	// infinite.
	PreferredLifetime *uint32 `json:"preferred_lifetime"`
	ValidLifetime     *uint32 `json:"valid_lifetime"`
}

// NewAddress is the body of POST /v1/addr: one of them, or an array of them
// that is added all at once.
type NewAddress struct {
	Interface string     `json:"interface,omitempty"` // empty: the only one
	Address   netip.Addr `json:"address"`
	PrefixLen *int       `json:"prefix_len,omitempty"` // absent: 128
	DAD       string     `json:"dad,omitempty"`        // normal (the default), optimistic, off
	// Timeout in seconds ends the wait for DAD and takes the address away
	// again; 0 waits for ever.
	Timeout float64 `json:"timeout,omitempty"`
	// NoWait answers at once; the result comes as an event.
	NoWait            bool    `json:"no_wait,omitempty"`
	NoPrefixRoute     bool    `json:"no_prefix_route,omitempty"`
	Anycast           bool    `json:"anycast,omitempty"`
	PreferredLifetime *uint32 `json:"preferred_lifetime,omitempty"` // seconds; absent: infinite; 0: deprecated
	ValidLifetime     *uint32 `json:"valid_lifetime,omitempty"`     // seconds; absent: infinite
}

// AddressFailure is one element of the answer to a POST /v1/addr of an array:
// an address that was not added, and why.
type AddressFailure struct {
	Address netip.Addr `json:"address"`
	Error
}

// AddressRef is the body of DELETE /v1/addr and POST /v1/addr/accept.
type AddressRef struct {
	Interface string     `json:"interface,omitempty"`
	Address   netip.Addr `json:"address"`
	PrefixLen *int       `json:"prefix_len,omitempty"` // if given, it must be the address's
}

// Duplicate is one line of GET /v1/addr/failures, the bounded history of
// addresses that turned out to be duplicates.
type Duplicate struct {
	Time        time.Time   `json:"time"`
	Interface   string      `json:"interface"`
	Address     netip.Addr  `json:"address"`
	LinkAddress nd.LinkAddr `json:"link_address"` // the other node's
	From        nd.LinkAddr `json:"from"`         // the source of the frame
	Evidence    string      `json:"evidence"`
}

// Route is one line of GET /v1/route.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	NextHop     *netip.Addr  `json:"next_hop"` // null: on-link
	Interface   string       `json:"interface"`
	Origin      string       `json:"origin"`     // local, on-link, static, ra, redirect
	Preference  string       `json:"preference"` // low, medium, high
	Metric      uint32       `json:"metric"`
	Owners      []string     `json:"owners"`
	Expires     *time.Time   `json:"expires"` // null: never
}

// RouteRef is the body of POST and DELETE /v1/route.
type RouteRef struct {
	Interface   string       `json:"interface,omitempty"`
	Destination netip.Prefix `json:"destination"`
	NextHop     netip.Addr   `json:"next_hop,omitzero"` // absent or null: on-link
	Metric      uint32       `json:"metric,omitempty"`  // 0: the default
}

// Lookup is the answer to GET /v1/route/get.
type Lookup struct {
	Destination netip.Addr `json:"destination"`
	NextHop     netip.Addr `json:"next_hop"`
	Source      netip.Addr `json:"source"`
	Interface   string     `json:"interface"`
	Neighbor    string     `json:"neighbor"` // the next hop's state, or "none"
}

// Neighbor is one line of GET /v1/neigh.
type Neighbor struct {
	Interface   string       `json:"interface"`
	Address     netip.Addr   `json:"address"`
	LinkAddress *nd.LinkAddr `json:"link_address"` // null: not known yet
	State       string       `json:"state"`
	Router      bool         `json:"router"`
	Since       time.Time    `json:"since"`
}

// NeighborRef is the body of POST and DELETE /v1/neigh; only POST takes a
// link-layer address, and needs it.
type NeighborRef struct {
	Interface   string      `json:"interface,omitempty"`
	Address     netip.Addr  `json:"address"`
	LinkAddress nd.LinkAddr `json:"link_address,omitzero"`
}

// InterfaceRef is the body of POST /v1/neigh/flush.
type InterfaceRef struct {
	Interface string `json:"interface,omitempty"`
}

// Group is one line of GET /v1/maddr.
type Group struct {
	Interface string       `json:"interface"`
	Group     netip.Addr   `json:"group"`
	Mode      string       `json:"mode"` // include, exclude
	Sources   []netip.Addr `json:"sources"`
	Holders   []string     `json:"holders"`
}

// GroupRef is the body of POST and DELETE /v1/maddr.
type GroupRef struct {
	Interface string     `json:"interface,omitempty"`
	Group     netip.Addr `json:"group"`
	// Sources: only what these send, besides what was joined before, is joined
	// or left; absent or empty: all of the group.
	Sources []netip.Addr `json:"sources,omitempty"`
}

// Link is one line of GET /v1/link.
type Link struct {
	Interface    string          `json:"interface"`
	Index        int             `json:"index"`
	LinkAddress  nd.LinkAddr     `json:"link_address"`
	MTU          int             `json:"mtu"`
	Up           bool            `json:"up"`
	IPv6Disabled bool            `json:"ipv6_disabled"`
	MLDVersion   int             `json:"mld_version"`
	Counters     json.RawMessage `json:"counters"` // an object of numbers
}

// LinkChange is the body of POST /v1/link: what is given changes.
type LinkChange struct {
	Interface string `json:"interface,omitempty"`
	Up        *bool  `json:"up,omitempty"`
	MTU       *int   `json:"mtu,omitempty"`
}

// Ping is the body of POST /v1/ping: one Echo Request.
type Ping struct {
	Interface string     `json:"interface,omitempty"`
	Address   netip.Addr `json:"address"`
	Source    netip.Addr `json:"source,omitzero"` // absent: chosen
	Sequence  uint16     `json:"sequence,omitempty"`
	Size      int        `json:"size,omitempty"`    // of the payload, in octets
	Timeout   float64    `json:"timeout,omitempty"` // seconds; 0: 5 s
}

// Pong is the answer to a Ping.
type Pong struct {
	From     netip.Addr `json:"from"`
	HopLimit int        `json:"hop_limit"`
	Bytes    int        `json:"bytes"` // of the payload
	RTT      float64    `json:"rtt"`   // seconds
}

// Version is the answer to GET /v1/version.
type Version struct {
	Tapstack string `json:"tapstack"`
	Go       string `json:"go"`
	GVisor   string `json:"gvisor"`
}
