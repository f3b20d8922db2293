package stack_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Rules that need the sockets below the Core, and the log.

// packetTo is a frame from fe80::9 at macB to dst at macA.
func packetTo(t *testing.T, dst string, next layers.IPProtocol, payload ...gopacket.SerializableLayer) stack.Frame {
	t.Helper()
	ip := &layers.IPv6{Version: 6, NextHeader: next, HopLimit: 64, SrcIP: net.ParseIP("fe80::9"), DstIP: net.ParseIP(dst)}
	for _, l := range payload {
		switch l := l.(type) {
		case *layers.ICMPv6:
			l.SetNetworkLayerForChecksum(ip)
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(ip)
		}
	}
	eth := &layers.Ethernet{SrcMAC: macB[:], DstMAC: macA[:], EthernetType: layers.EthernetTypeIPv6}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append([]gopacket.SerializableLayer{eth, ip}, payload...)...); err != nil {
		t.Fatal(err)
	}
	return stack.Frame{Data: [][]byte{b.Bytes()}}
}

// listener collects what arrives at a link, until it is closed.
type listener struct {
	mu     sync.Mutex
	frames [][]byte
}

func listen(link stack.Link) *listener {
	l := &listener{}
	go func() {
		for {
			f := []stack.Frame{{Data: [][]byte{make([]byte, 2048)}}}
			n, err := link.Read(f)
			if err != nil {
				return
			}
			l.mu.Lock()
			for _, f := range f[:n] {
				l.frames = append(l.frames, f.Data[0][:f.Len])
			}
			l.mu.Unlock()
		}
	}()
	return l
}

// take returns what arrived since the last call.
func (l *listener) take() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.frames
	l.frames = nil
	return out
}

// What is sent to an address under test gets no answer and no error; it does
// once the address is assigned.
//
// Spec: RFC 4862, section 5.4, should, DAD-R24
// Spec: RFC 4862, section 5.4, DER, ICM-R10
func TestDAD_R24_NothingAnswersForATentativeAddress(t *testing.T) {
	const addr = "2001:db8::5"
	bubble(t, func(t *testing.T) {
		profile := stack.Current()
		if err := profile.Set("dad_transmits", "10"); err != nil {
			t.Fatal(err)
		}
		la, lb := tap.Pipe(macA, macB, 1500)
		_, a := attach(t, la, stack.WithoutTCP(stack.InterfaceConfig{Profile: profile, NoRouters: true}))
		heard := listen(lb)
		t.Cleanup(func() { lb.Close() })
		time.Sleep(20 * time.Second)
		if err := a.StartAddress(prefix(addr + "/64")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2500 * time.Millisecond)
		heard.take()
		packets := map[string]stack.Frame{
			"an echo request": packetTo(t, addr, layers.IPProtocolICMPv6,
				&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}, &layers.ICMPv6Echo{Identifier: 1}),
			"a datagram for a closed port": packetTo(t, addr, layers.IPProtocolUDP, &layers.UDP{SrcPort: 1, DstPort: 9}),
			"an unknown next header":       packetTo(t, addr, 200, gopacket.Payload("x")),
		}
		answers := func(state stack.AddressState) map[string]bool {
			t.Helper()
			if as := a.Addresses(); as[len(as)-1].State != state {
				t.Fatalf("the address is %v, want %v", as[len(as)-1].State, state)
			}
			answered := map[string]bool{}
			for what, packet := range packets {
				if _, err := lb.Write([]stack.Frame{packet}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				// At least a solicitation of the sender, who is no neighbor.
				if got := heard.take(); len(got) != 0 {
					answered[what] = true
				}
				if state == stack.Preferred {
					time.Sleep(10 * time.Second) // nobody answers that
					heard.take()
				}
			}
			return answered
		}
		if got := answers(stack.Tentative); len(got) != 0 {
			t.Errorf("during the test: answered %v", got)
		}
		time.Sleep(20 * time.Second)
		heard.take()
		if got := answers(stack.Preferred); len(got) != len(packets) {
			t.Errorf("after the test: answered only %v", got)
		}
	})
}

// Spec: RFC 4862, section 5.5.4, MUST, LIF-R11
func TestLIF_R11_DeprecatedAddressAnswers(t *testing.T) {
	_, b, sa, sb := connectedPair(t)
	deprecated := instantly("2001:db8::d/64")
	deprecated.PreferredLifetime, deprecated.ValidLifetime = time.Millisecond, time.Hour
	if err := b.AddAddress(t.Context(), deprecated); err != nil {
		t.Fatal(err)
	}
	for {
		as := b.Addresses()
		k := slices.IndexFunc(as, func(a stack.Address) bool { return a.Prefix == deprecated.Prefix })
		if k < 0 {
			t.Fatalf("addresses %v", as)
		}
		if as[k].State == stack.Deprecated {
			break
		}
		time.Sleep(time.Millisecond)
	}
	l, err := sb.Listen("tcp", "[::]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, c.LocalAddr().String())
			c.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := sa.DialContext(ctx, "tcp", "[2001:db8::d]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "[2001:db8::d]:7" {
		t.Errorf("answered from %s, %v", got, err)
	}
}

// Spec: RFC 4862, section 5.4.5, SHOULD, DAD-R40
func TestDAD_R40_DuplicateIsLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		la, lb := tap.Pipe(macA, macB, 1500)
		s, err := stack.New(stack.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))})
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Attach("tap0", la, stack.WithoutTCP(stack.InterfaceConfig{}))
		if err != nil {
			t.Fatal(err)
		}
		_, b := attach(t, lb, stack.WithoutTCP(stack.InterfaceConfig{}))
		time.Sleep(5 * time.Second)
		if err := b.AddAddress(t.Context(), prefix("2001:db8::5/64")); err != nil {
			t.Fatal(err)
		}
		if err := a.AddAddress(t.Context(), prefix("2001:db8::5/64")); err == nil {
			t.Error("the duplicate was added")
		}
		if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		for _, want := range []string{"duplicate address", "interface=tap0", "2001:db8::5", macB.String()} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%q is not in the log: %s", want, log.String())
			}
		}
	})
}
