package netstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var router = netip.MustParseAddr("2001:db8::1")

// unreachableCodes are the codes of RFC 4443, section 3.1, and what a user
// sees; 0 is nothing, except for a ping.
var unreachableCodes = map[uint8]syscall.Errno{
	0: syscall.ENETUNREACH,
	1: syscall.EACCES,
	2: syscall.EHOSTUNREACH,
	3: syscall.EHOSTUNREACH,
	4: syscall.ECONNREFUSED,
	5: syscall.EACCES,
	6: syscall.EACCES,
	7: 0,
}

// answer has every packet that a sends answered by a router with an ICMPv6
// error, and not delivered.
func (p *pair) answer(icmpType, code uint8, word uint32) {
	p.ab.setFilter(func(f wireFrame) bool {
		src, _ := netip.AddrFromSlice(f.packet()[8:24])
		packet := icmpPacket(router, src, icmpType, code, word, f.packet()[:min(len(f.packet()), maxQuote)])
		p.ba.frames <- wireFrame{data: append(make([]byte, ethernetSize), packet...)}
		return false
	})
}

// Spec: RFC 4443, section 3.1, MUST, ICM-R09
func TestUnreachable(t *testing.T) {
	for code, want := range unreachableCodes {
		p := newPair(t)
		p.answer(typeUnreachable, code, 0)
		check := func(what string, err error) {
			t.Helper()
			if want == 0 {
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("code %d, %s: %v", code, what, err)
				}
				return
			}
			if _, ok := err.(*net.OpError); !ok || !errors.Is(err, want) {
				t.Errorf("code %d, %s: %v, want %v", code, what, err, want)
			}
		}
		patience := 10 * time.Second
		if want == 0 {
			patience = 20 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := p.a.DialTCP(ctx, anyAddr, port(addrB, 80))
		cancel()
		check("TCP dial", err)

		c := dialUDP(t, p.a, port(addrB, 53))
		c.Write([]byte("x"))
		c.SetReadDeadline(time.Now().Add(patience))
		_, err = c.Read(nil)
		check("UDP read", err)
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err = c.Read(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("code %d: an error is returned once, then: %v", code, err)
		}

		errorsSeen := func() uint64 { return p.a.Counters().InErrors }
		before := errorsSeen()
		c.Write([]byte("x"))
		eventually(t, "the error arrives", func() bool { return errorsSeen() > before })
		_, err = c.Write([]byte("x"))
		check("UDP write", err)

		u := listenUDP(t, p.a, anyAddr)
		before = errorsSeen()
		u.WriteToUDPAddrPort([]byte("x"), port(addrB, 53))
		eventually(t, "the error arrives", func() bool { return errorsSeen() > before })
		u.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err = u.Read(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("code %d: read of an unconnected socket: %v", code, err)
		}
		if _, err := u.WriteToUDPAddrPort([]byte("x"), port(addrB, 54)); err != nil {
			t.Errorf("code %d: write to another peer: %v", code, err)
		}
		_, err = u.WriteToUDPAddrPort([]byte("x"), port(addrB, 53))
		check("UDP write, unconnected", err)

		ping, err := p.a.ListenPing(netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		ping.SetDeadline(time.Now().Add(patience))
		if err := ping.Send(addrB, 1, 0, nil); err != nil {
			t.Fatal(err)
		}
		_, err = ping.Receive(nil)
		var failed *PingError
		if !errors.As(err, &failed) || failed.To != addrB {
			t.Errorf("code %d, ping: %#v", code, err)
		}
		if want == 0 {
			wantErrno(t, err, syscall.EPROTO)
			continue
		}
		check("ping", err)
	}
}

// TestOtherErrors: Time Exceeded and Parameter Problem are no reason to give up
// for TCP (RFC 9293, section 3.9.2.2), and what they can be for the others.
//
// Spec: RFC 4443, section 3.3, MUST, ICM-R09
// Spec: RFC 4443, section 3.4, MUST, ICM-R09
// Spec: RFC 4443, section 2.4 (a), MUST, ICM-R05
func TestOtherErrors(t *testing.T) {
	for _, test := range []struct {
		icmpType  uint8
		ping, udp syscall.Errno
	}{
		{typeTimeExceeded, syscall.EHOSTUNREACH, 0},
		{typeParamProblem, syscall.EPROTO, syscall.EPROTO},
		{100, syscall.EPROTO, 0}, // unknown
		{127, syscall.EPROTO, 0},
	} {
		p := newPair(t)
		p.answer(test.icmpType, 0, 0)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if _, err := p.a.DialTCP(ctx, anyAddr, port(addrB, 80)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("type %d ends a dial: %v", test.icmpType, err)
		}
		cancel()
		ping, err := p.a.ListenPing(netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		ping.SetDeadline(time.Now().Add(10 * time.Second))
		ping.Send(addrB, 1, 0, nil)
		_, err = ping.Receive(nil)
		wantErrno(t, err, test.ping)
		c := dialUDP(t, p.a, port(addrB, 53))
		before := p.a.Counters().InErrors
		c.Write(nil)
		eventually(t, "the error arrives", func() bool { return p.a.Counters().InErrors > before })
		_, err = c.Write(nil)
		if test.udp == 0 && err != nil || test.udp != 0 && !errors.Is(err, test.udp) {
			t.Errorf("type %d, UDP: %v, want %v", test.icmpType, err, test.udp)
		}
	}
}

// TestUnreachableWhileReading: who waits already hears of it at once.
//
// Spec: RFC 4443, section 3.1, MUST, ICM-R09
func TestUnreachableWhileReading(t *testing.T) {
	p := newPair(t)
	p.answer(typeUnreachable, 1, 0)
	c := dialUDP(t, p.a, port(addrB, 53))
	ping, err := p.a.ListenPing(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 2)
	go func() { _, err := c.Read(nil); results <- err }()
	go func() { _, err := ping.Receive(nil); results <- err }()
	time.Sleep(5 * time.Millisecond)
	c.Write([]byte("x"))
	ping.Send(addrB, 1, 0, nil)
	for range 2 {
		wantErrno(t, <-results, syscall.EACCES)
	}
}

// TestUnreachableEstablished: an established connection survives ICMPv6 errors
// (RFC 9293, section 3.9.2.2).
func TestUnreachableEstablished(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	p.answer(typeUnreachable, 4, 0)
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the error arrives", func() bool { return p.a.Counters().InErrors > 0 })
	p.ab.setFilter(nil)
	buf := make([]byte, 5)
	server.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := server.Read(buf); err != nil || string(buf) != "hello" {
		t.Errorf("read %q, %v", buf, err)
	}
	server.Close()
	client.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := client.Read(buf); err != io.EOF {
		t.Errorf("at the end: %v, want %v", err, io.EOF)
	}
}

// TestUnreachableForNobody: what is not for a flow of the host, or not intact,
// does nothing.
func TestUnreachableForNobody(t *testing.T) {
	p := newPair(t)
	p.ab.setFilter(func(wireFrame) bool { return false }) // or b says so truly
	c := dialUDP(t, p.a, port(addrB, 53))
	quote := func(src, dst netip.AddrPort, proto uint8) []byte {
		return ip(src.Addr(), dst.Addr(), 64, proto, udpMessage(src, dst, []byte("hello")))
	}
	good := quote(c.local, c.remote, protoUDP)
	damaged := icmpPacket(router, addrA, typeUnreachable, 4, 0, good)
	damaged[len(damaged)-1]++
	for name, packet := range map[string][]byte{
		"another local port":  icmpPacket(router, addrA, typeUnreachable, 4, 0, quote(port(addrA, c.local.Port()^1), c.remote, protoUDP)),
		"another remote port": icmpPacket(router, addrA, typeUnreachable, 4, 0, quote(c.local, port(addrB, 54), protoUDP)),
		"another source":      icmpPacket(router, addrA, typeUnreachable, 4, 0, quote(port(addrA2, c.local.Port()), c.remote, protoUDP)),
		"another protocol":    icmpPacket(router, addrA, typeUnreachable, 4, 0, quote(c.local, c.remote, protoTCP)),
		"a later fragment": icmpPacket(router, addrA, typeUnreachable, 4, 0,
			ip(addrA, addrB, 64, fragment, fragmentHeader(protoUDP, 8, true, 1), good[ipv6Size:])),
		"a quote without ports": icmpPacket(router, addrA, typeUnreachable, 4, 0, good[:ipv6Size+3]),
		"half a header":         icmpPacket(router, addrA, typeUnreachable, 4, 0, good[:30]),
		"no quote":              icmpPacket(router, addrA, typeUnreachable, 4, 0, nil),
		"to another address":    icmpPacket(router, addrA2, typeUnreachable, 4, 0, good),
		"no ICMPv6 header":      ip(router, addrA, 64, protoICMPv6, []byte{typeUnreachable, 4, 0, 0}),
		"a wrong checksum":      damaged,
		"not our address":       icmpPacket(router, addrB, typeUnreachable, 4, 0, good),
	} {
		before := p.a.Counters().InBadErrors
		p.a.DeliverBytes(packet)
		if got := p.a.Counters().InBadErrors; got != before+1 {
			t.Errorf("%s: %d counted, want 1", name, got-before)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.a.DeliverBytes(icmpPacket(router, addrA, typeUnreachable, 4, 0, good))
	_, err := c.Write([]byte("x"))
	wantErrno(t, err, syscall.ECONNREFUSED)
}

// TestErrorsBounded: errors that nobody collects are bounded in number.
func TestErrorsBounded(t *testing.T) {
	p := newPair(t)
	u := listenUDP(t, p.a, anyAddr)
	ping, err := p.a.ListenPing(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		u.fail(flowKey{remotePort: uint16(i + 1)}, syscall.ECONNREFUSED, true)
		ping.fail(flowKey{}, syscall.EHOSTUNREACH, true)
	}
	if n := len(u.peerErrors); n > maxPeerErrors || n == 0 {
		t.Errorf("%d errors of peers wait", n)
	}
	if n := len(ping.failed); n != maxPingErrors {
		t.Errorf("%d errors of requests wait", n)
	}
	_, err = u.WriteToUDPAddrPort(nil, port(unspecified, 1000))
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
}

// TestLocalUnreachable: a packet that Output took and that cannot be delivered
// is an error as if a router had said so.
func TestLocalUnreachable(t *testing.T) {
	p := newPair(t)
	var kept []*Packet
	p.a.cfg.Output = func(pkt *Packet) error {
		kept = append(kept, pkt.Keep())
		return nil
	}
	fail := func() {
		for _, k := range kept {
			p.a.Unreachable(k, 3)
			k.Release()
		}
		kept = nil
	}
	c := dialUDP(t, p.a, port(addrB, 53))
	c.Write([]byte("x"))
	fail()
	_, err := c.Write([]byte("x"))
	wantErrno(t, err, syscall.EHOSTUNREACH)
	c.Write(make([]byte, 4000)) // in fragments
	fail()
	_, err = c.Write([]byte("x"))
	wantErrno(t, err, syscall.EHOSTUNREACH)

	p.a.cfg.Output = func(pkt *Packet) error {
		k := pkt.Keep()
		time.AfterFunc(time.Millisecond, func() {
			p.a.Unreachable(k, 3)
			k.Release()
		})
		return nil
	}
	_, err = p.a.DialTCP(context.Background(), anyAddr, port(addrB, 80))
	wantErrno(t, err, syscall.EHOSTUNREACH)
}

// TestOutputError: an error of Config.Output reaches whoever sent the packet.
func TestOutputError(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EACCES, syscall.EADDRNOTAVAIL, syscall.EMSGSIZE} {
		p := newPair(t)
		p.ab.setError(errno)
		_, err := p.a.DialTCP(context.Background(), anyAddr, port(addrB, 80))
		wantErrno(t, err, errno)
		c := dialUDP(t, p.a, port(addrB, 53))
		_, err = c.Write([]byte("x"))
		wantErrno(t, err, errno)
		u := listenUDP(t, p.a, anyAddr)
		_, err = u.WriteToUDPAddrPort([]byte("x"), port(addrB, 53))
		wantErrno(t, err, errno)
		ping, _ := p.a.ListenPing(netip.Addr{})
		wantErrno(t, ping.Send(addrB, 1, 0, nil), errno)
	}
	p := newPair(t)
	p.ab.setError(syscall.ENOBUFS)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.a.DialTCP(ctx, anyAddr, port(addrB, 80)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a passing shortage ends a dial: %v", err)
	}
}

// TestSetMTU: established connections follow a smaller MTU, and send no
// fragments.
func TestSetMTU(t *testing.T) {
	for _, gso := range []int{0, 65536} {
		p := newPair(t, func(c *Config) { c.MTU, c.GSOMaxSize = 9000, max(gso, 0) })
		client, server := p.connect(t, addrA, addrB)
		if err := p.a.SetMTU(1400); err != nil {
			t.Fatal(err)
		}
		p.ab.forget()
		go func() {
			client.Write(make([]byte, 300e3))
			client.CloseWrite()
		}()
		buf, total := make([]byte, 1<<16), 0
		server.SetDeadline(time.Now().Add(10 * time.Second))
		for total < 300e3 {
			n, err := server.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
		for _, f := range p.ab.logged() {
			size := len(f.packet())
			if f.offload.SegmentSize > 0 {
				size = int(f.offload.HeaderLen+f.offload.SegmentSize) - ethernetSize
			}
			if size > 1400 || f.packet()[6] != protoTCP {
				t.Fatalf("a packet of %d octets, next header %d", size, f.packet()[6])
			}
		}
		wantErrno(t, p.a.SetMTU(1279), syscall.EINVAL)
		wantErrno(t, p.a.SetMTU(9001), syscall.EINVAL)
	}
}

// Spec: RFC 4443, section 4.2, SHOULD, ICM-R06
func TestGroupEcho(t *testing.T) {
	p := newPair(t)
	if err := p.b.JoinGroup(group); err != nil {
		t.Fatal(err)
	}
	ping, err := p.a.ListenPing(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	ping.SetDeadline(time.Now().Add(10 * time.Second))
	for i, to := range []netip.Addr{group, netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::1:ff00:b")} {
		sent := bytes.Repeat([]byte("hello"), 1+i*100)
		if err := ping.Send(to, uint16(i), 0, sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1500)
		r, err := ping.Receive(got)
		want := EchoReply{From: linkB.WithZone("tap0"), To: linkA.WithZone("tap0"), Sequence: uint16(i), HopLimit: 64, N: len(sent)}
		if err != nil || r != want || !bytes.Equal(got[:r.N], sent) {
			t.Errorf("%v: %+v, %v, want %+v", to, r, err, want)
		}
	}
	if got := p.b.Counters().InGroupEchos; got != 3 {
		t.Errorf("%d counted, want 3", got)
	}
	p.ba.forget()
	damaged := icmpPacket(addrA, group, typeEchoRequest, 0, 1, []byte("hello"))
	damaged[len(damaged)-1]++
	for _, packet := range [][]byte{
		icmpPacket(addrA, netip.MustParseAddr("ff02::9"), typeEchoRequest, 0, 1, nil),
		icmpPacket(unspecified, group, typeEchoRequest, 0, 1, nil),
		damaged,
	} {
		p.b.DeliverBytes(packet)
	}
	if got := p.ba.logged(); len(got) != 0 {
		t.Errorf("answered: %x", got[0].data)
	}
}

func TestPing(t *testing.T) {
	p := newPair(t)
	ping, err := p.a.ListenPing(addrA2)
	if err != nil {
		t.Fatal(err)
	}
	other, err := p.a.ListenPing(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if ping.Ident() == other.Ident() {
		t.Error("two sockets with one identifier")
	}
	ping.SetDeadline(time.Now().Add(10 * time.Second))
	for _, size := range []int{0, 1, 56, 1452, 1453, 9000} {
		sent := bytes.Repeat([]byte{7}, size)
		if err := ping.Send(addrB, uint16(size), 0, sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1<<16)
		r, err := ping.Receive(got)
		want := EchoReply{From: addrB, To: addrA2, Sequence: uint16(size), HopLimit: 64, N: size}
		if err != nil || r != want || !bytes.Equal(got[:r.N], sent) {
			t.Errorf("%d octets: %+v, %v, want %+v", size, r, err, want)
		}
	}
	p.ab.forget()
	ping.Send(addrB, 9, 3, nil)
	if got := p.ab.logged()[0].packet()[7]; got != 3 {
		t.Errorf("hop limit %d, want 3", got)
	}
	if r, err := ping.Receive(nil); err != nil || r.Sequence != 9 {
		t.Errorf("%+v, %v", r, err)
	}
	p.answer(typeTimeExceeded, 0, 0)
	ping.Send(addrB, 10, 1, nil)
	_, err = ping.Receive(nil)
	wantErrno(t, err, syscall.EHOSTUNREACH)
	wantErrno(t, ping.Send(unspecified, 1, 0, nil), syscall.EADDRNOTAVAIL)
}

// Spec: RFC 8200, section 4.5, must, FRG-R06
func TestIncompleteFirstFragment(t *testing.T) {
	p := newPair(t)
	first := ip(addrB, addrA, 64, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoICMPv6))
	p.a.DeliverBytes(first)
	frames := p.ab.logged()
	if len(frames) != 1 {
		t.Fatalf("%d packets, want 1", len(frames))
	}
	want := icmpPacket(addrA, addrB, typeParamProblem, codeIncompleteChain, 0, first)
	got := frames[0].packet()
	copy(want[:4], got[:4]) // flow label
	if !bytes.Equal(got, want) {
		t.Errorf("sent\n%x, want\n%x", got, want)
	}
	for _, silent := range [][]byte{
		ip(unspecified, addrA, 64, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoICMPv6)),
		ip(addrB, netip.MustParseAddr("ff02::1"), 64, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoICMPv6)),
		ip(addrB, router, 64, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoICMPv6)),
	} {
		p.a.DeliverBytes(silent)
	}
	if got := p.ab.logged(); len(got) != 1 {
		t.Errorf("answered: %x", got[1].packet())
	}
	if got := p.a.Counters().InIncompleteFirstFragments; got != 4 {
		t.Errorf("%d counted, want 4", got)
	}
}

// TestErrorRate: all errors, of gVisor and of this package, come out of one
// bucket, so that one kind leaves nothing for another.
//
// Spec: RFC 4443, section 2.4 (f), MUST, ICM-R04
func TestErrorRate(t *testing.T) {
	udp := udpMessage(port(addrB, 1), port(addrA, 2), nil)
	kinds := map[string][]byte{
		"incomplete header":   ip(addrB, addrA, 64, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoICMPv6)),
		"port":                ip(addrB, addrA, 64, protoUDP, udp),
		"next header":         ip(addrB, addrA, 64, 200, udp),
		"option":              ip(addrB, addrA, 64, destOptions, options(protoUDP, 0x9e, 0), udp),
		"option, to a group":  ip(addrB, group, 64, destOptions, options(protoUDP, 0x9e, 0), udp),
		"length of fragments": ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 0, true, 1), append(udp, 1)),
	}
	for first, packet := range kinds {
		for second, other := range kinds {
			synctest.Test(t, func(t *testing.T) {
				h, w := solo(t, func(c *Config) { c.ErrorRate, c.ErrorBurst = 1, 5 })
				for range 20 {
					h.DeliverBytes(packet)
				}
				for range 20 {
					h.DeliverBytes(other)
				}
				if got := len(w.logged()); got != 5 {
					t.Errorf("%s, then %s: %d errors sent, want 5", first, second, got)
				}
				if got := h.Counters().OutErrorsLimited; got != 35 {
					t.Errorf("%s, then %s: %d counted, want 35", first, second, got)
				}
				time.Sleep(3 * time.Second)
				for range 20 {
					h.DeliverBytes(other)
				}
				if got := len(w.logged()); got != 8 {
					t.Errorf("%s, then %s: %d errors after 3 s, want 8", first, second, got)
				}
			})
		}
	}
	h, w := solo(t, func(c *Config) { c.ErrorRate, c.ErrorBurst = 0, 0 })
	for range 50 {
		h.DeliverBytes(kinds["port"])
	}
	if got := len(w.logged()); got != defaultErrorRate && got != defaultErrorRate+1 {
		t.Errorf("%d errors sent by default, want %d", got, defaultErrorRate)
	}
}

