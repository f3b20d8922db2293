package stack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// shimCounters count on the data path, and what the reader refused.
type shimCounters struct {
	dataIn, dataWhileDown, dataOut, noRoute, down, sendErrors, missesLost, controlSendErrors, notIPv6, otherHost, otherGroup, otherSource, refused atomic.Uint64
}

// transmit is the room for one write, kept in a pool so that the data path
// allocates nothing.
type transmit struct {
	frames [1]Frame
	pieces [16][]byte
}

var transmits = sync.Pool{New: func() any { return new(transmit) }}

// output is where a packet leaves the sockets: one atomic load, one
// longest-prefix match, one neighbor lookup, fourteen octets in front, one
// write. Only a miss, and the first use of a neighbor whose reachability is
// in doubt, are posted to the loop.
func (i *Interface) output(p *netstack.Packet) error {
	dst := p.Dst()
	if dst[0] == 0xff { // a group is its own next hop: RFC 4861, section 5.2
		if !i.usable.Load() {
			return i.refuse()
		}
		return i.send(p, nd.MulticastLinkAddr(netip.AddrFrom16(dst)))
	}
	if sibling := i.stack.owner(dst, i); sibling != nil {
		return sibling.handOver(p)
	}
	hop, ok := i.view.Load().NextHop(p.Src(), dst, p.Flow())
	if !ok {
		return i.refuse()
	}
	if hop.HasSkipped {
		i.skipped(p)
	}
	if hop.Local { // gVisor loops these itself, unless the address came this moment
		return i.handOver(p)
	}
	l, tell, ok := i.neighbors.lookup(hop.Addr)
	if !ok {
		return i.miss(p, hop)
	}
	if tell {
		i.inbox.putOutput(NeighborUsed{netip.AddrFrom16(hop.Addr)})
	}
	return i.send(p, l)
}

// refuse says why no packet can leave.
func (i *Interface) refuse() error {
	if !i.usable.Load() {
		i.counters.down.Add(1)
		return syscall.ENETDOWN
	}
	i.counters.noRoute.Add(1)
	return syscall.ENETUNREACH
}

// miss gives the packet to the loop until its neighbor is resolved.
func (i *Interface) miss(p *netstack.Packet, hop rib.Hop) error {
	kept := p.Keep()
	out := Output{
		NextHop: netip.AddrFrom16(hop.Addr), Src: netip.AddrFrom16(p.Src()), Dst: netip.AddrFrom16(p.Dst()), Flow: p.Flow(), Packet: kept,
	}
	if i.inbox.putOutput(out) {
		return nil
	}
	kept.Release()
	i.counters.missesLost.Add(1)
	return syscall.ENOBUFS
}

// resend sends a packet that has waited in vain for a next hop by the way that
// there is now.
func (i *Interface) resend(p *netstack.Packet) {
	if err := i.output(p); err != nil {
		i.host.Unreachable(p, codeNoRoute)
	}
	p.Release()
}

// Codes of Destination Unreachable (RFC 4443, section 3.1).
const (
	codeNoRoute            = 0
	codeAddressUnreachable = 3
)

// send puts a packet on the link.
func (i *Interface) send(p *netstack.Packet, to nd.LinkAddr) error {
	p.PushEthernet(to, i.LinkAddr())
	t := transmits.Get().(*transmit)
	t.frames[0].Data = p.AppendSlices(t.pieces[:0])
	o := p.Offload()
	t.frames[0].Offload = FrameOffload{
		NeedsChecksum: o.NeedsChecksum, ChecksumStart: o.ChecksumStart, ChecksumOffset: o.ChecksumOffset,
		SegmentSize: o.SegmentSize, HeaderLen: o.HeaderLen,
	}
	_, err := i.link.Write(t.frames[:])
	t.frames[0] = Frame{}
	clear(t.pieces[:])
	transmits.Put(t)
	if err != nil {
		i.counters.sendErrors.Add(1)
		return syscall.ENETDOWN
	}
	i.counters.dataOut.Add(1)
	return nil
}

// skipInterval parts what the loop is told of routers that are passed over
// because they do not answer.
const skipInterval = time.Second

// skipped tells the loop that a router was passed over for p, once in
// skipInterval, so that its reachability is tested (RFC 4191, section 3.5).
func (i *Interface) skipped(p *netstack.Packet) {
	if i.tellSkipped.CompareAndSwap(true, false) {
		i.inbox.putOutput(RouterSkipped{netip.AddrFrom16(p.Src()), netip.AddrFrom16(p.Dst()), p.Flow()})
		time.AfterFunc(skipInterval, func() { i.tellSkipped.Store(true) })
	}
}

// progress is what a connection says of itself while hints are asked for. The
// caller may hold locks of its sockets.
func (i *Interface) progress(local, remote [16]byte, flow uint32) {
	i.inbox.putOutput(Progress{Local: netip.AddrFrom16(local), Remote: netip.AddrFrom16(remote), Flow: flow})
}

// source chooses the source address for dst (RFC 6724).
func (i *Interface) source(dst netip.Addr) (netip.Addr, error) {
	if !i.usable.Load() {
		return netip.Addr{}, syscall.ENETDOWN
	}
	if a, ok := i.view.Load().Source(dst); ok {
		return a, nil
	}
	return netip.Addr{}, syscall.EADDRNOTAVAIL
}

// maxHandOver bounds the packets on their way from one interface to another
// of the same stack.
const maxHandOver = 1024

// handOver takes a packet that an interface of this stack wants to send to one
// of our addresses. It is delivered from a goroutine of its own,
// because the sender may hold locks of its sockets.
func (i *Interface) handOver(p *netstack.Packet) error {
	kept := p.Keep()
	select {
	case i.fromSiblings <- kept:
		return nil
	default:
		kept.Release()
		i.counters.missesLost.Add(1)
		return syscall.ENOBUFS
	}
}

func (i *Interface) deliverFromSiblings() {
	defer close(i.siblingsDone)
	for {
		select {
		case p := <-i.fromSiblings:
			var packet []byte
			for _, piece := range p.AppendSlices(nil) {
				packet = append(packet, piece...)
			}
			p.Release()
			i.host.DeliverBytes(packet)
		case <-i.stop:
			return
		}
	}
}
