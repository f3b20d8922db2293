package netstack

import "gvisor.dev/gvisor/pkg/tcpip/header"

// Kind says who a received packet is for.
type Kind uint8

const (
	// Data is for gVisor.
	Data Kind = iota
	// ND is a Neighbor Discovery message, ICMPv6 types 133 to 137.
	ND
	// MLD is a Multicast Listener Discovery message, ICMPv6 types 130 to 132
	// and 143.
	MLD
	// Drop is for nobody: not IPv6, malformed, with an impossible address, or
	// control traffic in fragments.
	Drop
)

// String returns the name of the constant.
func (k Kind) String() string {
	switch k {
	case Data:
		return "Data"
	case ND:
		return "ND"
	case MLD:
		return "MLD"
	default:
		return "Drop"
	}
}

// IPv6 next header values.
const (
	hopByHop    = 0
	protoTCP    = 6
	protoUDP    = 17
	routing     = 43
	fragment    = 44
	protoICMPv6 = 58
	noNext      = 59
	destOptions = 60
	// experiment is walked by gVisor as an extension header of 8 octets. It is
	// walked here too, so that nothing hides behind it.
	experiment = 253
)

// ICMPv6 types.
const (
	typeUnreachable  = 1
	typeTooBig       = 2
	typeTimeExceeded = 3
	typeParamProblem = 4
	typeEchoRequest  = 128
	typeEchoReply    = 129
)

const (
	ipv6Size      = header.IPv6MinimumSize
	extensionUnit = 8
)

// walk is what the extension headers of a packet lead to.
type walk struct {
	// proto is the protocol of what follows the headers, and offset where it
	// starts. end is where the packet ends (Payload Length).
	proto       uint8
	offset, end int
	// fragmented: there is a Fragment header, and later that it is not that of
	// a first fragment.
	fragmented, later bool
	// incomplete: this is a first fragment and its headers do not end in it.
	incomplete bool
	// short: the headers go on behind the part of the packet that was given.
	short bool
	// refused: an option or Routing header on the way makes every receiver
	// discard the packet, perhaps with a Parameter Problem.
	refused bool
	// unknown is the offset of the first refused option that asks for a
	// Parameter Problem from the members of a group too (10), if not 0.
	unknown int
}

// parse follows the extension headers of a packet as gVisor does. It fails if
// they are malformed or end before the packet does. packet may be only the
// first part of a packet of total octets; if the headers do not end in it, the
// walk is short.
//
// What is behind an unknown option whose action bits are not 00, or behind a
// Routing header with segments left, no receiver looks at (RFC 8200, sections
// 4.2 and 4.4); the walk goes on all the same and says so in refused.
func parse(packet []byte, total int) (w walk, ok bool) {
	if len(packet) < ipv6Size || packet[0]>>4 != 6 {
		return w, false
	}
	w.end = ipv6Size + int(be.Uint16(packet[4:6]))
	if w.end > total {
		return w, false
	}
	packet = packet[:min(len(packet), w.end)]
	w.proto, w.offset = packet[6], ipv6Size
	for {
		rest, left := packet[w.offset:], w.end-w.offset
		size := extensionUnit
		switch w.proto {
		case hopByHop, destOptions, routing, fragment, experiment:
			if left < size {
				return w, w.truncated()
			}
			if len(rest) < size {
				w.short = true
				return w, false
			}
		default:
			w.incomplete = w.fragmented && left < minHeader(w.proto)
			w.short = len(rest) == 0 && left > 0
			return w, !w.short
		}
		switch w.proto {
		case hopByHop, destOptions, routing:
			size += int(rest[1]) * extensionUnit
			if left < size {
				return w, w.truncated()
			}
			if len(rest) < size {
				w.short = true
				return w, false
			}
			if w.proto == hopByHop && w.offset != ipv6Size {
				// Only directly after the IPv6 header (RFC 8200, section 4.1).
				w.refused = true
			}
			if w.proto == routing {
				w.refused = w.refused || rest[3] != 0
			} else if !w.options(rest[2:size]) {
				return w, false
			}
		case fragment:
			w.fragmented = true
			if be.Uint16(rest[2:4])>>3 != 0 {
				w.proto, w.offset, w.later = rest[0], w.offset+size, true
				return w, true
			}
		}
		w.proto, w.offset = rest[0], w.offset+size
		if w.offset > len(packet) {
			w.short = true
			return w, false
		}
	}
}

