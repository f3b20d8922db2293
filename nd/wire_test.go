package nd

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

var cmpAddrs = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func link(s string) LinkAddr {
	a, err := ParseLinkAddr(s)
	if err != nil {
		panic(err)
	}
	return a
}

// octets reads hexadecimal with spaces and line breaks.
func octets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withChecksum gives the message b the checksum that it has under h.
func withChecksum(h Header, b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= 4 {
		b[2], b[3] = 0, 0
		x := ^onesSum(h.Src, h.Dst, b)
		b[2], b[3] = byte(x>>8), byte(x)
	}
	return b
}

// golden messages are written by hand from the figures of the RFCs; their
// checksums were computed by gopacket, see TestGoldenIsReadByOthers.
var golden = []struct {
	name     string
	src, dst string
	message  Message
	wire     string
}{
	{
		name: "router solicitation",
		src:  "::", dst: "ff02::2",
		message: &RouterSolicit{},
		wire:    "85 00 7bb8 00000000",
	},
	{
		name: "router solicitation with every option",
		src:  "fe80::1", dst: "ff02::2",
		message: &RouterSolicit{SourceLinkAddr: link("02:00:00:00:00:01")},
		wire:    "85 00 7a2c 00000000 01 01 020000000001",
	},
	{
		name: "router advertisement",
		src:  "fe80::9", dst: "ff02::1",
		message: &RouterAdvert{},
		wire:    "86 00 7c27 00 00 0000 00000000 00000000",
	},
	{
		name: "router advertisement with every option",
		src:  "fe80::9", dst: "ff02::1",
		message: &RouterAdvert{
			CurHopLimit:    64,
			Managed:        true,
			Other:          true,
			Preference:     High,
			RouterLifetime: 1800 * time.Second,
			ReachableTime:  30 * time.Second,
			RetransTimer:   1500 * time.Millisecond,
			SourceLinkAddr: link("02:00:00:00:00:09"),
			MTU:            1500,
			Prefixes: []PrefixInformation{
				{netip.MustParsePrefix("2001:db8:1::/64"), true, true, Infinity, 14400 * time.Second},
				{netip.MustParsePrefix("2001:db8:2::/64"), true, false, 0, 0},
			},
			Routes: []RouteInformation{
				{netip.MustParsePrefix("::/0"), Low, 600 * time.Second},
				{netip.MustParsePrefix("2001:db8:3::/48"), Medium, Infinity},
				{netip.MustParsePrefix("2001:db8:4::5/128"), High, 0},
			},
			DNSServers:    []RecursiveDNS{{[]netip.Addr{addr("2001:db8::53"), addr("fe80::53")}, 600 * time.Second}},
			DNSSearch:     []DNSSearchList{{[]string{"example.org", "a_b"}, Infinity}},
			CaptivePortal: "http://p/",
			Unknown:       []RawOption{{Type: 253, Body: []byte{1, 2, 3, 4, 5, 6}}},
		},
		wire: `86 00 9edc 40 c8 0708 00007530 000005dc
			01 01 020000000009
			05 01 0000 000005dc
			03 04 40 c0 ffffffff 00003840 00000000 20010db8000100000000000000000000
			03 04 40 80 00000000 00000000 00000000 20010db8000200000000000000000000
			18 01 00 18 00000258
			18 02 30 00 ffffffff 20010db800030000
			18 03 80 08 00000000 20010db8000400000000000000000005
			19 05 0000 00000258 20010db8000000000000000000000053 fe800000000000000000000000000053
			1f 04 0000 ffffffff 07 6578616d706c65 03 6f7267 00 03 615f62 00 000000000000
			25 02 687474703a2f2f702f 0000000000
			fd 01 010203040506`,
	},
	{
		name: "probe of duplicate address detection",
		src:  "::", dst: "ff02::1:ff00:1",
		message: &NeighborSolicit{Target: addr("2001:db8::1"), Nonce: "\x11\x22\x33\x44\x55\x66"},
		wire:    "87 00 a517 00000000 20010db8000000000000000000000001 0e 01 112233445566",
	},
	{
		name: "neighbor solicitation with every option",
		src:  "fe80::1", dst: "fe80::2",
		message: &NeighborSolicit{
			Target:         addr("fe80::2"),
			SourceLinkAddr: link("02:00:00:00:00:01"),
			Nonce:          "0123456789abcd",
		},
		wire: `87 00 a238 00000000 fe800000000000000000000000000002
			01 01 020000000001 0e 02 3031323334353637383961626364`,
	},
	{
		name: "neighbor advertisement",
		src:  "fe80::2", dst: "fe80::1",
		message: &NeighborAdvert{Target: addr("fe80::2"), Solicited: true},
		wire:    "88 00 3c25 40000000 fe800000000000000000000000000002",
	},
	{
		name: "neighbor advertisement with every option",
		src:  "fe80::2", dst: "ff02::1",
		message: &NeighborAdvert{
			Target: addr("2001:db8::2"), Router: true, Override: true,
			TargetLinkAddr: link("02:00:00:00:00:02"),
		},
		wire: "88 00 a85f a0000000 20010db8000000000000000000000002 02 01 020000000002",
	},
	{
		name: "redirect",
		src:  "fe80::9", dst: "2001:db8::1",
		message: &Redirect{Target: addr("2001:db8::5"), Destination: addr("2001:db8::5")},
		wire: `89 00 eedc 00000000
			20010db8000000000000000000000005 20010db8000000000000000000000005`,
	},
	{
		name: "redirect with every option",
		src:  "fe80::9", dst: "2001:db8::1",
		message: &Redirect{
			Target: addr("fe80::8"), Destination: addr("2001:db8:ffff::5"),
			TargetLinkAddr: link("02:00:00:00:00:08"),
			Redirected:     []byte("sixteen octets.."),
		},
		wire: `89 00 d017 00000000
			fe800000000000000000000000000008 20010db8ffff00000000000000000005
			02 01 020000000008
			04 03 000000000000 7369787465656e206f63746574732e2e`,
	},
}

