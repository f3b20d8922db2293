package stack

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/internal/timerq"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// CoreConfig parametrises a Core. The zero value of each field is the default;
// only LinkAddr must be set.
type CoreConfig struct {
	LinkAddr nd.LinkAddr
	MTU      int     // 0: 1500
	Profile  Profile // zero: Current
	Loopback dad.Loopback
	// NoLinkLocal: form no link-local address at link up.
	NoLinkLocal bool
	// NoRouters: solicit no routers and ignore their advertisements.
	NoRouters bool
	// Policy are rows for the policy table of source address selection: see
	// InterfaceConfig.
	Policy []rib.Policy
	// Identity is what stable identifiers are made of. Without a Secret the
	// Core draws one; SaveCounter is not the Core's to call: see SaveDADCounter.
	Identity Identity
	Limits
}

// Limits bound what grows. A zero field means its default.
type Limits struct {
	MaxAddresses     int // on the interface; 1,048,576
	MaxRoutes        int // without the /128 of each address; 1,048,576
	MaxRedirects     int // 1,024
	MaxGroups        int // memberships that were asked for, apart from those of addresses; 1,048,576
	MaxSources       int // sources that the filters of one group name together; 1,024
	MaxNeighbors     int // 65,536
	QueuePerNeighbor int // packets that wait for one neighbor; 16
	MaxQueued        int // packets that wait for any neighbor; 4,096
	MaxFailures      int // duplicates that Failures remembers; 256
}

func (l Limits) withDefaults() Limits {
	for field, value := range map[*int]int{
		&l.MaxAddresses: 1 << 20, &l.MaxRoutes: 1 << 20, &l.MaxGroups: 1 << 20, &l.MaxNeighbors: 1 << 16, &l.MaxSources: 1 << 10,
		&l.QueuePerNeighbor: 16, &l.MaxQueued: 4096, &l.MaxFailures: 256,
	} {
		if *field == 0 {
			*field = value
		}
	}
	return l
}

// Core is the IPv6 host behaviour of one interface below the sockets: the
// machines of nd, dad, mld and rib wired together. It is pure: time, frames
// and commands come in, frames, facts and results come out. The same calls
// with the same answers of Random give the same actions, which makes it the
// reference model that other hosts are compared with.
type Core struct {
	cfg CoreConfig
	now time.Time
	out []CoreAction
	// What is used again: see recycle, recycleSend and nd.Parser.
	spare      []CoreAction
	spareSends []*Send
	parser     nd.Parser
	// What is emitted when the step ends: the results, after the snapshot that
	// they tell of. One snapshot serves all that happens in a step, save that
	// an address leaves it before it leaves the sockets.
	dones       []CoreAction
	unpublished bool

	dad       *dad.Machine
	neighbors *nd.Neighbors
	groups    *mld.Machine
	routes    *rib.Table
	routers   *nd.Routers
	autoconf  *nd.Autoconf

	knownRouters map[netip.Addr]struct{} // neighbors with IsRouter
	probing      map[netip.Addr]struct{} // neighbors in DELAY or PROBE
	generation   uint32                  // of WatchProgress
	addresses    addressTable
	configured   configuredAddresses
	statics      staticRoutes
	deadlines    timerq.Queue[addressTimer]
	queue        waitQueue
	linkLocals   []netip.Addr // assigned, oldest first; those that are so no longer are skipped lazily
	joined       int          // memberships by JoinGroup and SetGroupFilter
	mldVersion   int          // of which subscribers know
	gathering    bool         // see reportTogether
	gathered     mld.Changes
	failures     []Failure
	counters     CoreCounters

	up       bool
	disabled bool // RFC 4862, section 5.4.5
	sent     bool // an ND message left since the interface was (re)initialised
}

