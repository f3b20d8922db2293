package rib_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/rib"
)

// Spec: RFC 4862, section 5.4, must, KRE-3
// Spec: RFC 4861, section 5.1, DER, RTE-R04
//
// No event brings a local route, fe80::/64 or a source but Assign, and that
// brings all of them: an address that was never assigned has left no trace.
func TestKRE_3_NothingBeforeAssignment(t *testing.T) {
	table := rib.New(rib.Config{})
	wantRoutes(t, table)
	wantHop(t, table, ll2, "none")
	wantSource(t, table, "fe80::2", "none")

	actions := apply(table, rib.Assign{Addr: ll1})
	wantActions(t, actions,
		"added fe80::1/128 local [address fe80::1]",
		"added fe80::/64 on-link [address fe80::1]")
	wantHop(t, table, ll1, "local")
	wantHop(t, table, ll2, "fe80::2")
	wantSource(t, table, "fe80::2", "fe80::1")
}

// Spec: RFC 4861, section 6.3.5, DER, KRE-5
// Spec: RFC 4861, section 5.1, DER, RTE-R04
func TestKRE_5_LinkLocalPrefixOutlivesEitherAddress(t *testing.T) {
	for _, first := range []netip.Addr{ll1, ll2} {
		t.Run("delete "+first.String(), func(t *testing.T) {
			table := tableWith(rib.Config{}, rib.Assign{Addr: ll1}, rib.Assign{Addr: ll2})
			second := ll1
			if first == ll1 {
				second = ll2
			}

			wantActions(t, apply(table, rib.Withdraw{Addr: first}),
				fmt.Sprintf("removed %v/128 local [address %[1]v]", first))
			wantRoutes(t, table,
				fmt.Sprintf("fe80::/64 on-link [address %v]", second),
				fmt.Sprintf("%v/128 local [address %[1]v]", second))
			wantHop(t, table, router9, "fe80::9")

			wantActions(t, apply(table, rib.Withdraw{Addr: second}),
				fmt.Sprintf("removed %v/128 local [address %[1]v]", second),
				fmt.Sprintf("removed fe80::/64 on-link [address %v]", second))
			wantRoutes(t, table)
			wantHop(t, table, router9, "none")
		})
	}
}

// Spec: RFC 4861, section 6.3.5, DER, RTE-R03
// Spec: derived, DER, KRE-10
//
// Every pair of owners of one prefix, of every kind: the first to go leaves the
// route to the other, however it goes.
func TestKRE_10_EachOwnerTakesBackItsOwn(t *testing.T) {
	const lifetime = time.Hour
	type holder struct {
		owner           rib.Owner
		acquire, forego rib.Event // a nil forego: the lifetime ends
	}
	hold := func(o rib.Owner, lifetime time.Duration) rib.Add {
		return rib.Add{Key: onLink(docPrefix), Owner: o, Lifetime: lifetime}
	}
	drop := func(o rib.Owner) rib.Remove { return rib.Remove{Key: onLink(docPrefix), Owner: o} }
	pio9, pioA := byRouter(router9, docPrefix), byRouter(routerA, docPrefix)
	holders := []holder{
		{byHand(), hold(byHand(), 0), drop(byHand())},
		{byHand(), hold(byHand(), lifetime), nil},
		{pio9, hold(pio9, lifetime), drop(pio9)}, // a valid lifetime of 0
		{pio9, hold(pio9, lifetime), nil},
		{pioA, hold(pioA, 0), drop(pioA)},
		{pioA, hold(pioA, lifetime), nil},
		{byAddress(global1), rib.Assign{Addr: global1, OnLink: docPrefix}, rib.Withdraw{Addr: global1}},
		{byAddress(global1), rib.Assign{Addr: global1, OnLink: docPrefix}, rib.Assign{Addr: global1}},
		{byAddress(global2), rib.Assign{Addr: global2, OnLink: docPrefix}, rib.Withdraw{Addr: global2}},
	}
	// let takes back what h holds, at a time when no other lifetime ends.
	let := func(table *rib.Table, h holder, at time.Time) {
		if h.forego == nil {
			table.Advance(at)
		} else {
			table.Step(at, h.forego)
		}
	}
	holds := func(table *rib.Table, o rib.Owner) (held, exists bool) {
		for _, r := range table.Routes() {
			if r.Prefix == docPrefix {
				exists = true
				for _, have := range r.Owners {
					held = held || have == o
				}
			}
		}
		return held, exists
	}
	for i, first := range holders {
		for j, second := range holders {
			if first.owner == second.owner {
				continue
			}
			t.Run(fmt.Sprintf("%d,%d: %v, then %v", i, j, first.owner, second.owner), func(t *testing.T) {
				table := rib.New(rib.Config{})
				table.Step(epoch, first.acquire)
				table.Step(epoch.Add(time.Minute), second.acquire)

				let(table, first, epoch.Add(lifetime))
				if held, _ := holds(table, first.owner); held {
					t.Errorf("%v holds on after it let go", first.owner)
				}
				if held, _ := holds(table, second.owner); !held {
					t.Fatalf("%v lost its hold when %v let go", second.owner, first.owner)
				}
				wantHop(t, table, netip.MustParseAddr("2001:db8::77"), "2001:db8::77")

				let(table, second, epoch.Add(time.Minute+lifetime))
				if _, exists := holds(table, second.owner); exists {
					t.Errorf("the route outlives its last owner")
				}
				wantHop(t, table, netip.MustParseAddr("2001:db8::77"), "none")
			})
		}
	}
}

