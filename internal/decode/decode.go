// Package decode tells in one line of text what an Ethernet frame says, for
// people who watch the wire. It knows Neighbor Discovery and MLD in full, and
// of everything else no more than what tells packets apart.
//
//	decode.Line(frame)
//	// 02:00:00:00:00:01 > 33:33:ff:00:00:05  :: > ff02::1:ff00:5  neighbor solicitation for 2001:db8::5 (DAD probe) nonce=0102030405ab
//
// It takes any octets. What is malformed, or what a receiver would have to
// ignore, is said to be so.
package decode

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

const (
	ethernetLen = 14
	ipv6Len     = 40

	typeIPv6 = 0x86dd

	protoHopByHop = 0
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoICMPv6   = 58
	protoNone     = 59
	protoDestOpts = 60
)

// Line describes an Ethernet frame without its check sequence.
func Line(frame []byte) string {
	if len(frame) < ethernetLen {
		return fmt.Sprintf("malformed: a frame of %d octets", len(frame))
	}
	from, etherType := nd.LinkAddr(frame[6:12]), binary.BigEndian.Uint16(frame[12:])
	line := fmt.Sprintf("%s > %s  ", from, nd.LinkAddr(frame[:6]))
	if etherType != typeIPv6 {
		return line + fmt.Sprintf("ethertype 0x%04x, %d octets", etherType, len(frame)-ethernetLen)
	}
	return line + ipv6(from, frame[ethernetLen:])
}

// packet is what the decoders of what an IPv6 packet carries need to know of
// its headers.
type packet struct {
	from        nd.LinkAddr
	src, dst    netip.Addr
	hopLimit    uint8
	routerAlert bool
}

func ipv6(from nd.LinkAddr, b []byte) string {
	if len(b) < ipv6Len || b[0]>>4 != 6 {
		return "malformed: not an IPv6 header"
	}
	p := packet{
		from: from, hopLimit: b[7],
		src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])),
	}
	line := fmt.Sprintf("%s > %s  ", p.src, p.dst)
	next, rest := b[6], b[ipv6Len:]
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length > len(rest) {
		return line + fmt.Sprintf("malformed: %d octets of %d", len(rest), length)
	}
	rest = rest[:length]
	for {
		switch next {
		case protoHopByHop, protoRouting, protoDestOpts:
			if len(rest) < 8 || len(rest) < 8+8*int(rest[1]) {
				return line + "malformed: an extension header is cut off"
			}
			if next == protoHopByHop {
				p.routerAlert = hasRouterAlert(rest[2 : 8+8*int(rest[1])])
			}
			next, rest = rest[0], rest[8+8*int(rest[1]):]
			continue
		case protoFragment:
			if len(rest) < 8 {
				return line + "malformed: an extension header is cut off"
			}
			field := binary.BigEndian.Uint16(rest[2:])
			return line + fmt.Sprintf("fragment at %d of packet 0x%08x, %d octets", field&^7, binary.BigEndian.Uint32(rest[4:]), len(rest)-8)
		}
		return line + p.payload(next, rest)
	}
}

// hasRouterAlert looks for a Router Alert for MLD among hop-by-hop options
// (RFC 2711, section 2.1).
func hasRouterAlert(options []byte) bool {
	const pad1, routerAlert = 0, 5
	for len(options) > 0 {
		if options[0] == pad1 {
			options = options[1:]
			continue
		}
		if len(options) < 2 || len(options) < 2+int(options[1]) {
			return false
		}
		if options[0] == routerAlert && options[1] == 2 && options[2] == 0 && options[3] == 0 {
			return true
		}
		options = options[2+int(options[1]):]
	}
	return false
}

func (p *packet) payload(proto uint8, b []byte) string {
	switch {
	case proto == protoICMPv6 && len(b) >= 4:
		return p.icmp(b)
	case proto == protoUDP && len(b) >= 8:
		return fmt.Sprintf("UDP %d > %d, %d octets", binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), len(b)-8)
	case proto == protoTCP && len(b) >= 20 && len(b) >= int(b[12]>>4)*4:
		return fmt.Sprintf("TCP %d > %d%s, %d octets", binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), flags(b[13]), len(b)-int(b[12]>>4)*4)
	case proto == protoNone:
		return "no next header"
	}
	return fmt.Sprintf("protocol %d, %d octets", proto, len(b))
}

// flags names the TCP flags that are set.
func flags(b byte) string {
	s := ""
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} {
		if b>>i&1 != 0 {
			s += " " + name
		}
	}
	return s
}

// Types of ICMPv6 messages.
const (
	unreachable  = 1
	tooBig       = 2
	timeExceeded = 3
	badParameter = 4
	echoRequest  = 128
	echoReply    = 129
	mldQuery     = 130
	mldReport1   = 131
	mldDone      = 132
	routerSol    = 133
	redirect     = 137
	mldReport2   = 143
)