// Append writes the golden octets.
func TestAppendGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			prefix := []byte("kept")
			got := Append(prefix, addr(g.src), addr(g.dst), g.message)
			want := append([]byte("kept"), octets(t, g.wire)...)
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%x\nwant\n%x", got, want)
			}
		})
	}
}

// Parse reads the golden octets, and keeps none of them.
func TestParseGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			b := octets(t, g.wire)
			got, err := Parse(Header{Src: addr(g.src), Dst: addr(g.dst)}, 255, b)
			if err != nil {
				t.Fatal(err)
			}
			clear(b)
			if d := cmp.Diff(g.message, got, cmpAddrs); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// An independent implementation computes the same checksums and finds the same
// fields and options.
func TestGoldenIsReadByOthers(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			want := octets(t, g.wire)
			ip := &layers.IPv6{
				Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
				SrcIP: addr(g.src).AsSlice(), DstIP: addr(g.dst).AsSlice(),
			}
			icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(want[0], 0)}
			if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
				t.Fatal(err)
			}
			buf := gopacket.NewSerializeBuffer()
			opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
			if err := gopacket.SerializeLayers(buf, opts, ip, icmp, gopacket.Payload(want[4:])); err != nil {
				t.Fatal(err)
			}
			if got := buf.Bytes()[40:]; !bytes.Equal(got, want) {
				t.Errorf("with gopacket's checksum:\n%x\nwant\n%x", got, want)
			}

			p := gopacket.NewPacket(buf.Bytes(), layers.LayerTypeIPv6, gopacket.Default)
			if e := p.ErrorLayer(); e != nil {
				t.Fatal(e.Error())
			}
			if d := cmp.Diff(g.message, readByGopacket(t, p), cmpAddrs); d != "" {
				t.Errorf("(-ours +gopacket)\n%s", d)
			}
		})
	}
}

// readByGopacket builds a message from what gopacket has decoded. It knows no
// options of Router Advertisements beyond RFC 4861, so those stay as Append
// wrote them.
func readByGopacket(t *testing.T, p gopacket.Packet) Message {
	t.Helper()
	ip := func(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)) }
	opt := func(os layers.ICMPv6Options, kind layers.ICMPv6Opt) []byte {
		for _, o := range os {
			if o.Type == kind {
				return o.Data
			}
		}
		return nil
	}
	mac := func(os layers.ICMPv6Options, kind layers.ICMPv6Opt) (a LinkAddr) {
		copy(a[:], opt(os, kind))
		return a
	}
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.ICMPv6RouterSolicitation:
			return &RouterSolicit{mac(l.Options, layers.ICMPv6OptSourceAddress)}
		case *layers.ICMPv6NeighborSolicitation:
			return &NeighborSolicit{
				ip(l.TargetAddress), mac(l.Options, layers.ICMPv6OptSourceAddress),
				Nonce(opt(l.Options, 14)),
			}
		case *layers.ICMPv6NeighborAdvertisement:
			return &NeighborAdvert{
				ip(l.TargetAddress), l.Router(), l.Solicited(), l.Override(),
				mac(l.Options, layers.ICMPv6OptTargetAddress),
			}
		case *layers.ICMPv6Redirect:
			m := &Redirect{
				Target: ip(l.TargetAddress), Destination: ip(l.DestinationAddress),
				TargetLinkAddr: mac(l.Options, layers.ICMPv6OptTargetAddress),
			}
			if o := opt(l.Options, layers.ICMPv6OptRedirectedHeader); o != nil {
				m.Redirected = o[6:]
			}
			return m
		case *layers.ICMPv6RouterAdvertisement:
			m := &RouterAdvert{
				CurHopLimit: l.HopLimit, Managed: l.ManagedAddressConfig(), Other: l.OtherConfig(),
				Preference:     map[byte]Preference{0: Medium, 1: High, 3: Low}[l.Flags>>3&3],
				RouterLifetime: time.Duration(l.RouterLifetime) * time.Second,
				ReachableTime:  time.Duration(l.ReachableTime) * time.Millisecond,
				RetransTimer:   time.Duration(l.RetransTimer) * time.Millisecond,
				SourceLinkAddr: mac(l.Options, layers.ICMPv6OptSourceAddress),
			}
			for _, o := range l.Options {
				m.addOption(uint8(o.Type), o.Data)
			}
			return m
		}
	}
	t.Fatal("gopacket found no message")
	return nil
}

