package stack_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Sockets over an in-memory link, in real time: gVisor's TCP does not live in
// a bubble.

var quick = stack.InterfaceConfig{Profile: quickProfile()}

// quickProfile shortens DAD, so that tests in real time do not wait.
func quickProfile() stack.Profile { return profileWith(stack.Current(), "20ms") }

// profileWith is p with another RetransTimer and addresses that can be foreseen.
func profileWith(p stack.Profile, retransTimer string) stack.Profile {
	for knob, value := range map[string]string{"retrans_timer": retransTimer, "iid": "eui64", "temp_addresses": "off"} {
		if err := p.Set(knob, value); err != nil {
			panic(err)
		}
	}
	return p
}

func instantly(s string) stack.AddressConfig {
	a := onLink(s)
	a.DAD = dad.Off
	return a
}

// connectedPair makes two nodes with 2001:db8::a and 2001:db8::b.
func connectedPair(t testing.TB) (a, b *stack.Interface, sa, sb *stack.Stack) {
	a, b, sa, sb = pair(t, quick)
	for i, addr := range map[*stack.Interface]string{a: "2001:db8::a/64", b: "2001:db8::b/64"} {
		if err := i.AddAddress(context.Background(), instantly(addr)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b, sa, sb
}

func TestHTTPOverTheStack(t *testing.T) {
	_, _, sa, sb := connectedPair(t)
	l, err := sa.Listen("tcp", "[2001:db8::a]:80")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("right ", 100_000)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })}
	go server.Serve(l)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: sb.DialContext}}
	resp, err := client.Get("http://[2001:db8::a]/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != body {
		t.Errorf("%d octets, %v", len(got), err)
	}
	client.CloseIdleConnections()
}

