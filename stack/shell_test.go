package stack_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Tests of the shell: blocking, cancelling, closing. They run in a bubble with
// a clock of its own, on an in-memory link.

var (
	macA = nd.LinkAddr{2, 0, 0, 0, 0, 0xa}
	macB = nd.LinkAddr{2, 0, 0, 0, 0, 0xb}
)

func prefix(s string) stack.AddressConfig {
	return stack.AddressConfig{Prefix: netip.MustParsePrefix(s)}
}

func onLink(s string) stack.AddressConfig {
	p := netip.MustParsePrefix(s)
	return stack.AddressConfig{Prefix: p, OnLink: p.Masked()}
}

// attach makes a Stack with one interface on link.
func attach(t testing.TB, link stack.Link, cfg stack.InterfaceConfig) (*stack.Stack, *stack.Interface) {
	t.Helper()
	s, err := stack.New(stack.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Attach("tap0", link, stack.Foreseeable(cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, i
}

// pair makes two nodes on one link.
func pair(t testing.TB, cfg stack.InterfaceConfig) (a, b *stack.Interface, sa, sb *stack.Stack) {
	la, lb := tap.Pipe(macA, macB, 1500)
	sa, a = attach(t, la, cfg)
	sb, b = attach(t, lb, cfg)
	return a, b, sa, sb
}

func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// Spec: RFC 4862, section 5.4, MUST, KRE-1
func TestAddAddressBlocksUntilDADEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, _, _ := pair(t, stack.WithoutTCP(stack.InterfaceConfig{}))
		time.Sleep(5 * time.Second) // both link-local addresses are assigned
		start := time.Now()
		if err := a.AddAddress(t.Context(), onLink("2001:db8::5/64")); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("the add took %v, the RFC asks for 1s", d)
		}
		start = time.Now()
		err := b.AddAddress(t.Context(), onLink("2001:db8::5/64"))
		var dup *dad.DuplicateError
		if !errors.As(err, &dup) || dup.LinkAddr != macA {
			t.Fatalf("adding the duplicate: %v", err)
		}
		if d := time.Since(start); d >= time.Second {
			t.Errorf("the duplicate was found after %v", d)
		}
		want := "add 2001:db8::5 on tap0: duplicate address: in use by 02:00:00:00:00:0a (neighbor advertisement)"
		if err.Error() != want {
			t.Errorf("the error reads %q, want %q", err, want)
		}
		if fs := b.Failures(); len(fs) != 1 || fs[0].Interface != "tap0" || fs[0].Duplicate.Addr != netip.MustParseAddr("2001:db8::5") {
			t.Errorf("failures: %+v", fs)
		}
		if as := b.Addresses(); len(as) != 1 {
			t.Errorf("addresses after the failure: %v", as)
		}
	})
}

func TestAddAddressesAllAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, _, _ := pair(t, stack.WithoutTCP(stack.InterfaceConfig{}))
		time.Sleep(5 * time.Second)
		if err := a.AddAddress(t.Context(), prefix("2001:db8::7/128")); err != nil {
			t.Fatal(err)
		}
		errs := b.AddAddresses(t.Context(), []stack.AddressConfig{
			prefix("2001:db8::6/128"), prefix("2001:db8::7/128"), prefix("2001:db8::6/128"), prefix("ff02::7/128"),
		})
		var invalid *stack.InvalidArgumentError
		var dup *dad.DuplicateError
		if errs[0] != nil || !errors.As(errs[1], &dup) || !errors.Is(errs[2], stack.ErrAddressExists) || !errors.As(errs[3], &invalid) {
			t.Errorf("errors: %v", errs)
		}
	})
}

func TestRemoveAddressesAllAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _, _, _ := pair(t, stack.WithoutTCP(stack.InterfaceConfig{}))
		for _, err := range a.AddAddresses(t.Context(), []stack.AddressConfig{prefix("2001:db8::1/64"), prefix("2001:db8::2/64"), prefix("2001:db8::3/64")}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		one, two, three := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8::3")
		errs := a.RemoveAddresses([]netip.Addr{one, netip.MustParseAddr("2001:db8::9"), three, one, two.WithZone("eth7")})
		var invalid *stack.InvalidArgumentError
		if errs[0] != nil || !errors.Is(errs[1], stack.ErrNoSuchAddress) || errs[2] != nil || !errors.Is(errs[3], stack.ErrNoSuchAddress) || !errors.As(errs[4], &invalid) {
			t.Errorf("errors %v", errs)
		}
		for _, left := range a.Addresses() {
			if left.Prefix.Addr() == one || left.Prefix.Addr() == three {
				t.Errorf("%v is still there", left.Prefix)
			}
		}
		if errs := a.RemoveAddresses([]netip.Addr{two}); errs[0] != nil {
			t.Errorf("what was not named right was removed: %v", errs[0])
		}
	})
}

