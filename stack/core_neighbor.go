package stack

import (
	"net/netip"
	"slices"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// runND carries out what the Neighbor Cache decided.
func (c *Core) runND(actions []nd.Action) {
	defer c.neighbors.Recycle(actions)
	for _, act := range actions {
		switch act := act.(type) {
		case *nd.Send:
			c.sendND(act.Src, act.Dst, act.To, act.Message, netip.Addr{})
			c.watchUnreachable(act.Message)
		case nd.Changed:
			n := act.Neighbor
			c.emit(SetNeighborView{n})
			c.notify(Event{Type: NeighborChanged, Address: n.Addr, LinkAddr: n.LinkAddr, State: n.State.String()})
			c.watchReach(n)
			c.watchProbing(n.Addr, n.State)
			c.watchRouter(n)
		case nd.Removed:
			c.emit(DropNeighborView{act.Addr})
			delete(c.knownRouters, act.Addr)
			c.notify(Event{Type: NeighborChanged, Address: act.Addr, State: "none"})
			c.watchRemoved(act)
			c.watchProbing(act.Addr, 0)
		case nd.Resolved:
			c.release(c.queue.take(act.Addr), act.LinkAddr)
		case nd.Unresolved:
			c.counters.Unresolved++
			c.unresolved(act.Addr)
		case nd.Conflict:
			if act.From == c.cfg.LinkAddr && c.cfg.Loopback != dad.LoopbackNone {
				continue // the echo of our own advertisement
			}
			c.counters.Conflicts++
			c.notify(Event{Type: AddressConflict, Address: act.Addr, LinkAddr: act.LinkAddr, Reason: "another node advertises an address that is assigned here"})
		}
	}
}

// watchUnreachable asks the data path to tell of the next use of a neighbor
// that was just solicited in vain: an UNREACHABLE entry is solicited again
// only while packets use it (RFC 7048, section 3).
func (c *Core) watchUnreachable(m nd.Message) {
	if s, ok := m.(*nd.NeighborSolicit); ok {
		if n, ok := c.neighbors.Lookup(s.Target); ok && n.State == nd.Unreachable {
			c.emit(SetNeighborView{n})
		}
	}
}

// sendND puts an ND message on the link. Probe is the address that it tests,
// if it does.
func (c *Core) sendND(src, dst netip.Addr, to nd.LinkAddr, m nd.Message, probe netip.Addr) {
	if to.IsZero() {
		to = nd.MulticastLinkAddr(dst)
	}
	s := c.newSend()
	s.Frame = appendHeaders(s.Frame, c.cfg.LinkAddr, to, src, dst, protocolICMPv6, 255, 0)
	s.Frame = nd.Append(s.Frame, src, dst, m)
	setPayloadLen(s.Frame)
	s.Probe = probe
	c.counters.ControlFramesOut++
	c.sent = true
	c.emit(s)
}

const (
	// usualFrame is as long as most frames with an ND message at most.
	usualFrame = ethernetHeaderLen + ipv6HeaderLen + 40
	// maxSpareSends is how many Sends are kept for use, with frames of
	// maxSpareFrame octets at most.
	maxSpareSends, maxSpareFrame = sendBatch, 2048
)

// newSend returns a Send with room for a frame.
func (c *Core) newSend() *Send {
	last := len(c.spareSends) - 1
	if last < 0 {
		return &Send{Frame: make([]byte, 0, usualFrame)}
	}
	s := c.spareSends[last]
	c.spareSends = c.spareSends[:last]
	return s
}

// recycleSend takes back a Send that is on the wire, so that a flood of
// solicitations leaves no garbage. The caller is done with its frame.
func (c *Core) recycleSend(s *Send) {
	if len(c.spareSends) < maxSpareSends && cap(s.Frame) <= maxSpareFrame {
		*s = Send{Frame: s.Frame[:0]}
		c.spareSends = append(c.spareSends, s)
	}
}

// output takes a packet whose next hop had no usable entry when it was sent.
func (c *Core) output(ev Output) {
	if !c.up || c.disabled || !c.maySend(ev) {
		c.emit(Discard{[]any{ev.Packet}})
		return
	}
	ev.NextHop = c.selectRouter(ev)
	if n, ok := c.neighbors.Lookup(ev.NextHop); ok && n.State != nd.Incomplete {
		c.emit(Release{[]any{ev.Packet}, n.LinkAddr})
		return
	}
	if router, ok := c.routerFor(ev); ok {
		c.emit(Release{[]any{ev.Packet}, router})
		return
	}
	if lost := c.queue.put(ev); lost != nil {
		c.counters.QueueDiscards++
		c.emit(Discard{[]any{lost}})
	}
	c.runND(c.neighbors.Step(c.now, nd.Resolve{Addr: ev.NextHop, Src: ev.Src}))
}

// release sends packets that have waited, save those whose source has gone
// meanwhile.
func (c *Core) release(waiting []Output, to nd.LinkAddr) {
	lost := slices.DeleteFunc(slices.Clone(waiting), c.maySend)
	waiting = slices.DeleteFunc(waiting, func(o Output) bool { return !c.maySend(o) })
	if len(lost) > 0 {
		c.emit(Discard{packetsOf(lost)})
	}
	if len(waiting) > 0 {
		c.emit(Release{packetsOf(waiting), to})
	}
}

// maySend reports whether the source of a packet is still assigned: "An invalid
// address MUST NOT be used as a source address in outgoing communications"
// (RFC 4862, section 5.5.4).
func (c *Core) maySend(o Output) bool {
	a, ok := c.addresses.get(o.Src)
	return ok && a.enabled()
}

// routerFor returns the link-layer address of a default router that takes a
// packet from an optimistic address to a neighbor that is not resolved, and must
// not be for it: RFC 4429, section 3.2: "It SHOULD forward the packet to a
// default router on the link".
func (c *Core) routerFor(ev Output) (nd.LinkAddr, bool) {
	a, ok := c.addresses.get(ev.Src)
	if !ok || a.state != addressOptimistic || ev.NextHop.IsLinkLocalUnicast() {
		return nd.LinkAddr{}, false
	}
	for _, r := range c.routers.Routers() {
		if n, ok := c.neighbors.Lookup(r.Addr); r.Default && ok && n.State != nd.Incomplete {
			return n.LinkAddr, true
		}
	}
	return nd.LinkAddr{}, false
}

func (c *Core) setNeighbor(addr netip.Addr, l nd.LinkAddr) error {
	switch {
	case !addr.Is6() || addr.Is4In6() || addr.IsMulticast() || addr.IsUnspecified() || addr.IsLoopback():
		return &InvalidArgumentError{"neighbor " + addr.String(), "is not an IPv6 unicast address"}
	case l.IsZero() || l.IsMulticast():
		return &InvalidArgumentError{"link-layer address " + l.String(), "is not a unicast address"}
	}
	c.runND(c.neighbors.Step(c.now, nd.SetStatic{Addr: addr, LinkAddr: l}))
	if _, ok := c.neighbors.Lookup(addr); !ok {
		return ErrLimit
	}
	return nil
}

func (c *Core) deleteNeighbor(addr netip.Addr) error {
	if _, ok := c.neighbors.Lookup(addr); !ok {
		return ErrNoSuchNeighbor
	}
	c.runND(c.neighbors.Step(c.now, nd.Delete{Addr: addr}))
	if packets := packetsOf(c.queue.take(addr)); len(packets) > 0 {
		c.emit(Unreachable{packets})
	}
	return nil
}

// Neighbors lists the Neighbor Cache, ordered by address.
func (c *Core) Neighbors() []nd.Neighbor { return c.neighbors.Entries() }

// waitQueue holds the packets that wait for a neighbor's link-layer address,
// bounded for each and in all; the newest replaces the oldest
// (RFC 4861, section 7.2.2).
type waitQueue struct {
	byHop         map[netip.Addr][]Output
	perHop, total int
	length        int
}

func newWaitQueue(perHop, total int) waitQueue {
	return waitQueue{byHop: make(map[netip.Addr][]Output), perHop: perHop, total: total}
}

// put queues a packet and returns the packet that lost its place, if one did.
func (q *waitQueue) put(o Output) (lost any) {
	waiting := q.byHop[o.NextHop]
	switch {
	case len(waiting) == q.perHop, q.length == q.total && len(waiting) > 0:
		lost = waiting[0].Packet
		copy(waiting, waiting[1:])
		waiting[len(waiting)-1] = o
		return lost
	case q.length == q.total:
		return o.Packet
	}
	q.byHop[o.NextHop] = append(waiting, o)
	q.length++
	return nil
}

// holds reports whether a packet to dst waits for hop.
func (q *waitQueue) holds(hop, dst netip.Addr) bool {
	return slices.ContainsFunc(q.byHop[hop], func(o Output) bool { return o.Dst == dst })
}

func (q *waitQueue) take(hop netip.Addr) []Output {
	waiting := q.byHop[hop]
	delete(q.byHop, hop)
	q.length -= len(waiting)
	return waiting
}

func (q *waitQueue) takeAll() (packets []any) {
	for hop := range q.byHop {
		packets = append(packets, packetsOf(q.take(hop))...)
	}
	return packets
}

func packetsOf(waiting []Output) []any {
	packets := make([]any, len(waiting))
	for k, o := range waiting {
		packets[k] = o.Packet
	}
	return packets
}
