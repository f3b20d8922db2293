package services

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// loopback is the Network of the host's loopback interface, on ports that
// happen to be free. It remembers which one stands for which.
type loopback struct {
	mu    sync.Mutex
	ports map[string]string // "tcp6 [::]:7" → "[::1]:54321"
}

func (l *loopback) Listen(network, address string) (net.Listener, error) {
	ln, err := net.Listen(network, "[::1]:0")
	if err == nil {
		l.remember(network, address, ln.Addr())
	}
	return ln, err
}

func (l *loopback) ListenPacket(network, address string) (PacketConn, error) {
	c, err := net.ListenPacket(network, "[::1]:0")
	if err != nil {
		return nil, err
	}
	l.remember(network, address, c.LocalAddr())
	return packetConn{c.(*net.UDPConn)}, nil
}

func (l *loopback) remember(network, address string, real net.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ports == nil {
		l.ports = make(map[string]string)
	}
	l.ports[network+" "+address] = real.String()
}

func (l *loopback) dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, l.ports[network+" "+address])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

type packetConn struct{ *net.UDPConn }

func (c packetConn) Receive(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	return n, from, netip.IPv6Loopback(), err
}

func (c packetConn) Reply(b []byte, _ netip.Addr, to netip.AddrPort) error {
	_, err := c.WriteToUDPAddrPort(b, to)
	return err
}

func start(t *testing.T, services ...Service) *loopback {
	t.Helper()
	l := new(loopback)
	s, err := Start(l, services...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// RFC 862, TCP Based Echo Service.
func TestEcho_TCPReturnsWhatItGetsUntilTheEnd(t *testing.T) {
	c := start(t, Echo).dial(t, "tcp6", "[::]:7").(*net.TCPConn)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v, want %q", got, err, "hello")
	}
}

// RFC 862, UDP Based Echo Service.
func TestEcho_UDPReturnsTheDatagram(t *testing.T) {
	c := start(t, Echo).dial(t, "udp6", "[::]:7")
	buf := make([]byte, 100)
	for _, want := range []string{"hello", "", "again"} {
		if _, err := c.Write([]byte(want)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("got %q, %v, want %q", buf[:n], err, want)
		}
	}
}

// RFC 863, TCP Based Discard Service.
func TestDiscard_TCPAnswersNothing(t *testing.T) {
	c := start(t, Discard).dial(t, "tcp6", "[::]:9").(*net.TCPConn)
	if _, err := c.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || len(got) != 0 {
		t.Errorf("got %q, %v, want nothing", got, err)
	}
}

// RFC 864, TCP Based Character Generator Service.
func TestChargen_TCPSendsTheRotatingPattern(t *testing.T) {
	c := start(t, Chargen).dial(t, "tcp6", "[::]:19")
	r := bufio.NewReader(c)
	var got []string
	for range 96 {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	// The first and the last line of the pattern as RFC 864 prints it.
	want := "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n"
	if diff := cmp.Diff(want, got[1]); diff != "" {
		t.Errorf("second line (-want +got):\n%s", diff)
	}
	if got[95] != got[0] {
		t.Errorf("line 96 is %q, want the first again, %q", got[95], got[0])
	}
}

// RFC 864, UDP Based Character Generator Service.
func TestChargen_UDPAnswersUpTo512Characters(t *testing.T) {
	c := start(t, Chargen).dial(t, "udp6", "[::]:19")
	buf := make([]byte, 2000)
	for range 50 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil || n > 512 || !strings.HasPrefix(string(pattern), string(buf[:n])) {
			t.Fatalf("got %d octets %q, %v", n, buf[:n], err)
		}
	}
}

// scripted is a PacketConn that receives what the test hands it.
type scripted struct {
	in      chan datagram
	replies chan datagram
	closed  chan struct{}
}

type datagram struct {
	payload string
	peer    netip.AddrPort
	local   netip.Addr
}

func (c *scripted) Receive(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	select {
	case d := <-c.in:
		return copy(b, d.payload), d.peer, d.local, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, netip.Addr{}, net.ErrClosed
	}
}

func (c *scripted) Reply(b []byte, local netip.Addr, to netip.AddrPort) error {
	c.replies <- datagram{string(b), to, local}
	return nil
}

func (c *scripted) Close() error { close(c.closed); return nil }

func (c *scripted) Listen(network, address string) (net.Listener, error) {
	return net.Listen(network, "[::1]:0")
}

func (c *scripted) ListenPacket(network, address string) (PacketConn, error) { return c, nil }

// A pair of servers must not answer each other for ever, and a group must not
// be an amplifier.
func TestUDP_UnansweredSourcesAndDestinations(t *testing.T) {
	c := &scripted{make(chan datagram), make(chan datagram, 10), make(chan struct{})}
	s, err := Start(c, Echo)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	own, group := netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("ff02::1")
	peer := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("2001:db8::9"), port) }
	c.in <- datagram{"from 7", peer(7), own}
	c.in <- datagram{"from 9", peer(9), own}
	c.in <- datagram{"from 19", peer(19), own}
	c.in <- datagram{"to a group", peer(5000), group}
	c.in <- datagram{"from 20", peer(20), own}
	want := datagram{"from 20", peer(20), own}
	if got := <-c.replies; got != want {
		t.Errorf("first reply %v, want %v", got, want)
	}
}

func TestClose_EndsConnections(t *testing.T) {
	l := new(loopback)
	s, err := Start(l, Echo, Discard, Chargen, Echo)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for _, port := range []string{"[::]:7", "[::]:9", "[::]:19"} {
		conns = append(conns, l.dial(t, "tcp6", port))
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, c := range conns {
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Errorf("connection to %v outlived Close", c.RemoteAddr())
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func TestParse(t *testing.T) {
	got, err := Parse("echo, discard,chargen")
	if diff := cmp.Diff([]Service{Echo, Discard, Chargen}, got); err != nil || diff != "" {
		t.Errorf("Parse: %v (-want +got):\n%s", err, diff)
	}
	for _, list := range []string{"", "time", "echo,"} {
		if got, err := Parse(list); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", list, got)
		}
	}
}
