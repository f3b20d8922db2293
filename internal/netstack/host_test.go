package netstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// resets returns the flows for which a RST was sent, as "local>remote".
func (w *wire) resets() (list []string) {
	for _, f := range w.logged() {
		p := f.packet()
		if tcp := p[ipv6Size:]; p[6] == protoTCP && header.TCP(tcp).Flags().Contains(header.TCPFlagRst) {
			src, _ := netip.AddrFromSlice(p[8:24])
			dst, _ := netip.AddrFromSlice(p[24:40])
			list = append(list, port(src, be.Uint16(tcp[0:])).String()+">"+port(dst, be.Uint16(tcp[2:])).String())
		}
	}
	slices.Sort(list)
	return list
}

// exchange sends a few octets from one connection to another.
func exchange(t testing.TB, from, to *TCPConn) {
	t.Helper()
	sent, got := []byte("hello"), make([]byte, 5)
	if _, err := from.Write(sent); err != nil {
		t.Error(err)
		return
	}
	to.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestRemoveAddressAborts: exactly the connections of the address end, each
// with a RST on the wire; listeners and UDP sockets stay.
func TestRemoveAddressAborts(t *testing.T) {
	p := newPair(t)
	stay, stayB := p.connect(t, addrA, addrB)
	var gone, goneB []*TCPConn
	var want []string
	for range 3 {
		c, s := p.connect(t, addrA2, addrB)
		gone, goneB = append(gone, c), append(goneB, s)
		want = append(want, c.local.String()+">"+c.remote.String())
	}
	slices.Sort(want)
	listener, err := p.a.ListenTCP(port(addrA2, 80))
	if err != nil {
		t.Fatal(err)
	}
	// One that the user has not accepted yet.
	ctx := context.Background()
	waiting, err := p.b.DialTCP(ctx, anyAddr, listener.AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection waits for Accept", func() bool { return len(listener.accepted) == 1 })
	want = append(want, waiting.remote.String()+">"+waiting.local.String())
	slices.Sort(want)
	udp := listenUDP(t, p.a, port(addrA2, 53))
	connected, err := p.a.DialUDP(port(addrA2, 54), port(addrB, 53))
	if err != nil {
		t.Fatal(err)
	}
	reading := make(chan error)
	go func() {
		_, err := gone[0].Read(make([]byte, 1))
		reading <- err
	}()
	// And one that its user has closed, but whose peer has not.
	gone[2].Close()

	if err := p.a.RemoveAddress(addrA2, true); err != nil {
		t.Fatal(err)
	}
	// The one that was closed may get a second one, for the peer's answer.
	if got := slices.Compact(p.ab.resets()); !slices.Equal(got, want) {
		t.Errorf("resets for\n%v, want\n%v", got, want)
	}
	wantErrno(t, <-reading, syscall.ECONNABORTED)
	_, err = gone[0].Read(make([]byte, 1))
	wantErrno(t, err, syscall.ECONNABORTED)
	_, err = gone[1].Write([]byte("x"))
	wantErrno(t, err, syscall.ECONNABORTED)
	for _, s := range append(goneB[:2], waiting) {
		s.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err := s.Read(make([]byte, 1))
		wantErrno(t, err, syscall.ECONNRESET)
	}
	exchange(t, stay, stayB)
	exchange(t, stayB, stay)

	_, err = udp.WriteToUDPAddrPort([]byte("x"), port(addrB, 53))
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
	_, err = connected.Write([]byte("x"))
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
	if p.a.HasAddress(addrA2.As16()) {
		t.Error("the address is still there")
	}
	wantErrno(t, p.a.RemoveAddress(addrA2, true), syscall.EADDRNOTAVAIL)
	if err := p.a.AddAddress(addrA2); err != nil {
		t.Fatal(err)
	}
	if _, err = udp.WriteToUDPAddrPort([]byte("x"), port(addrB, 53)); err != nil {
		t.Errorf("UDP with the address back: %v", err)
	}
	if _, err = connected.Write([]byte("x")); err != nil {
		t.Errorf("connected UDP with the address back: %v", err)
	}
	if _, err := listener.AcceptTCP(); err != nil {
		t.Error(err)
	}
	if _, err := p.b.DialTCP(ctx, anyAddr, listener.AddrPort()); err != nil {
		t.Errorf("listener with the address back: %v", err)
	}
}

// TestRemoveAddressSilently: no packet leaves, not for data that is written
// either; with the address back the connection goes on.
func TestRemoveAddressSilently(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA2, addrB)
	exchange(t, client, server)
	eventually(t, "the last acknowledgment", func() bool { return p.quiet() })
	p.ab.forget()
	if err := p.a.RemoveAddress(addrA2, false); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	server.Write([]byte("world"))
	time.Sleep(300 * time.Millisecond) // longer than the retransmission time
	if got := p.ab.logged(); len(got) != 0 {
		t.Fatalf("sent %x", got[0].data)
	}
	if err := p.a.AddAddress(addrA2); err != nil {
		t.Fatal(err)
	}
	for c, want := range map[*TCPConn]string{server: "hello", client: "world"} {
		got := make([]byte, 5)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	}
	exchange(t, client, server)
}

// quiet reports whether no frame was sent for a while.
func (p *pair) quiet() bool {
	before := p.ab.sent.Load() + p.ba.sent.Load()
	time.Sleep(20 * time.Millisecond)
	return p.ab.sent.Load()+p.ba.sent.Load() == before
}

// TestAbortAfterRemoval: connections of an address that is gone end without a
// packet.
func TestAbortAfterRemoval(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA2, addrB)
	exchange(t, client, server)
	eventually(t, "the last acknowledgment", func() bool { return p.quiet() })
	p.ab.forget()
	if err := p.a.RemoveAddress(addrA2, false); err != nil {
		t.Fatal(err)
	}
	p.a.AbortConnections(addrA2)
	_, err := client.Read(make([]byte, 1))
	wantErrno(t, err, syscall.ECONNABORTED)
	if got := p.ab.logged(); len(got) != 0 {
		t.Errorf("sent %x", got[0].data)
	}
	if len(p.a.flows.conns) != 0 {
		t.Error("the flow table keeps connections that have ended")
	}
}

