package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/node"
	"github.com/tapstack/tapstack/stack"
)

// controlPlane is DAD of many addresses, and floods of Neighbor Solicitations.
func controlPlane(b *bench) {
	for _, n := range b.sizes() {
		b.manyAddresses(n)
	}
	for _, n := range b.coreAddresses {
		b.core(n)
	}
	b.flood(1)
	b.flood(b.floodSources)
	b.besideFlood()
}

// sizes are all the numbers of addresses that somebody is measured with.
func (b *bench) sizes() []int {
	all := append(append(append([]int(nil), b.addresses...), b.gvisorAddrs...), b.kernelAddrs...)
	return sortedSet(all)
}

func manyAddrs(n int) []netip.Addr {
	as := make([]netip.Addr, n)
	for k := range as {
		as[k] = netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 12: 1, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)})
	}
	return as
}

func configs(addrs []netip.Addr) []stack.AddressConfig {
	as := make([]stack.AddressConfig, len(addrs))
	for k, a := range addrs {
		as[k] = stack.AddressConfig{Prefix: netip.PrefixFrom(a, host.Prefix.Bits())}
	}
	return as
}

// manyAddresses is DAD of n addresses at once, each with a solicited-node
// group of its own, until sockets can use them; and their end.
func (b *bench) manyAddresses(n int) {
	const unit = "addresses"
	figures := []Figure{
		{Name: "DAD until assigned", Unit: "s", X: n, XUnit: unit},
		{Name: "DAD, heap of an address", Unit: "octets", X: n, XUnit: unit},
		{Name: "addresses deleted", Unit: "s", X: n, XUnit: unit},
	}
	if last := b.addresses[len(b.addresses)-1]; n == last {
		figures[0].bounds, figures[1].bounds, figures[2].bounds = []bound{atMost(3)}, []bound{atMost(2048)}, []bound{atMost(1)}
	}
	var cs []contestant
	addrs := manyAddrs(n)
	if slices.Contains(b.addresses, n) {
		cs = append(cs, contestant{host.Tapstack, func() ([]float64, error) { return b.addressesOfTapstack(addrs) }})
	}
	if slices.Contains(b.gvisorAddrs, n) {
		cs = append(cs, contestant{host.GVisor, func() ([]float64, error) { return addressesOfGVisor(addrs) }})
	}
	if p := b.pair(host.Kernel); p != nil && slices.Contains(b.kernelAddrs, n) {
		cs = append(cs, contestant{host.Kernel, func() ([]float64, error) { return addressesOfKernel(p, addrs) }})
	}
	rounds := b.rounds
	if n < b.addresses[len(b.addresses)-1] {
		rounds = 1 // what has no bounds, and takes a second whatever it is
	}
	b.compare("control plane", figures, rounds, cs...)
}

func (b *bench) addressesOfTapstack(addrs []netip.Addr) ([]float64, error) {
	s, i, err := host.NewTesting()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	as := configs(addrs)
	add := func() error {
		if err := errors.Join(i.AddAddresses(context.Background(), as)...); err != nil {
			return err
		}
		c, err := s.ListenPacket("udp", netip.AddrPortFrom(addrs[len(addrs)-1], 0).String())
		if err != nil {
			return err
		}
		return c.Close()
	}
	remove := func() error { return errors.Join(i.RemoveAddresses(addrs)...) }
	title := fmt.Sprintf("%d addresses", len(addrs))
	return lifeOf(
		func() error { return node.Profile(b.profiles, title+" added", add) },
		func() error { return node.Profile(b.profiles, title+" deleted", remove) },
		len(addrs))
}

func addressesOfGVisor(addrs []netip.Addr) ([]float64, error) {
	g, err := host.NewGVisorDAD(len(addrs))
	if err != nil {
		return nil, err
	}
	defer g.Close()
	return lifeOf(func() error { return g.Add(addrs) }, func() error { return g.Remove(addrs) }, len(addrs))
}

// lifeOf measures how long n addresses take to add, what heap each keeps, and
// how long they take to remove.
func lifeOf(add, remove func() error, n int) ([]float64, error) {
	before := heap()
	began := time.Now()
	if err := add(); err != nil {
		return nil, err
	}
	added := time.Since(began)
	kept := heap() - before
	began = time.Now()
	err := remove()
	return []float64{added.Seconds(), kept / float64(n), time.Since(began).Seconds()}, err
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// addressesOfKernel has the kernel test addresses on its interface, and takes
// them away.
func addressesOfKernel(p *node.Pair, addrs []netip.Addr) ([]float64, error) {
	var batch strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&batch, "addr add %v/64 dev %s\n", a, host.DeviceName)
	}
	const conf = "/proc/sys/net/ipv6/conf/" + host.DeviceName
	if _, err := p.Host.Script("echo 1 >"+conf+"/accept_dad", "echo 1 >"+conf+"/dad_transmits"); err != nil {
		return nil, err
	}
	began := time.Now()
	_, err := p.Host.Script("ip -6 -batch - <<'end'\n"+batch.String()+"end",
		"until [ -z \"$(ip -6 addr show dev "+host.DeviceName+" tentative)\" ]; do sleep 0.05; done")
	took := time.Since(began)
	_, err2 := p.Host.Script(
		"echo 0 >"+conf+"/accept_dad", "echo 0 >"+conf+"/dad_transmits",
		"ip -6 addr flush dev "+host.DeviceName, "ip -6 addr add 2001:db8::2/64 dev "+host.DeviceName+" nodad")
	return []float64{took.Seconds()}, errors.Join(err, err2)
}

