package mld

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

const (
	report5 = "fe80::1 > ff02::5 report ff02::5"
	report6 = "fe80::1 > ff05::6 report ff05::6"
	done5   = "fe80::1 > ff02::2 done ff02::5"
)

// Spec: RFC 2710, section 4, should, MLD1-R01
// Spec: RFC 2710, section 4, SHOULD, MLD1-R05
// Spec: RFC 2710, section 4, SHOULD, GRP-R06
func TestMLD1_R01_JoinAndLeave(t *testing.T) {
	var windows []time.Duration
	for robustness := 1; robustness <= 3; robustness++ {
		h := newHost(t, Config{Version: 1, Robustness: robustness}, func(lo, hi time.Duration) time.Duration {
			windows = append(windows, lo, hi)
			return hi
		})
		h.want(0, join(group5, group6), "+ff02::5", "+ff05::6", report5, report6)
		for i := 1; i < robustness; i++ {
			h.wantNext(time.Duration(i)*10*time.Second, report5, report6)
		}
		h.wantQuiet()
		h.want(time.Minute, leave(group5), "-ff02::5", done5)
		h.wantQuiet()
	}
	for i, w := range windows {
		if want := 10 * time.Second * time.Duration(i%2); w != want {
			t.Fatalf("drawn from %v, want [0, 10s]", windows)
		}
	}
}

func TestLeaveWhileDelayingV1(t *testing.T) {
	h := newHost(t, Config{Version: 1}, latest)
	h.step(0, join(group5))
	h.want(time.Second, leave(group5), "-ff02::5", done5)
	h.wantQuiet()
}

// Spec: RFC 2710, section 4, must, MLD1-R02
func TestMLD1_R02_GeneralQuery(t *testing.T) {
	n := time.Duration(0)
	h := newHost(t, Config{Version: 1, Robustness: 1}, func(lo, hi time.Duration) time.Duration {
		if lo != 0 {
			t.Fatalf("drawn from %v", lo)
		}
		n++
		return hi - n*time.Second
	})
	h.step(0, join(group5, group6, allNodes))
	h.want(0, queryV1(noAddr, 10*time.Second))
	h.wantNext(8*time.Second, report6)
	h.wantNext(9*time.Second, report5)
	h.wantQuiet()
	h.want(time.Minute, queryV1(noAddr, 0), report5, report6)
	h.wantQuiet()
}

// "it is reset to the new random value only if the requested Maximum Response
// Delay is less than the remaining value of the running timer."
//
// Spec: RFC 2710, section 4, must, MLD1-R02
func TestMLD1_R02_TimerIsResetOnlyToLess(t *testing.T) {
	draw := latest
	h := newHost(t, Config{Version: 1, Robustness: 1}, func(lo, hi time.Duration) time.Duration { return draw(lo, hi) })
	h.step(0, join(group5))
	h.want(0, queryV1(noAddr, 10*time.Second))
	draw = middle
	h.want(time.Second, queryV1(noAddr, 9*time.Second)) // equal to the rest
	h.want(time.Second, queryV1(noAddr, 10*time.Second))
	h.want(5*time.Second, queryV1(group5, 4*time.Second)) // less than the rest
	h.wantNext(7*time.Second, report5)
	h.wantQuiet()
	h.want(time.Minute, queryV1(noAddr, 10*time.Second))
	h.want(time.Minute, queryV1(noAddr, 0), report5)
	h.wantQuiet()
}

// Spec: RFC 2710, section 4, must, MLD1-R03
func TestMLD1_R03_GroupQuery(t *testing.T) {
	h := newHost(t, Config{Version: 1, Robustness: 1}, latest)
	h.step(0, join(group5, group6))
	h.want(0, queryV1(group6, 10*time.Second))
	h.want(0, queryV1(groupN(1), 10*time.Second))
	h.wantNext(10*time.Second, report6)
	h.wantQuiet()
}

// Spec: RFC 2710, section 4, must, MLD1-R04
// Spec: RFC 2710, section 4, MAY, MLD1-R05
func TestMLD1_R04_Suppression(t *testing.T) {
	for _, alwaysDone := range []bool{false, true} {
		h := newHost(t, Config{Version: 1, AlwaysDone: alwaysDone}, latest)
		h.want(0, join(group5, group6), "+ff02::5", "+ff05::6", report5, report6)
		h.want(time.Second, from(router, &ReportV1{group5}))
		h.wantNext(10*time.Second, report6)
		h.wantQuiet()
		done := []string{"-ff02::5", done5}
		if !alwaysDone {
			done = done[:1]
		}
		h.want(time.Minute, leave(group5), done...)
		h.want(time.Minute, leave(group6), "-ff05::6", "fe80::1 > ff02::2 done ff05::6")
	}
}

