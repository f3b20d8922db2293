package main

import (
	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/node"
)

// small is packets that carry little: what counts is how many, and how long
// one takes.
func small(b *bench) {
	for _, udp := range []bool{false, true} {
		f := Figure{Name: "TCP request and response", Unit: "/s", bounds: []bound{atLeastTimes(1.2, host.GVisor)}}
		if udp {
			f.Name = "UDP request and response"
		}
		b.compare("small", []Figure{f}, b.rounds, b.hosts(host.NoOffload, func(p *node.Pair) ([]float64, error) {
			var rate float64
			err := p.Measure(f.Name, "Exchange", node.ExchangeArgs{UDP: udp, For: b.each}, &rate)
			return []float64{rate}, err
		})...)
	}
	faster := []bound{atLeastTimes(1, host.GVisor)}
	b.compare("small", []Figure{{Name: "UDP out", Unit: "packets/s", bounds: faster}}, b.rounds, b.hosts(host.NoOffload, b.datagramsOut)...)
	b.compare("small", []Figure{{Name: "UDP in", Unit: "packets/s", bounds: faster}}, b.rounds, b.hosts(host.NoOffload, b.datagramsIn)...)
	b.trips("ping", "Ping")
	b.trips("NS to NA", "Solicit")
}

// datagramsOut counts what arrives at the peer's interface.
func (b *bench) datagramsOut(p *node.Pair) ([]float64, error) {
	var before, after int64
	if err := p.Peer.Call("Packets", struct{}{}, &before); err != nil {
		return nil, err
	}
	if err := p.Measure("UDP out", "Send", b.each, nil); err != nil {
		return nil, err
	}
	err := p.Peer.Call("Packets", struct{}{}, &after)
	return []float64{float64(after-before) / b.each.Seconds()}, err
}

// datagramsIn counts what the host's socket reads while the peer sends all
// that it can.
func (b *bench) datagramsIn(p *node.Pair) ([]float64, error) {
	sending := p.Peer.Go("Node.Send", b.each*3/2, nil, nil)
	var rate float64
	err := p.Measure("UDP in", "Receive", b.each, &rate)
	<-sending.Done
	if err == nil {
		err = sending.Error
	}
	return []float64{rate}, err
}

// trips measures round trips that the peer begins.
func (b *bench) trips(name, method string) {
	figures := []Figure{
		{Name: name + ", p50", Unit: "µs", bounds: []bound{atMostTimes(0.5, host.GVisor)}},
		{Name: name + ", p99", Unit: "µs", bounds: []bound{atMostTimes(0.5, host.GVisor)}},
	}
	b.compare("small", figures, b.rounds, b.hosts(host.NoOffload, func(p *node.Pair) ([]float64, error) {
		var trips []float64
		if err := p.Peer.Call(method, b.plan.trips, &trips); err != nil {
			return nil, err
		}
		return []float64{quantile(trips, 0.5), quantile(trips, 0.99)}, nil
	})...)
}
