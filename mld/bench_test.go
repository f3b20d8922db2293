package mld

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

var benchSizes = []int{10, 1_000, 100_000}

// middle is a Random that is cheap.
func middle(lo, hi time.Duration) time.Duration { return (lo + hi) / 2 }

// benchMachine returns a Machine with n idle memberships, each held by an
// address.
func benchMachine(n, version int) *Machine {
	m := New(Config{Version: version}, choice(middle))
	m.Step(epoch, SetLinkLocal{ownLL})
	changes := make(Changes, n)
	for i := range changes {
		changes[i] = change(OpJoin, groupN(i+1), Holder{Kind: HolderAddress, Addr: groupN(i + 1)})
	}
	m.Step(epoch, changes)
	m.Step(epoch, Up{})
	m.Advance(epoch.Add(time.Hour))
	return m
}

func forSizes(b *testing.B, run func(b *testing.B, n int)) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("groups=%d", n), func(b *testing.B) { run(b, n) })
	}
}

// One group is joined, reported twice, left, and that is reported twice.
func BenchmarkJoinLeave(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		m := benchMachine(n, 2)
		group := netip.MustParseAddr("ff02::1:ff00:1")
		now := epoch.Add(time.Hour)
		b.ReportAllocs()
		for b.Loop() {
			m.Step(now, join(group))
			now = now.Add(time.Second)
			m.Advance(now)
			m.Step(now, leave(group))
			now = now.Add(time.Second)
			m.Advance(now)
		}
	})
}

// One of many holders of a group changes its filter to some source and back.
func BenchmarkSetFilter(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("holders=%d", n), func(b *testing.B) {
			m := New(Config{}, choice(middle))
			m.Step(epoch, Up{})
			changes := make(Changes, n)
			for i := range changes {
				changes[i] = Change{OpSet, group5, Holder{Kind: HolderSocket, ID: uint64(i)}, including(sourceA)}
			}
			m.Step(epoch, changes)
			there, back := set(socket1, including(sourceA, sourceB)), set(socket1, including(sourceA))
			now := epoch.Add(time.Hour)
			b.ReportAllocs()
			for b.Loop() {
				m.Step(now, there)
				m.Step(now, back)
				now = now.Add(time.Minute)
				m.Advance(now)
			}
		})
	}
}

// A General Query comes, and all of its answer goes out.
func BenchmarkGeneralQuery(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		m := benchMachine(n, 2)
		now := epoch.Add(time.Hour)
		query := queryV2(noAddr, 10*time.Second)
		b.ReportAllocs()
		for b.Loop() {
			m.Step(now, query)
			now = now.Add(time.Minute)
			m.Advance(now)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/group")
	})
}

func BenchmarkGeneralQueryV1(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		m := benchMachine(n, 1)
		now := epoch.Add(time.Hour)
		query := queryV1(noAddr, 10*time.Second)
		for b.Loop() {
			m.Step(now, query)
			now = now.Add(time.Minute)
			m.Advance(now)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/group")
	})
}

func BenchmarkGroupQuery(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		m := benchMachine(n, 2)
		now := epoch.Add(time.Hour)
		query := queryV2(groupN(n), time.Second)
		b.ReportAllocs()
		for b.Loop() {
			m.Step(now, query)
			now = now.Add(time.Minute)
			m.Advance(now)
		}
	})
}

// The memory of an idle membership.
func BenchmarkMemory(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		var before, after runtime.MemStats
		var m *Machine
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			m = benchMachine(n, 2)
			runtime.GC()
			runtime.ReadMemStats(&after)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/group")
		runtime.KeepAlive(m)
	})
}

func BenchmarkParse(b *testing.B) {
	h := valid("fe80::99", "ff02::1")
	message := unhex(golden[4].octets)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(h, message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendReport(b *testing.B) {
	records := make([]Record, 72)
	for i := range records {
		records[i] = Record{Type: ModeIsExclude, Group: groupN(i)}
	}
	buffer := make([]byte, 0, 1500)
	b.ReportAllocs()
	for b.Loop() {
		Append(buffer, ownLL, allMLDv2, &ReportV2{Records: records})
	}
}