// What was suppressed is not repeated later.
//
// Spec: RFC 2710, section 5, must, MLD1-R04
func TestMLD1_R04_SuppressionEndsRepeats(t *testing.T) {
	h := newHost(t, Config{Version: 1, Robustness: 4}, latest)
	h.step(0, join(group5))
	h.want(0, from(router, &ReportV1{group5}))
	h.want(0, queryV1(noAddr, time.Second))
	h.wantNext(time.Second, report5)
	h.wantQuiet()
}

// A Report after the suppression makes this node the last reporter again.
//
// Spec: RFC 2710, section 5, must, MLD1-R05
func TestMLD1_R05_LastReporterAgain(t *testing.T) {
	h := newHost(t, Config{Version: 1}, latest)
	h.step(0, join(group5))
	h.want(0, from(router, &ReportV1{group5}))
	h.want(0, queryV1(noAddr, time.Second))
	h.wantNext(time.Second, report5)
	// A Report with no timer running is ignored (RFC 2710, section 5).
	h.want(time.Minute, from(router, &ReportV1{group5}))
	h.want(time.Minute, leave(group5), "-ff02::5", done5)
}

// Spec: RFC 2710, section 5, must, MLD1-R04
func TestMLD1_R04_ReportsThatDoNotSuppress(t *testing.T) {
	h := newHost(t, Config{Version: 1}, latest)
	h.step(0, join(group5))
	h.want(0, from(noAddr, &ReportV1{group5})) // not link-local
	h.want(0, from(ownLL, &ReportV1{group5}))  // our own, come back
	h.want(0, from(router, &ReportV1{group6}))
	h.want(0, from(router, &DoneV1{group5}))
	h.want(0, from(router, &ReportV2{[]Record{{Type: ModeIsExclude, Group: group5}}}))
	h.wantNext(10*time.Second, report5)
}

// Spec: RFC 3590, section 4, must, MLD-R03
// Spec: RFC 3590, section 4, SHOULD, MLD-R04
func TestMLD_R04_LinkLocalBecomesValidV1(t *testing.T) {
	h := &host{t, New(Config{Version: 1}, choice(latest))}
	h.want(0, join(group5), "+ff02::5")
	h.want(0, Up{}, ":: > ff02::5 report ff02::5")
	h.want(5*time.Second, SetLinkLocal{ownLL}, report5)
	h.wantNext(15*time.Second, report5)
	h.wantQuiet()
	h.want(time.Minute, SetLinkLocal{noAddr})
	h.want(time.Minute, leave(group5), "-ff02::5", ":: > ff02::2 done ff02::5")
}

// Spec: RFC 8504, section 5.11, MUST, MLD-R10
func TestMLD_R10_StartMode(t *testing.T) {
	for version, want := range map[int]int{0: 2, 1: 1, 2: 2} {
		if got := New(Config{Version: version}, choice(latest)).Version(); got != want {
			t.Errorf("Config.Version %d starts in %d, want %d", version, got, want)
		}
	}
}

// A node that speaks MLDv1 only takes a longer Query for one of its own, with
// the delay linear, and stays so.
//
// Spec: RFC 2710, section 3.7, MUST, MLD-R08
func TestMLDv1OnlyAndLongerQueries(t *testing.T) {
	h := newHost(t, Config{Version: 1, Robustness: 1}, latest)
	h.step(0, join(group5))
	h.want(0, queryV2(noAddr, 65536*time.Millisecond)) // Maximum Response Code 0x9000
	h.wantNext(36864*time.Millisecond, report5)
	h.want(time.Hour, queryV2(group5, time.Second, sourceA))
	h.wantNext(time.Hour+time.Second, report5)
	h.want(2*time.Hour, queryV1(group5, time.Second))
	h.wantNext(2*time.Hour+time.Second, report5)
	h.wantQuiet()
}