// broken messages break one rule each.
var broken = []struct {
	name     string
	from     string // a golden message
	change   func(h *Header, hopLimit *uint8, b []byte) []byte
	section  string
	rule     string
	checksum bool // leave the checksum as it is
}{
	{"RS hop limit", "router solicitation", hopLimit254, "RFC 4861, section 6.1.1", "hop limit is not 255", false},
	{"RS checksum", "router solicitation", flip(7), "RFC 4861, section 6.1.1", "checksum is wrong", true},
	{"RS code", "router solicitation", flip(1), "RFC 4861, section 6.1.1", "code is not 0", false},
	{"RS length", "router solicitation", cut(7), "RFC 4861, section 6.1.1", "message is too short", false},
	{"RS empty option", "router solicitation with every option", set(9, 0), "RFC 4861, section 6.1.1", "an option has length 0", false},
	{"RS from unspecified with SLLAO", "router solicitation with every option", from("::"), "RFC 4861, section 6.1.1", "source is unspecified, but has a link-layer address", false},

	{"RA source", "router advertisement", from("2001:db8::9"), "RFC 4861, section 6.1.2", "source is not link-local", false},
	{"RA hop limit", "router advertisement", hopLimit254, "RFC 4861, section 6.1.2", "hop limit is not 255", false},
	{"RA checksum", "router advertisement", flip(15), "RFC 4861, section 6.1.2", "checksum is wrong", true},
	{"RA code", "router advertisement", flip(1), "RFC 4861, section 6.1.2", "code is not 0", false},
	{"RA length", "router advertisement", cut(15), "RFC 4861, section 6.1.2", "message is too short", false},
	{"RA empty option", "router advertisement with every option", set(17, 0), "RFC 4861, section 6.1.2", "an option has length 0", false},

	{"NS hop limit", "neighbor solicitation with every option", hopLimit254, "RFC 4861, section 7.1.1", "hop limit is not 255", false},
	{"NS checksum", "neighbor solicitation with every option", flip(23), "RFC 4861, section 7.1.1", "checksum is wrong", true},
	{"NS code", "neighbor solicitation with every option", flip(1), "RFC 4861, section 7.1.1", "code is not 0", false},
	{"NS length", "neighbor solicitation with every option", cut(23), "RFC 4861, section 7.1.1", "message is too short", false},
	{"NS target", "neighbor solicitation with every option", set(8, 0xff), "RFC 4861, section 7.1.1", "target is a multicast address", false},
	{"NS empty option", "neighbor solicitation with every option", set(33, 0), "RFC 4861, section 7.1.1", "an option has length 0", false},
	{"NS from unspecified to a node", "probe of duplicate address detection", to("2001:db8::1"), "RFC 4861, section 7.1.1", "source is unspecified, but destination is not a solicited-node group", false},
	{"NS from unspecified to all nodes", "probe of duplicate address detection", to("ff02::1"), "RFC 4861, section 7.1.1", "source is unspecified, but destination is not a solicited-node group", false},
	{"NS from unspecified with SLLAO", "probe of duplicate address detection", set(24, optSourceLinkAddr), "RFC 4861, section 7.1.1", "source is unspecified, but has a link-layer address", false},
	{"NS from unspecified with useless SLLAO", "probe of duplicate address detection",
		func(h *Header, hopLimit *uint8, b []byte) []byte {
			return append(b, optSourceLinkAddr, 1, 0, 0, 0, 0, 0, 0)
		}, "RFC 4861, section 7.1.1", "source is unspecified, but has a link-layer address", false},

	{"NA hop limit", "neighbor advertisement", hopLimit254, "RFC 4861, section 7.1.2", "hop limit is not 255", false},
	{"NA checksum", "neighbor advertisement", flip(23), "RFC 4861, section 7.1.2", "checksum is wrong", true},
	{"NA code", "neighbor advertisement", flip(1), "RFC 4861, section 7.1.2", "code is not 0", false},
	{"NA length", "neighbor advertisement", cut(23), "RFC 4861, section 7.1.2", "message is too short", false},
	{"NA target", "neighbor advertisement", set(8, 0xff), "RFC 4861, section 7.1.2", "target is a multicast address", false},
	{"NA solicited by a group", "neighbor advertisement", to("ff02::1"), "RFC 4861, section 7.1.2", "destination is multicast, but Solicited is set", false},
	{"NA empty option", "neighbor advertisement with every option", set(25, 0), "RFC 4861, section 7.1.2", "an option has length 0", false},

	{"redirect source", "redirect", from("2001:db8::9"), "RFC 4861, section 8.1", "source is not link-local", false},
	{"redirect hop limit", "redirect", hopLimit254, "RFC 4861, section 8.1", "hop limit is not 255", false},
	{"redirect checksum", "redirect", flip(23), "RFC 4861, section 8.1", "checksum is wrong", true},
	{"redirect code", "redirect", flip(1), "RFC 4861, section 8.1", "code is not 0", false},
	{"redirect length", "redirect", cut(39), "RFC 4861, section 8.1", "message is too short", false},
	{"redirect destination", "redirect with every option", set(24, 0xff), "RFC 4861, section 8.1", "redirected destination is a multicast address", false},
	{"redirect target", "redirect", flip(39), "RFC 4861, section 8.1", "target is neither link-local nor the redirected destination", false},
	{"redirect empty option", "redirect with every option", set(41, 0), "RFC 4861, section 8.1", "an option has length 0", false},

	{"option past the end", "neighbor advertisement with every option", set(25, 2), "RFC 4861, section 4.6", "an option runs past the end of the message", false},
	{"option without length", "neighbor advertisement with every option", cut(25), "RFC 4861, section 4.6", "an option runs past the end of the message", false},
	{"no ICMPv6 header", "neighbor advertisement", cut(3), "RFC 4443, section 2.1", "message is shorter than an ICMPv6 header", false},
	{"source is a group", "neighbor advertisement", from("ff02::2"), "RFC 4291, section 2.7", "source is a multicast address", false},
	{"source is loopback", "neighbor solicitation with every option", from("::1"), "RFC 4291, section 2.5.3", "source is the loopback address", false},
	{"source is IPv4", "neighbor advertisement", from("192.0.2.1"), "RFC 8200, section 3", "address is not an IPv6 address", false},
	{"no destination", "neighbor advertisement", func(h *Header, _ *uint8, b []byte) []byte {
		h.Dst = netip.Addr{}
		return b
	}, "RFC 8200, section 3", "address is not an IPv6 address", false},
}

