package stack_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// twins is one Stack on two links that look alike: it is fe80::1 on both, and
// on both there is a Linux host fe80::2.
type twins struct {
	t     *testing.T
	s     *stack.Stack
	zones []string // its interfaces
	peers map[string]*netnstest.Namespace
}

func newTwins(t *testing.T) *twins {
	t.Helper()
	w := &twins{t: t, zones: []string{"tap0", "tap1"}, peers: map[string]*netnstest.Namespace{}}
	var err error
	if w.s, err = stack.New(stack.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.s.Close() })
	cfg := patient
	cfg.NoLinkLocal = true
	for _, zone := range w.zones {
		l, nodes := linkWith(t, 1)
		nodes[0].AddAddress(t, "eth0", "fe80::2/64")
		w.peers[zone] = nodes[0]
		i, err := w.s.Attach(zone, openOn(t, l, tap.Config{Name: "tap0"}), cfg)
		if err != nil {
			t.Fatal(err)
		}
		mustAdd(t, i, onLink("fe80::1/64"))
	}
	return w
}

// dial connects the peer in a zone, from fe80::2 and a given port, to our
// fe80::1.
func (w *twins) dial(zone, network string, from, to int) (c net.Conn) {
	w.t.Helper()
	w.peers[zone].Do(w.t, func() {
		local := net.Addr(&net.TCPAddr{IP: net.ParseIP("fe80::2"), Zone: "eth0", Port: from})
		if network == "udp6" {
			local = &net.UDPAddr{IP: net.ParseIP("fe80::2"), Zone: "eth0", Port: from}
		}
		d := net.Dialer{LocalAddr: local, Timeout: time.Minute}
		var err error
		if c, err = d.Dial(network, netip.AddrPortFrom(netip.MustParseAddr("fe80::1%eth0"), uint16(to)).String()); err != nil {
			w.t.Fatalf("the peer on %s: %v", zone, err)
		}
	})
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// asks sends a line and returns the one that answers it.
func asks(t *testing.T, c net.Conn, line string) string {
	t.Helper()
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		t.Fatalf("no answer to %q: %v", line, err)
	}
	return string(b[:n])
}

// Two connections with the same four addresses and ports on two links are two
// connections: each peer talks to its own, also after the other's address is
// removed.
func TestSameLinkLocalAddressOnTwoLinks_TCP(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "sysctl")
	w := newTwins(t)
	listener, err := w.s.Listen("tcp", "[::]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	peers, ours := map[string]net.Conn{}, map[string]net.Conn{}
	for _, zone := range w.zones {
		peers[zone] = w.dial(zone, "tcp6", 4000, 7)
		c, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		if got, want := c.RemoteAddr().String(), "[fe80::2%"+zone+"]:4000"; got != want {
			t.Errorf("on %s we are connected to %s, want %s", zone, got, want)
		}
		if got, want := c.LocalAddr().String(), "[fe80::1%"+zone+"]:7"; got != want {
			t.Errorf("on %s we are %s, want %s", zone, got, want)
		}
		ours[zone] = c
	}
	for _, zone := range w.zones { // each in one direction, both at a time
		go func() { // answers with what its own peer says
			b := make([]byte, 100)
			for {
				n, err := ours[zone].Read(b)
				if err != nil {
					return
				}
				ours[zone].Write([]byte(zone + " heard " + string(b[:n])))
			}
		}()
	}
	for range 3 {
		for _, zone := range w.zones {
			if got, want := asks(t, peers[zone], "peer of "+zone), zone+" heard peer of "+zone; got != want {
				t.Errorf("the peer on %s is answered %q, want %q", zone, got, want)
			}
		}
	}

	i, _ := w.s.Interface("tap0")
	if err := i.RemoveAddress(netip.MustParseAddr("fe80::1")); err != nil {
		t.Fatal(err)
	}
	if _, err := peers["tap0"].Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer of the address that was removed reads: %v", err)
	}
	if got, want := asks(t, peers["tap1"], "still"), "tap1 heard still"; got != want {
		t.Errorf("the other peer is answered %q, want %q", got, want)
	}
	if _, err := w.s.DialContext(t.Context(), "tcp", "[fe80::2%tap0]:9"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("dialling from the link without an address: %v", err)
	}
}

func TestSameLinkLocalAddressOnTwoLinks_UDP(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "sysctl")
	w := newTwins(t)
	c, err := w.s.ListenPacket("udp", "[::]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	go func() { // answers each peer with the zone where it was heard
		b := make([]byte, 100)
		for {
			n, from, to, err := c.ReadPacket(b)
			if err != nil {
				return
			}
			c.WritePacket([]byte(from.Addr().Zone()+" heard "+string(b[:n])), to, from)
		}
	}()
	peers := map[string]net.Conn{}
	for _, zone := range w.zones {
		peers[zone] = w.dial(zone, "udp6", 4000, 7)
	}
	both := func(when string) {
		t.Helper()
		for _, zone := range w.zones {
			if got, want := asks(t, peers[zone], "peer of "+zone), zone+" heard peer of "+zone; got != want {
				t.Errorf("%s: the peer on %s is answered %q, want %q", when, zone, got, want)
			}
		}
	}
	both("at first")
	i, _ := w.s.Interface("tap0")
	if err := i.RemoveAddress(netip.MustParseAddr("fe80::1")); err != nil {
		t.Fatal(err)
	}
	if got, want := asks(t, peers["tap1"], "still"), "tap1 heard still"; got != want {
		t.Errorf("the other peer is answered %q, want %q", got, want)
	}
	mustAdd(t, i, onLink("fe80::1/64"))
	both("with the address back")
}

// What is dialled with a zone goes out on that link, whatever the other has.
func TestSameLinkLocalAddressOnTwoLinks_Dial(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "sysctl")
	w := newTwins(t)
	for _, zone := range w.zones {
		w.peers[zone].Do(t, func() { // a server that says on which link it is
			l, err := net.Listen("tcp6", "[fe80::2%eth0]:9")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			u, err := net.ListenPacket("udp6", "[fe80::2%eth0]:9")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { u.Close() })
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					c.Read(make([]byte, 1))
					io.WriteString(c, "TCP on "+zone)
					c.Close()
				}
			}()
			go func() {
				b := make([]byte, 100)
				for _, from, err := u.ReadFrom(b); err == nil; _, from, err = u.ReadFrom(b) {
					u.WriteTo([]byte("UDP on "+zone), from)
				}
			}()
		})
	}
	for _, zone := range w.zones {
		for _, network := range []string{"tcp", "udp"} {
			c, err := w.s.DialContext(t.Context(), network, "[fe80::2%"+zone+"]:9")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			if got, want := asks(t, c, "?"), strings.ToUpper(network)+" on "+zone; got != want {
				t.Errorf("%s with zone %s reaches %q, want %q", network, zone, got, want)
			}
			if got := c.LocalAddr().String(); !strings.HasPrefix(got, "[fe80::1%"+zone+"]") {
				t.Errorf("%s with zone %s is from %s", network, zone, got)
			}
		}
	}
	if _, err := w.s.DialContext(t.Context(), "tcp", "[fe80::2]:9"); err == nil {
		t.Error("a link-local destination without a zone, and two links")
	}
}
