package stack_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Multicast as a program sees it: two hosts on a link in memory.

const (
	groupA   = "ff05::1234"
	groupB   = "ff05::5678"
	groupSSM = "ff35::8000:1" // of ff3x::/32: source-specific
	source1  = "2001:db8::a1"
	source2  = "2001:db8::a2"
)

// speaker sends from source1 and source2.
type speaker struct {
	t *testing.T
	i *stack.Interface
	c *stack.PacketConn
}

func newSpeaker(t *testing.T, s *stack.Stack, i *stack.Interface) *speaker {
	t.Helper()
	for _, a := range []string{source1, source2} {
		if err := i.AddAddress(t.Context(), instantly(a+"/64")); err != nil {
			t.Fatal(err)
		}
	}
	return &speaker{t, i, listenPacket(t, s, ":4000")}
}

func (s *speaker) says(text, source, group string, port uint16) {
	s.t.Helper()
	to := netip.AddrPortFrom(netip.MustParseAddr(group), port)
	if _, err := s.c.WritePacket([]byte(text), netip.MustParseAddr(source), to); err != nil {
		s.t.Fatal(err)
	}
}

func listenPacket(t *testing.T, s *stack.Stack, address string) *stack.PacketConn {
	t.Helper()
	c, err := s.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// heard is what waits to be read from c, in a bubble.
func heard(t *testing.T, c *stack.PacketConn) (all []string) {
	t.Helper()
	time.Sleep(time.Second)
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	for b := make([]byte, 100); ; {
		n, _, err := c.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b[:n]))
	}
}

