package conformance

import (
	"context"
	"strings"
	"testing"
)

// foreseeable reports whether a model can foresee what a host of a case sends,
// and what reaches it.
func foreseeable(c *Case) bool {
	for _, k := range c.Knobs {
		if k == (Setting{"iid", "random"}) || k == (Setting{"temp_addresses", "on"}) {
			return false
		}
	}
	for _, s := range c.steps {
		if _, ok := s.do.(reflection); ok {
			return false // nonces come back
		}
	}
	return true
}

// watch gives what happened in a case to an Oracle.
func watch(t testing.TB, c *Case, r Result) (departures []*Departure) {
	t.Helper()
	o, err := NewOracle(Setup{Profile: r.Profile, Knobs: c.Knobs, LinkAddr: HostLinkAddr}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ns := newNames(HostLinkAddr)
	note := func(d *Departure) {
		for ; d != nil; d = o.next() {
			departures = append(departures, d)
		}
	}
	for _, ev := range r.Trace {
		switch ev.What {
		case Sent:
			note(o.Sent(ev.At, ev.Frame))
		case Received:
			note(o.Received(ev.At, ev.Frame))
		case Ordered:
			words := strings.Fields(ev.Text)
			cmd, err := order{words[0], words[1:]}.command(ns)
			if err != nil {
				t.Fatalf("%s: %q: %v", c.ID, ev.Text, err)
			}
			d, err := o.Do(ev.At, cmd)
			if err != nil {
				t.Fatalf("%s: %q: %v", c.ID, ev.Text, err)
			}
			note(d)
		}
	}
	note(o.Silent(r.Took))
	return departures
}

// The model does what the model does, however chance has it: the Oracle learns
// the choices from the wire.
func TestOracleAccusesNoCore(t *testing.T) {
	watched := 0
	chances := []Chance{Earliest, Latest, Random}
	for i, profile := range ProfileNames {
		for k, c := range scenarios(t) {
			if !c.isFor(profile) || !foreseeable(c) {
				continue
			}
			r := playCase(context.Background(), c, CoreDriver{}, profile, chances[(i+k)%len(chances)])
			if r.Verdict == NotApplicable {
				continue
			}
			watched++
			for _, d := range watch(t, c, r) {
				t.Errorf("%s %s %s: %v", c.ID, profile, r.Chance, d)
			}
		}
	}
	t.Logf("%d cases were watched", watched)
}