// truncated is for headers that do not end in the packet: in a first fragment
// that is incomplete, elsewhere it is malformed.
func (w *walk) truncated() bool {
	w.incomplete = w.fragmented
	return w.fragmented
}

// options walks the options of one header. It fails if they are malformed.
func (w *walk) options(b []byte) bool {
	start := w.offset + 2
	for i := 0; i < len(b); {
		if b[i] == 0 { // Pad1
			i++
			continue
		}
		if i+2 > len(b) || i+2+int(b[i+1]) > len(b) {
			return false
		}
		if action := b[i] >> 6; action != 0 && !w.refused {
			w.refused = true
			if action == 2 {
				w.unknown = start + i
			}
		}
		i += 2 + int(b[i+1])
	}
	return true
}

// minHeader is the least size of proto's header, so far as it is known.
func minHeader(proto uint8) int {
	switch proto {
	case protoTCP:
		return header.TCPMinimumSize
	case protoUDP:
		return header.UDPMinimumSize
	case protoICMPv6:
		return header.ICMPv6MinimumSize
	case noNext:
		return 0
	default:
		return 1
	}
}

// Classify says who a whole IPv6 packet is for. It trusts nothing in it, and
// does not allocate.
//
// gVisor answers a Neighbor Solicitation that reaches it, so nothing of ND or
// MLD may pass as Data, with one exception: behind an option or Routing header
// for which every receiver discards the packet it does, and gVisor sends the
// Parameter Problem that may be due.
func Classify(packet []byte) Kind {
	if len(packet) >= ipv6Size && (packet[6] == protoTCP || packet[6] == protoUDP) {
		if packet[0]>>4 != 6 || impossible(packet) {
			return Drop
		}
		return Data
	}
	w, ok := parse(packet, len(packet))
	if !ok || impossible(packet) {
		return Drop
	}
	return w.kind(packet)
}

func (w *walk) kind(packet []byte) Kind {
	switch {
	case w.later:
		// Its first fragment decides: without it, it is never reassembled.
		return Data
	case w.incomplete:
		return Drop
	case w.proto != protoICMPv6 || w.offset >= w.end:
		return Data
	}
	icmpType := packet[w.offset]
	kind := icmpKind(icmpType)
	switch {
	case w.fragmented && (kind != Data || icmpType < typeEchoRequest):
		// RFC 6980, section 5: ND is ignored if there is a Fragment header,
		// that of a packet in one fragment too. Errors need no fragments
		// (RFC 4443, section 2.4 (c)); these would pass by the checks of
		// Deliver.
		return Drop
	case w.refused:
		return Data
	}
	return kind
}

// icmpKind says who a message of an ICMPv6 type is for.
func icmpKind(icmpType uint8) Kind {
	switch {
	case 133 <= icmpType && icmpType <= 137:
		return ND
	case 130 <= icmpType && icmpType <= 132, icmpType == 143:
		return MLD
	default:
		return Data
	}
}

// impossible reports whether a packet has an address that no packet from the
// wire may have: a multicast source (RFC 4291, section 2.7), an unspecified
// destination (section 2.5.2), loopback (section 2.5.3), or IPv4-mapped.
func impossible(packet []byte) bool {
	src, dst := [16]byte(packet[8:24]), [16]byte(packet[24:40])
	if src[0] == 0xff {
		return true
	}
	return mostlyZero(src) && (src[15] == 1 || src[10] == 0xff) ||
		mostlyZero(dst)
}

// mostlyZero reports whether a is ::, ::1 or IPv4-mapped.
func mostlyZero(a [16]byte) bool {
	if be.Uint64(a[0:8]) != 0 {
		return false
	}
	low := be.Uint64(a[8:16])
	return low <= 1 || low>>32 == 0xffff
}