func wantHeard(t *testing.T, what string, c *stack.PacketConn, want ...string) {
	t.Helper()
	if got := heard(t, c); !slices.Equal(got, want) {
		t.Errorf("%s: heard %q, want %q", what, got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addrs(as ...string) (all []netip.Addr) {
	for _, a := range as {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// memberships are the lines of Groups about ff05::/16 and ff35::/16, without
// the numbers of sockets.
func memberships(i *stack.Interface) (all []string) {
	for _, g := range i.Groups() {
		if text := g.Addr.String(); strings.HasPrefix(text, "ff05:") || strings.HasPrefix(text, "ff35:") {
			kinds := ""
			for _, h := range g.Holders {
				kinds += " " + strings.Fields(h.String())[0]
			}
			all = append(all, fmt.Sprintf("%v %v %v%s", g.Addr, g.Mode, g.Sources, kinds))
		}
	}
	return all
}

func wantMemberships(t *testing.T, i *stack.Interface, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, memberships(i)); diff != "" {
		t.Errorf("memberships (-want +got):\n%s", diff)
	}
}

func TestPacketConnJoinsAndLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, sa, sb := pair(t, stack.WithoutTCP(stack.InterfaceConfig{NoRouters: true}))
		time.Sleep(5 * time.Second)
		from := newSpeaker(t, sa, a)
		c, other := listenPacket(t, sb, ":5000"), listenPacket(t, sb, ":5001")
		group := netip.MustParseAddr(groupA)

		from.says("early", source1, groupA, 5000)
		wantHeard(t, "before the join", c)
		must(t, c.JoinGroup(group))
		wantMemberships(t, b, groupA+" exclude [] socket")
		from.says("in", source1, groupA, 5000)
		from.says("elsewhere", source1, groupB, 5000)
		from.says("other", source1, groupA, 5001)
		wantHeard(t, "while joined", c, "in")
		wantHeard(t, "a socket that has joined nothing", other, "other")

		must(t, other.JoinGroup(netip.MustParseAddr(groupB)))
		from.says("other", source1, groupA, 5001)
		from.says("all nodes", source1, "ff02::1", 5001)
		from.says("own", source1, groupB, 5001)
		wantHeard(t, "a socket that has joined another group", other, "own")

		must(t, other.JoinGroup(group))
		must(t, c.LeaveGroup(group))
		wantMemberships(t, b, groupA+" exclude [] socket", groupB+" exclude [] socket")
		from.says("left", source1, groupA, 5000)
		wantHeard(t, "after the leave, while another socket is joined", c)
		must(t, other.Close())
		wantMemberships(t, b)
		if got := b.Counters(); got.OtherGroup != 2 || got.OtherSource != 0 {
			t.Errorf("%d datagrams to other groups and %d of other sources were counted, want 2 and 0", got.OtherGroup, got.OtherSource)
		}
	})
}

// Each socket hears the sources that it wants; the interface hears those that
// any of them wants, and drops the rest.
//
// Spec: RFC 3810, section 4.2, must, MLD2-R14
func TestMLD2_R14_SocketsHearTheirOwnSources(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, sa, sb := pair(t, stack.WithoutTCP(stack.InterfaceConfig{NoRouters: true}))
		time.Sleep(5 * time.Second)
		from := newSpeaker(t, sa, a)
		one, two := listenPacket(t, sb, ":5001"), listenPacket(t, sb, ":5002")
		say := func(group string) {
			for _, source := range []string{source1, source2} {
				for _, port := range []uint16{5001, 5002} {
					from.says(source, source, group, port)
				}
			}
		}
		ssm := netip.MustParseAddr(groupSSM)
		must(t, one.JoinGroup(ssm, addrs(source1)...))
		say(groupSSM)
		wantHeard(t, "from its source", one, source1)
		wantHeard(t, "without a filter of its own, what the interface takes", two, source1)
		if got := b.Counters(); got.OtherSource != 2 || got.DataIn != 2 {
			t.Errorf("%d datagrams of other sources and %d of this one were counted, want 2 and 2", got.OtherSource, got.DataIn)
		}

		must(t, two.JoinGroup(ssm, addrs(source2)...))
		wantMemberships(t, b, groupSSM+" include [2001:db8::a1 2001:db8::a2] socket socket")
		say(groupSSM)
		wantHeard(t, "the first socket", one, source1)
		wantHeard(t, "the second socket", two, source2)

		must(t, one.JoinGroup(ssm, addrs(source2)...))
		must(t, two.LeaveGroup(ssm, addrs(source2)...))
		must(t, one.LeaveGroup(ssm, addrs(source1)...))
		say(groupSSM)
		wantHeard(t, "after a change of sources", one, source2)
		wantHeard(t, "after the last source", two)

		group := netip.MustParseAddr(groupA)
		must(t, one.SetGroupFilter(group, mld.Filter{Mode: mld.Exclude, Sources: addrs(source2)}))
		must(t, two.SetGroupFilter(group, mld.Filter{Mode: mld.Include, Sources: addrs(source2)}))
		wantMemberships(t, b, groupA+" exclude [] socket socket", groupSSM+" include [2001:db8::a2] socket")
		say(groupA)
		wantHeard(t, "EXCLUDE", one, source1)
		wantHeard(t, "INCLUDE", two, source2)
		must(t, two.SetGroupFilter(group, mld.Filter{}))
		wantMemberships(t, b, groupA+" exclude [2001:db8::a2] socket", groupSSM+" include [2001:db8::a2] socket")
	})
}

