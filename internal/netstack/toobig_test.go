package netstack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"
)

// clock is a Config.Now that a test moves.
type clock struct{ passed atomic.Int64 }

func (c *clock) now() time.Time              { return time.Unix(1e9, c.passed.Load()) }
func (c *clock) advance(d time.Duration)     { c.passed.Add(int64(d)) }
func (c *clock) in(cfg *Config)              { cfg.Now = c.now }
func tooBig(mtu uint32, quote []byte) []byte { return tooBigFor(addrA, mtu, quote) }

// tooBigFor is a Packet Too Big for the host with addr.
func tooBigFor(addr netip.Addr, mtu uint32, quote []byte) []byte {
	return icmpPacket(router, addr, typeTooBig, 0, mtu, quote[:min(len(quote), maxQuote)])
}

// largestFrame returns the last of the largest packets sent from a, and how
// large it is on the link.
func (p *pair) largestFrame() (packet []byte, size int) {
	for _, f := range p.ab.logged() {
		if n := f.size(); n >= size {
			packet, size = f.packet(), n
		}
	}
	return packet, size
}

// size is that of the largest packet that the frame is cut into.
func (f wireFrame) size() int {
	if f.offload.SegmentSize > 0 {
		return int(f.offload.HeaderLen+f.offload.SegmentSize) - ethernetSize
	}
	return len(f.packet())
}

// send has n octets written to the client and reads them at the server. It
// returns the size of the largest packet.
func (p *pair) send(t *testing.T, client, server *TCPConn, n int) int {
	t.Helper()
	p.ab.forget()
	sent := make([]byte, n)
	for i := range sent {
		sent[i] = byte(i * 7)
	}
	done := make(chan error, 1)
	go func() {
		_, err := client.Write(sent)
		done <- err
	}()
	got := make([]byte, n)
	server.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d octets did not arrive: %v", n, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, size := p.largestFrame()
	return size
}

// withSequence is a quoted TCP packet with another sequence number.
func withSequence(quote []byte, add uint32) []byte {
	quote = bytes.Clone(quote)
	at := quote[ipv6Size+4:]
	be.PutUint32(at, be.Uint32(at)+add)
	return quote
}

func with(b []byte, at int, v byte) []byte {
	b = bytes.Clone(b)
	b[at] = v
	return b
}

