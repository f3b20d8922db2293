package stack

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// AddressState is the state of an address in RFC 4862's words.
type AddressState uint8

const (
	Tentative  AddressState = iota // not assigned: being tested, or waiting to be
	Optimistic                     // RFC 4429
	Preferred
	Deprecated
)

// String returns the state in lower case.
func (s AddressState) String() string {
	return [...]string{"tentative", "optimistic", "preferred", "deprecated"}[s]
}

// AddressOrigin says where an address comes from.
type AddressOrigin uint8

const (
	OriginManual    AddressOrigin = iota // added through the API
	OriginLinkLocal                      // formed from the interface's link-layer address at link up
	OriginSLAAC                          // formed from a prefix that a router advertises (RFC 4862, section 5.5)
	OriginTemporary                      // the same, for a while (RFC 8981)
)

// String returns "manual", "link-local", "slaac" or "temporary".
func (o AddressOrigin) String() string {
	return [...]string{"manual", "link-local", "slaac", "temporary"}[o]
}

// Address is one address of an interface. A duplicate is never one.
type Address struct {
	Prefix  netip.Prefix // the address with its prefix length
	State   AddressState
	Origin  AddressOrigin
	Anycast bool
	// When the lifetimes end; zero: never.
	PreferredUntil, ValidUntil time.Time
}

// Failure is one duplicate of the bounded history.
type Failure struct {
	Time      time.Time
	Interface string
	Duplicate dad.DuplicateError
}

// addressTimer is a timer of one address.
type addressTimer struct {
	addr netip.Addr
	kind timerKind
}

type timerKind uint8

const (
	preferredEnds timerKind = iota
	validEnds
	retryDAD
)

// retryInterval parts the attempts to test an address whose probe the link
// refused, for addresses that have no caller to be told.
const retryInterval = time.Second

// Validate reports what can never be right about a, whatever the state of the
// interface: nil or an *InvalidArgumentError.
func (a AddressConfig) Validate() error {
	addr := a.Prefix.Addr()
	invalid := func(reason string) error { return &InvalidArgumentError{"address " + addr.String(), reason} }
	switch {
	case !a.Prefix.IsValid():
		return &InvalidArgumentError{"address", "is missing or its prefix length is out of range"}
	case !addr.Is6() || addr.Is4In6():
		return invalid("is not an IPv6 address")
	case addr.IsUnspecified():
		return invalid("is the unspecified address")
	case addr.IsLoopback():
		return invalid("is the loopback address")
	case addr.IsMulticast():
		return invalid("is a multicast address")
	case a.DAD > dad.Off:
		return invalid("has an unknown DAD mode")
	case a.ValidLifetime < 0:
		return invalid("has a negative valid lifetime")
	case a.ValidLifetime > 0 && (a.PreferredLifetime == 0 || a.PreferredLifetime > a.ValidLifetime):
		return invalid("has a preferred lifetime longer than its valid lifetime")
	}
	if a.OnLink.IsValid() && !a.statesLinkLocal() {
		if err := rib.Validate(rib.Add{Key: onLinkKey(a.OnLink), Owner: rib.Owner{Kind: rib.OwnerStatic}}); err != nil {
			return &InvalidArgumentError{"on-link prefix " + a.OnLink.String(), err.Error()}
		}
	}
	return nil
}

// statesLinkLocal reports whether OnLink says no more than what a link-local
// address brings anyway: fe80::/64.
func (a AddressConfig) statesLinkLocal() bool {
	return a.Prefix.Addr().IsLinkLocalUnicast() && a.OnLink.Addr().IsLinkLocalUnicast()
}

// addAddresses starts DAD for all requests together, so that their groups are
// reported together.
func (c *Core) addAddresses(requests []AddRequest) {
	var start []*address
	for _, req := range requests {
		if err := c.checkAdd(req); err != nil {
			c.done(req.ID, err)
			continue
		}
		if req.Configured {
			c.configured.add(req)
			c.done(req.ID, nil)
			req.ID = 0
		}
		a := c.newAddress(req)
		switch {
		case c.up && c.disabled && a.isLinkLocal():
			// RFC 4862, section 5.4.5: recovery is the operator's, by another
			// address.
			c.enableIPv6(a)
		case c.up && !c.disabled:
			start = append(start, a)
		}
	}
	c.startDAD(start)
}

func (c *Core) checkAdd(req AddRequest) error {
	if err := req.Validate(); err != nil {
		return err
	}
	addr := req.Prefix.Addr()
	if _, exists := c.addresses.get(addr); exists {
		return ErrAddressExists
	}
	if len(c.addresses.byAddr) >= c.cfg.MaxAddresses {
		return ErrLimit
	}
	switch {
	case req.Configured:
		return nil
	case !c.up:
		return ErrLinkDown
	case c.disabled && !addr.IsLinkLocalUnicast():
		return ErrIPv6Disabled
	}
	return nil
}

// newAddress enters an address. Its lifetimes run while it is tentative.
func (c *Core) newAddress(req AddRequest) *address {
	a := &address{cfg: req.AddressConfig, request: req.ID}
	if req.statesLinkLocal() {
		a.cfg.OnLink = netip.Prefix{}
	}
	a.deprecated = req.PreferredLifetime < 0
	var ends lifetimes
	if req.PreferredLifetime > 0 {
		ends.preferred = c.now.Add(req.PreferredLifetime)
		c.deadlines.Set(addressTimer{a.addr(), preferredEnds}, ends.preferred)
	}
	if req.ValidLifetime > 0 {
		ends.valid = c.now.Add(req.ValidLifetime)
		c.deadlines.Set(addressTimer{a.addr(), validEnds}, ends.valid)
	}
	if ends != (lifetimes{}) {
		a.ends = &ends
	}
	c.addresses.insert(a)
	c.runAutoconf(c.autoconf.Step(c.now, nd.AddressClaimed{Addr: a.addr()}))
	return a
}

