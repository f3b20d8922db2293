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

// head copies the first part of the packet, without Ethernet header, into b and
// returns its length.
func (p *Packet) head(b []byte) (n int) {
	var pieces [8][]byte
	skip := len(p.buffer().LinkHeader().Slice())
	for _, piece := range p.AppendSlices(pieces[:0]) {
		cut := min(skip, len(piece))
		skip -= cut
		n += copy(b[n:], piece[cut:])
	}
	return n
}

// output is where every packet of gVisor and of this package leaves.
func (h *Host) output(p *Packet) tcpip.Error {
	headers := p.headers()
	flow := h.flowOf(p, headers)
	switch headers[6] {
	case protoTCP:
		h.watchWindow(p, headers[ipv6Size:])
		h.watchSequence(p, headers, flow)
	case protoUDP:
	default:
		if h.withholds(p) {
			return nil
		}
		if p.Len() > minMTU {
			h.echoes.note(h, p)
		}
	}
	p.buffer().Hash = flow
	if !h.cfg.NoFlowLabel {
		be.PutUint32(headers, be.Uint32(headers)&^0xfffff|flow&0xfffff)
	}
	if mtu, ok := h.exceedsPath(p, headers); ok {
		return h.fitPath(p, headers, mtu)
	}
	return h.emit(p)
}

// emit hands p to Config.Output.
func (h *Host) emit(p *Packet) tcpip.Error {
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

// flowOf is the flow of a packet that has headers.
func (h *Host) flowOf(p *Packet, headers []byte) uint32 {
	var ports [4]byte
	proto := headers[6]
	switch proto {
	case protoTCP, protoUDP:
		ports = [4]byte(headers[ipv6Size:])
	case fragment:
		if flow := p.buffer().Mark; flow != 0 {
			return flow // see UDPConn.markFlow
		}
		proto = headers[ipv6Size]
	}
	return h.flowHash([32]byte(headers[8:40]), proto, ports)
}

// flowOfKey is the flow of the packets that leave for key.
func (h *Host) flowOfKey(key *flowKey) uint32 {
	var ends [32]byte
	copy(ends[0:16], key.local[:])
	copy(ends[16:32], key.remote[:])
	var ports [4]byte
	be.PutUint16(ports[0:], key.localPort)
	be.PutUint16(ports[2:], key.remotePort)
	return h.flowHash(ends, key.proto, ports)
}

// flowHash is a keyed hash of what a flow is (RFC 6437, section 3): the
// addresses, the protocol and, if it has them, the ports. As it depends on
// nothing else, a flow has one label as long as it lives.
func (h *Host) flowHash(ends [32]byte, proto uint8, ports [4]byte) uint32 {
	var key [37]byte
	copy(key[0:32], ends[:])
	key[32] = proto
	copy(key[33:37], ports[:])
	sum := maphash.Bytes(h.hashSeed, key[:])
	return uint32(sum ^ sum>>32)
}

// withholds reports whether p, which is neither TCP nor UDP, is not to leave.
func (h *Host) withholds(p *Packet) bool {
	transport := p.buffer().TransportHeader().Slice()
	if p.buffer().TransportProtocolNumber != header.ICMPv6ProtocolNumber || len(transport) == 0 {
		return false
	}
	switch icmpType := transport[0]; {
	case icmpKind(icmpType) != Data:
		// Neighbor Discovery and MLD are the caller's alone.
		h.counters.outControl.Add(1)
	case icmpType == typeUnreachable && h.cfg.NoUnreachables,
		icmpType < typeEchoRequest && h.groupFrames.quotedIn(h, p):
		h.counters.outErrorsWithheld.Add(1)
	default:
		return false
	}
	return true
}