// Spec: RFC 4861, section 6.3.5, DER, KRE-5
//
// The root of the complaint of 2003: letting go of what one never held.
func TestKRE_5_WhoHoldsNothingTakesNothing(t *testing.T) {
	table := tableWith(rib.Config{},
		rib.Assign{Addr: ll1},
		rib.Assign{Addr: global1, OnLink: docPrefix},
		rib.Add{Key: via(all, router9), Owner: byHand()},
	)
	before, snapshot := table.Routes(), table.Snapshot()
	for _, ev := range []rib.Event{
		rib.Withdraw{Addr: ll2},
		rib.Withdraw{Addr: global2},
		rib.Withdraw{},
		rib.Withdraw{Addr: netip.MustParseAddr("192.0.2.1")},
		rib.Remove{Key: onLink(linkLocalPrefix), Owner: byHand()},
		rib.Remove{Key: onLink(linkLocalPrefix), Owner: byAddress(ll1)},
		rib.Remove{Key: onLink(linkLocalPrefix), Owner: byAddress(ll2)},
		rib.Remove{Key: onLink(docPrefix), Owner: byAddress(global1)},
		rib.Remove{Key: onLink(docPrefix), Owner: byRouter(router9, docPrefix)},
		rib.Remove{Key: via(all, router9), Owner: byRouter(router9, all)},
		rib.Remove{Key: via(all, routerA), Owner: byHand()},
		rib.Remove{Key: advertised(all, router9), Owner: byHand()},
		rib.Remove{Key: rib.Key{Prefix: netip.PrefixFrom(ll1, 128), Origin: rib.Local}, Owner: byAddress(ll1)},
		rib.Remove{},
	} {
		if actions := apply(table, ev); actions != nil {
			t.Errorf("%#v: %v, want no action", ev, actions)
		}
	}
	if diff := cmp.Diff(before, table.Routes(), compareNetip); diff != "" {
		t.Errorf("routes (-before +after):\n%s", diff)
	}
	if table.Snapshot() != snapshot {
		t.Error("a new snapshot, though nothing changed")
	}

	// Nor does letting go twice.
	apply(table, rib.Assign{Addr: ll2}, rib.Withdraw{Addr: ll2}, rib.Withdraw{Addr: ll2})
	if diff := cmp.Diff(before, table.Routes(), compareNetip); diff != "" {
		t.Errorf("routes (-before +after):\n%s", diff)
	}
}

// Spec: derived, DER, KRE-9
func TestKRE_9_Order(t *testing.T) {
	table := rib.New(rib.Config{})
	stated := netip.MustParsePrefix("2001:db8::/64")
	wantActions(t, apply(table, rib.Assign{Addr: ll1, OnLink: stated}),
		"added fe80::1/128 local [address fe80::1]",
		"added fe80::/64 on-link [address fe80::1]",
		"added 2001:db8::/64 on-link [address fe80::1]")
	wantActions(t, apply(table, rib.Withdraw{Addr: ll1}),
		"removed fe80::1/128 local [address fe80::1]",
		"removed fe80::/64 on-link [address fe80::1]",
		"removed 2001:db8::/64 on-link [address fe80::1]")
}

