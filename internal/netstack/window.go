package netstack

import (
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// This file makes good a fault of gVisor's TCP that stops two hosts that both
// send as fast as they can, for good.
//
// The right edge of the window that gVisor offers moves back by what window
// scaling rounds away. A peer that has filled the window to the old edge goes
// on with that sequence number in its acknowledgments, and gVisor, whose window
// is now zero, throws them away. If the user does not read before he has
// written, as an echo server does, nothing moves again. But RFC 9293, section
// 3.10.7.4, says: "If the RCV.WND is zero, no segments will be acceptable, but
// special allowance should be made to accept valid ACKs, URGs, and RSTs."
//
// So while a connection offers no window, the sequence number of a bare
// acknowledgment that is ahead by less than the rounding is set to the one that
// gVisor expects. It says nothing else.

// maxRounding is more than the largest window scale, 14, can round away.
const maxRounding = 1 << 14

// windowClosed is set in TCPConn.closedWindow, above the acknowledgment number.
const windowClosed = 1 << 32

// watchWindow notes whether the connection of p, a TCP segment on its way out,
// offers a window. As long as all connections do it costs next to nothing.
func (h *Host) watchWindow(p *Packet, segment header.TCP) {
	const special = header.TCPFlagSyn | header.TCPFlagRst
	offers := segment.WindowSize() > 0
	if offers && h.closedWindows.Load() == 0 || segment.Flags()&special != 0 {
		return
	}
	key, ok := flowOfPacket(p)
	c, isConn := h.flowOwner(key, ok).(*TCPConn)
	switch {
	case !isConn:
	case offers:
		c.windowOpened()
	default:
		if c.closedWindow.Swap(windowClosed|uint64(segment.AckNumber())) == 0 {
			h.closedWindows.Add(1)
		}
		if h.flowOwner(key, true) != c {
			c.windowOpened() // it ended meanwhile
		}
	}
}

// windowOpened notes that the connection offers a window, or has ended.
func (c *TCPConn) windowOpened() {
	if c.closedWindow.Swap(0) != 0 {
		c.host.closedWindows.Add(-1)
	}
}

// allowACK changes the sequence number of packet, a TCP segment without
// extension headers of which the first part is given, if that is needed for
// gVisor to see its acknowledgment.
func (h *Host) allowACK(packet []byte) {
	end := ipv6Size + int(be.Uint16(packet[4:6]))
	if len(packet) < ipv6Size+header.TCPMinimumSize {
		return
	}
	segment := header.TCP(packet[ipv6Size:])
	if segment.Flags() != header.TCPFlagAck || int(segment.DataOffset()) != end-ipv6Size {
		return
	}
	c, ok := h.flowOwner(flowKey{
		local: [16]byte(packet[24:40]), localPort: segment.DestinationPort(),
		remote: [16]byte(packet[8:24]), remotePort: segment.SourcePort(),
		proto: protoTCP,
	}, true).(*TCPConn)
	if !ok {
		return
	}
	state := c.closedWindow.Load()
	expected, got := uint32(state), segment.SequenceNumber()
	if state&windowClosed == 0 || got-expected == 0 || got-expected >= maxRounding {
		return
	}
	// RFC 1624, section 3, equation 3.
	sum := ^segment.Checksum()
	for _, shift := range []uint{16, 0} {
		sum = checksum.Combine(sum, ^uint16(got>>shift))
		sum = checksum.Combine(sum, uint16(expected>>shift))
	}
	segment.SetChecksum(^sum)
	segment.SetSequenceNumber(expected)
	h.counters.inACKsAllowed.Add(1)
}
