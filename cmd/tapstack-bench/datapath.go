package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
	"github.com/tapstack/tapstack/internal/addrmap"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// datapath is what a packet costs above the device, and what its lookups cost
// in large tables. It needs no privileges.
func datapath(b *bench) {
	b.packets()
	// Large tables take a while to fill.
	if b.wants("neighbor lookup") || b.wants("neighbor added and deleted") {
		for _, n := range b.neighbors {
			b.neighborTable(n)
		}
	}
	if b.wants(nextHop(fewDsts)) || b.wants(nextHop(manyDsts)) || b.wants("route added and removed") {
		for _, n := range b.routes {
			b.routeTable(n)
		}
	}
}

// cost runs f, which does n operations, and returns the nanoseconds and the
// allocations of one.
func cost(n int, f func(n int) error) ([]float64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	err := f(n)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	// What the runtime allocates meanwhile is no packet's.
	allocations := math.Round(100*float64(after.Mallocs-before.Mallocs)/float64(n)) / 100
	return []float64{float64(took.Nanoseconds()) / float64(n), allocations}, err
}

// packets is a datagram of 100 octets from the socket to where a device would
// be, and from there to what a socket reads.
func (b *bench) packets() {
	bares := map[string]func() (host.Bare, error){host.Tapstack: host.BareTapstack, host.GVisor: host.BareGVisor}
	const port = 9
	data := make([]byte, 100)
	packet := host.Datagram(port, data)
	var out, in []contestant
	for _, name := range []string{host.Tapstack, host.GVisor} {
		h, err := bares[name]()
		if err != nil {
			b.leaveOut("data path: packets of %s: %v", name, err)
			continue
		}
		defer h.Close()
		c, err := h.DialUDP(netip.AddrPortFrom(host.Peer, port))
		l, err2 := h.ListenUDP(port)
		if err := errors.Join(err, err2); err != nil {
			b.leaveOut("data path: packets of %s: %v", name, err)
			continue
		}
		defer c.Close()
		defer l.Close()
		out = append(out, contestant{name, func() ([]float64, error) {
			return cost(b.ops, func(n int) error {
				for range n {
					if _, err := c.Write(data); err != nil {
						return err
					}
				}
				return nil
			})
		}})
		in = append(in, contestant{name, func() ([]float64, error) {
			return cost(b.ops, func(n int) error { return deliver(h, l, packet, n) })
		}})
	}
	b.compare("data path", []Figure{{Name: "packet out", Unit: "ns"}, {Name: "packet out, memory", Unit: "allocations"}}, b.rounds, out...)
	b.compare("data path", []Figure{{Name: "packet in", Unit: "ns"}, {Name: "packet in, memory", Unit: "allocations"}}, b.rounds, in...)
}

// burst is how many packets are delivered before they are read, which a socket
// has room for.
const burst = 16