var typeNames = map[byte]string{
	unreachable: "destination unreachable", tooBig: "packet too big", timeExceeded: "time exceeded", badParameter: "parameter problem",
	echoRequest: "echo request", echoReply: "echo reply",
	mldQuery: "MLD query", mldReport1: "MLDv1 report", mldDone: "MLDv1 done", mldReport2: "MLDv2 report",
	routerSol: "router solicitation", 134: "router advertisement", 135: "neighbor solicitation", 136: "neighbor advertisement", redirect: "redirect",
}

func (p *packet) icmp(b []byte) string {
	name, ok := typeNames[b[0]]
	switch t := b[0]; {
	case !ok:
		return fmt.Sprintf("ICMPv6 type %d, code %d", t, b[1])
	case t >= routerSol && t <= redirect:
		m, err := nd.Parse(nd.Header{Src: p.src, Dst: p.dst, From: p.from}, p.hopLimit, b)
		if err != nil {
			return fmt.Sprintf("%s, to be ignored: %v", name, err)
		}
		return p.neighborDiscovery(m)
	case t >= mldQuery && t <= mldDone, t == mldReport2:
		m, err := mld.Parse(mld.Header{Src: p.src, Dst: p.dst, HopLimit: p.hopLimit, RouterAlert: p.routerAlert}, b)
		if err != nil {
			return fmt.Sprintf("%s, to be ignored: %v", name, err)
		}
		return listenerDiscovery(m)
	case (t == echoRequest || t == echoReply) && len(b) >= 8:
		return fmt.Sprintf("%s id=%d seq=%d, %d octets", name, binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), len(b)-8)
	case t == tooBig && len(b) >= 8:
		return fmt.Sprintf("%s, MTU %d", name, binary.BigEndian.Uint32(b[4:]))
	}
	return fmt.Sprintf("%s, code %d", name, b[1])
}

// words is text that grows by what is there to be said.
type words struct{ strings.Builder }

func (w *words) add(when bool, format string, args ...any) {
	if when {
		fmt.Fprintf(w, format, args...)
	}
}

func (p *packet) neighborDiscovery(m nd.Message) string {
	w := new(words)
	switch m := m.(type) {
	case *nd.NeighborSolicit:
		w.add(true, "neighbor solicitation for %s", m.Target)
		w.add(p.src.IsUnspecified(), " (DAD probe)")
		w.add(!m.SourceLinkAddr.IsZero(), " from %s", m.SourceLinkAddr)
		w.add(m.Nonce != "", " nonce=%s", m.Nonce)
	case *nd.NeighborAdvert:
		w.add(true, "neighbor advertisement of %s", m.Target)
		w.add(!m.TargetLinkAddr.IsZero(), " at %s", m.TargetLinkAddr)
		w.add(m.Router, " router")
		w.add(m.Solicited, " solicited")
		w.add(m.Override, " override")
	case *nd.RouterSolicit:
		w.add(true, "router solicitation")
		w.add(!m.SourceLinkAddr.IsZero(), " from %s", m.SourceLinkAddr)
	case *nd.RouterAdvert:
		w.add(true, "router advertisement lifetime=%v", m.RouterLifetime)
		w.add(m.CurHopLimit != 0, " hop-limit=%d", m.CurHopLimit)
		w.add(m.Managed, " managed")
		w.add(m.Other, " other")
		w.add(m.MTU != 0, " mtu=%d", m.MTU)
		for _, pi := range m.Prefixes {
			w.add(true, " prefix=%s", pi.Prefix)
			w.add(pi.OnLink, ",on-link")
			w.add(pi.Autonomous, ",autonomous")
		}
		for _, ri := range m.Routes {
			w.add(true, " route=%s", ri.Prefix)
		}
	case *nd.Redirect:
		w.add(true, "redirect for %s to %s", m.Destination, m.Target)
		w.add(!m.TargetLinkAddr.IsZero(), " at %s", m.TargetLinkAddr)
	}
	return w.String()
}

func listenerDiscovery(m mld.Message) string {
	w := new(words)
	switch m := m.(type) {
	case *mld.Query:
		w.add(true, "MLDv%d query", m.Version)
		w.add(!m.Group.IsUnspecified(), " for %s", m.Group)
		w.add(len(m.Sources) > 0, " from %s", m.Sources)
		w.add(true, ", answer within %v", m.MaxResponseDelay)
	case *mld.ReportV1:
		w.add(true, "MLDv1 report: member of %s", m.Group)
	case *mld.DoneV1:
		w.add(true, "MLDv1 done: leave %s", m.Group)
	case *mld.ReportV2:
		w.add(true, "MLDv2 report: ")
		for i, r := range m.Records {
			w.add(i > 0, "; ")
			w.record(r)
		}
	}
	return w.String()
}

// meanings are what the records without sources say in plain words.
var meanings = map[mld.RecordType]string{
	mld.ModeIsExclude: "member of", mld.ChangeToExcludeMode: "join", mld.ChangeToIncludeMode: "leave",
}

func (w *words) record(r mld.Record) {
	if meaning, ok := meanings[r.Type]; ok && len(r.Sources) == 0 {
		w.add(true, "%s %s (%s)", meaning, r.Group, r.Type)
		return
	}
	w.add(true, "%s %s %s", r.Type, r.Group, r.Sources)
}
