package rib

import (
	"net/netip"
	"strconv"
	"time"
)

// Origin says what a route is there for.
type Origin uint8

const (
	Local        Origin = iota + 1 // an assigned address of this interface, /128
	OnLink                         // a prefix whose addresses are neighbors
	StaticOrigin                   // a route through a gateway, set by hand
	RA                             // a route through a router, from its advertisement
)

// Default metrics. Routes order by longest prefix, then by metric, the lowest
// first.
const (
	LocalMetric  = 0
	OnLinkMetric = 256
	StaticMetric = 512
	RAMetric     = 1024
)

// Preference is a route preference (RFC 4191, section 2.1); it has the values
// of nd.Preference.
type Preference int8

// Owner says who holds a route. Owners are compared by value; a route lives
// while it has an owner.
type Owner struct {
	Kind   OwnerKind
	Addr   netip.Addr   // OwnerAddress, OwnerRouter
	Prefix netip.Prefix // OwnerRouter: the prefix that it advertised
}

// OwnerKind is the kind of an Owner.
type OwnerKind uint8

const (
	OwnerAddress OwnerKind = iota + 1
	OwnerStatic
	OwnerRouter
)

// Key identifies a route.
type Key struct {
	Prefix  netip.Prefix // masked, IPv6
	NextHop netip.Addr   // zero: on-link or local
	Origin  Origin
	Metric  uint32
}

// Event is an input of Table.
type Event interface{ isEvent() }

type (
	// Assign says that DAD has assigned an address. It brings the address's
	// /128, for a link-local address fe80::/64, and the on-link prefix that
	// was stated with it, each owned by this address; and it makes the
	// address a candidate source. A second Assign of the same address
	// replaces its flags.
	Assign struct {
		Addr       netip.Addr
		PrefixLen  int          // for RFC 6724, section 2.2; 0 means 64
		OnLink     netip.Prefix // zero: no statement
		Deprecated bool
		Optimistic bool // RFC 4429: a source only if nothing better exists
		Temporary  bool
		Anycast    bool // never a source (RFC 6724, section 4)
	}
	// Withdraw takes back all that Assign brought.
	Withdraw struct{ Addr netip.Addr }
	// Add adds an owner to a route, and the route if it is new. Its origin is
	// OnLink, StaticOrigin or RA. A Lifetime above 0 ends this owner's hold;
	// adding it again replaces the lifetime. An impossible route is ignored:
	// Validate tells beforehand.
	Add struct {
		Key
		Owner      Owner
		Preference Preference
		Lifetime   time.Duration // 0: for ever
	}
	// Remove takes one owner from a route; the route goes with its last owner.
	Remove struct {
		Key
		Owner Owner
	}
)

func (Assign) isEvent()   {}
func (Withdraw) isEvent() {}
func (Add) isEvent()      {}
func (Remove) isEvent()   {}

// Action is an output of Table.
type Action interface{ isAction() }

type (
	// Added says that a route came into being.
	Added struct{ Route Route }
	// Removed says that a route is gone; Route is its last state.
	Removed struct{ Route Route }
)

func (Added) isAction()   {}
func (Removed) isAction() {}

// Route is one route with all its owners.
type Route struct {
	Key
	Preference Preference
	Owners     []Owner   // ordered
	Expires    time.Time // when the last owner's lifetime ends; zero: never
}

// Config parametrises a Table. The zero value is RFC 4861 with RFC 6724.
type Config struct {
	// OnLinkAssumption is RFC 2461, section 5.2: without a default router
	// every destination is taken to be on-link.
	OnLinkAssumption bool
	// RFC3484 selects sources by RFC 3484 in place of RFC 6724.
	RFC3484 bool
	// MaxRoutes bounds the routes without local ones: an Add makes no new
	// one beyond it; 0 means 1,048,576. Assign is never refused.
	MaxRoutes int
}

// String returns for example "address fe80::1", "static",
// "router fe80::9 prefix 2001:db8::/64".
func (o Owner) String() string {
	switch o.Kind {
	case OwnerAddress:
		return "address " + o.Addr.String()
	case OwnerStatic:
		return "static"
	case OwnerRouter:
		return "router " + o.Addr.String() + " prefix " + o.Prefix.String()
	}
	return "owner " + strconv.Itoa(int(o.Kind))
}

// String returns the origin's name as the command line prints it.
func (o Origin) String() string {
	switch o {
	case Local:
		return "local"
	case OnLink:
		return "on-link"
	case StaticOrigin:
		return "static"
	case RA:
		return "ra"
	}
	return "unknown"
}
