package mld

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"
)

var compareAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// golden are messages with their octets, worked out by hand from the figures
// of RFC 2710, section 3 and RFC 3810, sections 5.1 and 5.2.
var golden = []struct {
	name     string
	src, dst string
	message  Message
	octets   string
}{
	{"general query v1", "fe80::99", "ff02::1",
		&Query{Version: 1, MaxResponseDelay: 10 * time.Second, Group: noAddr},
		"8200587f 27100000 00000000 00000000 00000000 00000000"},
	{"group query v1, linear delay", "fe80::99", "ff02::5",
		&Query{Version: 1, MaxResponseDelay: 0x9000 * time.Millisecond, Group: group5},
		"8200f082 90000000 ff020000 00000000 00000000 00000005"},
	{"report v1", "fe80::1", "ff02::5",
		&ReportV1{Group: group5},
		"8300801b 00000000 ff020000 00000000 00000000 00000005"},
	{"done v1", "fe80::1", "ff02::2",
		&DoneV1{Group: group5},
		"84007f1e 00000000 ff020000 00000000 00000000 00000005"},
	{"general query v2", "fe80::99", "ff02::1",
		&Query{Version: 2, MaxResponseDelay: 10 * time.Second, Group: noAddr, QRV: 2, QQI: 125 * time.Second},
		"820055fe 27100000 00000000 00000000 00000000 00000000 027d0000"},
	{"source query v2, floating-point delay and interval", "fe80::99", "ff02::5",
		&Query{Version: 2, MaxResponseDelay: 65536 * time.Millisecond, Group: group5,
			Sources: []netip.Addr{sourceA, sourceB}, Suppress: true, QRV: 7, QQI: 248 * time.Second},
		"82008546 90000000 ff020000 00000000 00000000 00000005 0f8f0002" +
			"20010db8 00000000 00000000 0000000a 20010db8 00000000 00000000 0000000b"},
	{"report v2", "::", "ff02::16",
		&ReportV2{Records: []Record{
			{Type: ChangeToExcludeMode, Group: group5},
			{Type: ModeIsInclude, Group: group6, Sources: []netip.Addr{sourceA, sourceB}}}},
		"8f0012bd 00000002 04000000 ff020000 00000000 00000000 00000005 01000002 ff050000 00000000 00000000 00000006" +
			"20010db8 00000000 00000000 0000000a 20010db8 00000000 00000000 0000000b"},
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// valid is a Header with which a Query passes.
func valid(src, dst string) Header {
	return Header{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), HopLimit: 1, RouterAlert: true}
}

