package mld

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/internal/timerq"
)

// Machine is the listener state of one interface. Make it with New.
type Machine struct {
	cfg    Config
	random Random
	now    time.Time

	up      bool
	source  netip.Addr // of what is sent: link-local, or unspecified
	version int        // the Host Compatibility Mode (RFC 3810, section 8.2.1)
	querier querier

	groups map[[16]byte]*group
	holds  map[hold]*Filter // nil: EXCLUDE with an empty list
	// joined has every group that the network is told of. Its order decides
	// which of them share a report; see page.
	joined   []*group
	pageSize int // records in one report

	// timers has four kinds of keys: *batch, page, *group, olderQuerier.
	timers   timerq.Queue[any]
	counters Counters
	actions  []Action // of the call in progress
}

// group is one group that is held, or that was left and whose leave is still
// to be repeated. The latter has no holders and is in no view.
type group struct {
	addr     netip.Addr
	holders  int
	excludes int                  // those of them whose filter is EXCLUDE
	tally    map[netip.Addr]tally // of the sources in their filters; nil: none
	filter   Filter               // the merger of the filters, as of the last settle
	open     bool                 // Joined was the last that the caller heard
	// wanted: some holder asked for OpJoin since the group was first held.
	// It outlasts that holder: "nodes MUST NOT leave" a solicited-node group
	// while an address maps to it (RFC 4861, section 7.2.1), and a holder that
	// only listens yet may be such an address.
	wanted bool
	joined bool  // the network is told of it: in Machine.joined
	index  int32 // there

	// MLDv2
	batch         *batch // repeats of the last state change; nil: done
	batchSlot     int32
	modeRepeats   int32                // the Filter Mode Retransmission Counter
	sourceRepeats map[netip.Addr]int32 // the Source Retransmission Counters
	queried       []netip.Addr         // while an answer is pending: about these sources; none: about all

	// MLDv1
	repeats    int32 // unsolicited Reports still to be sent
	suppressed bool  // another node reported the group after us
}

// hold is one holder's hold on one group.
type hold struct {
	group  *group
	holder Holder
}

// Counters count what a Machine did since it was made.
type Counters struct {
	QueriesReceived uint64 // valid Queries, while the link was up
	QueriesIgnored  uint64 // those of them that Config.IgnoreV1 kept out
	ReportsSent     uint64 // Reports of both versions
	DonesSent       uint64
	ChangesRefused  uint64          // changes that Check refuses
	Invalid         [reasons]uint64 // messages that Parse refused, by Reason
}

// New returns a Machine without memberships whose link is down. It panics if
// cfg is impossible: a Version above 2, an MTU below 1280, a negative number or
// time.
func New(cfg Config, r Random) *Machine {
	cfg.Version = cmp.Or(cfg.Version, 2)
	cfg.Robustness = cmp.Or(cfg.Robustness, 2)
	cfg.MTU = cmp.Or(cfg.MTU, 1500)
	cfg.MaxGroups = cmp.Or(cfg.MaxGroups, 1<<20)
	cfg.MaxHolders = cmp.Or(cfg.MaxHolders, cfg.MaxGroups)
	cfg.MaxSources = cmp.Or(cfg.MaxSources, 1024)
	cfg.Gap = cmp.Or(cfg.Gap, 100*time.Millisecond)
	if cfg.Version < 1 || cfg.Version > 2 || cfg.MTU < 1280 ||
		min(cfg.Robustness, cfg.MaxGroups, cfg.MaxHolders, cfg.MaxSources) < 1 || cfg.Burst < 0 ||
		min(cfg.Gap, cfg.UnsolicitedReportInterval) < 0 {
		panic("mld: impossible Config")
	}
	return &Machine{
		cfg:      cfg,
		random:   r,
		source:   netip.IPv6Unspecified(),
		version:  cfg.Version,
		querier:  defaultQuerier,
		groups:   make(map[[16]byte]*group),
		holds:    make(map[hold]*Filter),
		pageSize: recordsPerReport(cfg.MTU),
	}
}

