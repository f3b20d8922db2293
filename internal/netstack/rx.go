package netstack

import (
	"bytes"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// firstPiece is the room for the first part of a frame: all of one that fits
// the usual MTU, and all headers of nearly every other. What is longer goes on
// in a second piece. gVisor pays for each piece of a packet several times, so
// there are no more.
const firstPiece = 2048

// RxBuffer is room for one Ethernet frame at a time, which a link reads into
// and gVisor then keeps, so that nothing is copied but what is small. One
// goroutine uses it at a time.
type RxBuffer struct {
	host    *Host
	sizes   []int // of the pieces
	views   []*buffer.View
	pieces  [][]byte
	scratch []byte
	joined  *Coalescer // or nil
}

// NewRxBuffer makes room for frames of the largest size that the host can
// meet: of Config.MTU, or with GSOMaxSize of the largest IPv6 packet.
func (h *Host) NewRxBuffer() *RxBuffer {
	room := ethernetSize + maxPacket
	if h.cfg.GSOMaxSize == 0 {
		room = ethernetSize + h.cfg.MTU
	}
	b := &RxBuffer{host: h, sizes: []int{firstPiece}}
	if room > firstPiece {
		b.sizes = append(b.sizes, room-firstPiece)
	}
	b.views = make([]*buffer.View, len(b.sizes))
	b.pieces = make([][]byte, len(b.sizes))
	return b
}

// CoalesceBy has TCP segments that Deliver hands up joined by g, which is to be
// flushed when all that was read is delivered.
func (b *RxBuffer) CoalesceBy(g *Coalescer) { b.joined = g }

// Pieces returns the room for one frame, to be filled in order. After Deliver
// it is to be asked for again.
func (b *RxBuffer) Pieces() [][]byte {
	for i, v := range b.views {
		if v == nil {
			v = buffer.NewViewSize(b.sizes[i])
			b.views[i], b.pieces[i] = v, v.AsSlice()
		}
	}
	return b.pieces
}

// Frame returns the frame of n octets that was read, in one piece. It is valid
// until the next read.
func (b *RxBuffer) Frame(n int) []byte {
	if n <= len(b.pieces[0]) {
		return b.pieces[0][:n]
	}
	b.scratch = b.scratch[:0]
	for _, p := range b.pieces {
		p = p[:min(len(p), n-len(b.scratch))]
		b.scratch = append(b.scratch, p...)
	}
	return b.scratch
}

// Kind is Classify of the packet in the frame of n octets that was read, which
// has an Ethernet header and is IPv6.
func (b *RxBuffer) Kind(n int) Kind {
	_, _, kind := b.classify(n)
	return kind
}

// classify returns the kind, the walk and, in one piece, the packet or as much
// of it as the walk needed. The walk is zero for the most frequent packets, TCP
// and UDP without extension headers.
func (b *RxBuffer) classify(n int) (packet []byte, w walk, kind Kind) {
	if n < ethernetSize+ipv6Size {
		return nil, w, Drop
	}
	head, total := b.pieces[0][ethernetSize:min(n, len(b.pieces[0]))], n-ethernetSize
	if impossible(head) {
		return head, w, Drop
	}
	if head[0]>>4 == 6 && (head[6] == protoTCP || head[6] == protoUDP) {
		return head, w, Data
	}
	w, ok := parse(head, total)
	if w.short {
		head = b.Frame(n)[ethernetSize:]
		w, ok = parse(head, total)
	}
	if !ok {
		return head, w, Drop
	}
	return head, w, w.kind(head)
}

// Deliver hands up the IPv6 packet in the frame of n octets that was read. What
// Classify does not call Data is dropped and counted. checksumValid says that
// the link vouches for the transport checksum: it has verified it, or the
// packet comes from the same machine with a partial one.
func (b *RxBuffer) Deliver(n int, checksumValid bool) {
	h := b.host
	packet, w, kind := b.classify(n)
	if w.needsAll() {
		packet = b.Frame(n)[ethernetSize:]
	}
	if b.pieces[0][0]&1 != 0 && (kind == Data || w.incomplete) && packet[24] != 0xff {
		h.groupFrames.note(h, packet)
	}
	if !h.admit(packet, w, kind) || !h.prepare(packet, checksumValid) {
		return
	}
	if b.joined != nil && packet[6] == protoTCP {
		if n <= firstPiece {
			b.joined.add(b, n, checksumValid)
			return
		}
		b.joined.flushFlow(packet)
	}
	payload := b.take(n)
	payload.TrimFront(ethernetSize)
	h.deliver(payload, checksumValid && !w.fragmented)
}

// take moves the first n octets out of the room. What fills less than half of
// its piece is copied, so that packets that wait to be read occupy no more than
// about twice their size.
func (b *RxBuffer) take(n int) buffer.Buffer {
	var taken buffer.Buffer
	for i := 0; n > 0; i++ {
		v, used := b.views[i], min(n, b.sizes[i])
		if used <= b.sizes[i]/2 {
			v = buffer.NewViewWithData(b.pieces[i][:used])
		} else {
			v.CapLength(used)
			b.views[i], b.pieces[i] = nil, nil
		}
		taken.Append(v)
		n -= used
	}
	return taken
}

// Release gives the memory back. The buffer is not used any more.
func (b *RxBuffer) Release() {
	for i, v := range b.views {
		if v != nil {
			v.Release()
		}
		b.views[i], b.pieces[i] = nil, nil
	}
}

// DeliverBytes hands up one IPv6 packet, which is copied, as RxBuffer.Deliver
// does.
func (h *Host) DeliverBytes(packet []byte) {
	kind := Drop
	var w walk
	if len(packet) >= ipv6Size && !impossible(packet) {
		var ok bool
		if w, ok = parse(packet, len(packet)); ok {
			kind = w.kind(packet)
		}
	}
	if !h.admit(packet, w, kind) {
		return
	}
	packet = bytes.Clone(packet)
	if h.prepare(packet, false) {
		h.deliver(buffer.MakeWithData(packet), false)
	}
}

// prepare does what gVisor's TCP and UDP fail to do, if packet, of which at
// least the first part is given, is such a case. It reports whether the packet
// goes on.
func (h *Host) prepare(packet []byte, checksumValid bool) bool {
	switch packet[6] {
	case protoTCP:
		if h.closedWindows.Load() > 0 {
			h.allowACK(packet)
		}
		if h.wantProgress.Load() != 0 {
			h.noteACK(packet, checksumValid)
		}
	case protoUDP:
		if be.Uint16(packet[4:6]) < smallDatagram && !h.roomFor(packet) {
			h.counters.inQueueFull.Add(1)
			return false
		}
	}
	return true
}

// deliver hands a packet to gVisor. It does not go by way of gVisor's NIC,
// which would overwrite RXChecksumValidated with what holds for the whole
// link.
func (h *Host) deliver(payload buffer.Buffer, checksumValid bool) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
	pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
	pkt.RXChecksumValidated = checksumValid
	h.network.HandlePacket(pkt)
	pkt.DecRef()
}