// Spec: RFC 3810, section 8.2.1, MUST, MLD2-R10
func TestMLD2_R10_CompatibilityMode(t *testing.T) {
	h := newHost(t, Config{Robustness: 1}, latest)
	h.step(0, join(group5))
	h.want(0, queryV1(noAddr, 10*time.Second))
	if h.Version() != 1 {
		t.Fatal("not in MLDv1 compatibility mode")
	}
	h.wantNext(10*time.Second, report5)
	h.want(20*time.Second, join(group6), "+ff05::6", report6)
	// A Query of version 2 neither ends nor prolongs it.
	h.want(30*time.Second, queryV2(noAddr, time.Second))
	h.wantNext(31*time.Second, report5, report6)
	// Another of version 1 prolongs it: 1 * 125 s + 1 s from here.
	h.want(100*time.Second, queryV1(group5, 36864*time.Millisecond)) // linear
	h.wantNext(136864*time.Millisecond, report5)
	h.want(200*time.Second, leave(group5), "-ff02::5", done5)
	h.wantNext(226 * time.Second)
	if h.Version() != 2 {
		t.Fatal("not back to MLDv2")
	}
	h.wantQuiet()
	h.want(300*time.Second, leave(group6), "-ff05::6", "fe80::1 > ff02::16 TO_IN ff05::6")
}

// The Query Interval and the Query Response Interval are those of the last
// Queries that had them.
//
// Spec: RFC 3810, section 9.12, MUST, MLD2-R10
func TestMLD2_R10_OlderVersionQuerierPresentTimeout(t *testing.T) {
	withInterval := queryV2(noAddr, 4*time.Second)
	withInterval.Message.(*Query).QQI = 60 * time.Second
	for _, c := range []struct {
		name       string
		robustness int
		queries    []Event
		want       time.Duration
	}{
		{"defaults", 0, []Event{queryV1(group5, time.Second)}, 260 * time.Second},
		{"general", 0, []Event{queryV1(noAddr, time.Second)}, 251 * time.Second},
		{"robustness", 3, []Event{queryV1(group5, time.Second)}, 385 * time.Second},
		{"of version 2 before", 0, []Event{withInterval, queryV1(group5, time.Second)}, 124 * time.Second},
		{"of version 2 before, general", 0, []Event{withInterval, queryV1(noAddr, 9*time.Second)}, 129 * time.Second},
		{"of version 2 without interval", 0, []Event{withInterval, queryV2(noAddr, 5*time.Second), queryV1(group5, 0)}, 125 * time.Second},
		{"of another link", 0, []Event{withInterval, Down{}, Up{}, queryV1(group5, 0)}, 260 * time.Second},
	} {
		h := newHost(t, Config{Robustness: c.robustness}, latest)
		for _, q := range c.queries {
			h.want(0, q)
		}
		if h.Version() != 1 {
			t.Fatalf("%s: not in MLDv1 compatibility mode", c.name)
		}
		h.wantNext(c.want)
		if h.Version() != 2 {
			t.Fatalf("%s: not back to MLDv2", c.name)
		}
	}
}

// A forged Query of version 1 does nothing to one who ignores it.
func TestMLD2_R10_IgnoreV1(t *testing.T) {
	h := newHost(t, Config{IgnoreV1: true, Robustness: 1}, latest)
	h.step(0, join(group5))
	h.want(0, queryV1(noAddr, 0))
	h.want(0, queryV1(group5, time.Second))
	h.wantQuiet()
	if c := h.Counters(); h.Version() != 2 || c.QueriesIgnored != 2 || c.QueriesReceived != 2 {
		t.Fatalf("version %d, %+v", h.Version(), c)
	}
	h.want(0, queryV2(noAddr, time.Second))
	h.wantNext(time.Second, "fe80::1 > ff02::16 IS_EX ff02::5")
	// It is MLDv2's: one who speaks version 1 only has nothing else to hear.
	h = newHost(t, Config{IgnoreV1: true, Version: 1, Robustness: 1}, latest)
	h.step(0, join(group5))
	h.want(0, queryV1(noAddr, 0), report5)
}

// Version 1 reports a group whatever its filter, and not the filter, which
// keeps its effect here.
//
// Spec: RFC 3810, section 8.2.1, MUST, MLD2-R10
func TestMLD2_R10_FiltersInVersion1(t *testing.T) {
	h := newHost(t, Config{Version: 1, Robustness: 1}, latest)
	h.want(0, set(socket1, including(sourceA)), "+ff02::5 IN 2001:db8::a", report5)
	h.want(0, set(socket1, including(sourceB)), "~ff02::5 IN 2001:db8::b")
	h.want(0, set(socket1, excluding(sourceA)), "~ff02::5 EX 2001:db8::a")
	if h.Accepts(group5, sourceA) || !h.Accepts(group5, sourceB) {
		t.Fatal("the filter has no effect")
	}
	h.want(0, queryV1(noAddr, 0), report5)
	h.want(0, queryV2(group5, time.Second, sourceA))
	h.wantNext(time.Second, report5)
	h.want(time.Minute, set(socket1, none), "-ff02::5", done5)
	h.wantQuiet()
}

