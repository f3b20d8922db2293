package stack

import (
	"net/netip"

	"github.com/tapstack/tapstack/nd"
)

// dataPlane does in a test what the shim does: it sends packets by what the
// Core published, and posts what it cannot do alone.
type dataPlane struct {
	neighbors map[netip.Addr]*planeNeighbor
	resend    []*packet
	progress  uint32 // the generation that hints are asked for in
}

type planeNeighbor struct {
	linkAddr nd.LinkAddr
	tell     bool
}

// packet is a packet of the sockets, and what became of it.
type packet struct {
	src, dst netip.Addr
	flow     uint32
	to       nd.LinkAddr // where it went; zero: nowhere yet
	refused  bool        // no route
	lost     bool        // address unreachable, or discarded
}

func newDataPlane() dataPlane { return dataPlane{neighbors: make(map[netip.Addr]*planeNeighbor)} }

func (d *dataPlane) apply(n *node, act CoreAction) {
	packets := func(all []any) (ps []*packet) {
		for _, p := range all {
			if p, ok := p.(*packet); ok {
				ps = append(ps, p)
			}
		}
		return ps
	}
	switch act := act.(type) {
	case SetNeighborView:
		if act.Neighbor.State == nd.Incomplete {
			delete(d.neighbors, act.Neighbor.Addr)
			return
		}
		tell := act.Neighbor.State == nd.Stale || act.Neighbor.State == nd.Unreachable
		d.neighbors[act.Neighbor.Addr] = &planeNeighbor{act.Neighbor.LinkAddr, tell}
	case DropNeighborView:
		delete(d.neighbors, act.Addr)
	case Release:
		for _, p := range packets(act.Packets) {
			p.to = act.LinkAddr
		}
	case Resend:
		d.resend = append(d.resend, packets(act.Packets)...)
	case Unreachable:
		for _, p := range packets(act.Packets) {
			p.lost = true
		}
	case Discard:
		for _, p := range packets(act.Packets) {
			p.lost = true
		}
	case WatchProgress:
		d.progress = act.Generation
	}
}

// sends sends a packet and returns it.
func (n *node) sends(src, dst netip.Addr, flow uint32) *packet {
	p := &packet{src: src, dst: dst, flow: flow}
	n.forward(p)
	return p
}

func (n *node) forward(p *packet) {
	hop, ok := n.published.NextHop(p.src.As16(), p.dst.As16(), p.flow)
	if !ok {
		p.refused = true
		return
	}
	if hop.HasSkipped {
		n.step(RouterSkipped{p.src, p.dst, p.flow})
	}
	next := netip.AddrFrom16(hop.Addr)
	to, known := n.plane.neighbors[next]
	if !known {
		n.step(Output{NextHop: next, Src: p.src, Dst: p.dst, Flow: p.flow, Packet: p})
		n.resendAll()
		return
	}
	p.to = to.linkAddr
	if to.tell {
		to.tell = false
		n.step(NeighborUsed{next})
	}
}

// resendAll sends what the Core gave back for another next hop.
func (n *node) resendAll() {
	for len(n.plane.resend) > 0 {
		p := n.plane.resend[0]
		n.plane.resend = n.plane.resend[1:]
		n.forward(p)
	}
}
