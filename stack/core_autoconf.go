package stack

import (
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

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
			// Only RFC 7217 counts, and no profile asks for it yet.
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
	if _, exists := c.addresses.get(add.Addr); exists || len(c.addresses.byAddr) >= c.cfg.MaxAddresses {
		return nil
	}
	a := &address{cfg: AddressConfig{Prefix: netip.PrefixFrom(add.Addr, add.PrefixLen)}, origin: OriginSLAAC, fromMulticastRA: add.FromMulticastRA}
	if add.Kind == nd.TemporaryAddress {
		a.origin = OriginTemporary
	}
	a.setLifetimes(c.now, add.Preferred, add.Valid)
	c.addresses.insert(a)
	return a
}

func (a *address) setLifetimes(now time.Time, preferred, valid time.Duration) {
	a.preferred, a.valid = endOf(now, preferred), endOf(now, valid)
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

// autoconfDown drops every autoconfigured address without a packet.
func (c *Core) autoconfDown(reason string) {
	for _, act := range c.autoconf.Step(c.now, nd.AutoconfDown{}) {
		if remove, ok := act.(nd.RemoveAddress); ok {
			if a, ok := c.addresses.get(remove.Addr); ok {
				c.drop(a, nil, reason)
			}
		}
	}
}

// isAutoconfigured reports whether a was formed from a prefix that a router
// advertised.
func (a *address) isAutoconfigured() bool {
	return a.origin == OriginSLAAC || a.origin == OriginTemporary
}