// TestErrorQuote: the errors of this package have as much of the packet as
// fits.
//
// Spec: RFC 4443, section 2.4 (c), MUST, ICM-R02
func TestErrorQuote(t *testing.T) {
	h, w := solo(t)
	for _, size := range []int{8, 1280 - 48 - 48, 1280 - 48 - 40, 1400} {
		long := options(protoUDP, append([]byte{0x1e, 250}, make([]byte, 250)...)...)
		var chain []byte
		for len(chain)+len(long) <= size {
			chain = append(chain, long...)
			chain[len(chain)-len(long)] = destOptions
		}
		packet := ip(addrB, addrA, 64, fragment, fragmentHeader(destOptions, 0, true, 1), append(chain, options(destOptions)...))
		wantError(t, "incomplete header", w.answers(h, packet), packet, typeParamProblem, codeIncompleteChain, 0)
	}
}

// TestUnknownOptions: what an unknown option asks for (RFC 8200, section 4.2),
// with ND behind it, to one host and to a group.
func TestUnknownOptions(t *testing.T) {
	for _, test := range []struct {
		option           byte
		unicast, toGroup int // Parameter Problems
	}{
		{0x5e, 0, 0}, // 01: discard
		{0x9e, 1, 1}, // 10: discard, tell
		{0xde, 1, 0}, // 11: discard, tell if not to a group
	} {
		for _, next := range []uint8{hopByHop, destOptions} {
			for dst, want := range map[netip.Addr]int{addrA: test.unicast, group: test.toGroup} {
				p := newPair(t)
				p.a.JoinGroup(group)
				offending := ip(addrB, dst, 255, next, options(protoICMPv6, 5, 2, 0, 0, test.option, 0), neighborSolicit(addrB, dst, addrA))
				p.a.DeliverBytes(offending)
				frames := p.ab.logged()
				if len(frames) != want {
					t.Errorf("option %#x in %d to %v: %d packets, want %d", test.option, next, dst, len(frames), want)
					continue
				}
				if want == 1 {
					wanted := icmpPacket(addrA, addrB, typeParamProblem, codeUnknownOption, ipv6Size+6, offending)
					got := frames[0].packet()
					copy(wanted[:4], got[:4])
					if !bytes.Equal(got, wanted) {
						t.Errorf("option %#x in %d to %v: sent\n%x, want\n%x", test.option, next, dst, got, wanted)
					}
				}
			}
		}
	}
}
