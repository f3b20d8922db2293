//go:build !race

// With the race detector it takes too long, and there is nothing to find: the
// Core has no goroutines.

package conformance

import (
	"context"
	"flag"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

var everyMutant = flag.Bool("every-mutant", false, "try each case with every fault, not only until one is caught, and tell which faults no case catches")

// suspects are the faults in the order in which they are tried: those that
// were caught last first, for the cases of a file are about the same matter.
type suspects struct {
	mu  sync.Mutex
	all []mutant
}

func (s *suspects) inOrder() []mutant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

func (s *suspects) caught(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := slices.IndexFunc(s.all, func(m mutant) bool { return m.name == name })
	m := s.all[k]
	s.all = slices.Insert(slices.Delete(s.all, k, k+1), 0, m)
}

// caught returns the faults that a case fails for: the first one, or with
// -every-mutant all.
func (s *suspects) caughtBy(c *Case) (names []string) {
	for _, m := range s.inOrder() {
		d := mutantDriver{CoreDriver{}, m}
		for _, chance := range []Chance{Earliest, Latest} {
			if r := playCase(context.Background(), c, d, profileOf(c), chance); r.Verdict == Fail {
				names = append(names, m.name)
				break
			}
		}
		if len(names) > 0 && !*everyMutant {
			s.caught(names[0])
			break
		}
	}
	return names
}

// Each case that the Core can play catches a fault. With -every-mutant, how many
// of the faults are caught is told too.
func TestMutants(t *testing.T) {
	s := &suspects{all: slices.Concat(mutants, redirectMutants, neighborMutants, mldMutants, otherKnobs())}
	all, cases := s.inOrder(), scenarios(t)
	results := make([][]string, len(cases))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for k, c := range cases {
		slots <- struct{}{}
		wg.Go(func() {
			results[k] = s.caughtBy(c)
			<-slots
		})
	}
	wg.Wait()
	scored, catchers := 0, map[string]int{}
	for k, c := range cases {
		if len(results[k]) > 0 {
			scored++
		}
		for _, name := range results[k] {
			catchers[name]++
		}
		t.Logf("%s catches: %s", c.ID, strings.Join(results[k], "; "))
		if len(results[k]) == 0 && forCore(c) {
			t.Errorf("%s:%d: case %s catches no fault: what does it say?", c.File, c.Line, c.ID)
		}
	}
	t.Logf("%d of %d cases catch a fault", scored, len(cases))
	if !*everyMutant {
		return
	}
	for _, m := range all {
		if catchers[m.name] == 0 {
			t.Logf("no case catches: %s", m.name)
		}
	}
	t.Logf("mutation score: %d of %d faults are caught", len(catchers), len(all))
}
