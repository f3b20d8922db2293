package stack

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

func (c *Core) startDAD(start []*address) {
	var actions []dad.Action
	for _, a := range start {
		if c.skipsTest(a) && !c.linkLocalAssigned() {
			continue // it goes on with the link-local address
		}
		a.state = addressTesting
		actions = append(actions, c.dad.Step(c.now, dad.Start{
			Addr: a.addr(), Mode: c.modeOf(a), Anycast: a.cfg.Anycast, First: !c.sent, FromMulticastRA: a.fromMulticastRA,
		})...)
		if c.dad.State(a.addr()) != dad.Assigned {
			c.notify(Event{Type: AddressTentative, Address: a.addr(), Prefix: a.cfg.Prefix})
		}
	}
	c.runDAD(actions)
}

// runDAD carries out what dad decided at one moment. A lost address is
// withdrawn before anything is sent; then the group changes of all addresses
// are reported together, which also puts each report before its probe.
func (c *Core) runDAD(actions []dad.Action) {
	var changes mld.Changes
	change := func(op mld.Op, addr, group netip.Addr) {
		holder := mld.Holder{Kind: mld.HolderAddress, Addr: addr}
		changes = append(changes, mld.Change{Op: op, Group: group, Holder: holder})
	}
	for _, act := range actions {
		switch act := act.(type) {
		case dad.Listen:
			change(mld.OpListen, act.Addr, act.Group)
		case dad.Join:
			change(mld.OpJoin, act.Addr, act.Group)
		case dad.Leave:
			change(mld.OpLeave, act.Addr, act.Group)
		case dad.Reject:
			c.withdrawLost(act.Duplicate.Addr)
		case dad.Fail:
			c.withdrawLost(act.Addr)
		}
	}
	if c.gathering {
		c.gathered = append(c.gathered, changes...)
	} else if len(changes) > 0 {
		c.runMLD(c.groups.Step(c.now, changes))
	}
	for _, act := range actions {
		switch act := act.(type) {
		case dad.Probe:
			c.sendProbe(act)
		case dad.Assign:
			c.assign(act.Addr, act.Optimistic)
		case dad.Reject:
			c.reject(act.Duplicate)
		case dad.Fail:
			c.failed(act.Addr)
		case dad.Looped:
			c.counters.LoopedProbes += uint64(act.Probes)
			c.notify(Event{Type: DADLooped, Address: act.Addr, Reason: "its own probes come back from the link; testing goes on until they stop or the address is accepted by hand"})
		}
	}
}

func (c *Core) withdrawLost(addr netip.Addr) {
	if a, ok := c.addresses.get(addr); ok {
		c.withdraw(a)
	}
}

func (c *Core) sendProbe(p dad.Probe) {
	c.sendND(netip.IPv6Unspecified(), p.Group, nd.LinkAddr{}, &nd.NeighborSolicit{Target: p.Addr, Nonce: p.Nonce}, p.Addr)
}

// assign makes an address usable: for sockets, for defence, then for source
// selection and routes.
func (c *Core) assign(addr netip.Addr, optimistic bool) {
	a, ok := c.addresses.get(addr)
	if !ok {
		panic("stack: dad assigned an unknown address " + addr.String())
	}
	isNew := !a.enabled()
	if isNew {
		c.emit(Enable{addr})
	}
	a.state = addressAssigned
	if optimistic {
		a.state = addressOptimistic
	}
	c.spread(a)
	if isNew {
		c.announce(a)
	}
	c.notify(Event{Type: AddressAssigned, Address: addr, Prefix: a.cfg.Prefix, State: a.view().State.String()})
	if optimistic {
		return
	}
	a.kept = true
	c.settle(a, nil)
	if a.isLinkLocal() && !a.cfg.Anycast {
		c.linkLocals = append(c.linkLocals, addr)
		c.setReportSource()
	}
	if a.isAutoconfigured() {
		c.runAutoconf(c.autoconf.Step(c.now, nd.AddressAssigned{Addr: addr}))
	}
	if a.origin == OriginLinkLocal && c.cfg.Profile.skipSameIID {
		c.startDAD(slices.DeleteFunc(c.addresses.waitingAfter(nil), func(a *address) bool { return !a.sameIID }))
	}
}

// skipsTest reports whether a is not tested because the link-local address,
// which has its identifier, is (RFC 2462, section 5.4).
func (c *Core) skipsTest(a *address) bool {
	return c.cfg.Profile.skipSameIID && a.sameIID && a.origin == OriginSLAAC
}

func (c *Core) waitsForLinkLocal(a *address) bool {
	return c.skipsTest(a) && a.state == addressWaiting
}

func (c *Core) modeOf(a *address) dad.Mode {
	if c.skipsTest(a) {
		return dad.Off
	}
	return a.cfg.DAD
}

func (c *Core) linkLocalAssigned() bool {
	return slices.ContainsFunc(c.linkLocals, func(addr netip.Addr) bool {
		a, ok := c.addresses.get(addr)
		return ok && a.origin == OriginLinkLocal && a.state == addressAssigned
	})
}

// spread tells rib and nd what an enabled address is.
func (c *Core) spread(a *address) {
	optimistic := a.state == addressOptimistic
	c.runRIB(c.routes.Step(c.now, rib.Assign{
		Addr: a.addr(), PrefixLen: a.cfg.Prefix.Bits(), OnLink: a.cfg.OnLink,
		Deprecated: a.deprecated, Optimistic: optimistic, Anycast: a.cfg.Anycast, Temporary: a.origin == OriginTemporary,
	}))
	c.runND(c.neighbors.Step(c.now, nd.Defend{Addr: a.addr(), Anycast: a.cfg.Anycast, Optimistic: optimistic}))
}

