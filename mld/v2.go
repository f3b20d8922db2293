package mld

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// unsolicitedReportInterval is of RFC 3810, section 9.11.
	unsolicitedReportInterval = time.Second
	// instant is the least delay: the RFC's ranges exclude 0.
	instant = time.Nanosecond
	// lenIPv6AndOptions is the length of the IPv6 header and the Hop-by-Hop
	// Options header with its Router Alert.
	lenIPv6AndOptions = 40 + 8
)

// batch is the state changes that were reported together and are repeated
// together (RFC 3810, section 6.1): the Retransmission Timer and the Filter
// Mode Retransmission Counter that they share. A group is in the batch of its
// last change only, so that a newer change takes the place of an older one and
// leaves the others of that batch alone.
type batch struct {
	groups  []*group
	repeats int
}

func (b *batch) add(g *group) {
	g.batch, g.batchSlot = b, int32(len(b.groups))
	b.groups = append(b.groups, g)
}

// remove takes g out; the last one takes its place.
func (b *batch) remove(g *group) {
	last := len(b.groups) - 1
	moved := b.groups[last]
	b.groups[g.batchSlot], moved.batchSlot = moved, g.batchSlot
	b.groups[last] = nil
	b.groups = b.groups[:last]
	g.batch = nil
}

// announceV2 sends a State Change Report at once and schedules its repeats.
func (m *Machine) announceV2(groups []*group) {
	b := &batch{groups: make([]*group, 0, len(groups)), repeats: m.cfg.Robustness - 1}
	for _, g := range groups {
		// "The transmission of the merged State Change Report terminates
		// retransmissions of the earlier State Change Reports for the same
		// multicast address" (RFC 3810, section 6.1).
		if old := g.batch; old != nil {
			old.remove(g)
			if len(old.groups) == 0 {
				m.timers.Clear(old)
			}
		}
		b.add(g)
	}
	m.sendBatch(b)
}

// repeatBatch is the expiry of a Retransmission Timer (RFC 3810, section 6.3,
// case 4).
func (m *Machine) repeatBatch(b *batch) {
	b.repeats--
	m.sendBatch(b)
}

func (m *Machine) sendBatch(b *batch) {
	records := make([]Record, len(b.groups))
	for i, g := range b.groups {
		records[i] = g.stateChange()
	}
	m.sendRecords(records)
	if b.repeats > 0 {
		m.timers.Set(b, m.now.Add(m.random.Between(instant, unsolicitedReportInterval)))
		return
	}
	for _, g := range b.groups {
		g.batch = nil
		m.drop(g)
	}
}

// stateChange is the record that tells of g's last change: "if the current
// filter mode of the interface is INCLUDE, a TO_IN record is included in the
// report; otherwise a TO_EX record is included" (RFC 3810, section 6.1). No
// membership is INCLUDE with an empty list.
func (g *group) stateChange() Record {
	if g.joined {
		return Record{Type: ChangeToExcludeMode, Group: g.addr}
	}
	return Record{Type: ChangeToIncludeMode, Group: g.addr}
}

// sendRecords sends the records in as few reports as the link's MTU allows
// (RFC 3810, section 5.2.15). Either they have no sources, or there is one
// record, that fits.
func (m *Machine) sendRecords(records []Record) {
	for chunk := range slices.Chunk(records, m.pageSize) {
		m.counters.ReportsSent++
		m.send(allMLDv2, &ReportV2{Records: chunk})
	}
}

// page names the groups that are together in one answer to a General Query:
// page p has Machine.joined from p*pageSize on. Each page has an Interface
// Timer of its own, for "implementations are recommended to spread
// transmission of such Report messages over the interval (0, [Maximum Response
// Delay])" (RFC 3810, section 6.3). A host with few groups has one page, and
// then this is the RFC's single timer.
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
		records[i] = Record{Type: ModeIsExclude, Group: g.addr}
	}
	m.sendRecords(records)
}

// groupQueryV2 schedules the answer to a Multicast Address Specific or a
// Multicast Address and Source Specific Query for g.
func (m *Machine) groupQueryV2(g *group, q *Query) {
	sources := unicastOnly(q.Sources)
	if len(sources) == 0 && len(q.Sources) > 0 {
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
		g.queried = union(nil, sources)
	case len(sources) == 0 || len(g.queried) == 0: // rule 4
		g.queried = nil
	default: // rule 5
		g.queried = union(g.queried, sources)
	}
	// More sources than one report can hold: answer with the whole state
	// instead, which says at least as much and bounds what is kept.
	if len(g.queried) > m.maxSources() {
		g.queried = nil
	}
	m.setTimerSooner(g, at)
}

// answerGroup is the expiry of a Multicast Address Timer (RFC 3810, section
// 6.3, cases 2 and 3). The state is EXCLUDE (A) with an empty A, so that the
// answer about the sources B is IS_IN (B-A), all of B.
func (m *Machine) answerGroup(g *group) {
	record := Record{Type: ModeIsExclude, Group: g.addr}
	if len(g.queried) > 0 && len(g.queried) <= m.maxSources() {
		record = Record{Type: ModeIsInclude, Group: g.addr, Sources: g.queried}
	}
	g.queried = nil
	m.sendRecords([]Record{record})
}

// recordsPerReport is how many records without sources fit in one report.
func recordsPerReport(mtu int) int { return (mtu - lenIPv6AndOptions - lenReportV2) / lenRecord }

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

// maxSources is how many sources one record in one report can have.
func (m *Machine) maxSources() int {
	return (m.cfg.MTU - lenIPv6AndOptions - lenReportV2 - lenRecord) / lenAddr
}

// union returns the sources of a and b in order, each once.
func union(a, b []netip.Addr) []netip.Addr {
	all := slices.Concat(a, b)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// unicastOnly returns the sources that a packet can have: "The Source Address
// [i] fields are a vector of n unicast addresses" (RFC 3810, section 5.1.11).
func unicastOnly(sources []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(sources), func(a netip.Addr) bool {
		return a.IsUnspecified() || isGroup(a)
	})
}
