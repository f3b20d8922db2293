package netstack

import (
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	icmpHeaderSize = header.ICMPv6ErrorHeaderSize
	// maxQuote is how much of an offending packet fits into an error of the
	// minimum MTU (RFC 4443, section 2.4 (c)).
	maxQuote = minMTU - ipv6Size - icmpHeaderSize

	codeUnknownOption   = 2
	codeIncompleteChain = 3
)

// needsAll reports whether admit looks behind the headers.
func (w *walk) needsAll() bool {
	return w.proto == protoICMPv6 && w.offset > 0 && !w.later || w.incomplete || w.unknown > 0
}

// admit decides whether a received packet goes on to gVisor, and does what
// gVisor does not do, or not well enough. packet is all of it if w.needsAll.
func (h *Host) admit(packet []byte, w walk, kind Kind) bool {
	switch {
	case kind == ND || kind == MLD:
		h.counters.inControl.Add(1)
		return false
	case w.incomplete:
		h.counters.inIncomplete.Add(1)
		// RFC 8200, section 4.5: "That fragment should be discarded and an
		// ICMP Parameter Problem, Code 3, message should be sent to the
		// source of the fragment, with the Pointer field set to zero."
		h.sendError(packet, w, typeParamProblem, codeIncompleteChain, 0)
		return false
	case kind == Drop:
		h.counters.inDiscards.Add(1)
		return false
	case w.unknown > 0 && packet[24] == 0xff:
		// RFC 8200, section 4.2, action 10: also for a packet to a group. gVisor
		// finds no source address for it.
		h.sendError(packet, w, typeParamProblem, codeUnknownOption, uint32(w.unknown))
		return false
	case w.proto != protoICMPv6 || w.offset == 0 || w.offset == w.end || w.later || w.fragmented || w.refused:
		return true
	}
	switch icmpType := packet[w.offset]; {
	case icmpType < typeEchoRequest:
		h.receiveError(packet, w)
		return false
	case icmpType == typeEchoRequest && packet[24] == 0xff:
		h.answerGroupEcho(packet, w)
		return false
	}
	return true
}

// receiveError takes an ICMPv6 error to the socket that it is for. gVisor does
// not see it.
func (h *Host) receiveError(packet []byte, w walk) {
	message, local := packet[w.offset:w.end], [16]byte(packet[24:40])
	if len(message) < icmpHeaderSize || !validChecksum(packet, message) || !h.HasAddress(local) {
		h.counters.inBadErrors.Add(1)
		return
	}
	icmpType, code := message[0], message[1]
	if icmpType == typeTooBig {
		h.receiveTooBig(local, message)
		return
	}
	key, ok := flowOfQuote(message[icmpHeaderSize:])
	// An error goes to the source of the packet that it is about.
	owner := h.flowOwner(key, ok && key.local == local)
	if owner == nil {
		h.counters.inBadErrors.Add(1)
		return
	}
	h.counters.inErrors.Add(1)
	switch icmpType {
	case typeUnreachable:
		errno, known := unreachableErrno(code)
		owner.fail(key, errno, known)
	case typeTimeExceeded:
		owner.fail(key, syscall.EHOSTUNREACH, false)
	case typeParamProblem:
		// RFC 9293, section 3.9.2.2: for TCP a soft error.
		owner.fail(key, syscall.EPROTO, key.proto != protoTCP)
	default:
		// RFC 4443, section 2.4 (a): "If an ICMPv6 error message of unknown
		// type is received at its destination, it MUST be passed to the
		// upper-layer process that originated the packet that caused the error".
		owner.fail(key, syscall.EPROTO, false)
	}
}

// Unreachable says that p, a packet that Output had taken, could not be
// delivered on the link: what a Destination Unreachable message with this code
// would say (RFC 4861, section 7.2.2: code 3 when resolution fails).
func (h *Host) Unreachable(p *Packet, code uint8) {
	errno, known := unreachableErrno(code)
	key, ok := flowOfPacket(p)
	if owner := h.flowOwner(key, ok && known); owner != nil {
		owner.fail(key, errno, true)
	}
}

// outputFailed notes that Output refused p.
func (h *Host) outputFailed(p *Packet, errno syscall.Errno) {
	if errno == syscall.ENOBUFS || errno == syscall.EAGAIN || p.NextHeader() != protoTCP {
		return // a passing shortage; or a datagram, whose writer gets the error
	}
	key, ok := flowOfPacket(p)
	if owner := h.flowOwner(key, ok); owner != nil {
		owner.fail(key, errno, true)
	}
}

