package nd

import (
	"net/netip"
	"time"
)

// routerProbeInterval is between two probes of a router: RFC 4191, section 3.5:
// "these probes MUST be rate-limited to no more than one per minute per router."
const routerProbeInterval = time.Minute

// probeRouter sends "a single Neighbor Solicitation to that router's address"
// (RFC 4191, section 3.5) if the router is not known to be reachable, or likely
// so, and nothing is under way that will find out.
func (n *Neighbors) probeRouter(a netip.Addr) {
	if _, probed := n.probed.At(a); probed {
		return
	}
	e := n.cache.entries[a.As16()]
	_, quiet := n.quiet.At(a)
	// RFC 4861, section 7.3.3: one solicitation in RetransTimer at most.
	if quiet || e != nil && (e.State != Unreachable || e.quietUntil.After(n.now)) {
		return
	}
	if n.probed.Len() >= n.cfg.MaxProbedRouters {
		n.counters.ProbesRefused++
		return
	}
	if e == nil {
		if e = n.startResolution(a, netip.Addr{}, true); e == nil {
			return
		}
		e.probing = true
	} else if !n.solicit(e) {
		return
	}
	n.probed.Set(a, n.now.Add(routerProbeInterval))
}
