package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tapstack/tapstack/nd"
)

// The judge reads and writes packets by itself, from the formats in the RFCs,
// and not with the parsers of the host that it judges.

// Protocol numbers and ICMPv6 types.
const (
	etherTypeIPv6 = 0x86dd
	ethernetLen   = 14
	ipv6Len       = 40

	protoHopByHop = 0
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoICMPv6   = 58
	protoDestOpts = 60

	typeUnreachable  = 1
	typeTooBig       = 2
	typeTimeExceeded = 3
	typeParameter    = 4
	typeEcho         = 128
	typeEchoReply    = 129
	typeQuery        = 130
	typeReport1      = 131
	typeDone         = 132
	typeRS           = 133
	typeRA           = 134
	typeNS           = 135
	typeNA           = 136
	typeRedirect     = 137
	typeReport2      = 143

	optSourceLinkAddr = 1
	optTargetLinkAddr = 2
	optPrefix         = 3
	optRedirected     = 4
	optMTU            = 5
	optNonce          = 14
	optRoute          = 24
	optRDNSS          = 25
	optDNSSL          = 31
)

// kinds are the names of the ICMPv6 messages.
var kinds = map[byte]string{
	typeUnreachable: "unreachable", typeTooBig: "toobig", typeTimeExceeded: "time-exceeded", typeParameter: "parameter-problem",
	typeEcho: "echo", typeEchoReply: "echo-reply", typeQuery: "query", typeReport1: "report1", typeDone: "done", typeReport2: "report",
	typeRS: "rs", typeRA: "ra", typeNS: "ns", typeNA: "na", typeRedirect: "redirect",
}

// families are the kinds that stand for several others.
var families = map[string][]string{
	"nd":    {"ns", "na", "rs", "ra", "redirect"},
	"mld":   {"report", "report1", "done"},
	"error": {"unreachable", "toobig", "time-exceeded", "parameter-problem"},
}

// packet is a frame taken apart: what it is, and its fields by name, each with
// one value or more, in the form that matching compares.
type packet struct {
	kind   string
	fields map[string][]string
}

func (p *packet) set(name, value string) { p.fields[name] = append(p.fields[name], value) }

func (p *packet) num(name string, v uint64) { p.set(name, strconv.FormatUint(v, 10)) }

func (p *packet) bit(name string, b bool) {
	v := uint64(0)
	if b {
		v = 1
	}
	p.num(name, v)
}

func (p *packet) addr(name string, b []byte) netip.Addr {
	a := netip.AddrFrom16([16]byte(b))
	p.set(name, a.String())
	return a
}

