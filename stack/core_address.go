package stack

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
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
)

// String returns "manual" or "link-local".
func (o AddressOrigin) String() string { return [...]string{"manual", "link-local"}[o] }

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

// addressPhase is how far an address has come. Only enabled addresses exist
// outside the Core and dad.
type addressPhase uint8

const (
	addressWaiting addressPhase = iota // for the link, for IPv6, or for a retry
	addressTesting
	addressOptimistic
	addressAssigned
)

// address is one record of the address table.
type address struct {
	cfg        AddressConfig
	origin     AddressOrigin
	state      addressPhase
	deprecated bool
	kept       bool // it was assigned once, so it runs DAD again at link up
	request    RequestID
	seq        uint64
	preferred  time.Time // zero: infinite
	valid      time.Time
}

func (a *address) addr() netip.Addr { return a.cfg.Prefix.Addr() }

func (a *address) enabled() bool { return a.state >= addressOptimistic }

func (a *address) isLinkLocal() bool { return a.addr().IsLinkLocalUnicast() }

func (a *address) view() Address {
	v := Address{
		Prefix: a.cfg.Prefix, Origin: a.origin, Anycast: a.cfg.Anycast,
		PreferredUntil: a.preferred, ValidUntil: a.valid,
	}
	switch {
	case a.state == addressOptimistic:
		v.State = Optimistic
	case a.state == addressAssigned && a.deprecated:
		v.State = Deprecated
	case a.state == addressAssigned:
		v.State = Preferred
	}
	return v
}

// addressTable is the addresses of the interface in the order of their adding.
type addressTable struct {
	byAddr map[netip.Addr]*address
	byID   map[RequestID]*address // those with a pending add
	seq    uint64
}

func newAddressTable() addressTable {
	return addressTable{byAddr: make(map[netip.Addr]*address), byID: make(map[RequestID]*address)}
}

func (t *addressTable) get(a netip.Addr) (*address, bool) {
	r, ok := t.byAddr[a]
	return r, ok
}

func (t *addressTable) insert(a *address) {
	t.seq++
	a.seq = t.seq
	t.byAddr[a.addr()] = a
	if a.request != 0 {
		t.byID[a.request] = a
	}
}

func (t *addressTable) delete(a *address) { delete(t.byAddr, a.addr()) }

// inOrder lists every record; the caller may delete while it goes through.
func (t *addressTable) inOrder() []*address {
	all := make([]*address, 0, len(t.byAddr))
	for _, a := range t.byAddr {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *address) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

func (t *addressTable) waiting() []*address {
	return slices.DeleteFunc(t.inOrder(), func(a *address) bool { return a.state != addressWaiting })
}

// configuredAddresses are those that the configuration names: they come back
// at each link up, whatever came of them before.
type configuredAddresses struct {
	order  []AddRequest
	byAddr map[netip.Addr]bool
}

func (s *configuredAddresses) add(r AddRequest) {
	if s.byAddr == nil {
		s.byAddr = make(map[netip.Addr]bool)
	}
	r.ID = 0
	s.order = append(s.order, r)
	s.byAddr[r.Prefix.Addr()] = true
}

func (s *configuredAddresses) has(a netip.Addr) bool { return s.byAddr[a] }

func (s *configuredAddresses) remove(a netip.Addr) {
	if s.byAddr[a] {
		delete(s.byAddr, a)
		s.order = slices.DeleteFunc(s.order, func(r AddRequest) bool { return r.Prefix.Addr() == a })
	}
}

// absent lists those that the table does not hold.
func (s *configuredAddresses) absent(t *addressTable) (rs []AddRequest) {
	for _, r := range s.order {
		if _, ok := t.get(r.Prefix.Addr()); !ok {
			rs = append(rs, r)
		}
	}
	return rs
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
		}
		a := c.newAddress(req)
		switch {
		case c.up && c.disabled && a.isLinkLocal():
			// RFC 4862, section 5.4.5: recovery is the operator's, by another
			// address.
			c.enableIPv6(a)
		case c.up && !c.disabled:
			start = append(start, a)
		default:
			c.settle(a, nil)
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
	if req.PreferredLifetime > 0 {
		a.preferred = c.now.Add(req.PreferredLifetime)
		c.deadlines.Set(addressTimer{a.addr(), preferredEnds}, a.preferred)
	}
	if req.ValidLifetime > 0 {
		a.valid = c.now.Add(req.ValidLifetime)
		c.deadlines.Set(addressTimer{a.addr(), validEnds}, a.valid)
	}
	c.addresses.insert(a)
	return a
}

// formLinkLocal enters fe80::/64 plus the EUI-64 interface identifier
// (RFC 2464, sections 4 and 5), or finds it waiting.
func (c *Core) formLinkLocal() *address {
	if c.cfg.NoLinkLocal {
		return nil
	}
	addr := LinkLocalAddr(c.cfg.LinkAddr)
	if a, exists := c.addresses.get(addr); exists {
		return a
	}
	a := c.newAddress(AddRequest{AddressConfig: AddressConfig{Prefix: netip.PrefixFrom(addr, 64)}})
	a.origin = OriginLinkLocal
	return a
}

// LinkLocalAddr is the link-local address with the EUI-64 interface
// identifier of l (RFC 2464, sections 4 and 5).
func LinkLocalAddr(l nd.LinkAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80,
		8: l[0] ^ 0x02, 9: l[1], 10: l[2], 11: 0xff, 12: 0xfe, 13: l[3], 14: l[4], 15: l[5],
	})
}