func (h *Host) flowOwner(key flowKey, known bool) flowOwner {
	if !known {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.flows.find(key)
}

// flowOfPacket returns the flow of a packet that this host sends.
func flowOfPacket(p *Packet) (flowKey, bool) {
	var head [128]byte
	return flowOfQuote(head[:p.head(head[:])])
}

// flowOfQuote returns the flow of a packet that this host sent, of which quote
// is the first part.
func flowOfQuote(quote []byte) (key flowKey, ok bool) {
	w, ok := parse(quote, maxPacket)
	if !ok || w.later {
		return key, false
	}
	key.proto, key.local, key.remote = w.proto, [16]byte(quote[8:24]), [16]byte(quote[24:40])
	rest := quote[w.offset:]
	switch {
	case (w.proto == protoTCP || w.proto == protoUDP) && len(rest) >= 4:
		key.localPort, key.remotePort = be.Uint16(rest[0:2]), be.Uint16(rest[2:4])
	case w.proto == protoICMPv6 && len(rest) >= 6 && rest[0] == typeEchoRequest:
		key.localPort = be.Uint16(rest[4:6])
	default:
		return key, false
	}
	return key, true
}

// answerGroupEcho answers an Echo Request to a group (RFC 4443, section 4.2),
// which gVisor cannot, because the source is chosen by Config.Source.
func (h *Host) answerGroupEcho(packet []byte, w walk) {
	message := packet[w.offset:w.end]
	src := netip.AddrFrom16([16]byte(packet[8:24]))
	if len(message) < header.ICMPv6EchoMinimumSize || message[1] != 0 || src.IsUnspecified() ||
		!h.inGroup([16]byte(packet[24:40])) || !validChecksum(packet, message) {
		return
	}
	local, err := h.source(src)
	if err != nil {
		return
	}
	h.counters.inGroupEchos.Add(1)
	class, _ := header.IPv6(packet).TOS()
	h.sendICMPv6(local, src, [4]byte{typeEchoReply, 0}, be.Uint32(message[4:8]), message[8:], class)
}

// sendError sends an ICMPv6 error about packet, unless RFC 4443, section 2.4
// (e) or the rate limit forbids it.
func (h *Host) sendError(packet []byte, w walk, icmpType, code uint8, pointer uint32) {
	src, dst := netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
	local := dst
	switch {
	case src.IsUnspecified():
		return
	case dst.IsMulticast():
		if code != codeUnknownOption || !h.inGroup(dst.As16()) {
			return
		}
		var err error
		if local, err = h.source(src); err != nil {
			return
		}
	case !h.HasAddress(dst.As16()):
		return
	}
	if w.proto == protoICMPv6 && w.offset < w.end && (packet[w.offset] < typeEchoRequest || packet[w.offset] == 137) {
		return // an error or a Redirect
	}
	if !h.stack.AllowICMPMessage() {
		h.counters.outErrorsLimited.Add(1)
		return
	}
	h.sendICMPv6(local, src, [4]byte{icmpType, code}, pointer, packet[:min(w.end, len(packet), maxQuote)], 0)
}

// sendICMPv6 sends a message: type and code, the four octets after the
// checksum, and what follows.
func (h *Host) sendICMPv6(src, dst netip.Addr, typeCode [4]byte, word uint32, body []byte, class uint8) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: ethernetSize + ipv6Size + icmpHeaderSize,
		Payload:            buffer.MakeWithData(body),
	})
	defer pkt.DecRef()
	message := pkt.TransportHeader().Push(icmpHeaderSize)
	copy(message, typeCode[:])
	be.PutUint32(message[4:8], word)
	pkt.TransportProtocolNumber = header.ICMPv6ProtocolNumber
	ip := pkt.NetworkHeader().Push(ipv6Size)
	header.IPv6(ip).Encode(&header.IPv6Fields{
		TrafficClass:      class,
		PayloadLength:     uint16(icmpHeaderSize + len(body)),
		TransportProtocol: header.ICMPv6ProtocolNumber,
		HopLimit:          h.hopLimit(),
		SrcAddr:           tcpip.AddrFrom16(src.As16()),
		DstAddr:           tcpip.AddrFrom16(dst.As16()),
	})
	pkt.NetworkProtocolNumber = ipv6.ProtocolNumber
	sum := checksum.Combine(pseudoSum(ip, icmpHeaderSize+len(body)), checksum.Checksum(message, checksum.Checksum(body, 0)))
	be.PutUint16(message[2:4], ^sum)
	h.output((*Packet)(pkt))
}

// tellMTU gives gVisor a Packet Too Big for one of its TCP connections, as if
// from the peer.
func (h *Host) tellMTU(key flowKey, mtu int) {
	const quoteSize = ipv6Size + 8
	packet := make([]byte, ipv6Size+icmpHeaderSize+quoteSize)
	putIPv6(packet, key.remote, key.local, protoICMPv6)
	message := packet[ipv6Size:]
	message[0] = typeTooBig
	be.PutUint32(message[4:8], uint32(mtu))
	quote := message[icmpHeaderSize:]
	putIPv6(quote, key.local, key.remote, protoTCP)
	be.PutUint16(quote[ipv6Size:], key.localPort)
	be.PutUint16(quote[ipv6Size+2:], key.remotePort)
	be.PutUint16(message[2:4], ^checksum.Combine(pseudoSum(packet, len(message)), checksum.Checksum(message, 0)))
	h.deliver(buffer.MakeWithData(packet), false)
}

// putIPv6 writes the IPv6 header of a packet.
func putIPv6(packet []byte, src, dst [16]byte, next uint8) {
	header.IPv6(packet).Encode(&header.IPv6Fields{
		PayloadLength:     uint16(len(packet) - ipv6Size),
		TransportProtocol: tcpip.TransportProtocolNumber(next),
		HopLimit:          255,
		SrcAddr:           tcpip.AddrFrom16(src),
		DstAddr:           tcpip.AddrFrom16(dst),
	})
}

// pseudoSum is the sum of the pseudo-header of an ICMPv6 message of size octets
// (RFC 8200, section 8.1).
func pseudoSum(packet []byte, size int) uint16 {
	ip := header.IPv6(packet)
	return header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(size))
}

// validChecksum verifies an ICMPv6 message.
func validChecksum(packet, message []byte) bool {
	return checksum.Combine(pseudoSum(packet, len(message)), checksum.Checksum(message, 0)) == 0xffff
}