func TestMulticastOptionsOfPacketConn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l1, far1 := tap.Pipe(macA, macB, 1500)
		l2, far2 := tap.Pipe(macA, macB, 1500)
		s, err := stack.New(stack.Config{})
		must(t, err)
		t.Cleanup(func() { s.Close() })
		frames := map[string]*listener{"tap0": listen(far1), "tap1": listen(far2)}
		t.Cleanup(func() { far1.Close(); far2.Close() })
		for name, link := range map[string]stack.Link{"tap0": l1, "tap1": l2} {
			_, err := s.Attach(name, link, stack.Foreseeable(stack.WithoutTCP(stack.InterfaceConfig{NoRouters: true})))
			must(t, err)
		}
		time.Sleep(5 * time.Second)
		c := listenPacket(t, s, ":5000")
		to := netip.MustParseAddrPort("[ff02::4242]:5000")
		left := func() (all []string) {
			time.Sleep(time.Millisecond)
			for _, name := range []string{"tap0", "tap1"} {
				for _, f := range frames[name].take() {
					if f[14+6] == 17 {
						all = append(all, fmt.Sprintf("%s %d", name, f[14+7]))
					}
				}
			}
			return all
		}
		write := func(want ...string) {
			t.Helper()
			if _, err := c.WriteToUDPAddrPort([]byte("x"), to); err != nil {
				t.Fatal(err)
			}
			if got := left(); !slices.Equal(got, want) {
				t.Errorf("sent %q, want %q", got, want)
			}
		}
		left()
		var address *net.AddrError
		if _, err := c.WriteToUDPAddrPort([]byte("x"), to); !errors.As(err, &address) {
			t.Errorf("without an interface: %v", err)
		}
		if err := c.JoinGroup(to.Addr()); !errors.As(err, &address) || !strings.Contains(err.Error(), "needs a zone") {
			t.Errorf("joining without a zone: %v", err)
		}
		must(t, c.SetMulticastInterface("tap1"))
		write("tap1 1")
		must(t, c.SetMulticastHopLimit(7))
		write("tap1 7")
		to = netip.AddrPortFrom(to.Addr().WithZone("tap0"), 5000)
		write("tap0 7")
		wantHeard(t, "own datagrams to a group that is not joined", c)

		must(t, c.JoinGroup(to.Addr()))
		write("tap0 7")
		wantHeard(t, "an own datagram", c, "x")
		must(t, c.SetMulticastLoopback(false))
		write("tap0 7")
		wantHeard(t, "without loopback", c)
		must(t, c.SetMulticastLoopback(true))
		must(t, c.SetGroupFilter(to.Addr(), mld.Filter{Mode: mld.Exclude, Sources: []netip.Addr{stack.LinkLocalAddr(macA).WithZone("tap0")}}))
		write("tap0 7")
		wantHeard(t, "own datagrams that are filtered out", c)
		must(t, c.SetMulticastInterface(""))
		to = netip.AddrPortFrom(to.Addr().WithZone(""), 5000)
		if _, err := c.WriteToUDPAddrPort([]byte("x"), to); !errors.As(err, &address) {
			t.Errorf("without an interface again: %v", err)
		}

		var invalid *stack.InvalidArgumentError
		for _, n := range []int{-1, 0, 256} {
			if err := c.SetMulticastHopLimit(n); !errors.As(err, &invalid) {
				t.Errorf("hop limit %d: %v", n, err)
			}
		}
		if err := c.SetMulticastInterface("tap7"); !errors.As(err, &address) {
			t.Errorf("an interface that is not there: %v", err)
		}
	})
}

// A socket that is bound to a group takes datagrams to that group alone.
func TestPacketConnOnAGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, sa, sb := pair(t, stack.WithoutTCP(stack.InterfaceConfig{NoRouters: true}))
		time.Sleep(5 * time.Second)
		from := newSpeaker(t, sa, a)
		c := listenPacket(t, sb, "["+groupA+"]:5000")
		must(t, c.JoinGroup(netip.MustParseAddr(groupA)))
		must(t, b.JoinGroup(netip.MustParseAddr(groupB)))
		from.says("own", source1, groupA, 5000)
		from.says("other", source1, groupB, 5000)
		wantHeard(t, "bound to a group", c, "own")
		if err := c.JoinGroup(netip.MustParseAddr("ff02::1%tap7")); err == nil {
			t.Error("joined on an interface that is not there")
		}
	})
}

