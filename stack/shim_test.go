package stack

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/nd"
)

// sink is a link that takes everything and delivers nothing.
type sink struct {
	closed chan struct{}
	once   sync.Once
	last   []byte // the first piece of the last frame
}

func newSink() *sink { return &sink{closed: make(chan struct{})} }

func (s *sink) Read([]Frame) (int, error) { <-s.closed; return 0, net.ErrClosed }
func (s *sink) Write(f []Frame) (int, error) {
	s.last = f[len(f)-1].Data[0]
	return len(f), nil
}
func (s *sink) Drained() bool         { return true }
func (s *sink) LinkAddr() nd.LinkAddr { return ownMAC }
func (s *sink) MTU() int              { return 1500 }
func (s *sink) Offload() Offload      { return Offload{} }
func (s *sink) Close() error          { s.once.Do(func() { close(s.closed) }); return nil }

// withPacket calls f with an outbound UDP packet from src to dst.
func withPacket(t testing.TB, src, dst netip.Addr, f func(p *netstack.Packet)) {
	called := false
	h, err := netstack.New(netstack.Config{
		Name: "gen0", MTU: 1500, Output: func(p *netstack.Packet) error { called = true; f(p); return nil },
		Source: func(netip.Addr) (netip.Addr, error) { return src, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.AddAddress(src); err != nil {
		t.Fatal(err)
	}
	c, err := h.DialUDP(netip.AddrPort{}, netip.AddrPortFrom(dst, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	if !called {
		t.Fatal("no packet came")
	}
}

// sinkInterface is an interface on a sink with 2001:db8::1/64 and a static
// neighbor 2001:db8::9.
func sinkInterface(t testing.TB) (*Interface, *sink) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	link := newSink()
	i, err := s.Attach("tap0", link, InterfaceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p := netip.MustParsePrefix("2001:db8::1/64")
	if err := i.AddAddress(t.Context(), AddressConfig{Prefix: p, OnLink: p.Masked(), DAD: dad.Off}); err != nil {
		t.Fatal(err)
	}
	if err := i.SetNeighbor(netip.MustParseAddr("2001:db8::9"), peerMAC); err != nil {
		t.Fatal(err)
	}
	return i, link
}

// The data path of a packet to a known neighbor allocates nothing.
func TestOutputDoesNotAllocate(t *testing.T) {
	i, link := sinkInterface(t)
	withPacket(t, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::9"), func(p *netstack.Packet) {
		allocs := testing.AllocsPerRun(1000, func() {
			if err := i.output(p); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations per packet", allocs)
		}
		if got := nd.LinkAddr(link.last[:6]); got != peerMAC {
			t.Errorf("sent to %v", got)
		}
	})
}

func BenchmarkOutput(b *testing.B) {
	i, _ := sinkInterface(b)
	withPacket(b, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::9"), func(p *netstack.Packet) {
		for b.Loop() {
			i.output(p)
		}
	})
}

// The first use of a STALE neighbor is told exactly once, whatever the number
// of senders.
func TestNeighborViewTellsOfOneUse(t *testing.T) {
	v := newNeighborView()
	addr := peerLL.As16()
	v.set(addr, peerMAC, true)
	var told sync.Map
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for range 1000 {
				if l, tell, ok := v.lookup(addr); !ok || l != peerMAC {
					t.Error("lost the neighbor")
				} else if tell {
					told.Store(k, true)
				}
			}
		})
	}
	wg.Wait()
	n := 0
	told.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d senders were told, want 1", n)
	}
}

// Readers find every neighbor that stays, while the loop adds and removes
// others and the table grows.
func TestNeighborViewUnderChange(t *testing.T) {
	v := newNeighborView()
	stays := ownLL.As16()
	v.set(stays, peerMAC, false)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if l, _, ok := v.lookup(stays); !ok || l != peerMAC {
					t.Error("lost the neighbor that stays")
					return
				}
			}
		})
	}
	key := func(k int) [16]byte {
		return [16]byte{0: 0xfe, 1: 0x80, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)}
	}
	for k := range 20_000 {
		v.set(key(k), nd.LinkAddr{2, byte(k >> 8), byte(k)}, false)
		if k >= 1000 {
			v.remove(key(k - 1000))
		}
	}
	close(stop)
	wg.Wait()
	for k := range 20_000 {
		if _, _, ok := v.lookup(key(k)); ok != (k >= 19_000) {
			t.Fatalf("neighbor %d: found %v", k, ok)
		}
	}
	if v.table.Len() != 1001 {
		t.Errorf("count %d", v.table.Len())
	}
}

// What bears on an own address is kept when other frames are lost: a
// solicitation that it must answer, and before that what may show it to be a
// duplicate.
//
// Spec: RFC 4862, section 5.4, DER, DAD-R38
// Spec: RFC 6583, section 7.1, REC, CACHE-R02
func TestDAD_R38_FramesOfOwnAddressesAreNotDroppedForLoad(t *testing.T) {
	b := newInbox()
	testing, assigned, other := netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("2001:db8::6"), netip.MustParseAddr("2001:db8::7")
	b.setOwn(testing, true)
	b.setOwn(assigned, false)
	solicit := func(target netip.Addr) []byte {
		return ndFrame(peerMAC, peerLL, nd.SolicitedNode(target), &nd.NeighborSolicit{Target: target})
	}
	evidence := ndFrame(peerMAC, peerLL, nd.AllNodes, claim(testing))
	for _, flood := range []struct {
		what  string
		frame []byte
		kept  int
	}{
		{"of what another node is asked", solicit(other), maxWaitingFrames},
		{"of what an address under test is asked, which it does not answer", solicit(testing), 0},
		{"of advertisements of an assigned address", ndFrame(peerMAC, peerLL, nd.AllNodes, claim(assigned)), 0},
		{"of what an assigned address is asked", solicit(assigned), maxWaitingFrames},
		{"of evidence", evidence, maxWaitingFrames},
		{"of what an assigned address is asked, after that", solicit(assigned), 0},
	} {
		before, lost := b.waiting(), b.lostFrames()
		for range maxWaitingFrames + 10 {
			b.putFrames(time.Time{}, [][]byte{flood.frame})
		}
		if kept := b.waiting() - before; kept != flood.kept || b.lostFrames()-lost != uint64(maxWaitingFrames+10-kept) {
			t.Errorf("a flood %s: %d frames kept, want %d; %d counted as lost", flood.what, kept, flood.kept, b.lostFrames()-lost)
		}
	}
	b.forget(testing)
	if room := b.roomFor(evidence); room != maxWaitingFrames {
		t.Errorf("room for %d frames about an address that is gone", room)
	}
}