// CoreCounters count what a Core refused or noticed.
type CoreCounters struct {
	ControlFramesIn    uint64 `json:"control_frames_in"`
	ControlFramesOut   uint64 `json:"control_frames_out"`
	ControlMalformed   uint64 `json:"control_malformed"`    // no ND or MLD message that a machine may see
	ControlNotForUs    uint64 `json:"control_not_for_us"`   // another node's address or group
	ControlWhileDown   uint64 `json:"control_while_down"`   // the link is down or IPv6 is disabled
	InvalidND          uint64 `json:"invalid_nd"`           // RFC 4861, sections 6.1, 7.1 and 8.1
	InvalidMLD         uint64 `json:"invalid_mld"`          // RFC 3810, sections 5.1 and 6.2
	Duplicates         uint64 `json:"duplicate_addresses"`  // failed DAD
	Conflicts          uint64 `json:"address_conflicts"`    // RFC 4862, section 5.4.4
	LoopedProbes       uint64 `json:"looped_probes"`        // RFC 7527, section 4.2
	ProbesFailed       uint64 `json:"probes_not_sent"`      // the link refused a DAD probe
	Unresolved         uint64 `json:"neighbors_unresolved"` // RFC 4861, section 7.2.2
	QueueDiscards      uint64 `json:"queued_packets_lost"`  // no room while a neighbor was resolved
	MembershipsRefused uint64 `json:"memberships_refused"`  // beyond MaxGroups or MaxSources
	NeighborsEvicted   uint64 `json:"neighbors_evicted"`    // for others, at MaxNeighbors
	NeighborsRefused   uint64 `json:"neighbors_refused"`    // no room for what others claim
	ResolutionsRefused uint64 `json:"resolutions_refused"`  // RFC 6583, section 7.2
	RoutersRefused     uint64 `json:"routers_refused"`      // no room for a router
	PrefixesRefused    uint64 `json:"prefixes_refused"`     // no room for a prefix of a router
	RoutesRefused      uint64 `json:"routes_refused"`       // no room for a route of a router
	RedirectsRefused   uint64 `json:"redirects_refused"`    // RFC 4861, section 8.1: not from the first hop
	RedirectsEvicted   uint64 `json:"redirects_evicted"`    // for others, at MaxRedirects

	// Multicast Listener Discovery. The messages that were no good are counted
	// by what was wrong with them.
	MLDQueriesIn      uint64 `json:"mld_queries_in"`      // valid ones
	MLDQueriesIgnored uint64 `json:"mld_queries_ignored"` // those of them that the knob mld_ignore_v1 kept out
	MLDReportsOut     uint64 `json:"mld_reports_out"`
	MLDDonesOut       uint64 `json:"mld_dones_out"`
	MLDBadLength      uint64 `json:"mld_bad_length"`
	MLDBadChecksum    uint64 `json:"mld_bad_checksum"`
	MLDBadSource      uint64 `json:"mld_bad_source"`      // not link-local
	MLDBadHopLimit    uint64 `json:"mld_bad_hop_limit"`   // not 1
	MLDNoRouterAlert  uint64 `json:"mld_no_router_alert"` // RFC 3810, section 6.2
	MLDBadGroup       uint64 `json:"mld_bad_group"`       // neither a group nor zero
}

// NewCore returns a Core whose link is down.
func NewCore(cfg CoreConfig, r nd.Random) *Core {
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Identity = cfg.Identity.withDefaults(r)
	p := cfg.Profile
	c := &Core{
		cfg:       cfg,
		dad:       dad.New(p.dadConfig(cfg), r),
		neighbors: nd.NewNeighbors(p.neighborConfig(cfg), r),
		groups:    mld.New(p.mldConfig(cfg), r),
		routes:    rib.New(p.ribConfig(cfg)),
		routers:   nd.NewRouters(p.routerConfig(cfg), r),
		autoconf:  nd.NewAutoconf(p.autoconfConfig(cfg), r),

		knownRouters: make(map[netip.Addr]struct{}),
		probing:      make(map[netip.Addr]struct{}),
		addresses:    newAddressTable(),
		queue:        newWaitQueue(cfg.QueuePerNeighbor, cfg.MaxQueued),
	}
	c.mldVersion = c.groups.Version()
	return c
}

// Step fires everything that is due at or before now, then applies ev. The
// actions are to be executed in order.
func (c *Core) Step(now time.Time, ev CoreEvent) []CoreAction {
	c.advance(now, math.MaxInt)
	switch ev := ev.(type) {
	case FrameReceived:
		c.receive(ev.Frame)
	case LinkUp:
		c.linkUp()
	case LinkDown:
		c.linkDown()
	case Shutdown:
		c.shutdown()
	case AddAddresses:
		c.addAddresses(ev.Requests)
	case CancelAdds:
		c.cancelAdds(ev.IDs)
	case RemoveAddress:
		c.removeAddress(ev)
	case RemoveAddresses:
		c.removeAddresses(ev.Requests)
	case AcceptAddress:
		c.acceptAddress(ev)
	case ProbeFailed:
		c.probeFailed(ev)
	case AddRoute:
		c.done(ev.ID, c.addRoute(ev.RouteConfig))
	case RemoveRoute:
		c.done(ev.ID, c.removeRoute(ev.RouteConfig))
	case SetNeighbor:
		c.done(ev.ID, c.setNeighbor(ev.Addr, ev.LinkAddr))
	case DeleteNeighbor:
		c.done(ev.ID, c.deleteNeighbor(ev.Addr))
	case FlushNeighbors:
		c.runND(c.neighbors.Step(c.now, nd.Flush{}))
		c.done(ev.ID, nil)
	case JoinGroup:
		c.done(ev.ID, c.joinGroup(ev))
	case LeaveGroup:
		c.done(ev.ID, c.leaveGroup(ev))
	case SetGroupFilter:
		c.done(ev.ID, c.setGroup(ev.Group, ev.Holder, ev.Filter))
	case LeaveGroups:
		c.leaveGroups(ev.Holder, ev.Groups)
		c.done(ev.ID, nil)
	case SetMTU:
		c.cfg.MTU = ev.MTU
		c.runMLD(c.groups.Step(c.now, mld.SetMTU(ev)))
		c.runRouters(c.routers.Step(c.now, nd.SetLinkMTU(ev)))
	case SetLinkAddr:
		c.done(ev.ID, c.setLinkAddr(ev.LinkAddr))
	case Output:
		c.output(ev)
	case RouterSkipped:
		c.probeSkipped(ev)
	case Progress:
		c.progress(ev)
	case NeighborUsed:
		c.runND(c.neighbors.Step(c.now, nd.Used{Addr: ev.Addr}))
	}
	return c.take()
}

