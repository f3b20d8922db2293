package netstack

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func (b *RxBuffer) deliverFrame(t *testing.T, packet []byte, valid bool) {
	t.Helper()
	frame := append(make([]byte, ethernetSize), packet...)
	if n := fill(b.Pieces(), frame); n != len(frame) {
		t.Fatalf("%d of %d octets fit", n, len(frame))
	}
	b.Deliver(len(frame), valid)
}

// TestChecksums: a wrong checksum is dropped; a partial one is accepted only if
// the link vouches for it, and never in fragments.
func TestChecksums(t *testing.T) {
	p := newPair(t, func(c *Config) { c.GSOMaxSize = 65536 })
	server := listenUDP(t, p.a, port(unspecified, 53))
	src, dst := port(addrB, 1), port(addrA, 53)
	good := udpMessage(src, dst, []byte("good"))
	wrong := udpMessage(src, dst, []byte("wrong"))
	wrong[6]++
	partial := udpMessage(src, dst, []byte("partial"))
	pseudo := header.PseudoHeaderChecksum(header.UDPProtocolNumber, tcpip.AddrFrom16(addrB.As16()), tcpip.AddrFrom16(addrA.As16()), uint16(len(partial)))
	be.PutUint16(partial[6:], pseudo)
	zero := udpMessage(src, dst, []byte("zero"))
	zero[6], zero[7] = 0, 0
	rx := p.a.NewRxBuffer()
	defer rx.Release()
	for _, test := range []struct {
		name   string
		packet []byte
		valid  bool
		want   bool
	}{
		{"good", ip(addrB, addrA, 64, protoUDP, good), false, true},
		{"good, valid", ip(addrB, addrA, 64, protoUDP, good), true, true},
		{"wrong", ip(addrB, addrA, 64, protoUDP, wrong), false, false},
		{"zero", ip(addrB, addrA, 64, protoUDP, zero), false, false},
		{"partial", ip(addrB, addrA, 64, protoUDP, partial), false, false},
		{"partial, valid", ip(addrB, addrA, 64, protoUDP, partial), true, true},
		{"partial, valid, behind options", ip(addrB, addrA, 64, destOptions, options(protoUDP), partial), true, true},
		{"partial, valid, in a fragment", ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 0, false, 1), partial), true, false},
		{"partial, after all these", ip(addrB, addrA, 64, protoUDP, partial), false, false},
	} {
		rx.deliverFrame(t, test.packet, test.valid)
		server.SetReadDeadline(time.Now().Add(-1))
		if test.want {
			server.SetReadDeadline(time.Now().Add(10 * time.Second))
		}
		_, err := server.Read(nil)
		if test.want && err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if !test.want {
			// Delivery is done when Deliver returns: look without waiting.
			server.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := server.Read(nil); !os.IsTimeout(err) {
				t.Errorf("%s: accepted, %v", test.name, err)
			}
		}
	}
}

// TestRxSizes: frames of every size arrive whole, into pieces that are used
// again and again.
func TestRxSizes(t *testing.T) {
	for _, gso := range []int{0, 65536} {
		p := newPair(t, func(c *Config) { c.GSOMaxSize = gso })
		server := listenUDP(t, p.a, port(unspecified, 53))
		server.SetReadBuffer(1 << 20)
		rx := p.a.NewRxBuffer()
		rng := rand.New(rand.NewPCG(1, 2))
		got := make([]byte, 1<<16)
		largest := 1500 - 48
		if gso > 0 {
			largest = 65535 - 8
		}
		for _, size := range append([]int{0, 1, largest - 1, largest}, rng.Perm(largest)[:100]...) {
			sent := make([]byte, size)
			for i := range sent {
				sent[i] = byte(rng.Uint32())
			}
			packet := ip(addrB, addrA, 64, protoUDP, udpMessage(port(addrB, 1), port(addrA, 53), sent))
			frame := append(make([]byte, ethernetSize), packet...)
			fill(rx.Pieces(), frame)
			if !bytes.Equal(rx.Frame(len(frame)), frame) {
				t.Fatalf("%d octets: Frame differs", size)
			}
			rx.Deliver(len(frame), false)
			if n, err := server.Read(got); err != nil || !bytes.Equal(got[:n], sent) {
				t.Fatalf("%d octets: read %d, %v", size, n, err)
			}
		}
		rx.Release()
	}
}

