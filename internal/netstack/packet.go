package netstack

import (
	"hash/maphash"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/tapstack/tapstack/nd"
)

// Packet is an IPv6 packet on its way out, with room for an Ethernet header in
// front. One goroutine uses it at a time.
type Packet stack.PacketBuffer

func (p *Packet) buffer() *stack.PacketBuffer { return (*stack.PacketBuffer)(p) }

// headers are the IPv6 header and those that gVisor put after it. They lie in
// the packet's first piece.
func (p *Packet) headers() []byte {
	views, skip := p.buffer().AsViewList()
	b := views.Front().AsSlice()[skip:]
	return b[len(p.buffer().LinkHeader().Slice()):]
}

// Src is the source address.
func (p *Packet) Src() [16]byte { return [16]byte(p.headers()[8:24]) }

// Dst is the destination address.
func (p *Packet) Dst() [16]byte { return [16]byte(p.headers()[24:40]) }

// NextHeader is the Next Header field of the IPv6 header.
func (p *Packet) NextHeader() uint8 { return p.headers()[6] }

// Flow is a keyed hash of the packet's flow: addresses, protocol and ports, or
// addresses and protocol for a fragment.
func (p *Packet) Flow() uint32 { return p.buffer().Hash }

// Len is the number of octets of the packet, the Ethernet header included once
// it was pushed.
func (p *Packet) Len() int { return p.buffer().Size() }

// AppendSlices appends the packet to dst in pieces, the Ethernet header first
// once it was pushed. The pieces are the packet's memory.
func (p *Packet) AppendSlices(dst [][]byte) [][]byte {
	views, skip := p.buffer().AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		dst = append(dst, b[skip:])
		skip = 0
	}
	return dst
}

// PushEthernet puts an Ethernet header in front of the packet, in place. A
// second call overwrites it.
func (p *Packet) PushEthernet(dst, src nd.LinkAddr) {
	h := p.buffer().LinkHeader()
	b := h.Slice()
	if len(b) == 0 {
		b = h.Push(ethernetSize)
	}
	copy(b[0:6], dst[:])
	copy(b[6:12], src[:])
	be.PutUint16(b[12:14], uint16(header.IPv6ProtocolNumber))
}

// Offload is what is left to do for a packet, as the virtio-net header says
// it.
type Offload struct {
	// NeedsChecksum: the transport checksum holds the pseudo-header's sum
	// only. It is to be completed over all from ChecksumStart on, at
	// ChecksumStart+ChecksumOffset. ChecksumStart counts from the start of the
	// Ethernet frame, whether or not its header was pushed already.
	NeedsChecksum                 bool
	ChecksumStart, ChecksumOffset uint16
	// SegmentSize, if not 0, is the payload of each of the TCP segments that
	// the packet is to be cut into, after HeaderLen octets of Ethernet, IPv6
	// and TCP header.
	SegmentSize, HeaderLen uint16
}

// Offload says what is left to do for the packet.
func (p *Packet) Offload() Offload {
	pkt := p.buffer()
	gso := &pkt.GSOOptions
	if gso.Type != stack.GSOTCPv6 || !gso.NeedsCsum {
		return Offload{}
	}
	start := ethernetSize + len(pkt.NetworkHeader().Slice())
	o := Offload{
		NeedsChecksum:  true,
		ChecksumStart:  uint16(start),
		ChecksumOffset: gso.CsumOffset,
		HeaderLen:      uint16(start + len(pkt.TransportHeader().Slice())),
	}
	if pkt.Data().Size() > int(gso.MSS) {
		o.SegmentSize = gso.MSS
	}
	return o
}

// Keep returns a packet with the same contents that the caller owns, and is to
// Release. Nothing is copied.
func (p *Packet) Keep() *Packet { return (*Packet)(p.buffer().Clone()) }

// Release gives up a packet that Keep returned.
func (p *Packet) Release() { p.buffer().DecRef() }

// output is where every packet of gVisor and of this package leaves.
func (h *Host) output(p *Packet) tcpip.Error {
	headers := p.headers()
	switch headers[6] {
	case protoTCP:
		h.watchWindow(p, headers[ipv6Size:])
	case protoUDP:
	default:
		if sendsControl(p) {
			// Neighbor Discovery and MLD are the caller's alone.
			h.counters.outControl.Add(1)
			return nil
		}
	}
	flow := h.flowHash(headers)
	p.buffer().Hash = flow
	if !h.cfg.NoFlowLabel {
		be.PutUint32(headers, be.Uint32(headers)&^0xfffff|flow&0xfffff)
	}
	if !h.out.enter() {
		return &tcpip.ErrNoNet{}
	}
	err := h.cfg.Output(p)
	h.out.leave()
	if err == nil {
		return nil
	}
	errno := errnoFrom(err)
	h.outputFailed(p, errno)
	return tcpipError(errno)
}

// flowHash is a keyed hash of what a flow is (RFC 6437, section 3): the
// addresses, the protocol and, if they are known, the ports.
func (h *Host) flowHash(headers []byte) uint32 {
	var key [37]byte
	copy(key[0:32], headers[8:40])
	key[32] = headers[6]
	if key[32] == protoTCP || key[32] == protoUDP {
		copy(key[33:37], headers[ipv6Size:])
	}
	sum := maphash.Bytes(h.hashSeed, key[:])
	return uint32(sum ^ sum>>32)
}

// sendsControl reports whether p is a Neighbor Discovery or MLD message.
func sendsControl(p *Packet) bool {
	transport := p.buffer().TransportHeader().Slice()
	return p.buffer().TransportProtocolNumber == header.ICMPv6ProtocolNumber && len(transport) > 0 &&
		icmpKind(transport[0]) != Data
}
