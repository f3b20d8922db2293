package stack

import (
	"net/netip"

	"github.com/tapstack/tapstack/nd"
)

// watchProbing asks the sockets for hints of forward progress while the
// reachability of a neighbor is in question (RFC 4861, section 7.3.1).
func (c *Core) watchProbing(a netip.Addr, s nd.NeighborState) {
	_, was := c.probing[a]
	is := s == nd.Delay || s == nd.Probe
	switch {
	case is && !was:
		c.probing[a] = struct{}{}
		if c.generation++; c.generation == 0 {
			c.generation = 1
		}
		c.emit(WatchProgress{c.generation})
	case was && !is:
		delete(c.probing, a)
		if len(c.probing) == 0 {
			c.emit(WatchProgress{})
		}
	}
}

// progress confirms the neighbor that a connection's packets go to.
func (c *Core) progress(ev Progress) {
	hop, ok := c.routes.Snapshot().NextHop(ev.Local.As16(), ev.Remote.As16(), ev.Flow)
	if !ok {
		return
	}
	if _, waits := c.probing[netip.AddrFrom16(hop.Addr)]; waits {
		c.runND(c.neighbors.Step(c.now, nd.Confirm{Addr: netip.AddrFrom16(hop.Addr)}))
	}
}
