package stack

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tapstack/tapstack/mld"
)

// socketGroups is what a PacketConn has to do with multicast.
type socketGroups struct {
	holder mld.Holder
	// mu is held while a membership changes: the interface is told, then the
	// socket's own filter follows.
	mu sync.Mutex
	// choosy: the socket has joined a group once, and takes datagrams to its
	// own groups alone.
	choosy   atomic.Bool
	hopLimit atomic.Uint32 // 0: 1

	// Guarded by PacketConn.mu.
	out        *Interface // nil: that of the zone
	noLoopback bool
}

// filter decides which datagrams to groups a socket takes from an interface.
func (g *socketGroups) filter(i *Interface, m *packetMember) func(src, group netip.Addr) bool {
	return func(src, group netip.Addr) bool {
		view := i.groups
		if g.choosy.Load() {
			view = m.groups
		}
		_, wanted := view.lookup(group.As16(), src.WithZone(""))
		return wanted
	}
}

// JoinGroup has the socket take datagrams to a group: from sources, besides
// those that it was joined for already, or without sources from everybody. A
// source-specific group (RFC 4607) needs sources. The zone of the group says on
// which interface; it may be left out where there is but one.
//
// From its first join on the socket takes datagrams to groups that it has
// joined itself and to no others. Before, it takes those to every group that an
// interface listens to on anybody's behalf, such as ff02::1.
//
// The error is a *net.OpError over ErrGroupExists (the socket has joined it
// already), ErrLimit, an *InvalidArgumentError or a *net.AddrError.
func (c *PacketConn) JoinGroup(group netip.Addr, sources ...netip.Addr) error {
	return c.changeGroup("join", group, sources, func(id RequestID, g netip.Addr, sources []netip.Addr) CoreEvent {
		return JoinGroup{id, g, c.groups.holder, sources}
	})
}

// LeaveGroup undoes JoinGroup, for sources alone if there are any. The error is
// a *net.OpError, over ErrNoSuchGroup if one of them was not joined.
func (c *PacketConn) LeaveGroup(group netip.Addr, sources ...netip.Addr) error {
	return c.changeGroup("leave", group, sources, func(id RequestID, g netip.Addr, sources []netip.Addr) CoreEvent {
		return LeaveGroup{id, g, c.groups.holder, sources}
	})
}

// SetGroupFilter says from which sources the socket takes datagrams to a group,
// whatever it said before; the zero Filter leaves the group (RFC 3678, section
// 5.2). The error is as of JoinGroup.
func (c *PacketConn) SetGroupFilter(group netip.Addr, f mld.Filter) error {
	return c.changeGroup("set filter", group, f.Sources, func(id RequestID, g netip.Addr, sources []netip.Addr) CoreEvent {
		return SetGroupFilter{id, g, c.groups.holder, mld.Filter{Mode: f.Mode, Sources: sources}}
	})
}

// changeGroup runs a command about a membership of the socket.
func (c *PacketConn) changeGroup(op string, group netip.Addr, sources []netip.Addr, event func(RequestID, netip.Addr, []netip.Addr) CoreEvent) error {
	c.groups.mu.Lock()
	defer c.groups.mu.Unlock()
	i, m, err := c.groupMember(group)
	if err == nil {
		sources, err = i.ownAll(sources)
	}
	if err == nil {
		err = i.do(func(id RequestID) CoreEvent { return event(id, group.WithZone(""), sources) })
	}
	if err != nil {
		return c.opError(op, &net.IPAddr{IP: group.AsSlice(), Zone: group.Zone()}, err)
	}
	c.groups.choosy.Store(true)
	m.follow(i, group.WithZone(""), c.groups.holder)
	return nil
}

// follow brings the socket's own filter in line with what the interface has
// noted of it.
func (m *packetMember) follow(i *Interface, group netip.Addr, holder mld.Holder) {
	var f mld.Filter
	var held bool
	i.look(func(c *Core) { f, held = c.groups.FilterOf(group, holder) })
	if held {
		m.joined[group] = struct{}{}
		m.groups.set(group.As16(), f)
		return
	}
	delete(m.joined, group)
	m.groups.remove(group.As16())
}

// groupMember finds the interface on which a group is meant, and the socket's
// endpoint there.
func (c *PacketConn) groupMember(group netip.Addr) (*Interface, *packetMember, error) {
	if !c.wildcard && group.Zone() == "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, m := range c.members { // the only one
			return i, m, nil
		}
		return nil, nil, net.ErrClosed
	}
	if !group.IsMulticast() {
		return nil, nil, &InvalidArgumentError{"group " + group.String(), "is not an IPv6 multicast address"}
	}
	i, err := c.stack.route(group)
	if err != nil {
		return nil, nil, err
	}
	m, err := c.memberOn(i)
	return i, m, err
}

// memberOn returns the endpoint on an interface.
func (c *PacketConn) memberOn(i *Interface) (*packetMember, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.members[i]
	switch {
	case ok:
		return m, nil
	case len(c.members) == 0:
		return nil, net.ErrClosed
	}
	return nil, &net.AddrError{Err: "the socket is bound to another interface", Addr: i.name}
}

// leaveAll ends all memberships, those on one interface together.
func (c *PacketConn) leaveAll() {
	c.groups.mu.Lock()
	defer c.groups.mu.Unlock()
	c.mu.Lock()
	members := maps.Clone(c.members)
	c.mu.Unlock()
	for i, m := range members {
		if groups := slices.SortedFunc(maps.Keys(m.joined), netip.Addr.Compare); len(groups) > 0 {
			// The only error is that the interface, and with it the
			// memberships, has gone.
			_ = i.do(func(id RequestID) CoreEvent { return LeaveGroups{id, c.groups.holder, groups} })
			clear(m.joined)
		}
	}
}

// SetMulticastHopLimit sets the hop limit of datagrams to groups, 1 to 255.
// Without, it is 1: they stay on the link.
func (c *PacketConn) SetMulticastHopLimit(n int) error {
	if n < 1 || n > 255 {
		return c.opError("set", nil, &InvalidArgumentError{"multicast hop limit " + strconv.Itoa(n), "is not one from 1 to 255"})
	}
	c.groups.hopLimit.Store(uint32(n))
	return nil
}

// SetMulticastLoopback says whether datagrams that the socket sends to a group
// come to the sockets of this host that listen to it, as well as to others.
// Without, they do.
func (c *PacketConn) SetMulticastLoopback(on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups.noLoopback = !on
	for _, m := range c.members {
		m.SetMulticastLoopback(on)
	}
	return nil
}

// SetMulticastInterface says by its name or index on which interface datagrams
// to a group without a zone leave. Without, or with "", there must be but one.
func (c *PacketConn) SetMulticastInterface(name string) error {
	var out *Interface
	if name != "" {
		i, err := c.stack.zone(name)
		if err == nil {
			_, err = c.memberOn(i)
		}
		if err != nil {
			return c.opError("set", nil, err)
		}
		out = i
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups.out = out
	return nil
}