// Spec: derived, DER, KRE-6
func TestCancelledAddLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _, _, _ := pair(t, stack.WithoutTCP(stack.InterfaceConfig{}))
		time.Sleep(5 * time.Second)
		before := fmt.Sprint(a.Addresses(), a.Routes(), a.Groups())
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := a.AddAddress(ctx, onLink("2001:db8::5/64"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the add ended with %v", err)
		}
		if d := time.Since(start); d != 300*time.Millisecond {
			t.Errorf("the add ended after %v", d)
		}
		if after := fmt.Sprint(a.Addresses(), a.Routes(), a.Groups()); after != before {
			t.Errorf("before %s\nafter %s", before, after)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.AddAddress(ended, onLink("2001:db8::6/64")); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
}

func TestStartAndWaitAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, _, _ := pair(t, stack.WithoutTCP(stack.InterfaceConfig{}))
		time.Sleep(5 * time.Second)
		addr := netip.MustParseAddr("2001:db8::5")
		if err := a.StartAddress(onLink("2001:db8::5/64")); err != nil {
			t.Fatal(err)
		}
		if err := a.StartAddress(onLink("2001:db8::5/64")); !errors.Is(err, stack.ErrAddressExists) {
			t.Errorf("starting twice: %v", err)
		}
		if err := a.WaitAddress(t.Context(), addr); err != nil {
			t.Error(err)
		}
		if err := b.StartAddress(onLink("2001:db8::5/64")); err != nil {
			t.Fatal(err)
		}
		var dup *dad.DuplicateError
		if err := b.WaitAddress(t.Context(), addr); !errors.As(err, &dup) {
			t.Errorf("waiting for a duplicate: %v", err)
		}
		if err := b.WaitAddress(t.Context(), netip.MustParseAddr("2001:db8::77")); !errors.Is(err, stack.ErrNoSuchAddress) {
			t.Errorf("waiting for nothing: %v", err)
		}
		b.StartAddress(onLink("2001:db8::9/64"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := b.WaitAddress(ctx, netip.MustParseAddr("2001:db8::9")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting too short: %v", err)
		}
	})
}

// stalled is a link whose reader can be held up, as a process is that gets no
// time: frames stay unread.
type stalled struct {
	*tap.End
	hold chan chan struct{}
}

func (s *stalled) Read(frames []stack.Frame) (int, error) {
	n, err := s.End.Read(frames)
	select {
	case release := <-s.hold:
		<-release
	default:
	}
	return n, err
}

// Spec: RFC 4862, section 5.4, DER, DAD-R38
func TestDAD_R38_LateLoopStillFindsTheDuplicate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		la, lb := tap.Pipe(macA, macB, 1500)
		_, b := attach(t, lb, stack.WithoutTCP(stack.InterfaceConfig{}))
		held := &stalled{la, make(chan chan struct{}, 1)}
		_, a := attach(t, held, stack.WithoutTCP(stack.InterfaceConfig{}))
		time.Sleep(5 * time.Second)
		if err := b.AddAddress(t.Context(), onLink("2001:db8::5/64")); err != nil {
			t.Fatal(err)
		}
		// The reader is held up from the next frame on for five seconds, and
		// the loop with it: the advertisement lies unread beyond the second
		// that DAD takes.
		release := make(chan struct{})
		held.hold <- release
		freeze := make(chan struct{})
		time.AfterFunc(5*time.Second, func() { close(release); close(freeze) })
		stack.HoldLoop(a, freeze, 200*time.Millisecond)
		err := a.AddAddress(t.Context(), onLink("2001:db8::5/64"))
		var dup *dad.DuplicateError
		if !errors.As(err, &dup) {
			t.Errorf("the duplicate was missed: %v", err)
		}
	})
}