// one is the first value of a field.
func (p *packet) one(name string) string {
	if v := p.fields[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// is reports whether the packet is of a kind, or of one in a family of kinds.
func (p *packet) is(kind string) bool {
	switch kind {
	case "frame":
		return true
	case "ipv6":
		return p.kind != "other"
	case "icmp":
		return slices.Contains(p.fields["proto"], "58")
	}
	return p.kind == kind || slices.Contains(families[kind], p.kind)
}

// malformed says what is wrong with a packet that cannot be read to its end.
func (p *packet) malformed(format string, args ...any) {
	p.set("malformed", fmt.Sprintf(format, args...))
}

// dissect takes a frame apart. It takes any octets.
func dissect(frame []byte) *packet {
	p := &packet{kind: "other", fields: map[string][]string{}}
	if len(frame) < ethernetLen {
		p.malformed("a frame of %d octets", len(frame))
		return p
	}
	p.set("ethdst", nd.LinkAddr(frame[:6]).String())
	p.set("ethsrc", nd.LinkAddr(frame[6:12]).String())
	p.num("framelength", uint64(len(frame)))
	if binary.BigEndian.Uint16(frame[12:]) == etherTypeIPv6 {
		p.ipv6(frame[ethernetLen:])
	}
	return p
}

func (p *packet) ipv6(b []byte) {
	if len(b) < ipv6Len || b[0]>>4 != 6 {
		p.malformed("no IPv6 header")
		return
	}
	p.kind = "ipv6"
	word, length := binary.BigEndian.Uint32(b), int(binary.BigEndian.Uint16(b[4:]))
	p.num("class", uint64(word>>20&0xff))
	p.num("flow", uint64(word&0xfffff))
	p.num("plen", uint64(length))
	p.num("next", uint64(b[6]))
	p.num("hoplimit", uint64(b[7]))
	src, dst := p.addr("src", b[8:24]), p.addr("dst", b[24:40])
	next, rest := b[6], b[ipv6Len:]
	if length > len(rest) {
		p.malformed("%d octets of %d", len(rest), length)
		return
	}
	next, rest, whole := p.extensions(next, rest[:length])
	p.num("proto", uint64(next))
	if !whole {
		return
	}
	switch {
	case next == protoICMPv6 && len(rest) >= 4:
		p.icmp(src, dst, rest)
	case next == protoUDP && len(rest) >= 8:
		p.kind = "udp"
		p.ports(src, dst, next, rest)
		p.num("size", uint64(len(rest)-8))
		p.set("data", hex.EncodeToString(rest[8:]))
	case next == protoTCP && len(rest) >= 20:
		p.kind = "tcp"
		p.ports(src, dst, next, rest)
		p.tcp(rest)
	}
}

// extensions walks the extension headers. What is behind a Fragment header is
// read only if the packet is whole.
func (p *packet) extensions(next byte, b []byte) (proto byte, rest []byte, whole bool) {
	for {
		switch next {
		case protoHopByHop, protoDestOpts, protoRouting, protoFragment:
		default:
			return next, b, true
		}
		n := 8
		if len(b) >= 8 && next != protoFragment {
			n += 8 * int(b[1])
		}
		if len(b) < n {
			p.malformed("an extension header is cut off")
			return next, nil, false
		}
		switch next {
		case protoHopByHop:
			p.set("hbh", hex.EncodeToString(b[2:n]))
			p.alert(b[2:n])
		case protoDestOpts:
			p.set("dstopts", hex.EncodeToString(b[2:n]))
		case protoFragment:
			field := binary.BigEndian.Uint16(b[2:])
			p.num("frag-offset", uint64(field&^7))
			p.num("frag-more", uint64(field&1))
			p.num("frag-id", uint64(binary.BigEndian.Uint32(b[4:])))
			p.num("frag-size", uint64(len(b)-8))
			if field&^6 != 0 {
				p.kind = "fragment"
				return b[0], b[8:], false
			}
		}
		next, b = b[0], b[n:]
	}
}

// alert looks for a Router Alert (RFC 2711, section 2.1).
func (p *packet) alert(b []byte) {
	for len(b) >= 2 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		n := 2 + int(b[1])
		if len(b) < n {
			return
		}
		if b[0] == 5 && n == 4 {
			p.num("alert", uint64(binary.BigEndian.Uint16(b[2:])))
		}
		b = b[n:]
	}
}

func (p *packet) ports(src, dst netip.Addr, proto byte, b []byte) {
	p.num("sport", uint64(binary.BigEndian.Uint16(b)))
	p.num("dport", uint64(binary.BigEndian.Uint16(b[2:])))
	p.checksum(src, dst, proto, b)
}

func (p *packet) checksum(src, dst netip.Addr, proto byte, b []byte) {
	verdict := "ok"
	if checksum(src, dst, proto, b) != 0 {
		verdict = "bad"
	}
	p.set("checksum", verdict)
}

// checksum is that of RFC 8200, section 8.1: 0 over a packet whose checksum
// field is right.
func checksum(src, dst netip.Addr, proto byte, b []byte) uint16 {
	var sum uint32
	add := func(b []byte) {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	s, d := src.As16(), dst.As16()
	add(s[:])
	add(d[:])
	sum += uint32(len(b)) + uint32(proto)
	add(b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

var tcpFlags = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

func (p *packet) tcp(b []byte) {
	p.num("seq", uint64(binary.BigEndian.Uint32(b[4:])))
	p.num("ack", uint64(binary.BigEndian.Uint32(b[8:])))
	var set []string
	for i, name := range tcpFlags {
		if b[13]>>i&1 != 0 {
			set = append(set, name)
		}
	}
	p.set("flags", strings.Join(set, "+"))
	if n := int(b[12]>>4) * 4; n >= 20 && n <= len(b) {
		p.num("size", uint64(len(b)-n))
		p.set("data", hex.EncodeToString(b[n:]))
	}
}

func (p *packet) icmp(src, dst netip.Addr, b []byte) {
	p.kind = "icmp"
	if name, ok := kinds[b[0]]; ok {
		p.kind = name
	}
	p.num("type", uint64(b[0]))
	p.num("code", uint64(b[1]))
	p.num("length", uint64(len(b)))
	p.checksum(src, dst, protoICMPv6, b)
	if len(b) < 8 {
		p.malformed("an ICMPv6 message of %d octets", len(b))
		return
	}
	word := binary.BigEndian.Uint32(b[4:])
	switch b[0] {
	case typeEcho, typeEchoReply:
		p.num("id", uint64(word>>16))
		p.num("seq", uint64(word&0xffff))
		p.num("size", uint64(len(b)-8))
		p.set("data", hex.EncodeToString(b[8:]))
	case typeUnreachable, typeTooBig, typeTimeExceeded, typeParameter:
		name := map[byte]string{typeTooBig: "mtu", typeParameter: "pointer"}[b[0]]
		if name == "" {
			name = "reserved"
		}
		p.num(name, uint64(word))
		p.quote(b[8:])
	case typeRS, typeRA, typeNS, typeNA, typeRedirect:
		p.neighborDiscovery(b)
	case typeQuery, typeReport1, typeDone:
		p.mld(b)
	case typeReport2:
		p.report(b)
	}
}

// quote tells of the packet that an error is about.
func (p *packet) quote(b []byte) {
	p.num("quote-size", uint64(len(b)))
	if len(b) < ipv6Len {
		return
	}
	p.addr("quote-src", b[8:24])
	p.addr("quote-dst", b[24:40])
	p.num("quote-next", uint64(b[6]))
}

func (p *packet) neighborDiscovery(b []byte) {
	size := map[byte]int{typeRS: 8, typeRA: 16, typeNS: 24, typeNA: 24, typeRedirect: 40}[b[0]]
	if len(b) < size {
		p.malformed("a message of %d octets", len(b))
		return
	}
	word := binary.BigEndian.Uint32(b[4:])
	switch b[0] {
	case typeNA:
		p.bit("R", word>>31&1 != 0)
		p.bit("S", word>>30&1 != 0)
		p.bit("O", word>>29&1 != 0)
		p.num("reserved", uint64(word&0x1fffffff))
		p.addr("target", b[8:24])
	case typeRA:
		p.num("curhoplimit", uint64(b[4]))
		p.bit("M", b[5]&0x80 != 0)
		p.bit("O", b[5]&0x40 != 0)
		p.num("lifetime", uint64(word&0xffff))
		p.num("reachable", uint64(binary.BigEndian.Uint32(b[8:])))
		p.num("retrans", uint64(binary.BigEndian.Uint32(b[12:])))
	default:
		p.num("reserved", uint64(word))
		if size >= 24 {
			p.addr("target", b[8:24])
		}
		if size >= 40 {
			p.addr("destination", b[24:40])
		}
	}
	p.options(b[size:])
}

func (p *packet) options(b []byte) {
	count := 0
	for ; len(b) > 0; count++ {
		if len(b) < 2 || b[1] == 0 || len(b) < 8*int(b[1]) {
			p.malformed("an option is cut off or has no length")
			break
		}
		o := b[:8*int(b[1])]
		switch {
		case o[0] == optSourceLinkAddr && len(o) == 8:
			p.set("sllao", nd.LinkAddr(o[2:8]).String())
		case o[0] == optTargetLinkAddr && len(o) == 8:
			p.set("tllao", nd.LinkAddr(o[2:8]).String())
		case o[0] == optNonce:
			p.set("nonce", hex.EncodeToString(o[2:]))
		case o[0] == optMTU && len(o) == 8:
			p.num("mtu", uint64(binary.BigEndian.Uint32(o[4:])))
		case o[0] == optPrefix && len(o) == 32:
			p.set("prefix", fmt.Sprintf("%v/%d", netip.AddrFrom16([16]byte(o[16:32])), o[2]))
		default:
			p.set("option", hex.EncodeToString(o))
		}
		b = b[len(o):]
	}
	p.num("options", uint64(count))
}

func (p *packet) mld(b []byte) {
	if len(b) < 24 {
		p.malformed("a message of %d octets", len(b))
		return
	}
	p.num("maxresp", uint64(binary.BigEndian.Uint16(b[4:])))
	p.num("reserved", uint64(binary.BigEndian.Uint16(b[6:])))
	group := p.addr("group", b[8:24]).String()
	switch b[0] {
	case typeReport1:
		p.set("join", group)
		p.set("member", group)
	case typeDone:
		p.set("leave", group)
	}
}

// recordTypes are the types of the records of a report (RFC 3810, section
// 5.2.12).
var recordTypes = []string{1: "is_in", "is_ex", "to_in", "to_ex", "allow", "block"}

// report takes a Version 2 Multicast Listener Report apart (RFC 3810, section
// 5.2).
func (p *packet) report(b []byte) {
	p.num("reserved", uint64(binary.BigEndian.Uint16(b[4:])))
	count := int(binary.BigEndian.Uint16(b[6:]))
	p.num("records", uint64(count))
	b = b[8:]
	for range count {
		if len(b) < 20 {
			p.malformed("a record is cut off")
			return
		}
		sources := int(binary.BigEndian.Uint16(b[2:]))
		n := 20 + 16*sources + 4*int(b[1])
		if len(b) < n {
			p.malformed("a record is cut off")
			return
		}
		p.record(b[0], netip.AddrFrom16([16]byte(b[4:20])), b[20:20+16*sources])
		b = b[n:]
	}
	if len(b) > 0 {
		p.malformed("%d octets behind the records", len(b))
	}
}

func (p *packet) record(kind byte, group netip.Addr, b []byte) {
	name := fmt.Sprintf("type%d", kind)
	if int(kind) < len(recordTypes) && kind > 0 {
		name = recordTypes[kind]
	}
	var sources []netip.Addr
	for ; len(b) > 0; b = b[16:] {
		sources = append(sources, netip.AddrFrom16([16]byte(b[:16])))
	}
	p.set("record", recordText(name, group, sources))
	p.set("group", group.String())
	if len(sources) > 0 {
		return
	}
	switch name {
	case "to_ex":
		p.set("join", group.String())
	case "is_ex":
		p.set("member", group.String())
	case "to_in":
		p.set("leave", group.String())
	}
}

// recordText is the form in which records are compared: the sources in order.
func recordText(kind string, group netip.Addr, sources []netip.Addr) string {
	slices.SortFunc(sources, netip.Addr.Compare)
	s := kind + "(" + group.String()
	for _, a := range sources {
		s += "," + a.String()
	}
	return s + ")"
}
