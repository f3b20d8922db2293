package services

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// attach makes a host on link that assigns addresses without a test.
func attach(t *testing.T, link stack.Link, addrs ...string) (*stack.Stack, *stack.Interface) {
	t.Helper()
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	i, err := s.Attach("eth0", link, stack.InterfaceConfig{NoLinkLocal: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		add(t, i, a)
	}
	return s, i
}

func add(t *testing.T, i *stack.Interface, a string) {
	t.Helper()
	p := netip.MustParsePrefix(a)
	if err := i.AddAddress(t.Context(), stack.AddressConfig{Prefix: p, OnLink: p.Masked(), DAD: dad.Off}); err != nil {
		t.Fatal(err)
	}
}

// Every address answers, from itself: those that were there, and those that
// come later, and come back.
func TestOn_EveryAddressAnswersFromItself(t *testing.T) {
	a, b := tap.Pipe(nd.LinkAddr{2, 0, 0, 0, 0, 1}, nd.LinkAddr{2, 0, 0, 0, 0, 2}, 1500)
	served, i := attach(t, a, "2001:db8::1/64")
	peer, _ := attach(t, b, "2001:db8::2/64")
	srv, err := Start(On(served), Echo)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(address string, wait time.Duration) bool {
		t.Helper()
		c, err := peer.DialContext(context.Background(), "udp6", "["+address+"]:7")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for deadline := time.Now().Add(wait); time.Now().Before(deadline); {
			if _, err := c.Write([]byte("hello")); err != nil {
				continue // refused a moment ago
			}
			buf := make([]byte, 10)
			if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(buf); err == nil && string(buf[:n]) == "hello" {
				return true
			}
		}
		return false
	}
	const patience = 10 * time.Second
	if !ask("2001:db8::1", patience) {
		t.Error("the first address does not answer")
	}
	add(t, i, "2001:db8::9/64")
	if !ask("2001:db8::9", patience) || !ask("2001:db8::1", patience) {
		t.Error("not both addresses answer")
	}
	if err := i.RemoveAddress(netip.MustParseAddr("2001:db8::9")); err != nil {
		t.Fatal(err)
	}
	if ask("2001:db8::9", 200*time.Millisecond) {
		t.Error("an address that was removed answers")
	}
	add(t, i, "2001:db8::9/64")
	if !ask("2001:db8::9", patience) {
		t.Error("an address that came back does not answer")
	}
	if err := i.SetUp(false); err != nil {
		t.Fatal(err)
	}
	if err := i.SetUp(true); err != nil {
		t.Fatal(err)
	}
	if !ask("2001:db8::1", patience) {
		t.Error("no answer after the link was down")
	}
	if err := srv.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if ask("2001:db8::1", 200*time.Millisecond) {
		t.Error("a service that was closed answers")
	}
}

// What was sent to a group is passed over: every host of the link would answer.
func TestOn_GroupsAreNotAnswered(t *testing.T) {
	a, b := tap.Pipe(nd.LinkAddr{2, 0, 0, 0, 0, 1}, nd.LinkAddr{2, 0, 0, 0, 0, 2}, 1500)
	served, _ := attach(t, a, "2001:db8::1/64")
	peer, _ := attach(t, b, "2001:db8::2/64")
	srv, err := Start(On(served), Echo)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	c, err := peer.ListenPacket("udp6", "[2001:db8::2]:1000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Answers come in the order of the questions.
	for _, to := range []string{"[ff02::1]:7", "[2001:db8::1]:7"} {
		if _, err := c.WriteToUDPAddrPort([]byte(to), netip.MustParseAddrPort(to)); err != nil {
			t.Fatal(err)
		}
	}
	answer := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, _, err := c.ReadFrom(answer); err != nil || string(answer[:n]) != "[2001:db8::1]:7" {
		t.Errorf("the first answer is %q, %v", answer[:n], err)
	}
}

func TestOn_PortInUse(t *testing.T) {
	a, _ := tap.Pipe(nd.LinkAddr{2, 0, 0, 0, 0, 1}, nd.LinkAddr{2, 0, 0, 0, 0, 2}, 1500)
	served, _ := attach(t, a)
	l, err := served.Listen("tcp6", "[::]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if s, err := Start(On(served), Discard, Echo); err == nil {
		s.Close()
		t.Error("Start took a port that is in use")
	}
}
