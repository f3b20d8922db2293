package stack

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// InterfaceConfig parametrises an Interface. The zero value is a host that
// forms an EUI-64 link-local address.
type InterfaceConfig struct {
	Profile Profile // zero: Current
	// Addresses run DAD whenever the link comes up. What becomes of them is
	// told by events and Failures.
	Addresses []AddressConfig
	// NoLinkLocal: form no link-local address.
	NoLinkLocal bool
	// NoRouters: solicit no routers and ignore their advertisements.
	NoRouters bool
	// Down: stay down until SetUp.
	Down bool
	// MTU is that of the link if 0; otherwise 1280 to the link's.
	MTU int
	// Loopback says whether the link hands own multicasts back.
	Loopback dad.Loopback
	// Policy are rows for the policy table of source address selection
	// (RFC 6724, section 2.1): each is added to the default table, or replaces
	// its row of the same prefix.
	Policy []rib.Policy
	// Identity is what stable interface identifiers are made of (RFC 7217).
	Identity Identity
	// Limits bound what grows.
	Limits

	withoutTCP bool // for tests in a synctest bubble, which gVisor's TCP never lets become idle
}

// Interface is one link with its addresses, routes, neighbors and groups. All
// methods may be called from any goroutine.
type Interface struct {
	stack *Stack
	name  string
	index int
	link  Link
	log   *slog.Logger
	host  *netstack.Host
	mtu   int

	inbox    *inbox
	requests requests
	counters shimCounters

	view     atomic.Pointer[rib.Snapshot]
	usable   atomic.Bool // the link is up and IPv6 is not disabled
	linkAddr atomic.Pointer[nd.LinkAddr]
	// tellSkipped: the loop wants to know of the next router that is passed
	// over.
	tellSkipped atomic.Bool
	neighbors   *neighborView
	groups      *groupView
	core        *Core // the loop's alone
	loop        *loop
	// saveCounter is the loop's to call, if it is not nil.
	saveCounter func(nd.DADCounter)

	fromSiblings                     chan *netstack.Packet
	stop                             chan struct{}
	stopOnce                         sync.Once
	loopDone, readDone, siblingsDone chan struct{}
}

func newInterface(s *Stack, name string, index int, link Link, cfg InterfaceConfig) (*Interface, error) {
	mtu := cfg.MTU
	if mtu == 0 {
		mtu = link.MTU()
	}
	if mtu < 1280 || mtu > link.MTU() {
		return nil, &InvalidArgumentError{"MTU", "is not between 1280 (RFC 8200, section 5) and that of the link"}
	}
	if l := link.LinkAddr(); l.IsZero() || l.IsMulticast() {
		return nil, &InvalidArgumentError{"link-layer address " + l.String(), "is not a unicast address"}
	}
	if err := cfg.Identity.validate(); err != nil {
		return nil, err
	}
	if err := rib.ValidatePolicy(cfg.Policy); err != nil {
		return nil, &InvalidArgumentError{"policy table", err.Error()}
	}
	if cfg.Identity.NetIface == "" {
		cfg.Identity.NetIface = name
	}
	i := &Interface{
		stack: s, name: name, index: index, link: link, mtu: mtu,
		log:       s.log.With("interface", name),
		inbox:     newInbox(),
		neighbors: newNeighborView(),
		groups:    newGroupView(),
		core: NewCore(CoreConfig{
			LinkAddr: link.LinkAddr(), MTU: mtu, Profile: cfg.Profile,
			Loopback: cfg.Loopback, NoLinkLocal: cfg.NoLinkLocal, NoRouters: cfg.NoRouters, Policy: cfg.Policy, Identity: cfg.Identity, Limits: cfg.Limits,
		}, s.random),
		saveCounter:  cfg.Identity.SaveCounter,
		fromSiblings: make(chan *netstack.Packet, maxHandOver),
		stop:         make(chan struct{}),
		loopDone:     make(chan struct{}),
		readDone:     make(chan struct{}),
		siblingsDone: make(chan struct{}),
	}
	i.loop = &loop{i: i, core: i.core}
	i.view.Store(i.core.Snapshot())
	l := link.LinkAddr()
	i.linkAddr.Store(&l)
	i.tellSkipped.Store(true)
	gso := 0
	if o := link.Offload(); o.TCPSegmentation {
		gso = o.MaxSegment
	}
	host, err := netstack.New(netstack.Config{
		Name: name, MTU: link.MTU(), GSOMaxSize: gso, Output: i.output, Source: i.source, Progress: i.progress,
		NoFlowLabel: cfg.Profile.noFlowLabel, NoUnreachables: cfg.Profile.noUnreachables,
		ErrorRate: cfg.Profile.errorRate(), ErrorBurst: cfg.Profile.errorRate(), WithoutTCP: cfg.withoutTCP,
	})
	if err != nil {
		return nil, err
	}
	i.host = host
	if err := host.SetMTU(mtu); err != nil {
		return nil, errors.Join(err, host.Close())
	}
	return i, nil
}

