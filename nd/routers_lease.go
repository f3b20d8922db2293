package nd

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// router is one that has advertised something that is still alive.
type router struct {
	info   RouterInfo // without what the leases know
	leases map[leaseKey]*lease
	held   tally
	told   Options // as it was last said; zero: never
}

// tally counts leases by their kind, default routes apart.
type tally [leaseKinds]int

func (rt *router) isDefault() bool { return rt.leases[defaultRoute] != nil }

// lease is one thing that a router has advertised, for a lifetime.
type lease struct {
	leaseKey
	router     *router
	seq        uint64    // order in which leases were made
	expires    time.Time // zero: never
	preference Preference

	// Of an announcement.
	autonomous bool
	preferred  time.Time
}

// leaseKey identifies a lease among those of its router.
type leaseKey struct {
	kind   leaseKind
	prefix netip.Prefix // onLink, route, announced
	server netip.Addr   // nameServer
	domain string       // searchDomain
}

type leaseKind uint8

const (
	route        leaseKind = iota // a route through the router
	onLink                        // an on-link prefix
	announced                     // a Prefix Information option, on-link or not
	nameServer                    // RFC 8106
	searchDomain                  // RFC 8106

	leaseKinds // how many there are
)

// defaultRoute is the lease that keeps a router in the Default Router List.
var defaultRoute = leaseKey{kind: route, prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}

// renew makes the lease with this key or replaces its lifetime; a lifetime of
// zero ends it. It returns the lease, nil if there is none now.
func (r *Routers) renew(rt *router, key leaseKey, lifetime time.Duration, p Preference) *lease {
	l := rt.leases[key]
	switch {
	case lifetime <= 0:
		if l != nil {
			r.end(l)
		}
		return nil
	case l == nil:
		if !r.admit(rt, key) {
			return nil
		}
		r.seq++
		l = &lease{leaseKey: key, router: rt, seq: r.seq}
		rt.leases[key] = l
		r.count(l, 1)
		r.tellBegin(l)
	}
	l.preference = p
	l.expires = r.endOf(lifetime)
	if l.expires.IsZero() {
		r.timers.Clear(l)
	} else {
		r.timers.Set(l, l.expires)
	}
	if l.kind == route || l.kind == onLink {
		r.emit(AddRoute{
			Router: rt.info.Addr, Prefix: l.prefix, NextHop: l.nextHop(), Preference: p, Lifetime: lifetime,
		})
	}
	return l
}

// endOf returns when a lifetime that begins now is over, zero for Infinity.
func (r *Routers) endOf(lifetime time.Duration) time.Time {
	if lifetime == Infinity {
		return time.Time{}
	}
	return r.now.Add(lifetime)
}

// admit reports whether there is room for a new lease, and counts it if not.
func (r *Routers) admit(rt *router, key leaseKey) bool {
	if key == defaultRoute {
		return allow(r.defaults < r.cfg.MaxRouters, &r.counters.RoutersRefused)
	}
	own, all := rt.held[key.kind], r.held[key.kind]
	switch key.kind {
	case route:
		return allow(own < r.cfg.MaxRoutesPerRouter && all < r.cfg.MaxRoutes, &r.counters.RoutesRefused)
	case onLink, announced:
		return allow(own < r.cfg.MaxPrefixesPerRouter && all < r.cfg.MaxPrefixes, &r.counters.PrefixesRefused)
	default:
		return allow(own < r.cfg.MaxDNS, &r.counters.DNSRefused)
	}
}

func allow(ok bool, refused *uint64) bool {
	if !ok {
		*refused++
	}
	return ok
}

func (r *Routers) count(l *lease, by int) {
	if l.leaseKey == defaultRoute {
		r.defaults += by
		return
	}
	l.router.held[l.kind] += by
	r.held[l.kind] += by
}

// nextHop is zero for what is on-link.
func (l *lease) nextHop() netip.Addr {
	if l.kind == route {
		return l.router.info.Addr
	}
	return netip.Addr{}
}

// end ends a lease; the router may have none left, or no room, which settle
// sees to.
func (r *Routers) end(l *lease) {
	rt := l.router
	r.timers.Clear(l)
	delete(rt.leases, l.leaseKey)
	r.count(l, -1)
	if l.kind == route || l.kind == onLink {
		r.emit(RemoveRoute{Router: rt.info.Addr, Prefix: l.prefix, NextHop: l.nextHop()})
	}
	r.tellEnd(l)
}

// tellBegin and tellEnd say what the first and the last moment of a lease mean
// beside routes.
func (r *Routers) tellBegin(l *lease) {
	switch {
	case l.leaseKey == defaultRoute:
		r.emit(RouterAdded{Router: l.router.info.Addr})
	case l.kind == announced:
		r.emit(Announced{Router: l.router.info.Addr, Prefix: l.prefix})
	}
}

func (r *Routers) tellEnd(l *lease) {
	switch {
	case l.leaseKey == defaultRoute:
		r.emit(RouterRemoved{Router: l.router.info.Addr})
	case l.kind == announced:
		r.emit(Unannounced{Router: l.router.info.Addr, Prefix: l.prefix})
	}
}

// fire ends a lease whose time is over (RFC 4861, section 6.3.5).
func (l *lease) fire(r *Routers) {
	r.end(l)
	r.tellOptions(l.router)
	r.settle(l.router)
}

// settle forgets a router of which nothing is left, or that has left the
// Default Router List when there is no room beside it.
func (r *Routers) settle(rt *router) {
	switch {
	case rt.isDefault():
	case len(rt.leases) == 0:
		r.forget(rt)
	case len(r.routers)-r.defaults > r.cfg.MaxRouters:
		r.counters.RoutersRefused++
		r.forget(rt)
	}
}

// forget removes a router with all its leases.
func (r *Routers) forget(rt *router) {
	for _, l := range rt.sorted() {
		r.end(l)
	}
	delete(r.routers, rt.info.Addr)
	if !rt.told.empty() {
		r.emit(Options{Router: rt.info.Addr})
	}
}

// notRouter takes every route that leads through a host: RFC 4861, section
// 7.2.5: "the node MUST remove that router from the Default Router List and
// update the Destination Cache entries for all destinations using that neighbor
// as a router". Its prefixes are no such destinations.
func (r *Routers) notRouter(addr netip.Addr) {
	rt := r.routers[addr]
	if rt == nil {
		return
	}
	for _, l := range rt.sorted() {
		if l.kind == route {
			r.end(l)
		}
	}
	r.settle(rt)
}

// sorted returns the leases in the order in which they were made.
func (rt *router) sorted() []*lease {
	all := make([]*lease, 0, len(rt.leases))
	for _, l := range rt.leases {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *lease) int { return cmp.Compare(a.seq, b.seq) })
	return all
}
