package stack_test

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// manyAddresses lists n addresses, each with a solicited-node group of its own.
func manyAddresses(n int) []stack.AddressConfig {
	as := make([]stack.AddressConfig, n)
	for k := range as {
		addr := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 12: 1, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)})
		as[k] = stack.AddressConfig{Prefix: netip.PrefixFrom(addr, 64)}
	}
	return as
}

// BenchmarkAddAddresses is DAD of many addresses at once, from the call until
// all are assigned and usable by sockets: the RFC asks for one second of it.
// The heap that stays is told per address.
func BenchmarkAddAddresses(b *testing.B) {
	for _, n := range []int{1, 100, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			as := manyAddresses(n)
			var heap uint64
			for b.Loop() {
				b.StopTimer()
				link, peer := tap.Pipe(macA, macB, 1500)
				peer.Close()
				s, err := stack.New(stack.Config{})
				if err != nil {
					b.Fatal(err)
				}
				i, err := s.Attach("tap0", link, stack.Foreseeable(stack.InterfaceConfig{}))
				if err != nil {
					b.Fatal(err)
				}
				if err := i.WaitAddress(b.Context(), stack.LinkLocalAddr(macA)); err != nil {
					b.Fatal(err)
				}
				before := heapInUse()
				b.StartTimer()
				for _, err := range i.AddAddresses(b.Context(), as) {
					if err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				heap = heapInUse() - before
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(heap)/float64(n), "heap-B/address")
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkJoinLeave is a socket that joins and leaves a group besides n others.
func BenchmarkJoinLeave(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			link, peer := tap.Pipe(macA, macB, 1500)
			peer.Close()
			s, i := attach(b, link, stack.InterfaceConfig{})
			if err := i.WaitAddress(b.Context(), stack.LinkLocalAddr(macA)); err != nil {
				b.Fatal(err)
			}
			c, err := s.ListenPacket("udp", ":5000")
			if err != nil {
				b.Fatal(err)
			}
			group := func(k int) netip.Addr {
				return netip.AddrFrom16([16]byte{0: 0xff, 1: 5, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)})
			}
			for k := range n {
				if err := c.JoinGroup(group(k)); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if err := errors.Join(c.JoinGroup(group(n)), c.LeaveGroup(group(n))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