func (i *Interface) start(cfg InterfaceConfig) {
	var requests []AddRequest
	for _, a := range cfg.Addresses {
		requests = append(requests, AddRequest{AddressConfig: a, Configured: true})
	}
	i.inbox.putCommand(command{event: AddAddresses{requests}})
	if !cfg.Down {
		i.inbox.putCommand(command{event: LinkUp{}})
	}
	go i.loop.run()
	go i.read()
	go i.deliverFromSiblings()
}

// close ends the loop first, so that what it says in parting is still sent.
func (i *Interface) close() error {
	i.stopOnce.Do(func() { close(i.stop) })
	<-i.loopDone
	<-i.siblingsDone
	err := i.link.Close()
	<-i.readDone
	return errors.Join(err, i.host.Close())
}

// Name is the interface's name, which is the zone of its link-local addresses.
func (i *Interface) Name() string { return i.name }

// LinkAddr is the interface's Ethernet address.
func (i *Interface) LinkAddr() nd.LinkAddr { return *i.linkAddr.Load() }

// SetLinkAddr changes the interface's Ethernet address and tells the neighbors
// (RFC 4861, section 7.2.6). Its IPv6 addresses stay. The error is an *OpError
// over an *InvalidArgumentError or ErrClosed.
func (i *Interface) SetLinkAddr(l nd.LinkAddr) error {
	return i.opError("set link-layer address", netip.Addr{}, i.do(func(id RequestID) CoreEvent { return SetLinkAddr{id, l} }))
}

// isZone reports whether zone names this interface: by name or by decimal
// index (RFC 4007, section 11.2).
func (i *Interface) isZone(zone string) bool {
	return zone == i.name || zone == strconv.Itoa(i.index)
}

// own removes the zone from an address, which must be this interface's.
func (i *Interface) own(a netip.Addr) (netip.Addr, error) {
	if zone := a.Zone(); zone != "" && !i.isZone(zone) {
		return a, &InvalidArgumentError{"address " + a.String(), "has the zone of another interface"}
	}
	return a.WithZone(""), nil
}

// ownAll is own for each of several addresses.
func (i *Interface) ownAll(as []netip.Addr) ([]netip.Addr, error) {
	bare := make([]netip.Addr, len(as))
	for k, a := range as {
		var err error
		if bare[k], err = i.own(a); err != nil {
			return nil, err
		}
	}
	return bare, nil
}

// doAddr runs a command about one address.
func (i *Interface) doAddr(op string, a netip.Addr, event func(RequestID, netip.Addr) CoreEvent) error {
	bare, err := i.own(a)
	if err == nil {
		err = i.do(func(id RequestID) CoreEvent { return event(id, bare) })
	}
	return i.opError(op, a, err)
}

// do runs one command that ends at once.
func (i *Interface) do(event func(RequestID) CoreEvent) error {
	result := make(chan error, 1)
	id := i.requests.add(1, func(_ int, err error) { result <- err })
	i.inbox.putCommand(command{event: event(id)})
	return <-result
}

// look runs f on the Core between two steps, and not at all once the
// interface is closed.
func (i *Interface) look(f func(*Core)) {
	done := make(chan struct{})
	if i.inbox.putCommand(command{look: f, done: done}) {
		<-done
	}
}

func (i *Interface) opError(op string, addr netip.Addr, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Interface: i.name, Addr: addr, Err: err}
}

// AddAddress adds an address and blocks until DAD has ended. The error is an
// *OpError over a *dad.DuplicateError (another node uses the address),
// ErrAddressExists, ErrAddressRemoved, ErrLinkDown, ErrIPv6Disabled,
// ErrClosed, ErrLimit, an *InvalidArgumentError, or the error of ctx; the
// address is then gone without a trace. An optimistic address is usable
// meanwhile, but AddAddress blocks all the same.
func (i *Interface) AddAddress(ctx context.Context, a AddressConfig) error {
	return i.AddAddresses(ctx, []AddressConfig{a})[0]
}