func (c *Core) startDAD(start []*address) {
	var actions []dad.Action
	for _, a := range start {
		a.state = addressTesting
		actions = append(actions, c.dad.Step(c.now, dad.Start{
			Addr: a.addr(), Mode: a.cfg.DAD, Anycast: a.cfg.Anycast, First: !c.sent,
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
	if len(changes) > 0 {
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
	if !a.enabled() {
		c.emit(Enable{addr})
	}
	a.state = addressAssigned
	if optimistic {
		a.state = addressOptimistic
	}
	c.spread(a)
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
}

// spread tells rib and nd what an enabled address is.
func (c *Core) spread(a *address) {
	optimistic := a.state == addressOptimistic
	c.runRIB(c.routes.Step(c.now, rib.Assign{
		Addr: a.addr(), PrefixLen: a.cfg.Prefix.Bits(), OnLink: a.cfg.OnLink,
		Deprecated: a.deprecated, Optimistic: optimistic, Anycast: a.cfg.Anycast,
	}))
	c.runND(c.neighbors.Step(c.now, nd.Defend{Addr: a.addr(), Anycast: a.cfg.Anycast, Optimistic: optimistic}))
}

// withdraw takes an enabled address out of use, in the order source
// selection, routes, defence, sockets.
func (c *Core) withdraw(a *address) {
	if !a.enabled() {
		return
	}
	a.state = addressTesting
	c.runRIB(c.routes.Step(c.now, rib.Withdraw{Addr: a.addr()}))
	c.runND(c.neighbors.Step(c.now, nd.Yield{Addr: a.addr()}))
	c.publish()
	c.emit(Disable{a.addr()})
}

// setReportSource gives mld the oldest assigned link-local address
// (RFC 3590, section 4).
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
}

// settle ends the pending add of an address.
func (c *Core) settle(a *address, err error) {
	if a.request != 0 {
		delete(c.addresses.byID, a.request)
		c.done(a.request, err)
		a.request = 0
	}
}

// forget removes the record of an address that is enabled no longer. The
// connections that waited for its return end.
func (c *Core) forget(a *address, err error) {
	c.addresses.delete(a)
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
	if a.origin == OriginLinkLocal && c.cfg.Profile.disablesIPv6() {
		c.disableIPv6(dup.Addr)
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
	if a.origin == OriginLinkLocal || a.kept || c.configured.has(addr) {
		a.state = addressWaiting
		c.deadlines.Set(addressTimer{addr, retryDAD}, c.now.Add(retryInterval))
		return
	}
	c.notify(Event{Type: AddressRemoved, Address: addr, Prefix: a.cfg.Prefix, Reason: "the probe could not be sent"})
	c.forget(a, nil)
}

// remove takes an address away in whatever state: connections are reset while
// the address can still send, then source selection, routes, group and
// sockets let it go.
func (c *Core) remove(a *address, err error, reason string) {
	if a.enabled() {
		c.emit(Abort{a.addr()})
	}
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
	case !c.configured.has(ev.Addr):
		c.done(ev.ID, ErrNoSuchAddress)
		return
	}
	c.configured.remove(ev.Addr)
	c.done(ev.ID, nil)
}

func (c *Core) cancelAdd(id RequestID) {
	if a, ok := c.addresses.byID[id]; ok {
		c.remove(a, ErrAddressRemoved, "the add was cancelled")
	}
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
		a.deprecated = true
		if a.enabled() {
			c.spread(a)
			c.notify(Event{Type: AddressDeprecated, Address: d.addr, Prefix: a.cfg.Prefix})
		}
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