// Readers see an assignment whole or not at all: the source exists with its
// local route, and both are gone together.
//
// Spec: derived, DER, KRE-9
func TestKRE_9_AtomicForReaders(t *testing.T) {
	table := rib.New(rib.Config{})
	before := table.Snapshot()
	apply(table, rib.Assign{Addr: global1, OnLink: docPrefix})
	during := table.Snapshot()
	apply(table, rib.Withdraw{Addr: global1})
	after := table.Snapshot()

	type seen struct {
		Local, IsSource bool
		Source, Hop     string
	}
	look := func(s *rib.Snapshot) seen {
		return seen{s.Local(global1.As16()), s.IsSource(global1), source(s, elsewhere), hop(s, global2, 0)}
	}
	nothing := seen{Source: "none", Hop: "none"}
	want := []seen{nothing, {true, true, "2001:db8::1", "2001:db8::2"}, nothing}
	if diff := cmp.Diff(want, []seen{look(before), look(during), look(after)}); diff != "" {
		t.Errorf("before, during, after (-want +got):\n%s", diff)
	}
}

// A second Assign replaces flags and statement, and nothing else.
func TestAssignAgain(t *testing.T) {
	other := netip.MustParsePrefix("2001:db8:1::/64")
	table := tableWith(rib.Config{}, rib.Assign{Addr: global1, OnLink: docPrefix}, rib.Assign{Addr: global2})

	wantActions(t, apply(table, rib.Assign{Addr: global1, OnLink: docPrefix, Deprecated: true}))
	wantSource(t, table, "2001:db8::99", "2001:db8::2")
	wantActions(t, apply(table, rib.Assign{Addr: global1, OnLink: other}),
		"added 2001:db8:1::/64 on-link [address 2001:db8::1]",
		"removed 2001:db8::/64 on-link [address 2001:db8::1]")
	wantSource(t, table, "2001:db8::99", "2001:db8::1")
	wantActions(t, apply(table, rib.Assign{Addr: global1, Anycast: true}),
		"removed 2001:db8:1::/64 on-link [address 2001:db8::1]")
	wantSource(t, table, "2001:db8::99", "2001:db8::2")
	wantHop(t, table, global1, "local")

	// Its turn among equals is that of its first assignment.
	apply(table, rib.Assign{Addr: global1})
	wantSource(t, table, "2001:db8:ffff::1", "2001:db8::1")
}

// An Assign that cannot be is ignored, and so is an impossible statement.
func TestAssignImpossible(t *testing.T) {
	table := rib.New(rib.Config{})
	for _, ev := range []rib.Assign{
		{},
		{Addr: netip.MustParseAddr("192.0.2.1")},
		{Addr: netip.MustParseAddr("::ffff:192.0.2.1")},
		{Addr: netip.MustParseAddr("::")},
		{Addr: netip.MustParseAddr("ff02::1")},
		{Addr: global1, PrefixLen: -1},
		{Addr: global1, PrefixLen: 129},
	} {
		wantActions(t, apply(table, ev))
	}
	wantRoutes(t, table)

	for _, p := range []string{"fe80::/64", "fe80::/10", "ff02::/16", "192.0.2.0/24", "::1/128"} {
		apply(table, rib.Assign{Addr: global1, OnLink: netip.MustParsePrefix(p)})
		wantRoutes(t, table, "2001:db8::1/128 local [address 2001:db8::1]")
	}
	// A statement with the address's own bits is a statement.
	apply(table, rib.Assign{Addr: global1, OnLink: netip.PrefixFrom(global1, 64)})
	wantRoutes(t, table,
		"2001:db8::/64 on-link [address 2001:db8::1]",
		"2001:db8::1/128 local [address 2001:db8::1]")
}

// A zone says which interface; a table is of one interface.
func TestZonesDoNotMatter(t *testing.T) {
	table := tableWith(rib.Config{}, rib.Assign{Addr: ll1.WithZone("tap0")})
	wantRoutes(t, table, "fe80::/64 on-link [address fe80::1]", "fe80::1/128 local [address fe80::1]")
	wantSource(t, table, "fe80::1%tap0", "fe80::1")
	s := table.Snapshot()
	if r, ok := s.Lookup(ll1.WithZone("tap0")); !ok || r.Prefix != netip.PrefixFrom(ll1, 128) {
		t.Errorf("Lookup with a zone: %v %v", r, ok)
	}
	if !s.IsSource(ll1.WithZone("tap0")) {
		t.Error("IsSource with a zone: false")
	}
	apply(table, rib.Withdraw{Addr: ll1.WithZone("tap0")})
	wantRoutes(t, table)
}

