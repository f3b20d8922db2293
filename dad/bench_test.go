package dad

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// BenchmarkAddresses starts n addresses at once and lets all tests succeed. It
// reports the time for each address, and the memory that each occupies while
// it is tested and after.
func BenchmarkAddresses(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		addrs := manyAddrs(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var tested, assigned uint64
			for b.Loop() {
				m := New(Config{}, new(dice))
				b.StopTimer()
				before := heap()
				b.StartTimer()
				for _, a := range addrs {
					m.Step(epoch, Start{Addr: a})
				}
				b.StopTimer()
				tested += heap() - before
				b.StartTimer()
				m.Advance(epoch.Add(time.Second))
				b.StopTimer()
				assigned += heap() - before
				if m.State(addrs[n-1]) != Assigned {
					b.Fatal("not assigned")
				}
				b.StartTimer()
			}
			each := float64(b.N * n)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/each, "ns/addr")
			b.ReportMetric(float64(tested)/each, "tested-B/addr")
			b.ReportMetric(float64(assigned)/each, "assigned-B/addr")
		})
	}
}

// BenchmarkSolicit is the cost of a solicitation that means nothing, to a
// machine with n addresses.
func BenchmarkSolicit(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		addrs := manyAddrs(n)
		m := New(Config{}, new(dice))
		for _, a := range addrs {
			m.Step(epoch, Start{Addr: a})
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var ev Event = solicit(peerAddr.String(), addrs[n/2], "", other)
			b.ReportAllocs()
			for b.Loop() {
				m.Step(epoch, ev)
			}
		})
	}
}

func manyAddrs(n int) []netip.Addr {
	addrs := make([]netip.Addr, n)
	for i := range addrs {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[13], a[14], a[15] = byte(i>>16), byte(i>>8), byte(i)
		addrs[i] = netip.AddrFrom16(a)
	}
	return addrs
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// The fields of a message that mean nothing to this machine cost nothing.
func TestUnrelatedMessagesDoNotAllocate(t *testing.T) {
	m := New(Config{}, new(script))
	m.Step(epoch, Start{Addr: tableAddr})
	for _, ev := range []Event{
		solicit("::", ownAddr, "", other),
		solicit(peerAddr.String(), tableAddr, "", other),
		advert(nd.AllNodes, ownAddr, other),
	} {
		if n := testing.AllocsPerRun(100, func() { m.Step(epoch, ev) }); n > 0 {
			t.Errorf("%s: %v allocations", formatEvent(ev), n)
		}
	}
}