// A failed send of a probe ends the add, tells the caller and leaves nothing.
func TestWriteErrorEndsTheAdd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		la, lb := tap.Pipe(macA, macB, 1500)
		_, a := attach(t, la, stack.WithoutTCP(stack.InterfaceConfig{}))
		_, b := attach(t, lb, stack.WithoutTCP(stack.InterfaceConfig{}))
		time.Sleep(5 * time.Second)
		before := fmt.Sprint(a.Addresses(), a.Routes(), a.Groups())
		la.FailWrites(syscall.EIO)
		start := time.Now()
		err := a.AddAddress(t.Context(), onLink("2001:db8::5/64"))
		if !errors.Is(err, syscall.EIO) || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		la.FailWrites(nil)
		if after := fmt.Sprint(a.Addresses(), a.Routes(), a.Groups()); after != before {
			t.Errorf("before %s\nafter %s", before, after)
		}
		if err := b.AddAddress(t.Context(), onLink("2001:db8::5/64")); err != nil {
			t.Errorf("the address is not free: %v", err)
		}
	})
}

func TestEventsComeInOrderAndAnnounceGaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _, sa, _ := pair(t, stack.WithoutTCP(stack.InterfaceConfig{}))
		sub := sa.SubscribeSince(0)
		defer sub.Close()
		time.Sleep(5 * time.Second)
		for k := range 1000 { // each with several events: more than the ring holds
			if err := a.AddAddress(t.Context(), stack.AddressConfig{
				Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 13: byte(k >> 8), 14: byte(k), 15: 1}), 128), DAD: dad.Off,
			}); err != nil {
				t.Fatal(err)
			}
			if err := a.RemoveAddress(netip.AddrFrom16([16]byte{0x20, 1, 13: byte(k >> 8), 14: byte(k), 15: 1})); err != nil {
				t.Fatal(err)
			}
		}
		next, lost := uint64(1), 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for ev := range sub.All(ctx) {
			if ev.Type == stack.Lost {
				if ev.From != next || ev.To < ev.From {
					t.Fatalf("lost from %d to %d, the next was %d", ev.From, ev.To, next)
				}
				next = ev.To + 1
				lost++
				continue
			}
			if ev.Seq != next {
				t.Fatalf("event %d after %d", ev.Seq, next-1)
			}
			next++
		}
		if lost != 1 {
			t.Errorf("%d gaps announced, want 1", lost)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	la, lb := tap.Pipe(macA, macB, 1500)
	sa, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := sa.Attach("tap0", la, stack.InterfaceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	pending := make(chan error, 1)
	go func() { pending <- a.AddAddress(context.Background(), onLink("2001:db8::5/64")) }()
	listener, err := sa.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := sa.ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	accepted, read := make(chan error, 1), make(chan error, 1)
	go func() { _, err := listener.Accept(); accepted <- err }()
	go func() { _, _, err := packets.ReadFrom(make([]byte, 10)); read <- err }()
	sub := sa.Subscribe()
	subEnded := make(chan struct{})
	go func() {
		for range sub.All(context.Background()) {
		}
		close(subEnded)
	}()
	for len(a.Addresses()) < 2 { // the add has reached the loop
		runtime.Gosched()
	}
	if err := sa.Close(); err != nil {
		t.Error(err)
	}
	if err := <-pending; !errors.Is(err, stack.ErrClosed) {
		t.Errorf("the pending add ended with %v", err)
	}
	for _, c := range []chan error{accepted, read} {
		if err := <-c; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a blocked call ended with %v", err)
		}
	}
	<-subEnded
	lb.Close()
	if err := a.AddAddress(context.Background(), onLink("2001:db8::6/64")); !errors.Is(err, stack.ErrClosed) {
		t.Errorf("an add after Close: %v", err)
	}
	if _, err := sa.Attach("tap1", lb, stack.InterfaceConfig{}); !errors.Is(err, stack.ErrClosed) {
		t.Errorf("an attach after Close: %v", err)
	}
	if err := sa.Close(); err != nil {
		t.Error("closing twice:", err)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// Nothing wakes an idle node.
func TestIdleNodeHasNoTimer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _, _, _ := pair(t, stack.WithoutTCP(stack.InterfaceConfig{NoRouters: true}))
		if err := a.AddAddress(t.Context(), onLink("2001:db8::5/64")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if at, ok := stack.Deadline(a); ok {
			t.Errorf("a timer is set for %v from now", time.Until(at))
		}
	})
}