// Spec: RFC 4861, section 6.3.4, must, ONL-R02
// Spec: RFC 4861, section 6.3.4, must, ONL-R03
func TestONL_R02_PrefixLivesAsLongAsAdvertised(t *testing.T) {
	table := rib.New(rib.Config{})
	pio := rib.Add{Key: onLink(docPrefix), Owner: byRouter(router9, docPrefix), Lifetime: time.Hour}
	deadline := func(want time.Time) {
		t.Helper()
		if got, ok := table.Deadline(); !ok || !got.Equal(want) {
			t.Errorf("deadline %v %v, want %v", got, ok, want)
		}
	}
	table.Step(epoch, pio)
	deadline(epoch.Add(time.Hour))

	// A refresh puts the end off; it is no news to anybody.
	snapshot := table.Snapshot()
	wantActions(t, table.Step(epoch.Add(50*time.Minute), pio))
	if table.Snapshot() != snapshot {
		t.Error("a new snapshot for a refresh")
	}
	deadline(epoch.Add(110 * time.Minute))
	wantActions(t, table.Advance(epoch.Add(110*time.Minute-1)))
	wantActions(t, table.Advance(epoch.Add(110*time.Minute)),
		"removed 2001:db8::/64 on-link [router fe80::9 prefix 2001:db8::/64]")

	// Infinity has no deadline.
	pio.Lifetime = 0
	table.Step(epoch, pio)
	if at, ok := table.Deadline(); ok {
		t.Errorf("deadline %v for an infinite lifetime", at)
	}

	// A valid lifetime of 0 is a Remove; the second finds nothing.
	drop := rib.Remove{Key: pio.Key, Owner: pio.Owner}
	wantActions(t, apply(table, drop),
		"removed 2001:db8::/64 on-link [router fe80::9 prefix 2001:db8::/64]")
	wantActions(t, apply(table, drop))
}

// The end of a route is the end of the owner that holds it longest.
func TestExpires(t *testing.T) {
	table := rib.New(rib.Config{})
	add := func(o rib.Owner, lifetime time.Duration) {
		table.Step(epoch, rib.Add{Key: onLink(docPrefix), Owner: o, Lifetime: lifetime})
	}
	want := func(want time.Time) {
		t.Helper()
		if got := table.Routes()[0].Expires; !got.Equal(want) {
			t.Errorf("expires %v, want %v", got, want)
		}
	}
	add(byRouter(router9, docPrefix), time.Hour)
	want(epoch.Add(time.Hour))
	add(byRouter(routerA, docPrefix), time.Minute)
	want(epoch.Add(time.Hour))
	apply(table, rib.Assign{Addr: global1, OnLink: docPrefix})
	want(time.Time{})
	apply(table, rib.Withdraw{Addr: global1})
	want(epoch.Add(time.Hour))
	add(byHand(), 0)
	want(time.Time{})
}