// seal puts the right checksum in b, by arithmetic of its own.
func seal(h Header, b []byte) []byte {
	b[2], b[3] = 0, 0
	src, dst := h.Src.As16(), h.Dst.As16()
	pseudo := append(append([]byte{}, src[:]...), dst[:]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(b)))
	pseudo = append(append(pseudo, 0, 0, 0, 58), b...)
	if len(pseudo)%2 == 1 {
		pseudo = append(pseudo, 0)
	}
	var sum uint32
	for i := 0; i < len(pseudo); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(pseudo[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return b
}

// Spec: RFC 2710, section 3.7, MUST NOT, MLD1-R06
func TestGoldenOctets(t *testing.T) {
	for _, g := range golden {
		h := valid(g.src, g.dst)
		got := Append([]byte("kept"), h.Src, h.Dst, g.message)
		if diff := cmp.Diff("kept"+string(unhex(g.octets)), string(got)); diff != "" {
			t.Errorf("%s: Append (-want +got):\n%s", g.name, diff)
		}
		m, err := Parse(h, unhex(g.octets))
		if diff := cmp.Diff(g.message, m, compareAddrs); diff != "" || err != nil {
			t.Errorf("%s: Parse: %v (-want +got):\n%s", g.name, err, diff)
		}
	}
}

// invalidities change a golden message so that it must be refused, and say by
// which section.
var invalidities = []struct {
	name    string
	message string // of golden
	change  func(h *Header, b []byte) []byte
	section string
	reason  Reason
}{
	{"empty", "report v2", func(_ *Header, b []byte) []byte { return nil }, "RFC 3810, section 5", BadLength},
	{"7 octets", "report v2", func(_ *Header, b []byte) []byte { return b[:7] }, "RFC 3810, section 5", BadLength},
	{"unknown type", "report v2", func(h *Header, b []byte) []byte { b[0] = 144; return seal(*h, b) }, "RFC 3810, section 5", BadType},
	{"checksum", "general query v2", func(_ *Header, b []byte) []byte { b[3]++; return b }, "RFC 3810, section 5.1.2", BadChecksum},
	{"checksum over extra octets", "general query v2", func(_ *Header, b []byte) []byte { return append(b, 1) }, "RFC 3810, section 5.1.2", BadChecksum},
	{"checksum of another destination", "general query v1", func(h *Header, b []byte) []byte { h.Dst = ownLL; return b }, "RFC 3810, section 5.1.2", BadChecksum},
	{"query from ::", "general query v2", query(func(h *Header) { h.Src = noAddr }), "RFC 3810, section 5.1.14", BadSource},
	{"query from a global address", "general query v2", query(func(h *Header) { h.Src = sourceA }), "RFC 3810, section 5.1.14", BadSource},
	{"query from a group", "general query v1", query(func(h *Header) { h.Src = allNodes }), "RFC 3810, section 5.1.14", BadSource},
	{"query from an IPv4-mapped address", "general query v1", query(func(h *Header) { h.Src = netip.MustParseAddr("::ffff:169.254.0.1") }), "RFC 3810, section 5.1.14", BadSource},
	{"query with hop limit 0", "general query v2", query(func(h *Header) { h.HopLimit = 0 }), "RFC 3810, section 6.2", BadHopLimit},
	{"query with hop limit 2", "general query v1", query(func(h *Header) { h.HopLimit = 2 }), "RFC 3810, section 6.2", BadHopLimit},
	{"query with hop limit 255", "general query v2", query(func(h *Header) { h.HopLimit = 255 }), "RFC 3810, section 6.2", BadHopLimit},
	{"query without Router Alert", "general query v2", query(func(h *Header) { h.RouterAlert = false }), "RFC 3810, section 6.2", NoRouterAlert},
	{"query v1 without Router Alert", "general query v1", query(func(h *Header) { h.RouterAlert = false }), "RFC 3810, section 6.2", NoRouterAlert},
	{"query of 23 octets", "general query v2", cut(23), "RFC 3810, section 8.1", BadLength},
	{"query of 25 octets", "general query v2", cut(25), "RFC 3810, section 8.1", BadLength},
	{"query of 26 octets", "general query v2", cut(26), "RFC 3810, section 8.1", BadLength},
	{"query of 27 octets", "general query v2", cut(27), "RFC 3810, section 8.1", BadLength},
	{"query for a unicast address", "general query v2", func(h *Header, b []byte) []byte {
		copy(b[8:], sourceA.AsSlice())
		return seal(*h, b)
	}, "RFC 2710, section 5", BadGroup},
	{"query with one source missing", "source query v2, floating-point delay and interval", cut(59), "RFC 3810, section 5.1.10", BadLength},
	{"general query with sources", "source query v2, floating-point delay and interval", func(h *Header, b []byte) []byte {
		copy(b[8:], noAddr.AsSlice())
		return seal(*h, b)
	}, "RFC 3810, section 5.1.10", BadGroup},
	{"report v1 from a global address", "report v1", query(func(h *Header) { h.Src = sourceA }), "RFC 3590, section 4", BadSource},
	{"done v1 from a global address", "done v1", query(func(h *Header) { h.Src = sourceA }), "RFC 3590, section 4", BadSource},
	{"report v1 of 23 octets", "report v1", cut(23), "RFC 2710, section 5", BadLength},
	{"report v1 for ::", "report v1", func(h *Header, b []byte) []byte {
		copy(b[8:], noAddr.AsSlice())
		return seal(*h, b)
	}, "RFC 2710, section 3.6", BadGroup},
	{"report v2 from a global address", "report v2", query(func(h *Header) { h.Src = sourceA }), "RFC 3810, section 5.2.13", BadSource},
	{"report v2 with a record missing", "report v2", func(h *Header, b []byte) []byte { b[7] = 3; return seal(*h, b) }, "RFC 3810, section 5.2.3", BadLength},
	{"report v2 with a source missing", "report v2", cut(79), "RFC 3810, section 5.2.7", BadLength},
	{"report v2 with auxiliary data missing", "report v2", func(h *Header, b []byte) []byte { b[29] = 1; return seal(*h, b) }, "RFC 3810, section 5.2.7", BadLength},
}

// query changes the packet around a message and keeps the checksum right.
func query(change func(h *Header)) func(*Header, []byte) []byte {
	return func(h *Header, b []byte) []byte {
		change(h)
		return seal(*h, b)
	}
}

func cut(n int) func(*Header, []byte) []byte {
	return func(h *Header, b []byte) []byte { return seal(*h, b[:n]) }
}

// Spec: RFC 3590, section 4, MUST, MLD-R05
// Spec: RFC 3810, section 6.2, must, MLD-R06
// Spec: RFC 3810, section 8.1, MUST, MLD-R08
func TestParseRefuses(t *testing.T) {
	for _, c := range invalidities {
		for _, g := range golden {
			if g.name != c.message {
				continue
			}
			h := valid(g.src, g.dst)
			b := c.change(&h, unhex(g.octets))
			m, err := Parse(h, b)
			var invalid *InvalidError
			if !errors.As(err, &invalid) || invalid.Section != c.section || invalid.Reason != c.reason || m != nil {
				t.Errorf("%s: Parse = %v, %v, want section %q, reason %d", c.name, m, err, c.section, c.reason)
			}
		}
	}
}

// parsed seals b and parses it.
func parsed(t *testing.T, src, dst string, b []byte) Message {
	t.Helper()
	h := valid(src, dst)
	m, err := Parse(h, seal(h, b))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Spec: RFC 3810, section 5.1.15, MUST, MLD-R07
func TestMLD_R07_QueryToAnyAddress(t *testing.T) {
	for _, dst := range []string{"fe80::1", "2001:db8::1", "ff02::1", "ff02::5"} {
		if _, ok := parsed(t, "fe80::99", dst, unhex(golden[4].octets)).(*Query); !ok {
			t.Errorf("query to %s refused", dst)
		}
	}
}

// Spec: RFC 3810, section 5.1.12, MUST, MLD-R09
func TestMLD_R09_ExtraOctetsIgnored(t *testing.T) {
	for _, g := range golden {
		if q, ok := g.message.(*Query); ok && q.Version == 1 {
			continue // there, the length tells the version
		}
		m := parsed(t, g.src, g.dst, append(unhex(g.octets), 1, 2, 3, 4, 5))
		if diff := cmp.Diff(g.message, m, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", g.name, diff)
		}
	}
}

// RFC 3810, sections 5.1.1, 5.1.4 and 5.2.1: "ignored by receivers".
func TestCodeAndReservedIgnored(t *testing.T) {
	for _, g := range golden {
		b := unhex(g.octets)
		b[1] = 0xff
		if _, ok := g.message.(*Query); !ok {
			b[4], b[5] = 0xff, 0xff // Reserved, or Maximum Response Delay of MLDv1
		}
		if _, ok := g.message.(*ReportV2); !ok {
			b[6], b[7] = 0xff, 0xff
		}
		if len(b) == lenQueryV2 {
			b[24] |= 0xf0
		}
		m := parsed(t, g.src, g.dst, b)
		if diff := cmp.Diff(g.message, m, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", g.name, diff)
		}
	}
}

// Spec: RFC 3810, section 5.1.3, must, MLD2-R07
func TestMLD2_R07_ExponentialCodes(t *testing.T) {
	for _, c := range []struct {
		code  uint16
		delay uint32 // milliseconds
	}{
		{0, 0}, {1, 1}, {2000, 2000}, {20000, 20000}, {0x7fff, 32767},
		{0x8000, 32768}, {0x8001, 32776}, {0x8fff, 65528}, {0x9000, 65536}, {0xffff, 8387584},
	} {
		b := unhex(golden[4].octets)
		binary.BigEndian.PutUint16(b[4:], c.code)
		q := parsed(t, "fe80::99", "ff02::1", b).(*Query)
		if want := time.Duration(c.delay) * time.Millisecond; q.MaxResponseDelay != want {
			t.Errorf("code %#x is %v, want %v", c.code, q.MaxResponseDelay, want)
		}
		if got := responseCode(q.MaxResponseDelay); got != c.code {
			t.Errorf("%v has code %#x, want %#x", q.MaxResponseDelay, got, c.code)
		}
	}
	for _, c := range []struct {
		code     uint8
		interval uint32 // seconds
	}{
		{0, 0}, {127, 127}, {0x80, 128}, {0x81, 136}, {0x8f, 248}, {0x90, 256}, {0xff, 31744},
	} {
		b := unhex(golden[4].octets)
		b[25] = c.code
		q := parsed(t, "fe80::99", "ff02::1", b).(*Query)
		if want := time.Duration(c.interval) * time.Second; q.QQI != want {
			t.Errorf("code %#x is %v, want %v", c.code, q.QQI, want)
		}
		if got := Append(nil, router, allNodes, q)[25]; got != c.code {
			t.Errorf("%v has code %#x, want %#x", q.QQI, got, c.code)
		}
	}
}

// RFC 3810, section 9.8: "use the exact value if possible, or the next lower
// value if the requested value is not exactly representable".
func TestCodeOfTheNextLowerValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Range(0, 9_000_000).Draw(t, "value")
		mantissa := rapid.SampledFrom([]int{intervalCodeMantissa, responseCodeMantissa}).Draw(t, "mantissa")
		code := toFloat(v, mantissa)
		if last := uint32(16<<mantissa - 1); code > last {
			t.Fatalf("code %#x does not fit", code)
		} else if code < last && uint64(fromFloat(code+1, mantissa)) <= v {
			t.Fatalf("code %#x for %d, but %#x is %d", code, v, code+1, fromFloat(code+1, mantissa))
		}
		if uint64(fromFloat(code, mantissa)) > v {
			t.Fatalf("code %#x for %d is %d", code, v, fromFloat(code, mantissa))
		}
	})
}

