package netstack

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

var (
	_ net.Conn       = (*UDPConn)(nil)
	_ net.PacketConn = (*UDPConn)(nil)
)

func listenUDP(t testing.TB, h *Host, local netip.AddrPort) *UDPConn {
	t.Helper()
	c, err := h.ListenUDP(local)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func dialUDP(t testing.TB, h *Host, remote netip.AddrPort) *UDPConn {
	t.Helper()
	c, err := h.DialUDP(anyAddr, remote)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestUDPEcho(t *testing.T) {
	for _, mtu := range []int{1280, 1500, 9000} {
		p := newPair(t, func(c *Config) { c.MTU = mtu })
		server := listenUDP(t, p.b, anyAddr)
		client := dialUDP(t, p.a, port(addrB, server.local.Port()))
		for _, size := range []int{0, 1, 100, mtu - 48, mtu - 47, 4000, 65000} {
			sent := bytes.Repeat([]byte{byte(size)}, size)
			if n, err := client.Write(sent); n != size || err != nil {
				t.Fatalf("MTU %d, write %d octets: %d, %v", mtu, size, n, err)
			}
			buf := make([]byte, 1<<16)
			n, m, err := server.ReadMsg(buf)
			want := Meta{Local: addrB, Remote: client.local, HopLimit: 64}
			if err != nil || !bytes.Equal(buf[:n], sent) || m != want {
				t.Fatalf("MTU %d: server read %d octets, %+v, %v, want %d, %+v", mtu, n, m, err, size, want)
			}
			if _, err := server.WriteTo(buf[:n], net.UDPAddrFromAddrPort(m.Remote)); err != nil {
				t.Fatal(err)
			}
			if n, err := client.Read(buf); err != nil || !bytes.Equal(buf[:n], sent) {
				t.Fatalf("MTU %d: client read %d octets, %v, want %d", mtu, n, err, size)
			}
		}
		if n := p.a.Counters().InDiscards + p.b.Counters().InDiscards; n != 0 {
			t.Errorf("%d discards", n)
		}
	}
}

// TestUDPFragments: a datagram beyond the MTU leaves in fragments that fit it,
// each with room for the Ethernet header and all with one flow label.
func TestUDPFragments(t *testing.T) {
	p := newPair(t)
	client := dialUDP(t, p.a, port(addrB, 7))
	if _, err := client.Write(make([]byte, 4000)); err != nil {
		t.Fatal(err)
	}
	frames := p.ab.logged()
	if len(frames) != 3 {
		t.Fatalf("%d frames, want 3", len(frames))
	}
	label := be.Uint32(frames[0].packet()) & 0xfffff
	for _, f := range frames {
		packet := f.packet()
		if w, ok := parse(packet, len(packet)); !ok || !w.fragmented || len(packet) > 1500 || w.end != len(packet) {
			t.Errorf("not a fragment that fits: %+v, %v, %d octets", w, ok, len(packet))
		}
		if !bytes.Equal(f.data[6:12], macA[:]) || be.Uint16(f.data[12:]) != 0x86dd {
			t.Errorf("Ethernet header % x", f.data[:14])
		}
		if got := be.Uint32(packet) & 0xfffff; got != label || label == 0 {
			t.Errorf("flow label %#x, want %#x, not 0", got, label)
		}
	}
}

// TestNoSourceOfItsOwn: where a source was forgotten, gVisor fails.
func TestNoSourceOfItsOwn(t *testing.T) {
	p := newPair(t)
	if r, err := p.a.stack.FindRoute(nicID, tcpip.Address{}, tcpip.AddrFrom16(addrB.As16()), ipv6.ProtocolNumber, false); err == nil {
		t.Errorf("gVisor chose %v", r.LocalAddress())
		r.Release()
	}
}

func TestUDPZones(t *testing.T) {
	p := newPair(t)
	server := listenUDP(t, p.b, port(linkB, 53))
	client := dialUDP(t, p.a, port(linkB.WithZone("tap0"), 53))
	if got, want := client.LocalAddr().(*net.UDPAddr).Zone, "tap0"; got != want {
		t.Errorf("local zone %q, want %q", got, want)
	}
	if got, want := client.RemoteAddr().String(), "[fe80::b%tap0]:53"; got != want {
		t.Errorf("remote %s, want %s", got, want)
	}
	client.Write([]byte("x"))
	_, from, err := server.ReadFrom(make([]byte, 10))
	if err != nil || from.(*net.UDPAddr).Zone != "tap0" || !from.(*net.UDPAddr).IP.Equal(linkA.AsSlice()) {
		t.Errorf("from %v, %v", from, err)
	}
	if _, err := p.a.DialUDP(anyAddr, port(linkB.WithZone("eth9"), 53)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("another zone: %v", err)
	}
	if _, err := p.a.DialUDP(anyAddr, port(netip.MustParseAddr("192.0.2.1"), 53)); !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("IPv4: %v", err)
	}
}

// TestUDPSource: an unbound socket asks Config.Source at each write, a bound
// one does not.
func TestUDPSource(t *testing.T) {
	p := newPair(t)
	server := listenUDP(t, p.b, anyAddr)
	to := port(addrB, server.local.Port())
	unbound, bound := listenUDP(t, p.a, anyAddr), listenUDP(t, p.a, port(addrA2, 0))
	read := func(what string, want netip.Addr) {
		t.Helper()
		_, m, err := server.ReadMsg(nil)
		if err != nil || m.Remote.Addr() != want {
			t.Errorf("%s: from %v, %v, want %v", what, m.Remote, err, want)
		}
	}
	unbound.WriteToUDPAddrPort([]byte("x"), to)
	read("unbound", addrA)
	unbound.WriteMsg([]byte("x"), Meta{Remote: to, Local: addrA2})
	read("unbound with a source", addrA2)
	bound.WriteToUDPAddrPort([]byte("x"), to)
	read("bound", addrA2)

	p.a.cfg.Source = func(netip.Addr) (netip.Addr, error) { return netip.Addr{}, fmt.Errorf("rib: %w", syscall.ENETUNREACH) }
	_, err := unbound.WriteToUDPAddrPort([]byte("x"), to)
	wantErrno(t, err, syscall.ENETUNREACH)
	_, err = p.a.DialUDP(anyAddr, to)
	wantErrno(t, err, syscall.ENETUNREACH)
	p.a.cfg.Source = func(netip.Addr) (netip.Addr, error) { return addrB, nil }
	_, err = unbound.WriteToUDPAddrPort([]byte("x"), to)
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
}

func TestUDPHopLimit(t *testing.T) {
	p := newPair(t)
	server := listenUDP(t, p.b, anyAddr)
	to := Meta{Remote: port(addrB, server.local.Port())}
	client := listenUDP(t, p.a, anyAddr)
	send := func(m Meta, want uint8) {
		t.Helper()
		if _, err := client.WriteMsg([]byte("x"), m); err != nil {
			t.Fatal(err)
		}
		if _, got, err := server.ReadMsg(nil); err != nil || got.HopLimit != want {
			t.Errorf("hop limit %d, %v, want %d", got.HopLimit, err, want)
		}
	}
	send(to, 64)
	p.a.SetHopLimit(33)
	send(to, 33)
	p.a.SetHopLimit(0) // unspecified: no change
	send(to, 33)
	to.HopLimit = 255
	send(to, 255)
}

func TestUDPGroups(t *testing.T) {
	p := newPair(t)
	server := listenUDP(t, p.b, port(unspecified, 99))
	client := listenUDP(t, p.a, anyAddr)
	send := func(to netip.Addr, text string) {
		t.Helper()
		if _, err := client.WriteToUDPAddrPort([]byte(text), port(to, 99)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(want string, to netip.Addr) {
		t.Helper()
		buf := make([]byte, 100)
		n, m, err := server.ReadMsg(buf)
		if err != nil || string(buf[:n]) != want || m.Local != p.b.zoned(to) || to.IsMulticast() && m.HopLimit != 1 {
			t.Errorf("read %q, %+v, %v, want %q to %v", buf[:n], m, err, want, to)
		}
	}
	send(group, "not joined")
	allNodes := netip.MustParseAddr("ff02::1")
	send(allNodes, "all nodes")
	read("all nodes", allNodes)
	for range 2 {
		if err := p.b.JoinGroup(group); err != nil {
			t.Fatal(err)
		}
	}
	send(group, "joined")
	read("joined", group)
	if err := p.b.LeaveGroup(group); err != nil {
		t.Fatal(err)
	}
	send(group, "joined once")
	read("joined once", group)

	server.SetMulticastFilter(func(src, g netip.Addr) bool { return g != group.WithZone("tap0") || src != linkA.WithZone("tap0") })
	send(group, "filtered")
	send(linkB, "unicast")
	read("unicast", linkB)
	server.SetMulticastFilter(nil)
	for _, loopback := range []bool{true, false} {
		server.SetMulticastLoopback(loopback)
		if _, err := server.WriteToUDPAddrPort([]byte("own"), port(group, 99)); err != nil {
			t.Fatal(err)
		}
		if loopback {
			read("own", group)
		}
	}
	if err := p.b.LeaveGroup(group.WithZone("tap0")); err != nil {
		t.Fatal(err)
	}
	send(group, "left")
	send(linkB, "last")
	read("last", linkB)
	wantErrno(t, p.b.LeaveGroup(group), syscall.EADDRNOTAVAIL)
	wantErrno(t, p.b.JoinGroup(addrB), syscall.EINVAL)
}

func TestUDPCut(t *testing.T) {
	p := newPair(t)
	server := listenUDP(t, p.b, anyAddr)
	client := dialUDP(t, p.a, port(addrB, server.local.Port()))
	client.Write([]byte("hello"))
	client.Write([]byte("world"))
	buf := make([]byte, 3)
	if n, err := server.Read(buf); n != 3 || err != nil || string(buf) != "hel" {
		t.Errorf("read %d %q, %v", n, buf, err)
	}
	if n, err := server.Read(nil); n != 0 || err != nil {
		t.Errorf("read into nothing: %d, %v", n, err)
	}
	_, err := client.Write(make([]byte, 65536))
	wantErrno(t, err, syscall.EMSGSIZE)
}

func TestUDPBadDestinations(t *testing.T) {
	p := newPair(t)
	c := listenUDP(t, p.a, anyAddr)
	_, err := c.Write([]byte("x"))
	wantErrno(t, err, syscall.EDESTADDRREQ)
	_, err = c.WriteToUDPAddrPort([]byte("x"), port(addrB, 0))
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
	_, err = c.WriteToUDPAddrPort([]byte("x"), port(unspecified, 9))
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
	_, err = c.WriteTo([]byte("x"), &net.TCPAddr{})
	wantErrno(t, err, syscall.EINVAL)
	d := dialUDP(t, p.a, port(addrB, 9))
	if _, err = d.WriteTo([]byte("x"), udpAddr(port(addrB, 9))); !errors.Is(err, net.ErrWriteToConnected) {
		t.Errorf("WriteTo on a connected socket: %v", err)
	}
	_, err = p.a.ListenUDP(port(addrB, 9))
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
	_, err = p.a.ListenUDP(c.local)
	wantErrno(t, err, syscall.EADDRINUSE)
}

// TestUDPQueue: datagrams that nobody reads are bounded in number also if they
// are small, and reading makes room.
func TestUDPQueue(t *testing.T) {
	p := newPair(t)
	server := listenUDP(t, p.b, anyAddr)
	other := listenUDP(t, p.b, anyAddr)
	for _, size := range []int{0, 1, 400} {
		send := func(n int, to *UDPConn) {
			packet := ip(addrA, addrB, 64, protoUDP, udpMessage(port(addrA, 1), port(addrB, to.local.Port()), make([]byte, size)))
			for range n {
				p.b.DeliverBytes(packet)
			}
		}
		drain := func() (n int) {
			for {
				server.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				if _, err := server.Read(nil); err != nil {
					return n
				}
				n++
			}
		}
		for range 2 {
			const sent = 5000
			before := p.b.Counters().InQueueFull
			send(sent, server)
			if !p.b.Overrun() {
				t.Errorf("%d octets: datagrams were dropped, and there was no overrun", size)
			}
			send(1, other)
			if p.b.Overrun() {
				t.Errorf("%d octets: an overrun without a drop", size)
			}
			got, dropped := drain(), int(p.b.Counters().InQueueFull-before)
			if limit := udpBuffer/max(datagramCost, size) + 1; got > limit || got < limit/2 || size < datagramCost && got+dropped != sent {
				t.Errorf("%d octets: %d of %d wait, %d were dropped, want %d at most", size, got, sent, dropped, limit)
			}
			if _, err := other.Read(nil); err != nil {
				t.Errorf("%d octets: another socket: %v", size, err)
			}
		}
	}
}

// TestDeadlines: what net.Conn says of deadlines, for each kind of socket.
func TestDeadlines(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	udp := listenUDP(t, p.a, anyAddr)
	ping, err := p.a.ListenPing(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := p.a.ListenTCP(anyAddr)
	if err != nil {
		t.Fatal(err)
	}
	_ = server
	type deadliner interface {
		SetDeadline(time.Time) error
		SetReadDeadline(time.Time) error
		Close() error
	}
	tests := []struct {
		name string
		c    deadliner
		read func() error
	}{
		{"TCP", client, func() error { _, err := client.Read(make([]byte, 1)); return err }},
		{"UDP", udp, func() error { _, err := udp.Read(make([]byte, 1)); return err }},
		{"ping", ping, func() error { _, err := ping.Receive(nil); return err }},
		{"listener", listener, func() error { _, err := listener.Accept(); return err }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			timedOut := func(what string, err error) {
				t.Helper()
				var timeout net.Error
				if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("%s: %v", what, err)
				}
				if _, ok := err.(*net.OpError); !ok {
					t.Errorf("%s: %T", what, err)
				}
			}
			if err := test.c.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Error(err)
			}
			timedOut("in the past", test.read())
			timedOut("still in the past", test.read())

			test.c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			timedOut("soon", test.read())

			test.c.SetReadDeadline(time.Time{})
			result := make(chan error)
			go func() { result <- test.read() }()
			test.c.SetReadDeadline(time.Now().Add(time.Hour))
			test.c.SetDeadline(time.Now().Add(5 * time.Millisecond))
			timedOut("moved while reading", <-result)

			test.c.SetDeadline(time.Time{})
			go func() { result <- test.read() }()
			go func() { result <- test.read() }()
			select {
			case err := <-result:
				t.Errorf("without deadline: %v", err)
			case <-time.After(10 * time.Millisecond):
			}
			if err := test.c.Close(); err != nil {
				t.Error(err)
			}
			for range 2 {
				if err := <-result; !errors.Is(err, net.ErrClosed) {
					t.Errorf("closed while reading: %v", err)
				}
			}
			for what, err := range map[string]error{"read": test.read(), "close": test.c.Close(), "deadline": test.c.SetDeadline(time.Now())} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s after close: %v", what, err)
				}
			}
		})
	}
}
