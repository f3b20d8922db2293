package control

import (
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
)

// Router is one line of GET /v1/ra: what one router has advertised. Times are
// when something ends, null for never. Lifetimes and timers are those of the
// last advertisement, in seconds, 0 for unspecified.
type Router struct {
	Interface      string         `json:"interface"`
	Router         netip.Addr     `json:"router"`
	LinkAddress    *nd.LinkAddr   `json:"link_address"` // null: never advertised
	Heard          time.Time      `json:"heard"`
	Default        bool           `json:"default"` // it is a default router, until Expires
	Expires        *time.Time     `json:"expires"`
	Preference     string         `json:"preference"` // low, medium, high
	RouterLifetime float64        `json:"router_lifetime"`
	CurHopLimit    uint8          `json:"cur_hop_limit"`
	Managed        bool           `json:"managed"`
	Other          bool           `json:"other"`
	ReachableTime  float64        `json:"reachable_time"`
	RetransTimer   float64        `json:"retrans_timer"`
	MTU            uint32         `json:"mtu"`            // 0: not advertised
	CaptivePortal  string         `json:"captive_portal"` // a URI (RFC 8910); empty: not advertised
	Prefixes       []RouterPrefix `json:"prefixes"`
	Routes         []RouterRoute  `json:"routes"`
	DNSServers     []DNSServer    `json:"dns_servers"`
	DNSSearch      []DNSDomain    `json:"dns_search"`
	Options        []RouterOption `json:"options"` // those that are not decoded
}

// RouterPrefix is a prefix that a router advertises.
type RouterPrefix struct {
	Prefix         netip.Prefix `json:"prefix"`
	OnLink         bool         `json:"on_link"` // until OnLinkExpires
	OnLinkExpires  *time.Time   `json:"on_link_expires"`
	Autonomous     bool         `json:"autonomous"`
	ValidUntil     *time.Time   `json:"valid_until"`
	PreferredUntil *time.Time   `json:"preferred_until"`
}

// RouterRoute is a more specific route that a router advertises.
type RouterRoute struct {
	Prefix     netip.Prefix `json:"prefix"`
	Preference string       `json:"preference"`
	Expires    *time.Time   `json:"expires"`
}

// DNSServer is a name server that a router advertises.
type DNSServer struct {
	Address netip.Addr `json:"address"`
	Expires *time.Time `json:"expires"`
}

// DNSDomain is a search domain that a router advertises.
type DNSDomain struct {
	Domain  string     `json:"domain"`
	Expires *time.Time `json:"expires"`
}

// RouterOption is an option as it came: its type and, in hexadecimal, what
// follows the length.
type RouterOption struct {
	Type uint8  `json:"type"`
	Body string `json:"body"`
}

func routers(i *stack.Interface, _ time.Time) []Router {
	var all []Router
	for _, r := range i.Routers() {
		all = append(all, routerView(i.Name(), r))
	}
	return all
}

func routerView(iface string, r nd.RouterInfo) Router {
	v := Router{
		Interface: iface, Router: r.Addr, Heard: r.Heard.UTC(), Default: r.Default,
		Preference: preference(rib.Preference(r.Preference)), RouterLifetime: r.RouterLifetime.Seconds(), CurHopLimit: r.CurHopLimit,
		Managed: r.Managed, Other: r.Other, ReachableTime: r.ReachableTime.Seconds(), RetransTimer: r.RetransTimer.Seconds(),
		MTU: r.MTU, CaptivePortal: r.CaptivePortal,
		Prefixes: []RouterPrefix{}, Routes: []RouterRoute{}, DNSServers: []DNSServer{}, DNSSearch: []DNSDomain{}, Options: []RouterOption{},
	}
	if !r.LinkAddr.IsZero() {
		v.LinkAddress = &r.LinkAddr
	}
	if r.Default {
		v.Expires = timeOrNull(r.Expires)
	}
	for _, p := range r.Prefixes {
		w := RouterPrefix{Prefix: p.Prefix, OnLink: p.OnLink, Autonomous: p.Autonomous, ValidUntil: timeOrNull(p.Valid), PreferredUntil: timeOrNull(p.Preferred)}
		if p.OnLink {
			w.OnLinkExpires = timeOrNull(p.OnLinkExpires)
		}
		v.Prefixes = append(v.Prefixes, w)
	}
	for _, route := range r.Routes {
		v.Routes = append(v.Routes, RouterRoute{route.Prefix, preference(rib.Preference(route.Preference)), timeOrNull(route.Expires)})
	}
	for _, d := range r.DNSServers {
		v.DNSServers = append(v.DNSServers, DNSServer{d.Addr, timeOrNull(d.Expires)})
	}
	for _, d := range r.DNSSearch {
		v.DNSSearch = append(v.DNSSearch, DNSDomain{d.Domain, timeOrNull(d.Expires)})
	}
	for _, o := range r.Unknown {
		v.Options = append(v.Options, RouterOption{o.Type, hex.EncodeToString(o.Body)})
	}
	return v
}

// timeOrNull is nil for the zero time.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
