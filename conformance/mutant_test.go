package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// mutant is a host with one fault: a fault of the host proper, or of what is
// between it and the link. A judge that passes it has not looked.
type mutant struct {
	name string
	// setup changes how the host is made.
	setup func(*Setup)
	// out returns what leaves instead of a frame of the host; in, what comes
	// in instead of a frame of the tester.
	out, in func(t *mutantTarget, p *packet, frame []byte) [][]byte
	// do changes a command; false: it is not carried out.
	do func(t *mutantTarget, c *Command) bool
	// late is how much later than it should a frame leaves.
	late func(p *packet) time.Duration
}

// mutantDriver makes hosts with a fault.
type mutantDriver struct {
	Driver
	m mutant
}

func (d mutantDriver) Open(s Setup) (Target, error) {
	if d.m.setup != nil {
		s.Knobs = slices.Clone(s.Knobs)
		d.m.setup(&s)
	}
	t, err := d.Driver.Open(s)
	return &mutantTarget{Target: t, m: d.m, probed: map[netip.Addr]bool{}}, err
}

// mutantTarget stands between a host and the tester.
type mutantTarget struct {
	Target
	m      mutant
	queue  []Frame // by time
	probed map[netip.Addr]bool
	gone   map[netip.Addr]bool
	// queries is how many queries came.
	queries int
	pieces  []byte // of a packet in fragments
	// resolutions is how many solicitations of neighbors left.
	resolutions int
}

func (t *mutantTarget) Send(frame []byte) error {
	frames := [][]byte{frame}
	if t.m.in != nil {
		frames = t.m.in(t, dissect(frame), slices.Clone(frame))
	}
	for _, f := range frames {
		if err := t.Target.Send(f); err != nil {
			return err
		}
	}
	return nil
}

func (t *mutantTarget) Do(c Command) error {
	if t.m.do != nil && !t.m.do(t, &c) {
		return nil
	}
	return t.Target.Do(c)
}

// says puts a frame on the link that the host never sent.
func (t *mutantTarget) says(frame []byte) { t.enqueue(Frame{t.Now(), frame}) }

func (t *mutantTarget) enqueue(f Frame) {
	i := len(t.queue)
	for i > 0 && t.queue[i-1].At > f.At {
		i--
	}
	t.queue = slices.Insert(t.queue, i, f)
}

func (t *mutantTarget) Next(until time.Duration) (Frame, bool, error) {
	for {
		horizon := until
		if len(t.queue) > 0 {
			horizon = min(until, t.queue[0].At)
		}
		f, ok, err := t.Target.Next(horizon)
		if err != nil {
			return Frame{}, false, err
		}
		if !ok {
			break
		}
		t.mutate(f)
	}
	if len(t.queue) == 0 || t.queue[0].At > until {
		return Frame{}, false, nil
	}
	f := t.queue[0]
	t.queue = t.queue[1:]
	return f, true, nil
}

func (t *mutantTarget) mutate(f Frame) {
	p := dissect(f.Data)
	if p.kind == "ns" && p.one("src") == "::" {
		t.probed[netip.MustParseAddr(p.one("target"))] = true
	}
	frames := [][]byte{f.Data}
	if t.m.out != nil {
		frames = t.m.out(t, p, f.Data)
	}
	for _, data := range frames {
		at := f.At
		if t.m.late != nil {
			at += t.m.late(p)
		}
		t.enqueue(Frame{at, data})
	}
}

// The frames of faults. All offsets are those of a packet without extension
// headers, which is what Neighbor Discovery is.
const (
	atHopLimit = ethernetLen + 7
	atSrc      = ethernetLen + 8
	atDst      = ethernetLen + 24
	atMessage  = ethernetLen + ipv6Len
)