// AddAddresses adds addresses at once and blocks until DAD has ended for all.
// It returns one error for each, nil where the address is assigned; see
// AddAddress.
func (i *Interface) AddAddresses(ctx context.Context, as []AddressConfig) []error {
	errs := make([]error, len(as))
	if err := ctx.Err(); err != nil {
		for k, a := range as {
			errs[k] = i.opError("add", a.Prefix.Addr(), err)
		}
		return errs
	}
	type result struct {
		k   int
		err error
	}
	results := make(chan result, len(as))
	first := i.requests.add(len(as), func(k int, err error) { results <- result{k, err} })
	i.inbox.putCommand(command{event: AddAddresses{addRequests(first, as)}})
	settled := make([]bool, len(as))
	cancelled := ctx.Done()
	var cause error
	for range as {
		var r result
		select {
		case r = <-results:
		case <-cancelled:
			cause, cancelled = ctx.Err(), nil
			var left []RequestID
			for k := range as {
				if !settled[k] {
					left = append(left, first+RequestID(k))
				}
			}
			i.inbox.putCommand(command{event: CancelAdds{left}})
			r = <-results
		}
		if cause != nil && errors.Is(r.err, ErrAddressRemoved) {
			r.err = cause
		}
		settled[r.k] = true
		errs[r.k] = i.opError("add", as[r.k].Prefix.Addr(), r.err)
	}
	return errs
}

func addRequests(first RequestID, as []AddressConfig) []AddRequest {
	requests := make([]AddRequest, len(as))
	for k, a := range as {
		requests[k] = AddRequest{ID: first + RequestID(k), AddressConfig: a}
	}
	return requests
}

// StartAddress adds an address without waiting for DAD. Only what is known at
// once is an error; the outcome is told by events, Failures and WaitAddress.
func (i *Interface) StartAddress(a AddressConfig) error {
	outcome := make(chan error, 1)
	id := i.requests.add(1, func(_ int, err error) { outcome <- err })
	atOnce := error(ErrClosed) // if the loop does not come to it
	look := func(*Core) {      // directly after the step: DAD has just begun
		select {
		case atOnce = <-outcome:
		default:
			atOnce = nil
		}
	}
	done := make(chan struct{})
	if !i.inbox.putCommand(command{event: AddAddresses{addRequests(id, []AddressConfig{a})}, look: look, done: done}) {
		return i.opError("add", a.Prefix.Addr(), ErrClosed)
	}
	<-done
	return i.opError("add", a.Prefix.Addr(), atOnce)
}

// WaitAddress blocks until a is assigned, or is not there any more: then the
// error is the latest *dad.DuplicateError of the address, else
// ErrNoSuchAddress.
func (i *Interface) WaitAddress(ctx context.Context, a netip.Addr) error {
	a, err := i.own(a)
	if err != nil {
		return i.opError("wait for", a, err)
	}
	events := i.stack.Subscribe()
	defer events.Close()
	check := func() (done bool, err error) {
		done, err = true, ErrClosed
		i.look(func(c *Core) { done, err = c.outcome(a) })
		return done, err
	}
	var done bool
	if done, err = check(); !done {
		for ev := range events.All(ctx) {
			if ev.Type != Lost && (ev.Interface != i.name || ev.Address != a) {
				continue
			}
			if done, err = check(); done {
				break
			}
		}
		if !done {
			if err = ctx.Err(); err == nil {
				err = ErrClosed
			}
		}
	}
	return i.opError("wait for", a, err)
}

// RemoveAddress removes an address in whatever state: its connections are
// reset, its route and group reference released, and nothing of anybody
// else's. The error is an *OpError over ErrNoSuchAddress or ErrClosed.
func (i *Interface) RemoveAddress(a netip.Addr) error {
	return i.doAddr("remove", a, func(id RequestID, a netip.Addr) CoreEvent { return RemoveAddress{id, a} })
}

// removedTogether is how many addresses are removed in one step.
const removedTogether = 1024

// RemoveAddresses removes addresses at once, which takes much less time than to
// remove them one by one. It returns one error for each; see RemoveAddress.
func (i *Interface) RemoveAddresses(as []netip.Addr) []error {
	errs := make([]error, len(as))
	removals := make([]RemoveAddress, 0, len(as))
	which := make([]int, 0, len(as)) // of as
	for k, a := range as {
		bare, err := i.own(a)
		if err != nil {
			errs[k] = i.opError("remove", a, err)
			continue
		}
		removals, which = append(removals, RemoveAddress{Addr: bare}), append(which, k)
	}
	var removed sync.WaitGroup
	removed.Add(len(removals))
	first := i.requests.add(len(removals), func(n int, err error) {
		errs[which[n]] = i.opError("remove", as[which[n]], err)
		removed.Done()
	})
	for n := range removals {
		removals[n].ID = first + RequestID(n)
	}
	for together := range slices.Chunk(removals, removedTogether) {
		i.inbox.putCommand(command{event: RemoveAddresses{together}})
	}
	removed.Wait()
	return errs
}

