package netstack

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/waiter"
)

// This file is about proofs that the packets of a connection reach its peer:
// "the receipt of a (new) acknowledgment", "the arrival of new (non-duplicate)
// data" (RFC 4861, section 7.3.1), and the end of the handshake.
//
// gVisor notifies of data that it took in order, and of data that was
// acknowledged only if that makes room in a send buffer that was half full. So
// while somebody wants to know, acknowledgments without data are looked at
// here: one proves something if it is for data that left since, and has
// the sequence number that the connection expects. Who does not see the
// connection has both numbers to guess.

// progress is what a connection knows of who wants to hear.
type progress struct {
	told atomic.Uint32 // the generation that was told
	// since is the generation and, below, the first sequence number that left
	// in it. expected is the one that came next from the peer at that time.
	since    atomic.Uint64
	expected atomic.Uint32
	// local counts the calls in which gVisor notifies of what the user did.
	local atomic.Int32
}

// WantProgress says that somebody wants to know which peers are reached: for
// each TCP connection with a proof from now on, Config.Progress is called once.
// A call with another generation asks anew. With 0, as at first, nobody wants
// to know, and it costs next to nothing.
func (h *Host) WantProgress(generation uint32) { h.wantProgress.Store(generation) }

// wanted returns the generation that is still to be told of c, or 0.
func (c *TCPConn) wanted() uint32 {
	want := c.host.wantProgress.Load()
	if want == 0 || c.progress.told.Load() == want {
		return 0
	}
	return want
}

// reached tells that the peer is.
func (c *TCPConn) reached() {
	want := c.wanted()
	if want != 0 && c.host.cfg.Progress != nil && c.progress.told.Swap(want) != want {
		c.host.cfg.Progress(c.key.local, c.key.remote, c.host.flowOfKey(&c.key))
	}
}

// noteEvents takes in events of gVisor.
func (c *TCPConn) noteEvents(mask waiter.EventMask) {
	const proof, end = waiter.EventIn | waiter.EventOut, waiter.EventHUp | waiter.EventErr | waiter.EventRdHUp
	if mask&proof != 0 && mask&end == 0 && c.progress.local.Load() == 0 {
		c.reached()
	}
}

// quietly calls gVisor for the user, which is no proof of anything.
func (c *TCPConn) quietly(call func()) {
	c.progress.local.Add(1)
	defer c.progress.local.Add(-1)
	call()
}

// noteData notes that a segment with data leaves.
func (c *TCPConn) noteData(segment header.TCP) {
	want := c.wanted()
	if want == 0 || uint32(c.progress.since.Load()>>32) == want {
		return
	}
	c.progress.expected.Store(segment.AckNumber())
	c.progress.since.Store(uint64(want)<<32 | uint64(segment.SequenceNumber()))
}

// noteACK looks at packet, a TCP segment without extension headers of which the
// first part is given.
func (h *Host) noteACK(packet []byte, checksumValid bool) {
	end := ipv6Size + int(be.Uint16(packet[4:6]))
	if len(packet) < ipv6Size+header.TCPMinimumSize || len(packet) < end {
		return
	}
	segment := header.TCP(packet[ipv6Size:end])
	if segment.Flags() != header.TCPFlagAck || int(segment.DataOffset()) != len(segment) {
		return
	}
	c := h.conns.receiver(h, packet)
	if c == nil {
		return
	}
	want, since, sent := c.wanted(), c.progress.since.Load(), uint32(c.sent.Load()>>32)
	acked := segment.AckNumber()
	if want == 0 || uint32(since>>32) != want || segment.SequenceNumber() != c.progress.expected.Load() ||
		int32(acked-uint32(since)) <= 0 || int32(sent-acked) < 0 {
		return
	}
	if checksumValid || checksum.Combine(tcpPseudoSum(packet, len(segment)), checksum.Checksum(segment, 0)) == 0xffff {
		c.reached()
	}
}

// tcpPseudoSum is the sum of the pseudo-header of a TCP segment of size octets.
func tcpPseudoSum(packet []byte, size int) uint16 {
	ip := header.IPv6(packet)
	return header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(size))
}