// sealed fills in the length and the checksum of an ICMPv6 message that was
// changed.
func sealed(frame []byte) [][]byte {
	if len(frame) < atMessage+4 || frame[ethernetLen+6] != protoICMPv6 {
		return [][]byte{frame}
	}
	m := frame[atMessage:]
	binary.BigEndian.PutUint16(frame[ethernetLen+4:], uint16(len(m)))
	m[2], m[3] = 0, 0
	src, dst := netip.AddrFrom16([16]byte(frame[atSrc:])), netip.AddrFrom16([16]byte(frame[atDst:]))
	binary.BigEndian.PutUint16(m[2:], checksum(src, dst, protoICMPv6, m))
	return [][]byte{frame}
}

func same(frame []byte) [][]byte { return [][]byte{frame} }

func setAddr(frame []byte, at int, a netip.Addr) {
	octets := a.As16()
	copy(frame[at:], octets[:])
}

// change makes a hook that changes the frames that are meant and seals them
// again.
func change(means func(*packet) bool, change func(frame []byte) []byte) func(*mutantTarget, *packet, []byte) [][]byte {
	return func(_ *mutantTarget, p *packet, frame []byte) [][]byte {
		// What is too short to have a target is as wrong as it can be.
		if short := (p.kind == "ns" || p.kind == "na") && p.one("target") == ""; short || !means(p) {
			return same(frame)
		}
		return sealed(change(frame))
	}
}

// drop makes a hook that loses the frames that are meant.
func drop(means func(*packet) bool) func(*mutantTarget, *packet, []byte) [][]byte {
	return func(_ *mutantTarget, p *packet, frame []byte) [][]byte {
		if means(p) {
			return nil
		}
		return same(frame)
	}
}

func is(kind string) func(*packet) bool { return func(p *packet) bool { return p.is(kind) } }

func isProbe(p *packet) bool { return p.kind == "ns" && p.one("src") == "::" }

func isResolution(p *packet) bool { return p.kind == "ns" && p.one("src") != "::" }

func has(kind, field string) func(*packet) bool {
	return func(p *packet) bool { return p.is(kind) && len(p.fields[field]) > 0 }
}

func knob(name, value string) func(*Setup) {
	return func(s *Setup) {
		s.Knobs = slices.DeleteFunc(s.Knobs, func(k Setting) bool { return k.Name == name })
		s.Knobs = append(s.Knobs, Setting{name, value})
	}
}

// withoutOptions cuts the options off.
func withoutOptions(size int) func([]byte) []byte {
	return func(frame []byte) []byte { return frame[:min(len(frame), atMessage+size)] }
}

func set(at int, octets ...byte) func([]byte) []byte {
	return func(frame []byte) []byte {
		copy(frame[at:], octets)
		return frame
	}
}

func xor(at int, bits byte) func([]byte) []byte {
	return func(frame []byte) []byte {
		frame[at] ^= bits
		return frame
	}
}

// inOptions changes the options of a kind in a Router Advertisement.
func inOptions(kind byte, change func(option []byte)) func([]byte) []byte {
	return func(frame []byte) []byte {
		for rest := frame[min(len(frame), atMessage+16):]; len(rest) >= 8 && rest[1] > 0; {
			size := min(len(rest), int(rest[1])*8)
			if rest[0] == kind && size >= 16 {
				change(rest[:size])
			}
			rest = rest[size:]
		}
		return frame
	}
}

// defend answers a solicitation as a host that holds the address would.
func (t *mutantTarget) defend(p *packet) {
	ns := newNames(t.LinkAddr())
	dst, s := p.one("src"), "1"
	if dst == "::" {
		dst, s = "ff02::1", "0"
	}
	me := node{linkAddr: t.LinkAddr()}
	frames, err := build(ns, me, "na", []field{
		{"target", "=", p.one("target")}, {"src", "=", p.one("target")}, {"dst", "=", dst}, {"S", "=", s},
	}, nil)
	if err != nil {
		panic(err)
	}
	f := frames[0]
	if dst != "ff02::1" {
		l, _ := nd.ParseLinkAddr(p.one("ethsrc"))
		copy(f, l[:])
	}
	t.says(f)
}

