package stack

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"github.com/tapstack/tapstack/dad"
)

// The knobs of the sockets, seen on the wire.

// udpFrame is a datagram from peerMAC to port 9999 of dst, which nobody has
// opened.
func udpFrame(src, dst netip.Addr) []byte {
	datagram := []byte{0x12, 0x34, 9999 >> 8, 9999 & 0xff, 0, 8, 0, 0}
	s, d := src.As16(), dst.As16()
	sum := checksum.Checksum(s[:], checksum.Checksum(d[:], 17+uint16(len(datagram))))
	binary.BigEndian.PutUint16(datagram[6:], ^checksum.Checksum(datagram, sum))
	return append(appendHeaders(nil, peerMAC, ownMAC, src, dst, 17, 64, len(datagram)), datagram...)
}

// onTheWire attaches an interface with one knob set and returns it with what
// it sends besides Neighbor Discovery and MLD.
func onTheWire(t *testing.T, knob, value string) (i *Interface, l *floodLink, frames func() [][]byte) {
	t.Helper()
	var mu sync.Mutex
	var all [][]byte
	l = &floodLink{in: make(chan []byte), closed: make(chan struct{})}
	l.onSend = func(frame []byte) {
		if p, ok := parseControl(frame); ok && (p.message[0] >= 130 && p.message[0] <= 143) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, frame)
	}
	cfg := Foreseeable(InterfaceConfig{})
	if err := cfg.Profile.Set(knob, value); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if i, err = s.Attach("tap0", l, cfg); err != nil {
		t.Fatal(err)
	}
	if err := i.AddAddress(t.Context(), AddressConfig{
		Prefix: netip.MustParsePrefix("2001:db8::1/64"), OnLink: netip.MustParsePrefix("2001:db8::/64"), DAD: dad.Off,
	}); err != nil {
		t.Fatal(err)
	}
	if err := i.SetNeighbor(netip.MustParseAddr("2001:db8::9"), peerMAC); err != nil {
		t.Fatal(err)
	}
	return i, l, func() [][]byte {
		mu.Lock()
		defer mu.Unlock()
		return append([][]byte(nil), all...)
	}
}

// Spec: RFC 4443, section 3.1, SHOULD, ICM-R03
// Spec: RFC 4443, section 2.4, MUST, ICM-R04
func TestKnobsOfErrors(t *testing.T) {
	own, peer := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::9")
	for _, test := range []struct {
		knob, value string
		want        int // of five
	}{
		{"unreachables", "on", 5}, {"unreachables", "off", 0}, {"icmp_limit", "bucket", 5}, {"icmp_limit", "timer", 1},
	} {
		_, l, frames := onTheWire(t, test.knob, test.value)
		began := time.Now()
		for range 5 {
			l.in <- udpFrame(peer, own)
		}
		l.in <- nil // the last is delivered
		want := test.want
		if test.value == "timer" {
			want += int(time.Since(began) / time.Second) // a slow machine
		}
		if got := len(frames()); got != want {
			t.Errorf("%s=%s: %d errors for five datagrams, want %d", test.knob, test.value, got, want)
		}
	}
}

func TestKnobOfFlowLabels(t *testing.T) {
	for _, value := range []string{"on", "off"} {
		i, _, frames := onTheWire(t, "flow_label", value)
		conn, err := i.stack.DialContext(t.Context(), "udp", "[2001:db8::9]:7")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		fs := frames()
		if len(fs) != 1 {
			t.Fatalf("%d packets, want one", len(fs))
		}
		label := binary.BigEndian.Uint32(fs[0][ethernetHeaderLen:]) & 0xfffff
		if (label != 0) != (value == "on") {
			t.Errorf("flow_label=%s: label %#x", value, label)
		}
	}
}
