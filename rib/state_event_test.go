package rib_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/rib"
)

// The states of a route, seen from one of its owners, and every event that can
// meet it. That owner is a router, its hold "mine"; another router's is
// "theirs". Each pair of state and event has a row: what happens to the route,
// and who holds it then.
func TestStateEvent(t *testing.T) {
	pio9, pioA := byRouter(router9, docPrefix), byRouter(routerA, docPrefix)
	add := func(o rib.Owner, lifetime time.Duration) rib.Event {
		return rib.Add{Key: onLink(docPrefix), Owner: o, Lifetime: lifetime}
	}
	drop := func(o rib.Owner) rib.Event { return rib.Remove{Key: onLink(docPrefix), Owner: o} }
	assign := func(a netip.Addr) rib.Event { return rib.Assign{Addr: a, OnLink: docPrefix} }

	states := []struct {
		name  string
		setup []rib.Event
	}{
		{"absent", nil},
		{"mine", []rib.Event{add(pio9, 0)}},
		{"mine, for an hour", []rib.Event{add(pio9, time.Hour)}},
		{"theirs", []rib.Event{add(pioA, 0)}},
		{"an address's", []rib.Event{assign(global1)}},
		{"mine and theirs", []rib.Event{add(pio9, 0), add(pioA, 0)}},
		{"mine, for an hour, and an address's", []rib.Event{add(pio9, time.Hour), assign(global1)}},
	}
	// An event that is nil is an hour that passes.
	events := []struct {
		name  string
		event rib.Event
	}{
		{"add mine", add(pio9, 0)},
		{"add mine for an hour", add(pio9, time.Hour)},
		{"add impossible", rib.Add{Key: onLink(linkLocalPrefix), Owner: pio9}},
		{"remove mine", drop(pio9)},
		{"remove a stranger's", drop(byHand())},
		{"remove an address's", drop(byAddress(global1))},
		{"assign", assign(global1)},
		{"assign without statement", rib.Assign{Addr: global1}},
		{"withdraw", rib.Withdraw{Addr: global1}},
		{"an hour passes", nil},
	}
	type pair struct{ state, event string }
	// What follows: the action on the route ("+", "-" or nothing), and its
	// owners: m mine, M mine for an hour, t theirs, a the address.
	rows := map[pair]string{
		{"absent", "add mine"}:                 "+ m",
		{"absent", "add mine for an hour"}:     "+ M",
		{"absent", "add impossible"}:           "",
		{"absent", "remove mine"}:              "",
		{"absent", "remove a stranger's"}:      "",
		{"absent", "remove an address's"}:      "",
		{"absent", "assign"}:                   "+ a",
		{"absent", "assign without statement"}: "",
		{"absent", "withdraw"}:                 "",
		{"absent", "an hour passes"}:           "",

		{"mine", "add mine"}:                 " m",
		{"mine", "add mine for an hour"}:     " M",
		{"mine", "add impossible"}:           " m",
		{"mine", "remove mine"}:              "-",
		{"mine", "remove a stranger's"}:      " m",
		{"mine", "remove an address's"}:      " m",
		{"mine", "assign"}:                   " am",
		{"mine", "assign without statement"}: " m",
		{"mine", "withdraw"}:                 " m",
		{"mine", "an hour passes"}:           " m",

		{"mine, for an hour", "add mine"}:                 " m",
		{"mine, for an hour", "add mine for an hour"}:     " M",
		{"mine, for an hour", "add impossible"}:           " M",
		{"mine, for an hour", "remove mine"}:              "-",
		{"mine, for an hour", "remove a stranger's"}:      " M",
		{"mine, for an hour", "remove an address's"}:      " M",
		{"mine, for an hour", "assign"}:                   " aM",
		{"mine, for an hour", "assign without statement"}: " M",
		{"mine, for an hour", "withdraw"}:                 " M",
		{"mine, for an hour", "an hour passes"}:           "-",

		{"theirs", "add mine"}:                 " mt",
		{"theirs", "add mine for an hour"}:     " Mt",
		{"theirs", "add impossible"}:           " t",
		{"theirs", "remove mine"}:              " t",
		{"theirs", "remove a stranger's"}:      " t",
		{"theirs", "remove an address's"}:      " t",
		{"theirs", "assign"}:                   " at",
		{"theirs", "assign without statement"}: " t",
		{"theirs", "withdraw"}:                 " t",
		{"theirs", "an hour passes"}:           " t",

		{"an address's", "add mine"}:                 " am",
		{"an address's", "add mine for an hour"}:     " aM",
		{"an address's", "add impossible"}:           " a",
		{"an address's", "remove mine"}:              " a",
		{"an address's", "remove a stranger's"}:      " a",
		{"an address's", "remove an address's"}:      " a",
		{"an address's", "assign"}:                   " a",
		{"an address's", "assign without statement"}: "-",
		{"an address's", "withdraw"}:                 "-",
		{"an address's", "an hour passes"}:           " a",

		{"mine and theirs", "add mine"}:                 " mt",
		{"mine and theirs", "add mine for an hour"}:     " Mt",
		{"mine and theirs", "add impossible"}:           " mt",
		{"mine and theirs", "remove mine"}:              " t",
		{"mine and theirs", "remove a stranger's"}:      " mt",
		{"mine and theirs", "remove an address's"}:      " mt",
		{"mine and theirs", "assign"}:                   " amt",
		{"mine and theirs", "assign without statement"}: " mt",
		{"mine and theirs", "withdraw"}:                 " mt",
		{"mine and theirs", "an hour passes"}:           " mt",

		{"mine, for an hour, and an address's", "add mine"}:                 " am",
		{"mine, for an hour, and an address's", "add mine for an hour"}:     " aM",
		{"mine, for an hour, and an address's", "add impossible"}:           " aM",
		{"mine, for an hour, and an address's", "remove mine"}:              " a",
		{"mine, for an hour, and an address's", "remove a stranger's"}:      " aM",
		{"mine, for an hour, and an address's", "remove an address's"}:      " aM",
		{"mine, for an hour, and an address's", "assign"}:                   " aM",
		{"mine, for an hour, and an address's", "assign without statement"}: " M",
		{"mine, for an hour, and an address's", "withdraw"}:                 " M",
		{"mine, for an hour, and an address's", "an hour passes"}:           " a",
	}
	// owners says who holds the route.
	owners := func(table *rib.Table) string {
		s := ""
		for _, r := range table.Routes() {
			if r.Prefix != docPrefix {
				continue
			}
			for _, o := range r.Owners {
				switch _, mortal := table.Deadline(); {
				case o == byAddress(global1):
					s += "a"
				case o == pio9 && mortal:
					s += "M"
				case o == pio9:
					s += "m"
				case o == pioA:
					s += "t"
				}
			}
		}
		return s
	}
	var missing []string
	for _, state := range states {
		for _, ev := range events {
			want, ok := rows[pair{state.name, ev.name}]
			if !ok {
				missing = append(missing, fmt.Sprintf("%q, %q", state.name, ev.name))
				continue
			}
			delete(rows, pair{state.name, ev.name})
			t.Run(state.name+"/"+ev.name, func(t *testing.T) {
				table := tableWith(rib.Config{}, state.setup...)
				var actions []rib.Action
				if ev.event == nil {
					actions = table.Advance(epoch.Add(time.Hour))
				} else {
					actions = apply(table, ev.event)
				}
				got := ""
				for _, act := range actions {
					switch act := act.(type) {
					case rib.Added:
						if act.Route.Prefix == docPrefix {
							got += "+"
						}
					case rib.Removed:
						if act.Route.Prefix == docPrefix {
							got += "-"
						}
					}
				}
				if o := owners(table); o != "" {
					got += " " + o
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
	if diff := cmp.Diff([]string(nil), missing); diff != "" {
		t.Errorf("pairs without a row (-want +got):\n%s", diff)
	}
	for p := range rows {
		t.Errorf("a row for %v, which is no pair", p)
	}
}
