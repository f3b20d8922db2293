package netstack

import (
	"bytes"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// maxHeld is how many flows are held at once. The batches of a reader are
	// short, so there are rarely more in one.
	maxHeld = 8
	// tailSize is how much room the segments that join another get at once.
	tailSize = 8 << 10
	// maxPayload is the largest Payload Length of an IPv6 header.
	maxPayload = 1<<16 - 1
)

// Coalescer makes one segment of TCP segments that follow each other, so that
// gVisor handles them, and acknowledges them, at once. Only what was read
// together is joined: Flush ends it, and nothing waits longer.
//
// A segment joins another if the two differ in nothing but sequence number,
// checksum, PSH and data, which must follow on the other's; a segment with PSH
// or with less data than the first is the last to join. Everything else is
// handed up unchanged, after what is held of its flow. One goroutine uses a
// Coalescer at a time.
type Coalescer struct {
	deliver func(packet buffer.Buffer, checksumValid bool)
	held    []*heldSegment // oldest first
	spare   []*heldSegment
}

// heldSegment is a segment that others may join.
type heldSegment struct {
	head   []byte        // the packet as it came, which is the start of packet
	packet buffer.Buffer // without tail
	tail   *buffer.View  // data that joined, or nil
	data   int           // offset of the data
	next   uint32        // the sequence number that may join
	size   int           // of the data of the first segment
	length int           // Payload Length of the whole
}

// NewCoalescer makes a Coalescer for buffers of this host.
func (h *Host) NewCoalescer() *Coalescer { return &Coalescer{deliver: h.deliver} }

// add takes the IPv6 packet in the frame of n octets that was read into b: TCP
// without extension headers. It is held, joined or handed up.
func (g *Coalescer) add(b *RxBuffer, n int, checksumValid bool) {
	packet := b.pieces[0][ethernetSize:min(n, len(b.pieces[0]))]
	end := ipv6Size + int(be.Uint16(packet[4:6]))
	whole := end <= len(packet) && end >= ipv6Size+header.TCPMinimumSize
	k := g.find(packet)
	if whole {
		packet = packet[:end]
	}
	if k >= 0 && whole && g.held[k].precedes(packet) && (checksumValid || tcpSumIsValid(packet)) {
		if g.held[k].join(packet) {
			g.flush(k)
		}
		return
	}
	if k >= 0 {
		g.flush(k)
	}
	taken := b.take(n)
	taken.TrimFront(ethernetSize)
	if !whole || !mayBegin(packet) || !checksumValid && !tcpSumIsValid(packet) {
		g.deliver(taken, checksumValid)
		return
	}
	taken.Truncate(int64(end))
	g.hold(taken)
}

// mayBegin reports whether others may join the segment in packet.
func mayBegin(packet []byte) bool {
	segment := header.TCP(packet[ipv6Size:])
	data := int(segment.DataOffset())
	return segment.Flags() == header.TCPFlagAck && data >= header.TCPMinimumSize && data < len(segment)
}

// tcpSumIsValid verifies the checksum of a segment that is a whole packet.
func tcpSumIsValid(packet []byte) bool {
	segment := packet[ipv6Size:]
	return checksum.Combine(tcpPseudoSum(packet, len(segment)), checksum.Checksum(segment, 0)) == 0xffff
}

// hold keeps a segment for others to join.
func (g *Coalescer) hold(packet buffer.Buffer) {
	if len(g.held) == maxHeld {
		g.flush(0)
	}
	s := new(heldSegment)
	if last := len(g.spare) - 1; last >= 0 {
		s, g.spare = g.spare[last], g.spare[:last]
	}
	view, _ := packet.PullUp(0, int(packet.Size()))
	head := view.AsSlice()
	segment := header.TCP(head[ipv6Size:])
	*s = heldSegment{head: head, packet: packet, data: ipv6Size + int(segment.DataOffset()), length: len(segment)}
	s.size = len(head) - s.data
	s.next = segment.SequenceNumber() + uint32(s.size)
	g.held = append(g.held, s)
}

// find returns what is held of the flow of packet, which has an IPv6 header, or
// -1.
func (g *Coalescer) find(packet []byte) int {
	const source, portsEnd = 8, ipv6Size + 4
	for k, s := range g.held {
		if len(packet) >= portsEnd && bytes.Equal(packet[source:portsEnd], s.head[source:portsEnd]) {
			return k
		}
	}
	return -1
}

// precedes reports whether packet, a whole TCP packet of the same flow, may
// join.
func (s *heldSegment) precedes(packet []byte) bool {
	if len(packet) <= s.data {
		return false
	}
	const hopLimit = 7
	mine, segment := header.TCP(s.head[ipv6Size:]), header.TCP(packet[ipv6Size:])
	size := len(packet) - s.data
	return bytes.Equal(packet[:4], s.head[:4]) && packet[hopLimit] == s.head[hopLimit] && // traffic class with ECN, flow label
		segment.SequenceNumber() == s.next && segment.AckNumber() == mine.AckNumber() &&
		segment[header.TCPDataOffset] == mine[header.TCPDataOffset] &&
		segment.Flags()&^header.TCPFlagPsh == header.TCPFlagAck &&
		segment.WindowSize() == mine.WindowSize() &&
		bytes.Equal(packet[ipv6Size+header.TCPMinimumSize:s.data], s.head[ipv6Size+header.TCPMinimumSize:s.data]) &&
		size <= s.size
}

// join appends the data of packet, and reports whether nothing more may join.
func (s *heldSegment) join(packet []byte) (last bool) {
	data := packet[s.data:]
	for rest := data; len(rest) > 0; {
		if s.tail == nil {
			s.tail = buffer.NewView(tailSize)
		}
		k := min(len(rest), s.tail.AvailableSize())
		s.tail.Write(rest[:k])
		rest = rest[k:]
		if s.tail.Full() {
			s.packet.Append(s.tail)
			s.tail = nil
		}
	}
	s.next += uint32(len(data))
	s.length += len(data)
	mine, flags := header.TCP(s.head[ipv6Size:]), header.TCP(packet[ipv6Size:]).Flags()
	mine.SetFlags(uint8(mine.Flags() | flags))
	return len(data) < s.size || flags&header.TCPFlagPsh != 0 || s.length+s.size > maxPayload
}

// flush hands up what is held at k.
func (g *Coalescer) flush(k int) {
	s := g.held[k]
	g.held = append(g.held[:k], g.held[k+1:]...)
	be.PutUint16(s.head[4:6], uint16(s.length))
	if s.tail != nil {
		s.packet.Append(s.tail)
	}
	packet := s.packet
	*s = heldSegment{}
	g.spare = append(g.spare, s)
	g.deliver(packet, true)
}

// flushFlow hands up what is held of the flow of packet, which has an IPv6
// header.
func (g *Coalescer) flushFlow(packet []byte) {
	if k := g.find(packet); k >= 0 {
		g.flush(k)
	}
}

// Flush hands up all that is held.
func (g *Coalescer) Flush() {
	for len(g.held) > 0 {
		g.flush(0)
	}
}