// Whatever ends a socket ends its memberships, and the routers are told.
func TestClosedSocketsLeave(t *testing.T) {
	for name, end := range map[string]func(s *stack.Stack, c *stack.PacketConn) error{
		"closing the socket": func(_ *stack.Stack, c *stack.PacketConn) error { return c.Close() },
		"closing the stack":  func(s *stack.Stack, _ *stack.PacketConn) error { return s.Close() },
	} {
		for _, local := range []string{":5000", "[fe80::ff:fe00:a%tap0]:5000"} {
			t.Run(name+" of "+local, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					la, lb := tap.Pipe(macA, macB, 1500)
					s, i := attach(t, la, stack.WithoutTCP(stack.InterfaceConfig{NoRouters: true}))
					link := listen(lb)
					t.Cleanup(func() { lb.Close() })
					time.Sleep(5 * time.Second)
					c, err := s.ListenPacket("udp", local)
					must(t, err)
					for n := range 100 {
						must(t, c.JoinGroup(netip.AddrFrom16([16]byte{0: 0xff, 1: 5, 15: byte(n)})))
					}
					time.Sleep(5 * time.Second)
					if got := len(memberships(i)); got != 100 {
						t.Fatalf("%d memberships, want 100", got)
					}
					link.take()
					reading := make(chan error)
					go func() {
						_, _, err := c.ReadFrom(make([]byte, 1))
						reading <- err
					}()
					must(t, end(s, c))
					if err := <-reading; !errors.Is(err, net.ErrClosed) {
						t.Errorf("a read that waited ends with %v", err)
					}
					time.Sleep(time.Millisecond)
					if got := len(memberships(i)); got != 0 {
						t.Errorf("%d memberships are left", got)
					}
					records := 0
					for _, f := range link.take() {
						// Hop-by-Hop, and ICMPv6 type 143 (RFC 3810, section 5.2).
						if f[14+6] == 0 && f[14+48] == 143 && netip.AddrFrom16([16]byte(f[14+8:])).IsLinkLocalUnicast() && f[14+56] == 3 {
							records += int(f[14+48+7])
						}
					}
					if records < 100 {
						t.Errorf("%d records say that a group was left, want 100", records)
					}
				})
			})
		}
	}
}

