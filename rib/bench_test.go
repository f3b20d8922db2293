package rib_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"github.com/tapstack/tapstack/rib"
)

// gateways are the next hops of staticRoute.
var gateways = []netip.Addr{
	netip.MustParseAddr("fe80::a"), netip.MustParseAddr("fe80::b"),
	netip.MustParseAddr("fe80::c"), netip.MustParseAddr("fe80::d"),
}

// randomAddr returns an address of 2000::/3.
func randomAddr(r *rand.Rand) [16]byte {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], r.Uint64()>>3|0x2000_0000_0000_0000)
	binary.BigEndian.PutUint64(a[8:], r.Uint64())
	return a
}

// staticRoute is a route to a random prefix of 32 to 64 bits.
func staticRoute(r *rand.Rand) rib.Add {
	prefix := netip.PrefixFrom(netip.AddrFrom16(randomAddr(r)), 32+r.IntN(33)).Masked()
	return rib.Add{
		Key: rib.Key{
			Prefix: prefix, NextHop: gateways[r.IntN(len(gateways))],
			Origin: rib.StaticOrigin, Metric: rib.StaticMetric,
		},
		Owner: rib.Owner{Kind: rib.OwnerStatic},
	}
}

// largeTable returns a table with n routes, and an address in each of them.
func largeTable(n int) (*rib.Table, [][16]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	t := rib.New(rib.Config{})
	dsts := make([][16]byte, n)
	for i := range n {
		ev := staticRoute(r)
		t.Step(epoch, ev)
		dsts[i] = randomAddr(r)
		p := ev.Prefix.Addr().As16()
		for bit := range ev.Prefix.Bits() {
			mask := byte(0x80 >> (bit % 8))
			dsts[i][bit/8] = dsts[i][bit/8]&^mask | p[bit/8]&mask
		}
	}
	r.Shuffle(n, func(i, j int) { dsts[i], dsts[j] = dsts[j], dsts[i] })
	return t, dsts
}

var sizes = []int{100, 10_000, 1_000_000}

func BenchmarkNextHop(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			t, dsts := largeTable(n)
			for _, working := range []int{64, n} {
				b.Run(fmt.Sprintf("destinations=%d", min(working, n)), func(b *testing.B) {
					lookUp(b, t.Snapshot(), dsts[:min(working, n)])
				})
			}
		})
	}
}

func lookUp(b *testing.B, s *rib.Snapshot, dsts [][16]byte) {
	b.ReportAllocs()
	src := numbered(0).As16()
	i := 0
	for b.Loop() {
		if _, ok := s.NextHop(src, dsts[i], uint32(i)); !ok {
			b.Fatalf("no route to %v", netip.AddrFrom16(dsts[i]))
		}
		if i++; i == len(dsts) {
			i = 0
		}
	}
}

// The other things that a lookup may meet, with a million routes.
func BenchmarkNextHopUnusual(b *testing.B) {
	t, dsts := largeTable(1_000_000)
	dsts = dsts[:64]
	b.Run("plain", func(b *testing.B) { lookUp(b, t.Snapshot(), dsts) })

	apply(t, rib.Reach{Addr: gateways[0], State: rib.ReachFailed})
	b.Run("failed=1", func(b *testing.B) { lookUp(b, t.Snapshot(), dsts) })
	apply(t, rib.Add{Key: via(all, gateways[1]), Owner: byHand()})
	b.Run("failed=1 with another default", func(b *testing.B) { lookUp(b, t.Snapshot(), dsts) })
	apply(t, rib.Reach{Addr: gateways[0]})

	apply(t, rib.Add{Key: via(all, gateways[2]), Owner: byHand()})
	elsewhere := [][16]byte{netip.MustParseAddr("::5").As16()}
	b.Run("shared=2", func(b *testing.B) { lookUp(b, t.Snapshot(), elsewhere) })
	apply(t, rib.Announce{Router: gateways[1], Prefix: docPrefix})
	b.Run("shared=2 announced=1", func(b *testing.B) { lookUp(b, t.Snapshot(), elsewhere) })

	for i := range 1024 {
		apply(t, rib.Redirect{Dst: numbered(i), Target: router9})
	}
	b.Run("redirects=1024", func(b *testing.B) { lookUp(b, t.Snapshot(), dsts) })
	redirected := make([][16]byte, 64)
	for i := range redirected {
		redirected[i] = numbered(i).As16()
	}
	b.Run("redirects=1024 redirected", func(b *testing.B) { lookUp(b, t.Snapshot(), redirected) })
}