// Spec: RFC 8201, section 4, must, PMT-R01
// Spec: RFC 8201, section 4, must, PMT-R02
func TestTooBigTCP(t *testing.T) {
	for _, gso := range []int{0, 65536} {
		p := newPair(t, func(c *Config) { c.GSOMaxSize = gso })
		client, server := p.connect(t, addrA, addrB)
		// gVisor leaves room for all options that a segment may ever have, so
		// data segments do not quite fill the MTU.
		full := p.send(t, client, server, 100e3)
		if full > 1500 || full < 1450 {
			t.Fatalf("packets of %d octets, want 1500 or little less", full)
		}
		// latest is the last segment, as the link sent it.
		latest := func() []byte {
			packet, size := p.largestFrame()
			packet = bytes.Clone(packet[:size])
			be.PutUint16(packet[4:], uint16(size-ipv6Size))
			return packet
		}
		quote := latest()
		fits := bytes.Clone(quote)
		be.PutUint16(fits[4:], 1300-ipv6Size)
		peer := ip(addrB, addrA, 64, protoTCP, quote[ipv6Size:full])
		copy(peer[ipv6Size:], quote[ipv6Size+2:ipv6Size+4])
		copy(peer[ipv6Size+2:], quote[ipv6Size:ipv6Size+2])
		for name, packet := range map[string][]byte{
			"below the minimum":             tooBig(1279, quote),
			"0":                             tooBig(0, quote),
			"the MTU":                       tooBig(1500, quote),
			"above the MTU":                 tooBig(9000, quote),
			"far above the MTU":             tooBig(0x1fffffff, quote),
			"for no flow":                   tooBig(1300, with(quote, ipv6Size, quote[ipv6Size]^1)),
			"without a quote":               tooBig(1300, nil),
			"quoting the peer":              tooBig(1300, peer),
			"of half a TCP header":          tooBig(1300, quote[:ipv6Size+7]),
			"to another address":            tooBigFor(addrA2, 1300, quote),
			"from another address":          tooBig(1300, with(quote, 23, 0xa2)),
			"about a packet that fits":      tooBig(1300, fits),
			"about what is not sent yet":    tooBig(1300, withSequence(quote, 200e3)),
			"about what was sent long ago":  tooBig(1300, withSequence(quote, 0x80000000)),
			"about what was sent before it": tooBig(1300, withSequence(quote, uint32(0xffffffff-64<<20))),
		} {
			before := p.a.Counters()
			p.a.DeliverBytes(packet)
			if got := p.a.Counters(); got.InBadTooBigs != before.InBadTooBigs+1 || got.InTooBigs != before.InTooBigs {
				t.Errorf("%s: not refused", name)
			}
		}
		if got := p.send(t, client, server, 100e3); got != full || len(p.a.PathMTUs()) != 0 {
			t.Errorf("packets of %d octets, want %d as before", got, full)
		}
		// In fragments it would pass by these checks.
		message := icmpMessage(router, addrA, typeTooBig, 0, 1290, quote[:maxQuote&^7])
		p.a.DeliverBytes(ip(router, addrA, 64, fragment, fragmentHeader(protoICMPv6, 0, true, 1), message[:8]))
		p.a.DeliverBytes(ip(router, addrA, 64, fragment, fragmentHeader(protoICMPv6, 8, false, 1), message[8:]))
		if got := p.send(t, client, server, 100e3); got != full {
			t.Errorf("packets of %d octets after a fragmented Packet Too Big, want %d", got, full)
		}
		p.a.DeliverBytes(tooBig(1400, latest()))
		if got := p.send(t, client, server, 100e3); got > 1400 || got < 1350 {
			t.Errorf("packets of %d octets, want 1400 or little less", got)
		}
		if got := p.a.Counters(); got.InTooBigs != 1 || got.OutSegmentsTooBig != 0 {
			t.Errorf("%d obeyed, want 1; %d segments were too big", got.InTooBigs, got.OutSegmentsTooBig)
		}
		p.a.FlushPathMTUs()
		if got := p.send(t, client, server, 100e3); got > 1400 {
			t.Errorf("a connection that was told sends %d octets", got)
		}
	}
}

// TestMustHear: gVisor is told of each decrease once.
func TestMustHear(t *testing.T) {
	var c TCPConn
	for _, test := range []struct {
		mtu  uint32
		want bool
	}{{1400, true}, {1400, false}, {1450, false}, {1300, true}, {1300, false}, {1400, false}} {
		if got := c.mustHear(test.mtu); got != test.want {
			t.Errorf("MTU %d: %v, want %v", test.mtu, got, test.want)
		}
	}
}

// lowerUDP has the path from a to addrB carry mtu octets, as a knows after a
// large datagram.
func (p *pair) lowerUDP(t *testing.T, mtu uint32) {
	t.Helper()
	u := listenUDP(t, p.a, anyAddr)
	defer u.Close()
	p.ab.forget()
	if _, err := u.WriteToUDPAddrPort(make([]byte, 1400), port(addrB, 9)); err != nil {
		t.Fatal(err)
	}
	packet, _ := p.largestFrame()
	p.a.DeliverBytes(tooBig(mtu, packet))
	if got, ok := p.a.PathMTU(addrB); !ok || got != int(mtu) {
		t.Fatalf("path MTU %d, %v, want %d", got, ok, mtu)
	}
	p.ab.forget()
}