// TestRxLongHeaders: headers that go on behind the first piece.
func TestRxLongHeaders(t *testing.T) {
	p := newPair(t, func(c *Config) { c.GSOMaxSize = 65536 })
	server := listenUDP(t, p.a, port(unspecified, 53))
	rx := p.a.NewRxBuffer()
	defer rx.Release()
	long := func(next uint8) []byte {
		return options(next, bytes.Repeat(append([]byte{0x1e, 250}, make([]byte, 250)...), 8)...)
	}
	frameOf := func(packet []byte) int { return fill(rx.Pieces(), append(make([]byte, ethernetSize), packet...)) }
	n := frameOf(ip(addrB, addrA, 255, destOptions, long(protoICMPv6), neighborSolicit(addrB, addrA, addrA)))
	if got := rx.Kind(n); got != ND {
		t.Errorf("%v, want ND", got)
	}
	rx.Deliver(n, false)
	if got := p.a.Counters().InControl; got != 1 {
		t.Errorf("%d counted, want 1", got)
	}
	n = frameOf(ip(addrB, addrA, 64, hopByHop, long(destOptions), long(protoUDP), udpMessage(port(addrB, 1), port(addrA, 53), []byte("hello"))))
	if got := rx.Kind(n); got != Data {
		t.Errorf("%v, want Data", got)
	}
	rx.Deliver(n, false)
	if n, err := server.Read(make([]byte, 10)); n != 5 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}

// TestRxShort: frames that are cut anywhere do no harm.
func TestRxShort(t *testing.T) {
	p := newPair(t)
	packet := ip(addrB, addrA, 64, protoUDP, udpMessage(port(addrB, 1), port(addrA, 53), []byte("hello")))
	frame := append(make([]byte, ethernetSize), packet...)
	rx := p.a.NewRxBuffer()
	defer rx.Release()
	for n := range len(frame) {
		fill(rx.Pieces(), frame)
		rx.Deliver(n, false)
		p.a.DeliverBytes(packet[:min(n, len(packet)-1)])
	}
	if got := p.ab.logged(); len(got) != 0 {
		t.Errorf("sent %x", got[0].data)
	}
}

// TestRxMemory: what waits to be read keeps a piece only if it fills more than
// half of it.
func TestRxMemory(t *testing.T) {
	p := newPair(t, func(c *Config) { c.GSOMaxSize = 65536 })
	server := listenUDP(t, p.a, port(unspecified, 53))
	server.SetReadBuffer(1 << 20)
	rx := p.a.NewRxBuffer()
	defer rx.Release()
	second := len(rx.Pieces()[1])
	for _, test := range []struct {
		frame int
		keeps [2]bool
	}{
		{firstPiece / 2, [2]bool{}},
		{firstPiece/2 + 1, [2]bool{true, false}},
		{firstPiece + second/2, [2]bool{true, false}},
		{firstPiece + second/2 + 1, [2]bool{true, true}},
	} {
		data := make([]byte, test.frame-ethernetSize-ipv6Size-header.UDPMinimumSize)
		frame := append(make([]byte, ethernetSize), ip(addrB, addrA, 64, protoUDP, udpMessage(port(addrB, 1), port(addrA, 53), data))...)
		fill(rx.Pieces(), frame)
		rx.Deliver(len(frame), false)
		if got := [2]bool{rx.pieces[0] == nil, rx.pieces[1] == nil}; got != test.keeps {
			t.Errorf("a frame of %d octets keeps %v, want %v", test.frame, got, test.keeps)
		}
	}
}
