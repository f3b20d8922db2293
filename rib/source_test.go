package rib_test

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapstack/tapstack/rib"
)

// sourceCase is one question of source selection: the addresses in the order
// of their assignment, and the answers by RFC 6724 and by RFC 3484.
type sourceCase struct {
	name     string
	assigned []rib.Assign
	dst      string
	want     string
	want3484 string // empty: as want
}

func addrs(list ...string) []rib.Assign {
	events := make([]rib.Assign, len(list))
	for i, a := range list {
		events[i] = rib.Assign{Addr: netip.MustParseAddr(a)}
	}
	return events
}

// and returns events with one more.
func and(events []rib.Assign, more rib.Assign) []rib.Assign { return append(events, more) }

func checkSources(t *testing.T, cases []sourceCase) {
	for _, tc := range cases {
		for _, rfc3484 := range []bool{false, true} {
			name, want := tc.name+"/RFC 6724", tc.want
			if rfc3484 {
				name = tc.name + "/RFC 3484"
				if tc.want3484 != "" {
					want = tc.want3484
				}
			}
			t.Run(name, func(t *testing.T) {
				table := rib.New(rib.Config{RFC3484: rfc3484})
				for _, ev := range tc.assigned {
					apply(table, ev)
				}
				wantSource(t, table, tc.dst, want)
			})
		}
	}
}

// Spec: RFC 6724, section 4, MUST NOT, SAS-R01
// Spec: derived, DER, SAS-R16
func TestSAS_R01_Candidates(t *testing.T) {
	checkSources(t, []sourceCase{
		{name: "none", dst: "2001:db8::9", want: "none"},
		{name: "link-local for a global destination", assigned: addrs("fe80::1"), dst: "2001:db8::9", want: "fe80::1"},
		{name: "anycast", assigned: []rib.Assign{{Addr: global1, Anycast: true}}, dst: "2001:db8::9", want: "none"},
		{name: "anycast as destination", assigned: []rib.Assign{{Addr: global1, Anycast: true}, {Addr: ll1}}, dst: "2001:db8::1", want: "fe80::1"},
		{name: "IPv4 destination", assigned: addrs("2001:db8::1"), dst: "192.0.2.1", want: "none"},
	})
}

// Spec: RFC 6724, section 4, MUST, SAS-R02
//
// A table has the addresses of one interface, so nothing else can be chosen.
func TestSAS_R02_OnlyThisLink(t *testing.T) {
	here := tableWith(rib.Config{}, rib.Assign{Addr: ll1})
	there := tableWith(rib.Config{}, rib.Assign{Addr: ll2})
	for _, dst := range []string{"fe80::2", "fe80::9", "ff02::1", "ff0e::1"} {
		wantSource(t, here, dst, "fe80::1")
	}
	wantSource(t, there, "fe80::1", "fe80::2")
}

// Spec: RFC 6724, section 4, MUST, SAS-R03
// Spec: RFC 4862, section 5.5.4, must, LIF-R10
func TestSAS_R03_GivenByTheCaller(t *testing.T) {
	table := tableWith(rib.Config{},
		rib.Assign{Addr: ll1},
		rib.Assign{Addr: global1, Deprecated: true, OnLink: docPrefix},
		rib.Assign{Addr: global2, Anycast: true})
	s := table.Snapshot()
	for addr, want := range map[string]bool{
		"fe80::1":            true,
		"2001:db8::1":        true,  // deprecated
		"2001:db8::2":        false, // anycast
		"2001:db8::3":        false, // a neighbor
		"2001:db8:ffff::1":   false,
		"::":                 false,
		"ff02::1":            false,
		"192.0.2.1":          false,
		"::ffff:192.0.2.1":   false,
		"fe80::1%whatsoever": true,
	} {
		if got := s.IsSource(netip.MustParseAddr(addr)); got != want {
			t.Errorf("IsSource(%s) = %v, want %v", addr, got, want)
		}
	}
	if s.IsSource(netip.Addr{}) {
		t.Error("IsSource of the zero Addr")
	}
}