// What changed meanwhile is told when MLDv2 is asked again.
func TestFiltersAcrossCompatibilityMode(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, set(socket1, including(sourceA)))
	h.want(0, queryV1(groupN(1), time.Second))
	h.want(100*time.Second, set(socket1, including(sourceB)), "~ff02::5 IN 2001:db8::b")
	h.wantNext(260 * time.Second)
	h.wantQuiet()
	h.want(300*time.Second, queryV2(noAddr, time.Second))
	h.wantNext(301*time.Second, "fe80::1 > ff02::16 IS_IN ff02::5 2001:db8::b")
	h.want(310*time.Second, set(socket1, including(sourceC)), "~ff02::5 IN 2001:db8::c",
		"fe80::1 > ff02::16 ALLOW ff02::5 2001:db8::c, BLOCK ff02::5 2001:db8::b")
}

// A Report of version 1 would ask for all sources of a source-specific group.
func TestSourceSpecificGroupsInVersion1(t *testing.T) {
	group := netip.MustParseAddr("ff3e::8000:1")
	h := newHost(t, Config{Version: 1, Robustness: 1}, latest)
	h.want(0, Changes{{OpSet, group, socket1, including(sourceA)}}, "+ff3e::8000:1 IN 2001:db8::a")
	h.want(0, queryV1(noAddr, 0))
	h.want(0, queryV1(group, 0))
	h.want(0, from(router, &ReportV1{group}))
	h.want(0, leave(group), "-ff3e::8000:1")
	h.wantQuiet()
}

// Spec: RFC 3810, section 8.2.1, must, MLD2-R11
func TestMLD2_R11_ModeChangeCancels(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5, group6))
	h.step(0, leave(group6))
	h.want(0, queryV2(noAddr, time.Second))
	h.want(0, queryV2(group5, time.Second, sourceA))
	// To MLDv1: what is left is the answer to this Query, and the mode's end.
	h.want(0, queryV1(groupN(1), time.Second))
	h.wantNext(251 * time.Second)
	if got, want := h.Groups(), []Group{{Addr: group5, Filter: all, Holders: []Holder{socket1}}}; !reflect.DeepEqual(got, want) {
		t.Fatalf("memberships are %v, want %v", got, want)
	}
	if len(h.groups) != 1 {
		t.Fatal("a group that was left is kept")
	}
	// And back.
	h.want(300*time.Second, queryV1(group5, time.Second))
	h.want(301*time.Second, queryV1(groupN(1), time.Second), report5)
	h.want(549*time.Second, join(group6), "+ff05::6", report6)
	h.want(549*time.Second, queryV2(group5, 10*time.Second))
	h.wantNext(552 * time.Second)
	h.wantQuiet()
}

// Nothing of an earlier time in MLDv1 mode lasts into the next.
//
// Spec: RFC 3810, section 8.2.1, must, MLD2-R11
func TestMLD2_R11_ModesDoNotMix(t *testing.T) {
	h := newHost(t, Config{Robustness: 4}, latest)
	h.want(0, queryV1(groupN(1), 0))
	h.step(505*time.Second, join(group5, group6)) // 510 s is the end of the mode
	h.want(506*time.Second, from(router, &ReportV1{group6}))
	h.wantNext(510 * time.Second)
	h.want(600*time.Second, queryV1(group5, time.Second))
	h.wantNext(601*time.Second, report5) // and no unsolicited repeats
	h.want(700*time.Second, leave(group6), "-ff05::6", "fe80::1 > ff02::2 done ff05::6")
	h.wantNext(1110 * time.Second)
}

// A link that comes up anew may be another one, with other routers.
func TestDownEndsCompatibilityMode(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5))
	h.want(0, queryV1(noAddr, time.Second))
	h.want(0, Down{})
	h.wantQuiet()
	h.want(0, Up{}, "fe80::1 > ff02::16 TO_EX ff02::5")
}
