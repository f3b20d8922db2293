package stack

import (
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// formLinkLocal begins autoconfiguration and returns the link-local address
// that it forms (RFC 4862, section 5.3), which may have been there before the
// link went down. first, if not nil, is an operator's, and takes its place.
func (c *Core) formLinkLocal(first *address) *address {
	actions := c.autoconf.Step(c.now, nd.AutoconfUp{NoLinkLocal: first != nil})
	for _, act := range actions {
		if add, ok := act.(nd.AddAddress); ok {
			first = c.formAddress(add)
		}
	}
	// One of an earlier time that has another identifier is gone for good.
	for _, a := range c.addresses.inOrder() {
		if a.origin == OriginLinkLocal && a != first {
			c.drop(a, nil, "another interface identifier takes its place")
		}
	}
	return first
}

// runAutoconf carries out what address autoconfiguration decided.
func (c *Core) runAutoconf(actions []nd.AutoconfAction) {
	var start []*address
	for _, act := range actions {
		switch act := act.(type) {
		case nd.AddAddress:
			if a := c.formAddress(act); a != nil {
				start = append(start, a)
			}
		case nd.UpdateLifetimes:
			if a, ok := c.addresses.get(act.Addr); ok {
				c.setLifetimes(a, act.Preferred, act.Valid)
			}
		case nd.DeprecateAddress:
			if a, ok := c.addresses.get(act.Addr); ok {
				c.deprecate(a)
			}
		case nd.RemoveAddress:
			if a, ok := c.addresses.get(act.Addr); ok {
				c.remove(a, ErrAddressRemoved, "its valid lifetime ended")
			}
		case nd.SaveCounter:
			c.emit(SaveDADCounter(act))
		case nd.IdentifiersExhausted:
			c.notify(Event{Type: AutoconfFailed, Prefix: act.Prefix, Reason: "every address that was tried is a duplicate"})
		}
	}
	if c.up && !c.disabled {
		c.startDAD(start)
	}
}

// formAddress enters an address that autoconfiguration formed. It does not
// make its prefix on-link (RFC 5942, section 4), and its lifetimes are
// autoconfiguration's to watch.
func (c *Core) formAddress(add nd.AddAddress) *address {
	if a, exists := c.addresses.get(add.Addr); exists {
		return a // the link-local address, which waits for the link
	}
	if len(c.addresses.byAddr) >= c.cfg.MaxAddresses && add.Kind != nd.LinkLocalAddress {
		return nil
	}
	a := &address{
		cfg:      AddressConfig{Prefix: netip.PrefixFrom(add.Addr, add.PrefixLen), DAD: c.autoconfMode(add)},
		origin:   map[nd.AutoconfKind]AddressOrigin{nd.LinkLocalAddress: OriginLinkLocal, nd.StableAddress: OriginSLAAC, nd.TemporaryAddress: OriginTemporary}[add.Kind],
		hardware: add.Hardware, sameIID: add.SameIdentifier, fromMulticastRA: add.FromMulticastRA,
	}
	a.setLifetimes(c.now, add.Preferred, add.Valid)
	c.addresses.insert(a)
	return a
}

// autoconfMode is how to test an autoconfigured address. RFC 4429, section
// 3.3: an address should not be optimistic while no router's link-layer
// address is known, for it could not be used.
func (c *Core) autoconfMode(add nd.AddAddress) dad.Mode {
	if !c.cfg.Profile.optimisticDAD || add.Kind == nd.LinkLocalAddress {
		return dad.Normal
	}
	for router := range c.knownRouters {
		if n, ok := c.neighbors.Lookup(router); ok && n.State != nd.Incomplete {
			return dad.Optimistic
		}
	}
	return dad.Normal
}

func (a *address) setLifetimes(now time.Time, preferred, valid time.Duration) {
	a.ends = &lifetimes{endOf(now, preferred), endOf(now, valid)}
	a.deprecated = preferred == 0
}

// endOf is when a lifetime that begins now ends; zero: never.
func endOf(now time.Time, d time.Duration) time.Time {
	if d == nd.Infinity {
		return time.Time{}
	}
	return now.Add(d)
}

func (c *Core) setLifetimes(a *address, preferred, valid time.Duration) {
	was := a.deprecated
	a.setLifetimes(c.now, preferred, valid)
	if a.enabled() && was != a.deprecated {
		c.spread(a)
		c.notify(Event{Type: AddressAssigned, Address: a.addr(), Prefix: a.cfg.Prefix, State: a.view().State.String()})
	}
}

// deprecate is the end of the preferred lifetime (RFC 4862, section 5.5.4).
func (c *Core) deprecate(a *address) {
	a.deprecated = true
	if a.enabled() {
		c.spread(a)
		c.notify(Event{Type: AddressDeprecated, Address: a.addr(), Prefix: a.cfg.Prefix})
	}
}

// autoconfDown drops every autoconfigured address without a packet, save the
// link-local one: it will probably be formed again.
func (c *Core) autoconfDown(reason string) {
	for _, act := range c.autoconf.Step(c.now, nd.AutoconfDown{}) {
		if remove, ok := act.(nd.RemoveAddress); ok {
			if a, ok := c.addresses.get(remove.Addr); ok && a.origin != OriginLinkLocal {
				c.drop(a, nil, reason)
			}
		}
	}
}

// isAutoconfigured reports whether a was formed by the interface itself.
func (a *address) isAutoconfigured() bool { return a.origin != OriginManual }