// Spec: RFC 6724, section 5, must, SAS-R04
func TestSAS_R04_SameAddress(t *testing.T) {
	checkSources(t, []sourceCase{
		{name: "even if deprecated", assigned: []rib.Assign{{Addr: global2}, {Addr: global1, Deprecated: true}}, dst: "2001:db8::1", want: "2001:db8::1"},
		{name: "even if assigned last", assigned: addrs("2001:db8::2", "2001:db8::3", "2001:db8::1"), dst: "2001:db8::1", want: "2001:db8::1"},
	})
}

// Spec: RFC 6724, section 5, must, SAS-R05
func TestSAS_R05_Scope(t *testing.T) {
	three := addrs("fe80::1", "fec0::1", "2001:db8::1")
	checkSources(t, []sourceCase{
		{name: "global", assigned: three, dst: "2001:db8:1::1", want: "2001:db8::1"},
		{name: "site-local", assigned: three, dst: "fec0::9", want: "fec0::1"},
		{name: "link-local", assigned: three, dst: "fe80::9", want: "fe80::1"},
		{name: "ULA is global", assigned: addrs("fe80::1", "fec0::1", "fd00::1"), dst: "2001:db8::1", want: "fd00::1"},
		{name: "ULA destination", assigned: addrs("fe80::1", "fec0::1", "2001:db8::1"), dst: "fd00::1", want: "2001:db8::1"},
		{name: "too small is the last resort: the largest", assigned: addrs("fe80::1", "fec0::1"), dst: "2001:db8::1", want: "fec0::1"},
		{name: "loopback counts as link-local", assigned: three, dst: "::1", want: "fe80::1"},
		{name: "interface-local group", assigned: three, dst: "ff01::1", want: "fe80::1"},
		{name: "link-local group", assigned: three, dst: "ff02::1", want: "fe80::1"},
		{name: "admin-local group", assigned: three, dst: "ff04::1", want: "fec0::1"},
		{name: "site-local group", assigned: three, dst: "ff05::1", want: "fec0::1"},
		{name: "organization-local group", assigned: three, dst: "ff08::1", want: "2001:db8::1"},
		{name: "global group", assigned: three, dst: "ff0e::1", want: "2001:db8::1"},
		{name: "scope before deprecated", assigned: []rib.Assign{{Addr: ll1}, {Addr: global1, Deprecated: true}}, dst: "2001:db8:1::1", want: "2001:db8::1"},
	})
}

// Spec: RFC 6724, section 5, must, SAS-R06
// Spec: RFC 4429, section 2.1, should, ODAD-R10
// Spec: RFC 4862, section 5.5.4, SHOULD NOT, LIF-R10
func TestSAS_R06_Deprecated(t *testing.T) {
	compatible, preferred := netip.MustParseAddr("::192.0.2.1"), netip.MustParseAddr("2002::1")
	checkSources(t, []sourceCase{
		{name: "preferred", assigned: []rib.Assign{{Addr: global1, Deprecated: true}, {Addr: global2}}, dst: "2001:db8::9", want: "2001:db8::2"},
		{name: "optimistic counts as deprecated", assigned: []rib.Assign{{Addr: global1, Optimistic: true}, {Addr: global2}}, dst: "2001:db8::9", want: "2001:db8::2"},
		{name: "optimistic and deprecated tie", assigned: []rib.Assign{{Addr: global2, Deprecated: true}, {Addr: global1, Optimistic: true}}, dst: "2001:db8::9", want: "2001:db8::2"},
		{name: "optimistic if nothing else", assigned: []rib.Assign{{Addr: ll1}, {Addr: global1, Optimistic: true}}, dst: "2001:db8::9", want: "2001:db8::1"},
		{name: "before label", assigned: []rib.Assign{{Addr: global1, Deprecated: true}, {Addr: preferred}}, dst: "2001:db8::9", want: "2002::1"},
		{name: "IPv4-compatible is always preferred", assigned: []rib.Assign{{Addr: compatible, Deprecated: true}, {Addr: global1, Deprecated: true}}, dst: "2001:db8::9", want: "::c000:201"},
	})
}

