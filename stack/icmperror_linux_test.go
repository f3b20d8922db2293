package stack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// Errors of the network, as real routers and hosts send them, and what becomes
// of them in the program that is to blame.

// unreachables are destinations behind a router, the code of the Destination
// Unreachable that comes back (RFC 4443, section 3.1), and the errno.
var unreachables = []struct {
	name, dst string
	code      byte
	want      syscall.Errno
	noPort    bool
}{
	{"no route", "[2001:db8:c0::1]:9", 0, syscall.ENETUNREACH, false},
	{"prohibited", "[2001:db8:c1::1]:9", 1, syscall.EACCES, false},
	{"no such host", "[2001:db8:b::77]:9", 3, syscall.EHOSTUNREACH, false},
	{"no such port", "[2001:db8:b::9]:9", 4, syscall.ECONNREFUSED, true},
	{"failed policy", "[2001:db8:c5::1]:9", 5, syscall.EACCES, false},
	{"rejected route", "[2001:db8:c6::1]:9", 6, syscall.EACCES, false},
}

// newBarred makes a network in which the unreachables are.
func newBarred(t *testing.T) *routed {
	t.Helper()
	netnstest.Require(t, "nft")
	r := newRouted(t, patient, 1)
	mustAddRoute(t, r.i, "::/0", ll1)
	r.host.Forward(t) // for a loop, and so that its errors have no limit
	r.routers[0].Script(t,
		"ip -6 route add unreachable 2001:db8:c0::/64",
		"ip -6 route add prohibit 2001:db8:c1::/64",
		"ip -6 route add blackhole 2001:db8:cb::/64",
		"ip -6 route add 2001:db8:c5::/64 dev eth1",
		"ip -6 route add 2001:db8:c6::/64 dev eth1",
		"ip -6 route add 2001:db8:c7::/64 via 2001:db8:b::9", // which sends it back
		"sysctl -qw net.ipv6.neigh.eth1.retrans_time_ms=100", // so that resolution fails soon
		"nft add table ip6 filter",
		"nft 'add chain ip6 filter forward { type filter hook forward priority 0; }'",
		"nft add rule ip6 filter forward ip6 daddr 2001:db8:c5::/64 reject with icmpv6 type policy-fail",
		"nft add rule ip6 filter forward ip6 daddr 2001:db8:c6::/64 reject with icmpv6 type reject-route",
	)
	return r
}

// An error is what the program's next call returns, or the one that waits: the
// same errno that Linux gives to a program on the same link, and within 100 ms
// after the packet was on the link.
//
// Spec: RFC 4443, section 3.1, MUST, ICM-R09
func TestUnreachableReachesTheProgram(t *testing.T) {
	t.Parallel()
	r := newBarred(t)
	twin := netnstest.NewNode(t)
	r.a.Join(t, twin, "eth0", mac3)
	twin.AddAddress(t, "eth0", "2001:db8:a::7/64")
	twin.Run(t, "ip", "-6", "route", "add", "default", "via", "2001:db8:a::1")
	wire := capture(t, r.a.Namespace, "tap0")
	for _, u := range unreachables {
		t.Run(u.name, func(t *testing.T) {
			twin.Do(t, func() {
				all := net.Dialer{Control: receiveErrors}
				c, err := all.Dial("udp6", u.dst)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := writeAndRead(c); !errors.Is(err, u.want) {
					t.Errorf("on Linux, a read: %v, want %v", err, u.want)
				}
			})
			c, err := r.s.DialContext(t.Context(), "udp", u.dst)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			r.soon(t, wire, "a read", u.code, u.want, func() error { return writeAndRead(c) })
			r.afterError(t, func() {
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
			})
			if _, err := c.Write([]byte("x")); !errors.Is(err, u.want) {
				t.Errorf("a write after the error: %v, want %v", err, u.want)
			}
			if u.noPort {
				return // an Echo Request has none, and TCP gets a reset
			}
			r.soon(t, wire, "a ping", u.code, u.want, func() error {
				return ping(t, r.i, netip.MustParseAddrPort(u.dst).Addr(), nil)
			})
			r.soon(t, wire, "a dial", u.code, u.want, func() error {
				c, err := r.s.DialContext(t.Context(), "tcp", u.dst)
				if err == nil {
					c.Close()
				}
				return err
			})
		})
	}
}

// receiveErrors asks Linux for every error, as the stack always gives it; by
// itself it keeps those with codes 0, 2 and 3 from UDP.
func receiveErrors(_, _ string, c syscall.RawConn) error {
	var refused error
	err := c.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	})
	return errors.Join(err, refused)
}

func writeAndRead(c net.Conn) error {
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := c.Read(make([]byte, 1))
	return err
}

