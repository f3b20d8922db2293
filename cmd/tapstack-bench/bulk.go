package main

import (
	"fmt"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/node"
)

// bulk is TCP with much data, to and from the kernel at the other end, over one
// connection and over eight.
func bulk(b *bench) {
	for _, out := range []bool{false, true} {
		for _, conns := range []int{1, 8} {
			b.bulk(out, conns)
		}
	}
}

func (b *bench) bulk(out bool, conns int) {
	f := Figure{Name: fmt.Sprintf("TCP in × %d", conns), Unit: "bit/s", bounds: []bound{
		atLeastTimes(7, host.GVisor), atLeastTimes(1, host.Kernel), {atLeast: 1.2, times: host.GVisor, of: host.NoOffload},
	}}
	if out {
		f.Name = fmt.Sprintf("TCP out × %d", conns)
		f.bounds[0].atLeast, f.bounds[1].atLeast = 12, 1.4
	}
	b.compare("bulk", []Figure{f}, b.rounds, b.hosts("", func(p *node.Pair) ([]float64, error) {
		var octets float64
		err := p.Measure(f.Name, "Bulk", node.BulkArgs{Out: out, Conns: conns, For: b.each}, &octets)
		return []float64{8 * octets}, err
	})...)
}
