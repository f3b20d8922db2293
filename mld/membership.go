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
	m.announce(news)
	for _, g := range touched {
		m.drop(g)
	}
}

// changeHold makes one change to the holds and returns the group that may have
// changed with it, nil if none has.
func (m *Machine) changeHold(c Change) *group {
	if !isGroup(c.Group) {
		m.counters.ChangesRefused++
		return nil
	}
	g := m.groups[c.Group.As16()]
	switch c.Op {
	case OpListen, OpJoin:
		if g = m.hold(g, c); g != nil && c.Op == OpJoin {
			g.wanted = true
		}
		return g
	case OpLeave:
		if g == nil {
			return nil
		}
		h := hold{g, c.Holder}
		if _, ok := m.holds[h]; !ok {
			return nil
		}
		delete(m.holds, h)
		g.holders--
		return g
	}
	panic("mld: no such operation")
}

// hold makes c.Holder hold g, which is new if nil. It returns nil if that is
// beyond Config.MaxGroups.
func (m *Machine) hold(g *group, c Change) *group {
	if g != nil {
		if _, ok := m.holds[hold{g, c.Holder}]; ok {
			return g
		}
	}
	if len(m.holds) >= m.cfg.MaxGroups || g == nil && len(m.groups) >= m.cfg.MaxGroups {
		m.counters.ChangesRefused++
		return nil
	}
	if g == nil {
		g = &group{addr: c.Group}
		m.groups[c.Group.As16()] = g
	}
	m.holds[hold{g, c.Holder}] = struct{}{}
	g.holders++
	return g
}

// settle brings g in line with its holders: the receive filter, and what the
// network is told. It reports whether the latter is news.
func (m *Machine) settle(g *group) (news bool) {
	if open := g.holders > 0; open != g.open {
		g.open = open
		if open {
			m.actions = append(m.actions, Joined{g.addr})
		} else {
			m.actions = append(m.actions, Left{g.addr})
		}
	}
	if g.holders == 0 {
		g.wanted = false
	}
	joined := g.wanted && isReported(g.addr)
	if joined == g.joined {
		return false
	}
	if joined {
		m.enlist(g)
	} else {
		m.delist(g)
	}
	return true
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
