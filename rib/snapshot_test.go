package rib_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/rib"
)

// Spec: RFC 4861, section 5.2, must, NDS-R01
// Spec: RFC 4861, section 5.1, must, RTE-R02
func TestNDS_R01_OnLinkElseRouter(t *testing.T) {
	table := tableWith(rib.Config{},
		rib.Assign{Addr: ll1},
		rib.Add{Key: onLink(docPrefix), Owner: byRouter(router9, docPrefix)},
		rib.Add{Key: advertised(all, router9), Owner: byRouter(router9, all)},
	)
	wantHop(t, table, ll2, "fe80::2")
	wantHop(t, table, global2, "2001:db8::2")
	wantHop(t, table, elsewhere, "fe80::9")

	// A longer prefix through another router beats the on-link one.
	longer := netip.MustParsePrefix("2001:db8::/120")
	apply(table, rib.Add{Key: via(longer, routerA), Owner: byHand()})
	wantHop(t, table, global2, "fe80::a")
	wantHop(t, table, netip.MustParseAddr("2001:db8::1:2"), "2001:db8::1:2")
}

// Spec: RFC 4191, section 3.2, must, RTE-R02
func TestRTE_R02_MetricThenPreference(t *testing.T) {
	table := rib.New(rib.Config{})
	add := func(gateway netip.Addr, metric uint32, preference rib.Preference) {
		k := via(all, gateway)
		k.Metric = metric
		apply(table, rib.Add{Key: k, Owner: byHand(), Preference: preference})
	}
	add(router9, 1024, -1)
	wantHop(t, table, elsewhere, "fe80::9")
	add(routerA, 1024, 0)
	wantHop(t, table, elsewhere, "fe80::a")
	add(router9, 1024, 1) // its preference changes
	wantHop(t, table, elsewhere, "fe80::9")
	add(routerA, 512, -1)
	wantHop(t, table, elsewhere, "fe80::a")
	r, ok := table.Snapshot().Lookup(elsewhere)
	if !ok || r.Prefix != all || r.NextHop != routerA || r.Metric != 512 || r.Preference != -1 {
		t.Errorf("Lookup: %+v %v", r, ok)
	}
}

// Of two owners with different preferences, the higher counts while it holds.
func TestPreferenceIsTheHighestOfTheOwners(t *testing.T) {
	table := rib.New(rib.Config{})
	add := func(gateway netip.Addr, owner rib.Owner, preference rib.Preference) {
		apply(table, rib.Add{Key: advertised(all, gateway), Owner: owner, Preference: preference})
	}
	other := byRouter(router9, docPrefix)
	add(router9, byRouter(router9, all), -1)
	add(router9, other, 1)
	add(routerA, byRouter(routerA, all), 0)
	wantHop(t, table, elsewhere, "fe80::9")
	apply(table, rib.Remove{Key: advertised(all, router9), Owner: other})
	wantHop(t, table, elsewhere, "fe80::a")
}

// Spec: RFC 5942, section 4, MUST NOT, ONL-R08
// Spec: RFC 4191, section 3.2, SHOULD, DRS-R05
// Spec: RFC 2461, section 5.2, must, NDS-R02
// Spec: RFC 2461, section 6.3.6, must, DRS-R10
func TestNDS_R02_OnLinkAssumption(t *testing.T) {
	today := rib.New(rib.Config{})
	wantHop(t, today, elsewhere, "none")
	apply(today, rib.Add{Key: onLink(docPrefix), Owner: byHand()})
	wantHop(t, today, elsewhere, "none")

	old := rib.New(rib.Config{OnLinkAssumption: true})
	wantHop(t, old, elsewhere, "2001:db8:ffff::1")
	r, ok := old.Snapshot().Lookup(elsewhere)
	if !ok || r.Origin != rib.OnLink || r.Prefix != all {
		t.Errorf("Lookup of an assumed neighbor: %+v %v", r, ok)
	}
	apply(old, rib.Add{Key: onLink(docPrefix), Owner: byHand()})
	wantHop(t, old, elsewhere, "2001:db8:ffff::1")

	router := rib.Add{Key: advertised(all, router9), Owner: byRouter(router9, all)}
	apply(old, router)
	wantHop(t, old, elsewhere, "fe80::9")
	wantHop(t, old, ll2, "none") // no router forwards for a link-local address
	apply(old, rib.Remove{Key: router.Key, Owner: router.Owner})
	wantHop(t, old, elsewhere, "2001:db8:ffff::1")
	wantHop(t, old, netip.IPv6Unspecified(), "none")
	wantHop(t, old, netip.IPv6Loopback(), "none")
}