// Spec: RFC 6724, section 5, must, SAS-R10
// Spec: RFC 6724, section 2.1, SHOULD, SAS-R13
//
// A row for each label. The other address is assigned first, so that the
// tie-break cannot help.
func TestSAS_R13_Labels(t *testing.T) {
	checkSources(t, []sourceCase{
		{name: "::/0", assigned: addrs("2002::1", "2a00::1"), dst: "3000::9", want: "2a00::1"},
		{name: "2002::/16", assigned: addrs("2003::1", "2002:ffff::1"), dst: "2002::9", want: "2002:ffff::1"},
		{name: "2001::/32", assigned: addrs("2001:1::1", "2001:0:ffff::1"), dst: "2001::9", want: "2001:0:ffff::1", want3484: "2001:0:ffff::1"},
		{name: "2001::/32 differs from ::/0", assigned: addrs("3000::1", "2001::1"), dst: "2001:8::9", want: "3000::1", want3484: "2001::1"},
		{name: "fc00::/7", assigned: addrs("fe00::1", "fc00::1"), dst: "fdff::9", want: "fc00::1"},
		{name: "fc00::/7 differs from ::/0", assigned: addrs("3000::1", "fd00::1"), dst: "fe00::9", want: "3000::1", want3484: "fd00::1"},
		{name: "::/96", assigned: addrs("::1:0:0:0:1", "::192.0.2.1"), dst: "::192.0.2.9", want: "::c000:201"},
		{name: "3ffe::/16", assigned: addrs("3fff::1", "3ffe:ffff::1"), dst: "3ffe::9", want: "3ffe:ffff::1"},
		{name: "3ffe::/16 differs from ::/0", assigned: addrs("2a00::1", "3ffe::1"), dst: "3fff::9", want: "2a00::1", want3484: "3ffe::1"},
		{name: "::ffff:0:0/96", assigned: addrs("2a00::1", "fd00::1", "2002::1"), dst: "::ffff:192.0.2.1", want: "2a00::1"},
		{name: "a group has label 1", assigned: addrs("fd00::1", "2001:db8::1"), dst: "ff0e::1", want: "2001:db8::1", want3484: "fd00::1"},
	})
}

// Spec: RFC 6724, section 5, must, SAS-R11
func TestSAS_R11_Temporary(t *testing.T) {
	both := []rib.Assign{{Addr: global1}, {Addr: global2, Temporary: true}}
	reversed := []rib.Assign{{Addr: global2, Temporary: true}, {Addr: global1}}
	checkSources(t, []sourceCase{
		{name: "public first", assigned: both, dst: "2001:db8::9", want: "2001:db8::2", want3484: "2001:db8::1"},
		{name: "temporary first", assigned: reversed, dst: "2001:db8::9", want: "2001:db8::2", want3484: "2001:db8::1"},
		{name: "before the prefix", assigned: and(addrs("2001:db8:1::1"), rib.Assign{Addr: global2, Temporary: true}), dst: "2001:db8:1::9", want: "2001:db8::2", want3484: "2001:db8:1::1"},
		{name: "after the label", assigned: and(addrs("2001:db8:1::1"), rib.Assign{Addr: netip.MustParseAddr("2002::1"), Temporary: true}), dst: "2001:db8::9", want: "2001:db8:1::1"},
	})
}

// Spec: RFC 6724, section 5, must, SAS-R12
func TestSAS_R12_LongestPrefix(t *testing.T) {
	with := func(a string, length int) rib.Assign {
		return rib.Assign{Addr: netip.MustParseAddr(a), PrefixLen: length}
	}
	checkSources(t, []sourceCase{
		{name: "longer", assigned: addrs("2001:db8:f::1", "2001:db8:1::1"), dst: "2001:db8:1:f::9", want: "2001:db8:1::1"},
		{name: "the identifier does not count", assigned: addrs("2001:db8::8000:0:0:1", "2001:db8::1"), dst: "2001:db8::9", want: "2001:db8::8000:0:0:1", want3484: "2001:db8::1"},
		{name: "up to the source's own length", assigned: []rib.Assign{with("2001:db8:1::1", 32), with("2001:db8:f::1", 48)}, dst: "2001:db8:1::9", want: "2001:db8:f::1", want3484: "2001:db8:1::1"},
		{name: "one of its own, of 128", assigned: []rib.Assign{with("2001:db8::1", 64), with("2001:db8::8", 128)}, dst: "2001:db8::9", want: "2001:db8::8", want3484: "2001:db8::8"},
		{name: "fe80::1 and fe80::2 share 64", assigned: addrs("fe80::8000:0:0:1", "fe80::2"), dst: "fe80::3", want: "fe80::8000:0:0:1", want3484: "fe80::2"},
	})
}