func hopLimit254(_ *Header, hopLimit *uint8, b []byte) []byte { *hopLimit = 254; return b }

func flip(i int) func(*Header, *uint8, []byte) []byte {
	return func(_ *Header, _ *uint8, b []byte) []byte { b[i] ^= 1; return b }
}

func set(i int, v byte) func(*Header, *uint8, []byte) []byte {
	return func(_ *Header, _ *uint8, b []byte) []byte { b[i] = v; return b }
}

func cut(n int) func(*Header, *uint8, []byte) []byte {
	return func(_ *Header, _ *uint8, b []byte) []byte { return b[:n] }
}

func from(s string) func(*Header, *uint8, []byte) []byte {
	return func(h *Header, _ *uint8, b []byte) []byte { h.Src = addr(s); return b }
}

func to(s string) func(*Header, *uint8, []byte) []byte {
	return func(h *Header, _ *uint8, b []byte) []byte { h.Dst = addr(s); return b }
}

// Each rule has a message that breaks it and no other.
//
// Spec: RFC 4861, section 7.1.1, MUST, NDV-R01
// Spec: RFC 4861, section 7.1.2, MUST, NDV-R02
// Spec: RFC 4861, section 9, MUST, NDV-R04
// Spec: RFC 4861, section 6.1.2, MUST, RA-R01
// Spec: RFC 4861, section 8.1, MUST, RDR-R01
func TestNDV_R01_R02_R04_EveryValidityRule(t *testing.T) {
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			h, b := goldenMessage(t, c.from)
			hopLimit := uint8(255)
			b = c.change(&h, &hopLimit, b)
			if !c.checksum {
				b = withChecksum(h, b)
			}
			_, err := Parse(h, hopLimit, b)
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v", err)
			}
			if want := (InvalidError{c.section, c.rule}); *invalid != want {
				t.Errorf("got %+v, want %+v", *invalid, want)
			}
		})
	}
}

func goldenMessage(t *testing.T, name string) (Header, []byte) {
	t.Helper()
	for _, g := range golden {
		if g.name == name {
			return Header{Src: addr(g.src), Dst: addr(g.dst)}, octets(t, g.wire)
		}
	}
	t.Fatalf("no golden message %q", name)
	return Header{}, nil
}

// Types of others are told apart from invalid messages.
func TestParseOtherTypes(t *testing.T) {
	for kind := range 256 {
		if kind >= typeRouterSolicit && kind <= typeRedirect {
			continue
		}
		_, err := Parse(Header{Src: addr("fe80::1"), Dst: addr("fe80::2")}, 255, []byte{byte(kind), 0, 0, 0})
		if err != ErrType {
			t.Errorf("type %d: error %v", kind, err)
		}
	}
}

// Spec: RFC 4861, section 7.1.1, MUST, NDV-R04
// Spec: RFC 4861, section 6.1.2, MUST, RA-R02
func TestNDV_R04_ReservedFieldsAndUnknownOptionsAreIgnored(t *testing.T) {
	reserved := map[byte][]int{
		typeRouterSolicit:   {4, 5, 6, 7},
		typeRouterAdvert:    nil,
		typeNeighborSolicit: {4, 5, 6, 7},
		typeNeighborAdvert:  {5, 6, 7},
		typeRedirect:        {4, 5, 6, 7},
	}
	for _, g := range golden {
		h, b := goldenMessage(t, g.name)
		for _, i := range reserved[b[0]] {
			b[i] = 0xff
		}
		switch b[0] {
		case typeNeighborAdvert:
			b[4] |= 0x1f
		case typeRouterAdvert:
			b[5] |= 0x07
		}
		if b[0] != typeRouterAdvert { // which lists the options that it does not know
			at := layouts[b[0]].length
			tail := bytes.Clone(b[at:])
			b = append(b[:at], 200, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
			b = append(b, optMTU, 1, 0, 0, 0, 0, 5, 0) // known, but not for this message
			b = append(b, tail...)
			b = append(b, 0, 1, 1, 2, 3, 4, 5, 6)
		}
		got, err := Parse(h, 255, withChecksum(h, b))
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
		} else if d := cmp.Diff(g.message, got, cmpAddrs); d != "" {
			t.Errorf("%s (-want +got)\n%s", g.name, d)
		}
	}
}

