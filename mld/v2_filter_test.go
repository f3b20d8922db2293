package mld

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// report is the text of a report with the records, none if there is none.
func report(records ...string) []string {
	if len(records) == 0 {
		return nil
	}
	return []string{"fe80::1 > ff02::16 " + strings.Join(records, ", ")}
}

// onlySends drops Joined, Left and Filtered from the texts of actions.
func onlySends(texts []string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return !strings.Contains(s, ">") })
}

// One socket goes from one filter to another: the table of RFC 3810, section
// 6.1. Every report is sent Robustness times.
//
// Spec: RFC 3810, section 6.1, must, MLD2-R02
// Spec: RFC 3810, section 6.1, must, MLD2-R03
func TestMLD2_R02_StateChangeRecords(t *testing.T) {
	const a, b, g = " 2001:db8::a", " 2001:db8::b", " ff02::5"
	for _, c := range []struct {
		from, to Filter
		want     []string
	}{
		{none, none, nil},
		{none, including(sourceA), report("ALLOW" + g + a)},
		{none, all, report("TO_EX" + g)},
		{none, excluding(sourceA), report("TO_EX" + g + a)},
		{including(sourceA), none, report("BLOCK" + g + a)},
		{including(sourceA), including(sourceB), report("ALLOW"+g+b, "BLOCK"+g+a)},
		{including(sourceA), including(sourceB, sourceA), report("ALLOW" + g + b)},
		{including(sourceA), all, report("TO_EX" + g)},
		{including(sourceA), excluding(sourceB), report("TO_EX" + g + b)},
		{including(sourceA), excluding(sourceA), report("TO_EX" + g + a)},
		{all, none, report("TO_IN" + g)},
		{all, including(sourceA), report("TO_IN" + g + a)},
		{all, all, nil},
		{all, excluding(sourceA), report("BLOCK" + g + a)},
		{excluding(sourceA), none, report("TO_IN" + g)},
		{excluding(sourceA), including(sourceB), report("TO_IN" + g + b)},
		{excluding(sourceA), all, report("ALLOW" + g + a)},
		{excluding(sourceA), excluding(sourceB), report("ALLOW"+g+a, "BLOCK"+g+b)},
		{excluding(sourceA), excluding(sourceA), nil},
	} {
		for robustness := 1; robustness <= 3; robustness++ {
			h := newHost(t, Config{Robustness: robustness}, latest)
			h.step(0, set(socket1, c.from))
			h.settle()
			what := filterText(c.from) + " to " + filterText(c.to)
			h.compare(what, onlySends(h.step(time.Minute, set(socket1, c.to))), c.want)
			for i := range robustness - 1 {
				if c.want != nil {
					h.wantNext(time.Minute+time.Duration(i+1)*time.Second, c.want...)
				}
			}
			h.wantQuiet()
		}
	}
}

// slowRecords is the table of RFC 3810, section 6.1.
func slowRecords(from, to Filter) (records []string) {
	record := func(typ string, sources []netip.Addr) {
		s := typ + " ff02::5"
		for _, a := range sources {
			s += " " + a.String()
		}
		records = append(records, s)
	}
	var allow, block []netip.Addr
	for _, s := range someSources {
		switch before, after := from.Accepts(s), to.Accepts(s); {
		case after && !before:
			allow = append(allow, s)
		case before && !after:
			block = append(block, s)
		}
	}
	switch {
	case from.Mode == Include && to.Mode == Exclude:
		record("TO_EX", to.Sources)
		return records
	case from.Mode == Exclude && to.Mode == Include:
		record("TO_IN", to.Sources)
		return records
	}
	if len(allow) > 0 {
		record("ALLOW", allow)
	}
	if len(block) > 0 {
		record("BLOCK", block)
	}
	return records
}

