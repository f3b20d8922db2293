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
	"time"
)

var everyMutant = flag.Bool("every-mutant", false, "try each case with every fault, not only until one is caught")

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

// caughtBy returns the faults that a case fails for: the first one, or with
// -every-mutant all.
func (s *suspects) caughtBy(c *Case) (names []string) {
	for _, m := range s.inOrder() {
		if !catches(c, m) {
			continue
		}
		names = append(names, m.name)
		if !*everyMutant {
			s.caught(m.name)
			break
		}
	}
	return names
}

// catches reports whether a case fails for a fault of a Core.
func catches(c *Case, m mutant) bool {
	d := mutantDriver{CoreDriver{}, m}
	return slices.ContainsFunc([]Chance{Earliest, Latest}, func(chance Chance) bool {
		return playCase(context.Background(), c, d, profileOf(c), chance).Verdict == Fail
	})
}

// score is which faults each case catches.
type score struct {
	mu     sync.Mutex
	caught map[string][]string
}

// each calls f for every case, several at once, and keeps what it returns.
func (s *score) each(cases []*Case, atOnce int, f func(*Case) []string) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, c := range cases {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			names := f(c)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.caught[c.ID] = append(s.caught[c.ID], names...)
		})
	}
	wg.Wait()
}

// uncaught are the faults that no case has caught yet.
func (s *score) uncaught(all []mutant) []mutant {
	return slices.DeleteFunc(slices.Clone(all), func(m mutant) bool {
		for _, names := range s.caught {
			if slices.Contains(names, m.name) {
				return true
			}
		}
		return false
	})
}

// Every case catches a fault, and every fault is caught: those of the Core by
// the cases that it can play, those of the whole stack by the others.
func TestMutants(t *testing.T) {
	s := &score{caught: map[string][]string{}}
	ofCore := slices.Concat(mutants, redirectMutants, neighborMutants, mldMutants, otherKnobs())
	suspected := &suspects{all: slices.Clone(ofCore)}
	var forTheCore, others []*Case
	for _, c := range scenarios(t) {
		if forCore(c) {
			forTheCore = append(forTheCore, c)
		} else {
			others = append(others, c)
		}
	}
	began := time.Now()
	s.each(forTheCore, runtime.GOMAXPROCS(0), suspected.caughtBy)
	if testing.Short() { // the rest takes a minute, and the others are in real time
		s.report(t, forTheCore, nil)
		return
	}
	mixed := mix(forTheCore)
	for _, m := range s.uncaught(ofCore) { // each case has caught another one
		s.tryAll(mixed, m)
	}
	t.Logf("%d cases and %d faults of the Core in %v", len(forTheCore), len(ofCore), time.Since(began).Round(100*time.Millisecond))
	t.Parallel()
	began = time.Now()
	s.each(others, len(others), caughtInRealTime)
	short := slices.DeleteFunc(slices.Clone(others), func(c *Case) bool { return c.Length() > 6*time.Second })
	for _, m := range s.uncaught(stackMutants) {
		s.each(short, len(short), func(c *Case) []string { return caughtAtAll(c, m) })
	}
	t.Logf("%d cases and %d faults of the stack in %v", len(others), len(stackMutants), time.Since(began).Round(100*time.Millisecond))
	s.report(t, append(forTheCore, others...), append(ofCore, stackMutants...))
}

// mix has cases of all matters stand everywhere.
func mix(cases []*Case) (mixed []*Case) {
	const stride = 41
	for first := range stride {
		for k := first; k < len(cases); k += stride {
			mixed = append(mixed, cases[k])
		}
	}
	return mixed
}

// tryAll plays the cases with one fault, until one catches it.
func (s *score) tryAll(cases []*Case, m mutant) {
	for some := range slices.Chunk(cases, 32) {
		s.each(some, runtime.GOMAXPROCS(0), func(c *Case) []string {
			if catches(c, m) {
				return []string{m.name}
			}
			return nil
		})
		if len(s.uncaught([]mutant{m})) == 0 {
			return
		}
	}
}

// report tells how many cases and faults there are and which have nothing to
// do with each other. Those are errors, but for what is said about them.
func (s *score) report(t *testing.T, cases []*Case, faults []mutant) {
	var none []string
	for _, c := range cases {
		t.Logf("%s catches: %s", c.ID, strings.Join(s.caught[c.ID], "; "))
		if len(s.caught[c.ID]) == 0 {
			none = append(none, c.ID)
			t.Errorf("%s:%d: case %s catches no fault: what does it say?", c.File, c.Line, c.ID)
		}
	}
	uncaught := s.uncaught(faults)
	for _, m := range uncaught {
		t.Errorf("no case catches the fault: %s", m.name)
	}
	t.Logf("%d of %d cases catch a fault; %d of %d faults are caught; these cases catch none: %s", len(cases)-len(none), len(cases),
		len(faults)-len(uncaught), len(faults), strings.Join(none, ", "))
}
