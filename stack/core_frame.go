package stack

import (
	"encoding/binary"
	"net/netip"

	"github.com/tapstack/tapstack/nd"
)

const (
	ethernetHeaderLen = 14
	ipv6HeaderLen     = 40
	etherTypeIPv6     = 0x86dd

	protocolHopByHop = 0
	protocolRouting  = 43
	protocolICMPv6   = 58
	protocolDestOpts = 60
)

// routerAlert is the Hop-by-Hop Options header of every MLD message: a Router
// Alert option of value 0 and two octets of padding (RFC 2710, section 3;
// RFC 2711, section 2.1).
var routerAlert = [8]byte{protocolICMPv6, 0, 5, 2, 0, 0, 1, 0}

// appendHeaders appends an Ethernet and an IPv6 header for payload octets.
func appendHeaders(b []byte, from, to nd.LinkAddr, src, dst netip.Addr, next, hopLimit uint8, payload int) []byte {
	b = append(b, to[:]...)
	b = append(b, from[:]...)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(payload))
	b = append(b, next, hopLimit)
	s, d := src.As16(), dst.As16()
	b = append(b, s[:]...)
	return append(b, d[:]...)
}

// setPayloadLen fills in the length of the payload of a frame that is whole.
func setPayloadLen(frame []byte) {
	binary.BigEndian.PutUint16(frame[ethernetHeaderLen+4:], uint16(len(frame)-ethernetHeaderLen-ipv6HeaderLen))
}

// control is a received packet that may be an ND or MLD message.
type control struct {
	from, to    nd.LinkAddr
	src, dst    netip.Addr
	hopLimit    uint8
	routerAlert bool
	message     []byte // the ICMPv6 message
}

// parseControl finds the ICMPv6 message in an Ethernet frame. It refuses what
// no ND or MLD machine may see: fragments, whole or atomic (RFC 6980,
// section 5), AH (no keys exist, so nothing verifies), a source route that is
// not at its end, and options that ask to be dropped when unknown.
func parseControl(frame []byte) (c control, ok bool) {
	if len(frame) < ethernetHeaderLen+ipv6HeaderLen || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv6 {
		return control{}, false
	}
	c.to, c.from = nd.LinkAddr(frame[0:6]), nd.LinkAddr(frame[6:12])
	p := frame[ethernetHeaderLen:]
	length := int(binary.BigEndian.Uint16(p[4:]))
	if p[0]>>4 != 6 || len(p) < ipv6HeaderLen+length {
		return control{}, false
	}
	c.hopLimit = p[7]
	c.src, c.dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	next, b := p[6], p[ipv6HeaderLen:ipv6HeaderLen+length]
	for first := true; next != protocolICMPv6; first = false {
		if len(b) < 8 || next == protocolHopByHop && !first {
			return control{}, false
		}
		n := 8 + 8*int(b[1])
		if len(b) < n {
			return control{}, false
		}
		switch next {
		case protocolHopByHop, protocolDestOpts:
			alert, ok := scanOptions(b[2:n])
			if !ok {
				return control{}, false
			}
			c.routerAlert = c.routerAlert || alert && next == protocolHopByHop
		case protocolRouting:
			if segmentsLeft := b[3]; segmentsLeft != 0 {
				return control{}, false
			}
		default:
			return control{}, false
		}
		next, b = b[0], b[n:]
	}
	c.message = b
	return c, len(b) >= 4
}

// scanOptions walks the options of one header. It reports whether there is a
// Router Alert of value 0, and false if an option is cut off or is unknown
// and must not be skipped (RFC 8200, section 4.2).
func scanOptions(b []byte) (alert, ok bool) {
	for len(b) > 0 {
		if b[0] == 0 { // Pad1
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return false, false
		}
		kind, body := b[0], b[2:2+int(b[1])]
		switch {
		case kind == 5 && len(body) == 2:
			alert = alert || body[0] == 0 && body[1] == 0
		case kind>>6 != 0:
			return false, false
		}
		b = b[2+len(body):]
	}
	return alert, true
}