// Of two sockets, the second comes, and then the first changes: the reports are
// of the mergers' difference only.
//
// Spec: RFC 3810, section 4.2, must, MLD2-R02
func TestMLD2_R02_DifferenceOfMergers(t *testing.T) {
	for _, x := range someFilters {
		for _, y := range someFilters {
			for _, z := range someFilters {
				h := newHost(t, Config{Robustness: 1}, latest)
				h.step(0, set(socket1, x))
				xy, zy := slowMerge([]Filter{x, y}), slowMerge([]Filter{z, y})
				h.compare(fmt.Sprintf("%s, then also %s", filterText(x), filterText(y)),
					onlySends(h.step(0, set(socket2, y))), report(slowRecords(x, xy)...))
				h.compare(fmt.Sprintf("%s with %s becomes %s", filterText(x), filterText(y), filterText(z)),
					onlySends(h.step(0, set(socket1, z))), report(slowRecords(xy, zy)...))
				h.wantQuiet()
			}
		}
	}
}

// A change before the repeats of another are done: the filter mode and each
// source have counters of their own.
//
// Spec: RFC 3810, section 6.1, must, MLD2-R04
func TestMLD2_R04_MergedReports(t *testing.T) {
	const a, b, c, g = " 2001:db8::a", " 2001:db8::b", " 2001:db8::c", " ff02::5"
	for _, x := range []struct {
		name       string
		robustness int
		changes    []Filter // 100 ms apart
		want       [][]string
	}{
		{"source after source", 2, []Filter{including(sourceA), including(sourceA, sourceB)}, [][]string{
			report("ALLOW" + g + a), report("ALLOW" + g + a + b), report("ALLOW" + g + b)}},
		{"source there and back", 2, []Filter{including(sourceA), none}, [][]string{
			report("ALLOW" + g + a), report("BLOCK" + g + a), report("BLOCK" + g + a)}},
		{"mode there and back", 2, []Filter{all, none}, [][]string{
			report("TO_EX" + g), report("TO_IN" + g), report("TO_IN" + g)}},
		{"source after mode", 2, []Filter{all, excluding(sourceA)}, [][]string{
			report("TO_EX" + g), report("TO_EX" + g + a), report("BLOCK" + g + a)}},
		{"mode after source", 2, []Filter{including(sourceA), excluding(sourceB)}, [][]string{
			report("ALLOW" + g + a), report("TO_EX" + g + b), report("TO_EX" + g + b)}},
		{"sources after mode", 3, []Filter{all, excluding(sourceA), excluding(sourceB)}, [][]string{
			report("TO_EX" + g), report("TO_EX" + g + a), report("TO_EX" + g + b), report("ALLOW"+g+a, "BLOCK"+g+b), report("ALLOW"+g+a, "BLOCK"+g+b)}},
		{"include after mode", 2, []Filter{all, including(sourceA), including(sourceA, sourceC)}, [][]string{
			report("TO_EX" + g), report("TO_IN" + g + a), report("TO_IN" + g + a + c), report("ALLOW" + g + c)}},
		{"join and leave of all, repeats of both", 3, []Filter{including(sourceA, sourceB), including(sourceB)}, [][]string{
			report("ALLOW" + g + a + b), report("ALLOW"+g+b, "BLOCK"+g+a), report("ALLOW"+g+b, "BLOCK"+g+a), report("BLOCK" + g + a)}},
	} {
		h := newHost(t, Config{Robustness: x.robustness}, latest)
		var got []string
		for i, f := range x.changes {
			got = append(got, onlySends(h.step(time.Duration(i)*100*time.Millisecond, set(socket1, f)))...)
		}
		got = append(got, h.settle()...)
		h.compare(x.name, got, slices.Concat(x.want...))
	}
}

