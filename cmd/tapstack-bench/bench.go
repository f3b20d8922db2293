package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/node"
)

// plan is how much is measured.
type plan struct {
	rounds int           // each host is measured that often
	budget time.Duration // no round begins when a figure has taken that long
	each   time.Duration // a rate is measured that long
	trips  int           // round trips for one percentile
	ops    int           // operations for the cost of one

	floodSources int
	floodRate    int // of the flood beside own traffic, per second

	addresses     []int // DAD at once; the largest is the one with the bound
	gvisorAddrs   []int // the same for gVisor, where it is quadratic
	kernelAddrs   []int // the same for the kernel
	coreAddresses []int // in the pure Core
	neighbors     []int
	routes        []int
	gvisorRoutes  []int         // gVisor's table is a list
	settle        time.Duration // from ready until there is nothing to do: see idleAfter
	idle          time.Duration
	executable    bool // build tapstack, and measure it as a process
}

// idleAfter is when a process has nothing to do: DAD has ended, reports and
// solicitations have been repeated, and the fourth solicitation is not due for
// ten seconds yet (RFC 7559, section 2.1).
const idleAfter = 15 * time.Second

// quick takes less than three minutes.
var quick = plan{
	rounds: 3, budget: 15 * time.Second, each: 400 * time.Millisecond, trips: 1000, ops: 100_000,
	floodSources: 100_000, floodRate: 50_000,
	addresses: []int{1000, 10_000, 100_000}, gvisorAddrs: []int{1000, 3000, 10_000}, kernelAddrs: []int{1000, 2000},
	coreAddresses: []int{10_000, 100_000},
	neighbors:     []int{1024, 8192, 65_536}, routes: []int{1000, 10_000, 100_000, 1_000_000}, gvisorRoutes: []int{1000, 10_000},
	settle: idleAfter, idle: time.Second, executable: true,
}

// full takes its time.
var full = plan{
	rounds: 7, budget: 5 * time.Minute, each: 3 * time.Second, trips: 10_000, ops: 1_000_000,
	floodSources: 100_000, floodRate: 50_000,
	addresses: []int{1000, 10_000, 100_000}, gvisorAddrs: []int{1000, 3000, 10_000, 30_000}, kernelAddrs: []int{1000, 3000, 10_000},
	coreAddresses: []int{1000, 10_000, 100_000, 1_000_000},
	neighbors:     []int{1024, 8192, 65_536}, routes: []int{1000, 10_000, 100_000, 1_000_000}, gvisorRoutes: []int{1000, 10_000, 100_000},
	settle: idleAfter, idle: 8 * time.Second, executable: true,
}

// bench is one run.
type bench struct {
	plan
	progress io.Writer
	profiles string         // directory for CPU profiles; empty: none
	selected *regexp.Regexp // names of figures; nil: all
	report   *Report
	pairs    []*node.Pair
}

// contestant is a host, and how to measure it: one value for each figure, or
// for the first ones.
type contestant struct {
	name    string
	measure func() ([]float64, error)
}

// one is for contestants with a single figure.
func one(measure func() (float64, error)) func() ([]float64, error) {
	return func() ([]float64, error) {
		v, err := measure()
		return []float64{v}, err
	}
}

// compare measures the contestants in turn, round by round, each round
// beginning with another, and reports the figures. Who fails is left out, and so
// are figures of which none is selected.
func (b *bench) compare(family string, figures []Figure, rounds int, contestants ...contestant) {
	if !slices.ContainsFunc(figures, func(f Figure) bool { return b.wants(f.Name) }) {
		return
	}
	samples := make([][][]float64, len(contestants)) // by contestant, figure and round
	failed := make([]bool, len(contestants))
	began := time.Now()
	for round := range rounds {
		if round > 0 && time.Since(began) > b.budget {
			break
		}
		for k := range contestants {
			k = (k + round) % len(contestants)
			if failed[k] {
				continue
			}
			values, err := contestants[k].measure()
			if err != nil {
				failed[k] = true
				b.leaveOut("%s: %s of %s: %v", family, figures[0].Name, contestants[k].name, err)
				continue
			}
			if samples[k] == nil {
				samples[k] = make([][]float64, len(figures))
			}
			for f, v := range values {
				samples[k][f] = append(samples[k][f], v)
			}
		}
	}
	for f := range figures {
		for k := range contestants {
			if !failed[k] && len(samples[k][f]) > 0 {
				figures[f].Results = append(figures[f].Results, newResult(contestants[k].name, samples[k][f]))
			}
		}
		if len(figures[f].Results) > 0 { // else nobody has a value for it
			b.add(family, figures[f])
		}
	}
}

// wants reports whether a figure of this name is selected.
func (b *bench) wants(name string) bool { return b.selected == nil || b.selected.MatchString(name) }

// add judges a figure and reports it.
func (b *bench) add(family string, f Figure) {
	f.Family = family
	f.judge()
	fmt.Fprintf(b.progress, "%s: %s\n", family, f.line())
	b.report.Figures = append(b.report.Figures, f)
}

// leaveOut says what is not measured, and why.
func (b *bench) leaveOut(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	fmt.Fprintf(b.progress, "left out: %s\n", what)
	b.report.LeftOut = append(b.report.LeftOut, what)
}

// start starts the hosts that need a device, if that is possible here.
func (b *bench) start() {
	if err := node.Possible(); err != nil {
		b.leaveOut("all that needs a device: %v", err)
		return
	}
	for _, name := range []string{host.Tapstack, host.NoOffload, host.GVisor, host.Kernel} {
		p, err := node.Start(name, b.profiles)
		if err != nil {
			b.leaveOut("all of %s: %v", name, err)
			continue
		}
		b.pairs = append(b.pairs, p)
	}
}

func (b *bench) stop() {
	errs := make([]error, len(b.pairs))
	var wait sync.WaitGroup
	for k, p := range b.pairs {
		wait.Go(func() { errs[k] = p.Close() })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintf(b.progress, "at the end: %v\n", err)
	}
	b.pairs = nil
}

// hosts makes contestants of the hosts that have a device.
func (b *bench) hosts(without string, measure func(*node.Pair) ([]float64, error)) (cs []contestant) {
	for _, p := range b.pairs {
		if p.Name != without {
			cs = append(cs, contestant{p.Name, func() ([]float64, error) { return measure(p) }})
		}
	}
	return cs
}

// pair returns the host of this name, or nil.
func (b *bench) pair(name string) *node.Pair {
	for _, p := range b.pairs {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// figure returns a figure that was reported.
func (b *bench) figure(name string, x int) *Figure {
	for k := range b.report.Figures {
		if f := &b.report.Figures[k]; f.Name == name && f.X == x {
			return f
		}
	}
	return nil
}

// sortedSet sorts s and drops what is there twice.
func sortedSet[T cmp.Ordered](s []T) []T {
	slices.Sort(s)
	return slices.Compact(s)
}
