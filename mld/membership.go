package mld

import "net/netip"

// change makes the changes, all of them before any report, so that one who
// takes over a group from another who leaves it in the same Changes is no
// news to the network.
func (m *Machine) change(changes Changes) {
	touched := make([]*group, 0, len(changes)) // some more than once
	for _, c := range changes {
		if g := m.changeHold(c); g != nil {
			touched = append(touched, g)
		}
	}
	var news []*group
	for _, g := range touched {
		if m.settle(g) {
			news = append(news, g)
		}
	}
	m.announce(news, 0)
	for _, g := range touched {
		m.drop(g)
	}
}

// changeHold makes one change to the holds and returns the group that may have
// changed with it, nil if none has.
func (m *Machine) changeHold(c Change) *group {
	switch c.Op {
	case OpListen, OpJoin, OpLeave, OpSet:
	default:
		panic("mld: no such operation")
	}
	if m.Check(c) != nil {
		m.counters.ChangesRefused++
		return nil
	}
	g := m.groups[c.Group.As16()]
	if c.ends() {
		if g == nil || !m.release(hold{g, c.Holder}) {
			return nil
		}
		return g
	}
	if g == nil {
		g = &group{addr: c.Group}
		m.groups[c.Group.As16()] = g
	}
	m.hold(hold{g, c.Holder}, c)
	g.wanted = g.wanted || c.Op != OpListen
	return g
}

// hold makes h what c says: "each subsequent request completely replaces any
// earlier request" (RFC 3810, section 3).
func (m *Machine) hold(h hold, c Change) {
	if _, held := m.holds[h]; held && c.Op == OpListen {
		return
	}
	m.release(h)
	var f *Filter
	if c := c.filter(); c.Mode != Exclude || len(c.Sources) > 0 {
		c = c.Normal()
		f = &c
	}
	m.holds[h] = f
	h.group.holders++
	h.group.count(f, 1)
}

// release ends h and reports whether there was such a hold.
func (m *Machine) release(h hold) bool {
	f, held := m.holds[h]
	if held {
		delete(m.holds, h)
		h.group.holders--
		h.group.count(f, -1)
	}
	return held
}

// tally is how many holders name a source.
type tally struct{ include, exclude int }

// count adds the filter of a holder to the group, or takes it away: by is 1 or
// -1.
func (g *group) count(f *Filter, by int) {
	if f == nil || f.Mode == Exclude {
		g.excludes += by
	}
	if f == nil || len(f.Sources) == 0 {
		return
	}
	if g.tally == nil {
		g.tally = make(map[netip.Addr]tally)
	}
	for _, s := range f.Sources {
		t := g.tally[s]
		if f.Mode == Exclude {
			t.exclude += by
		} else {
			t.include += by
		}
		if t == (tally{}) {
			delete(g.tally, s)
		} else {
			g.tally[s] = t
		}
	}
	if len(g.tally) == 0 {
		g.tally = nil
	}
}

// merge derives the filter of the interface from those of the holders. If any
// is EXCLUDE, it is EXCLUDE with "the intersection of the source lists of all
// socket records in EXCLUDE mode, minus those source addresses that appear in
// any socket record in INCLUDE mode"; else it is INCLUDE with the union of all
// (RFC 3810, section 4.2). It takes time for the sources of the group, however
// many holders there are.
func (g *group) merge() Filter {
	var f Filter
	if g.excludes > 0 {
		f.Mode = Exclude
	}
	for s, t := range g.tally {
		if f.Mode == Include || t.exclude == g.excludes && t.include == 0 {
			f.Sources = append(f.Sources, s)
		}
	}
	f.Sources = inOrder(f.Sources)
	return f
}

// told is the state that the network is told of: INCLUDE with an empty list,
// the "non-existent" one of RFC 3810, section 6.1, if the group is not to be
// reported.
func (g *group) told() Filter {
	if !g.joined {
		return Filter{}
	}
	return g.filter
}

// settle brings g in line with its holders: the receive filter, and what the
// network is told. It reports whether the latter is news.
func (m *Machine) settle(g *group) (news bool) {
	told, filter := g.told(), g.filter
	g.filter = g.merge()
	open := g.holders > 0
	switch {
	case open && !g.open:
		m.actions = append(m.actions, Joined{g.addr, g.filter})
	case g.open && !open:
		m.actions = append(m.actions, Left{g.addr})
	case !g.filter.equal(filter):
		m.actions = append(m.actions, Filtered{g.addr, g.filter})
	}
	g.open = open
	g.wanted = g.wanted && open
	joined := g.wanted && isReported(g.addr)
	turned := joined != g.joined
	switch {
	case turned && joined:
		m.enlist(g)
	case turned:
		m.delist(g)
	}
	if m.speaks(2) {
		return g.note(told, g.told(), m.cfg.Robustness)
	}
	return turned
}

// isReported reports whether MLD tells of the group a at all. "No MLD messages
// are ever sent regarding neither the link-scope all-nodes multicast address,
// nor any multicast address of scope 0 (reserved) or 1 (node-local)."
// (RFC 3810, section 6)
func isReported(a netip.Addr) bool {
	scope := a.As16()[1] & 0x0f
	return scope > 1 && a != allNodes
}

// enlist adds g to the groups that the network is told of.
func (m *Machine) enlist(g *group) {
	g.joined = true
	g.index = int32(len(m.joined))
	m.joined = append(m.joined, g)
}

// delist takes g from the groups that the network is told of, together with
// the answers that it owes. The last group takes its place, and with it comes
// the answer that is due for the last page.
func (m *Machine) delist(g *group) {
	m.timers.Clear(g)
	g.joined = false

	last := len(m.joined) - 1
	moved := m.joined[last]
	from, to := m.pageOf(moved), m.pageOf(g)
	m.joined[g.index], moved.index = moved, g.index
	m.joined[last] = nil
	m.joined = m.joined[:last]
	if at, ok := m.timers.At(from); ok {
		m.setTimerSooner(to, at)
	}
	if last%m.pageSize == 0 {
		m.timers.Clear(from)
	}
}

// drop forgets g unless somebody holds it or its leave is to be repeated.
func (m *Machine) drop(g *group) {
	if g.holders == 0 && g.batch == nil {
		delete(m.groups, g.addr.As16())
	}
}
