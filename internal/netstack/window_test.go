package netstack

import (
	"bytes"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// TestAllowACK: RFC 9293, section 3.10.7.4.
func TestAllowACK(t *testing.T) {
	p := newPair(t)
	_, server := p.connect(t, addrA, addrB)
	h := p.b
	expected := uint32(0xfffffffa)
	segment := func(seq uint32, flags header.TCPFlags, data int) []byte {
		b := make([]byte, 32+data)
		s := header.TCP(b)
		s.Encode(&header.TCPFields{SrcPort: server.remote.Port(), DstPort: server.local.Port(), SeqNum: seq, AckNum: 77,
			DataOffset: 32, Flags: flags, WindowSize: 99})
		s.SetChecksum(sum(addrA, addrB, protoTCP, b))
		return ip(addrA, addrB, 64, protoTCP, b)
	}
	for _, test := range []struct {
		name   string
		packet []byte
		closed bool
		want   uint32
	}{
		{"ahead by the rounding", segment(expected+8, header.TCPFlagAck, 0), true, expected},
		{"ahead by the most", segment(expected+maxRounding-1, header.TCPFlagAck, 0), true, expected},
		{"ahead by too much", segment(expected+maxRounding, header.TCPFlagAck, 0), true, expected + maxRounding},
		{"as expected", segment(expected, header.TCPFlagAck, 0), true, expected},
		{"behind", segment(expected-1, header.TCPFlagAck, 0), true, expected - 1},
		{"with data", segment(expected+8, header.TCPFlagAck, 1), true, expected + 8},
		{"FIN", segment(expected+8, header.TCPFlagAck|header.TCPFlagFin, 0), true, expected + 8},
		{"RST", segment(expected+8, header.TCPFlagAck|header.TCPFlagRst, 0), true, expected + 8},
		{"window open", segment(expected+8, header.TCPFlagAck, 0), false, expected + 8},
	} {
		server.windowOpened()
		if test.closed {
			server.closedWindow.Store(windowClosed | uint64(expected))
			h.closedWindows.Add(1)
		}
		before := bytes.Clone(test.packet)
		h.allowACK(test.packet)
		s := header.TCP(test.packet[ipv6Size:])
		if got := s.SequenceNumber(); got != test.want {
			t.Errorf("%s: sequence number %#x, want %#x", test.name, got, test.want)
		}
		if got := sum(addrA, addrB, protoTCP, s); got != 0 {
			t.Errorf("%s: the checksum is off by %#x", test.name, got)
		}
		s.SetSequenceNumber(header.TCP(before[ipv6Size:]).SequenceNumber())
		s.SetChecksum(header.TCP(before[ipv6Size:]).Checksum())
		if !bytes.Equal(test.packet, before) {
			t.Errorf("%s: something else has changed", test.name)
		}
	}
	server.windowOpened()
	for n := range 72 {
		h.allowACK(segment(0, header.TCPFlagAck, 0)[:max(ipv6Size, n)])
	}
}

// TestWindowWatch: a connection whose user does not read is found to offer no
// window, and to offer one again; one that ends leaves nothing behind.
func TestWindowWatch(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	go client.Write(make([]byte, 64<<20))
	eventually(t, "the window is closed", func() bool { return p.b.closedWindows.Load() == 1 })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			if _, err := server.Read(buf); err != nil {
				return
			}
		}
	}()
	eventually(t, "the window is open", func() bool { return p.b.closedWindows.Load() == 0 })

	client2, server2 := p.connect(t, addrA, addrB)
	go client2.Write(make([]byte, 64<<20))
	eventually(t, "the window is closed", func() bool { return server2.closedWindow.Load() != 0 })
	server2.abort()
	eventually(t, "nothing is left", func() bool { return p.b.closedWindows.Load() == 0 })
}