// LinkLocalAddr is the link-local address with the EUI-64 interface
// identifier of l (RFC 2464, sections 4 and 5).
func LinkLocalAddr(l nd.LinkAddr) netip.Addr {
	addr := [16]byte{0: 0xfe, 1: 0x80}
	iid := nd.EUI64(l)
	copy(addr[8:], iid[:])
	return netip.AddrFrom16(addr)
}

// settle ends the pending add of an address.
func (c *Core) settle(a *address, err error) {
	if a.request != 0 {
		c.addresses.settle(a.request)
		c.done(a.request, err)
		a.request = 0
	}
}

// forget removes the record of an address that is enabled no longer. The
// connections that waited for its return end.
func (c *Core) forget(a *address, err error) {
	c.addresses.delete(a)
	if !a.isAutoconfigured() {
		c.runAutoconf(c.autoconf.Step(c.now, nd.AddressReleased{Addr: a.addr()}))
	}
	for _, kind := range []timerKind{preferredEnds, validEnds, retryDAD} {
		c.deadlines.Clear(addressTimer{a.addr(), kind})
	}
	if a.kept {
		c.emit(Abort{a.addr()})
	}
	if a.isLinkLocal() {
		c.setReportSource()
	}
	c.settle(a, err)
}

// remove takes an address away in whatever state: connections are reset while
// the address can still send, then source selection, routes, group and
// sockets let it go.
func (c *Core) remove(a *address, err error, reason string) {
	c.abortAndWithdraw([]*address{a})
	c.drop(a, err, reason)
}

// drop is remove without a packet from the address.
func (c *Core) drop(a *address, err error, reason string) {
	c.withdraw(a)
	c.runDAD(c.dad.Step(c.now, dad.Stop{Addr: a.addr()}))
	c.notify(Event{Type: AddressRemoved, Address: a.addr(), Prefix: a.cfg.Prefix, Reason: reason})
	c.forget(a, err)
}

func (c *Core) removeAddress(ev RemoveAddress) {
	a, ok := c.addresses.get(ev.Addr)
	switch {
	case ok:
		c.remove(a, ErrAddressRemoved, "")
		if a.isAutoconfigured() {
			c.runAutoconf(c.autoconf.Step(c.now, nd.AddressRemoved{Addr: ev.Addr}))
		}
	case !c.configured.has(ev.Addr):
		c.done(ev.ID, ErrNoSuchAddress)
		return
	}
	c.configured.remove(ev.Addr)
	c.done(ev.ID, nil)
}

// removeAddresses removes the link-local addresses last, each alone: the leaves
// of the others come from one of them.
func (c *Core) removeAddresses(evs []RemoveAddress) {
	as := make([]*address, 0, len(evs))
	var linkLocal []RemoveAddress
	c.reportTogether(func() {
		for _, ev := range evs {
			if a, ok := c.addresses.get(ev.Addr); ok && !a.isLinkLocal() {
				as = append(as, a)
			}
		}
		c.abortAndWithdraw(as)
		for _, ev := range evs {
			if ev.Addr.IsLinkLocalUnicast() {
				linkLocal = append(linkLocal, ev)
				continue
			}
			c.removeAddress(ev)
		}
	})
	for _, ev := range linkLocal {
		c.removeAddress(ev)
	}
}

func (c *Core) cancelAdds(ids []RequestID) {
	var as []*address
	for _, id := range ids {
		if a, ok := c.addresses.byID[id]; ok {
			as = append(as, a)
		}
	}
	c.reportTogether(func() {
		c.abortAndWithdraw(as)
		for _, a := range as {
			c.remove(a, ErrAddressRemoved, "the add was cancelled")
		}
	})
}

// expire fires the deadlines of addresses that are due at t.
func (c *Core) expire(t time.Time) {
	d, _, ok := c.deadlines.PopDue(t)
	if !ok {
		return
	}
	a, ok := c.addresses.get(d.addr)
	if !ok {
		return
	}
	switch d.kind {
	case preferredEnds: // RFC 4862, section 5.5.4
		c.deprecate(a)
	case validEnds:
		c.remove(a, ErrAddressRemoved, "its valid lifetime ended")
	case retryDAD:
		c.startDAD([]*address{a})
	}
}

// Addresses lists the addresses in the order in which they were added.
func (c *Core) Addresses() []Address {
	records := c.addresses.inOrder()
	views := make([]Address, len(records))
	for i, a := range records {
		views[i] = a.view()
	}
	return views
}

// Failures lists the latest duplicates, the oldest first.
func (c *Core) Failures() []Failure { return slices.Clone(c.failures) }

// outcome tells how DAD of an address ended, if it has.
func (c *Core) outcome(addr netip.Addr) (done bool, err error) {
	if a, ok := c.addresses.get(addr); ok {
		return a.state == addressAssigned, nil
	}
	for k := len(c.failures) - 1; k >= 0; k-- {
		if dup := c.failures[k].Duplicate; dup.Addr == addr {
			return true, &dup
		}
	}
	return true, ErrNoSuchAddress
}
