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
	Redirected                     // no route but an exception to them, from a Redirect
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
	Prefix netip.Prefix // OwnerRouter: the prefix that it advertised; zero: it redirected
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

// Reachability is what a Neighbor Cache knows of a gateway.
type Reachability uint8

const (
	// ReachUnknown says that there is no entry, and nothing is known.
	ReachUnknown Reachability = iota
	// ReachProbable says that there is an entry in a state other than
	// INCOMPLETE (RFC 4861, section 6.3.6) and UNREACHABLE (RFC 7048,
	// section 3).
	ReachProbable
	// ReachFailed says that address resolution or Neighbor Unreachability
	// Detection failed, and that nothing was heard since.
	ReachFailed
)

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
	// Reach says how a gateway can be reached now. Each ReachFailed is a
	// failure of its own, so that round robin goes on when a gateway fails
	// again. It ends the redirects that lead there (RFC 7048, section 3). For
	// an address that is no gateway (see Table.IsGateway) it is ignored, and
	// what was said is forgotten with the last route through a gateway.
	Reach struct {
		Addr  netip.Addr
		State Reachability
	}
	// Select says that the router that NextHop returned was selected for a
	// packet, which waits until it is resolved (RFC 4861, section 6.3.6). In
	// a host of type A another router has the next turn then, unless this one
	// is probably reachable. It changes nothing else, and nothing in a host of
	// type C.
	Select struct{ Router netip.Addr }
	// Announce says that a router has advertised a Prefix Information option
	// for Prefix, whatever its flags (RFC 8028, section 2.1). It has no end
	// but Renounce. A type A host ignores it.
	Announce struct {
		Router netip.Addr
		Prefix netip.Prefix
	}
	// Renounce takes back what Announce said.
	Renounce struct {
		Router netip.Addr
		Prefix netip.Prefix
	}
	// Redirect sends the packets to Dst to Target, a router or Dst itself,
	// for Config.RedirectLifetime. It replaces an earlier one of the same Src
	// and Dst. That it comes from the current first hop (RFC 4861,
	// section 8.1) was checked: Snapshot.IsFirstHop tells. An impossible one
	// is ignored (ValidateRedirect tells beforehand), and one to a target
	// that has failed.
	Redirect struct {
		Src         netip.Addr // zero: whatever the source
		Dst, Target netip.Addr
		From        netip.Addr // the router; zero: nobody said so, Dst was seen on the link
	}
	// Unredirect ends the redirects that lead to Target.
	Unredirect struct{ Target netip.Addr }
	// FlushRedirects ends all redirects.
	FlushRedirects struct{}
)

func (Assign) isEvent()         {}
func (Withdraw) isEvent()       {}
func (Add) isEvent()            {}
func (Remove) isEvent()         {}
func (Reach) isEvent()          {}
func (Select) isEvent()         {}
func (Announce) isEvent()       {}
func (Renounce) isEvent()       {}
func (Redirect) isEvent()       {}
func (Unredirect) isEvent()     {}
func (FlushRedirects) isEvent() {}

// Action is an output of Table.
type Action interface{ isAction() }

type (
	// Added says that a route, or a redirect, came into being.
	Added struct{ Route Route }
	// Removed says that it is gone; Route is its last state.
	Removed struct{ Route Route }
)

func (Added) isAction()   {}
func (Removed) isAction() {}

// Route is one route with all its owners; or a redirect, whose origin is
// Redirected.
type Route struct {
	Key
	Preference Preference
	Owners     []Owner    // ordered
	Expires    time.Time  // when the last owner's lifetime ends; zero: never
	Src        netip.Addr // of a redirect that is for packets from Src alone
}

// Config parametrises a Table. The zero value is RFC 4861 with RFC 6724, for a
// host of type C (RFC 4191, section 3) that shares the load (RFC 4311) and
// knows which router announced which prefix (RFC 8028).
type Config struct {
	// TypeA is a host that chooses routers by RFC 4861, section 6.3.6, alone
	// (RFC 4191, section 3, calls it type A).
	TypeA bool
	// OnLinkAssumption is RFC 2461, section 5.2: without a default router
	// every destination is taken to be on-link.
	OnLinkAssumption bool
	// RFC3484 selects sources by RFC 3484 in place of RFC 6724.
	RFC3484 bool
	// MaxRoutes bounds the routes without local ones: an Add makes no new
	// one beyond it; 0 means 1,048,576. Assign is never refused.
	MaxRoutes int
	// Policy are rows that are added to the default policy table of source
	// selection (RFC 6724, section 2.1; RFC 3484, section 2.1), or replace its
	// row of their prefix. What ValidatePolicy refuses is ignored.
	Policy []Policy
	// MaxAnnouncements bounds the pairs of a router and a prefix that it
	// announced; 0 means 1,024.
	MaxAnnouncements int
	// MaxRedirects bounds the redirects: beyond it the oldest goes; 0 means
	// 1,024.
	MaxRedirects int
	// RedirectLifetime is how long a redirect lasts: no RFC says; 0 means
	// 10 minutes.
	RedirectLifetime time.Duration
}

// Counters count what a Table did not keep, since its start.
type Counters struct {
	// RedirectsEvicted made room for others. RedirectsRefused were impossible,
	// or led to a target that had failed.
	RedirectsEvicted, RedirectsRefused uint64
	// AnnouncementsRefused were impossible, or too many.
	AnnouncementsRefused uint64
}

// String returns for example "address fe80::1", "static",
// "router fe80::9 prefix 2001:db8::/64", and "router fe80::9" of a Redirect.
func (o Owner) String() string {
	switch o.Kind {
	case OwnerAddress:
		return "address " + o.Addr.String()
	case OwnerStatic:
		return "static"
	case OwnerRouter:
		if !o.Prefix.IsValid() {
			return "router " + o.Addr.String()
		}
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
	case Redirected:
		return "redirect"
	}
	return "unknown"
}
