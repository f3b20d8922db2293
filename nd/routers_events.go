package nd

import (
	"net/netip"
	"time"
)

// RouterEvent is an input of Routers.
type RouterEvent interface{ isRouterEvent() }

type (
	// Enable says that the interface came up, or is attached anew: routers
	// are solicited (RFC 4861, section 6.3.7). What is known stays known.
	Enable struct {
		// Delayed says that Duplicate Address Detection has waited for a
		// random time already, so that the first solicitation need not.
		Delayed bool
	}
	// Disable says that the interface is down. Everything that was learned is
	// forgotten, SetSource too, and every other event but SetLinkMTU is
	// ignored until Enable. The caller goes back to its own values of what
	// SetParameters and Managed said.
	Disable struct{}
	// SetSource says what solicitations carry from now on: an assigned
	// unicast address with the interface's link-layer address; without it if
	// the address is optimistic (RFC 4429, section 3.2); or the unspecified
	// address, which counts also before the first SetSource. An address that
	// cannot be a source is the unspecified one.
	SetSource struct {
		Addr           netip.Addr
		SourceLinkAddr LinkAddr
	}
	// Advert is a received Router Advertisement.
	Advert struct {
		Header
		*RouterAdvert
	}
	// NotRouter says that Addr has advertised itself as a neighbor that is no
	// router (RFC 4861, section 7.2.5): no route leads through it any more.
	// The prefixes that it said are on-link stay so.
	NotRouter struct{ Addr netip.Addr }
	// Forget removes all that the router Addr has advertised.
	Forget struct{ Addr netip.Addr }
	// SetLinkMTU says that the MTU of the link itself has changed. It takes
	// the place of LinkMTU and MaxMTU, and of what was advertised.
	SetLinkMTU struct{ MTU int }
)

func (Enable) isRouterEvent()     {}
func (Disable) isRouterEvent()    {}
func (SetSource) isRouterEvent()  {}
func (Advert) isRouterEvent()     {}
func (NotRouter) isRouterEvent()  {}
func (Forget) isRouterEvent()     {}
func (SetLinkMTU) isRouterEvent() {}

// RouterAction is an output of Routers.
type RouterAction interface{ isRouterAction() }

type (
	// Solicit puts a Router Solicitation on the wire.
	Solicit struct {
		Src, Dst netip.Addr
		Message  *RouterSolicit
	}
	// AddRoute says that Router holds the route to Prefix by way of NextHop,
	// anew or again: the lifetime and the preference replace earlier ones. A
	// zero NextHop means that Prefix is on-link, otherwise it is Router. A
	// default router's Prefix is ::/0. RemoveRoute always follows, at the
	// latest when Lifetime, which is positive or Infinity, is over.
	AddRoute struct {
		Router     netip.Addr
		Prefix     netip.Prefix
		NextHop    netip.Addr
		Preference Preference
		Lifetime   time.Duration
	}
	// RemoveRoute says that Router no longer holds a route. What other
	// routers hold stays.
	RemoveRoute struct {
		Router  netip.Addr
		Prefix  netip.Prefix
		NextHop netip.Addr
	}
	// SetParameters has the parameters that changed; what is zero stays as it
	// is. ReachableTime is BaseReachableTime.
	SetParameters struct {
		CurHopLimit                 uint8
		ReachableTime, RetransTimer time.Duration
		MTU                         int
	}
	// Prefix hands a Prefix Information option with the autonomous flag to
	// address autoconfiguration. Nothing of it has been judged.
	Prefix struct {
		Router netip.Addr
		PrefixInformation
		// FromMulticast says that the advertisement went to a group
		// (RFC 4862, section 5.4.2).
		FromMulticast bool
	}
	// Learn says that Addr has advertised itself as a router: its entry in
	// the Neighbor Cache gets LinkAddr, made if need be, and IsRouter. A zero
	// LinkAddr sets only IsRouter, of an entry that exists.
	Learn struct {
		Router   netip.Addr
		LinkAddr LinkAddr
	}
	// Managed has the flags M and O, of the last advertisement or with
	// StickyFlags of all, when they differ from those before; both are false
	// at first.
	Managed struct{ Managed, Other bool }
	// NoRouters says that every solicitation has gone unanswered
	// (RFC 4861, section 6.3.7).
	NoRouters struct{}
	// RouterAdded says that Router is in the Default Router List. Its
	// AddRoute follows.
	RouterAdded struct{ Router netip.Addr }
	// RouterRemoved says that Router has left the Default Router List: each
	// destination behind it needs another next hop (RFC 4861, section 6.3.5).
	RouterRemoved struct{ Router netip.Addr }
	// Announced says that Router has begun to announce Prefix in Prefix
	// Information options, whatever their flags: a source address of Prefix
	// should go by way of Router (RFC 8028, section 3.1). Unannounced always
	// follows.
	Announced struct {
		Router netip.Addr
		Prefix netip.Prefix
	}
	// Unannounced says that the valid lifetime that Router gave Prefix last is
	// over, or that Router is forgotten.
	Unannounced struct {
		Router netip.Addr
		Prefix netip.Prefix
	}
	// Options has what else Router advertises, whenever it is another set
	// than before: what the routers say about name servers and search domains
	// (RFC 8106), in the order in which they were first heard, the captive
	// portal that it named last (RFC 8910), and the options of the last
	// advertisement that this package does not decode.
	Options struct {
		Router        netip.Addr
		DNSServers    []netip.Addr
		DNSSearch     []string
		CaptivePortal string
		Unknown       []RawOption
	}
)