// withdraw takes those of the addresses that are enabled out of use, in the
// order source selection, routes, defence, sockets. One snapshot serves them
// all.
func (c *Core) withdraw(as ...*address) {
	var enabled []*address
	for _, a := range as {
		if !a.enabled() {
			continue
		}
		enabled = append(enabled, a)
		a.state = addressTesting
		c.runRIB(c.routes.Step(c.now, rib.Withdraw{Addr: a.addr()}))
		c.runND(c.neighbors.Step(c.now, nd.Yield{Addr: a.addr()}))
	}
	if len(enabled) > 0 {
		c.publish()
	}
	for _, a := range enabled {
		c.emit(Disable{a.addr()})
	}
}

// abortAndWithdraw is withdraw of addresses that are being removed: their
// connections are reset while the addresses can still send.
func (c *Core) abortAndWithdraw(as []*address) {
	for _, a := range as {
		if a.enabled() {
			c.emit(Abort{a.addr()})
		}
	}
	c.withdraw(as...)
}

// setReportSource gives mld and router discovery the oldest assigned
// link-local address as their source (RFC 3590, section 4; RFC 4861,
// section 6.3.7).
func (c *Core) setReportSource() {
	for len(c.linkLocals) > 0 {
		if a, ok := c.addresses.get(c.linkLocals[0]); ok && a.state == addressAssigned {
			break
		}
		c.linkLocals = c.linkLocals[1:]
	}
	source := netip.IPv6Unspecified()
	if len(c.linkLocals) > 0 {
		source = c.linkLocals[0]
	}
	c.runMLD(c.groups.Step(c.now, mld.SetLinkLocal{Addr: source}))
	from := nd.SetSource{Addr: source}
	if !source.IsUnspecified() {
		from.SourceLinkAddr = c.cfg.LinkAddr
	}
	c.runRouters(c.routers.Step(c.now, from))
}

// reject is RFC 4862, section 5.4.5: the address vanishes; an event, a counter
// and a line of history remain.
func (c *Core) reject(dup *dad.DuplicateError) {
	a, ok := c.addresses.get(dup.Addr)
	if !ok {
		panic("stack: dad rejected an unknown address " + dup.Addr.String())
	}
	c.counters.Duplicates++
	if len(c.failures) == c.cfg.MaxFailures {
		c.failures = c.failures[1:]
	}
	c.failures = append(c.failures, Failure{Time: c.now, Duplicate: *dup})
	c.notify(Event{Type: AddressDuplicate, Address: dup.Addr, Prefix: a.cfg.Prefix, LinkAddr: dup.LinkAddr, Reason: dup.Evidence.String()})
	c.forget(a, dup)
	if !a.isAutoconfigured() {
		return
	}
	actions := c.autoconf.Step(c.now, nd.AddressDuplicate{Addr: dup.Addr})
	c.runAutoconf(actions)
	if a.origin == OriginLinkLocal && isExhausted(actions) {
		c.linkLocalFailed(a)
	}
}

// isExhausted reports whether no other identifier is tried.
func isExhausted(actions []nd.AutoconfAction) bool {
	return slices.ContainsFunc(actions, func(act nd.AutoconfAction) bool {
		_, ok := act.(nd.IdentifiersExhausted)
		return ok
	})
}

// linkLocalFailed is what it means for the interface that its link-local
// address is a duplicate (RFC 4862, section 5.4.5).
func (c *Core) linkLocalFailed(a *address) {
	if c.cfg.Profile.disablesIPv6(a.hardware) {
		c.disableIPv6(a.addr())
		return
	}
	// RFC 2462, section 5.4: without a test of the link-local address there
	// is none of the others that have its identifier.
	for _, same := range c.addresses.inOrder() {
		if c.waitsForLinkLocal(same) {
			c.drop(same, nil, "the link-local address with its interface identifier is a duplicate")
			c.runAutoconf(c.autoconf.Step(c.now, nd.AddressDuplicate{Addr: same.addr()}))
		}
	}
}

// probeFailed says that the link refused a probe.
func (c *Core) probeFailed(ev ProbeFailed) {
	a, ok := c.addresses.get(ev.Addr)
	if !ok || a.state == addressWaiting {
		return
	}
	if a.request != 0 {
		err := fmt.Errorf("the probe could not be sent: %w", ev.Err)
		if ev.Err == nil {
			err = errors.New("the probe could not be sent")
		}
		c.settle(a, err)
	}
	c.runDAD(c.dad.Step(c.now, dad.SendFailed{Addr: ev.Addr}))
}

// failed ends an attempt whose probe was not sent. An address that was added
// by a call goes, for its caller has been told; one that the interface or the
// configuration wants is tried again.
func (c *Core) failed(addr netip.Addr) {
	a, ok := c.addresses.get(addr)
	if !ok {
		panic("stack: dad gave up an unknown address " + addr.String())
	}
	c.counters.ProbesFailed++
	if a.origin != OriginManual || a.kept || c.configured.has(addr) {
		a.state = addressWaiting
		c.deadlines.Set(addressTimer{addr, retryDAD}, c.now.Add(retryInterval))
		return
	}
	c.notify(Event{Type: AddressRemoved, Address: addr, Prefix: a.cfg.Prefix, Reason: "the probe could not be sent"})
	c.forget(a, nil)
}

func (c *Core) acceptAddress(ev AcceptAddress) {
	if _, ok := c.addresses.get(ev.Addr); !ok {
		c.done(ev.ID, ErrNoSuchAddress)
		return
	}
	actions := c.dad.Step(c.now, dad.Accept{Addr: ev.Addr})
	c.runDAD(actions)
	if len(actions) == 0 {
		c.done(ev.ID, ErrNotLooped)
		return
	}
	c.done(ev.ID, nil)
}