func TestListenOnEveryInterfaceAndZones(t *testing.T) {
	// One node with two links; the same link-local addresses on both.
	la, peerA := tap.Pipe(macA, macB, 1500)
	lb, peerB := tap.Pipe(macA, macB, 1500)
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	listener, err := s.Listen("tcp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, link := range map[string]stack.Link{"tap0": la, "tap1": lb} { // attached after the listener
		if _, err := s.Attach(name, link, quick); err != nil {
			t.Fatal(err)
		}
	}
	for zone, link := range map[string]stack.Link{"tap0": peerA, "tap1": peerB} {
		sp, ip := attach(t, link, quick)
		ll := stack.LinkLocalAddr(macA)
		for _, i := range append(s.Interfaces(), ip) {
			if err := i.WaitAddress(t.Context(), stack.LinkLocalAddr(i.LinkAddr())); err != nil {
				t.Fatal(err)
			}
		}
		conn, err := sp.DialContext(t.Context(), "tcp", netip.AddrPortFrom(ll.WithZone("tap0"), 7).String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		remote := accepted.RemoteAddr().(*net.TCPAddr)
		if remote.Zone != zone || accepted.LocalAddr().(*net.TCPAddr).Zone != zone {
			t.Errorf("a connection on %s: %v to %v", zone, remote, accepted.LocalAddr())
		}
		conn.Close()
		accepted.Close()
	}
	if _, err := s.DialContext(t.Context(), "tcp", "[fe80::9]:7"); err == nil || !strings.Contains(err.Error(), "zone") {
		t.Errorf("a link-local destination without a zone: %v", err)
	}
	if _, err := s.DialContext(t.Context(), "tcp", "[fe80::9%tap7]:7"); err == nil || !strings.Contains(err.Error(), "zone") {
		t.Errorf("an unknown zone: %v", err)
	}
}

func TestErrnoOfSockets(t *testing.T) {
	a, _, sa, _ := connectedPair(t)
	dial := func(address string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := sa.DialContext(ctx, "tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	}
	for address, want := range map[string]error{
		"[2001:db8::b]:9":    syscall.ECONNREFUSED, // no listener
		"[2001:db8::77]:9":   syscall.EHOSTUNREACH, // no such neighbor
		"[2001:db8:5::1]:9":  syscall.ENETUNREACH,  // no route
		"[2001:db8::b]:nine": nil,
		"192.0.2.1:9":        nil,
		"host:9":             nil,
	} {
		err := dial(address)
		var op *net.OpError
		if !errors.As(err, &op) || want != nil && !errors.Is(err, want) {
			t.Errorf("dial %s: %v, want %v", address, err, want)
		}
	}
	if _, err := sa.Listen("tcp", "[2001:db8::5]:9"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("listening on a foreign address: %v", err)
	}
	if err := a.StartAddress(onLink("2001:db8::6/64")); err != nil {
		t.Fatal(err)
	}
	if _, err := sa.Listen("tcp", "[2001:db8::6]:9"); !errors.Is(err, stack.ErrTentative) || !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("listening on a tentative address: %v", err)
	}
}

// Deleting an address resets exactly its connections.
func TestRemoveAddressResetsExactlyItsConnections(t *testing.T) {
	a, _, sa, sb := connectedPair(t)
	if err := a.AddAddress(t.Context(), instantly("2001:db8::aa/64")); err != nil {
		t.Fatal(err)
	}
	listener, err := sa.Listen("tcp", "[::]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	open := func(address string) net.Conn {
		c, err := sb.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(accepted, accepted)
		t.Cleanup(func() { c.Close(); accepted.Close() })
		return c
	}
	doomed, survivor := open("[2001:db8::aa]:7"), open("[2001:db8::a]:7")
	if err := a.RemoveAddress(netip.MustParseAddr("2001:db8::aa")); err != nil {
		t.Fatal(err)
	}
	doomed.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := doomed.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer of the deleted address reads: %v", err)
	}
	survivor.SetDeadline(time.Now().Add(10 * time.Second))
	echo := make([]byte, 4)
	if _, err := survivor.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(survivor, echo); err != nil || !bytes.Equal(echo, []byte("ping")) {
		t.Errorf("the other connection: %q %v", echo, err)
	}
}

// A connection survives a link that goes down and comes up.
func TestConnectionSurvivesLinkDownAndUp(t *testing.T) {
	a, _, sa, sb := connectedPair(t)
	listener, err := sa.Listen("tcp", "[::]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, err := sb.DialContext(t.Context(), "tcp", "[2001:db8::a]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if err := a.SetUp(false); err != nil {
		t.Fatal(err)
	}
	if _, err := sa.DialContext(t.Context(), "tcp", "[2001:db8::b]:7"); !errors.Is(err, syscall.ENETDOWN) {
		t.Errorf("dialling while down: %v", err)
	}
	if err := a.SetUp(true); err != nil {
		t.Fatal(err)
	}
	if err := a.WaitAddress(t.Context(), netip.MustParseAddr("2001:db8::a")); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	accepted.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := accepted.Read(make([]byte, 1)); err != nil {
		t.Errorf("after down and up: %v", err)
	}
}

func TestPacketConn(t *testing.T) {
	_, _, sa, sb := connectedPair(t)
	server, err := sa.ListenPacket("udp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	client, err := sb.DialContext(t.Context(), "udp", "[2001:db8::a]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	server.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, from, err := server.ReadFrom(b)
	if err != nil || string(b[:n]) != "ping" {
		t.Fatalf("%q %v", b[:n], err)
	}
	if _, err := server.WriteTo([]byte("pong"), from); err != nil {
		t.Fatal(err)
	}
	client.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := client.Read(b); err != nil || string(b[:n]) != "pong" {
		t.Errorf("%q %v", b[:n], err)
	}
	// An answer comes from the address that was asked.
	if _, err := client.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	n, peer, asked, err := server.ReadPacket(b)
	if err != nil || string(b[:n]) != "ping" || asked != netip.MustParseAddr("2001:db8::a") {
		t.Fatalf("%q to %v: %v", b[:n], asked, err)
	}
	if _, err := server.WritePacket([]byte("pong"), asked, peer); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(b); err != nil || string(b[:n]) != "pong" {
		t.Errorf("%q %v", b[:n], err)
	}
	if _, err := server.WritePacket([]byte("pong"), netip.MustParseAddr("2001:db8::77"), peer); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("from an address that is not ours: %v", err)
	}
	// Deadlines: passed, then moved while a reader waits.
	server.SetReadDeadline(time.Now().Add(-time.Second))
	if _, _, err := server.ReadFrom(b); !isTimeout(err) {
		t.Errorf("after the deadline: %v", err)
	}
	server.SetReadDeadline(time.Time{})
	read := make(chan error, 1)
	go func() { _, _, err := server.ReadFrom(b); read <- err }()
	server.SetReadDeadline(time.Now().Add(time.Millisecond))
	if err := <-read; !isTimeout(err) {
		t.Errorf("a moved deadline: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := server.WriteTo([]byte("x"), from); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing after Close: %v", err)
	}
	if _, err := sa.ListenPacket("tcp", ":7"); err == nil {
		t.Error("a packet socket on tcp")
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestPing(t *testing.T) {
	a, b, _, _ := connectedPair(t)
	p, err := a.NewPinger(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := p.Ping(ctx, netip.MustParseAddr("2001:db8::b"), 1, []byte("hello"))
	if err != nil || r.From != netip.MustParseAddr("2001:db8::b") || r.Bytes != 5 || r.HopLimit != 64 {
		t.Errorf("%+v %v", r, err)
	}
	if err := b.RemoveAddress(netip.MustParseAddr("2001:db8::b")); err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Ping(brief, netip.MustParseAddr("2001:db8::b"), 2, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody there: %v", err)
	}
}

// Packets between two interfaces of one node stay inside it.
func TestSiblingInterfaces(t *testing.T) {
	la, pa := tap.Pipe(macA, macB, 1500)
	lb, pb := tap.Pipe(macA, macB, 1500)
	defer pa.Close()
	defer pb.Close()
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, link := range map[string]stack.Link{"tap0": la, "tap1": lb} {
		i, err := s.Attach(name, link, quick)
		if err != nil {
			t.Fatal(err)
		}
		addr := map[string]string{"tap0": "2001:db8::a/64", "tap1": "2001:db8:1::a/64"}[name]
		if err := i.AddAddress(t.Context(), instantly(addr)); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := s.Listen("tcp", "[2001:db8:1::a]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, err := s.DialContext(t.Context(), "tcp", "[2001:db8:1::a]:7")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestSetMTU(t *testing.T) {
	link, peer := tap.Pipe(macA, macB, 1500)
	defer peer.Close()
	cfg := quick
	cfg.MTU = 1400
	_, i := attach(t, link, cfg)
	if got := i.Status().MTU; got != 1400 {
		t.Errorf("MTU %d after the attach, want 1400", got)
	}
	for mtu, ok := range map[int]bool{1279: false, 1280: true, 1500: true, 1501: false} {
		if err := i.SetMTU(mtu); (err == nil) != ok {
			t.Errorf("SetMTU(%d): %v", mtu, err)
		} else if ok && i.Status().MTU != mtu {
			t.Errorf("MTU %d after SetMTU(%d)", i.Status().MTU, mtu)
		}
	}
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	small, _ := tap.Pipe(macA, macB, 1500)
	var invalid *stack.InvalidArgumentError
	if _, err := s.Attach("tap0", small, stack.InterfaceConfig{MTU: 1279}); !errors.As(err, &invalid) {
		t.Errorf("attaching with an MTU of 1279: %v", err)
	}
}

// Spec: RFC 6724, section 4, MUST, SAS-R03
func TestDialFrom(t *testing.T) {
	a, _, sa, sb := connectedPair(t)
	if err := a.AddAddress(t.Context(), instantly("2001:db8::a1/64")); err != nil {
		t.Fatal(err)
	}
	tcp, err := sb.Listen("tcp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for _, source := range []string{"2001:db8::a", "2001:db8::a1"} {
		for _, network := range []string{"tcp", "udp"} {
			c, err := sa.DialFrom(t.Context(), netip.MustParseAddr(source), network, "[2001:db8::b]:7")
			if err != nil {
				t.Fatal(err)
			}
			if host, _, _ := net.SplitHostPort(c.LocalAddr().String()); host != source {
				t.Errorf("%s from %s goes out from %s", network, source, host)
			}
			c.Close()
		}
	}
	for _, network := range []string{"tcp", "udp"} {
		if _, err := sa.DialFrom(t.Context(), netip.MustParseAddr("2001:db8::b"), network, "[2001:db8::b]:7"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("%s from the peer's address: %v", network, err)
		}
		if _, err := sa.DialFrom(t.Context(), netip.MustParseAddr("fe80::1%nowhere"), network, "[2001:db8::b]:7"); err == nil {
			t.Errorf("%s from another zone succeeds", network)
		}
	}
}
