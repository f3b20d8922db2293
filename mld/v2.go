package mld

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// unsolicitedReportInterval is of RFC 3810, section 9.11.
	unsolicitedReportInterval = time.Second
	// instant is the least delay: the RFC's ranges exclude 0.
	instant = time.Nanosecond
)

// note compares what the network was told of g before a change with what it is
// to be told after, by the table of RFC 3810, section 6.1, and merges the
// difference with what is still to be repeated. It reports whether there is
// one.
//
// The RFC has two sentences on the counters of sources while Filter Mode Change
// Records are sent: section 6.1 decreases them with "each time a State Change
// Report is sent", section 6.3 with the ALLOW and BLOCK records only. Here
// every report of the group counts, for a Filter Mode Change Record has the
// whole list. So all counters end with the last of the Robustness Variable
// reports that follow the latest change, and a change of the filter mode
// covers all that was to be said of sources.
func (g *group) note(before, after Filter, robustness int) (news bool) {
	if before.Mode != after.Mode {
		g.modeRepeats = int32(robustness)
		return true
	}
	for _, list := range [][]netip.Addr{minus(before.Sources, after.Sources), minus(after.Sources, before.Sources)} {
		for _, s := range list {
			if g.sourceRepeats == nil {
				g.sourceRepeats = make(map[netip.Addr]int32)
			}
			g.sourceRepeats[s] = int32(robustness)
			news = true
		}
	}
	return news
}

// stateChange appends the records that tell of the last changes of g: "if the
// current filter mode of the interface is INCLUDE, a TO_IN record is included
// in the report; otherwise a TO_EX record is included", or, while no change of
// the filter mode is to be told, ALLOW and BLOCK of the sources in
// retransmission state (RFC 3810, sections 6.1 and 6.3).
func (g *group) stateChange(records []Record) []Record {
	state := g.told()
	if g.modeRepeats > 0 {
		if state.Mode == Exclude {
			return append(records, Record{ChangeToExcludeMode, g.addr, state.Sources})
		}
		return append(records, Record{ChangeToIncludeMode, g.addr, state.Sources})
	}
	var allow, block []netip.Addr
	for _, s := range slices.SortedFunc(maps.Keys(g.sourceRepeats), netip.Addr.Compare) {
		if state.Accepts(s) {
			allow = append(allow, s)
		} else {
			block = append(block, s)
		}
	}
	// "If the computed source list for either an ALLOW or a BLOCK record is
	// empty, that record is omitted" (RFC 3810, section 6.1).
	if len(allow) > 0 {
		records = append(records, Record{AllowNewSources, g.addr, allow})
	}
	if len(block) > 0 {
		records = append(records, Record{BlockOldSources, g.addr, block})
	}
	return records
}

// reported counts one State Change Report of g.
func (g *group) reported() {
	if g.modeRepeats > 0 {
		g.modeRepeats--
	}
	for s, n := range g.sourceRepeats {
		if n == 1 {
			delete(g.sourceRepeats, s)
		} else {
			g.sourceRepeats[s] = n - 1
		}
	}
	if len(g.sourceRepeats) == 0 {
		g.sourceRepeats = nil
	}
}

// batch is the groups whose changes were reported together in one packet, or
// one group that needs several, and are repeated together (RFC 3810, section
// 6.1): the Retransmission Timer that they share. A group is in the batch of
// its last change only, so that the merged report of a newer change takes the
// place of the older one and leaves the others of that batch alone. That a
// batch has a packet's worth of groups spreads the repeats of a large change.
type batch struct {
	groups  []*group
	repeats int // reports still to be sent, as many as the largest counter of the groups
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
// Beyond burst reports, if that is not 0, the first of them waits as well.
func (m *Machine) announceV2(groups []*group, burst int) {
	for n, b := range m.batches(groups) {
		if at := m.announceAt(n, burst); at.After(m.now) {
			m.timers.Set(b, at)
		} else {
			m.sendBatch(b)
		}
	}
}

// batches takes the groups out of their older batches and into new ones, each
// as large as one report can be.
func (m *Machine) batches(groups []*group) (all []*batch) {
	room := 0
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
		size := g.stateChangeSize()
		if len(all) == 0 || size > room {
			all = append(all, &batch{repeats: m.cfg.Robustness})
			room = m.reportRoom()
		}
		room -= size
		all[len(all)-1].add(g)
	}
	return all
}

// stateChangeSize is the length of the records of stateChange in octets.
func (g *group) stateChangeSize() (octets int) {
	if g.modeRepeats > 0 { // of thousands of groups at once, perhaps
		return lenRecord + lenAddr*len(g.told().Sources)
	}
	for _, r := range g.stateChange(nil) {
		octets += r.size()
	}
	return octets
}

// sendBatch sends a State Change Report of the batch, also on the expiry of
// its Retransmission Timer (RFC 3810, section 6.3, case 4), and schedules the
// next.
func (m *Machine) sendBatch(b *batch) {
	records := make([]Record, 0, len(b.groups))
	for _, g := range b.groups {
		records = g.stateChange(records)
		g.reported()
	}
	m.sendRecords(records)
	b.repeats--
	if b.repeats > 0 {
		longest := cmp.Or(m.cfg.UnsolicitedReportInterval, unsolicitedReportInterval)
		m.timers.Set(b, m.now.Add(m.random.Between(instant, longest)))
		return
	}
	for _, g := range b.groups {
		g.batch = nil
		m.drop(g)
	}
}

// minus returns the addresses of a that are not in b. Both are in order.
func minus(a, b []netip.Addr) (rest []netip.Addr) {
	for _, x := range a {
		if _, ok := slices.BinarySearchFunc(b, x, netip.Addr.Compare); !ok {
			rest = append(rest, x)
		}
	}
	return rest
}