// AcceptAddress assigns an address whose probes the link loops back for ever
// (RFC 7527, section 4.1). The error is an *OpError over ErrNoSuchAddress,
// ErrNotLooped or ErrClosed.
func (i *Interface) AcceptAddress(a netip.Addr) error {
	return i.doAddr("accept", a, func(id RequestID, a netip.Addr) CoreEvent { return AcceptAddress{id, a} })
}

// Addresses lists the addresses in the order in which they were added. A
// duplicate is never among them.
func (i *Interface) Addresses() (as []Address) {
	i.look(func(c *Core) { as = c.Addresses() })
	return as
}

// Failures lists the latest duplicates, the oldest first.
func (i *Interface) Failures() (fs []Failure) {
	i.look(func(c *Core) { fs = c.Failures() })
	for k := range fs {
		fs[k].Interface = i.name
	}
	return fs
}

// AddRoute adds a static route. The error is an *OpError over
// ErrRouteExists, ErrLimit, ErrClosed or an *InvalidArgumentError.
func (i *Interface) AddRoute(r RouteConfig) error {
	return i.doRoute("add route", r, func(id RequestID, r RouteConfig) CoreEvent { return AddRoute{id, r} })
}

// RemoveRoute takes back what AddRoute added; a route that others hold as well
// stays. The error is an *OpError over ErrNoSuchRoute or ErrClosed.
func (i *Interface) RemoveRoute(r RouteConfig) error {
	return i.doRoute("remove route", r, func(id RequestID, r RouteConfig) CoreEvent { return RemoveRoute{id, r} })
}

// doRoute runs a command about one route.
func (i *Interface) doRoute(op string, r RouteConfig, event func(RequestID, RouteConfig) CoreEvent) error {
	via, err := i.own(r.Via)
	if err == nil {
		r.Via = via
		err = i.do(func(id RequestID) CoreEvent { return event(id, r) })
	}
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Interface: i.name, Object: r.Prefix.String(), Err: err}
}

// Routes lists the routes with their owners.
func (i *Interface) Routes() (rs []rib.Route) {
	i.look(func(c *Core) { rs = c.Routes() })
	return rs
}

// RouteResult is how a packet would leave.
type RouteResult struct {
	NextHop  netip.Addr // the destination itself if that is on-link
	Source   netip.Addr
	Neighbor string // the next hop's neighbor state, or "none"
	PathMTU  int    // what the path is known to carry; 0: what the link does (RFC 8201)
}

// Route tells how a packet to dst would leave; src, if valid, is its source.
// The error is an *OpError over the errno that a socket would see.
func (i *Interface) Route(dst, src netip.Addr) (RouteResult, error) {
	r, err := i.routeTo(dst, src)
	return r, i.opError("route to", dst, err)
}

func (i *Interface) routeTo(dst, src netip.Addr) (r RouteResult, err error) {
	if dst, err = i.own(dst); err != nil {
		return r, err
	}
	r = RouteResult{NextHop: dst, Source: src.WithZone(""), Neighbor: "none"}
	if mtu, estimated := i.host.PathMTU(dst); estimated {
		r.PathMTU = mtu
	}
	snapshot := i.view.Load()
	switch {
	case !i.usable.Load():
		return r, syscall.ENETDOWN
	case !src.IsValid():
		if r.Source, err = i.source(dst); err != nil {
			return r, err
		}
	case !snapshot.IsSource(r.Source):
		return r, syscall.EADDRNOTAVAIL
	}
	if dst.IsMulticast() {
		return r, nil
	}
	hop, ok := snapshot.NextHop(r.Source.As16(), dst.As16(), 0)
	if !ok {
		return r, syscall.ENETUNREACH
	}
	r.NextHop = netip.AddrFrom16(hop.Addr)
	i.look(func(c *Core) {
		if n, ok := c.neighbors.Lookup(r.NextHop); ok {
			r.Neighbor = n.State.String()
		}
	})
	return r, nil
}

// Routers lists the routers that were heard, with all that they advertise.
func (i *Interface) Routers() (rs []nd.RouterInfo) {
	i.look(func(c *Core) { rs = c.Routers() })
	return rs
}

// Neighbors lists the Neighbor Cache, ordered by address.
func (i *Interface) Neighbors() (ns []nd.Neighbor) {
	i.look(func(c *Core) { ns = c.Neighbors() })
	return ns
}