// afterError waits until one more error has arrived than before f.
func (r *routed) afterError(t *testing.T, f func()) {
	t.Helper()
	before := r.i.Counters().ErrorsIn
	f()
	waitFor(t, "an ICMPv6 error", func() bool { return r.i.Counters().ErrorsIn > before })
}

// soon has f provoke an ICMPv6 error and return it. Of a few times, it returned
// once at least within 100 ms after the error was on the link: this machine may
// do something else meanwhile, the stack may not.
func (r *routed) soon(t *testing.T, wire *sniffer, what string, code byte, want error, f func() error) {
	t.Helper()
	best := time.Hour
	for range 5 {
		began := time.Now()
		err := f()
		returned := time.Now()
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", what, err, want)
		}
		onLink := wire.await("the ICMPv6 error", func(c captured) bool {
			return c.icmpType == 1 && c.code == code && c.eth.DstMAC.String() == r.i.LinkAddr().String() && c.at.After(began)
		})
		if best = min(best, returned.Sub(onLink[0].at)); best < 100*time.Millisecond {
			return
		}
	}
	t.Errorf("%s: the error took %v", what, best)
}

// A packet from a link-local address does not leave its link (RFC 4443, section
// 3.1, code 2), one in a loop does not live for ever (section 3.3).
//
// Spec: RFC 4443, section 3.3, MUST, ICM-R09
func TestOtherErrorsReachThePing(t *testing.T) {
	t.Parallel()
	r := newBarred(t)
	pingFrom := func(src netip.Addr, dst string) error {
		p, err := r.i.NewPinger(src)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = p.Ping(ctx, netip.MustParseAddr(dst), 1, nil)
		return err
	}
	linkLocal, _ := addressIn(r.i, "fe80::/64")
	wire := capture(t, r.a.Namespace, "tap0")
	r.soon(t, wire, "a ping from a link-local address", 2, syscall.EHOSTUNREACH, func() error {
		return pingFrom(linkLocal.Prefix.Addr(), "2001:db8:b::9")
	})
	if err := pingFrom(netip.Addr{}, "2001:db8:c7::1"); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("a ping into a loop: %v", err)
	}
	if len(wire.await("Time Exceeded", func(c captured) bool { return c.icmpType == 3 })) != 1 {
		t.Error("not one Time Exceeded")
	}
	if err := pingFrom(netip.Addr{}, "2001:db8:b::9"); err != nil {
		t.Errorf("a ping that can be answered: %v", err)
	}
}

// An unconnected socket hears of an error when it writes to that peer again,
// and its reader never does.
func TestUnreachableOfAnUnconnectedSocket(t *testing.T) {
	t.Parallel()
	r := newBarred(t)
	c, err := r.s.ListenPacket("udp", "[::]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := func(dst string) error {
		_, err := c.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort(dst))
		return err
	}
	for _, u := range unreachables {
		r.afterError(t, func() {
			if err := send(u.dst); err != nil {
				t.Fatalf("%s: the first write: %v", u.name, err)
			}
		})
	}
	for _, u := range unreachables { // each peer has its own
		if err := send(u.dst); !errors.Is(err, u.want) {
			t.Errorf("%s: the second write: %v, want %v", u.name, err, u.want)
		}
	}
	if err := send("[2001:db8:cb::1]:9"); err != nil {
		t.Errorf("a write to where nothing comes back from: %v", err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, _, err := c.ReadFrom(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("a read: %v", err)
	}
}

// Nothing comes back from a black hole: the dial waits for its context.
func TestBlackHoleHasNoError(t *testing.T) {
	t.Parallel()
	r := newBarred(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := r.s.DialContext(ctx, "tcp", "[2001:db8:cb::1]:9"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a dial into a black hole: %v", err)
	}
	if n := r.i.Counters().ErrorsIn; n != 0 {
		t.Errorf("%d errors came out of it", n)
	}
}

// An error does not end a connection that is established: the network may be
// whole again soon (RFC 1122, section 4.2.3.9).
func TestConnectionOutlivesUnreachable(t *testing.T) {
	t.Parallel()
	r := newBarred(t)
	c := r.dialEcho(t, "tcp")
	if got := asks(t, c, "before"); got != "before" {
		t.Errorf("an echo of %q", got)
	}
	r.afterError(t, func() {
		r.routers[0].Run(t, "ip", "-6", "route", "add", "unreachable", "2001:db8:b::9")
		if _, err := c.Write([]byte("meanwhile")); err != nil {
			t.Fatal(err)
		}
	})
	r.routers[0].Run(t, "ip", "-6", "route", "del", "unreachable", "2001:db8:b::9")
	b := make([]byte, 100)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "meanwhile" {
		t.Errorf("after the error: %q %v", b[:n], err)
	}
}
