package rib_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/rib"
)

func failed(router string) rib.Reach {
	return rib.Reach{Addr: netip.MustParseAddr(router), State: rib.ReachFailed}
}

func probable(router string) rib.Reach {
	return rib.Reach{Addr: netip.MustParseAddr(router), State: rib.ReachProbable}
}

func selects(router string) rib.Select { return rib.Select{Router: netip.MustParseAddr(router)} }

// learn is a route that router advertised.
func learn(prefix, router string, preference rib.Preference) rib.Add {
	p, r := netip.MustParsePrefix(prefix), netip.MustParseAddr(router)
	return rib.Add{Key: advertised(p, r), Owner: byRouter(r, p), Preference: preference}
}

// skipped prints what Skipped says.
func skipped(s *rib.Snapshot, dst netip.Addr, flow uint32) string {
	list := s.Skipped([16]byte{}, dst.As16(), flow)
	h, _ := s.NextHop([16]byte{}, dst.As16(), flow)
	if h.HasSkipped != (len(list) > 0) || h.HasSkipped && netip.AddrFrom16(h.Skipped) != list[0] {
		return fmt.Sprintf("Hop says %v, %v, Skipped %v", h.HasSkipped, netip.AddrFrom16(h.Skipped), list)
	}
	return fmt.Sprint(list)
}

// Spec: RFC 4191, section 3.2, must, DRS-R03
// Spec: RFC 4191, section 3.2, must, DRS-R04
// Spec: RFC 4191, section 3.5, SHOULD, DRS-R06
//
// The example of RFC 4191, section 3.6, sentence by sentence.
func TestDRS_R04_Example(t *testing.T) {
	const w, x, y, z = "fe80::aa", "fe80::bb", "fe80::cc", "fe80::dd"
	for _, row := range []struct {
		what    string
		reach   []rib.Event
		want    string
		skipped string
	}{
		{"If all routers are reachable, then the host will choose router Y", nil, y, "[]"},
		{"the same, known to be", []rib.Event{probable(w), probable(x), probable(y), probable(z)}, y, "[]"},
		{"If router Y is not reachable, then router Z will be chosen", []rib.Event{failed(y)}, z, "[fe80::cc]"},
		{"If routers Y and Z are not reachable, then router W will be chosen", []rib.Event{failed(y), failed(z)}, w, "[fe80::cc fe80::dd]"},
		{"If routers W, Y, and Z are all not reachable, then the host should use Y", []rib.Event{failed(w), failed(y), failed(z)}, y, "[fe80::dd fe80::aa]"},
		{"Router X will never be chosen", []rib.Event{probable(x), failed(w), failed(y), failed(z)}, y, "[fe80::dd fe80::aa]"},
		{"Z alone is not missed", []rib.Event{failed(z), failed(x)}, y, "[]"},
		{"Y is back", []rib.Event{failed(y), probable(y)}, y, "[]"},
		{"Y is unknown again, which counts as reachable", []rib.Event{failed(y), rib.Reach{Addr: netip.MustParseAddr(y)}}, y, "[]"},
	} {
		t.Run(row.what, func(t *testing.T) {
			table := tableWith(rib.Config{},
				learn("::/0", w, 0), learn("2002::/16", x, 0), learn("2001:db8::/32", y, 1), learn("2001:db8::/32", z, -1))
			apply(table, row.reach...)
			wantHop(t, table, global1, row.want)
			if got := skipped(table.Snapshot(), global1, 0); got != row.skipped {
				t.Errorf("skipped %s, want %s", got, row.skipped)
			}
		})
	}
}

// Spec: RFC 7048, section 3, must, NUD-R11
//
// A failed router is passed over for another metric of the same prefix before a
// shorter prefix, and for an on-link prefix, which does not fail.
func TestNUD_R11_WhatIsNext(t *testing.T) {
	static := func(p string, router string, metric uint32) rib.Add {
		k := via(netip.MustParsePrefix(p), netip.MustParseAddr(router))
		k.Metric = metric
		return rib.Add{Key: k, Owner: byHand()}
	}
	table := tableWith(rib.Config{},
		static("2001:db8::/64", "fe80::9", 10), static("2001:db8::/64", "fe80::a", 20),
		rib.Add{Key: onLink(netip.MustParsePrefix("2001:db8::/48")), Owner: byHand()},
		static("::/0", "fe80::c", 1))
	for _, step := range []struct{ fails, want string }{
		{"fe80::c", "fe80::9"}, {"fe80::9", "fe80::a"}, {"fe80::a", "2001:db8::1"},
	} {
		apply(table, failed(step.fails))
		wantHop(t, table, global1, step.want)
	}
	// Nobody else leads there: the failed one is used, and nothing is skipped.
	wantHop(t, table, netip.MustParseAddr("3000::1"), "fe80::c")
	if got := skipped(table.Snapshot(), netip.MustParseAddr("3000::1"), 0); got != "[]" {
		t.Errorf("skipped %s", got)
	}
	// A second route through the same router is no other router.
	apply(table, static("3000::/16", "fe80::c", 1))
	wantHop(t, table, netip.MustParseAddr("3000::1"), "fe80::c")
	if got := skipped(table.Snapshot(), netip.MustParseAddr("3000::1"), 0); got != "[]" {
		t.Errorf("skipped %s", got)
	}
}

// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R02
//
// When every router has failed, each failure passes the turn on, so that all
// are probed.
func TestDRS_R02_RoundRobin(t *testing.T) {
	for name, cfg := range map[string]rib.Config{"type A": {TypeA: true}, "type C": {}} {
		t.Run(name, func(t *testing.T) {
			routers := []string{"fe80::b", "fe80::9", "fe80::a"}
			table := rib.New(cfg)
			for _, r := range routers {
				apply(table, learn("::/0", r, 0))
			}
			var turns []string
			for range 9 {
				h := hop(table.Snapshot(), elsewhere, 5)
				turns = append(turns, h)
				apply(table, failed(h))
			}
			for i, r := range turns {
				if slices.Contains(turns[max(0, i-2):i], r) {
					t.Fatalf("%s again before all others: %v", r, turns)
				}
			}
			// One that answers ends it.
			apply(table, probable("fe80::a"))
			for flow := range uint32(20) {
				if got := hop(table.Snapshot(), elsewhere, flow); got != "fe80::a" {
					t.Fatalf("flow %d: %s", flow, got)
				}
			}
		})
	}
}

// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R01
//
// Row by row, what a host of type A prefers. The routers are learned in the
// order 1, 2, 3; the addresses are in another.
func TestDRS_R01_TypeA(t *testing.T) {
	const one, two, three = "fe80::3", "fe80::1", "fe80::2"
	unknown := func(router string) rib.Reach { return rib.Reach{Addr: netip.MustParseAddr(router)} }
	for _, row := range []struct {
		what  string
		reach []rib.Event
		want  string
	}{
		{"nothing is known: the first", nil, one},
		{"probably reachable before unknown", []rib.Event{probable(three)}, three},
		{"of several, the first learned", []rib.Event{probable(three), probable(two)}, two},
		{"probably reachable before failed", []rib.Event{failed(one), failed(two), probable(three)}, three},
		{"unknown before failed", []rib.Event{failed(one)}, two},
		{"still behind when its entry is gone", []rib.Event{failed(one), unknown(one)}, two},
		{"all failed: the one that failed longest ago", []rib.Event{failed(two), failed(three), failed(one)}, two},
		{"selected once, behind", []rib.Event{selects(one)}, two},
		{"a failure is a turn like a selection", []rib.Event{failed(one), selects(two), selects(three)}, one},
		{"and a selection like a failure", []rib.Event{selects(three), selects(one), failed(two), failed(three)}, one},
		{"who is probably reachable has no turns", []rib.Event{probable(one), probable(two), selects(one)}, one},
		{"a selection is forgotten by a success", []rib.Event{selects(one), selects(two), probable(two), unknown(two)}, two},
		{"a failure is forgotten by a success", []rib.Event{failed(one), probable(one), unknown(one)}, one},
	} {
		t.Run(row.what, func(t *testing.T) {
			table := tableWith(rib.Config{TypeA: true}, learn("::/0", one, -1), learn("::/0", two, 1), learn("::/0", three, 0))
			apply(table, row.reach...)
			for flow := range uint32(20) { // it keeps its router: no sharing
				wantHop(t, table, numbered(int(flow)), row.want)
				if got := hop(table.Snapshot(), elsewhere, flow); got != row.want {
					t.Fatalf("flow %d: %s, want %s", flow, got, row.want)
				}
			}
			if got := skipped(table.Snapshot(), elsewhere, 0); got != "[]" {
				t.Errorf("skipped %s; a host of type A probes nobody", got)
			}
		})
	}
}

