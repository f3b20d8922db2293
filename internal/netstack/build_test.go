package netstack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// ip builds an IPv6 packet out of the octets behind the header.
func ip(src, dst netip.Addr, hopLimit, next uint8, payload ...[]byte) []byte {
	p := make([]byte, ipv6Size)
	for _, b := range payload {
		p = append(p, b...)
	}
	putIPv6(p, src.As16(), dst.As16(), next)
	p[7] = hopLimit
	return p
}

// sum computes the checksum of an upper-layer message.
func sum(src, dst netip.Addr, proto uint8, message []byte) uint16 {
	pseudo := header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(proto), tcpip.AddrFrom16(src.As16()),
		tcpip.AddrFrom16(dst.As16()), uint16(len(message)))
	return ^checksum.Checksum(message, pseudo)
}

// icmpMessage builds an ICMPv6 message.
func icmpMessage(src, dst netip.Addr, icmpType, code uint8, word uint32, body []byte) []byte {
	m := append(make([]byte, 8), body...)
	m[0], m[1] = icmpType, code
	be.PutUint32(m[4:], word)
	be.PutUint16(m[2:], sum(src, dst, protoICMPv6, m))
	return m
}

// icmpPacket builds an ICMPv6 packet.
func icmpPacket(src, dst netip.Addr, icmpType, code uint8, word uint32, body []byte) []byte {
	return ip(src, dst, 64, protoICMPv6, icmpMessage(src, dst, icmpType, code, word, body))
}

// udpMessage builds a UDP datagram with its header.
func udpMessage(src, dst netip.AddrPort, data []byte) []byte {
	m := append(make([]byte, 8), data...)
	be.PutUint16(m[0:], src.Port())
	be.PutUint16(m[2:], dst.Port())
	be.PutUint16(m[4:], uint16(len(m)))
	be.PutUint16(m[6:], sum(src.Addr(), dst.Addr(), protoUDP, m))
	return m
}

// neighborSolicit builds a Neighbor Solicitation for target.
func neighborSolicit(src, dst, target netip.Addr) []byte {
	t := target.As16()
	slla := []byte{1, 1, 2, 0, 0, 0, 0, 9}
	return icmpMessage(src, dst, 135, 0, 0, append(t[:], slla...))
}

// options builds a Hop-by-Hop or Destination Options header of the least size
// that holds opts.
func options(next uint8, opts ...byte) []byte {
	h := append([]byte{next, 0}, opts...)
	switch pad := -len(h) & 7; pad {
	case 0:
	case 1:
		h = append(h, 0)
	default:
		h = append(h, 1, byte(pad-2))
		h = append(h, make([]byte, pad-2)...)
	}
	h[1] = byte(len(h)/8 - 1)
	return h
}

// routingHeader builds a Routing header of type 0 without addresses.
func routingHeader(next, segmentsLeft uint8) []byte {
	return []byte{next, 0, 0, segmentsLeft, 0, 0, 0, 0}
}

// fragmentHeader builds a Fragment header; offset is in octets.
func fragmentHeader(next uint8, offset uint16, more bool, id uint32) []byte {
	h := []byte{next, 0, 0, 0, 0, 0, 0, 0}
	if more {
		offset |= 1
	}
	be.PutUint16(h[2:], offset)
	be.PutUint32(h[4:], id)
	return h
}
