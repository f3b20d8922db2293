package nd

import (
	"runtime"
	"testing"
	"time"
)

const fullCache = 1 << 16

// newFullBench has 65,536 neighbors that are REACHABLE for good, or as much as
// unknown.
func newFullBench(tb testing.TB, wanted bool) *bench {
	b := newBench(tb, NeighborConfig{BaseReachableTime: 1000 * time.Hour})
	for i := range fullCache {
		b.n.Step(b.now, solicit(neighborAt(i).String(), hostLL, hostLL, link(peerMAC)))
		if wanted {
			b.n.Step(b.now, Confirm{neighborAt(i)})
		}
	}
	return b
}

func BenchmarkConfirm(b *testing.B) {
	m := newFullBench(b, true)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.now = m.now.Add(time.Microsecond)
		m.n.Step(m.now, Confirm{neighborAt(i % fullCache)})
		i++
	}
}

// A whole round of Neighbor Unreachability Detection: use, probe, answer.
func BenchmarkProbe(b *testing.B) {
	m := newFullBench(b, false)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		a := neighborAt(i % fullCache)
		m.n.Step(m.now, solicit(a.String(), hostLL, hostLL, macA))
		m.n.Step(m.now, Used{a})
		m.now = m.now.Add(5 * time.Second)
		m.n.Advance(m.now)
		m.n.Step(m.now, advert(a.String(), "SO", macB))
		i++
	}
}

// Solicitations from ever new addresses, each displacing an entry.
func BenchmarkFlood(b *testing.B) {
	m := newFullBench(b, false)
	b.ReportAllocs()
	i := fullCache
	for b.Loop() {
		m.n.Step(m.now, solicit(neighborAt(i).String(), hostLL, hostLL, macA))
		i++
	}
}

// Resolutions that displace each other.
func BenchmarkResolve(b *testing.B) {
	m := newFullBench(b, false)
	b.ReportAllocs()
	i := fullCache
	for b.Loop() {
		m.now = m.now.Add(time.Millisecond)
		m.n.Step(m.now, Resolve{neighborAt(i), addr(hostLL)})
		i++
	}
}

func BenchmarkMemoryPerNeighbor(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := newFullBench(b, true)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/fullCache, "B/neighbor")
		runtime.KeepAlive(m)
	}
}

func BenchmarkMemoryPerAddress(b *testing.B) {
	const addresses = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := newBareBench(b, NeighborConfig{})
		for i := range addresses {
			m.n.Step(m.now, Defend{Addr: neighborAt(i)})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/addresses, "B/address")
		runtime.KeepAlive(m)
	}
}