// Spec: RFC 3810, section 5.2.12, MUST, MLD2-R13
func TestMLD2_R13_UnknownRecordTypesSkipped(t *testing.T) {
	b := unhex(golden[6].octets)
	unknown := append(append([]byte{}, b[28:]...), 0xaa, 0xbb, 0xcc, 0xdd) // two sources
	for _, typ := range []byte{0, 7, 255} {
		unknown[0] = typ
		unknown[1] = 1 // 4 octets of auxiliary data
		c := append(append(append([]byte{}, b[:28]...), unknown...), b[28:]...)
		c[7] = 3
		m := parsed(t, "fe80::1", "ff02::16", c)
		if diff := cmp.Diff(golden[6].message, m, compareAddrs); diff != "" {
			t.Errorf("type %d (-want +got):\n%s", typ, diff)
		}
	}
}

// Reports come from :: before there is an address, and are messages.
//
// Spec: RFC 3590, section 4, must, MLD-R03
func TestMLD_R03_ReportsFromUnspecifiedParse(t *testing.T) {
	for _, i := range []int{2, 3, 6} {
		m := parsed(t, "::", golden[i].dst, unhex(golden[i].octets))
		if diff := cmp.Diff(golden[i].message, m, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden[i].name, diff)
		}
	}
}

// gopacket, an independent decoder, reads what Append writes. (It reads the
// two floating-point codes wrong, which are left out.)
func TestGopacketAgrees(t *testing.T) {
	for _, g := range golden {
		h := valid(g.src, g.dst)
		ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: 1,
			SrcIP: net.IP(h.Src.AsSlice()), DstIP: net.IP(h.Dst.AsSlice())}
		buffer := gopacket.NewSerializeBuffer()
		payload := gopacket.Payload(Append(nil, h.Src, h.Dst, g.message))
		if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, ip, payload); err != nil {
			t.Fatal(err)
		}
		packet := gopacket.NewPacket(buffer.Bytes(), layers.LayerTypeIPv6, gopacket.DecodeOptions{SkipDecodeRecovery: true})
		if failure := packet.ErrorLayer(); failure != nil {
			t.Fatalf("%s: %v", g.name, failure.Error())
		}
		got := fromGopacket(t, packet)
		want := g.message
		if q, ok := want.(*Query); ok {
			copied := *q
			copied.MaxResponseDelay, copied.QQI = 0, 0
			want = &copied
		}
		if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", g.name, diff)
		}
	}
}