// What the answer to each Query is in each state, and that it tells of the
// state at its time.
//
// Spec: RFC 3810, section 6.3, must, MLD2-R08
// Spec: RFC 3810, section 6.2, must, MLD2-R05
func TestMLD2_R08_AnswersByState(t *testing.T) {
	whole := func(f Filter) (records []string) {
		switch {
		case f.Mode == Exclude:
			return []string{strings.Replace(slowRecords(none, f)[0], "TO_EX", "IS_EX", 1)}
		case len(f.Sources) > 0:
			return []string{strings.Replace(slowRecords(none, f)[0], "ALLOW", "IS_IN", 1)}
		}
		return nil
	}
	about := func(f Filter, sources ...netip.Addr) (records []string) {
		s := "IS_IN ff02::5"
		for _, a := range sources {
			if f.Accepts(a) {
				s += " " + a.String()
			}
		}
		if s == "IS_IN ff02::5" {
			return nil
		}
		return []string{s}
	}
	bc := []netip.Addr{sourceC, sourceB, sourceB}
	for _, q := range []struct {
		name  string
		query Event
		// asked says of a state whether the Query schedules an answer.
		asked  func(Filter) bool
		answer func(Filter) []string
	}{
		{"general", queryV2(noAddr, 10*time.Second), func(f Filter) bool { return !f.wantsNone() }, whole},
		{"group", queryV2(group5, 10*time.Second), func(f Filter) bool { return !f.wantsNone() }, whole},
		{"sources", queryV2(group5, 10*time.Second, bc...), func(f Filter) bool { return f.Accepts(sourceB) || f.Accepts(sourceC) },
			func(f Filter) []string { return about(f, sourceB, sourceC) }},
		{"another group", queryV2(group6, 10*time.Second), func(Filter) bool { return false }, nil},
	} {
		for _, x := range someFilters {
			for _, y := range someFilters {
				h := newHost(t, Config{Robustness: 1}, latest)
				h.step(0, set(socket1, x))
				h.want(time.Minute, q.query)
				what := fmt.Sprintf("%s query in %s that became %s", q.name, filterText(x), filterText(y))
				if _, pending := h.Deadline(); pending != q.asked(x) {
					t.Fatalf("%s: answer pending %v", what, pending)
				}
				// The change is told at once, whatever is pending.
				h.compare(what, onlySends(h.step(time.Minute, set(socket1, y))), report(slowRecords(x, y)...))
				var want []string
				if q.asked(x) && !y.wantsNone() {
					want = report(q.answer(y)...)
				}
				h.compare(what, texts(h.Advance(epoch.Add(70*time.Second))), want)
				h.wantQuiet()
			}
		}
	}
}

// A state that is IS_IN with an empty list is never told of: the group is then
// left.
//
// Spec: RFC 3810, section 5.2.12, must, MLD2-R08
func TestMLD2_R08_NoEmptyInclude(t *testing.T) {
	h := newHost(t, Config{Robustness: 1}, latest)
	h.step(0, set(socket1, including(sourceA)))
	h.step(0, set(socket1, none))
	h.want(0, queryV2(noAddr, time.Second))
	h.want(0, queryV2(group5, time.Second))
	h.want(0, queryV2(group5, time.Second, sourceA))
	h.wantQuiet()
	if len(h.groups) != 0 {
		t.Fatal("kept")
	}
}

