package netstack

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"
)

// segment is a TCP segment of a test.
type segment struct {
	port     uint16
	seq, ack uint32
	window   uint16
	flags    header.TCPFlags // besides ACK
	options  []byte
	class    uint8 // traffic class
	hops     uint8
	size     int
	bad      bool // wrong checksum
	long     bool // Payload Length says more than there is
	pad      int  // octets behind the packet
}

// packet builds the segment; its data is its sequence numbers.
func (s segment) packet() []byte {
	b := make([]byte, header.TCPMinimumSize, header.TCPMinimumSize+len(s.options)+s.size)
	header.TCP(b).Encode(&header.TCPFields{
		SrcPort: 1 + s.port, DstPort: 7, SeqNum: s.seq, AckNum: s.ack, DataOffset: uint8(len(b) + len(s.options)),
		Flags: header.TCPFlagAck | s.flags, WindowSize: 100 + s.window,
	})
	b = append(b, s.options...)
	for k := range s.size {
		b = append(b, byte(s.seq)+byte(k))
	}
	p := ip(addrB, addrA, 64-s.hops, protoTCP, b)
	p[0] |= s.class >> 4
	p[1] |= s.class << 4
	sum := ^checksum.Combine(tcpPseudoSum(p, len(b)), checksum.Checksum(b, 0))
	header.TCP(p[ipv6Size:]).SetChecksum(sum)
	if s.bad {
		p[ipv6Size+16]++
	}
	if s.long {
		be.PutUint16(p[4:6], be.Uint16(p[4:6])+1)
	}
	return append(p, make([]byte, s.pad)...)
}

// coalesced sends segments through a Coalescer, and says what came out: port,
// sequence number, size and flags, and if the checksum is still to be verified.
func coalesced(t testing.TB, h *Host, segments []segment) (got []string, packets [][]byte) {
	g := h.NewCoalescer()
	g.deliver = func(payload buffer.Buffer, valid bool) {
		p := payload.Flatten()
		payload.Release()
		if n := ipv6Size + int(be.Uint16(p[4:6])); n < len(p) {
			p = p[:n]
		}
		s := header.TCP(p[ipv6Size:])
		flags := strings.ReplaceAll(s.Flags().String(), " ", "")
		line := fmt.Sprintf("%d: %d+%d %s", s.SourcePort()-1, s.SequenceNumber(), len(s.Payload()), flags)
		if !valid {
			line += ", unverified"
		}
		got, packets = append(got, line), append(packets, p)
	}
	rx := h.NewRxBuffer()
	defer rx.Release()
	rx.CoalesceBy(g)
	for _, s := range segments {
		frame := append(make([]byte, ethernetSize), s.packet()...)
		if n := fill(rx.Pieces(), frame); n < len(frame) {
			t.Fatalf("%d of %d octets fit", n, len(frame))
		}
		rx.Deliver(len(frame), false)
	}
	g.Flush()
	return got, packets
}

