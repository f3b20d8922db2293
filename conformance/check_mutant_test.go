//go:build !race

package conformance

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// foundBy returns the first case whose capture, of a host with a fault, has the
// check accuse the host.
func foundBy(t *testing.T, m mutant, cases []*Case) (string, *Departure) {
	for _, c := range cases {
		profile := profileOf(c)
		r := playCase(context.Background(), c, mutantDriver{CoreDriver{}, m}, profile, Random)
		if !checkable(c, r, HostLinkAddr.String()) {
			continue
		}
		if d := judgeTrace(checkConfig(t, c, profile), r).Departures; len(d) > 0 {
			return c.ID, &d[0]
		}
	}
	return "", nil
}

// shows reports whether a fault is one of what the host sends. A capture cannot
// show whether it was right to be deaf, or told to do what it does.
func (m mutant) shows() bool { return m.out != nil || m.late != nil }

// A check that accuses nobody would pass the other test too: a good share of
// the faults of what a host sends is found in captures of the suite. With
// -every-mutant, those of all faults are counted, in captures of all cases.
func TestCheckFindsMutants(t *testing.T) {
	all := slices.Concat(mutants, redirectMutants, neighborMutants, mldMutants, otherKnobs())
	cases := scenarios(t)
	if !*everyMutant {
		all = slices.DeleteFunc(all, func(m mutant) bool { return !m.shows() })
		cases = slices.DeleteFunc(slices.Clone(cases), func(c *Case) bool { return c.Group != "dad" && c.Line%8 != 0 })
	}
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
			by, d := foundBy(t, m, cases)
			results[k] = found{by, d}
			<-slots
		})
	}
	wg.Wait()
	n, shown, ofShown := 0, 0, 0
	for k, m := range all {
		f := results[k]
		if m.shows() {
			shown++
		}
		if f.d == nil {
			t.Logf("not found: %s", m.name)
			continue
		}
		n++
		if m.shows() {
			ofShown++
		}
		t.Logf("%s: %s in %s: %v", m.name, f.d.Requirement, f.by, *f.d)
	}
	t.Logf("%d of %d faults are found; of what a host sends, %d of %d", n, len(all), ofShown, shown)
	if ofShown*3 < shown*2 {
		t.Errorf("%d of %d faults of what a host sends are found, which is less than two thirds", ofShown, shown)
	}
}
