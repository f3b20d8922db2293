package stack

import (
	"net/netip"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// redirected takes a Redirect that is valid by its fields (RFC 4861, section
// 8.3), if it comes from "the current first-hop router" (section 8.1) of the
// packets that prompted it: those from the address that it was sent to.
func (c *Core) redirected(h nd.Header, m *nd.Redirect) {
	if c.cfg.Profile.ignoreRedirects {
		return
	}
	_, targetIsOurs := c.addresses.get(m.Target)
	if targetIsOurs || !c.routes.Snapshot().IsFirstHop(h.Dst, m.Destination, h.Src) {
		c.counters.RedirectsRefused++
		return
	}
	// "If the Target and Destination Addresses are the same, however, one
	// cannot reliably determine whether the Target Address is a router."
	c.runND(c.neighbors.Step(c.now, nd.Heard{Addr: m.Target, LinkAddr: m.TargetLinkAddr, Router: m.Target != m.Destination}))
	redirect := rib.Redirect{Dst: m.Destination, Target: m.Target, From: h.Src}
	if m.Target != m.Destination && !c.cfg.Profile.routerTypeA {
		// RFC 8028, section 3.4: "Hosts SHOULD apply off-link redirects only
		// for the specific pair of source and destination addresses concerned".
		redirect.Src = h.Dst
	}
	c.runRIB(c.routes.Step(c.now, redirect))
}

// seenOnLink takes a node that Neighbor Discovery was heard from to be on-link,
// as RFC 4861, section 2.1, defines the word. RFC 5942, section 3, ended that.
// Only a node with an entry in the Neighbor Cache counts, so that the cache's
// bound holds here too.
func (c *Core) seenOnLink(a netip.Addr) {
	if !c.cfg.Profile.onLinkFromND || a.IsLinkLocalUnicast() {
		return
	}
	n, known := c.neighbors.Lookup(a)
	if !known || n.State == nd.Incomplete || n.State == nd.Unreachable {
		return
	}
	if hop, ok := c.routes.Snapshot().NextHop([16]byte{}, a.As16(), 0); !ok || hop.Addr != a.As16() {
		c.runRIB(c.routes.Step(c.now, rib.Redirect{Dst: a, Target: a}))
	}
}