// Spec: RFC 4861, section 4.6.1, must, NDV-R05
func TestNDV_R05_LinkLayerOptionsWithoutAnAddressOfOneNode(t *testing.T) {
	good := "01 01 02 00 00 00 00 07"
	for _, c := range []struct {
		name, opts string
		want       LinkAddr
	}{
		{"one", good, link("02:00:00:00:00:07")},
		{"two units long", "01 02 020000000005 0000000000000000", LinkAddr{}},
		{"zero", "01 01 000000000000", LinkAddr{}},
		{"multicast", "01 01 333300000001", LinkAddr{}},
		{"broadcast", "01 01 ffffffffffff", LinkAddr{}},
		{"of the other kind", "02 01 020000000005", LinkAddr{}},
		{"the first that is usable", "01 01 ffffffffffff 01 02 020000000005 0000000000000000" + good + "01 01 020000000008",
			link("02:00:00:00:00:07")},
	} {
		for _, kind := range []byte{typeNeighborSolicit, typeNeighborAdvert} {
			h := Header{Src: addr("fe80::1"), Dst: addr("fe80::2")}
			b := append([]byte{kind, 23: 9}, octets(t, c.opts)...)
			if kind == typeNeighborAdvert { // the same with the other option type
				for o := b[24:]; len(o) > 0; o = o[8*int(o[1]):] {
					o[0] = 3 - o[0]
				}
			}
			m, err := Parse(h, 255, withChecksum(h, b))
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			var got LinkAddr
			switch m := m.(type) {
			case *NeighborSolicit:
				got = m.SourceLinkAddr
			case *NeighborAdvert:
				got = m.TargetLinkAddr
			}
			if got != c.want {
				t.Errorf("%s, type %d: got %v, want %v", c.name, kind, got, c.want)
			}
		}
	}
}