// A holder that only listens counts as one for all sources as soon as anybody
// has the group reported.
//
// Spec: RFC 4861, section 7.2.1, MUST NOT, GRP-R03
func TestListenerAndFilter(t *testing.T) {
	h := newHost(t, Config{Robustness: 1}, latest)
	first := address("fe80::5")
	h.want(0, Changes{change(OpListen, group5, first)}, "+ff02::5")
	h.want(0, set(socket1, including(sourceA)), "fe80::1 > ff02::16 TO_EX ff02::5")
	h.want(0, Changes{change(OpListen, group5, socket1)}) // has more than that
	h.want(0, set(socket1, none))
	h.want(0, Changes{change(OpLeave, group5, first)}, "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
	h.want(0, set(socket1, including(sourceA)), "+ff02::5 IN 2001:db8::a", "fe80::1 > ff02::16 ALLOW ff02::5 2001:db8::a")
	h.want(0, Changes{change(OpListen, group5, socket1)})
	if !h.isHeldBy(group5, socket1) || h.Accepts(group5, sourceB) {
		t.Fatal("listening replaced a filter")
	}
	h.want(0, Changes{change(OpListen, group5, first)}, "~ff02::5 EX", "fe80::1 > ff02::16 TO_EX ff02::5")
}

// Spec: RFC 3590, section 4, SHOULD, MLD-R04
func TestMLD_R04_FiltersAreReportedAgain(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, set(socket1, including(sourceA, sourceB)))
	h.step(0, Changes{{OpSet, group6, socket1, excluding(sourceC)}})
	h.settle()
	h.want(time.Minute, set(socket1, including(sourceA)), "~ff02::5 IN 2001:db8::a", "fe80::1 > ff02::16 BLOCK ff02::5 2001:db8::b")
	// What was blocked is still to be repeated.
	h.want(time.Minute, SetLinkLocal{router},
		"fe80::99 > ff02::16 ALLOW ff02::5 2001:db8::a, BLOCK ff02::5 2001:db8::b, TO_EX ff05::6 2001:db8::c")
	h.wantNext(61*time.Second, "fe80::99 > ff02::16 ALLOW ff02::5 2001:db8::a, TO_EX ff05::6 2001:db8::c")
	h.wantQuiet()
	h.want(2*time.Minute, Down{})
	h.want(2*time.Minute, set(socket1, including(sourceC)), "~ff02::5 IN 2001:db8::c")
	h.want(2*time.Minute, Up{}, "fe80::99 > ff02::16 ALLOW ff02::5 2001:db8::c, TO_EX ff05::6 2001:db8::c")
}

// Spec: RFC 3810, section 9.11, must, MLD2-R03
func TestMLD2_R03_UnsolicitedReportInterval(t *testing.T) {
	for version, want := range map[int]string{1: report5, 2: "fe80::1 > ff02::16 TO_EX ff02::5"} {
		h := newHost(t, Config{Version: version, UnsolicitedReportInterval: 3 * time.Second}, latest)
		h.step(0, join(group5))
		h.wantNext(3*time.Second, want)
	}
}

// diary is a group's history: "M" is a change of the filter mode, "R" a report,
// and a source one of its own change. It is how RFC 3810, section 6.1, tells it:
// what is to be reported is what fewer than Robustness reports followed.
type diary struct {
	entries []string
	told    Filter
	last    time.Time // of the last report
}

// reportsSince is how many reports followed the last entry that is what; found
// is false if there is none.
func (d *diary) reportsSince(what func(string) bool) (n int, found bool) {
	for _, e := range slices.Backward(d.entries) {
		switch {
		case e == "R":
			n++
		case what(e):
			return n, true
		}
	}
	return 0, false
}

func (d *diary) pending(robustness int, what func(string) bool) bool {
	n, found := d.reportsSince(what)
	return found && n < robustness
}

// change notes what a change of the group's state is; news is false if it is
// none.
func (d *diary) change(to Filter) (news bool) {
	before := len(d.entries)
	if d.told.Mode != to.Mode {
		d.entries = append(d.entries, "M")
	} else {
		for _, s := range someSources {
			if d.told.Accepts(s) != to.Accepts(s) {
				d.entries = append(d.entries, s.String())
			}
		}
	}
	d.told = to
	return len(d.entries) > before
}

// records is the report that is due.
func (d *diary) records(robustness int, group netip.Addr) (records []string) {
	list := func(typ string, is func(netip.Addr) bool) string {
		s, n := typ+" "+group.String(), 0
		for _, a := range someSources {
			if is(a) {
				s += " " + a.String()
				n++
			}
		}
		if n == 0 && (typ == "ALLOW" || typ == "BLOCK") {
			return ""
		}
		return s
	}
	retransmitted := func(a netip.Addr) bool {
		return d.pending(robustness, func(e string) bool { return e == a.String() })
	}
	switch {
	case d.pending(robustness, func(e string) bool { return e == "M" }) && d.told.Mode == Include:
		records = append(records, list("TO_IN", d.told.Accepts))
	case d.pending(robustness, func(e string) bool { return e == "M" }):
		records = append(records, list("TO_EX", func(a netip.Addr) bool { return !d.told.Accepts(a) }))
	default:
		records = append(records,
			list("ALLOW", func(a netip.Addr) bool { return retransmitted(a) && d.told.Accepts(a) }),
			list("BLOCK", func(a netip.Addr) bool { return retransmitted(a) && !d.told.Accepts(a) }))
	}
	return slices.DeleteFunc(records, func(s string) bool { return s == "" })
}