func TestErrorsOfMemberships(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, b, _, sb := pair(t, stack.WithoutTCP(stack.InterfaceConfig{NoRouters: true, Limits: stack.Limits{MaxGroups: 3, MaxSources: 2}}))
		time.Sleep(5 * time.Second)
		c := listenPacket(t, sb, ":5000")
		a, ssm := netip.MustParseAddr(groupA), netip.MustParseAddr(groupSSM)
		must(t, c.JoinGroup(a))
		must(t, c.JoinGroup(ssm, addrs(source1, source1)...))
		before := memberships(b)
		var invalid *stack.InvalidArgumentError
		for _, test := range []struct {
			what string
			err  error
			want any
		}{
			{"joining twice", c.JoinGroup(a), stack.ErrGroupExists},
			{"a source of what is joined for all", c.JoinGroup(a, addrs(source1)...), stack.ErrGroupExists},
			{"the same source twice", c.JoinGroup(ssm, addrs(source1)...), stack.ErrGroupExists},
			{"leaving what is not joined", c.LeaveGroup(netip.MustParseAddr(groupB)), stack.ErrNoSuchGroup},
			{"leaving ff02::1", c.LeaveGroup(netip.MustParseAddr("ff02::1")), stack.ErrNoSuchGroup},
			{"leaving another source", c.LeaveGroup(ssm, addrs(source1, source2)...), stack.ErrNoSuchGroup},
			{"leaving a source of all", c.LeaveGroup(a, addrs(source1)...), stack.ErrNoSuchGroup},
			{"too many sources", c.JoinGroup(ssm, addrs(source2, "2001:db8::a3")...), stack.ErrLimit},
			{"no group", c.JoinGroup(netip.MustParseAddr("2001:db8::1")), &invalid},
			{"an IPv4 group", c.JoinGroup(netip.MustParseAddr("224.0.0.1")), &invalid},
			{"nothing", c.JoinGroup(netip.Addr{}), &invalid},
			{"a source-specific group without sources", c.JoinGroup(netip.MustParseAddr("ff35::1")), &invalid},
			{"a group as a source", c.JoinGroup(netip.MustParseAddr(groupB), addrs(groupA)...), &invalid},
			{"a source of another interface", c.JoinGroup(netip.MustParseAddr(groupB), addrs("fe80::1%tap7")...), &invalid},
		} {
			var op *net.OpError
			if !errors.As(test.err, &op) {
				t.Errorf("%s: %v is no *net.OpError", test.what, test.err)
			}
			if want, ok := test.want.(error); ok && !errors.Is(test.err, want) || !ok && !errors.As(test.err, test.want) {
				t.Errorf("%s: %v", test.what, test.err)
			}
		}
		if diff := cmp.Diff(before, memberships(b)); diff != "" {
			t.Errorf("memberships changed (-before +after):\n%s", diff)
		}
		must(t, b.JoinGroup(a))
		if err := b.JoinGroup(netip.MustParseAddr(groupB)); !errors.Is(err, stack.ErrLimit) {
			t.Errorf("a fourth membership: %v", err)
		}
		if got := b.Counters().MembershipsRefused; got != 2 {
			t.Errorf("%d refusals were counted, want 2", got)
		}
		if got, want := c.JoinGroup(a).Error(), "join udp [::]:5000->ff05::1234: the group is joined already"; got != want {
			t.Errorf("the error reads %q, want %q", got, want)
		}
		must(t, c.LeaveGroup(a))
		must(t, b.JoinGroup(netip.MustParseAddr(groupB))) // there is room again
		must(t, c.Close())
		if err := c.JoinGroup(a); !errors.Is(err, net.ErrClosed) {
			t.Errorf("joining with a closed socket: %v", err)
		}
		if _, err := sb.ListenPacket("udp", "["+groupA+"%tap7]:5000"); err == nil || errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("binding to a group of another interface: %v", err)
		}
	})
}

// mldQueryFrame is a General Query of version 2 from macB, with hop limit 1
// behind a Router Alert. The window is less than 32,768 ms.
func mldQueryFrame(src, dst netip.Addr, window time.Duration) []byte {
	q := &mld.Query{Version: 2, MaxResponseDelay: window, Group: netip.IPv6Unspecified()}
	message := mld.Append(nil, src, dst, q)
	to := nd.MulticastLinkAddr(dst)
	f := append(append(append([]byte{}, to[:]...), macB[:]...), 0x86, 0xdd, 0x60, 0, 0, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(8+len(message)))
	f = append(append(append(f, 0, 1), src.AsSlice()...), dst.AsSlice()...)
	f = append(f, 58, 0, 5, 2, 0, 0, 1, 0)
	return append(f, message...)
}

// A query is heard whatever its source, also if that is not one that the group
// is joined for.
//
// Spec: RFC 3810, section 4.2, must, MLD2-R14
func TestMLD2_R14_QueriesAreNotFilteredBySource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		la, lb := tap.Pipe(macA, macB, 1500)
		_, i := attach(t, la, stack.WithoutTCP(stack.InterfaceConfig{NoRouters: true}))
		t.Cleanup(func() { lb.Close() })
		time.Sleep(5 * time.Second)
		must(t, i.JoinGroup(netip.MustParseAddr(groupSSM), addrs(source1)...))
		query := mldQueryFrame(netip.MustParseAddr("fe80::77"), netip.MustParseAddr(groupSSM), time.Second)
		if _, err := lb.Write([]stack.Frame{{Data: [][]byte{query}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if c := i.Counters(); c.MLDQueriesIn != 1 || c.OtherSource != 0 {
			t.Errorf("%d queries heard, %d packets of other sources", c.MLDQueriesIn, c.OtherSource)
		}
	})
}