// While no router is known to be reachable, each request has the next one, and
// all have been selected before one is again. A host of type C knows no turns:
// to it, unknown counts as reachable.
//
// Spec: RFC 4861, section 6.3.6, SHOULD, DRS-R02
func TestDRS_R02_EachRequestHasTheNextRouter(t *testing.T) {
	for _, row := range []struct {
		cfg  rib.Config
		want string
	}{
		{rib.Config{TypeA: true}, "[fe80::b fe80::9 fe80::a fe80::b fe80::9 fe80::a fe80::b]"},
		{rib.Config{}, "[fe80::9 fe80::9 fe80::9 fe80::9 fe80::9 fe80::9 fe80::9]"},
	} {
		table := tableWith(row.cfg, selects("fe80::b"), // no gateway yet
			learn("::/0", "fe80::b", 0), learn("::/0", "fe80::9", 1), learn("::/0", "fe80::a", 0))
		first := table.Snapshot()
		var turns []string
		for range 7 {
			h := hop(table.Snapshot(), elsewhere, 5)
			turns = append(turns, h)
			apply(table, selects(h))
		}
		if got := fmt.Sprint(turns); got != row.want {
			t.Errorf("type A %v: %s, want %s", row.cfg.TypeA, got, row.want)
		}
		if got := hop(first, elsewhere, 5); got != turns[0] {
			t.Errorf("type A %v: the first snapshot says %s now, not %s", row.cfg.TypeA, got, turns[0])
		}
		if !row.cfg.TypeA && table.Snapshot() != first {
			t.Error("a new snapshot, though a host of type C does what it did")
		}
	}
}

// A selection says nothing of whether a router works: a failure stays one, and
// redirects stay.
func TestSelectionIsNoFailure(t *testing.T) {
	table := tableWith(rib.Config{TypeA: true}, learn("::/0", "fe80::9", 0), learn("::/0", "fe80::a", 0),
		rib.Redirect{Dst: elsewhere, Target: routerA}, selects("fe80::a"), failed("fe80::9"), selects("fe80::9"))
	wantHop(t, table, elsewhere, "fe80::a")
	for router, want := range map[netip.Addr]rib.Reachability{router9: rib.ReachFailed, routerA: rib.ReachUnknown} {
		if got := table.Reachability(router); got != want {
			t.Errorf("%v is %d, want %d", router, got, want)
		}
	}
}