// TestCoalescer: what joins, and what ends it.
func TestCoalescer(t *testing.T) {
	p := newPair(t, func(c *Config) { c.GSOMaxSize = 65536 })
	stamp := []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
	later := []byte{1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 2}
	const psh, fin, syn, urg, rst, ece = header.TCPFlagPsh, header.TCPFlagFin, header.TCPFlagSyn, header.TCPFlagUrg, header.TCPFlagRst, header.TCPFlagEce
	one := segment{size: 100}
	two := segment{seq: 100, size: 100}
	with := func(s segment, change func(*segment)) segment { change(&s); return s }
	apart := []string{"0: 0+100 A", "0: 100+100 A"}
	for _, test := range []struct {
		name string
		in   []segment
		want []string
	}{
		{"one", []segment{one}, []string{"0: 0+100 A"}},
		{"two", []segment{one, two}, []string{"0: 0+200 A"}},
		{"the sequence number wraps", []segment{{seq: 1<<32 - 100, size: 100}, one}, []string{"0: 4294967196+200 A"}},
		{"PSH ends it", []segment{one, with(two, func(s *segment) { s.flags = psh }), {seq: 200, size: 100}}, []string{"0: 0+200 PA", "0: 200+100 A"}},
		{"PSH alone", []segment{with(one, func(s *segment) { s.flags = psh }), two}, []string{"0: 0+100 PA, unverified", "0: 100+100 A"}},
		{"a short one ends it", []segment{one, {seq: 100, size: 99}, {seq: 199, size: 99}}, []string{"0: 0+199 A", "0: 199+99 A"}},
		{"a longer one", []segment{one, {seq: 100, size: 101}}, []string{"0: 0+100 A", "0: 100+101 A"}},
		{"a gap", []segment{one, {seq: 101, size: 99}}, []string{"0: 0+100 A", "0: 101+99 A"}},
		{"again", []segment{one, one}, []string{"0: 0+100 A", "0: 0+100 A"}},
		{"other acknowledgment", []segment{one, with(two, func(s *segment) { s.ack++ })}, apart},
		{"other window", []segment{one, with(two, func(s *segment) { s.window++ })}, apart},
		{"other hop limit", []segment{one, with(two, func(s *segment) { s.hops++ })}, apart},
		{"congestion experienced", []segment{with(one, func(s *segment) { s.class = 2 }), with(two, func(s *segment) { s.class = 3 })}, apart},
		{"same options", []segment{with(one, func(s *segment) { s.options = stamp }), with(two, func(s *segment) { s.options = stamp })}, []string{"0: 0+200 A"}},
		{"other options", []segment{with(one, func(s *segment) { s.options = stamp }), with(two, func(s *segment) { s.options = later })}, apart},
		{"options and none", []segment{with(one, func(s *segment) { s.options = stamp }), two}, apart},
		{"FIN", []segment{one, with(two, func(s *segment) { s.flags = fin })}, []string{"0: 0+100 A", "0: 100+100 FA, unverified"}},
		{"SYN", []segment{with(one, func(s *segment) { s.flags = syn }), two}, []string{"0: 0+100 SA, unverified", "0: 100+100 A"}},
		{"RST", []segment{one, with(two, func(s *segment) { s.flags = rst })}, []string{"0: 0+100 A", "0: 100+100 RA, unverified"}},
		{"URG", []segment{one, with(two, func(s *segment) { s.flags = urg })}, []string{"0: 0+100 A", "0: 100+100 AU, unverified"}},
		{"ECE", []segment{one, with(two, func(s *segment) { s.flags = ece })}, []string{"0: 0+100 A", "0: 100+100 AE, unverified"}},
		{"without data", []segment{one, {seq: 100}, two}, []string{"0: 0+100 A", "0: 100+0 A, unverified", "0: 100+100 A"}},
		{"wrong checksum", []segment{one, with(two, func(s *segment) { s.bad = true }), two}, []string{"0: 0+100 A", "0: 100+100 A, unverified", "0: 100+100 A"}},
		{"wrong checksum first", []segment{with(one, func(s *segment) { s.bad = true }), two}, []string{"0: 0+100 A, unverified", "0: 100+100 A"}},
		{"padding", []segment{with(one, func(s *segment) { s.pad = 5 }), with(two, func(s *segment) { s.pad = 7 }), {seq: 200, size: 100}}, []string{"0: 0+300 A"}},
		{"two flows", []segment{one, {port: 1, size: 50}, two, {port: 1, seq: 50, size: 50}}, []string{"0: 0+200 A", "1: 0+100 A"}},
		{"a large segment, which goes by", []segment{one, {seq: 100, size: 3000}, {seq: 3100, size: 100}}, []string{"0: 0+100 A", "0: 3100+100 A"}},
	} {
		got, _ := coalesced(t, p.a, test.in)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestCoalescerLimits: neither Payload Length nor the number of flows exceeds
// its bounds.
func TestCoalescerLimits(t *testing.T) {
	p := newPair(t)
	var in []segment
	for k := range 100 {
		in = append(in, segment{seq: uint32(k * 1400), size: 1400})
	}
	got, _ := coalesced(t, p.a, in)
	// 65535 octets are a header of 20 and 46 segments.
	want := []string{"0: 0+64400 A", "0: 64400+64400 A", "0: 128800+11200 A"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	in, want = nil, nil
	for k := range uint16(maxHeld + 1) {
		in = append(in, segment{port: k, size: 1})
		want = append(want, fmt.Sprintf("%d: 0+1 A", k))
	}
	in = append(in, segment{port: 0, seq: 1, size: 1}, segment{port: maxHeld, seq: 1, size: 1})
	want[maxHeld] = fmt.Sprintf("%d: 0+2 A", maxHeld)
	want = append(want, "0: 1+1 A")
	// The first flow was handed up for the last, and the second for the first.
	got, _ = coalesced(t, p.a, in)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestCoalescerKeepsAll: of every flow the same octets come out in the same
// order, with the same acknowledgments, in segments whose checksum was verified
// or is right.
func TestCoalescerKeepsAll(t *testing.T) {
	p := newPair(t)
	rapid.Check(t, func(rt *rapid.T) {
		flows := [3]segment{{port: 0}, {port: 1}, {port: 2}}
		var in []segment
		for range rapid.IntRange(0, 60).Draw(rt, "segments") {
			s := &flows[rapid.IntRange(0, 2).Draw(rt, "flow")]
			if rapid.IntRange(0, 9).Draw(rt, "change") == 0 {
				s.ack += uint32(rapid.IntRange(0, 1).Draw(rt, "ack"))
				s.class = rapid.Uint8Range(0, 3).Draw(rt, "class")
				s.seq += uint32(rapid.IntRange(0, 3).Draw(rt, "gap"))
			}
			s.size = rapid.SampledFrom([]int{0, 1, 500, 1400, 1400, 1400, 1400}).Draw(rt, "size")
			s.flags = rapid.SampledFrom([]header.TCPFlags{0, 0, 0, 0, header.TCPFlagPsh, header.TCPFlagFin}).Draw(rt, "flags")
			in = append(in, *s)
			s.seq += uint32(s.size)
		}
		_, packets := coalesced(t, p.a, in)
		for k := range flows {
			var sent, got []string
			for _, s := range in {
				if s.port == uint16(k) {
					sent = append(sent, octetsOf(s.packet())...)
				}
			}
			for _, packet := range packets {
				if header.TCP(packet[ipv6Size:]).SourcePort() == uint16(k)+1 {
					got = append(got, octetsOf(packet)...)
				}
			}
			if diff := cmp.Diff(sent, got); diff != "" {
				rt.Fatalf("flow %d (-want +got):\n%s", k, diff)
			}
		}
	})
}

// octetsOf says of each octet of data what is with it, and of a segment without
// data what it says. PSH counts at the end only.
func octetsOf(packet []byte) (list []string) {
	s := header.TCP(packet[ipv6Size:])
	head := fmt.Sprint(packet[:4], s.AckNumber(), s.WindowSize(), s.Flags()&^header.TCPFlagPsh)
	for k, b := range s.Payload() {
		if (s.SequenceNumber()+uint32(k))%25 == 0 { // not all, for speed
			list = append(list, fmt.Sprint(head, s.SequenceNumber()+uint32(k), b))
		}
	}
	if s.Flags().Contains(header.TCPFlagPsh) || len(s.Payload()) == 0 {
		list = append(list, fmt.Sprint(head, "PSH or nothing ", s.SequenceNumber()+uint32(len(s.Payload()))))
	}
	return list
}

// TestCoalescerTCP: a transfer between two hosts whose segments are cut to the
// MTU and joined again.
func TestCoalescerTCP(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	data := bytes.Repeat([]byte("a line of twenty six octets"), 1<<16)
	go func() {
		client.Write(data)
		client.CloseWrite()
	}()
	got := new(bytes.Buffer)
	if _, err := got.ReadFrom(server); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Fatalf("read %d octets of %d, %v", got.Len(), len(data), err)
	}
}
