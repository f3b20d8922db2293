package rib_test

import (
	"testing"

	"github.com/tapstack/tapstack/rib"
)

// Only gateways are of interest, and what was known of one goes with its last
// route.
func TestReachIsKeptForGatewaysAlone(t *testing.T) {
	gateway := func(table *rib.Table, want bool) {
		t.Helper()
		if got := table.IsGateway(router9); got != want {
			t.Errorf("IsGateway = %v, want %v", got, want)
		}
	}
	two := []rib.Event{learn("::/0", "fe80::9", 1), learn("::/0", "fe80::a", 0)}
	remove := func(ev rib.Event) rib.Event {
		add := ev.(rib.Add)
		return rib.Remove{Key: add.Key, Owner: add.Owner}
	}
	table := rib.New(rib.Config{})
	gateway(table, false)
	apply(table, failed("fe80::9")) // nothing to it yet
	apply(table, two...)
	gateway(table, true)
	wantHop(t, table, elsewhere, "fe80::9")

	apply(table, failed("fe80::9"), learn("3000::/16", "fe80::9", 0), remove(two[0]), two[0])
	wantHop(t, table, elsewhere, "fe80::a") // it was a gateway all the time
	apply(table, remove(learn("3000::/16", "fe80::9", 0)), remove(two[0]))
	gateway(table, false)
	apply(table, two[0])
	wantHop(t, table, elsewhere, "fe80::9")

	// A redirect makes a gateway as well.
	apply(table, remove(two[0]), rib.Redirect{Dst: elsewhere, Target: router9})
	gateway(table, true)
	apply(table, rib.FlushRedirects{})
	gateway(table, false)
}

// What changes nothing makes no new snapshot; a snapshot keeps what it knew.
func TestReachAndSnapshots(t *testing.T) {
	table := tableWith(rib.Config{}, learn("::/0", "fe80::9", 1), learn("::/0", "fe80::a", 0))
	working := table.Snapshot()
	apply(table, probable("fe80::9"), probable("fe80::b"), failed("fe80::b"), rib.Reach{Addr: router9, State: 99})
	if table.Snapshot() != working {
		t.Error("a new snapshot, though a host of type C does what it did")
	}
	apply(table, failed("fe80::9"))
	broken := table.Snapshot()
	apply(table, probable("fe80::9"))
	for i, s := range []*rib.Snapshot{working, broken, table.Snapshot()} {
		if got, want := hop(s, elsewhere, 0), []string{"fe80::9", "fe80::a", "fe80::9"}[i]; got != want {
			t.Errorf("snapshot %d: %s, want %s", i, got, want)
		}
	}
}
