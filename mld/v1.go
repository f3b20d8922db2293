package mld

import (
	"cmp"
	"net/netip"
	"time"
)

const (
	// unsolicitedReportIntervalV1 is of RFC 2710, section 7.10.
	unsolicitedReportIntervalV1 = 10 * time.Second
	// The defaults of RFC 3810, sections 9.2 and 9.3.
	queryInterval         = 125 * time.Second
	queryResponseInterval = 10 * time.Second
)

// olderQuerier is the key of the Older Version Querier Present timer, which
// ends MLDv1 compatibility mode (RFC 3810, section 8.2.1).
type olderQuerier struct{}

// querier is what was last heard from the link's querier.
type querier struct {
	interval         time.Duration // the Query Interval of the last Query that had one
	responseInterval time.Duration // the Maximum Response Delay of the last General Query
}

var defaultQuerier = querier{queryInterval, queryResponseInterval}

func (k *querier) heard(q *Query) {
	if q.QQI > 0 {
		k.interval = q.QQI
	}
	if q.Group.IsUnspecified() {
		k.responseInterval = q.MaxResponseDelay
	}
}

// olderQuerierPresentTimeout is "([Robustness Variable] times (the [Query
// Interval] in the last Query received)) plus ([Query Response Interval])"
// (RFC 3810, section 9.12). A Query of version 1 does not say its interval: it
// is that of the last one that did, else the default.
func (m *Machine) olderQuerierPresentTimeout() time.Duration {
	return time.Duration(m.cfg.Robustness)*m.querier.interval + m.querier.responseInterval
}

// announceV1 is "start listening" or "stop listening" (RFC 2710, section 5)
// for each of the groups. Version 1 has no word for sources; a group whose
// packets may come from some only is reported as any other, for it is the
// receive filter that keeps the rest out.
func (m *Machine) announceV1(groups []*group, burst int) {
	for i, g := range groups {
		switch at := m.announceAt(i, burst); {
		case isSourceSpecific(g.addr):
		case !g.joined:
			m.doneV1(g)
		case at.After(m.now):
			g.repeats = int32(m.cfg.Robustness)
			m.timers.Set(g, at)
		default:
			g.repeats = int32(m.cfg.Robustness)
			m.reportV1(g)
		}
	}
}

// reportV1 reports g and, while that is an unsolicited Report to be repeated,
// schedules the next.
func (m *Machine) reportV1(g *group) {
	m.counters.ReportsSent++
	m.send(g.addr, &ReportV1{Group: g.addr})
	g.suppressed = false
	if g.repeats > 0 {
		g.repeats--
	}
	if g.repeats > 0 {
		m.timers.Set(g, m.now.Add(m.random.Between(0, cmp.Or(m.cfg.UnsolicitedReportInterval, unsolicitedReportIntervalV1))))
	} else {
		m.timers.Clear(g)
	}
}

// doneV1 tells the routers that g was left. "If the node's most recent Report
// message was suppressed by hearing another Report message, it MAY send
// nothing" (RFC 2710, section 4).
func (m *Machine) doneV1(g *group) {
	if g.suppressed && !m.cfg.AlwaysDone {
		return
	}
	m.counters.DonesSent++
	m.send(allRouters, &DoneV1{Group: g.addr})
}

func (m *Machine) generalQueryV1(q *Query) {
	for _, g := range m.joined {
		m.groupQueryV1(g, q)
	}
}

// groupQueryV1 is "query received" (RFC 2710, section 5). A source-specific
// group is no matter of version 1: a Report would ask for all of its sources
// (RFC 4604).
func (m *Machine) groupQueryV1(g *group, q *Query) {
	if isSourceSpecific(g.addr) {
		return
	}
	maxDelay := q.MaxResponseDelay
	if q.Version == 2 {
		// MLDv1 sees a longer Query of its own, whose delay is linear
		// (RFC 2710, sections 3.4 and 3.7).
		maxDelay = time.Duration(responseCode(maxDelay)) * time.Millisecond
	}
	pending, ok := m.timers.At(g)
	switch {
	case maxDelay == 0:
		// "the action specified below for timer expiration is performed
		// immediately" (RFC 2710, section 4).
		m.reportV1(g)
	case !ok || m.now.Add(maxDelay).Before(pending):
		// "it is reset to the new random value only if the requested Maximum
		// Response Delay is less than the remaining value of the running
		// timer" (RFC 2710, section 4).
		m.timers.Set(g, m.now.Add(m.random.Between(0, maxDelay)))
	}
}

// suppress is "report received" (RFC 2710, section 5): another node's Report
// stands in for the one that is pending here. One from the unspecified address
// does not, for routers discard it (RFC 3590, section 4), and our own, come
// back, is not another node's.
func (m *Machine) suppress(src netip.Addr, report *ReportV1) {
	g := m.groups[report.Group.As16()]
	if g == nil || !linkLocalNet.Contains(src) || src == m.source {
		return
	}
	if m.timers.Clear(g) {
		g.repeats, g.suppressed = 0, true
	}
}