// wantFragments checks that packets are the fragments of one packet that fit
// mtu, and returns what they hold: the next header and the data.
func wantFragments(t rapid.TB, packets [][]byte, mtu int) (next uint8, data []byte) {
	t.Helper()
	id, label := uint32(0), uint32(0)
	for i, packet := range packets {
		w, ok := parse(packet, len(packet))
		if !ok || !w.fragmented || w.end != len(packet) || len(packet) > mtu {
			t.Fatalf("piece %d of %d octets: %+v, %v", i, len(packet), w, ok)
		}
		keep, last := perFragment(packet)
		if packet[last] != fragment {
			t.Fatalf("piece %d: next header %d", i, packet[last])
		}
		h := header.IPv6Fragment(packet[keep:])
		if i == 0 {
			next, id, label = h[0], h.ID(), be.Uint32(packet)
		}
		if more := i < len(packets)-1; h.More() != more || more && (len(packet)-keep)%8 != 0 || int(h.FragmentOffset())*8 != len(data) {
			t.Fatalf("piece %d: offset %d of %d, more %v, %d octets", i, h.FragmentOffset()*8, len(data), h.More(), len(packet)-keep-8)
		}
		if h[1] != 0 || h[3]&6 != 0 || h[0] != next || h.ID() != id || be.Uint32(packet) != label {
			t.Fatalf("piece %d: %x, %x", i, packet[:4], []byte(h[:8]))
		}
		data = append(data, packet[keep+fragmentHeaderSize:]...)
	}
	return next, data
}

func packetsOf(frames []wireFrame) (list [][]byte) {
	for _, f := range frames {
		list = append(list, f.packet())
	}
	return list
}

// TestTooBigUDP: datagrams that are too big for their path leave in fragments
// of the right size, also those that are fragments already, and arrive.
//
// Spec: RFC 8201, section 5.2, should, PMT-R04
func TestTooBigUDP(t *testing.T) {
	for _, mtu := range []uint32{1280, 1281, 1399, 1440} {
		p := newPair(t)
		p.lowerUDP(t, mtu)
		server := listenUDP(t, p.b, anyAddr)
		client := dialUDP(t, p.a, port(addrB, server.local.Port()))
		label := uint32(0)
		for _, size := range []int{10, int(mtu) - 48, int(mtu) - 47, 1452, 1453, 3000, 60000} {
			sent := bytes.Repeat([]byte{byte(size), 2, 3}, size)[:size]
			p.ab.forget()
			if _, err := client.Write(sent); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 1<<16)
			if n, err := server.Read(buf); err != nil || !bytes.Equal(buf[:n], sent) {
				t.Errorf("MTU %d, %d octets: read %d, %v", mtu, size, n, err)
			}
			packets := packetsOf(p.ab.logged())
			if size <= int(mtu)-48 {
				if len(packets) != 1 || packets[0][6] != protoUDP {
					t.Errorf("MTU %d, %d octets: %d packets, next header %d", mtu, size, len(packets), packets[0][6])
				}
				label = be.Uint32(packets[0])
				continue
			}
			if next, data := wantFragments(t, packets, int(mtu)); next != protoUDP || len(data) != size+8 {
				t.Errorf("MTU %d, %d octets: fragments of %d octets, next header %d", mtu, size, len(data), next)
			}
			if got := be.Uint32(packets[0]); got != label {
				t.Errorf("MTU %d, %d octets: flow label %#x, want %#x", mtu, size, got, label)
			}
		}
		// Another path has the MTU of the link.
		p.ab.forget()
		other := dialUDP(t, p.a, port(linkB, 9))
		other.Write(make([]byte, 1452))
		if packet, size := p.largestFrame(); size != 1500 || packet[6] != protoUDP {
			t.Errorf("MTU %d: %d octets to another destination, want 1500", mtu, size)
		}
		if got := p.a.Counters().OutFragmented; got == 0 {
			t.Error("nothing counted")
		}
	}
}