// One gateway of four fails and comes back, and each time there is a new
// snapshot.
func BenchmarkReach(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			t, _ := largeTable(n)
			b.ReportAllocs()
			for b.Loop() {
				apply(t, rib.Reach{Addr: gateways[0], State: rib.ReachFailed})
				t.Snapshot()
				apply(t, rib.Reach{Addr: gateways[0], State: rib.ReachProbable})
				t.Snapshot()
			}
		})
	}
}

func BenchmarkRedirect(b *testing.B) {
	t := rib.New(rib.Config{})
	b.ReportAllocs()
	i := 0
	for b.Loop() { // from 1,024 on, each evicts another
		apply(t, rib.Redirect{Dst: numbered(i), Target: router9})
		i++
	}
}

func BenchmarkAddRemove(b *testing.B) {
	for _, n := range sizes {
		t, _ := largeTable(n)
		r := rand.New(rand.NewPCG(3, 4))
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ev := staticRoute(r)
				t.Step(epoch, ev)
				t.Step(epoch, rib.Remove{Key: ev.Key, Owner: ev.Owner})
			}
		})
	}
}

// manyAddresses assigns n addresses of one /64, all of which state it as
// on-link.
func manyAddresses(t *rib.Table, n int) {
	for i := range n {
		t.Step(epoch, rib.Assign{Addr: numbered(i), OnLink: netip.MustParsePrefix("2001:db8::/64")})
	}
}

func numbered(i int) netip.Addr {
	a := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint64(a[8:], uint64(i)*0x9e3779b97f4a7c15)
	return netip.AddrFrom16(a)
}

func BenchmarkAssignWithdraw(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		t := rib.New(rib.Config{})
		manyAddresses(t, n)
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := n
			for b.Loop() {
				t.Step(epoch, rib.Assign{Addr: numbered(i), OnLink: netip.MustParsePrefix("2001:db8::/64")})
				t.Step(epoch, rib.Withdraw{Addr: numbered(i)})
				i++
			}
		})
	}
}

func BenchmarkSource(b *testing.B) {
	for _, n := range []int{1, 100, 100_000} {
		t := rib.New(rib.Config{})
		t.Step(epoch, rib.Assign{Addr: netip.MustParseAddr("fe80::1")})
		manyAddresses(t, n)
		s := t.Snapshot()
		dst := netip.MustParseAddr("2001:db8:1::5")
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := s.Source(dst); !ok {
					b.Fatal("no source")
				}
			}
		})
	}
}

// NextHop is on the path of every packet.
func TestLookupsDoNotAllocate(t *testing.T) {
	table, dsts := largeTable(10_000)
	manyAddresses(table, 1000)
	plain := table.Snapshot()
	dst := netip.MustParseAddr("2001:db8:1::5")
	own, src := numbered(7), numbered(8).As16()
	apply(table,
		rib.Add{Key: via(all, gateways[0]), Owner: byHand()}, rib.Add{Key: via(all, gateways[1]), Owner: byHand()},
		rib.Announce{Router: gateways[0], Prefix: docPrefix}, rib.Redirect{Dst: dst, Target: router9})
	healthy := table.Snapshot()
	for _, g := range gateways {
		apply(table, rib.Reach{Addr: g, State: rib.ReachFailed})
	}
	s := table.Snapshot()
	elsewhere := netip.MustParseAddr("::5").As16()
	for name, f := range map[string]func(){
		"NextHop":  func() { plain.NextHop(src, dsts[0], 1) },
		"Local":    func() { s.Local(own.As16()) },
		"Lookup":   func() { s.Lookup(dst) },
		"Source":   func() { s.Source(dst) },
		"detour":   func() { s.NextHop(src, dsts[0], 1) },
		"shared":   func() { healthy.NextHop(src, elsewhere, 1) },
		"redirect": func() { s.NextHop(src, dst.As16(), 1) },
		"IsSource": func() { s.IsSource(own) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// The whole of an address (its record, local route, share of the on-link
// prefix and place among the sources) stays small, and an operation on it
// cheap, with 100,000 of them.
func TestMemoryPerAddress(t *testing.T) {
	const n, limit = 100_000, 512
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	table := rib.New(rib.Config{})
	manyAddresses(table, n)
	each := (heap() - before) / n
	runtime.KeepAlive(table)
	t.Logf("%d octets per address", each)
	if each > limit {
		t.Errorf("%d octets per address, want at most %d", each, limit)
	}
}