// Spec: RFC 5942, section 4, MUST NOT, ONL-R05
func TestONL_R05_AnAddressIsNoPrefix(t *testing.T) {
	table := tableWith(rib.Config{}, rib.Assign{Addr: global1, PrefixLen: 64})
	wantRoutes(t, table, "2001:db8::1/128 local [address 2001:db8::1]")
	wantHop(t, table, global2, "none")
}

// Spec: RFC 5942, section 3, must, ONL-R07
func TestONL_R07_OnLinkHost(t *testing.T) {
	table := tableWith(rib.Config{},
		rib.Add{Key: onLink(netip.PrefixFrom(global2, 128)), Owner: byHand()},
		rib.Add{Key: via(all, router9), Owner: byHand()})
	wantHop(t, table, global2, "2001:db8::2")
	wantHop(t, table, global1, "fe80::9")
}

// Spec: RFC 5942, section 4, MUST, ONL-R09
// Spec: RFC 4861, section 6.3.5, MUST, RTE-R07
func TestONL_R09_FallsToAnotherPrefix(t *testing.T) {
	covering := netip.MustParsePrefix("2001:db8::/48")
	table := tableWith(rib.Config{},
		rib.Add{Key: via(docPrefix, router9), Owner: byHand()},
		rib.Add{Key: onLink(covering), Owner: byRouter(routerA, covering)},
		rib.Add{Key: onLink(docPrefix), Owner: byRouter(routerA, docPrefix)})
	wantHop(t, table, global2, "2001:db8::2")
	apply(table, rib.Remove{Key: onLink(docPrefix), Owner: byRouter(routerA, docPrefix)})
	wantHop(t, table, global2, "fe80::9")
	apply(table, rib.Remove{Key: via(docPrefix, router9), Owner: byHand()})
	wantHop(t, table, global2, "2001:db8::2")
	apply(table, rib.Remove{Key: onLink(covering), Owner: byRouter(routerA, covering)})
	wantHop(t, table, global2, "none")
}

// Spec: derived, DER, NDS-R12
func TestNDS_R12_OwnAddress(t *testing.T) {
	table := tableWith(rib.Config{}, rib.Assign{Addr: global1, OnLink: docPrefix})
	wantHop(t, table, global1, "local")

	// An address that is not assigned, tentative perhaps, is a destination as
	// any other: its rightful owner stays reachable.
	wantHop(t, table, global2, "2001:db8::2")
	apply(table, rib.Assign{Addr: global2})
	wantHop(t, table, global2, "local")
	apply(table, rib.Withdraw{Addr: global2})
	wantHop(t, table, global2, "2001:db8::2")

	// No route leads an own address out, whatever its metric and preference.
	host := via(netip.PrefixFrom(global1, 128), router9)
	host.Metric = 0
	apply(table, rib.Add{Key: host, Owner: byHand(), Preference: 1})
	wantHop(t, table, global1, "local")
	apply(table, rib.Withdraw{Addr: global1})
	wantHop(t, table, global1, "fe80::9")
	apply(table, rib.Assign{Addr: global1})
	wantHop(t, table, global1, "local")
	apply(table, rib.Remove{Key: host, Owner: byHand()})
	wantHop(t, table, global1, "local")
}

// Spec: RFC 4861, section 5.2, must, NDS-R03
// Spec: RFC 4291, section 2.5.2, must, RTE-R06
// Spec: RFC 4291, section 2.5.3, must, RTE-R05
func TestNDS_R03_NeverLookedUp(t *testing.T) {
	table := tableWith(rib.Config{},
		rib.Assign{Addr: ll1},
		rib.Add{Key: onLink(all), Owner: byHand()},
		rib.Add{Key: via(netip.MustParsePrefix("8000::/1"), router9), Owner: byHand()})
	for _, dst := range []string{"ff02::1", "ff0e::1", "::", "::1"} {
		addr := netip.MustParseAddr(dst)
		wantHop(t, table, addr, "none")
		if r, ok := table.Snapshot().Lookup(addr); ok {
			t.Errorf("Lookup(%s) = %v", dst, r)
		}
	}
	if _, ok := table.Snapshot().Lookup(netip.MustParseAddr("192.0.2.1")); ok {
		t.Error("a route to an IPv4 address")
	}
	wantHop(t, table, elsewhere, "2001:db8:ffff::1")
}

// The table of a loopback interface has ::1, as a local route.
func TestLoopbackInterface(t *testing.T) {
	table := tableWith(rib.Config{}, rib.Assign{Addr: netip.IPv6Loopback(), PrefixLen: 128})
	wantHop(t, table, netip.IPv6Loopback(), "local")
	wantSource(t, table, "::1", "::1")
}

