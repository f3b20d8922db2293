package netstack

import (
	"bytes"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"pgregory.net/rapid"
)

// packetOf makes a packet of headers, which are an IPv6 header and perhaps
// extension headers, and data.
func packetOf(headers, data []byte) *Packet {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: ethernetSize + len(headers), Payload: bufferOf(data)})
	pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
	copy(pkt.NetworkHeader().Push(len(headers)), headers)
	return (*Packet)(pkt)
}

// TestFragment: fragments of any packet, and fragments of fragments, hold the
// packet, fit the MTU, and each has the headers that routers look at.
func TestFragment(t *testing.T) {
	h, w := solo(t)
	cut := func(t rapid.TB, headers, data []byte, mtu int) [][]byte {
		w.forget()
		p := packetOf(headers, data)
		if err := h.fragment(p, p.headers(), mtu); err != nil {
			t.Fatal(err)
		}
		p.buffer().DecRef()
		return packetsOf(w.logged())
	}
	rapid.Check(t, func(t *rapid.T) {
		var chain [][]byte
		next := uint8(protoUDP)
		kept := ipv6Size
		if rapid.Bool().Draw(t, "Destination Options") {
			chain = append(chain, options(next, make([]byte, rapid.IntRange(0, 40).Draw(t, "option octets"))...))
			next = destOptions
		}
		extensions := len(chain)
		if rapid.Bool().Draw(t, "Routing") {
			chain, next = append(chain, routingHeader(next, 0)), routing
			if rapid.Bool().Draw(t, "Destination Options before") {
				chain, next = append(chain, options(next)), destOptions
			}
		}
		if rapid.Bool().Draw(t, "Hop-by-Hop Options") {
			chain, next = append(chain, options(next, make([]byte, rapid.IntRange(0, 40).Draw(t, "more octets"))...)), hopByHop
		}
		var headers, rest []byte
		for i, b := range chain { // from the last to the first
			if i < extensions {
				rest = append(bytes.Clone(b), rest...)
			} else {
				headers = append(bytes.Clone(b), headers...)
				kept += len(b)
			}
		}
		data := append(rest, make([]byte, rapid.IntRange(1300, 9000).Draw(t, "data octets"))...)
		for i := range data[len(rest):] {
			data[len(rest)+i] = byte(i * 7)
		}
		headers = append(ip(addrA, addrB, 64, next, headers, data)[:ipv6Size], headers...)
		_, last := perFragment(headers)
		first, second := rapid.IntRange(1280, 1500).Draw(t, "first MTU"), rapid.IntRange(1280, 1500).Draw(t, "second MTU")
		var again [][]byte
		pieces := cut(t, append(bytes.Clone(headers), rest...), data[len(rest):], max(first, second))
		for _, piece := range pieces {
			want := with(headers, last, fragment)
			copy(want[0:6], piece) // flow label and length
			if !bytes.Equal(piece[:kept], want) {
				t.Fatalf("headers %x, want %x", piece[:kept], want)
			}
			if len(piece) <= min(first, second) {
				again = append(again, piece)
				continue
			}
			again = append(again, cut(t, piece[:kept+8], piece[kept+8:], min(first, second))...)
		}
		for _, list := range [][][]byte{pieces, again} {
			mtu := max(first, second)
			if &list[0] == &again[0] {
				mtu = min(first, second)
			}
			_, got := wantFragments(t, list, mtu)
			if !bytes.Equal(got, data) {
				t.Fatalf("%d octets, want %d", len(got), len(data))
			}
		}
	})
}

// TestFragmentError: when a fragment does not leave, no more do, and the
// writer hears of it.
func TestFragmentError(t *testing.T) {
	p := newPair(t)
	p.lowerUDP(t, 1280)
	c := dialUDP(t, p.a, port(addrB, 9))
	p.ab.setError(101)
	_, err := c.Write(make([]byte, 1452))
	wantErrno(t, err, 101)
}

// TestFragmentIdentification: a pair of addresses has each value once, and
// pairs do not tell each other's (RFC 7739, section 5.3).
func TestFragmentIdentification(t *testing.T) {
	h, _ := solo(t)
	one, two := ip(addrA, addrB, 64, protoUDP), ip(addrA, router, 64, protoUDP)
	seen := map[uint32]bool{}
	near := 0
	last := h.fragmentIDs.next(h, two)
	for range 10000 {
		id := h.fragmentIDs.next(h, one)
		if seen[id] {
			t.Fatalf("%#x comes again", id)
		}
		seen[id] = true
		if id-last < 1<<16 || last-id < 1<<16 {
			near++
		}
		last = h.fragmentIDs.next(h, two)
	}
	if near > 0 {
		t.Errorf("%d values of two pairs are near each other", near)
	}
	other, _ := solo(t)
	if h.fragmentIDs.next(h, one)-other.fragmentIDs.next(other, one) < 1<<16 {
		t.Error("two hosts count from the same value")
	}
}

// TestGVisorIdentification: nor do the fragments that gVisor makes tell theirs
// beforehand.
func TestGVisorIdentification(t *testing.T) {
	p := newPair(t)
	p.ab.setFilter(func(wireFrame) bool { return false })
	c := dialUDP(t, p.a, port(addrB, 9))
	ids := map[uint32]bool{}
	last := uint32(0)
	for range 100 {
		p.ab.forget()
		c.Write(make([]byte, 3000))
		id := header.IPv6Fragment(p.ab.logged()[0].packet()[ipv6Size:]).ID()
		if ids[id] || id-last < 1<<8 {
			t.Errorf("%#x after %#x", id, last)
		}
		ids[id], last = true, id
	}
}

// TestControlInFragments: nothing of Neighbor Discovery or MLD leaves here, and
// so nothing of it in fragments.
//
// Spec: RFC 6980, section 5, MUST NOT, FRG-R01
func TestControlInFragments(t *testing.T) {
	p := newPair(t)
	p.a.paths.lower(addrB.As16(), 1280)
	p.ab.forget()
	types := []uint8{130, 131, 132, 133, 134, 135, 136, 137, 143}
	for _, icmpType := range types {
		p.a.sendICMPv6(addrA, addrB, [4]byte{icmpType}, 0, make([]byte, 1400), 0)
	}
	if got := p.ab.logged(); len(got) != 0 {
		t.Errorf("sent %x", got[0].data)
	}
	if got := p.a.Counters(); got.OutControl != uint64(len(types)) || got.OutFragmented != 0 {
		t.Errorf("%d counted, %d fragmented", got.OutControl, got.OutFragmented)
	}
}
