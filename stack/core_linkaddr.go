package stack

import (
	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// setLinkAddr changes the link-layer address: what is sent from now on has the
// new one, and the neighbors are told (RFC 4861, section 7.2.6). Addresses that
// were made of the old one stay.
func (c *Core) setLinkAddr(l nd.LinkAddr) error {
	if l.IsZero() || l.IsMulticast() {
		return &InvalidArgumentError{"link-layer address " + l.String(), "is not a unicast address"}
	}
	if l == c.cfg.LinkAddr {
		return nil
	}
	c.cfg.LinkAddr = l
	c.emit(UseLinkAddr{l})
	c.runDAD(c.dad.Step(c.now, dad.SetLinkAddr{LinkAddr: l}))
	c.runAutoconf(c.autoconf.Step(c.now, nd.AutoconfLinkAddr{LinkAddr: l}))
	c.setReportSource()
	c.runND(c.neighbors.Step(c.now, nd.SetLinkAddr{LinkAddr: l}))
	return nil
}

// announce tells the routers of a new global address (RFC 9131, section
// 6.1.2).
func (c *Core) announce(a *address) {
	if c.cfg.Profile.noGratuitousNA || a.isLinkLocal() || a.cfg.Anycast || a.deprecated {
		return
	}
	c.runND(c.neighbors.Step(c.now, nd.Announce{Addr: a.addr(), Dst: nd.AllRouters}))
}

// LinkAddr is the interface's link-layer address.
func (c *Core) LinkAddr() nd.LinkAddr { return c.cfg.LinkAddr }