// Spec: derived, DER, SAS-R17
func TestSAS_R17_TiesGoToTheFirst(t *testing.T) {
	table := rib.New(rib.Config{})
	for _, a := range []string{"2001:db8::5", "2001:db8::3", "2001:db8::9"} {
		apply(table, rib.Assign{Addr: netip.MustParseAddr(a)})
	}
	wantSource(t, table, "2001:db8::1", "2001:db8::5")
	wantSource(t, table, "2002::1", "2001:db8::5")
	apply(table, rib.Withdraw{Addr: netip.MustParseAddr("2001:db8::5")})
	wantSource(t, table, "2001:db8::1", "2001:db8::3")
	// What comes back has lost its place.
	apply(table, rib.Assign{Addr: netip.MustParseAddr("2001:db8::5")})
	wantSource(t, table, "2001:db8::1", "2001:db8::3")
}

// Spec: derived, DER, SAS-R17
//
// The choice is that of the RFC's own procedure: compare the candidates pair by
// pair, rule by rule.
func TestSAS_R17_AgainstPairwiseRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := rib.Config{RFC3484: rapid.Bool().Draw(t, "rfc3484")}
		table := rib.New(cfg)
		var assigned []rib.Assign
		find := func(a netip.Addr) int {
			return slices.IndexFunc(assigned, func(have rib.Assign) bool { return have.Addr == a })
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			a := drawSource(t, "addr")
			i := find(a)
			if i >= 0 && rapid.Bool().Draw(t, "withdraw") {
				apply(table, rib.Withdraw{Addr: a})
				assigned = slices.Delete(assigned, i, i+1)
				continue
			}
			ev := drawAssign(t, a)
			apply(table, ev)
			if i >= 0 {
				assigned[i] = ev
			} else {
				assigned = append(assigned, ev)
			}
		}
		s := table.Snapshot()
		for range 10 {
			dst := drawDestination(t, assigned)
			want := "none"
			if a, ok := pairwise(assigned, dst, cfg.RFC3484, nil); ok {
				want = a.String()
			}
			if got := source(s, dst); got != want {
				t.Fatalf("source for %v: %s, want %s, of %+v", dst, got, want, assigned)
			}
		}
	})
}