func TestRouters(t *testing.T) {
	static := rib.Add{Key: via(netip.MustParsePrefix("3000::/16"), netip.MustParseAddr("fe80::c")), Owner: byHand()}
	network := []rib.Event{
		rib.Assign{Addr: global1, OnLink: docPrefix}, static,
		learn("::/0", "fe80::9", 0), learn("::/0", "fe80::a", 1), learn("3000::/16", "fe80::a", 0),
		rib.Redirect{Src: global1, Dst: elsewhere, Target: routerA},
	}
	far := netip.MustParseAddr("2001:db8:ffff::2")
	for _, row := range []struct {
		what     string
		cfg      rib.Config
		src, dst netip.Addr
		want     string
	}{
		{"the default routers, the preferred first", rib.Config{TypeA: true}, global1, far, "[fe80::a fe80::9]"},
		{"no source yet", rib.Config{TypeA: true}, netip.Addr{}, elsewhere, "[fe80::a fe80::9]"},
		{"another source than the redirect's", rib.Config{TypeA: true}, global2, elsewhere, "[fe80::a fe80::9]"},
		{"redirected", rib.Config{TypeA: true}, global1, elsewhere, "[]"},
		{"the longest prefix with the lowest metric", rib.Config{TypeA: true}, global1, netip.MustParseAddr("3000::1"), "[fe80::c]"},
		{"on-link", rib.Config{TypeA: true}, global1, global2, "[]"},
		{"own", rib.Config{TypeA: true}, global1, global1, "[]"},
		{"link-local", rib.Config{TypeA: true}, global1, ll2, "[]"},
		{"a group", rib.Config{TypeA: true}, global1, netip.MustParseAddr("ff0e::1"), "[]"},
		{"IPv4", rib.Config{TypeA: true}, global1, netip.MustParseAddr("192.0.2.1"), "[]"},
		{"from IPv4", rib.Config{TypeA: true}, netip.MustParseAddr("192.0.2.1"), far, "[]"},
		{"type C", rib.Config{}, global1, far, "[]"},
	} {
		t.Run(row.what, func(t *testing.T) {
			if got := fmt.Sprint(tableWith(row.cfg, network...).Snapshot().Routers(row.src, row.dst)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

// A host of type A falls back to no shorter prefix and to no other metric.
func TestDRS_R01_TypeAStaysWithItsPrefix(t *testing.T) {
	static := rib.Add{Key: via(docPrefix, router9), Owner: byHand()}
	table := tableWith(rib.Config{TypeA: true}, static,
		learn("2001:db8::/64", "fe80::a", 0), learn("::/0", "fe80::b", 0),
		failed("fe80::9"), probable("fe80::a"), probable("fe80::b"))
	wantHop(t, table, global2, "fe80::9")
}

// Spec: RFC 4311, section 2, SHOULD, DRS-R08
//
// The flows of a failed router are shared by the others; theirs do not move.
func TestDRS_R08_OnlyTheFlowsOfAFailedRouterMove(t *testing.T) {
	const flows = 6000
	table := rib.New(rib.Config{})
	for _, g := range gateways {
		apply(table, learn("::/0", g.String(), 0))
	}
	before := table.Snapshot()
	apply(table, failed("fe80::b"))
	after := table.Snapshot()
	moved := make(map[string]int)
	for i := range uint32(flows) {
		flow := i * 2654435761
		was, is := hop(before, elsewhere, flow), hop(after, elsewhere, flow)
		switch {
		case is == "fe80::b":
			t.Fatalf("flow %d through a failed router", i)
		case was == "fe80::b":
			moved[is]++
			if got := skipped(after, elsewhere, flow); got != "[fe80::b]" {
				t.Fatalf("flow %d skipped %s", i, got)
			}
		case was != is:
			t.Fatalf("flow %d moved from %s to %s", i, was, is)
		case skipped(after, elsewhere, flow) != "[]":
			t.Fatalf("flow %d would not have used the failed router", i)
		}
	}
	for _, g := range gateways {
		if even := flows / 4 / 3; g.String() != "fe80::b" && (moved[g.String()] < even*8/10 || moved[g.String()] > even*12/10) {
			t.Errorf("%v takes over %d flows, of %v", g, moved[g.String()], moved)
		}
	}
}

// Spec: RFC 8028, section 3.2, SHOULD, DRS-R09
//
// Figure 3: Bob sends with addresses of two providers, each of which has its
// router; a packet to the wrong one "courts a BCP 38 discard".
func TestDRS_R09_Figure3(t *testing.T) {
	const bobA, bobA2, bobB = "fe80::a", "fe80::a2", "fe80::b"
	pa, pb := netip.MustParsePrefix("2001:db8:a::/64"), netip.MustParsePrefix("2001:db8:b::/64")
	announce := func(router string, p netip.Prefix) rib.Announce {
		return rib.Announce{Router: netip.MustParseAddr(router), Prefix: p}
	}
	network := []rib.Event{
		learn("::/0", bobA, -1), learn("::/0", bobB, 1), announce(bobA, pa), announce(bobB, pb),
	}
	for _, row := range []struct {
		what string
		more []rib.Event
		src  string
		want string
	}{
		{"PA to Bob-A, regardless of preference", nil, "2001:db8:a::1", bobA},
		{"PB to Bob-B", nil, "2001:db8:b::1", bobB},
		{"a prefix of nobody: normal routing", nil, "2001:db8:c::1", bobB},
		{"no source yet: normal routing", nil, "::", bobB},
		{"among several, by RFC 4191", []rib.Event{learn("::/0", bobA2, 0), announce(bobA2, pa)}, "2001:db8:a::1", bobA2},
		{"among several, one that works", []rib.Event{learn("::/0", bobA2, 0), announce(bobA2, pa), failed(bobA2)}, "2001:db8:a::1", bobA},
		{"a dead router delivers nothing", []rib.Event{failed(bobA)}, "2001:db8:a::1", bobB},
		{"all dead: the one that announced", []rib.Event{failed(bobB), failed(bobA)}, "2001:db8:a::1", bobA},
		{"the longest prefix", []rib.Event{announce(bobB, netip.MustParsePrefix("2001:db8:a::/48"))}, "2001:db8:a::1", bobA},
		{"the longest of each", []rib.Event{announce(bobA, netip.MustParsePrefix("2001:db8::/32")), announce(bobB, netip.MustParsePrefix("2001:db8:a::/48"))}, "2001:db8:a::1", bobA},
		{"a shorter one if the others announced none", []rib.Event{announce(bobA, netip.MustParsePrefix("2001:db8:c::/48"))}, "2001:db8:c::1", bobA},
		{"taken back", []rib.Event{rib.Renounce(announce(bobA, pa))}, "2001:db8:a::1", bobB},
		{"a more specific route is no default router's", []rib.Event{learn("2001:db8:ffff::/48", bobB, 0)}, "2001:db8:a::1", bobB},
		{"but what ties goes the way of its source", []rib.Event{learn("2001:db8:ffff::/48", bobB, 0), learn("2001:db8:ffff::/48", bobA, 0)}, "2001:db8:a::1", bobA},
		{"a route by hand has another metric", []rib.Event{rib.Add{Key: via(all, netip.MustParseAddr(bobB)), Owner: byHand()}}, "2001:db8:a::1", bobB},
	} {
		t.Run(row.what, func(t *testing.T) {
			table := tableWith(rib.Config{}, network...)
			apply(table, row.more...)
			for flow := range uint32(20) {
				if got := hopFrom(table.Snapshot(), netip.MustParseAddr(row.src), elsewhere, flow); got != row.want {
					t.Fatalf("flow %d: %s, want %s", flow, got, row.want)
				}
			}
		})
	}

	// A host of type A knows nothing of it.
	table := tableWith(rib.Config{TypeA: true}, network...)
	if got := hopFrom(table.Snapshot(), netip.MustParseAddr("2001:db8:b::1"), elsewhere, 0); got != bobA {
		t.Errorf("type A: %s, want the first learned", got)
	}
}

// Spec: RFC 8028, section 3.3, SHOULD, SAS-R09
//
// Rule 5.5, between its neighbors: rule 3 comes before, 6, 7 and 8 after.
func TestSAS_R09_PrefixOfTheNextHop(t *testing.T) {
	const routerA, routerB = "fe80::a", "fe80::b"
	announce := func(router, p string) rib.Event {
		return rib.Announce{Router: netip.MustParseAddr(router), Prefix: netip.MustParsePrefix(p)}
	}
	network := []rib.Event{
		learn("::/0", routerA, 1), learn("::/0", routerB, 0), learn("3000:b::/32", routerB, 0),
		announce(routerA, "2001:db8:a::/64"), announce(routerB, "2001:db8:b::/64"),
		announce(routerB, "2002:b::/64"), announce(routerB, "2001:db8:b:c000::/64"),
		learn("2001:db8:b:8000::/49", routerB, 0),
	}
	with := func(a string, change func(*rib.Assign)) rib.Assign {
		ev := rib.Assign{Addr: netip.MustParseAddr(a)}
		change(&ev)
		return ev
	}
	deprecated := func(ev *rib.Assign) { ev.Deprecated = true }
	temporary := func(ev *rib.Assign) { ev.Temporary = true }
	both := addrs("fe80::1", "2001:db8:b::1", "2001:db8:a::1")
	for _, row := range []struct {
		what     string
		assigned []rib.Assign
		dst      string
		want     string
		without  string // by RFC 3484, and for type A
	}{
		{"of A", both, "3000::1", "2001:db8:a::1", "2001:db8:b::1"},
		{"of B", both, "3000:b::1", "2001:db8:b::1", "2001:db8:b::1"},
		{"after rule 2", addrs("fe80::1", "2001:db8:a::1"), "fe80::9", "fe80::1", "fe80::1"},
		{"after rule 3", append(addrs("2001:db8:b::1"), with("2001:db8:a::1", deprecated)), "3000::1", "2001:db8:b::1", "2001:db8:b::1"},
		{"before rule 6", addrs("2001:db8:a::1", "2002:b::1"), "3000:b::1", "2002:b::1", "2001:db8:a::1"},
		{"before rule 7", append(addrs("2001:db8:a::1"), with("2001:db8:b::1", temporary)), "3000::1", "2001:db8:a::1", "2001:db8:a::1"},
		{"before rule 8", addrs("3000::5", "2001:db8:a::1"), "3000::1", "2001:db8:a::1", "3000::5"},
		{"rule 8 among them", addrs("2001:db8:b::1", "2001:db8:b:c000::1"), "2001:db8:b:8000::9", "2001:db8:b:c000::1", "2001:db8:b:c000::1"},
		{"the first of two prefixes", addrs("2001:db8:b:c000::1", "2001:db8:b::1"), "3000:b::1", "2001:db8:b:c000::1", "2001:db8:b:c000::1"},
		{"the first of one prefix", addrs("2001:db8:b:0:8000::1", "2001:db8:b::1"), "3000:b::1", "2001:db8:b:0:8000::1", "2001:db8:b:0:8000::1"},
		{"none of its prefixes", addrs("2001:db8:c::1", "2001:db8:b::1"), "3000::1", "2001:db8:c::1", "2001:db8:c::1"},
		{"a group has no next hop", both, "ff0e::1", "2001:db8:b::1", "2001:db8:b::1"},
	} {
		t.Run(row.what, func(t *testing.T) {
			for name, cfg := range map[string]rib.Config{"RFC 6724": {}, "RFC 3484": {RFC3484: true}, "type A": {TypeA: true}} {
				if name == "type A" && row.what == "before rule 7" {
					continue // the two RFCs have opposite rules 7
				}
				table := tableWith(cfg, network...)
				for _, ev := range row.assigned {
					apply(table, ev)
				}
				want := row.want
				if name != "RFC 6724" {
					want = row.without
				}
				if got := source(table.Snapshot(), netip.MustParseAddr(row.dst)); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
		})
	}
}

// Spec: RFC 4861, section 8.1, MUST, RDR-R01
func TestRDR_R01_IsFirstHop(t *testing.T) {
	first := func(table *rib.Table, src, dst netip.Addr) (routers []string) {
		for _, r := range []string{"fe80::9", "fe80::a", "fe80::b", "fe80::c"} {
			if table.Snapshot().IsFirstHop(src, dst, netip.MustParseAddr(r)) {
				routers = append(routers, r)
			}
		}
		return routers
	}
	network := []rib.Event{
		rib.Assign{Addr: global1, OnLink: docPrefix},
		learn("::/0", "fe80::9", 0), learn("::/0", "fe80::a", 0), learn("::/0", "fe80::b", -1),
		rib.Announce{Router: netip.MustParseAddr("fe80::b"), Prefix: docPrefix},
	}
	var none netip.Addr
	target := netip.MustParseAddr("fe80::c")
	for _, row := range []struct {
		what     string
		cfg      rib.Config
		more     []rib.Event
		src, dst netip.Addr
		want     []string
	}{
		{"any of those that share", rib.Config{}, nil, none, elsewhere, []string{"fe80::9", "fe80::a"}},
		{"that work", rib.Config{}, []rib.Event{failed("fe80::9")}, none, elsewhere, []string{"fe80::a"}},
		{"the next best", rib.Config{}, []rib.Event{failed("fe80::9"), failed("fe80::a")}, none, elsewhere, []string{"fe80::b"}},
		{"all failed", rib.Config{}, []rib.Event{failed("fe80::b"), failed("fe80::a"), failed("fe80::9")}, none, elsewhere, []string{"fe80::a"}},
		{"of its source", rib.Config{}, nil, global1, elsewhere, []string{"fe80::b"}},
		{"of another source", rib.Config{}, nil, elsewhere, elsewhere, []string{"fe80::9", "fe80::a"}},
		{"type A has one", rib.Config{TypeA: true}, nil, global1, elsewhere, []string{"fe80::9"}},
		{"on-link", rib.Config{}, nil, none, global2, nil},
		{"own", rib.Config{}, nil, none, global1, nil},
		{"a group", rib.Config{}, nil, none, netip.MustParseAddr("ff02::1"), nil},
		{"redirected", rib.Config{}, []rib.Event{rib.Redirect{Dst: elsewhere, Target: target, From: router9}}, global1, elsewhere, []string{"fe80::c"}},
		{"redirected for another", rib.Config{}, []rib.Event{rib.Redirect{Src: global1, Dst: elsewhere, Target: target, From: router9}}, none, elsewhere, []string{"fe80::9", "fe80::a"}},
		{"redirected to the link", rib.Config{}, []rib.Event{rib.Redirect{Dst: elsewhere, Target: elsewhere, From: router9}}, none, elsewhere, nil},
		{"a neighbor that was redirected to is no router", rib.Config{}, []rib.Event{rib.Redirect{Dst: target, Target: target, From: router9}}, none, target, nil},
		{"IPv4", rib.Config{}, nil, none, netip.MustParseAddr("192.0.2.1"), nil},
	} {
		t.Run(row.what, func(t *testing.T) {
			table := tableWith(row.cfg, network...)
			apply(table, row.more...)
			if diff := cmp.Diff(row.want, first(table, row.src, row.dst)); diff != "" {
				t.Errorf("first hops (-want +got):\n%s", diff)
			}
		})
	}
}