// answerFor makes a hook that answers for addresses that are not assigned.
func answerFor(which func(t *mutantTarget, a netip.Addr) bool) func(*mutantTarget, *packet, []byte) [][]byte {
	return func(t *mutantTarget, p *packet, frame []byte) [][]byte {
		if p.kind == "ns" && p.one("hoplimit") == "255" && p.one("checksum") == "ok" && p.one("code") == "0" {
			if a, err := netip.ParseAddr(p.one("target")); err == nil && which(t, a) {
				t.defend(p)
			}
		}
		return same(frame)
	}
}

var mutants = []mutant{
	// What leaves.
	{name: "Neighbor Discovery with hop limit 64", out: change(is("nd"), set(atHopLimit, 64))},
	{name: "Neighbor Discovery with code 1", out: change(is("nd"), set(atMessage+1, 1))},
	{name: "bad checksums", out: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if p.is("icmp") && len(f) > atMessage+4 {
			f[len(f)-1] ^= 1
		}
		return same(f)
	}},
	{name: "no probes", out: drop(isProbe)},
	{name: "every probe twice", out: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if isProbe(p) {
			return [][]byte{f, slices.Clone(f)}
		}
		return same(f)
	}},
	{name: "probes with a source link-layer address", out: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if !isProbe(p) {
			return same(f)
		}
		l := t.LinkAddr()
		return sealed(append(append(f, optSourceLinkAddr, 1), l[:]...))
	}},
	{name: "probes from the tentative address", out: change(isProbe, func(f []byte) []byte {
		copy(f[atSrc:atDst], f[atMessage+8:atMessage+24])
		return f
	})},
	{name: "probes to all nodes", out: change(isProbe, func(f []byte) []byte {
		setAddr(f, atDst, allNodes)
		l := nd.MulticastLinkAddr(allNodes)
		copy(f, l[:])
		return f
	})},
	{name: "probes to the broadcast address of Ethernet", out: change(isProbe, set(0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))},
	{name: "probes for another address", out: change(isProbe, xor(atMessage+8+9, 0x20))},
	{name: "probes half a second late", late: func(p *packet) time.Duration { return when(isProbe(p), 500*time.Millisecond) }},
	{name: "everything 50 ms late", late: func(*packet) time.Duration { return 50 * time.Millisecond }},
	{name: "the same nonce each time", out: change(has("ns", "nonce"), set(atMessage+26, 1, 2, 3, 4, 5, 6))},
	{name: "no solicitations of neighbors", out: drop(isResolution)},
	{name: "solicitations without a source link-layer address", out: change(isResolution, withoutOptions(24))},
	{name: "solicitations to the wrong group", out: change(isResolution, xor(atDst+15, 0x55))},
	{name: "solicitations with the wrong target", out: change(isResolution, xor(atMessage+8+9, 0x20))},
	{name: "no advertisements", out: drop(is("na"))},
	{name: "advertisements twice", out: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "na" {
			return [][]byte{f, slices.Clone(f)}
		}
		return same(f)
	}},
	{name: "advertisements with Solicited the other way", out: change(is("na"), xor(atMessage+4, 0x40))},
	{name: "advertisements with Override the other way", out: change(is("na"), xor(atMessage+4, 0x20))},
	{name: "advertisements as a router", out: change(is("na"), xor(atMessage+4, 0x80))},
	{name: "advertisements without a target link-layer address", out: change(is("na"), withoutOptions(24))},
	{name: "advertisements with another's link-layer address", out: change(has("na", "tllao"), xor(atMessage+31, 0x55))},
	{name: "advertisements from another address", out: change(is("na"), xor(atSrc+9, 0x20))},
	{name: "advertisements with a target that is not asked for", out: change(is("na"), xor(atMessage+8+9, 0x20))},
	{name: "advertisements to the wrong neighbor", out: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "na" {
			f[5] ^= 0x55
		}
		return same(f)
	}},
	{name: "no router solicitations", out: drop(is("rs"))},
	{name: "router solicitations to all nodes", out: change(is("rs"), func(f []byte) []byte {
		setAddr(f, atDst, allNodes)
		return f
	})},
	{name: "router solicitations without a source link-layer address", out: change(has("rs", "sllao"), withoutOptions(8))},
	{name: "router solicitations twice", out: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "rs" {
			return [][]byte{f, slices.Clone(f)}
		}
		return same(f)
	}},
	{name: "no MLD", out: drop(is("mld"))},
	{name: "no leaves", out: drop(has("mld", "leave"))},
	{name: "no joins", out: drop(has("mld", "join"))},
	{name: "reports a second late", late: func(p *packet) time.Duration { return when(p.is("mld"), 1100*time.Millisecond) }},
	{name: "MLD with hop limit 64", out: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if p.is("mld") {
			f[atHopLimit] = 64
		}
		return same(f)
	}},
	{name: "MLD without Router Alert", out: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if p.is("mld") && len(p.fields["alert"]) > 0 {
			f[atMessage+2] = 1 // PadN
		}
		return same(f)
	}},
	{name: "no echo replies", out: drop(is("echo-reply"))},
	{name: "echo replies from another address", out: change(is("echo-reply"), xor(atSrc+9, 0x20))},
	{name: "echo replies to the wrong neighbor", out: func(_ *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "echo-reply" {
			f[5] ^= 0x55
		}
		return same(f)
	}},
	{name: "no datagrams", out: drop(is("udp"))},

	// What comes in.
	{name: "any hop limit will do", in: change(is("nd"), set(atHopLimit, 255))},
	{name: "any checksum will do", in: change(func(p *packet) bool { return p.is("icmp") && p.one("checksum") == "bad" }, func(f []byte) []byte { return f })},
	{name: "any code will do", in: change(is("nd"), set(atMessage+1, 0))},
	{name: "any length will do", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if (p.kind == "ns" || p.kind == "na") && p.one("length") == "16" {
			for a := range t.probed {
				octets := a.As16()
				return sealed(append(f[:atMessage+8], octets[:]...))
			}
		}
		return same(f)
	}},
	{name: "options of length 0 will do", in: change(func(p *packet) bool { return p.is("nd") && strings.Contains(p.one("malformed"), "option") },
		withoutOptions(24))},
	{name: "Solicited may be set to a group", in: change(func(p *packet) bool {
		return p.kind == "na" && p.one("S") == "1" && strings.HasPrefix(p.one("dst"), "ff")
	},
		xor(atMessage+4, 0x40))},
	{name: "a probe may have a source link-layer address", in: change(func(p *packet) bool { return isProbe(p) && len(p.fields["sllao"]) > 0 }, withoutOptions(24))},
	{name: "a probe may go to any address", in: change(isProbe, func(f []byte) []byte {
		group := nd.SolicitedNode(netip.AddrFrom16([16]byte(f[atMessage+8:])))
		if !netip.AddrFrom16([16]byte(f[atMessage+8:])).IsMulticast() {
			setAddr(f, atDst, group)
			l := nd.MulticastLinkAddr(group)
			copy(f, l[:])
		}
		return f
	})},
	{name: "a group may be a target", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if (p.kind == "ns" || p.kind == "na") && strings.HasPrefix(p.one("target"), "ff") {
			for a := range t.probed {
				setAddr(f, atMessage+8, a)
				return sealed(f)
			}
		}
		return same(f)
	}},
	{name: "reserved bits must be 0", in: drop(func(p *packet) bool { return p.is("nd") && p.one("reserved") != "" && p.one("reserved") != "0" })},
	{name: "options must be known", in: drop(func(p *packet) bool {
		return p.kind == "ns" && len(p.fields["tllao"]) > 0 || p.kind == "na" && len(p.fields["sllao"]) > 0
	})},
	{name: "an advertisement must have a link-layer address", in: drop(func(p *packet) bool { return p.kind == "na" && len(p.fields["tllao"]) == 0 })},
	{name: "an advertisement must have Override", in: drop(func(p *packet) bool { return p.kind == "na" && p.one("O") == "0" })},
	{name: "a router cannot have a duplicate", in: drop(func(p *packet) bool { return p.kind == "na" && p.one("R") == "1" })},
	{name: "deaf to probes", in: drop(isProbe)},
	{name: "deaf to solicitations", in: drop(isResolution)},
	{name: "deaf to advertisements", in: drop(is("na"))},
	{name: "deaf to router advertisements", in: drop(is("ra"))},
	{name: "deaf to redirects", in: drop(is("redirect"))},
	{name: "a Router Advertisement makes its router forgotten", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "ra" {
			_ = t.Target.Do(Command{Op: "neighbor-del", Addr: netip.MustParseAddr(p.one("src"))})
		}
		return same(f)
	}},
	{name: "Cur Hop Limit 0 is 255", in: change(func(p *packet) bool { return p.kind == "ra" && p.one("curhoplimit") == "0" }, set(atMessage+4, 255))},
	{name: "Cur Hop Limit is always 64", in: change(is("ra"), set(atMessage+4, 64))},
	{name: "Router Lifetime is always half an hour", in: change(is("ra"), set(atMessage+6, 0x07, 0x08))},
	{name: "Router Lifetime is always 0", in: change(is("ra"), set(atMessage+6, 0, 0))},
	{name: "Reachable Time is always unspecified", in: change(is("ra"), set(atMessage+8, 0, 0, 0, 0))},
	{name: "Retrans Timer is always unspecified", in: change(is("ra"), set(atMessage+12, 0, 0, 0, 0))},
	{name: "all routers are preferred alike", in: change(is("ra"), func(f []byte) []byte {
		f[atMessage+5] &^= 0x18
		return f
	})},
	{name: "no route information", in: change(is("ra"), inOptions(optRoute, func(o []byte) { o[0] = 0xff }))},
	{name: "every prefix is on-link", in: change(is("ra"), inOptions(optPrefix, func(o []byte) { o[3] |= 0x80 }))},
	{name: "no prefix is on-link", in: change(is("ra"), inOptions(optPrefix, func(o []byte) { o[3] &^= 0x80 }))},
	{name: "every prefix forms an address", in: change(is("ra"), inOptions(optPrefix, func(o []byte) { o[3] |= 0x40 }))},
	{name: "every prefix has 64 bits", in: change(is("ra"), inOptions(optPrefix, func(o []byte) { o[2] = 64 }))},
	{name: "what is valid is valid for ever", in: change(is("ra"), inOptions(optPrefix, func(o []byte) { copy(o[4:8], "\xff\xff\xff\xff") }))},
	{name: "what is preferred is preferred for as long as it is valid", in: change(is("ra"), inOptions(optPrefix, func(o []byte) { copy(o[8:12], o[4:8]) }))},
	{name: "what is preferred for too long is valid for as long", in: change(is("ra"), inOptions(optPrefix, func(o []byte) {
		if bytes.Compare(o[8:12], o[4:8]) > 0 {
			copy(o[4:8], o[8:12])
		}
	}))},
	{name: "deaf to queries", in: drop(is("query"))},
	{name: "deaf to reports of others", in: drop(is("mld"))},
	{name: "deaf before its first probe", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if len(t.probed) == 0 && p.is("nd") {
			return nil
		}
		return same(f)
	}},
	{name: "a probe with its own link-layer address is its own", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if isProbe(p) && p.one("ethsrc") == t.LinkAddr().String() {
			return nil
		}
		return same(f)
	}},
	{name: "a solicitation of a node that has an address is a probe", in: change(isResolution, func(f []byte) []byte {
		setAddr(f, atSrc, netip.IPv6Unspecified())
		f = withoutOptions(24)(f)
		group := nd.SolicitedNode(netip.AddrFrom16([16]byte(f[atMessage+8:])))
		setAddr(f, atDst, group)
		l := nd.MulticastLinkAddr(group)
		copy(f, l[:])
		return f
	})},
	{name: "a probe for any address of the group counts", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if p.kind == "ns" || p.kind == "na" {
			for a := range t.probed {
				if other, err := netip.ParseAddr(p.one("target")); err == nil && !other.IsMulticast() && nd.SolicitedNode(other) == nd.SolicitedNode(a) {
					setAddr(f, atMessage+8, a)
					return sealed(f)
				}
			}
		}
		return same(f)
	}},
	{name: "any probe counts for any address", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if isProbe(p) {
			for a := range t.probed {
				setAddr(f, atMessage+8, a)
				setAddr(f, atDst, nd.SolicitedNode(a))
				l := nd.MulticastLinkAddr(nd.SolicitedNode(a))
				copy(f, l[:])
				return sealed(f)
			}
		}
		return same(f)
	}},
	{name: "an advertisement for an assigned address makes a neighbor of it", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		if (p.kind == "na" || p.kind == "ns") && p.one("target") != "" {
			a, l := netip.MustParseAddr(p.one("src")), nd.LinkAddr(f[6:12])
			if p.kind == "na" {
				a = netip.MustParseAddr(p.one("target"))
			}
			_ = t.Target.Do(Command{Op: "neighbor-add", Addr: a, LinkAddr: l})
		}
		return same(f)
	}},
	{name: "answers while tentative, and for duplicates", in: answerFor(func(t *mutantTarget, a netip.Addr) bool { return t.probed[a] })},
	{name: "answers for addresses that were removed", in: answerFor(func(t *mutantTarget, a netip.Addr) bool { return t.gone[a] }),
		do: func(t *mutantTarget, c *Command) bool {
			if c.Op == "del" {
				t.gone = map[netip.Addr]bool{c.Addr: true}
			}
			return true
		}},
	{name: "answers for any address", in: answerFor(func(*mutantTarget, netip.Addr) bool { return true })},
	{name: "answers echo requests while tentative", in: func(t *mutantTarget, p *packet, f []byte) [][]byte {
		dst, err := netip.ParseAddr(p.one("dst"))
		if err != nil || p.kind != "echo" || !t.probed[dst] && !dst.IsMulticast() {
			return same(f)
		}
		for a := range t.probed {
			reply := slices.Clone(f)
			copy(reply, f[6:12])
			copy(reply[6:], f[:6])
			copy(reply[atDst:], f[atSrc:atSrc+16])
			setAddr(reply, atSrc, a)
			reply[atMessage] = typeEchoReply
			t.says(sealed(reply)[0])
			break
		}
		return same(f)
	}},

	// Commands.
	{name: "cannot remove an address", do: func(_ *mutantTarget, c *Command) bool { return c.Op != "del" }},
	{name: "does not add addresses", do: func(_ *mutantTarget, c *Command) bool { return c.Op != "add" }},
	{name: "cannot remove a neighbor", do: func(_ *mutantTarget, c *Command) bool { return c.Op != "neighbor-del" }},
	{name: "does not go down", do: func(_ *mutantTarget, c *Command) bool { return c.Op != "down" }},
	{name: "does not join", do: func(_ *mutantTarget, c *Command) bool { return c.Op != "join" }},
	{name: "does not leave", do: func(_ *mutantTarget, c *Command) bool { return c.Op != "leave" }},
	{name: "tests no address that is added", do: addMode("no-dad")},
	{name: "tests anycast addresses", do: func(_ *mutantTarget, c *Command) bool {
		if c.Mode == "anycast" {
			c.Mode = ""
		}
		return true
	}},
	{name: "does not know optimistic from other addresses", do: addMode("")},
	{name: "uses every address while it is tested", do: addMode("optimistic")},

	{name: "resolves neighbors for an optimistic address", do: func(t *mutantTarget, c *Command) bool {
		if c.Op == "send" && t.probed[c.Src] {
			frames, err := build(newNames(t.LinkAddr()), node{linkAddr: t.LinkAddr()}, "ns",
				[]field{{"target", "=", c.Addr.String()}, {"src", "=", c.Src.String()}}, nil)
			if err != nil {
				panic(err)
			}
			t.says(frames[0])
		}
		return true
	}},

	// The host itself.
	{name: "one probe and no more", setup: knob("dad_transmits", "1")},
	{name: "two probes", setup: knob("dad_transmits", "2")},
	{name: "four probes", setup: knob("dad_transmits", "4")},
	{name: "no DAD", setup: knob("dad_transmits", "0")},
	{name: "twice as fast", setup: knob("retrans_timer", "500ms")},
	{name: "half as fast", setup: knob("retrans_timer", "2s")},
	{name: "a little too fast", setup: knob("retrans_timer", "980ms")},
	{name: "a little too slow", setup: knob("retrans_timer", "1020ms")},
	{name: "a link that loops is not known", setup: knob("loopback", "none")},
	{name: "a link is taken to loop", setup: knob("loopback", "echoes")},
	{name: "temporary addresses", setup: knob("temp_addresses", "on")},
}