// receiveFrame is Step of a FrameReceived, without an allocation for the event.
func (c *Core) receiveFrame(now time.Time, frame []byte) []CoreAction {
	c.advance(now, math.MaxInt)
	c.receive(frame)
	return c.take()
}

// Advance fires everything that is due at or before now.
func (c *Core) Advance(now time.Time) []CoreAction {
	c.advance(now, math.MaxInt)
	return c.take()
}

// AdvanceSome is Advance that stops when it has about 1,000 actions, so that
// those of very many addresses whose tests end at the same moment need not be in
// memory all at once. What is left is still due: see Deadline.
func (c *Core) AdvanceSome(now time.Time) []CoreAction {
	c.advance(now, 1000)
	return c.take()
}

// Deadline tells when Advance is next needed.
func (c *Core) Deadline() (t time.Time, ok bool) {
	t, _, ok = c.earliest()
	return t, ok
}

// take ends a step.
func (c *Core) take() []CoreAction {
	c.publish()
	out := append(c.out, c.dones...)
	c.out, c.dones = c.spare, reusable(c.dones)
	c.spare = nil
	return out
}

// recycle takes back what a step returned. The caller is done with it.
func (c *Core) recycle(actions []CoreAction) {
	if spare := reusable(actions); spare != nil {
		c.spare = spare
	}
}

// reusable returns the memory of a list for another, or nil if there is none
// or too much.
func reusable(actions []CoreAction) []CoreAction {
	if cap(actions) > maxRecycled {
		return nil
	}
	clear(actions)
	return actions[:0]
}

// maxRecycled is how long a list of actions is kept at most: about as many as
// one step has that removes addresses together.
const maxRecycled = 16 << 10

func (c *Core) emit(a CoreAction) { c.out = append(c.out, a) }

func (c *Core) publish() {
	if c.unpublished {
		c.unpublished = false
		c.emit(Publish{c.routes.Snapshot()})
	}
}

func (c *Core) notify(ev Event) {
	ev.Time = c.now
	c.emit(Notify{ev})
}

func (c *Core) done(id RequestID, err error) {
	if id != 0 {
		c.dones = append(c.dones, Done{id, err})
	}
}

// machine names one of those that hold deadlines, in the order in which
// they go at equal times.
type machine int

const (
	machineDAD machine = iota
	machineND
	machineMLD
	machineRIB
	machineRouters
	machineAutoconf
	machineLifetimes
)

// earliest returns the first deadline of all machines.
func (c *Core) earliest() (first time.Time, m machine, ok bool) {
	consider := func(t time.Time, has bool, of machine) {
		if has && (!ok || t.Before(first)) {
			first, m, ok = t, of, true
		}
	}
	t, has := c.dad.Deadline()
	consider(t, has, machineDAD)
	t, has = c.neighbors.Deadline()
	consider(t, has, machineND)
	t, has = c.groups.Deadline()
	consider(t, has, machineMLD)
	t, has = c.routes.Deadline()
	consider(t, has, machineRIB)
	t, has = c.routers.Deadline()
	consider(t, has, machineRouters)
	t, has = c.autoconf.Deadline()
	consider(t, has, machineAutoconf)
	t, has = c.deadlines.Next()
	consider(t, has, machineLifetimes)
	return first, m, ok
}