// Ten thousand addresses at once are all assigned within three seconds.
func TestTenThousandAddressesAtOnce(t *testing.T) {
	la, lb := tap.Pipe(macA, macB, 1500)
	lb.Close()
	_, a := attach(t, la, stack.InterfaceConfig{})
	as := make([]stack.AddressConfig, 10000)
	for k := range as {
		addr := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 12: 1, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)})
		as[k] = stack.AddressConfig{Prefix: netip.PrefixFrom(addr, 64)}
	}
	for _, err := range a.AddAddresses(t.Context(), as) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := len(a.Addresses()); got != len(as)+1 {
		t.Errorf("%d addresses", got)
	}
}

// Spec: RFC 4862, section 5.4.5, SHOULD, DAD-R42
func TestDAD_R42_SocketsOfADisabledInterface(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// Both ends have the same link-layer address: the very case.
		la, lb := tap.Pipe(macA, macA, 1500)
		sa, a := attach(t, la, stack.WithoutTCP(stack.InterfaceConfig{}))
		if err := a.AddAddress(t.Context(), onLink("2001:db8::a/64")); err != nil {
			t.Fatal(err)
		}
		sender, err := sa.DialContext(t.Context(), "udp", "[ff02::1]:7")
		if err != nil {
			t.Fatal(err)
		}
		defer sender.Close()
		sb, b := attach(t, lb, stack.WithoutTCP(stack.InterfaceConfig{Addresses: []stack.AddressConfig{onLink("2001:db8::b/64")}}))
		packets, err := sb.ListenPacket("udp", ":7")
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		time.Sleep(5 * time.Second)
		if !b.Status().IPv6Disabled {
			t.Fatal("IPv6 is not disabled")
		}
		heard := func() bool {
			if _, err := sender.Write([]byte("to all nodes")); err != nil {
				t.Fatal(err)
			}
			packets.SetReadDeadline(time.Now().Add(time.Second))
			_, _, err := packets.ReadFrom(make([]byte, 100))
			return err == nil
		}
		if heard() {
			t.Error("a packet was received while IPv6 is disabled")
		}
		to := netip.MustParseAddrPort("[2001:db8::a]:7")
		if _, err := packets.WriteToUDPAddrPort([]byte("x"), to); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("sending while disabled: %v", err)
		}
		if err := b.AddAddress(t.Context(), prefix("fe80::b/64")); err != nil {
			t.Fatalf("a new link-local address: %v", err)
		}
		time.Sleep(5 * time.Second)
		if s := b.Status(); s.IPv6Disabled || len(b.Addresses()) != 2 {
			t.Errorf("after the recovery: %+v %v", s, b.Addresses())
		}
		if _, err := packets.WriteToUDPAddrPort([]byte("x"), to); err != nil {
			t.Errorf("sending after the recovery: %v", err)
		}
		if !heard() {
			t.Error("nothing is received after the recovery")
		}
	})
}

// A packet to a STALE neighbor starts the five seconds after which it is
// probed.
//
// Spec: RFC 4861, section 7.3.3, must, NUD-R05
func TestNUD_R05_UseOfAStaleNeighborIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _, sa, sb := pair(t, stack.WithoutTCP(stack.InterfaceConfig{}))
		time.Sleep(5 * time.Second)
		receiver, err := sb.ListenPacket("udp", ":9")
		if err != nil {
			t.Fatal(err)
		}
		defer receiver.Close()
		conn, err := sa.DialContext(t.Context(), "udp", netip.AddrPortFrom(stack.LinkLocalAddr(macB), 9).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		state := func(want nd.NeighborState) {
			t.Helper()
			synctest.Wait()
			if ns := a.Neighbors(); len(ns) != 1 || ns[0].State != want {
				t.Errorf("neighbors %v, want one that is %v", ns, want)
			}
		}
		conn.Write([]byte("x"))
		state(nd.Reachable)
		time.Sleep(time.Minute)
		state(nd.Stale)
		conn.Write([]byte("x"))
		state(nd.Delay)
		time.Sleep(6 * time.Second)
		state(nd.Reachable)
	})
}