// TestSilence: a host sends nothing of its own accord.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(macA)
		h, err := New(Config{MTU: 1500, WithoutTCP: true, Output: w.output,
			Source: func(netip.Addr) (netip.Addr, error) { return addrA, nil }})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []netip.Addr{addrA, linkA} {
			if err := h.AddAddress(a); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.JoinGroup(group); err != nil {
			t.Fatal(err)
		}
		c := listenUDP(t, h, anyAddr)
		time.Sleep(24 * time.Hour)
		h.LeaveGroup(group)
		h.RemoveAddress(linkA, false)
		h.RemoveAddress(addrA, true)
		time.Sleep(time.Hour)
		c.Close()
		h.Close()
		if got := w.logged(); len(got) != 0 {
			t.Errorf("sent %x", got[0].data)
		}
	})
}

// TestNeighborSolicit: a Neighbor Solicitation does not reach gVisor, which
// would answer it, and it is counted.
func TestNeighborSolicit(t *testing.T) {
	p := newPair(t)
	for _, packet := range [][]byte{
		ip(addrB, addrA, 255, protoICMPv6, neighborSolicit(addrB, addrA, addrA)),
		ip(addrB, addrA, 255, destOptions, options(protoICMPv6), neighborSolicit(addrB, addrA, addrA)),
		ip(addrB, addrA, 255, routing, routingHeader(protoICMPv6, 0), neighborSolicit(addrB, addrA, addrA)),
	} {
		p.a.DeliverBytes(packet)
	}
	if got := p.ab.logged(); len(got) != 0 {
		t.Errorf("sent %x", got[0].data)
	}
	if got := p.a.Counters(); got.InControl != 3 || got.OutControl != 0 {
		t.Errorf("%+v", got)
	}
	// And if it did, what gVisor sends would not leave.
	p.a.deliver(bufferOf(ip(addrB, addrA, 255, protoICMPv6, neighborSolicit(addrB, addrA, addrA))), false)
	if got := p.ab.logged(); len(got) != 0 {
		t.Errorf("sent %x", got[0].data)
	}
	if got := p.a.Counters().OutControl; got != 1 {
		t.Errorf("%d counted, want 1", got)
	}
}

func TestAddAddress(t *testing.T) {
	p := newPair(t)
	wantErrno(t, p.a.AddAddress(addrA), syscall.EEXIST)
	wantErrno(t, p.a.AddAddress(linkA.WithZone("tap0")), syscall.EEXIST)
	for _, bad := range []netip.Addr{{}, group, unspecified, netip.IPv6Loopback(), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1")} {
		wantErrno(t, p.a.AddAddress(bad), syscall.EINVAL)
	}
	wantErrno(t, p.a.RemoveAddress(addrB, false), syscall.EADDRNOTAVAIL)
	if p.a.RemoveAddress(netip.Addr{}, false) == nil {
		t.Error("removing nothing succeeds")
	}
}