func fromGopacket(t *testing.T, packet gopacket.Packet) Message {
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.MLDv1MulticastListenerQueryMessage:
			return &Query{Version: 1, Group: addrOf(l.MulticastAddress)}
		case *layers.MLDv1MulticastListenerReportMessage:
			return &ReportV1{Group: addrOf(l.MulticastAddress)}
		case *layers.MLDv1MulticastListenerDoneMessage:
			return &DoneV1{Group: addrOf(l.MulticastAddress)}
		case *layers.MLDv2MulticastListenerQueryMessage:
			return &Query{Version: 2, Group: addrOf(l.MulticastAddress), Sources: addrsOf(l.SourceAddresses),
				Suppress: l.SuppressRoutersideProcessing, QRV: l.QueriersRobustnessVariable}
		case *layers.MLDv2MulticastListenerReportMessage:
			r := &ReportV2{}
			for _, record := range l.MulticastAddressRecords {
				r.Records = append(r.Records, Record{RecordType(record.RecordType),
					addrOf(record.MulticastAddress), addrsOf(record.SourceAddresses)})
			}
			return r
		}
	}
	t.Fatalf("no MLD layer in %v", packet)
	return nil
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a
}

func addrsOf(ips []net.IP) (addrs []netip.Addr) {
	for _, ip := range ips {
		addrs = append(addrs, addrOf(ip))
	}
	return addrs
}