// TestTooBigTellsUser: who pings hears that the request was lost (RFC 4443,
// section 3.2). A datagram is no larger than its user may send, and the next
// one is cut to fit, so that he hears nothing.
//
// Spec: RFC 4443, section 3.2, MUST, ICM-R09
func TestTooBigTellsUser(t *testing.T) {
	p := newPair(t)
	p.answer(typeTooBig, 0, 1400)
	c := dialUDP(t, p.a, port(addrB, 53))
	c.Write(make([]byte, 1450))
	eventually(t, "the Packet Too Big", func() bool { return p.a.Counters().InTooBigs == 1 })
	c.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connected socket reads %v", err)
	}
	if _, err := c.Write(make([]byte, 1450)); err != nil {
		t.Errorf("a connected socket writes %v", err)
	}
	p.a.FlushPathMTUs()
	ping, err := p.a.ListenPing(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	ping.SetDeadline(time.Now().Add(10 * time.Second))
	ping.Send(addrB, 1, 0, make([]byte, 1450))
	_, err = ping.Receive(nil)
	wantErrno(t, err, syscall.EMSGSIZE)
	p.a.FlushPathMTUs()
	u := listenUDP(t, p.a, anyAddr)
	before := p.a.Counters().InTooBigs
	u.WriteToUDPAddrPort(make([]byte, 1450), port(addrB, 53))
	eventually(t, "it arrives", func() bool { return p.a.Counters().InTooBigs > before })
	if _, err := u.WriteToUDPAddrPort(make([]byte, 1450), port(addrB, 53)); err != nil {
		t.Errorf("unconnected: %v", err)
	}
}

// TestTooBigForNobody: what UDP and Echo messages a Packet Too Big must quote.
//
// Spec: RFC 8201, section 4, must, PMT-R02
func TestTooBigForNobody(t *testing.T) {
	var now clock
	p := newPair(t, now.in)
	p.ab.setFilter(func(wireFrame) bool { return false })
	c := dialUDP(t, p.a, port(addrB, 53))
	u := listenUDP(t, p.a, anyAddr)
	c.Write(make([]byte, 1450))
	datagram, _ := p.largestFrame()
	p.ab.forget()
	ping, _ := p.a.ListenPing(netip.Addr{})
	ping.Send(addrB, 7, 0, make([]byte, 1450))
	request, _ := p.largestFrame()
	p.ab.forget()
	ping.Send(addrB, 8, 0, make([]byte, 9000)) // in fragments
	first := p.ab.logged()[0].packet()
	later := p.ab.logged()[1].packet()
	p.ab.forget()
	p.a.DeliverBytes(icmpPacket(addrB, addrA, typeEchoRequest, 0, 0x10002, make([]byte, 1450)))
	reply, _ := p.largestFrame()
	if len(first) < 1400 || len(reply) != 1498 {
		t.Fatalf("%d octets, %d octets", len(first), len(reply))
	}
	const ident, sequence = ipv6Size + 4, ipv6Size + 6
	tests := []struct {
		name   string
		quote  []byte
		wanted bool
	}{
		{"another local port", with(datagram, ipv6Size, datagram[ipv6Size]^1), false},
		{"another remote port", with(datagram, ipv6Size+3, 54), false},
		{"another destination", with(datagram, 39, 0xc), false},
		{"no ports", datagram[:ipv6Size+3], false},
		{"another protocol", with(datagram, 6, 47), false},
		{"half an IPv6 header", datagram[:30], false},
		{"of connected UDP", datagram, true},
		{"another identifier", with(request, ident, request[ident]^1), false},
		{"another sequence number", with(request, sequence+1, 9), false},
		{"a request to somebody else", with(request, 39, 0xc), false},
		{"a short Echo Request", request[:ipv6Size+7], false},
		{"another ICMPv6 type", with(request, ipv6Size, 130), false},
		{"an Echo Reply that was a request", with(request, ipv6Size, typeEchoReply), false},
		{"an Echo Request", request, true},
		{"a later fragment", later, false},
		{"a first fragment", first, true},
		{"an Echo Reply", reply, true},
		{"a reply to somebody else", with(reply, 39, 0xc), false},
	}
	check := func(what string, test int, wanted bool) {
		t.Helper()
		p.a.FlushPathMTUs()
		before := p.a.Counters()
		p.a.DeliverBytes(tooBig(1300, tests[test].quote))
		got := p.a.Counters()
		if got.InTooBigs-before.InTooBigs != map[bool]uint64{true: 1}[wanted] || got.InBadTooBigs-before.InBadTooBigs != map[bool]uint64{false: 1}[wanted] {
			t.Errorf("%s%s: obeyed %v, want %v", what, tests[test].name, !wanted, wanted)
		}
		if (len(p.a.PathMTUs()) == 1) != wanted {
			t.Errorf("%s%s: estimates %v", what, tests[test].name, p.a.PathMTUs())
		}
	}
	for i, test := range tests {
		check("", i, test.wanted)
	}
	now.advance(echoMemory + time.Second)
	for i, test := range tests {
		check("later: ", i, test.wanted && test.quote[6] == protoUDP)
	}
	// A small Echo Request cannot have been too big.
	p.ab.forget()
	ping.Send(addrB, 9, 0, make([]byte, 1232))
	small, _ := p.largestFrame()
	be.PutUint16(small[4:], 1460)
	tests = append(tests[:0], struct {
		name   string
		quote  []byte
		wanted bool
	}{"a small request", small, false})
	check("", 0, false)
	c.Close()
	tests[0].name, tests[0].quote = "a socket that was closed", datagram
	check("", 0, false)
	if _, err := u.WriteToUDPAddrPort(make([]byte, 1452), port(group, 5)); err != nil {
		t.Fatal(err)
	}
	toGroup, _ := p.largestFrame()
	p.a.DeliverBytes(tooBigFor(linkA, 1300, toGroup))
	if got, ok := p.a.PathMTU(group); !ok || got != 1300 {
		t.Errorf("path MTU to a group %d, %v, want 1300", got, ok)
	}
}

