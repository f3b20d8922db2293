package nd

import (
	"net/netip"
	"time"
)

// advert processes a valid Router Advertisement (RFC 4861, section 6.3.4).
func (r *Routers) advert(ev Advert) {
	if !r.enabled {
		r.counters.AdvertsIgnored++
		return
	}
	r.counters.Adverts++
	// "If no Source Link-Layer Address is included, but a corresponding
	// Neighbor Cache entry exists, its IsRouter flag MUST be set to TRUE."
	r.emit(Learn{Router: ev.Src, LinkAddr: ev.SourceLinkAddr})
	r.setParameters(ev.RouterAdvert)
	r.setFlags(ev.RouterAdvert)
	lifetime, preference := r.defaultRouteOf(ev.RouterAdvert)
	rt := r.routerFor(ev, lifetime)
	if rt != nil {
		r.renew(rt, defaultRoute, lifetime, preference)
		r.takeRoutes(rt, ev.Routes)
	}
	r.takePrefixes(rt, ev)
	if rt != nil {
		r.takeOptions(rt, ev.RouterAdvert)
	}
	r.heardAdvert(ev.RouterLifetime, rt)
}

// setFlags takes over the flags M and O. RFC 2462, section 5.5.3: "If the value
// of the ManagedFlag changes from TRUE to FALSE, the host should continue
// running the stateful address autoconfiguration, i.e., the change in the value
// of the ManagedFlag has no effect."
func (r *Routers) setFlags(m *RouterAdvert) {
	flags := Managed{Managed: m.Managed, Other: m.Other}
	if r.cfg.StickyFlags {
		flags.Managed = flags.Managed || r.flags.Managed
		flags.Other = flags.Other || r.flags.Other || flags.Managed
	}
	if flags != r.flags {
		r.flags = flags
		r.emit(flags)
	}
}

// setParameters takes over what is specified: "the parameter should be ignored
// and the host should continue using whatever value it is already using" if it
// is not.
func (r *Routers) setParameters(m *RouterAdvert) {
	var changed SetParameters
	update(&r.params.CurHopLimit, m.CurHopLimit, &changed.CurHopLimit)
	update(&r.params.ReachableTime, m.ReachableTime, &changed.ReachableTime)
	update(&r.params.RetransTimer, m.RetransTimer, &changed.RetransTimer)
	switch {
	case m.MTU == 0:
	case m.MTU < minLinkMTU || uint64(m.MTU) > uint64(r.cfg.MaxMTU):
		r.counters.MTUsRefused++
	default:
		update(&r.params.MTU, int(m.MTU), &changed.MTU)
	}
	if changed != (SetParameters{}) {
		r.emit(changed)
	}
}

// update sets a parameter to what was advertised, and changed likewise if that
// is another value.
func update[T comparable](parameter *T, advertised T, changed *T) {
	var unspecified T
	if advertised != unspecified && advertised != *parameter {
		*parameter, *changed = advertised, advertised
	}
}

// defaultRouteOf returns the lifetime and preference of the route ::/0. RFC
// 4191, section 3.1: those of a Route Information option for ::/0 "override the
// preference and lifetime values in the Router Advertisement header".
func (r *Routers) defaultRouteOf(m *RouterAdvert) (lifetime time.Duration, p Preference) {
	lifetime = m.RouterLifetime
	if !r.cfg.Preferences {
		return lifetime, Medium
	}
	p = m.Preference
	for _, ri := range m.Routes {
		if ri.Prefix == defaultRoute.prefix {
			lifetime, p = ri.Lifetime, ri.Preference
		}
	}
	return lifetime, p
}

// routerFor returns the entry of the router that sent an advertisement, a new
// one if there is room, else nil. lifetime is that of its default route.
func (r *Routers) routerFor(ev Advert, lifetime time.Duration) *router {
	rt := r.routers[ev.Src]
	if rt == nil {
		full := lifetime == 0 && len(r.routers)-r.defaults >= r.cfg.MaxRouters ||
			lifetime > 0 && r.defaults >= r.cfg.MaxRouters
		if full {
			r.counters.RoutersRefused++
			return nil
		}
		rt = &router{info: RouterInfo{Addr: ev.Src}, leases: make(map[leaseKey]*lease)}
		r.routers[ev.Src] = rt
	}
	i := &rt.info
	i.Heard = r.now
	if !ev.SourceLinkAddr.IsZero() {
		i.LinkAddr = ev.SourceLinkAddr
	}
	i.CurHopLimit, i.Managed, i.Other = ev.CurHopLimit, ev.Managed, ev.Other
	i.RouterLifetime, i.ReachableTime, i.RetransTimer = ev.RouterLifetime, ev.ReachableTime, ev.RetransTimer
	i.MTU = ev.MTU
	return rt
}