// Step fires what is due at or before now, in time order, and then applies ev.
// The actions are to be executed in order.
func (m *Machine) Step(now time.Time, ev Event) []Action {
	m.advance(now)
	switch ev := ev.(type) {
	case Changes:
		m.change(ev)
	case SetLinkLocal:
		m.setLinkLocal(ev.Addr)
	case Up:
		m.setUp()
	case Down:
		m.setDown()
	case SetMTU:
		m.setMTU(ev.MTU)
	case Received:
		m.receive(ev)
	case Invalid:
		m.counters.Invalid[ev.Reason]++
	default:
		panic("mld: no such event")
	}
	return m.take()
}

// Advance fires what is due at or before now, in time order.
func (m *Machine) Advance(now time.Time) []Action {
	m.advance(now)
	return m.take()
}

// Deadline returns when Advance is next needed; ok is false if nothing is
// pending.
func (m *Machine) Deadline() (t time.Time, ok bool) { return m.timers.Next() }

func (m *Machine) advance(now time.Time) {
	if now.Before(m.now) {
		now = m.now
	}
	for {
		key, at, ok := m.timers.PopDue(now)
		if !ok {
			break
		}
		m.now = at
		switch key := key.(type) {
		case *batch:
			m.sendBatch(key)
		case page:
			m.answerPage(key)
		case *group:
			m.groupTimer(key)
		case olderQuerier:
			m.setVersion(2)
		}
	}
	m.now = now
}

func (m *Machine) groupTimer(g *group) {
	if m.version == 1 {
		m.reportV1(g)
	} else {
		m.answerGroup(g)
	}
}

// take returns the actions of the call in progress.
func (m *Machine) take() []Action {
	actions := m.actions
	m.actions = nil
	return actions
}

func (m *Machine) send(dst netip.Addr, message Message) {
	m.actions = append(m.actions, Send{Src: m.source, Dst: dst, Message: message})
}

// setTimerSooner arms key for at, unless it is due earlier already.
func (m *Machine) setTimerSooner(key any, at time.Time) {
	if pending, ok := m.timers.At(key); !ok || at.Before(pending) {
		m.timers.Set(key, at)
	}
}

// setLinkLocal changes the source of what is sent. "Once a valid link-local
// address is available, a node SHOULD generate new MLD Report messages for all
// multicast addresses joined on the interface." (RFC 3590, section 4)
func (m *Machine) setLinkLocal(a netip.Addr) {
	if !isReportSource(a) {
		panic("mld: SetLinkLocal with " + a.String())
	}
	if a == m.source {
		return
	}
	m.source = a
	if !a.IsUnspecified() {
		m.announceAll(m.cfg.Burst)
	}
}

func (m *Machine) setUp() {
	if m.up {
		return
	}
	m.up = true
	m.announceAll(0)
}

// setDown forgets what was to be sent and what was learned of the routers: the
// link may be another one when it comes up again.
func (m *Machine) setDown() {
	m.up = false
	m.querier = defaultQuerier
	m.setVersion(m.cfg.Version)
}

// setVersion changes the Host Compatibility Mode. "Whenever a host changes its
// compatibility mode, it cancels all its pending responses and retransmission
// timers." (RFC 3810, section 8.2.1)
func (m *Machine) setVersion(version int) {
	m.version = version
	m.timers.Reset()
	for _, g := range m.groups {
		g.batch, g.modeRepeats, g.sourceRepeats, g.queried = nil, 0, nil, nil
		g.repeats, g.suppressed = 0, false
		m.drop(g)
	}
}

// announceAll tells the network of every group as if it were joined now. At
// most burst reports are sent back to back, without bound if that is 0.
func (m *Machine) announceAll(burst int) {
	if m.speaks(2) {
		for _, g := range m.joined {
			g.note(Filter{}, g.told(), m.cfg.Robustness)
		}
	}
	m.announce(m.joined, burst)
}

// announce tells the network what changed in groups, now and Robustness-1
// times more.
func (m *Machine) announce(groups []*group, burst int) {
	switch {
	case m.speaks(1):
		m.announceV1(groups, burst)
	case m.speaks(2):
		m.announceV2(groups, burst)
	}
}