// core is DAD of n addresses in the pure Core, where time passes as fast as it
// is called.
func (b *bench) core(n int) {
	f := Figure{Name: "DAD in the pure Core", Unit: "s", X: n, XUnit: "addresses"}
	if n == 1_000_000 {
		f.bounds = []bound{atMost(40)}
	}
	b.compare("control plane", []Figure{f}, 1, contestant{host.Tapstack, one(func() (took float64, err error) {
		err = node.Profile(b.profiles, fmt.Sprintf("core %d", n), func() error {
			took, err = coreDAD(n)
			return err
		})
		return took, err
	})})
}

func coreDAD(n int) (float64, error) {
	c := stack.NewCore(stack.CoreConfig{LinkAddr: host.OwnLinkAddr, NoRouters: true, NoLinkLocal: true}, dice{})
	requests := make([]stack.AddRequest, n)
	for k, a := range configs(manyAddrs(n)) {
		requests[k] = stack.AddRequest{ID: stack.RequestID(k + 1), AddressConfig: a}
	}
	began := time.Now()
	now := began
	c.Step(now, stack.LinkUp{})
	actions := c.Step(now, stack.AddAddresses{Requests: requests})
	for done := 0; ; {
		for _, a := range actions {
			if d, ok := a.(stack.Done); ok {
				if done++; d.Err != nil {
					return 0, d.Err
				}
			}
		}
		if done == n {
			return time.Since(began).Seconds(), nil
		}
		at, ok := c.Deadline()
		if !ok {
			return 0, fmt.Errorf("DAD of %d addresses ended with %d", n, done)
		}
		now = at
		actions = c.Advance(now)
	}
}

// flood is Neighbor Solicitations for an address as fast as the peer can send
// them, from one node or from many.
func (b *bench) flood(sources int) {
	f := Figure{Name: "NS flood, answers", Unit: "/s", X: sources, XUnit: "sources"}
	if sources == 1 {
		f.bounds = []bound{atLeastTimes(1, host.Kernel), atLeastTimes(1, host.GVisor)}
	} else if k := b.figure("NS flood, answers", 1); k != nil {
		if r, ok := k.result(host.Tapstack); ok {
			f.bounds = []bound{atLeast(0.9 * r.Median)}
		}
	}
	sent := Figure{Name: "NS flood, sent", Unit: "/s", X: sources, XUnit: "sources"}
	b.compare("control plane", []Figure{f, sent}, b.rounds, b.hosts(host.NoOffload, func(p *node.Pair) ([]float64, error) {
		var reply node.FloodReply
		err := p.Profile(fmt.Sprintf("NS flood %d", sources), func() error {
			return p.Peer.Call("Flood", node.FloodArgs{Sources: sources, Device: host.DeviceName, For: b.each}, &reply)
		})
		return []float64{reply.Answered, reply.Sent}, err
	})...)
}

// besideFlood is the host's own traffic beside a flood from many nodes, as a
// share of what it is while the same flood goes to nobody: the peer's work is
// then the same.
func (b *bench) besideFlood() {
	for _, p := range b.pairs {
		if _, err := p.Peer.Script(
			"ip link add nobody type veth peer name nowhere", "echo 1 >/proc/sys/net/ipv6/conf/nowhere/disable_ipv6",
			"ip link set nobody up", "ip link set nowhere up"); err != nil {
			b.leaveOut("control plane: traffic beside a flood: %v", err)
			return
		}
	}
	unit := fmt.Sprintf("%% beside %d NS/s", b.floodRate)
	figures := []Figure{{Name: "TCP request and response kept", Unit: unit, bounds: []bound{atLeast(80)}}}
	b.compare("control plane", figures, b.rounds, b.hosts(host.NoOffload, b.share("Exchange", node.ExchangeArgs{For: b.each}))...)
	figures = []Figure{{Name: "TCP out kept", Unit: unit, bounds: []bound{atLeast(80)}}}
	b.compare("control plane", figures, b.rounds, b.hosts(host.NoOffload, b.share("Bulk", node.BulkArgs{Out: true, Conns: 1, For: b.each}))...)
}

// share measures a method of the host beside a flood, in percent of what it
// is without.
func (b *bench) share(method string, args any) func(*node.Pair) ([]float64, error) {
	return func(p *node.Pair) ([]float64, error) {
		var rates [2]float64
		for k, device := range []string{"nobody", host.DeviceName} {
			flood := node.FloodArgs{Sources: b.floodSources, Rate: b.floodRate, Device: device, For: b.each * 3 / 2}
			flooding := p.Peer.Go("Node.Flood", flood, new(node.FloodReply), nil)
			err := p.Host.Call(method, args, &rates[k])
			<-flooding.Done
			if err := errors.Join(err, flooding.Error); err != nil {
				return nil, err
			}
		}
		return []float64{100 * rates[1] / rates[0]}, nil
	}
}