// TestTooBigEcho: Echo Replies fit their path, after a Packet Too Big about one
// of them.
//
// Spec: RFC 8201, section 4, must, PMT-R02
func TestTooBigEcho(t *testing.T) {
	p := newPair(t)
	p.a.JoinGroup(group)
	ping, err := p.b.ListenPing(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	ping.SetDeadline(time.Now().Add(10 * time.Second))
	ask := func(to netip.Addr, sequence uint16) int {
		t.Helper()
		p.ab.forget()
		sent := bytes.Repeat([]byte{5, 6, 7}, 500)[:1400]
		if err := ping.Send(to, sequence, 0, sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1500)
		if r, err := ping.Receive(got); err != nil || r.Sequence != sequence || !bytes.Equal(got[:r.N], sent) {
			t.Fatalf("%+v, %v", r, err)
		}
		_, size := p.largestFrame()
		return size
	}
	for _, to := range []netip.Addr{addrA, group} {
		if got := ask(to, 1); got != 1448 {
			t.Errorf("reply of %d octets, want 1448", got)
		}
		reply, _ := p.largestFrame()
		from, _ := netip.AddrFromSlice(reply[8:24])
		p.a.DeliverBytes(tooBigFor(from, 1290, reply))
		for sequence := range uint16(2) {
			if got := ask(to, 2+sequence); got > 1290 {
				t.Errorf("reply of %d octets, want 1290 at most", got)
			}
			if next, data := wantFragments(t, packetsOf(p.ab.logged()), 1290); next != protoICMPv6 || len(data) != 1408 {
				t.Errorf("fragments of %d octets, next header %d", len(data), next)
			}
		}
	}
}

// TestTooBigCode: the code is ignored by the receiver (RFC 4443, section 3.2).
func TestTooBigCode(t *testing.T) {
	p := newPair(t)
	c := dialUDP(t, p.a, port(addrB, 9))
	c.Write(make([]byte, 1400))
	packet, _ := p.largestFrame()
	p.a.DeliverBytes(icmpPacket(router, addrA, typeTooBig, 255, 1300, packet[:maxQuote]))
	if got, _ := p.a.PathMTU(addrB); got != 1300 {
		t.Errorf("path MTU %d, want 1300", got)
	}
}

// TestTooBigNewConnection: a connection that begins when the path MTU is known
// sends nothing larger, and gVisor learns it.
func TestTooBigNewConnection(t *testing.T) {
	for _, gso := range []int{0, 65536} {
		p := newPair(t, func(c *Config) { c.GSOMaxSize = gso })
		p.lowerUDP(t, 1300)
		client, server := p.connect(t, addrA, addrB)
		if got := p.send(t, client, server, 1e6); got > 1300 {
			t.Errorf("GSO %d: a packet of %d octets", gso, got)
		}
		frames := p.ab.logged()
		for _, f := range frames {
			o, packet := f.offload, f.packet()
			if o.NeedsChecksum && (packet[6] != protoTCP || int(o.HeaderLen) != ethernetSize+ipv6Size+int(header.TCP(packet[ipv6Size:]).DataOffset())) {
				t.Fatalf("offload %+v of a packet with next header %d", o, packet[6])
			}
		}
		if got := p.a.Counters().OutSegmentsTooBig; got == 0 {
			t.Error("nothing counted")
		}
		if gso > 0 {
			continue
		}
		if frames[len(frames)-1].packet()[6] != protoTCP {
			t.Error("it ends in fragments")
		}
		before := p.a.Counters()
		if got := p.send(t, client, server, 1e6); got > 1300 || got < 1250 {
			t.Errorf("later a packet of %d octets, want 1300 or little less", got)
		}
		if got := p.a.Counters(); got.OutFragmented != before.OutFragmented {
			t.Errorf("later %d segments left in fragments", got.OutFragmented-before.OutFragmented)
		}
		// The same from the side that accepts.
		l, err := p.a.ListenTCP(anyAddr)
		if err != nil {
			t.Fatal(err)
		}
		peer, err := p.b.DialTCP(t.Context(), anyAddr, port(addrA, l.AddrPort().Port()))
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if got := p.send(t, accepted, peer, 1e6); got > 1300 {
			t.Errorf("accepted: a packet of %d octets", got)
		}
		if got := p.send(t, accepted, peer, 1e6); got > 1300 || slices.ContainsFunc(p.ab.logged(), func(f wireFrame) bool { return f.packet()[6] != protoTCP }) {
			t.Errorf("accepted: still fragments, of %d octets", got)
		}
	}
}

// TestTooBigEveryUser: what one connection is told holds for every other user
// of the path.
//
// Spec: RFC 8201, section 5.2, must, PMT-R05
func TestTooBigEveryUser(t *testing.T) {
	p := newPair(t)
	one, oneB := p.connect(t, addrA, addrB)
	two, twoB := p.connect(t, addrA2, addrB)
	three, threeB := p.connect(t, addrA2, addrB)
	if got := p.send(t, two, twoB, 50e3); got < 1450 {
		t.Fatalf("packets of %d octets", got)
	}
	p.send(t, three, threeB, 50e3)
	theirs, _ := p.largestFrame()
	p.send(t, one, oneB, 50e3)
	ours, _ := p.largestFrame()
	p.a.DeliverBytes(tooBig(1300, ours))
	p.a.DeliverBytes(tooBigFor(addrA2, 1300, theirs)) // says nothing new
	if got := p.a.Counters().InTooBigs; got != 2 {
		t.Errorf("%d counted, want 2", got)
	}
	if got := p.a.PathMTUs(); len(got) != 1 || got[0].MTU != 1300 || got[0].Dst != addrB {
		t.Errorf("estimates %+v", got)
	}
	if got := p.send(t, two, twoB, 50e3); got > 1300 {
		t.Errorf("another connection sends %d octets", got)
	}
	before := p.a.Counters().OutSegmentsTooBig
	if got := p.send(t, three, threeB, 50e3); got > 1300 || p.a.Counters().OutSegmentsTooBig != before {
		t.Errorf("one that was told sends %d octets", got)
	}
	u := dialUDP(t, p.a, port(addrB, 9))
	p.ab.forget()
	u.Write(make([]byte, 1452))
	if _, size := p.largestFrame(); size > 1300 {
		t.Errorf("UDP sends %d octets", size)
	}
}

// TestTooBigLifetime: a larger packet is not tried before the time, and then
// is.
//
// Spec: RFC 8201, section 4, must, PMT-R03
func TestTooBigLifetime(t *testing.T) {
	var now clock
	p := newPair(t, now.in)
	p.ab.setFilter(func(wireFrame) bool { return false })
	c := listenUDP(t, p.a, anyAddr)
	largest := func() int {
		p.ab.forget()
		c.WriteToUDPAddrPort(make([]byte, 1452), port(addrB, 9))
		_, size := p.largestFrame()
		return size
	}
	p.lowerUDP(t, 1400)
	now.advance(9 * time.Minute)
	p.lowerUDP(t, 1280)
	now.advance(9*time.Minute + 59*time.Second)
	if got := largest(); got > 1280 {
		t.Errorf("%d octets 9 min 59 s after it was lowered", got)
	}
	now.advance(time.Second)
	if got := largest(); got != 1500 {
		t.Errorf("%d octets 10 min after it was lowered, want 1500", got)
	}
	if len(p.a.PathMTUs()) != 0 || p.a.paths.count.Load() != 0 {
		t.Error("the estimate is still there")
	}
	for _, d := range []time.Duration{-1, time.Nanosecond, 5*time.Minute - 1} {
		if h, err := New(Config{MTU: 1500, PathMTULifetime: d, Output: p.a.cfg.Output, Source: p.a.cfg.Source}); err == nil {
			t.Errorf("a lifetime of %v is taken", d)
			h.Close()
		}
	}
}

// TestSetMTUAndPaths: estimates that the link's MTU reaches are forgotten, the
// others stay, whether it falls or rises.
func TestSetMTUAndPaths(t *testing.T) {
	p := newPair(t)
	p.a.paths.lower(addrB.As16(), 1300)
	p.a.paths.lower(linkB.As16(), 1350)
	p.a.paths.lower(router.As16(), 1400)
	list := func() (s string) {
		for _, e := range p.a.PathMTUs() {
			s += fmt.Sprint(e.Dst, " ", e.MTU, ", ")
		}
		return s
	}
	if got, want := list(), "2001:db8::1 1400, 2001:db8::b 1300, fe80::b%tap0 1350, "; got != want {
		t.Errorf("estimates %s, want %s", got, want)
	}
	for _, test := range []struct {
		mtu  int
		want string
	}{
		{1450, "2001:db8::1 1400, 2001:db8::b 1300, fe80::b%tap0 1350, "},
		{1350, "2001:db8::b 1300, "},
		{1500, "2001:db8::b 1300, "},
		{1280, ""},
	} {
		if err := p.a.SetMTU(test.mtu); err != nil {
			t.Fatal(err)
		}
		if got := list(); got != test.want {
			t.Errorf("MTU %d: estimates %s, want %s", test.mtu, got, test.want)
		}
	}
}

// TestTooBigFlood: at the limit nothing but the table is full.
func TestTooBigFlood(t *testing.T) {
	p := newPair(t, func(c *Config) { c.MaxPathMTUs = 100 })
	p.ab.setFilter(func(wireFrame) bool { return false })
	c := listenUDP(t, p.a, anyAddr)
	a := router.As16()
	for i := range 1000 {
		be.PutUint16(a[12:], uint16(i+1))
		to := port(netip.AddrFrom16(a), 53)
		p.ab.forget()
		c.WriteToUDPAddrPort(make([]byte, 1400), to)
		packet, _ := p.largestFrame()
		p.a.DeliverBytes(tooBig(1300, packet))
	}
	if got := len(p.a.PathMTUs()); got != 100 {
		t.Errorf("%d estimates, want 100", got)
	}
	if got := p.a.Counters(); got.PathMTUsEvicted != 900 || got.InTooBigs != 1000 {
		t.Errorf("%d evicted of %d", got.PathMTUsEvicted, got.InTooBigs)
	}
}