// Spec: RFC 4007, section 9, must, RTE-R05
func TestRTE_R05_LinkLocalNeverThroughARouter(t *testing.T) {
	table := tableWith(rib.Config{},
		rib.Add{Key: via(all, router9), Owner: byHand()},
		rib.Add{Key: via(netip.MustParsePrefix("fe00::/8"), routerA), Owner: byHand()})
	wantHop(t, table, ll2, "none")
	wantHop(t, table, netip.MustParseAddr("fec0::1"), "fe80::a")
	apply(table, rib.Assign{Addr: ll1})
	wantHop(t, table, ll2, "fe80::2")
	wantHop(t, table, netip.MustParseAddr("fe80:0:0:1::2"), "none")
}

// Spec: RFC 4311, section 2, SHOULD, DRS-R08
func TestDRS_R08_SharesTheLoad(t *testing.T) {
	const flows = 4000
	table := rib.New(rib.Config{})
	for _, g := range gateways {
		apply(table, rib.Add{Key: via(all, g), Owner: byHand()})
	}
	s := table.Snapshot()
	count := func(f func(i int) (dst netip.Addr, flow uint32)) map[string]int {
		got := make(map[string]int)
		for i := range flows {
			dst, flow := f(i)
			h := hop(s, dst, flow)
			if again := hop(s, dst, flow); again != h {
				t.Fatalf("%v flow %d: %s, then %s", dst, flow, h, again)
			}
			got[h]++
		}
		return got
	}
	for name, got := range map[string]map[string]int{
		"by flow":        count(func(i int) (netip.Addr, uint32) { return elsewhere, uint32(i) * 2654435761 }),
		"by small flow":  count(func(i int) (netip.Addr, uint32) { return elsewhere, uint32(i) }),
		"by destination": count(func(i int) (netip.Addr, uint32) { return numbered(i), 0 }),
		"by last octets": count(func(i int) (netip.Addr, uint32) {
			return netip.AddrFrom16([16]byte{0: 0x20, 14: byte(i >> 8), 15: byte(i)}), 0
		}),
	} {
		if len(got) != len(gateways) {
			t.Errorf("%s: %v, want all of %v", name, got, gateways)
		}
		for h, n := range got {
			if even := flows / len(gateways); n < even*8/10 || n > even*12/10 {
				t.Errorf("%s: %s gets %d of %d", name, h, n, flows)
			}
		}
	}
}

// Spec: RFC 4191, section 3.2, must, RTE-R02
//
// The load is shared among equals, never with a route that is worse.
func TestRTE_R02_WorseRoutesGetNoShare(t *testing.T) {
	lower := func(ev *rib.Add) { ev.Preference = -1 }
	dearer := func(ev *rib.Add) { ev.Metric++ }
	for name, worsen := range map[string]func(*rib.Add){"preference": lower, "metric": dearer} {
		t.Run(name, func(t *testing.T) {
			worse := rib.Add{Key: via(all, routerA), Owner: byHand()}
			worsen(&worse)
			table := tableWith(rib.Config{}, rib.Add{Key: via(all, router9), Owner: byHand()}, worse)
			for flow := range uint32(100) {
				if got := hop(table.Snapshot(), elsewhere, flow); got != "fe80::9" {
					t.Fatalf("flow %d: %s", flow, got)
				}
			}
		})
	}
	// Nor do an on-link prefix and a gateway of the same metric share.
	t.Run("gateway", func(t *testing.T) {
		key := onLink(all)
		key.Metric = rib.StaticMetric
		table := tableWith(rib.Config{}, rib.Add{Key: via(all, router9), Owner: byHand()}, rib.Add{Key: key, Owner: byHand()})
		for flow := range uint32(100) {
			if got := hop(table.Snapshot(), elsewhere, flow); got != elsewhere.String() {
				t.Fatalf("flow %d: %s", flow, got)
			}
		}
	})
}

// What a snapshot says of addresses and sources does not change with the table,
// whose nodes are partly its own.
func TestASnapshotStays(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	table := rib.New(rib.Config{})
	type answer struct {
		local  bool
		source netip.Addr
	}
	ask := func(s *rib.Snapshot) (answers []answer) {
		for i := range 300 {
			source, _ := s.Source(numbered(i).Next())
			answers = append(answers, answer{s.Local(numbered(i).As16()), source})
		}
		return answers
	}
	for range 100 {
		s := table.Snapshot()
		before := ask(s)
		for range 1 + r.IntN(100) {
			if a := numbered(r.IntN(300)); r.IntN(2) == 0 {
				apply(table, rib.Withdraw{Addr: a})
			} else {
				apply(table, rib.Assign{Addr: a, PrefixLen: 128, Anycast: r.IntN(4) == 0, Deprecated: r.IntN(4) == 0})
			}
		}
		if diff := cmp.Diff(before, ask(s), cmp.AllowUnexported(answer{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Fatalf("a snapshot changed with the table (-before +after):\n%s", diff)
		}
	}
}