// speaks reports whether the link is up and version is the one spoken there.
func (m *Machine) speaks(version int) bool { return m.up && m.version == version }

// announceAt is when the nth report of an announcement is due.
func (m *Machine) announceAt(n, burst int) time.Time {
	if burst == 0 {
		return m.now
	}
	return m.now.Add(time.Duration(n/burst) * m.cfg.Gap)
}

func (m *Machine) receive(ev Received) {
	if !m.up {
		return
	}
	switch message := ev.Message.(type) {
	case *Query:
		m.counters.QueriesReceived++
		if message.Version == 1 && m.cfg.Version == 2 && m.cfg.IgnoreV1 {
			m.counters.QueriesIgnored++
			return
		}
		m.query(message)
	case *ReportV1:
		if m.version == 1 {
			m.suppress(ev.Src, message)
		}
	}
	// "Received MLD messages of types other than Query are silently ignored,
	// except as required for interoperation with nodes that implement MLDv1."
	// (RFC 3810, section 6)
}

func (m *Machine) query(q *Query) {
	m.querier.heard(q)
	if q.Version == 1 && m.cfg.Version == 2 {
		if m.version == 2 {
			m.setVersion(1)
		}
		m.timers.Set(olderQuerier{}, m.now.Add(m.olderQuerierPresentTimeout()))
	}
	switch g := m.groups[q.Group.As16()]; {
	case q.Group.IsUnspecified() && m.version == 1:
		m.generalQueryV1(q)
	case q.Group.IsUnspecified():
		m.generalQueryV2(q)
	case g == nil || !g.joined:
	case m.version == 1:
		m.groupQueryV1(g, q)
	default:
		m.groupQueryV2(g, q)
	}
}

// Groups returns the memberships in the order of their addresses, each with
// its holders in order. It takes O(n log n) in all memberships.
func (m *Machine) Groups() []Group {
	holds := make([]hold, 0, len(m.holds))
	for h := range m.holds {
		holds = append(holds, h)
	}
	slices.SortFunc(holds, func(a, b hold) int {
		return cmp.Or(
			a.group.addr.Compare(b.group.addr),
			cmp.Compare(a.holder.Kind, b.holder.Kind),
			a.holder.Addr.Compare(b.holder.Addr),
			cmp.Compare(a.holder.ID, b.holder.ID))
	})
	holders := make([]Holder, len(holds)) // shared out among the groups
	for i, h := range holds {
		holders[i] = h.holder
	}
	groups := make([]Group, 0, min(len(m.groups), len(holds)))
	for i := 0; i < len(holds); {
		g := holds[i].group
		end := i + g.holders
		groups = append(groups, Group{Addr: g.addr, Filter: g.filter, Holders: holders[i:end:end]})
		i = end
	}
	return groups
}

// Member reports whether somebody holds group.
func (m *Machine) Member(group netip.Addr) bool {
	g := m.groups[group.As16()]
	return g != nil && g.holders > 0 && group == g.addr
}

// Accepts reports whether somebody wants packets to group from source. A data
// path outside of the machine keeps the filters of Joined and Filtered instead,
// which do not change.
func (m *Machine) Accepts(group, source netip.Addr) bool {
	return m.Member(group) && m.groups[group.As16()].filter.Accepts(source)
}

// FilterOf returns the filter with which holder holds group; ok is false if it
// does not hold it.
func (m *Machine) FilterOf(group netip.Addr, holder Holder) (f Filter, ok bool) {
	own, ok := m.holds[hold{m.groups[group.As16()], holder}]
	switch {
	case !ok || !isGroup(group):
		return Filter{}, false
	case own == nil:
		return Filter{Mode: Exclude}, true
	}
	return *own, true
}

// Version returns the MLD version that is spoken now, 1 or 2.
func (m *Machine) Version() int { return m.version }

// Counters returns the counters.
func (m *Machine) Counters() Counters { return m.counters }