// deliver delivers n packets to a socket, and reads them.
func deliver(h host.Bare, l net.PacketConn, packet []byte, n int) error {
	for buf := make([]byte, 2048); n > 0; n -= burst {
		h.Feed(packet, burst)
		for range burst {
			if _, _, err := l.ReadFrom(buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// neighborTable is the lookup among n neighbors, and a static neighbor that is
// added and deleted: in the machine and in the table of the data path.
func (b *bench) neighborTable(n int) {
	table, machine := addrmap.New(), nd.NewNeighbors(nd.NeighborConfig{LinkAddr: host.OwnLinkAddr, MaxEntries: n + 1}, dice{})
	now := time.Now()
	addrs := make([][16]byte, n+1)
	for k := range addrs {
		addrs[k] = neighbor(k)
	}
	extra := addrs[n]
	addrs = addrs[:n]
	add := func(a [16]byte) {
		machine.Step(now, nd.SetStatic{Addr: netip.AddrFrom16(a), LinkAddr: host.PeerLinkAddr})
		table.Set(a, 1)
	}
	for _, a := range addrs {
		add(a)
	}
	lookup := Figure{Name: "neighbor lookup", Unit: "ns", X: n, XUnit: "neighbors"}
	if n == b.neighbors[len(b.neighbors)-1] {
		lookup.bounds = []bound{atMost(50)}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	b.compare("data path", []Figure{lookup}, b.rounds, contestant{host.Tapstack, func() ([]float64, error) {
		found := 0
		c, err := cost(10*b.ops, func(ops int) error {
			for k := range ops {
				if table.Find(addrs[k%n]).Load() != 0 {
					found++
				}
			}
			return nil
		})
		return c[:1], err
	}})
	change := Figure{Name: "neighbor added and deleted", Unit: "ns", X: n, XUnit: "neighbors"}
	b.compare("data path", []Figure{change}, b.rounds, contestant{host.Tapstack, func() ([]float64, error) {
		c, err := cost(b.ops, func(ops int) error {
			for range ops {
				add(extra)
				machine.Step(now, nd.Delete{Addr: netip.AddrFrom16(extra)})
				table.Delete(extra)
			}
			return nil
		})
		return c[:1], err
	}})
}

// neighbor is the k-th of many addresses on the link.
func neighbor(k int) [16]byte {
	a := host.Prefix.Addr().As16()
	binary.BigEndian.PutUint64(a[8:], uint64(k+16)*0x9e3779b97f4a7c15)
	return a
}

// dice is chance without chance.
type dice struct{}

func (dice) Between(_, hi time.Duration) time.Duration { return hi }
func (dice) Nonce() nd.Nonce                           { return "nonce." }

// routeTable is the next hop among n routes, and a route that is added and
// removed, with the snapshot that the data path then reads.
func (b *bench) routeTable(n int) {
	prefixes, dsts := manyPrefixes(n + 1)
	few := dsts[:fewDsts]
	extra := prefixes[n]
	table := rib.New(rib.Config{})
	now := time.Now()
	for _, p := range prefixes[:n] {
		table.Step(now, addRoute(p))
	}
	next := func(dsts [][16]byte) contestant {
		return contestant{host.Tapstack, func() ([]float64, error) {
			c, err := cost(10*b.ops, func(ops int) error { return lookUp(table.Snapshot(), dsts, ops) })
			return c[:1], err
		}}
	}
	change := contestant{host.Tapstack, func() ([]float64, error) {
		c, err := cost(b.ops/10, func(ops int) error {
			for range ops {
				add := addRoute(extra)
				table.Step(now, add)
				table.Snapshot()
				table.Step(now, rib.Remove{Key: add.Key, Owner: add.Owner})
				table.Snapshot()
			}
			return nil
		})
		return c[:1], err
	}}
	hop := Figure{Name: nextHop(fewDsts), Unit: "ns", X: n, XUnit: "routes"}
	if n == b.routes[len(b.routes)-1] {
		hop.bounds = []bound{atMost(50)}
	}
	nexts, changes := []contestant{next(few)}, []contestant{change}
	if n <= b.gvisorRoutes[len(b.gvisorRoutes)-1] {
		g, err := host.NewGVisorRoutes()
		if err != nil {
			b.leaveOut("data path: routes of gVisor: %v", err)
		} else {
			defer g.Close()
			nexts, changes = append(nexts, b.gvisorNext(g, prefixes[:n], few)), append(changes, b.gvisorChange(g, extra))
		}
	}
	b.compare("data path", []Figure{hop}, b.rounds, nexts...)
	cold := Figure{Name: nextHop(manyDsts), Unit: "ns", X: n, XUnit: "routes"}
	b.compare("data path", []Figure{cold}, b.rounds, next(dsts))
	b.compare("data path", []Figure{{Name: "route added and removed", Unit: "ns", X: n, XUnit: "routes"}}, b.rounds, changes...)
}

func nextHop(dsts int) string { return fmt.Sprintf("next hop, %d destinations", dsts) }

// listOps is how often an operation on gVisor's list of routes is measured.
const listOps = 100

func (b *bench) gvisorNext(g *host.GVisorRoutes, prefixes []netip.Prefix, dsts [][16]byte) contestant {
	// The longest at last, which is quickest: it then stands in front.
	for _, p := range slices.SortedFunc(slices.Values(prefixes), func(p, q netip.Prefix) int { return p.Bits() - q.Bits() }) {
		g.Add(p)
	}
	return contestant{host.GVisor, func() ([]float64, error) {
		c, err := cost(listOps, func(ops int) error {
			for k := range ops {
				if err := g.Find(dsts[k%len(dsts)]); err != nil {
					return err
				}
			}
			return nil
		})
		return c[:1], err
	}}
}

func (b *bench) gvisorChange(g *host.GVisorRoutes, extra netip.Prefix) contestant {
	return contestant{host.GVisor, func() ([]float64, error) {
		c, err := cost(listOps, func(ops int) error {
			for range ops {
				g.Add(extra)
				g.Remove(extra)
			}
			return nil
		})
		return c[:1], err
	}}
}

func addRoute(p netip.Prefix) rib.Add {
	key := rib.Key{Prefix: p, NextHop: host.Peer, Origin: rib.StaticOrigin, Metric: rib.StaticMetric}
	return rib.Add{Key: key, Owner: rib.Owner{Kind: rib.OwnerStatic}}
}

// How many destinations the packets of a while have: as many as fit a cache of
// the processor, and more than do.
const (
	fewDsts  = 64
	manyDsts = 65_536
)

func lookUp(s *rib.Snapshot, dsts [][16]byte, ops int) error {
	src := host.Own.As16()
	for k := range ops {
		if _, ok := s.NextHop(src, dsts[k%len(dsts)], 0); !ok {
			return errors.New("no route")
		}
	}
	return nil
}

// manyPrefixes returns n prefixes of 32 to 64 bits, and an address in each of
// some of the first n-1.
func manyPrefixes(n int) ([]netip.Prefix, [][16]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	prefixes, dsts := make([]netip.Prefix, n), make([][16]byte, manyDsts)
	for k := range prefixes {
		var a [16]byte
		binary.BigEndian.PutUint64(a[:], r.Uint64()>>3|0x2000_0000_0000_0000)
		prefixes[k] = netip.PrefixFrom(netip.AddrFrom16(a), 32+r.IntN(33)).Masked()
	}
	for k := range dsts {
		dsts[k] = prefixes[r.IntN(n-1)].Addr().As16()
		dsts[k][15] = 1
	}
	return prefixes, dsts
}
