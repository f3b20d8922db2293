//go:build !race

package conformance

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// foundBy returns the first case whose capture, of a host with a fault, has a
// judge accuse the host.
func foundBy(m mutant, cases []*Case, judge func(*Case, Result) *Departure) (string, *Departure) {
	for _, c := range cases {
		r := playCase(context.Background(), c, mutantDriver{CoreDriver{}, m}, profileOf(c), Random)
		if d := judge(c, r); d != nil {
			return c.ID, d
		}
	}
	return "", nil
}

// shows reports whether a fault is one of what the host sends. A capture cannot
// show whether it was right to be deaf, or told to do what it does.
func (m mutant) shows() bool { return m.out != nil || m.late != nil }

// find tries faults one after the other on a judge, and tells of each what it
// was found by.
func find(t *testing.T, all []mutant, cases []*Case, judge func(*Case, Result) *Departure) (n int) {
	type found struct {
		by string
		d  *Departure
	}
	results := make([]found, len(all))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for k, m := range all {
		slots <- struct{}{}
		wg.Go(func() {
			by, d := foundBy(m, cases, judge)
			results[k] = found{by, d}
			<-slots
		})
	}
	wg.Wait()
	for k, m := range all {
		f := results[k]
		if f.d == nil {
			t.Logf("not found: %s", m.name)
			continue
		}
		n++
		t.Logf("%s: %s in %s: %v", m.name, f.d.Requirement, f.by, *f.d)
	}
	t.Logf("%d of %d faults are found", n, len(all))
	return n
}

// manyCases are those of DAD, and of the others some; with -every-mutant all.
func manyCases(t *testing.T) []*Case {
	return slices.DeleteFunc(slices.Clone(scenarios(t)), func(c *Case) bool { return !*everyMutant && c.Group != "dad" && c.Line%8 != 0 })
}

// A check that accuses nobody would pass the other test too: a good share of
// the faults of what a host sends is found in captures of the suite. With
// -every-mutant, those of all faults are counted, in captures of all cases.
func TestCheckFindsMutants(t *testing.T) {
	all := slices.Concat(mutants, redirectMutants, neighborMutants, mldMutants, otherKnobs())
	if !*everyMutant {
		all = slices.DeleteFunc(all, func(m mutant) bool { return !m.shows() })
	}
	n := find(t, all, manyCases(t), func(c *Case, r Result) *Departure {
		if !checkable(c, r, HostLinkAddr.String()) {
			return nil
		}
		if d := judgeTrace(checkConfig(t, c, r.Profile), r).Departures; len(d) > 0 {
			return &d[0]
		}
		return nil
	})
	if !*everyMutant && n*5 < len(all)*3 {
		t.Errorf("%d of %d faults are found, which is less than three fifths", n, len(all))
	}
}

// An Oracle knows the commands, and what a host is to do next: it finds what a
// host takes wrongly too.
func TestOracleFindsMutants(t *testing.T) {
	all := slices.Concat(mutants, redirectMutants, neighborMutants, mldMutants)
	if !*everyMutant {
		all = slices.DeleteFunc(all, func(m mutant) bool { return len(m.name)%8 != 0 })
	}
	n := find(t, all, manyCases(t), func(c *Case, r Result) *Departure {
		if !foreseeable(c) || r.Verdict == NotApplicable {
			return nil
		}
		if d := watch(t, c, r); len(d) > 0 {
			return d[0]
		}
		return nil
	})
	if n*2 < len(all) {
		t.Errorf("%d of %d faults are found, which is less than half", n, len(all))
	}
}