// advance fires what is due at its nominal time and in time order over all
// machines, so that a late caller gets the same actions as a punctual one. It
// stops when there are most actions.
func (c *Core) advance(now time.Time, most int) {
	for {
		t, m, ok := c.earliest()
		if !ok || t.After(now) {
			break
		}
		if len(c.out) >= most {
			return
		}
		if t.After(c.now) {
			c.now = t
		}
		switch m {
		case machineDAD:
			c.runDAD(c.dad.AdvanceSome(t, most))
		case machineND:
			c.runND(c.neighbors.AdvanceSome(t, most))
		case machineMLD:
			c.runMLD(c.groups.Advance(t))
		case machineRIB:
			c.runRIB(c.routes.Advance(t))
		case machineRouters:
			c.runRouters(c.routers.Advance(t))
		case machineAutoconf:
			c.runAutoconf(c.autoconf.Advance(t))
		case machineLifetimes:
			c.expire(t)
		}
	}
	if now.After(c.now) {
		c.now = now
	}
}

// linkUp is a fresh start: RFC 4862, section 5.3, asks for a link-local
// address first of all; the others do not wait for its end.
func (c *Core) linkUp() {
	if c.up {
		return
	}
	c.up = true
	c.notify(Event{Type: LinkIsUp})
	c.enableIPv6(nil)
}

// enableIPv6 begins with first (a link-local address that ends the disabled
// state) or with the link-local address that the interface forms itself.
func (c *Core) enableIPv6(first *address) {
	c.disabled, c.sent = false, false
	c.emit(SetUsable{true})
	c.runMLD(c.groups.Step(c.now, mld.Up{}))
	// RFC 4861, section 6.3.3: a host joins the all-nodes group.
	c.runMLD(c.groups.Step(c.now, mld.Changes{{
		Op: mld.OpJoin, Group: nd.AllNodes, Holder: mld.Holder{Kind: mld.HolderNode},
	}}))
	for _, key := range c.statics.sorted() {
		c.runRIB(c.routes.Step(c.now, rib.Add{Key: key, Owner: rib.Owner{Kind: rib.OwnerStatic}}))
	}
	for _, req := range c.configured.absent(&c.addresses) {
		c.newAddress(req)
	}
	c.startDAD(c.addresses.waitingAfter(c.formLinkLocal(first)))
	if !c.cfg.NoRouters {
		c.runRouters(c.routers.Step(c.now, nd.Enable{}))
		c.setReportSource() // which may be assigned already, without DAD
	}
}

// linkDown withdraws and forgets; nothing is sent, for the link cannot carry it.
func (c *Core) linkDown() {
	if !c.up {
		return
	}
	c.suspend(ErrLinkDown)
	c.up, c.disabled = false, false
	c.notify(Event{Type: LinkIsDown})
}

func (c *Core) shutdown() {
	if c.up {
		c.leaveAll()
	}
	c.removeAll(func(a *address) bool { return !a.isLinkLocal() })
	c.removeAll((*address).isLinkLocal) // which the others' leaves came from
	c.configured = configuredAddresses{}
	c.linkDown()
}

// removeAll removes the addresses that fit, at shutdown.
func (c *Core) removeAll(fits func(*address) bool) {
	as := slices.DeleteFunc(c.addresses.inOrder(), func(a *address) bool { return !fits(a) })
	c.reportTogether(func() {
		c.abortAndWithdraw(as)
		for _, a := range as {
			c.remove(a, ErrClosed, "shutdown")
		}
	})
}

// disableIPv6 is RFC 4862, section 5.4.5: the node sends no IPv6 packet on
// the interface any more and drops what it receives.
func (c *Core) disableIPv6(duplicate netip.Addr) {
	c.disabled = true
	c.suspend(ErrIPv6Disabled)
	c.notify(Event{Type: IPv6Disabled, Address: duplicate, Reason: "the interface's own link-local address is a duplicate"})
}

// suspend withdraws every address without a packet: a pending add ends with
// err and its address goes; the others stay listed as tentative.
func (c *Core) suspend(err error) {
	c.emit(SetUsable{false})
	c.runMLD(c.groups.Step(c.now, mld.Down{}))
	c.autoconfDown(err.Error())
	c.forgetRouters()
	as := c.addresses.inOrder()
	c.withdraw(as...)
	for _, a := range as {
		if a.request != 0 {
			c.drop(a, err, err.Error())
			continue
		}
		c.runDAD(c.dad.Step(c.now, dad.Stop{Addr: a.addr()}))
		c.deadlines.Clear(addressTimer{a.addr(), retryDAD})
		a.state = addressWaiting
	}
	c.setReportSource()
	for _, key := range c.statics.sorted() {
		c.runRIB(c.routes.Step(c.now, rib.Remove{Key: key, Owner: rib.Owner{Kind: rib.OwnerStatic}}))
	}
	c.runND(c.neighbors.Step(c.now, nd.Flush{}))
	if packets := c.queue.takeAll(); len(packets) > 0 {
		c.emit(Discard{packets})
	}
}
