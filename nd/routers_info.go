package nd

import (
	"bytes"
	"slices"
)

// Routers returns the routers that have advertised something that is still
// alive, ordered by address, whether or not they are default routers.
func (r *Routers) Routers() []RouterInfo {
	all := make([]RouterInfo, 0, len(r.routers))
	for _, rt := range r.sorted() {
		all = append(all, rt.snapshot())
	}
	return all
}

// snapshot returns all that is known of a router.
func (rt *router) snapshot() RouterInfo {
	i := rt.info
	i.Unknown = cloneRaw(i.Unknown)
	for _, l := range rt.sorted() {
		switch {
		case l.leaseKey == defaultRoute:
			i.Default, i.Expires, i.Preference = true, l.expires, l.preference
		case l.kind == route:
			i.Routes = append(i.Routes, RouteInfo{Prefix: l.prefix, Preference: l.preference, Expires: l.expires})
		case l.kind == announced:
			i.Prefixes = append(i.Prefixes, rt.prefixInfo(l))
		case l.kind == onLink && rt.leases[leaseKey{kind: announced, prefix: l.prefix}] == nil:
			i.Prefixes = append(i.Prefixes, PrefixInfo{Prefix: l.prefix, OnLink: true, OnLinkExpires: l.expires})
		case l.kind == nameServer:
			i.DNSServers = append(i.DNSServers, DNSServerInfo{Addr: l.server, Expires: l.expires})
		case l.kind == searchDomain:
			i.DNSSearch = append(i.DNSSearch, DNSSearchInfo{Domain: l.domain, Expires: l.expires})
		}
	}
	slices.SortFunc(i.Prefixes, func(a, b PrefixInfo) int { return a.Prefix.Compare(b.Prefix) })
	slices.SortFunc(i.Routes, func(a, b RouteInfo) int { return a.Prefix.Compare(b.Prefix) })
	return i
}

func (rt *router) prefixInfo(l *lease) PrefixInfo {
	p := PrefixInfo{Prefix: l.prefix, Autonomous: l.autonomous, Valid: l.expires, Preferred: l.preferred}
	if held := rt.leases[leaseKey{kind: onLink, prefix: l.prefix}]; held != nil {
		p.OnLink, p.OnLinkExpires = true, held.expires
	}
	return p
}

// options returns what Options says of a router.
func (rt *router) options() Options {
	o := Options{Router: rt.info.Addr, CaptivePortal: rt.info.CaptivePortal, Unknown: cloneRaw(rt.info.Unknown)}
	for _, l := range rt.sorted() {
		switch l.kind {
		case nameServer:
			o.DNSServers = append(o.DNSServers, l.server)
		case searchDomain:
			o.DNSSearch = append(o.DNSSearch, l.domain)
		}
	}
	return o
}

func (o Options) empty() bool {
	return len(o.DNSServers) == 0 && len(o.DNSSearch) == 0 && o.CaptivePortal == "" && len(o.Unknown) == 0
}

func (o Options) equal(p Options) bool {
	return slices.Equal(o.DNSServers, p.DNSServers) && slices.Equal(o.DNSSearch, p.DNSSearch) &&
		o.CaptivePortal == p.CaptivePortal &&
		slices.EqualFunc(o.Unknown, p.Unknown, func(a, b RawOption) bool {
			return a.Type == b.Type && bytes.Equal(a.Body, b.Body)
		})
}

// tellOptions says what a router advertises besides routes and prefixes, if
// that has changed. One that is about to be forgotten says nothing more.
func (r *Routers) tellOptions(rt *router) {
	if o := rt.options(); len(rt.leases) > 0 && !o.equal(rt.told) {
		rt.told = o
		r.emit(rt.options())
	}
}

// cloneRaw copies options, so that nobody else can change them.
func cloneRaw(all []RawOption) []RawOption {
	var out []RawOption
	for _, o := range all {
		out = append(out, RawOption{Type: o.Type, Body: slices.Clone(o.Body)})
	}
	return out
}
