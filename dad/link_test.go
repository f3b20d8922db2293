package dad

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapstack/tapstack/nd"
)

// node is one host of a simulated link that wants tableAddr.
type node struct {
	name     string
	m        *Machine
	linkAddr nd.LinkAddr
	start    Start
	at       time.Duration // of start
}

func newNode(i int, cfg Config, start Start, at, delay time.Duration) *node {
	cfg.LinkAddr = nd.LinkAddr{2, 0, 0, 0, 0, byte(i)}
	random := &script{delays: []time.Duration{delay}, nonces: uint64(i) << 32}
	return &node{fmt.Sprintf("node %d", i), New(cfg, random), cfg.LinkAddr, start, at}
}

// link carries every frame to all others in the same time, and to its sender
// too if it echoes. Assigned addresses are defended.
type link struct {
	nodes   []*node
	latency time.Duration
	echoes  bool
	frames  []frame // in flight, in the order of arrival
	log     string
}

type frame struct {
	at time.Duration
	to *node
	ev Event
}

// run lets the nodes play until end and returns those to which the address is
// assigned. last lets later nodes go first when things happen at one time.
func (l *link) run(end time.Duration, last bool) (assigned []*node) {
	nodes := slices.Clone(l.nodes)
	if last {
		slices.Reverse(nodes)
	}
	for _, n := range nodes {
		l.frames = append(l.frames, frame{n.at, n, n.start})
	}
	for {
		slices.SortStableFunc(l.frames, func(a, b frame) int { return int(a.at - b.at) })
		at, next := end, (*node)(nil)
		for _, n := range nodes {
			if due, ok := n.m.Deadline(); ok && due.Sub(epoch) < at {
				at, next = due.Sub(epoch), n
			}
		}
		switch {
		case len(l.frames) > 0 && l.frames[0].at <= at && l.frames[0].at < end:
			f := l.frames[0]
			l.frames = l.frames[1:]
			l.deliver(f)
		case next != nil:
			l.execute(at, next, "timer", next.m.Advance(epoch.Add(at)))
		default:
			for _, n := range l.nodes {
				if n.m.State(tableAddr) == Assigned {
					assigned = append(assigned, n)
				}
			}
			return assigned
		}
	}
}

func (l *link) deliver(f frame) {
	l.execute(f.at, f.to, formatEvent(f.ev), f.to.m.Step(epoch.Add(f.at), f.ev))
	if s, ok := f.ev.(Solicit); ok && s.From != f.to.linkAddr && f.to.m.State(tableAddr) == Assigned {
		l.send(f.at, f.to, advert(nd.AllNodes, tableAddr, f.to.linkAddr))
	}
}

func (l *link) execute(at time.Duration, n *node, what string, actions []Action) {
	l.log += fmt.Sprintf("%-7s %s: %s\n%s", short(at), n.name, what, formatActions(actions))
	for _, a := range actions {
		if p, ok := a.(Probe); ok {
			l.send(at, n, solicit("::", p.Addr, p.Nonce, n.linkAddr))
		}
	}
}

func (l *link) send(at time.Duration, from *node, ev Event) {
	for _, to := range l.nodes {
		if to != from || l.echoes {
			l.frames = append(l.frames, frame{at + l.latency, to, ev})
		}
	}
}

// linkConfigs are the configurations that suit a link.
func linkConfigs(echoes bool) []Config {
	configs := []Config{
		{}, // an echoing link then needs Accept, but no two nodes get there
		{NoNonce: true, Loopback: LoopbackEchoes},
		{NoNonce: true, Loopback: LoopbackUnknown},
		{NoNonce: true},
		{NoNonce: true, DelayProbeOnly: true, NoMulticastRADelay: true, AcceptUnicastDst: true},
	}
	if echoes {
		return configs[:3]
	}
	return slices.Delete(configs, 1, 2)
}

// Two nodes on a link that loses nothing never get the same address, whenever
// they start, however long their delays, whoever is first at one time.
func TestTwoNodesNeverShareAnAddress(t *testing.T) {
	const step = 250 * time.Millisecond
	outcomes := make(map[int]int)
	check := func(l *link, last bool) {
		assigned := l.run(10*time.Second, last)
		outcomes[len(assigned)]++
		if len(assigned) > 1 {
			t.Fatalf("both nodes have the address:\n%s", l.log)
		}
	}
	for _, echoes := range []bool{false, true} {
		for one, oneConfig := range linkConfigs(echoes) {
			for _, twoConfig := range linkConfigs(echoes)[one:] {
				for offset := time.Duration(0); offset <= 10*step; offset += step {
					for delays := range 25 {
						oneDelay, twoDelay := step*time.Duration(delays/5), step*time.Duration(delays%5)
						start := Start{Addr: tableAddr, First: true}
						check(&link{echoes: echoes, latency: offset % (2 * step), nodes: []*node{
							newNode(1, oneConfig, start, 0, oneDelay),
							newNode(2, twoConfig, start, offset, twoDelay),
						}}, delays%2 == 0)
					}
				}
			}
		}
	}
	if outcomes[0] == 0 || outcomes[1] == 0 {
		t.Errorf("numbers of nodes with the address: %v, want both 0 and 1", outcomes)
	}
}

func TestManyNodesNeverShareAnAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &link{
			echoes:  rapid.Bool().Draw(t, "echoes"),
			latency: time.Duration(rapid.IntRange(0, 499_999_999).Draw(t, "latency")),
		}
		for i := range rapid.IntRange(2, 4).Draw(t, "nodes") {
			cfg := rapid.SampledFrom(linkConfigs(l.echoes)).Draw(t, "config")
			cfg.DupAddrDetectTransmits = rapid.IntRange(1, 3).Draw(t, "transmits")
			start := Start{
				Addr:  tableAddr,
				Mode:  rapid.SampledFrom([]Mode{Normal, Normal, Optimistic}).Draw(t, "mode"),
				First: rapid.Bool().Draw(t, "first"),
			}
			at := time.Duration(rapid.IntRange(0, 5_000_000_000).Draw(t, "at"))
			delay := time.Duration(rapid.IntRange(0, 1_000_000_000).Draw(t, "delay"))
			l.nodes = append(l.nodes, newNode(i+1, cfg, start, at, delay))
		}
		if assigned := l.run(30*time.Second, rapid.Bool().Draw(t, "last")); len(assigned) > 1 {
			t.Fatalf("%d nodes have the address:\n%s", len(assigned), l.log)
		}
	})
}