// Every State Change Report, at once or repeated, is what the diary of its
// group says; each comes in time, and after Robustness of them all is quiet.
//
// Spec: RFC 3810, section 6.1, must, MLD2-R04
// Spec: RFC 3810, section 9.1, must, MLD2-R03
func TestMLD2_R04_ReportsByTheDiary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		robustness := rapid.IntRange(1, 4).Draw(t, "robustness")
		m := New(Config{Robustness: robustness}, choice(func(lo, hi time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(int64(lo), int64(hi)).Draw(t, "chance"))
		}))
		m.Step(epoch, Up{})
		groups := []netip.Addr{group5, group6, groupN(1)}
		diaries := map[netip.Addr]*diary{}
		filters := map[netip.Addr]map[Holder]Filter{}
		for _, g := range groups {
			diaries[g], filters[g] = &diary{}, map[Holder]Filter{}
		}
		now := epoch
		// hear compares the records of the groups with their diaries.
		hear := func(actions []Action) (heard map[netip.Addr]bool) {
			got, heard := map[netip.Addr][]string{}, map[netip.Addr]bool{}
			for _, a := range actions {
				if send, ok := a.(Send); ok {
					for _, r := range send.Message.(*ReportV2).Records {
						got[r.Group] = append(got[r.Group], messageText(&ReportV2{[]Record{r}}))
					}
				}
			}
			for g, records := range got {
				d := diaries[g]
				if want := d.records(robustness, g); !slices.Equal(records, want) {
					t.Fatalf("reported %q, want %q", records, want)
				}
				d.entries, d.last = append(d.entries, "R"), now
				heard[g] = true
			}
			return heard
		}
		wait := func(until time.Time) {
			for {
				deadline, ok := m.Deadline()
				if !ok || deadline.After(until) {
					break
				}
				now = deadline
				hear(m.Advance(now))
			}
			now = until
			for g, d := range diaries {
				if d.pending(robustness, func(e string) bool { return e != "R" }) && now.Sub(d.last) > time.Second {
					t.Fatalf("%v: no report after %v", g, now.Sub(d.last))
				}
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			wait(now.Add(rapid.SampledFrom([]time.Duration{0, time.Nanosecond, 300 * time.Millisecond, 2 * time.Second}).Draw(t, "time")))
			var changes Changes
			touched := map[netip.Addr]bool{}
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				c := Change{OpSet, rapid.SampledFrom(groups).Draw(t, "group"), rapid.SampledFrom(someHolders).Draw(t, "holder"), rapid.SampledFrom(someFilters).Draw(t, "filter")}
				changes, touched[c.Group] = append(changes, c), true
				if filters[c.Group][c.Holder] = c.Filter; c.ends() {
					delete(filters[c.Group], c.Holder)
				}
			}
			news := map[netip.Addr]bool{}
			for g := range touched {
				var list []Filter
				for _, f := range filters[g] {
					list = append(list, f)
				}
				news[g] = diaries[g].change(slowMerge(list))
			}
			heard := hear(m.Step(now, changes))
			for _, g := range groups {
				if heard[g] != news[g] {
					t.Fatalf("%v: reported %v, changed %v", g, heard[g], news[g])
				}
			}
		}
		wait(now.Add(time.Minute))
		if _, ok := m.Deadline(); ok {
			t.Fatal("not quiet after a minute")
		}
		for g, d := range diaries {
			if d.pending(robustness, func(e string) bool { return e != "R" }) {
				t.Fatalf("%v: %d reports too few", g, robustness)
			}
		}
	})
}