// takeRoutes updates the routes to more specific prefixes (RFC 4191, section
// 3.1).
func (r *Routers) takeRoutes(rt *router, routes []RouteInformation) {
	if !r.cfg.Preferences {
		return
	}
	for _, ri := range routes {
		if ri.Prefix != defaultRoute.prefix && isRoutable(ri.Prefix) {
			r.renew(rt, leaseKey{kind: route, prefix: ri.Prefix}, ri.Lifetime, ri.Preference)
		}
	}
}

// takePrefixes processes the Prefix Information options, the on-link flag and
// the autonomous flag each on its own. rt is nil if the router is not
// remembered.
func (r *Routers) takePrefixes(rt *router, ev Advert) {
	for _, pi := range ev.Prefixes {
		if rt != nil && isRoutable(pi.Prefix) {
			r.takePrefix(rt, pi)
		}
		if pi.Autonomous {
			r.emit(Prefix{Router: ev.Src, PrefixInformation: pi, FromMulticast: ev.Dst.IsMulticast()})
		}
	}
}

// takePrefix remembers a prefix with the router that announces it (RFC 8028,
// section 3.1), and the router's hold on it in the Prefix List. The lifetime
// counts as it is: the rule of two hours is for addresses alone.
func (r *Routers) takePrefix(rt *router, pi PrefixInformation) {
	l := r.renew(rt, leaseKey{kind: announced, prefix: pi.Prefix}, pi.ValidLifetime, Medium)
	if l != nil {
		l.autonomous = pi.Autonomous
		l.preferred = r.endOf(pi.PreferredLifetime)
	}
	// "The only way to cancel a previous on-link indication is to advertise
	// that prefix with the L-bit set and the Lifetime set to zero."
	if pi.OnLink {
		r.renew(rt, leaseKey{kind: onLink, prefix: pi.Prefix}, pi.ValidLifetime, Medium)
	}
}

// takeOptions takes over what only others use, and says so if it is news.
func (r *Routers) takeOptions(rt *router, m *RouterAdvert) {
	for _, d := range m.DNSServers {
		for _, a := range d.Servers {
			r.renew(rt, leaseKey{kind: nameServer, server: a}, d.Lifetime, Medium)
		}
	}
	for _, d := range m.DNSSearch {
		for _, name := range d.Domains {
			r.renew(rt, leaseKey{kind: searchDomain, domain: name}, d.Lifetime, Medium)
		}
	}
	// An advertisement without the option says nothing of a portal (RFC 4861,
	// section 9); one that is gone is said to be (RFC 8910, section 2).
	if m.CaptivePortal != "" {
		rt.info.CaptivePortal = m.CaptivePortal
	}
	rt.info.Unknown = r.boundUnknown(m.Unknown)
	r.tellOptions(rt)
	r.settle(rt)
}

// boundUnknown returns copies of as many options as may be kept.
func (r *Routers) boundUnknown(all []RawOption) []RawOption {
	var kept []RawOption
	size := 0
	for _, o := range all {
		n := 2 + len(o.Body)
		if allow(size+n <= r.cfg.MaxUnknown, &r.counters.UnknownRefused) {
			size += n
			kept = append(kept, o)
		}
	}
	return cloneRaw(kept)
}

// isRoutable reports whether routes and on-link prefixes of routers can be for
// p. RFC 4861, section 6.3.4: "If the prefix is the link-local prefix, silently
// ignore the Prefix Information option." Nor can a router say anything of
// groups, IPv4-mapped addresses, the unspecified or the loopback address.
func isRoutable(p netip.Prefix) bool {
	a := p.Addr()
	switch {
	case a.IsMulticast(), a.Is4In6(), p.Bits() >= 10 && a.IsLinkLocalUnicast():
		return false
	case p.IsSingleIP() && (a.IsUnspecified() || a.IsLoopback()):
		return false
	}
	return true
}