// A target need be in no prefix that is known to be on-link.
//
// Spec: RFC 4861, section 8.1, MUST NOT, RDR-R05
func TestRDR_R05_TargetsOfEveryPrefix(t *testing.T) {
	h := Header{Src: addr("fe80::9"), Dst: addr("2001:db8::1")}
	for _, want := range []*Redirect{
		{Target: addr("2001:db8:ffff::5"), Destination: addr("2001:db8:ffff::5")},
		{Target: addr("fe80::8"), Destination: addr("2001:db8:ffff::5")},
		{Target: addr("fd00::1"), Destination: addr("fd00::1")},
	} {
		got, err := Parse(h, 255, Append(nil, h.Src, h.Dst, want))
		if err != nil {
			t.Errorf("to %v: %v", want.Target, err)
		} else if d := cmp.Diff(Message(want), got, cmpAddrs); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
}

// Spec: RFC 3971, section 5.3.2, MUST, EDAD-R01
func TestNonceIsTheFirst(t *testing.T) {
	h := Header{Src: netip.IPv6Unspecified(), Dst: addr("ff02::1:ff00:9")}
	b := append([]byte{typeNeighborSolicit, 23: 9}, octets(t, "0e01 010203040506 0e02 0708090a0b0c0d0e0f1011121314")...)
	m, err := Parse(h, 255, withChecksum(h, b))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.(*NeighborSolicit).Nonce; got != "\x01\x02\x03\x04\x05\x06" {
		t.Errorf("nonce %v", got)
	}
}

// Options of a Router Advertisement that their definition does not allow are
// ignored, the rest of the message is not.
//
// Spec: RFC 4191, section 2.3, must, RA-R15
// Spec: RFC 8106, section 5.3.1, MUST, RA-R16
func TestRouterAdvertIgnoresOddOptions(t *testing.T) {
	zeros := strings.Repeat("00", 16)
	for name, opt := range map[string]string{
		"MTU of two units":               "05 02 0000 00000500 0000000000000000",
		"prefix of three units":          "03 03 40 c0 00000001 00000001 00000000 2001 0db800000000",
		"prefix length 129":              "03 04 81 c0 00000001 00000001 00000000" + zeros,
		"route of four units":            "18 04 00 00 00000001" + zeros + "0000000000000000",
		"route of prefix length 129":     "18 03 81 00 00000001" + zeros,
		"route too short for 65 bits":    "18 02 41 00 00000001 2001000000000000",
		"route too short for 1 bit":      "18 01 01 00 00000001",
		"route of reserved preference":   "18 01 00 10 00000001",
		"servers: none":                  "19 01 0000 00000001",
		"servers: half of one":           "19 02 0000 00000001 2001000000000000",
		"servers: one and a half":        "19 04 0000 00000001 20010db8000000000000000000000053 2001000000000000",
		"servers: a group":               "19 03 0000 00000001 ff020000000000000000000000000001",
		"servers: unspecified":           "19 03 0000 00000001" + zeros,
		"search: no room":                "1f 01 0000 00000001",
		"search: nothing":                "1f 02 0000 00000001 0000000000000000",
		"search: label past the end":     "1f 02 0000 00000001 0861616161616161",
		"search: no end":                 "1f 02 0000 00000001 0761616161616161",
		"search: compressed":             "1f 02 0000 00000001 0161c00000000000",
		"search: dot in a label":         "1f 02 0000 00000001 03612e6100000000",
		"search: blank in a label":       "1f 02 0000 00000001 0361206100000000",
		"search: more after the zeros":   "1f 02 0000 00000001 0161000001610000",
		"search: label of 64 octets":     "1f 0a 0000 00000001 40" + strings.Repeat("61", 64) + "00000000000000",
		"search: a name of 256 octets":   "1f 22 0000 00000001" + strings.Repeat("3f"+strings.Repeat("61", 63), 3) + "3e" + strings.Repeat("61", 62) + "00" + "00" + "00000000000000",
		"source address of wrong length": "01 02 020000000009 0000000000000000",
	} {
		h := Header{Src: addr("fe80::9"), Dst: addr("ff02::1")}
		b := append([]byte{typeRouterAdvert, 4: 64, 15: 0}, octets(t, opt)...)
		m, err := Parse(h, 255, withChecksum(h, b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(&RouterAdvert{CurHopLimit: 64}, m, cmpAddrs); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

// A captive portal whose URI cannot be one is an option like an unknown one; the
// first that can be one counts.
//
// Spec: RFC 4861, section 6.1.2, MUST, RA-R02
func TestRA_R02_CaptivePortals(t *testing.T) {
	h := Header{Src: addr("fe80::9"), Dst: addr("ff02::1")}
	long := func(n int) string { // an option with a URI of n octets
		padded := (n + 2 + 7) / 8 * 8
		return fmt.Sprintf("25%02x", padded/8) + strings.Repeat("61", n) + strings.Repeat("00", padded-2-n)
	}
	for name, c := range map[string]struct {
		options string
		want    string
		unknown int
	}{
		"fills its option":       {"2501 616263646566", "abcdef", 0},
		"padded":                 {"2501 610000000000", "a", 0},
		"padded more than need":  {"2502 6100000000000000000000000000", "a", 0},
		"of 255 octets":          {long(255), strings.Repeat("a", 255), 0},
		"of 256 octets":          {long(256), "", 1},
		"empty":                  {"2501 000000000000", "", 1},
		"zero inside":            {"2501 610062000000", "", 1},
		"blank":                  {"2501 612062000000", "", 1},
		"line break":             {"2501 610a00000000", "", 1},
		"delete":                 {"2501 617f00000000", "", 1},
		"no ASCII":               {"2501 c3a400000000", "", 1},
		"two":                    {"2501 610000000000 2501 620000000000", "a", 0},
		"one after one that not": {"2501 000000000000 2501 620000000000", "b", 1},
	} {
		b := append([]byte{typeRouterAdvert, 15: 0}, octets(t, c.options)...)
		m, err := Parse(h, 255, withChecksum(h, b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := m.(*RouterAdvert); got.CaptivePortal != c.want || len(got.Unknown) != c.unknown {
			t.Errorf("%s: %q and %d unknown options", name, got.CaptivePortal, len(got.Unknown))
		}
	}
}

// Spec: RFC 4191, section 2.2, MUST, RA-R14
func TestRA_R14_Preference(t *testing.T) {
	for _, c := range []struct {
		bits, lifetime byte
		want           Preference
	}{
		{0b00, 1, Medium}, {0b01, 1, High}, {0b10, 1, Medium}, {0b11, 1, Low},
		{0b01, 0, Medium}, {0b11, 0, Medium},
	} {
		h := Header{Src: addr("fe80::9"), Dst: addr("ff02::1")}
		b := []byte{typeRouterAdvert, 5: c.bits << 3, 7: c.lifetime, 15: 0}
		m, err := Parse(h, 255, withChecksum(h, b))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.(*RouterAdvert).Preference; got != c.want {
			t.Errorf("bits %02b with lifetime %d: got %d, want %d", c.bits, c.lifetime, got, c.want)
		}
	}
}

// The host bits of a prefix say nothing.
func TestPrefixesAreMasked(t *testing.T) {
	h := Header{Src: addr("fe80::9"), Dst: addr("ff02::1")}
	b := append([]byte{typeRouterAdvert, 15: 0}, octets(t, `
		03 04 40 00 00000000 00000000 00000000 20010db8000100000000000000000007
		18 03 01 00 00000000 ffffffffffffffffffffffffffffffff`)...)
	m, err := Parse(h, 255, withChecksum(h, b))
	if err != nil {
		t.Fatal(err)
	}
	want := &RouterAdvert{
		Prefixes: []PrefixInformation{{Prefix: netip.MustParsePrefix("2001:db8:1::/64")}},
		Routes:   []RouteInformation{{Prefix: netip.MustParsePrefix("8000::/1")}},
	}
	if d := cmp.Diff(want, m, cmpAddrs); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Values that a field cannot hold are cut to what it can; a finite lifetime
// never becomes infinite.
func TestAppendCutsTimes(t *testing.T) {
	src, dst := addr("fe80::9"), addr("ff02::1")
	b := Append(nil, src, dst, &RouterAdvert{
		RouterLifetime: 100_000 * time.Second,
		ReachableTime:  Infinity,
		RetransTimer:   -time.Second,
		Prefixes:       []PrefixInformation{{Prefix: netip.MustParsePrefix("::/0"), ValidLifetime: Infinity - 1, PreferredLifetime: 1500 * time.Millisecond}},
	})
	m, err := Parse(Header{Src: src, Dst: dst}, 255, b)
	if err != nil {
		t.Fatal(err)
	}
	want := &RouterAdvert{
		RouterLifetime: 65_535 * time.Second,
		ReachableTime:  (1<<32 - 1) * time.Millisecond,
		Prefixes:       []PrefixInformation{{Prefix: netip.MustParsePrefix("::/0"), ValidLifetime: (1<<32 - 2) * time.Second, PreferredLifetime: time.Second}},
	}
	if d := cmp.Diff(want, m, cmpAddrs); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// A redirected packet is filled up to whole units, and cut to the longest
// option.
func TestAppendRedirected(t *testing.T) {
	src, dst := addr("fe80::9"), addr("2001:db8::1")
	for _, c := range []struct{ give, want int }{{0, 0}, {1, 8}, {8, 8}, {9, 16}, {2032, 2032}, {4000, 2032}} {
		b := Append(nil, src, dst, &Redirect{Redirected: bytes.Repeat([]byte{7}, c.give)})
		m, err := Parse(Header{Src: src, Dst: dst}, 255, b)
		if err != nil {
			t.Fatal(err)
		}
		got := m.(*Redirect).Redirected
		want := append(bytes.Repeat([]byte{7}, min(c.give, c.want)), make([]byte, c.want-min(c.give, c.want))...)
		if got == nil || !bytes.Equal(got, want) {
			t.Errorf("%d octets: got %x", c.give, got)
		}
	}
}

func TestAppendPanicsOnWhatNoMessageCanCarry(t *testing.T) {
	for name, m := range map[string]Message{
		"nil":         nil,
		"short nonce": &NeighborSolicit{Nonce: "12345"},
		"long nonce":  &NeighborSolicit{Nonce: Nonce(strings.Repeat("x", 2046))},
		"raw option":  &RouterAdvert{Unknown: []RawOption{{Type: 200, Body: []byte("seven..")}}},
		"portal":      &RouterAdvert{CaptivePortal: "two words"},
		"long portal": &RouterAdvert{CaptivePortal: strings.Repeat("a", 256)},
		"domain":      &RouterAdvert{DNSSearch: []DNSSearchList{{Domains: []string{"a..b"}}}},
		"domains":     &RouterAdvert{DNSSearch: []DNSSearchList{{Domains: []string{strings.Repeat("a.", 1100) + "a"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			Append(nil, addr("fe80::1"), addr("fe80::2"), m)
		})
	}
}

// What Append writes, Parse reads.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, m := drawMessage(t)
		b := Append(nil, h.Src, h.Dst, m)
		got, err := Parse(h, 255, b)
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		if d := cmp.Diff(m, got, cmpAddrs); d != "" {
			t.Fatalf("(-want +got)\n%s", d)
		}
	})
}

func drawMessage(t *rapid.T) (Header, Message) {
	any128 := rapid.SliceOfN(rapid.Byte(), 16, 16)
	unicast := rapid.Custom(func(t *rapid.T) netip.Addr {
		a := [16]byte(any128.Draw(t, "addr"))
		a[0] = 0x20
		return netip.AddrFrom16(a)
	})
	linkLocal := rapid.Custom(func(t *rapid.T) netip.Addr {
		a := [16]byte(any128.Draw(t, "addr"))
		a[0], a[1] = 0xfe, 0x80
		return netip.AddrFrom16(a)
	})
	linkAddr := rapid.Custom(func(t *rapid.T) LinkAddr {
		a := LinkAddr(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "mac"))
		a[0] &^= 1
		return a
	})
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		return netip.PrefixFrom(unicast.Draw(t, "prefix"), rapid.IntRange(0, 128).Draw(t, "bits")).Masked()
	})
	life := rapid.Custom(func(t *rapid.T) time.Duration {
		if rapid.Bool().Draw(t, "infinite") {
			return Infinity
		}
		return time.Duration(rapid.Uint32Range(0, 1<<32-2).Draw(t, "seconds")) * time.Second
	})
	millis := func(label string) time.Duration {
		return time.Duration(rapid.Uint32().Draw(t, label)) * time.Millisecond
	}
	flag := rapid.Bool()
	h := Header{Src: unicast.Draw(t, "src"), Dst: unicast.Draw(t, "dst")}
	switch rapid.IntRange(0, 4).Draw(t, "type") {
	case 0:
		return h, &RouterSolicit{linkAddr.Draw(t, "sllao")}
	case 1:
		n := 8*rapid.IntRange(0, 3).Draw(t, "nonce units") - 2
		return h, &NeighborSolicit{unicast.Draw(t, "target"), linkAddr.Draw(t, "sllao"),
			Nonce(rapid.SliceOfN(rapid.Byte(), max(n, 0), max(n, 0)).Draw(t, "nonce"))}
	case 2:
		return h, &NeighborAdvert{unicast.Draw(t, "target"), flag.Draw(t, "R"), flag.Draw(t, "S"), flag.Draw(t, "O"),
			linkAddr.Draw(t, "tllao")}
	case 3:
		h.Src = linkLocal.Draw(t, "router")
		m := &Redirect{Target: linkLocal.Draw(t, "target"), Destination: unicast.Draw(t, "destination"),
			TargetLinkAddr: linkAddr.Draw(t, "tllao")}
		if flag.Draw(t, "to the destination itself") {
			m.Target = m.Destination
		}
		if flag.Draw(t, "redirected") {
			n := 8 * rapid.IntRange(0, 20).Draw(t, "units")
			m.Redirected = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "packet")
		}
		return h, m
	}
	h.Src = linkLocal.Draw(t, "router")
	m := &RouterAdvert{
		CurHopLimit: rapid.Byte().Draw(t, "hop limit"), Managed: flag.Draw(t, "M"), Other: flag.Draw(t, "O"),
		RouterLifetime: time.Duration(rapid.Uint16().Draw(t, "lifetime")) * time.Second,
		ReachableTime:  millis("reachable"), RetransTimer: millis("retrans"),
		SourceLinkAddr: linkAddr.Draw(t, "sllao"), MTU: rapid.Uint32().Draw(t, "mtu"),
	}
	pref := rapid.SampledFrom([]Preference{Low, Medium, High})
	if m.RouterLifetime > 0 {
		m.Preference = pref.Draw(t, "preference")
	}
	for range rapid.IntRange(0, 3).Draw(t, "prefixes") {
		m.Prefixes = append(m.Prefixes, PrefixInformation{prefix.Draw(t, "prefix"), flag.Draw(t, "L"), flag.Draw(t, "A"),
			life.Draw(t, "valid"), life.Draw(t, "preferred")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "routes") {
		m.Routes = append(m.Routes, RouteInformation{prefix.Draw(t, "prefix"), pref.Draw(t, "preference"), life.Draw(t, "life")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "dns") {
		m.DNSServers = append(m.DNSServers, RecursiveDNS{rapid.SliceOfN(unicast, 1, 4).Draw(t, "servers"), life.Draw(t, "life")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "search") {
		name := rapid.StringMatching(`[a-z0-9_-]{1,63}(\.[A-Z]{1,9}){0,4}`)
		m.DNSSearch = append(m.DNSSearch, DNSSearchList{rapid.SliceOfN(name, 1, 4).Draw(t, "domains"), life.Draw(t, "life")})
	}
	m.CaptivePortal = rapid.StringMatching(`([!-~]{1,255})?`).Draw(t, "portal")
	for range rapid.IntRange(0, 2).Draw(t, "unknown") {
		n := 8*rapid.IntRange(1, 4).Draw(t, "units") - 2
		m.Unknown = append(m.Unknown, RawOption{rapid.ByteRange(100, 255).Draw(t, "kind"),
			rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "body")})
	}
	return h, m
}

// Parse never panics; a valid message can be encoded, and reads the same then.
func FuzzParse(f *testing.F) {
	for _, g := range golden {
		b, err := hex.DecodeString(strings.Join(strings.Fields(g.wire), ""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(addr(g.src).AsSlice(), addr(g.dst).AsSlice(), uint8(255), true, b)
	}
	f.Fuzz(func(t *testing.T, src, dst []byte, hopLimit uint8, fix bool, b []byte) {
		var h Header
		h.Src, _ = netip.AddrFromSlice(src)
		h.Dst, _ = netip.AddrFromSlice(dst)
		if fix {
			b = withChecksum(h, b)
		}
		m, err := Parse(h, hopLimit, b)
		if err != nil {
			var invalid *InvalidError
			if m != nil || err != ErrType && !errors.As(err, &invalid) {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		again, err := Parse(h, 255, Append(nil, h.Src, h.Dst, m))
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		if d := cmp.Diff(m, again, cmpAddrs); d != "" {
			t.Fatalf("(-first +second)\n%s", d)
		}
	})
}

func BenchmarkParseSolicit(b *testing.B) {
	h := Header{Src: addr("fe80::1"), Dst: addr("fe80::2")}
	m := Append(nil, h.Src, h.Dst, &NeighborSolicit{Target: h.Dst, SourceLinkAddr: link("02:00:00:00:00:01")})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(h, 255, m); err != nil {
			b.Fatal(err)
		}
	}
}