// The last word on a route tells when it would have ended, or did.
func TestRemovedTellsTheEnd(t *testing.T) {
	hold := rib.Add{Key: onLink(docPrefix), Owner: byHand(), Lifetime: time.Hour}
	for name, end := range map[string]func(*rib.Table) []rib.Action{
		"removed": func(table *rib.Table) []rib.Action {
			return table.Step(epoch, rib.Remove{Key: hold.Key, Owner: hold.Owner})
		},
		"expired":       func(table *rib.Table) []rib.Action { return table.Advance(epoch.Add(time.Hour)) },
		"expired, late": func(table *rib.Table) []rib.Action { return table.Advance(epoch.Add(2 * time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			table := tableWith(rib.Config{}, hold)
			want := []rib.Action{rib.Removed{Route: rib.Route{
				Key: hold.Key, Owners: []rib.Owner{byHand()}, Expires: epoch.Add(time.Hour),
			}}}
			if diff := cmp.Diff(want, end(table), compareNetip); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
			if at, ok := table.Deadline(); ok {
				t.Errorf("a deadline at %v, though nothing is left", at)
			}
		})
	}
}

// Late callers get the same actions as punctual ones, in time order, and
// before the event of the same call.
func TestStepFiresTimersFirst(t *testing.T) {
	table := rib.New(rib.Config{})
	for i, p := range []string{"2001:db8:3::/64", "2001:db8:1::/64", "2001:db8:2::/64"} {
		prefix := netip.MustParsePrefix(p)
		table.Step(epoch, rib.Add{
			Key: onLink(prefix), Owner: byHand(), Lifetime: time.Duration(3-i) * time.Minute,
		})
	}
	wantActions(t, table.Step(epoch.Add(2*time.Minute), rib.Assign{Addr: global1}),
		"removed 2001:db8:2::/64 on-link [static]",
		"removed 2001:db8:1::/64 on-link [static]",
		"added 2001:db8::1/128 local [address 2001:db8::1]")

	// Time does not go back: the lifetime counts from the latest moment seen.
	table.Step(epoch, rib.Add{Key: onLink(docPrefix), Owner: byHand(), Lifetime: time.Minute})
	wantActions(t, table.Advance(epoch.Add(3*time.Minute)),
		"removed 2001:db8:3::/64 on-link [static]",
		"removed 2001:db8::/64 on-link [static]")
}

// A full table takes no new route, but new owners of old ones, and addresses.
func TestMaxRoutes(t *testing.T) {
	table := tableWith(rib.Config{MaxRoutes: 2},
		rib.Add{Key: via(all, router9), Owner: byHand()},
		rib.Add{Key: onLink(docPrefix), Owner: byHand()},
	)
	wantActions(t, apply(table, rib.Add{Key: via(all, routerA), Owner: byHand()}))
	wantActions(t, apply(table, rib.Assign{Addr: ll1}),
		"added fe80::1/128 local [address fe80::1]", "added fe80::/64 on-link [address fe80::1]")
	apply(table, rib.Add{Key: onLink(docPrefix), Owner: byRouter(router9, docPrefix)})
	wantRoutes(t, table,
		"::/0 static via fe80::9 [static]",
		"2001:db8::/64 on-link [static router fe80::9 prefix 2001:db8::/64]",
		"fe80::/64 on-link [address fe80::1]",
		"fe80::1/128 local [address fe80::1]")
}

// What is copied or searched as a whole is bounded too: the routes of one
// prefix, and the owners of one route.
func TestBoundsWithinOneRoute(t *testing.T) {
	const bound = 256
	table := rib.New(rib.Config{})
	for i := range uint32(bound + 10) {
		k := onLink(docPrefix)
		k.Metric = i
		apply(table, rib.Add{Key: k, Owner: byHand()})
		apply(table, rib.Add{Key: onLink(netip.MustParsePrefix("2001:db8:1::/64")), Owner: byRouter(numbered64(i), docPrefix)})
	}
	routes := table.Routes()
	if got := len(routes) - 1; got != bound {
		t.Errorf("%d routes of one prefix, want %d", got, bound)
	}
	if got := len(routes[len(routes)-1].Owners); got != bound {
		t.Errorf("%d owners of one route, want %d", got, bound)
	}
}

// numbered64 returns fe80::i.
func numbered64(i uint32) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)})
}

// Routes are listed by prefix (address, then the longest), metric, preference
// and next hop.
func TestRoutesOrder(t *testing.T) {
	add := func(k rib.Key, metric uint32, preference rib.Preference) rib.Add {
		k.Metric = metric
		return rib.Add{Key: k, Owner: byHand(), Preference: preference}
	}
	want := []rib.Add{
		add(via(netip.MustParsePrefix("::/8"), router9), 512, 0),
		add(via(all, routerA), 1, -1),
		add(via(all, router9), 512, 1),
		add(via(all, routerA), 512, 1),
		add(via(all, netip.MustParseAddr("2001:db8::9")), 512, 0),
		add(onLink(netip.MustParsePrefix("2001:db8::/64")), 256, 0),
		add(onLink(netip.MustParsePrefix("2001:db8::/48")), 256, 0),
		add(onLink(netip.MustParsePrefix("2001:db8:0:1::/64")), 256, 0),
	}
	table := rib.New(rib.Config{})
	for i := range want {
		apply(table, want[(i*5+3)%len(want)])
	}
	var got []rib.Add
	for _, r := range table.Routes() {
		got = append(got, rib.Add{Key: r.Key, Owner: r.Owners[0], Preference: r.Preference})
	}
	if diff := cmp.Diff(want, got, compareNetip); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// compareNetip makes go-cmp compare the addresses and prefixes by value.
var compareNetip = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}