// SetNeighbor makes a static neighbor entry. The error is an *OpError over an
// *InvalidArgumentError, ErrLimit or ErrClosed.
func (i *Interface) SetNeighbor(a netip.Addr, l nd.LinkAddr) error {
	return i.doAddr("set neighbor", a, func(id RequestID, a netip.Addr) CoreEvent { return SetNeighbor{id, a, l} })
}

// DeleteNeighbor removes a neighbor entry. The error is an *OpError over
// ErrNoSuchNeighbor or ErrClosed.
func (i *Interface) DeleteNeighbor(a netip.Addr) error {
	return i.doAddr("delete neighbor", a, func(id RequestID, a netip.Addr) CoreEvent { return DeleteNeighbor{id, a} })
}

// FlushNeighbors removes every neighbor entry that is not static.
func (i *Interface) FlushNeighbors() error {
	return i.opError("flush neighbors", netip.Addr{}, i.do(func(id RequestID) CoreEvent { return FlushNeighbors{id} }))
}

// Groups lists the multicast memberships with their holders, ordered by group.
func (i *Interface) Groups() (gs []mld.Group) {
	i.look(func(c *Core) { gs = c.Groups() })
	return gs
}

// static is who holds the groups of Interface.JoinGroup.
var static = mld.Holder{Kind: mld.HolderStatic}

// JoinGroup joins a group on behalf of the program: for packets from sources,
// besides those it was joined for already, or without sources for packets from
// everybody. A source-specific group (RFC 4607) needs sources. The error is an
// *OpError over ErrGroupExists (the program has joined it already), ErrLimit,
// ErrClosed or an *InvalidArgumentError.
func (i *Interface) JoinGroup(g netip.Addr, sources ...netip.Addr) error {
	return i.doGroup("join", g, sources, func(id RequestID, g netip.Addr, sources []netip.Addr) CoreEvent {
		return JoinGroup{id, g, static, sources}
	})
}

// LeaveGroup ends the hold of JoinGroup, or takes sources from it; a group
// that others hold as well stays joined. The error is an *OpError over
// ErrNoSuchGroup, also if one of the sources was not joined, or ErrClosed.
func (i *Interface) LeaveGroup(g netip.Addr, sources ...netip.Addr) error {
	return i.doGroup("leave", g, sources, func(id RequestID, g netip.Addr, sources []netip.Addr) CoreEvent {
		return LeaveGroup{id, g, static, sources}
	})
}

// doGroup runs a command about one group and some sources.
func (i *Interface) doGroup(op string, g netip.Addr, sources []netip.Addr, event func(RequestID, netip.Addr, []netip.Addr) CoreEvent) error {
	bare, err := i.ownAll(sources)
	if err != nil {
		return i.opError(op, g, err)
	}
	return i.doAddr(op, g, func(id RequestID, g netip.Addr) CoreEvent { return event(id, g, bare) })
}

// SetUp brings the interface up or takes it down. Down withdraws everything
// and forgets what was learned; up is a fresh start: the link-local address
// first, and every address runs DAD again.
func (i *Interface) SetUp(up bool) error {
	done := make(chan struct{})
	var event CoreEvent = LinkDown{}
	if up {
		event = LinkUp{}
	}
	if !i.inbox.putCommand(command{event: event, done: done}) {
		return i.opError("set up", netip.Addr{}, ErrClosed)
	}
	<-done
	return nil
}

// SetMTU changes the MTU: 1280 to that of the link.
func (i *Interface) SetMTU(mtu int) error {
	if mtu < 1280 || mtu > i.link.MTU() {
		return i.opError("set MTU", netip.Addr{}, &InvalidArgumentError{"MTU", "is not between 1280 (RFC 8200, section 5) and that of the link"})
	}
	err := i.host.SetMTU(mtu)
	if err == nil {
		i.inbox.putCommand(command{event: SetMTU{mtu}})
		i.look(func(*Core) { i.mtu = mtu })
	}
	return i.opError("set MTU", netip.Addr{}, err)
}

// Status is the state of an interface.
type Status struct {
	Index        int
	LinkAddr     nd.LinkAddr
	MTU          int
	Up           bool
	IPv6Disabled bool // RFC 4862, section 5.4.5
	MLDVersion   int
}

// Status returns the state of the interface.
func (i *Interface) Status() Status {
	s := Status{Index: i.index, LinkAddr: i.LinkAddr()}
	i.look(func(c *Core) {
		s.MTU, s.Up, s.IPv6Disabled, s.MLDVersion = i.mtu, c.Up(), c.IPv6Disabled(), c.groups.Version()
	})
	return s
}
