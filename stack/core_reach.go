package stack

import (
	"net/netip"
	"slices"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// tellReach tells the routing table whether a gateway can be reached (RFC
// 4861, section 6.3.6; RFC 4191, section 3.2).
func (c *Core) tellReach(addr netip.Addr, r rib.Reachability) {
	if c.routes.IsGateway(addr) {
		c.runRIB(c.routes.Step(c.now, rib.Reach{Addr: addr, State: r}))
	}
}

// watchReach follows the state of a neighbor. Resolution that goes on says
// nothing new.
func (c *Core) watchReach(n nd.Neighbor) {
	switch n.State {
	case nd.Incomplete:
	case nd.Unreachable:
		c.tellReach(n.Addr, rib.ReachFailed)
	default:
		c.tellReach(n.Addr, rib.ReachProbable)
	}
}

// watchRemoved follows the end of a neighbor's entry.
func (c *Core) watchRemoved(r nd.Removed) {
	if r.Failed {
		c.tellReach(r.Addr, rib.ReachFailed)
	} else {
		c.tellReach(r.Addr, rib.ReachUnknown)
	}
}

// newGateway tells the routing table what is known already of the next hop of
// a route that came into being.
func (c *Core) newGateway(r rib.Route) {
	hop := r.NextHop
	if !hop.IsValid() {
		if r.Origin != rib.Redirected {
			return
		}
		hop = r.Prefix.Addr() // a redirect to the destination itself
	}
	if n, ok := c.neighbors.Lookup(hop); ok {
		c.watchReach(n)
	}
}

// selectRouter returns the next hop of a packet that may have to wait for it.
// In a host of type A routers that are not known to be reachable take turns
// (RFC 4861, section 6.3.6, (2)), by destination: "with subsequent traffic for
// that destination using the same router", a packet waits where others to its
// destination do. The data path may have sent several packets by one snapshot,
// so the choice is made again.
func (c *Core) selectRouter(ev Output) netip.Addr {
	s := c.routes.Snapshot()
	routers := s.Routers(ev.Src, ev.Dst)
	if len(routers) < 2 {
		return ev.NextHop
	}
	hop, _ := s.NextHop(ev.Src.As16(), ev.Dst.As16(), ev.Flow)
	router := netip.AddrFrom16(hop.Addr)
	if c.routes.Reachability(router) == rib.ReachProbable {
		return router
	}
	for _, r := range routers {
		if c.queue.holds(r, ev.Dst) {
			return r
		}
	}
	c.runRIB(c.routes.Step(c.now, rib.Select{Router: router}))
	return router
}

// probeSkipped solicits the routers that a packet would rather have gone to,
// each once a minute at most (RFC 4191, section 3.5).
func (c *Core) probeSkipped(ev RouterSkipped) {
	for _, router := range c.routes.Snapshot().Skipped(ev.Src.As16(), ev.Dst.As16(), ev.Flow) {
		c.runND(c.neighbors.Step(c.now, nd.ProbeRouter{Addr: router}))
	}
}

// unresolved gives back the packets that waited for a neighbor that did not
// answer.
//
// Deviation: RFC 4861, section 7.2.2, has each of them answered with
// Destination Unreachable. Those to a router are sent through another one if
// there is one that has not failed, which is what next-hop determination,
// redone, gives the next packet (section 7.3.3): a dial does not fail because
// the first of two routers is dead.
func (c *Core) unresolved(neighbor netip.Addr) {
	var again, lost []any
	for _, p := range c.queue.take(neighbor) {
		if c.hasOtherHop(neighbor, p) {
			again = append(again, p.Packet)
		} else {
			lost = append(lost, p.Packet)
		}
	}
	if len(again) > 0 {
		c.publish() // they are to find the other hop
		c.emit(Resend{again})
	}
	if len(lost) > 0 {
		c.emit(Unreachable{lost})
	}
}

func (c *Core) hasOtherHop(failed netip.Addr, p Output) bool {
	if !p.Dst.IsValid() || !c.up || c.disabled {
		return false
	}
	s := c.routes.Snapshot()
	hop, ok := s.NextHop(p.Src.As16(), p.Dst.As16(), p.Flow)
	next := netip.AddrFrom16(hop.Addr)
	mayWork := func(hop netip.Addr) bool { return c.routes.Reachability(hop) != rib.ReachFailed }
	// In a round a router that failed may have its turn before one that is
	// being resolved.
	return ok && next != failed && (mayWork(next) || slices.ContainsFunc(s.Routers(p.Src, p.Dst), mayWork))
}