func addMode(mode string) func(*mutantTarget, *Command) bool {
	return func(_ *mutantTarget, c *Command) bool {
		if c.Op == "add" && c.Mode != "anycast" {
			c.Mode = mode
		}
		return true
	}
}

func when(is bool, d time.Duration) time.Duration {
	if is {
		return d
	}
	return 0
}

// otherKnobs are faults by which a host does what another profile allows, or
// none does. Of knobs whose values cannot be told apart on the wire, for chance
// may do what the other says or nothing is sent, there are none.
func otherKnobs() (all []mutant) {
	for _, k := range [][2]string{
		{"dad_drop_unicast_dst", "off"}, {"dad_ll_failure", "continue"}, {"enhanced_dad", "on|off"}, {"onlink_assumption", "on"}, {"onlink_from_nd", "on"},
		{"nud_exhausted", "delete|unreachable"}, {"mld_version", "1|2"}, {"lifetime_preferred", "always|with_valid"}, {"slaac_match_scope", "equal|any"},
		{"rs_schedule", "backoff|three"}, {"router_type", "A|C"}, {"redirects", "off"}, {"iid", "eui64|stable|random"}, {"gratuitous_na", "off"}, {"sas", "3484"},
	} {
		for value := range strings.SplitSeq(k[1], "|") {
			all = append(all, mutant{name: k[0] + "=" + value, setup: knob(k[0], value)})
		}
	}
	return all
}

