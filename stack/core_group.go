package stack

import (
	"errors"
	"net/netip"

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
			c.emit(OpenGroup{act.Group})
			c.notify(Event{Type: GroupJoined, Group: act.Group})
		case mld.Left:
			c.emit(CloseGroup{act.Group})
			c.notify(Event{Type: GroupLeft, Group: act.Group})
		case mld.Filtered:
			// Every membership here is for all sources.
		}
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
	c.emit(Send{Frame: append(frame, message...)})
}

func (c *Core) joinGroup(group netip.Addr, h mld.Holder) error {
	join := mld.Change{Op: mld.OpJoin, Group: group, Holder: h}
	var invalid *mld.ChangeError
	switch {
	case errors.As(join.Validate(), &invalid):
		return &InvalidArgumentError{"group " + group.String(), invalid.Rule}
	case c.groups.Holds(group, h):
		return ErrGroupExists
	case c.joined >= c.cfg.MaxGroups:
		c.counters.MembershipsRefused++
		return ErrLimit
	}
	c.joined++
	c.runMLD(c.groups.Step(c.now, mld.Changes{join}))
	return nil
}

func (c *Core) leaveGroup(group netip.Addr, h mld.Holder) error {
	if !c.groups.Holds(group, h) {
		return ErrNoSuchGroup
	}
	c.joined--
	c.runMLD(c.groups.Step(c.now, mld.Changes{{Op: mld.OpLeave, Group: group, Holder: h}}))
	return nil
}

// Groups lists the memberships, ordered by group.
func (c *Core) Groups() []mld.Group { return c.groups.Groups() }
