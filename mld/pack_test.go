package mld

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// shape writes reports like "TO_EX 89 | ALLOW 3, BLOCK 2": the types of their
// records and how many sources each has.
func shape(reports [][]Record) string {
	var all []string
	for _, report := range reports {
		var records []string
		for _, r := range report {
			records = append(records, fmt.Sprint(r.Type, " ", len(r.Sources)))
		}
		all = append(all, strings.Join(records, ", "))
	}
	return strings.Join(all, " | ")
}

// On a link with an MTU of 1500, a report has room for a record of 89 sources.
//
// Spec: RFC 3810, section 5.2.15, must, MLD2-R09
func TestMLD2_R09_RecordsSplitOrCut(t *testing.T) {
	record := func(typ RecordType, n int) Record { return Record{typ, group5, addrsN(n)} }
	for _, c := range []struct {
		records []Record
		want    string
	}{
		{[]Record{record(AllowNewSources, 89)}, "ALLOW 89"},
		{[]Record{record(AllowNewSources, 90)}, "ALLOW 89 | ALLOW 1"},
		{[]Record{record(BlockOldSources, 200)}, "BLOCK 89 | BLOCK 89 | BLOCK 22"},
		{[]Record{record(ChangeToIncludeMode, 90)}, "TO_IN 89 | TO_IN 1"},
		{[]Record{record(ModeIsInclude, 178)}, "IS_IN 89 | IS_IN 89"},
		{[]Record{record(ModeIsExclude, 90)}, "IS_EX 89"},
		{[]Record{record(ChangeToExcludeMode, 200)}, "TO_EX 89"},
		// What follows is in the same packet if it fits.
		{[]Record{record(AllowNewSources, 90), record(BlockOldSources, 90)}, "ALLOW 89 | ALLOW 1, BLOCK 86 | BLOCK 4"},
		{[]Record{record(AllowNewSources, 45), record(BlockOldSources, 45)}, "ALLOW 45 | BLOCK 45"},
		{[]Record{record(ModeIsExclude, 0), record(ModeIsExclude, 90), record(ModeIsExclude, 0)}, "IS_EX 0 | IS_EX 89 | IS_EX 0"},
		{[]Record{record(ModeIsExclude, 88), record(ModeIsInclude, 90)}, "IS_EX 88 | IS_IN 89 | IS_IN 1"},
		{[]Record{record(AllowNewSources, 86), record(BlockOldSources, 90)}, "ALLOW 86, BLOCK 1 | BLOCK 89"},
		{nil, ""},
	} {
		if got := shape(pack(c.records, 1500-lenIPv6AndOptions-lenReportV2)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", shape([][]Record{c.records}), got, c.want)
		}
	}
}

// A record that fills the rest to the last octet fits.
//
// Spec: RFC 3810, section 5.2.15, must, MLD2-R09
func TestMLD2_R09_ExactFit(t *testing.T) {
	records := []Record{{ModeIsInclude, group5, addrsN(37)}, {ModeIsExclude, group6, addrsN(37)}}
	if got := shape(pack(records, 1280-lenIPv6AndOptions-lenReportV2)); got != "IS_IN 37, IS_EX 37" {
		t.Error(got)
	}
}

// Whatever is packed: no report is too long, none is empty, a list is split
// only if no report could hold it, its parts are in reports of their own, and
// together they are the list, or its beginning.
//
// Spec: RFC 3810, section 5.2.15, must, MLD2-R09
func TestMLD2_R09_PackKeepsEverySource(t *testing.T) {
	const room = lenRecord + 5*lenAddr
	rapid.Check(t, func(t *rapid.T) {
		var records []Record
		for i := range rapid.IntRange(0, 20).Draw(t, "records") {
			typ := RecordType(rapid.IntRange(1, 6).Draw(t, "type"))
			records = append(records, Record{typ, groupN(i), addrsN(rapid.IntRange(0, 12).Draw(t, "sources"))})
		}
		got := map[netip.Addr][]netip.Addr{}
		for _, report := range pack(records, room) {
			octets := 0
			inThis := map[netip.Addr]bool{}
			for _, r := range report {
				octets += r.size()
				if inThis[r.Group] {
					t.Fatalf("two parts of %v in one report", r.Group)
				}
				inThis[r.Group] = true
				if _, ok := got[r.Group]; ok && len(r.Sources) == 0 {
					t.Fatal("an empty part")
				}
				got[r.Group] = append(got[r.Group], r.Sources...)
			}
			if len(report) == 0 || octets > room {
				t.Fatalf("a report with %d octets, room for %d", octets, room)
			}
		}
		for _, r := range records {
			want := r.Sources
			if r.Type == ModeIsExclude || r.Type == ChangeToExcludeMode {
				want = want[:min(len(want), 5)]
			}
			sources, ok := got[r.Group]
			if diff := cmp.Diff(append([]netip.Addr{}, want...), append([]netip.Addr{}, sources...), compareAddrs); !ok || diff != "" {
				t.Fatalf("%v %v (-want +got):\n%s", r.Type, ok, diff)
			}
		}
	})
}

