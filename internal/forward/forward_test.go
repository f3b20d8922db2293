package forward

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// network is a host that forwards, with 2001:db8::1, and its peer, on a link in
// memory. The log is what the host logs.
type network struct {
	host, peer *stack.Stack
	iface      *stack.Interface
	log        *slog.Logger
	logged     *lockedBuffer
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	a, b := tap.Pipe(nd.LinkAddr{2, 0, 0, 0, 0, 1}, nd.LinkAddr{2, 0, 0, 0, 0, 2}, 1500)
	n := &network{logged: new(lockedBuffer)}
	n.log = slog.New(slog.NewTextHandler(n.logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n.host, n.iface = attach(t, a, "2001:db8::1/64")
	n.peer, _ = attach(t, b, "2001:db8::2/64")
	return n
}

// attach makes a host on link that assigns addr without a test.
func attach(t *testing.T, link stack.Link, addr string) (*stack.Stack, *stack.Interface) {
	t.Helper()
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	cfg := stack.InterfaceConfig{NoLinkLocal: true}
	if err := cfg.Profile.Set("retrans_timer", "20ms"); err != nil {
		t.Fatal(err)
	}
	i, err := s.Attach("eth0", link, cfg)
	if err != nil {
		t.Fatal(err)
	}
	add(t, i, addr)
	return s, i
}

func add(t *testing.T, i *stack.Interface, addr string) {
	t.Helper()
	p := netip.MustParsePrefix(addr)
	if err := i.AddAddress(t.Context(), stack.AddressConfig{Prefix: p, OnLink: p.Masked(), DAD: dad.Off}); err != nil {
		t.Fatal(err)
	}
}

// start forwards a port to target.
func (n *network) start(t *testing.T, listen, target string) *Server {
	t.Helper()
	s, err := Start(n.host, n.log, Rule{netip.MustParseAddrPort(listen), target})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// connect opens a connection of the peer.
func (n *network) connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := n.peer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// connectLater is connect once it is not refused any more.
func (n *network) connectLater(t *testing.T, address string) net.Conn {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := n.peer.DialContext(t.Context(), "tcp", address)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// server is a TCP server in the network of the system.
func server(t *testing.T, serve func(*net.TCPConn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// shout sends everything back in capitals once it has all of it.
func shout(c *net.TCPConn) {
	b, err := io.ReadAll(c)
	if err == nil {
		c.Write(bytes.ToUpper(b))
	}
}

// ask sends text and its end, and returns the whole answer.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	send(t, c, text)
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// lockedBuffer can be read while a logger writes it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What arrives is joined to the target, large things too, and the end of one
// direction leaves the other open.
func TestForward_JoinsWithHalfClose(t *testing.T) {
	n := newNetwork(t)
	n.start(t, "[2001:db8::1]:80", server(t, shout))
	for _, text := range []string{"question", strings.Repeat("question ", 100_000), ""} {
		if got := ask(t, n.connect(t, "[2001:db8::1]:80"), text); got != strings.ToUpper(text) {
			t.Errorf("%d octets came back for %d", len(got), len(text))
		}
	}
	// The target ends its direction first.
	target := make(chan []byte, 1)
	n.start(t, "[2001:db8::1]:81", server(t, func(c *net.TCPConn) {
		io.WriteString(c, "hello")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		target <- b
	}))
	c := n.connect(t, "[2001:db8::1]:81")
	wantAll(t, c, "hello")
	send(t, c, "thank you")
	c.Close()
	if b := <-target; string(b) != "thank you" {
		t.Errorf("the target got %q", b)
	}
	if s := n.logged.String(); s != "" {
		t.Errorf("logged: %s", s)
	}
}

// A name is looked up by the system, and every address of the host answers.
func TestForward_NameAndEveryAddress(t *testing.T) {
	n := newNetwork(t)
	_, port, err := net.SplitHostPort(server(t, shout))
	if err != nil {
		t.Fatal(err)
	}
	n.start(t, "[::]:80", "localhost:"+port)
	add(t, n.iface, "2001:db8::9/64")
	for _, address := range []string{"[2001:db8::1]:80", "[2001:db8::9]:80"} {
		if got := ask(t, n.connect(t, address), "x"); got != "X" {
			t.Errorf("%s: %q", address, got)
		}
	}
}

// A target that refuses is a reset for the peer.
func TestForward_TargetRefuses(t *testing.T) {
	n := newNetwork(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	n.start(t, "[2001:db8::1]:80", l.Addr().String())
	c, err := n.peer.DialContext(t.Context(), "tcp", "[2001:db8::1]:80")
	if err == nil { // else the reset was quicker than the dial
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer sees %v, want %v", err, syscall.ECONNRESET)
	}
}

// Start does not wait for an address that is in DAD or not there at all; the
// port opens as soon as it is assigned, and again when it comes back.
func TestForward_AddressThatComesLater(t *testing.T) {
	n := newNetwork(t)
	p := netip.MustParsePrefix("2001:db8::5/64")
	if err := n.iface.StartAddress(stack.AddressConfig{Prefix: p, OnLink: p.Masked()}); err != nil {
		t.Fatal(err)
	}
	target := server(t, shout)
	n.start(t, "[2001:db8::5]:80", target)
	n.start(t, "[2001:db8::6]:80", target)
	if err := n.iface.WaitAddress(t.Context(), p.Addr()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, n.connectLater(t, "[2001:db8::5]:80"), "x"); got != "X" {
		t.Errorf("got %q", got)
	}
	for range 2 {
		add(t, n.iface, "2001:db8::6/64")
		if got := ask(t, n.connectLater(t, "[2001:db8::6]:80"), "x"); got != "X" {
			t.Errorf("got %q", got)
		}
		if err := n.iface.RemoveAddress(netip.MustParseAddr("2001:db8::6")); err != nil {
			t.Fatal(err)
		}
	}
}

// A port that is taken is an error at once if that can be known, else a line in
// the log.
func TestForward_PortIsTaken(t *testing.T) {
	n := newNetwork(t)
	n.start(t, "[::]:80", "127.0.0.1:1")
	_, err := Start(n.host, n.log, Rule{netip.MustParseAddrPort("[2001:db8::1]:80"), "127.0.0.1:2"})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), "tcp:[2001:db8::1]:80=127.0.0.1:2: ") {
		t.Errorf("Start: %v", err)
	}
	n.start(t, "[2001:db8::7]:80", "127.0.0.1:3")
	add(t, n.iface, "2001:db8::7/64")
	for range 1000 {
		if n.logged.String() != "" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if s := n.logged.String(); !strings.Contains(s, "level=ERROR") || !strings.Contains(s, "tcp:[2001:db8::7]:80=127.0.0.1:3") || strings.Count(s, "\n") != 1 {
		t.Errorf("logged: %s", s)
	}
}

// Close ends connections on both sides, waiting forwards, and everything that
// ran for them.
func TestForward_Close(t *testing.T) {
	n := newNetwork(t)
	began, ended := make(chan error, 1), make(chan error, 1)
	s := n.start(t, "[2001:db8::1]:80", server(t, func(c *net.TCPConn) {
		for _, result := range []chan error{began, ended} {
			_, err := c.Read(make([]byte, 1))
			result <- err
		}
	}))
	waiting := n.start(t, "[2001:db8::77]:80", "127.0.0.1:1")
	c := n.connect(t, "[2001:db8::1]:80")
	send(t, c, "x")
	if err := <-began; err != nil {
		t.Errorf("the target: %v", err)
	}
	for _, s := range []*Server{s, waiting, s} {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer sees %v, want %v", err, syscall.ECONNRESET)
	}
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
		t.Errorf("the target sees %v", err)
	}
	if _, err := n.peer.DialContext(t.Context(), "tcp", "[2001:db8::1]:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("afterwards: %v, want %v", err, syscall.ECONNREFUSED)
	}
}

// The connections of a rule are bounded; those that are too many are reset,
// counted and logged once, and there is room again when one ends.
func TestForward_Limit(t *testing.T) {
	n := newNetwork(t)
	s := n.start(t, "[2001:db8::1]:80", server(t, func(c *net.TCPConn) {
		io.WriteString(c, "x")
		io.Copy(io.Discard, c)
	}))
	greeted := func() (c net.Conn, err error) {
		c, err = n.peer.DialContext(t.Context(), "tcp", "[2001:db8::1]:80")
		if err == nil {
			t.Cleanup(func() { c.Close() })
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		return c, err
	}
	var open []net.Conn
	for range maxConnections {
		c, err := greeted()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	for range 3 {
		if _, err := greeted(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("one too many: %v, want %v", err, syscall.ECONNRESET)
		}
	}
	want := fmt.Sprintf("connections=%d", maxConnections)
	if s := n.logged.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, want) {
		t.Errorf("logged: %s", s)
	}
	open[0].Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := greeted(); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("there is no room again")
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s := n.logged.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "were refused") {
		t.Errorf("logged: %s", s)
	}
}
