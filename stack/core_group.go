package stack

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

// runMLD carries out what the listener decided.
func (c *Core) runMLD(actions []mld.Action) {
	for _, act := range actions {
		switch act := act.(type) {
		case mld.Send:
			c.sendMLD(act)
		case mld.Joined:
			c.emit(OpenGroup{act.Group, act.Filter})
			c.notify(Event{Type: GroupJoined, Group: act.Group})
		case mld.Filtered:
			c.emit(FilterGroup{act.Group, act.Filter})
			c.notify(Event{Type: GroupFiltered, Group: act.Group, State: act.Mode.String()})
		case mld.Left:
			c.emit(CloseGroup{act.Group})
			c.notify(Event{Type: GroupLeft, Group: act.Group})
		}
	}
	if v := c.groups.Version(); v != c.mldVersion {
		c.mldVersion = v
		c.notify(Event{Type: MLDVersion, State: strconv.Itoa(v)})
	}
}

// sendMLD puts an MLD message on the link, with hop limit 1 and behind a
// Router Alert (RFC 2710, section 3; RFC 3810, section 5).
func (c *Core) sendMLD(s mld.Send) {
	message := mld.Append(nil, s.Src, s.Dst, s.Message)
	payload := len(routerAlert) + len(message)
	frame := make([]byte, 0, ethernetHeaderLen+ipv6HeaderLen+payload)
	frame = appendHeaders(frame, c.cfg.LinkAddr, nd.MulticastLinkAddr(s.Dst), s.Src, s.Dst, protocolHopByHop, 1, payload)
	frame = append(frame, routerAlert[:]...)
	c.counters.ControlFramesOut++
	c.emit(&Send{Frame: append(frame, message...)})
}

// joinGroup adds what ev asks for to what its holder has.
func (c *Core) joinGroup(ev JoinGroup) error {
	have, held := c.groups.FilterOf(ev.Group, ev.Holder)
	want := mld.Filter{Mode: mld.Exclude}
	if len(ev.Sources) > 0 {
		want = mld.Filter{Mode: mld.Include, Sources: slices.Concat(have.Sources, ev.Sources)}.Normal()
	}
	if held && (have.Mode == mld.Exclude || len(want.Sources) <= len(have.Sources)) {
		return ErrGroupExists
	}
	return c.setGroup(ev.Group, ev.Holder, want)
}

// leaveGroup takes what ev names from what its holder has.
func (c *Core) leaveGroup(ev LeaveGroup) error {
	have, held := c.groups.FilterOf(ev.Group, ev.Holder)
	rest := mld.Filter{}
	if len(ev.Sources) > 0 {
		gone := mld.Filter{Sources: ev.Sources}.Normal()
		for _, s := range have.Sources {
			if !gone.Accepts(s) {
				rest.Sources = append(rest.Sources, s)
			}
		}
		held = held && have.Mode == mld.Include && len(rest.Sources)+len(gone.Sources) == len(have.Sources)
	}
	if !held {
		return ErrNoSuchGroup
	}
	return c.setGroup(ev.Group, ev.Holder, rest)
}

// setGroup gives a holder the filter of a group, in place of what it had: one
// that wants nothing ends the membership (RFC 3810, section 4.1).
func (c *Core) setGroup(group netip.Addr, h mld.Holder, f mld.Filter) error {
	change := mld.Change{Op: mld.OpSet, Group: group, Holder: h, Filter: f}
	_, held := c.groups.FilterOf(group, h)
	begins := !held && (f.Mode == mld.Exclude || len(f.Sources) > 0)
	if err := c.checkGroup(change, begins); err != nil {
		return err
	}
	c.runMLD(c.groups.Step(c.now, mld.Changes{change}))
	if _, holds := c.groups.FilterOf(group, h); holds && !held {
		c.joined++
	} else if held && !holds {
		c.joined--
	}
	return nil
}

// checkGroup says why a change cannot be made. begins: the membership is new.
func (c *Core) checkGroup(change mld.Change, begins bool) error {
	err := c.groups.Check(change)
	if invalid := (*mld.ChangeError)(nil); errors.As(err, &invalid) {
		return &InvalidArgumentError{"group " + change.Group.String(), invalid.Rule}
	}
	if err == nil && begins && c.joined >= c.cfg.MaxGroups {
		err = &mld.LimitError{What: "memberships", Max: c.cfg.MaxGroups}
	}
	if err != nil {
		c.counters.MembershipsRefused++
		return fmt.Errorf("%w: %w", ErrLimit, err)
	}
	return nil
}

// reportTogether puts off the changes of groups by DAD until the end of f, which
// removes addresses, and reports them in as few packets as they fit in.
func (c *Core) reportTogether(f func()) {
	c.gathering = true
	f()
	changes := c.gathered
	c.gathering, c.gathered = false, nil
	c.runMLD(c.groups.Step(c.now, changes))
}

// leaveGroups ends all that a holder has of the groups, in one report.
func (c *Core) leaveGroups(h mld.Holder, groups []netip.Addr) {
	var changes mld.Changes
	for _, g := range groups {
		if _, held := c.groups.FilterOf(g, h); held {
			changes = append(changes, mld.Change{Op: mld.OpLeave, Group: g, Holder: h})
		}
	}
	c.joined -= len(changes)
	c.runMLD(c.groups.Step(c.now, changes))
}

// leaveAll ends every membership that was asked for, apart from those of
// addresses, while there is an address to report that from.
func (c *Core) leaveAll() {
	var changes mld.Changes
	for _, g := range c.groups.Groups() {
		for _, h := range g.Holders {
			if h.Kind == mld.HolderSocket || h.Kind == mld.HolderStatic {
				changes = append(changes, mld.Change{Op: mld.OpLeave, Group: g.Addr, Holder: h})
			}
		}
	}
	c.joined = 0
	c.runMLD(c.groups.Step(c.now, changes))
}

// Groups lists the memberships, ordered by group.
func (c *Core) Groups() []mld.Group { return c.groups.Groups() }

// countGroups enters what the listener has counted.
func (c *Core) countGroups(all *CoreCounters) {
	m := c.groups.Counters()
	all.MLDQueriesIn, all.MLDQueriesIgnored = m.QueriesReceived, m.QueriesIgnored
	all.MLDReportsOut, all.MLDDonesOut = m.ReportsSent, m.DonesSent
	all.MLDBadLength, all.MLDBadChecksum = m.Invalid[mld.BadLength], m.Invalid[mld.BadChecksum]
	all.MLDBadSource, all.MLDBadHopLimit = m.Invalid[mld.BadSource], m.Invalid[mld.BadHopLimit]
	all.MLDNoRouterAlert, all.MLDBadGroup = m.Invalid[mld.NoRouterAlert], m.Invalid[mld.BadGroup]
}