// Parse never panics, and what it lets through survives Append and Parse.
func FuzzParse(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(g.octets), netip.MustParseAddr(g.src).AsSlice(), uint8(1), true, false)
	}
	f.Fuzz(func(t *testing.T, b, src []byte, hopLimit uint8, alert, version1 bool) {
		h := Header{Src: router, Dst: allNodes, HopLimit: hopLimit, RouterAlert: alert, Version1: version1}
		if a, ok := netip.AddrFromSlice(src); ok && a.Is6() {
			h.Src = a
		}
		if len(b) >= 4 && len(b) <= 0xffff {
			seal(h, b)
		}
		m, err := Parse(h, b)
		if err != nil {
			return
		}
		again, err := Parse(h, Append(nil, h.Src, h.Dst, m))
		if diff := cmp.Diff(m, again, compareAddrs); diff != "" || err != nil {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}

// To a host of RFC 2710 alone a Query of any length is one of version 1; to
// others its length tells the version, and 25 to 27 octets are of none.
//
// Spec: RFC 2710, section 3.7, MUST, MLD-R08
func TestMLD_R08_LengthOfAQuery(t *testing.T) {
	src, dst := netip.MustParseAddr("fe80::9"), netip.MustParseAddr("ff02::1")
	query := Append(nil, src, dst, &Query{Version: 2, MaxResponseDelay: time.Second, QRV: 2, QQI: 125 * time.Second})
	for _, length := range []int{8, 23, 24, 25, 26, 27, 28, 60} {
		b := append(bytes.Clone(query), make([]byte, 60)...)[:length]
		b[2], b[3] = 0, 0
		binary.BigEndian.PutUint16(b[2:], header.ICMPv6Checksum(checksumParams(src, dst, b)))
		for _, v1 := range []bool{true, false} {
			m, err := Parse(Header{Src: src, Dst: dst, HopLimit: 1, RouterAlert: true, Version1: v1}, b)
			want := 2
			switch {
			case length < 24:
				want = 0
			case v1 || length == 24:
				want = 1
			case length < 28:
				want = 0
			}
			got := 0
			if q, ok := m.(*Query); ok && err == nil {
				got = q.Version
			}
			if got != want {
				t.Errorf("%d octets, version 1 alone %v: a query of version %d, %v; want %d", length, v1, got, err, want)
			}
		}
	}
}
