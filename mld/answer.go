package mld

import (
	"net/netip"
	"slices"
	"time"
)

// page names the groups that are together in one answer to a General Query:
// page p has Machine.joined from p*pageSize on. Each page has an Interface
// Timer of its own, for "implementations are recommended to spread
// transmission of such Report messages over the interval (0, [Maximum Response
// Delay])" (RFC 3810, section 6.3). A host with few groups has one page, and
// then this is the RFC's single timer. A page is a packet, and a few more if
// its groups have sources to tell of.
type page int

func (m *Machine) pageOf(g *group) page { return page(int(g.index) / m.pageSize) }

// generalQueryV2 applies rules 1 and 2 of RFC 3810, section 6.2 to each page:
// of a pending answer and a new one, the sooner is sent.
func (m *Machine) generalQueryV2(q *Query) {
	for p := range m.pages() {
		m.setTimerSooner(p, m.now.Add(m.responseDelay(q)))
	}
}

// responseDelay draws the delay of an answer. RFC 3810, section 6.3: a host
// "MUST NOT send a Report immediately upon reception of a General Query", also
// when the Maximum Response Delay is 0; it then has the least one that a Query
// can express.
func (m *Machine) responseDelay(q *Query) time.Duration {
	return m.random.Between(instant, max(q.MaxResponseDelay, time.Millisecond))
}

// answerPage is the expiry of an Interface Timer (RFC 3810, section 6.3, case
// 1).
func (m *Machine) answerPage(p page) {
	first := int(p) * m.pageSize
	groups := m.joined[first:min(first+m.pageSize, len(m.joined))]
	records := make([]Record, len(groups))
	for i, g := range groups {
		records[i] = g.currentState()
	}
	m.sendRecords(records)
}

// currentState is the record of the present state of g. It is no IS_IN with an
// empty list: such a group is not joined.
func (g *group) currentState() Record {
	if g.filter.Mode == Exclude {
		return Record{ModeIsExclude, g.addr, g.filter.Sources}
	}
	return Record{ModeIsInclude, g.addr, g.filter.Sources}
}

// groupQueryV2 schedules the answer to a Multicast Address Specific or a
// Multicast Address and Source Specific Query for g. The latter asks for
// nothing if none of its sources is listened to: the node first checks
// "whether it has a per-interface listening state record that corresponds to
// the queried multicast address (and source)" (RFC 3810, section 6.2).
func (m *Machine) groupQueryV2(g *group, q *Query) {
	sources := packetSources(q.Sources)
	if len(q.Sources) > 0 && !slices.ContainsFunc(sources, g.filter.Accepts) {
		return
	}
	at := m.now.Add(m.responseDelay(q))
	// RFC 3810, section 6.2, rule 1.
	if general, ok := m.timers.At(m.pageOf(g)); ok && !general.After(at) {
		return
	}
	_, pending := m.timers.At(g)
	switch {
	case !pending: // rule 3
		g.queried = inOrder(sources)
	case len(sources) == 0 || len(g.queried) == 0: // rule 4
		g.queried = nil
	default: // rule 5
		g.queried = inOrder(append(sources, g.queried...))
	}
	// More sources than one report can hold: answer with the whole state
	// instead, which says at least as much and bounds what is kept (RFC 3810,
	// section 10.1).
	if len(g.queried) > m.maxSources() {
		g.queried = nil
	}
	m.setTimerSooner(g, at)
}

// answerGroup is the expiry of a Multicast Address Timer (RFC 3810, section
// 6.3, cases 2 and 3). Of queried sources B, the answer is IS_IN (A*B) in the
// state INCLUDE (A) and IS_IN (B-A) in EXCLUDE (A): those that are accepted.
func (m *Machine) answerGroup(g *group) {
	record := g.currentState()
	if len(g.queried) > 0 {
		record.Type = ModeIsInclude
		record.Sources = slices.DeleteFunc(g.queried, func(s netip.Addr) bool { return !g.filter.Accepts(s) })
	}
	g.queried = nil
	// "If the resulting Current State Record has an empty set of source
	// addresses, then no response is sent." (RFC 3810, section 6.3)
	if record.Type == ModeIsInclude && len(record.Sources) == 0 {
		return
	}
	m.sendRecords([]Record{record})
}

// setMTU packs by another MTU. The pages change with it: if an answer is owed
// for one, each new one is answered when the first of them was due.
func (m *Machine) setMTU(mtu int) {
	if mtu < 1280 {
		panic("mld: SetMTU below 1280")
	}
	var due time.Time
	for p := range m.pages() {
		if at, ok := m.timers.At(p); ok && (due.IsZero() || at.Before(due)) {
			due = at
		}
		m.timers.Clear(p)
	}
	m.cfg.MTU, m.pageSize = mtu, recordsPerReport(mtu)
	if due.IsZero() {
		return
	}
	for p := range m.pages() {
		m.timers.Set(p, due)
	}
}

// pages is how many there are.
func (m *Machine) pages() page { return page((len(m.joined) + m.pageSize - 1) / m.pageSize) }

// packetSources returns the sources of a Query that a packet can have.
func packetSources(sources []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(sources), func(a netip.Addr) bool { return !isSource(a) })
}