func (Solicit) isRouterAction()       {}
func (AddRoute) isRouterAction()      {}
func (RemoveRoute) isRouterAction()   {}
func (SetParameters) isRouterAction() {}
func (Prefix) isRouterAction()        {}
func (Learn) isRouterAction()         {}
func (Managed) isRouterAction()       {}
func (NoRouters) isRouterAction()     {}
func (RouterAdded) isRouterAction()   {}
func (RouterRemoved) isRouterAction() {}
func (Announced) isRouterAction()     {}
func (Unannounced) isRouterAction()   {}
func (Options) isRouterAction()       {}

// RouterInfo is what one router has advertised and is still alive. The times
// are when things end; zero means never.
type RouterInfo struct {
	Addr     netip.Addr
	LinkAddr LinkAddr // as it was last advertised; zero: never
	Heard    time.Time

	// Default says that it is in the Default Router List, until Expires, with
	// Preference.
	Default    bool
	Expires    time.Time
	Preference Preference

	// Fields of the last advertisement. MTU is 0 without the option.
	CurHopLimit                 uint8
	Managed, Other              bool
	RouterLifetime              time.Duration
	ReachableTime, RetransTimer time.Duration
	MTU                         uint32

	Prefixes   []PrefixInfo // ordered by prefix
	Routes     []RouteInfo  // through it, without ::/0; ordered by prefix
	DNSServers []DNSServerInfo
	DNSSearch  []DNSSearchInfo

	CaptivePortal string      // as it was last advertised; empty: never
	Unknown       []RawOption // of the last advertisement
}

// PrefixInfo is a prefix that a router has advertised (RFC 8028, section 3.1).
type PrefixInfo struct {
	Prefix netip.Prefix
	// OnLink says that the router holds the prefix on-link, until
	// OnLinkExpires. An option without the flag does not end that.
	OnLink        bool
	OnLinkExpires time.Time
	// Autonomous, Valid and Preferred are from the last option. A preferred
	// lifetime of zero ends when it was heard.
	Autonomous       bool
	Valid, Preferred time.Time
}

// RouteInfo is a route that a router has advertised (RFC 4191).
type RouteInfo struct {
	Prefix     netip.Prefix
	Preference Preference
	Expires    time.Time
}

// DNSServerInfo is a recursive name server that a router has advertised.
type DNSServerInfo struct {
	Addr    netip.Addr
	Expires time.Time
}

// DNSSearchInfo is a search domain that a router has advertised.
type DNSSearchInfo struct {
	Domain  string
	Expires time.Time
}