// drawSource draws an address that shares any number of bits with others.
func drawSource(t *rapid.T, label string) netip.Addr {
	bases := []string{"2001:db8::1", "2001:db8::1", "2001:db8::1", "fe80::1", "fec0::1", "fd00::1", "2002::1", "2001::1", "3ffe::1", "::1:1"}
	a := netip.MustParseAddr(rapid.SampledFrom(bases).Draw(t, label)).As16()
	for range rapid.IntRange(0, 2).Draw(t, label+" flips") {
		bit := rapid.IntRange(10, 127).Draw(t, label+" bit")
		a[bit/8] ^= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom16(a)
}

func drawAssign(t *rapid.T, a netip.Addr) rib.Assign {
	rare := rapid.SampledFrom([]bool{false, false, false, true})
	return rib.Assign{
		Addr:       a,
		PrefixLen:  rapid.SampledFrom([]int{0, 0, 64, 64, 128, 10, 48, 96}).Draw(t, "prefix length"),
		Deprecated: rare.Draw(t, "deprecated"),
		Optimistic: rare.Draw(t, "optimistic"),
		Temporary:  rare.Draw(t, "temporary"),
		Anycast:    rare.Draw(t, "anycast"),
	}
}

func drawDestination(t *rapid.T, assigned []rib.Assign) netip.Addr {
	switch rapid.IntRange(0, 4).Draw(t, "destination") {
	case 0:
		groups := []string{"ff01::1", "ff02::1", "ff05::1", "ff08::1", "ff0e::1"}
		return netip.MustParseAddr(rapid.SampledFrom(groups).Draw(t, "group"))
	case 1:
		if len(assigned) > 0 {
			return rapid.SampledFrom(assigned).Draw(t, "own").Addr
		}
	}
	return drawSource(t, "dst")
}

// pairwise chooses by RFC 6724, section 5, as it is written: by comparing each
// candidate with the best so far.
// announced are the prefixes that the next hop advertised.
func pairwise(assigned []rib.Assign, dst netip.Addr, rfc3484 bool, announced []netip.Prefix) (best netip.Addr, ok bool) {
	var sb rib.Assign
	for _, sa := range assigned {
		if sa.Anycast {
			continue
		}
		if !ok || prefer(sa, sb, dst, rfc3484, announced) {
			sb, ok = sa, true
		}
	}
	return sb.Addr, ok
}

// prefer reports whether SA is greater than SB for the destination d.
func prefer(sa, sb rib.Assign, d netip.Addr, rfc3484 bool, announced []netip.Prefix) bool {
	// Rule 1.
	if (sa.Addr == d) != (sb.Addr == d) {
		return sa.Addr == d
	}
	// Rule 2.
	scopeA, scopeB, scopeD := scopeOf(sa.Addr), scopeOf(sb.Addr), scopeOf(d)
	if scopeA < scopeB {
		return scopeA >= scopeD
	}
	if scopeB < scopeA {
		return scopeB < scopeD
	}
	// Rule 3.
	if a, b := deprecated(sa), deprecated(sb); a != b {
		return b
	}
	// Rule 5.5.
	within := func(a netip.Addr) bool {
		return slices.ContainsFunc(announced, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if a, b := within(sa.Addr), within(sb.Addr); a != b && !rfc3484 {
		return a
	}
	// Rule 6.
	label := func(a netip.Addr) int { return labelOf(a, rfc3484) }
	if a, b := label(sa.Addr) == label(d), label(sb.Addr) == label(d); a != b {
		return a
	}
	// Rule 7.
	if sa.Temporary != sb.Temporary {
		return sa.Temporary != rfc3484
	}
	// Rule 8.
	return commonPrefixLen(sa, d, rfc3484) > commonPrefixLen(sb, d, rfc3484)
}

func deprecated(a rib.Assign) bool {
	return a.Optimistic || a.Deprecated && !netip.MustParsePrefix("::/96").Contains(a.Addr)
}

func scopeOf(a netip.Addr) int {
	switch b := a.As16(); {
	case a.IsMulticast():
		return int(b[1] & 0xf)
	case a.IsLinkLocalUnicast() || a.IsLoopback():
		return 2
	case b[0] == 0xfe && b[1] >= 0xc0:
		return 5
	}
	return 14
}

func labelOf(a netip.Addr, rfc3484 bool) int {
	rows := map[string]int{
		"::1/128": 0, "::/0": 1, "::ffff:0:0/96": 4, "2002::/16": 2, "2001::/32": 5,
		"fc00::/7": 13, "::/96": 3, "fec0::/10": 11, "3ffe::/16": 12,
	}
	if rfc3484 {
		rows = map[string]int{"::1/128": 0, "::/0": 1, "2002::/16": 2, "::/96": 3, "::ffff:0:0/96": 4}
	}
	longest, label := -1, 0
	for row, l := range rows {
		if p := netip.MustParsePrefix(row); p.Contains(a) && p.Bits() > longest {
			longest, label = p.Bits(), l
		}
	}
	return label
}

func commonPrefixLen(s rib.Assign, d netip.Addr, rfc3484 bool) int {
	a, b := s.Addr.As16(), d.As16()
	n := 128
	for i := range 4 {
		x := binary.BigEndian.Uint32(a[4*i:]) ^ binary.BigEndian.Uint32(b[4*i:])
		if x != 0 {
			n = 32*i + bits.LeadingZeros32(x)
			break
		}
	}
	switch {
	case rfc3484:
		return n
	case s.PrefixLen == 0:
		return min(n, 64)
	}
	return min(n, s.PrefixLen)
}