// profileOf is the one in which a case is tried with faults.
func profileOf(c *Case) string {
	for _, p := range []string{"current", "rfc4862", "rfc2462"} {
		if c.isFor(p) {
			return p
		}
	}
	return ""
}

// forCore reports whether the Core can do what a case needs.
func forCore(c *Case) bool {
	can := CoreDriver{}.Can()
	return !slices.ContainsFunc(c.Needs, func(n Capability) bool { return !slices.Contains(can, n) })
}

// A host without a fault passes through the hooks unchanged: what the mutants
// fail for is their fault.
func TestMutantWithoutAFault(t *testing.T) {
	d := mutantDriver{CoreDriver{}, mutant{}}
	for _, r := range (Runner{Driver: d}).Run(context.Background(), scenarios(t)) {
		if r.Verdict == Fail || r.Verdict == Inconclusive {
			t.Errorf("%s: %s: %s", r.Case, r.Expected, r.Observed)
		}
	}
}

// What a fault changes is sealed again: it is found for what it is, and not
// for its checksum.
func TestSealed(t *testing.T) {
	frames, err := build(newNames(HostLinkAddr), must(nodeByName("TN1")), "ns", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := xor(atMessage+8+9, 0x20)(bytes.Clone(frames[0]))
	if got := dissect(f).one("checksum"); got != "bad" {
		t.Errorf("a changed message has checksum %s", got)
	}
	if got := dissect(sealed(f)[0]).one("checksum"); got != "ok" {
		t.Errorf("a sealed message has checksum %s", got)
	}
}

func must(n node, ok bool) node {
	if !ok {
		panic(fmt.Sprint("no node ", n))
	}
	return n
}