// TestManyAddresses: the cost of an address does not grow with their number.
func TestManyAddresses(t *testing.T) {
	p := newPair(t)
	const n = 20000
	at := func(i int) netip.Addr {
		a := netip.MustParseAddr("2001:db8:1::").As16()
		be.PutUint32(a[12:], uint32(i))
		return netip.AddrFrom16(a)
	}
	for i := range n {
		if err := p.a.AddAddress(at(i)); err != nil {
			t.Fatal(err)
		}
	}
	server := listenUDP(t, p.a, anyAddr)
	client := listenUDP(t, p.b, anyAddr)
	for _, i := range []int{0, n / 2, n - 1} {
		client.WriteToUDPAddrPort([]byte("x"), port(at(i), server.local.Port()))
		if _, m, err := server.ReadMsg(nil); err != nil || m.Local != at(i) {
			t.Errorf("%+v, %v", m, err)
		}
	}
	for i := range n {
		if err := p.a.RemoveAddress(at(i), i%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAcceptAfterRemoval: a connection that gVisor has accepted when its address
// is gone already ends, without a packet.
func TestAcceptAfterRemoval(t *testing.T) {
	p := newPair(t)
	l, err := p.b.ListenTCP(port(addrB, 80))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.a.DialTCP(context.Background(), anyAddr, l.AddrPort()); err != nil {
		t.Fatal(err)
	}
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	p.b.unregister(c.key, c)
	eventually(t, "the last acknowledgment", func() bool { return p.quiet() })
	p.ba.forget()
	if err := p.b.RemoveAddress(addrB, true); err != nil {
		t.Fatal(err)
	}
	if got := l.newConn(c.ep, c.wq); got != nil {
		t.Error("it is handed to the user")
	}
	if len(p.b.flows.conns) != 0 {
		t.Error("it is in the flow table")
	}
	if got := p.ba.logged(); len(got) != 0 {
		t.Errorf("sent %x", got[0].data)
	}
}

// TestClose: everything that waits ends, peers are told, and what comes later
// fails.
func TestClose(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	listener, err := p.a.ListenTCP(anyAddr)
	if err != nil {
		t.Fatal(err)
	}
	udp := listenUDP(t, p.a, anyAddr)
	ping, _ := p.a.ListenPing(netip.Addr{})
	p.ab.setFilter(func(f wireFrame) bool { return f.packet()[6] != protoTCP || be.Uint16(f.packet()[ipv6Size+2:]) != 81 })
	results := make(chan error, 5)
	for _, wait := range []func() error{
		func() error { _, err := client.Read(make([]byte, 1)); return err },
		func() error { _, err := listener.Accept(); return err },
		func() error { _, err := udp.Read(nil); return err },
		func() error { _, err := ping.Receive(nil); return err },
		func() error { _, err := p.a.DialTCP(context.Background(), anyAddr, port(addrB, 81)); return err },
	} {
		go func() { results <- wait() }()
	}
	eventually(t, "the SYN", func() bool {
		return slices.ContainsFunc(p.ab.logged(), func(f wireFrame) bool { return be.Uint16(f.packet()[ipv6Size+2:]) == 81 })
	})
	if err := p.a.Close(); err != nil {
		t.Fatal(err)
	}
	for range cap(results) {
		if err := <-results; !errors.Is(err, net.ErrClosed) {
			t.Errorf("error = %v, want %v", err, net.ErrClosed)
		}
	}
	server.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err = server.Read(make([]byte, 1))
	wantErrno(t, err, syscall.ECONNRESET)

	if err := p.a.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	p.ab.forget()
	for what, err := range map[string]error{
		"add":  p.a.AddAddress(router),
		"join": p.a.JoinGroup(group),
		"dial": func() error { _, err := p.a.DialTCP(context.Background(), anyAddr, port(addrB, 80)); return err }(),
		"tcp":  func() error { _, err := p.a.ListenTCP(anyAddr); return err }(),
		"udp":  func() error { _, err := p.a.ListenUDP(anyAddr); return err }(),
		"ping": func() error { _, err := p.a.ListenPing(netip.Addr{}); return err }(),
	} {
		if err == nil {
			t.Errorf("%s after close succeeds", what)
		}
	}
	p.a.DeliverBytes(icmpPacket(addrB, addrA, typeEchoRequest, 0, 0, nil))
	p.a.SetHopLimit(3)
	p.a.SetMTU(1300)
	if got := p.ab.logged(); len(got) != 0 {
		t.Errorf("sent after close: %x", got[0].data)
	}
}

// Spec: RFC 8200, section 5, must, FRG-R07
func TestNewRefuses(t *testing.T) {
	output := func(*Packet) error { return nil }
	source := func(netip.Addr) (netip.Addr, error) { return addrA, nil }
	for _, cfg := range []Config{
		{},
		{MTU: 1500, Output: output},
		{MTU: 1500, Source: source},
		{MTU: 1279, Output: output, Source: source},
		{MTU: 1 << 17, Output: output, Source: source},
		{MTU: 9000, GSOMaxSize: 8999, Output: output, Source: source},
		{MTU: 1500, MaxPathMTUs: -1, Output: output, Source: source},
		{MTU: 1500, PathMTULifetime: 299 * time.Second, Output: output, Source: source},
	} {
		if h, err := New(cfg); err == nil {
			t.Errorf("New(%+v) succeeds", cfg)
			h.Close()
		}
	}
}
