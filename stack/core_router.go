package stack

import (
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// Parameters of RFC 4861, section 10, and RFC 8200 that hold until a router
// advertises others.
const (
	defaultHopLimit      = 64
	defaultReachableTime = 30 * time.Second
	defaultRetransTimer  = time.Second
)

// runRouters carries out what router discovery decided.
func (c *Core) runRouters(actions []nd.RouterAction) {
	for _, act := range actions {
		switch act := act.(type) {
		case nd.Solicit:
			c.sendND(act.Src, act.Dst, nd.LinkAddr{}, act.Message, netip.Addr{})
		case nd.AddRoute:
			add := rib.Add{Key: routerKey(act.Prefix, act.NextHop), Owner: routerOwner(act.Router, act.Prefix), Preference: rib.Preference(act.Preference)}
			if act.Lifetime != nd.Infinity {
				add.Lifetime = act.Lifetime
			}
			c.runRIB(c.routes.Step(c.now, add))
		case nd.RemoveRoute:
			c.runRIB(c.routes.Step(c.now, rib.Remove{Key: routerKey(act.Prefix, act.NextHop), Owner: routerOwner(act.Router, act.Prefix)}))
		case nd.SetParameters:
			c.setParameters(act)
		case nd.Prefix:
			c.runAutoconf(c.autoconf.Step(c.now, nd.AutoconfPrefix{PrefixInformation: act.PrefixInformation, FromMulticast: act.FromMulticast}))
		case nd.Learn:
			c.runND(c.neighbors.Step(c.now, nd.Heard{Addr: act.Router, LinkAddr: act.LinkAddr, Router: true}))
		case nd.RouterAdded:
			c.notify(Event{Type: RouterAdded, Address: act.Router})
		case nd.RouterRemoved:
			c.notify(Event{Type: RouterRemoved, Address: act.Router})
		case nd.NoRouters:
			c.notify(Event{Type: NoRouters})
		case nd.Managed:
			c.notify(Event{Type: ManagedFlags, State: managedState(act)})
		case nd.Announced, nd.Unannounced:
		case nd.Options:
			c.notify(Event{Type: RouterOptions, Address: act.Router})
		}
	}
}

// managedState says which of the flags M and O are set.
func managedState(m nd.Managed) string {
	switch {
	case m.Managed:
		return "managed"
	case m.Other:
		return "other"
	}
	return "none"
}

func routerKey(p netip.Prefix, nextHop netip.Addr) rib.Key {
	if !nextHop.IsValid() {
		return onLinkKey(p)
	}
	return rib.Key{Prefix: p, NextHop: nextHop, Origin: rib.RA, Metric: rib.RAMetric}
}

func routerOwner(router netip.Addr, p netip.Prefix) rib.Owner {
	return rib.Owner{Kind: rib.OwnerRouter, Addr: router, Prefix: p}
}

// setParameters takes over what a router advertised (RFC 4861, section 6.3.4).
func (c *Core) setParameters(p nd.SetParameters) {
	if p.CurHopLimit != 0 {
		c.emit(SetHopLimit{p.CurHopLimit})
	}
	if p.MTU != 0 {
		c.runMLD(c.groups.Step(c.now, mld.SetMTU{MTU: p.MTU}))
		c.emit(SetPathMTU{p.MTU})
	}
	c.runND(c.neighbors.Step(c.now, nd.SetTimers{ReachableTime: p.ReachableTime, RetransTimer: p.RetransTimer}))
	c.runDAD(c.dad.Step(c.now, dad.SetRetransTimer{RetransTimer: p.RetransTimer}))
}

// forgetRouters goes back to what holds without a router.
func (c *Core) forgetRouters() {
	c.runRouters(c.routers.Step(c.now, nd.Disable{}))
	clear(c.knownRouters)
	retrans := c.cfg.Profile.retransTimer
	if retrans == 0 {
		retrans = defaultRetransTimer
	}
	c.setParameters(nd.SetParameters{
		CurHopLimit: defaultHopLimit, ReachableTime: defaultReachableTime, RetransTimer: retrans, MTU: c.cfg.MTU,
	})
}

// watchRouter tells router discovery of a neighbor that was a router and says
// that it is none any more (RFC 4861, section 7.2.5).
func (c *Core) watchRouter(n nd.Neighbor) {
	_, was := c.knownRouters[n.Addr]
	switch {
	case n.IsRouter:
		c.knownRouters[n.Addr] = struct{}{}
	case was:
		delete(c.knownRouters, n.Addr)
		c.runRouters(c.routers.Step(c.now, nd.NotRouter{Addr: n.Addr}))
	}
}

// Routers lists the routers that were heard, with all that they advertise.
func (c *Core) Routers() []nd.RouterInfo { return c.routers.Routers() }