// The same on the wire: 90 sources on a link with an MTU of 1500.
//
// Spec: RFC 3810, section 5.2.15, must, MLD2-R09
func TestMLD2_R09_ManySources(t *testing.T) {
	sources := addrsN(180)
	for _, c := range []struct {
		name          string
		before, after Filter
		want          string
	}{
		{"allow in include", including(sources[90]), including(sources[:91]...), "ALLOW 89 | ALLOW 1"},
		{"block in include", including(sources[:91]...), including(sources[90]), "BLOCK 89 | BLOCK 1"},
		{"both in include", including(sources[:90]...), including(sources[90:]...), "ALLOW 89 | ALLOW 1, BLOCK 86 | BLOCK 4"},
		{"allow in exclude", excluding(sources[:90]...), all, "ALLOW 89 | ALLOW 1"},
		{"block in exclude", all, excluding(sources[:90]...), "BLOCK 89 | BLOCK 1"},
		{"to exclude", none, excluding(sources[:90]...), "TO_EX 89"},
		{"to include", all, including(sources[:90]...), "TO_IN 89 | TO_IN 1"},
	} {
		h := newHost(t, Config{}, latest)
		h.step(0, set(socket1, c.before))
		h.settle()
		check := func(what string, actions []Action, want string) {
			t.Helper()
			var reports [][]Record
			for _, a := range actions {
				if send, ok := a.(Send); ok {
					reports = append(reports, send.Message.(*ReportV2).Records)
					if octets := lenIPv6AndOptions + len(Append(nil, send.Src, send.Dst, send.Message)); octets > 1500 {
						t.Errorf("%s: %d octets", c.name, octets)
					}
				}
			}
			if got := shape(reports); got != want {
				t.Errorf("%s, %s: %s, want %s", c.name, what, got, want)
			}
		}
		check("at once", h.Step(epoch.Add(time.Minute), set(socket1, c.after)), c.want)
		check("repeat", h.Advance(epoch.Add(time.Minute+time.Second)), c.want)
		h.wantQuiet()
		answer := map[string]string{
			"allow in include": "IS_IN 89 | IS_IN 2", "block in include": "IS_IN 1", "both in include": "IS_IN 89 | IS_IN 1",
			"to include": "IS_IN 89 | IS_IN 1", "allow in exclude": "IS_EX 0", "block in exclude": "IS_EX 89", "to exclude": "IS_EX 89",
		}[c.name]
		for i, q := range []Event{queryV2(noAddr, time.Second), queryV2(group5, time.Second)} {
			at := time.Duration(i+1) * time.Hour
			h.step(at, q)
			check("answer", h.Advance(epoch.Add(at+time.Second)), answer)
		}
	}
}

// All changes of one call are packed together, also those with sources, and
// repeated a packet at a time.
//
// Spec: RFC 3810, section 5.2.15, must, MLD2-R09
func TestChangesArePackedTogether(t *testing.T) {
	h := newHost(t, Config{}, scripted())
	var changes Changes
	for _, g := range groupsN(10_000) {
		changes = append(changes, change(OpJoin, g, socket1))
	}
	reports := func(actions []Action) (n int) {
		for _, a := range actions {
			if _, ok := a.(Send); ok {
				n++
			}
		}
		return n
	}
	if got, want := reports(h.Step(epoch, changes)), (10_000+71)/72; got != want {
		t.Errorf("%d reports for 10,000 groups, want %d", got, want)
	}
	total := 0
	for {
		deadline, ok := h.Deadline()
		if !ok {
			break
		}
		if at := deadline.Sub(epoch); at <= 0 || at > time.Second {
			t.Fatalf("a repeat after %v", at)
		}
		n := reports(h.Advance(deadline))
		if total += n; n > 3 {
			t.Errorf("%d reports at once", n)
		}
	}
	if want := (10_000 + 71) / 72; total != want {
		t.Errorf("%d repeats, want %d", total, want)
	}
	// 40 records of one source each fit in a report, however they begin.
	for n, f := range []Filter{including(sourceA), excluding(sourceA)} {
		changes = changes[:0]
		for i := range 100 {
			changes = append(changes, Change{OpSet, groupN((n+2)*10_000 + i), socket1, f})
		}
		if got := reports(h.Step(epoch.Add(time.Duration(n+1)*time.Hour), changes)); got != 3 {
			t.Errorf("%d reports for 100 groups with a source each, want 3", got)
		}
		for range 3 {
			deadline, _ := h.Deadline()
			if n := reports(h.Advance(deadline)); n != 1 {
				t.Errorf("%d repeats at once", n)
			}
		}
		h.wantQuiet()
	}
}

// Config.Burst holds back what a new link-local address has reported again,
// and nothing else.
//
// Spec: RFC 3590, section 4, SHOULD, MLD-R04
func TestBurst(t *testing.T) {
	count := func(actions []Action) (n int) {
		for _, a := range actions {
			if send, ok := a.(Send); ok {
				switch message := send.Message.(type) {
				case *ReportV1:
					n++
				case *ReportV2:
					n += len(message.Records)
				}
			}
		}
		return n
	}
	for version, burst := range map[int]int{2: 2, 1: 144} { // 144 groups at a time, in 2 reports or 144
		h := newHost(t, Config{Version: version, Burst: burst, Gap: 20 * time.Second}, latest)
		if got := count(h.Step(epoch, join(groupsN(300)...))); got != 300 {
			t.Fatalf("MLDv%d: %d of 300 new groups reported at once", version, got)
		}
		h.settle()
		var got []int
		got = append(got, count(h.Step(epoch.Add(time.Minute), SetLinkLocal{router})))
		for at := 70 * time.Second; at <= 120*time.Second; at += 10 * time.Second {
			got = append(got, count(h.Advance(epoch.Add(at))))
		}
		// At once and after every gap; the repeats come 1 s or 10 s later.
		if want := []int{144, 144, 144, 144, 12, 12, 0}; !cmp.Equal(got, want) {
			t.Errorf("MLDv%d: groups reported at 60 s, 70 s … 120 s: %v, want %v", version, got, want)
		}
		h.wantQuiet()
		h.step(time.Hour, Down{})
		if got := count(h.Step(epoch.Add(time.Hour), Up{})); got != 300 {
			t.Errorf("MLDv%d: %d of 300 groups reported when the link came up", version, got)
		}
	}
}
