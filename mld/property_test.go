package mld

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// model is what a Machine is for, without any thought of how: who holds what,
// what a router or switch that hears the reports believes, and by when it must
// have its answers.
type model struct {
	t       *rapid.T
	m       *Machine
	now     time.Time
	lossy   bool
	filters []Filter // of OpSet; none: there is no OpSet
	up      bool
	source  netip.Addr
	holders map[netip.Addr]map[Holder]Filter
	wanted  map[netip.Addr]bool // OpJoin or OpSet was among the operations since the first hold

	believed map[netip.Addr]Filter    // by the network
	lost     map[news]int             // reports lost since then
	owed     map[netip.Addr]time.Time // the latest time of an answer
}

// news is of one source of a group, or, with the zero source, of its mode.
type news struct{ group, source netip.Addr }

// reported is what the network is to be told.
func (w *model) reported() map[netip.Addr]Filter {
	all := map[netip.Addr]Filter{}
	for a := range w.wanted {
		if a != allNodes && a.As16()[1]&0xf > 1 {
			all[a] = w.merged(a)
		}
	}
	return all
}

func (w *model) merged(a netip.Addr) Filter {
	return slowMerge(slices.Collect(maps.Values(w.holders[a])))
}

// change applies changes to the model and returns what becomes of the receive
// filter.
func (w *model) change(changes Changes) (opened, closed map[netip.Addr]bool) {
	heldBefore, toldBefore := w.held(), w.reported()
	for _, c := range changes {
		if c.ends() {
			delete(w.holders[c.Group], c.Holder)
			continue
		}
		if w.holders[c.Group] == nil {
			w.holders[c.Group] = map[Holder]Filter{}
		}
		if _, held := w.holders[c.Group][c.Holder]; !held || c.Op != OpListen {
			w.holders[c.Group][c.Holder] = c.filter()
		}
		if c.Op != OpListen {
			w.wanted[c.Group] = true
		}
	}
	for a, holders := range w.holders {
		if len(holders) == 0 {
			delete(w.holders, a)
			delete(w.wanted, a)
		}
	}
	held, told := w.held(), w.reported()
	for _, c := range changes {
		before, after := toldBefore[c.Group], told[c.Group]
		if before.wantsNone() || after.wantsNone() {
			delete(w.owed, c.Group)
		}
		for _, s := range append(someSources, netip.Addr{}) {
			if before.Mode != after.Mode || s.IsValid() && before.Accepts(s) != after.Accepts(s) {
				delete(w.lost, news{c.Group, s})
			}
		}
	}
	return without(held, heldBefore), without(heldBefore, held)
}

func (w *model) held() map[netip.Addr]bool {
	held := map[netip.Addr]bool{}
	for a := range w.holders {
		held[a] = true
	}
	return held
}

func without(a, b map[netip.Addr]bool) map[netip.Addr]bool {
	rest := map[netip.Addr]bool{}
	for k := range a {
		if !b[k] {
			rest[k] = true
		}
	}
	return rest
}

// query notes that every group concerned owes an answer.
func (w *model) query(q *Query) {
	if !w.up || len(q.Sources) > 0 {
		return
	}
	by := w.now.Add(max(q.MaxResponseDelay, time.Millisecond))
	for a := range w.reported() {
		if due, ok := w.owed[a]; (q.Group.IsUnspecified() || q.Group == a) && (!ok || by.Before(due)) {
			w.owed[a] = by
		}
	}
}

// hear is the network receiving what the Machine sends at the time at, or
// losing it.
func (w *model) hear(at time.Time, actions []Action) {
	for _, action := range actions {
		send, ok := action.(Send)
		if !ok {
			continue
		}
		if !w.up {
			w.t.Fatalf("%s sent while down", text(send))
		}
		if send.Src != w.source {
			w.t.Fatalf("%s not from %v", text(send), w.source)
		}
		told := recordsOf(send)
		for _, r := range told {
			state, joined := w.reported()[r.Group]
			by, ok := w.owed[r.Group]
			if answer := (Filter{FilterMode(r.Type - ModeIsInclude), r.Sources}); ok && !at.After(by) && r.Type <= ModeIsExclude && w.answers(answer, state) {
				delete(w.owed, r.Group)
			}
			if !joined && r.Type != ChangeToIncludeMode && r.Type != BlockOldSources {
				w.t.Fatalf("%s sent for what is not joined", text(send))
			}
		}
		if !w.lose(told) {
			for _, r := range told {
				w.believe(r)
			}
		}
	}
	for a, by := range w.owed {
		if at.After(by) {
			w.t.Fatalf("no answer for %v by %v", a, by.Sub(epoch))
		}
	}
}

// recordsOf are the records of a Report, or their MLDv2 equivalents (RFC 3810,
// section 8.3.2).
func recordsOf(send Send) []Record {
	switch message := send.Message.(type) {
	case *ReportV1:
		return []Record{{Type: ModeIsExclude, Group: message.Group}}
	case *DoneV1:
		return []Record{{Type: ChangeToIncludeMode, Group: message.Group}}
	case *ReportV2:
		return message.Records
	}
	panic("a host sends no Query")
}

// answers reports whether a Current State Record tells the whole state. A
// Report of version 1 is one without sources.
func (w *model) answers(answer, state Filter) bool {
	return w.m.Version() == 1 || answer.equal(state)
}

// lose decides whether a report is lost: up to Robustness-1 are, of each news.
func (w *model) lose(records []Record) bool {
	if !w.lossy || !rapid.Bool().Draw(w.t, "lose") {
		return false
	}
	var of []news
	for _, r := range records {
		switch r.Type {
		case ChangeToIncludeMode, ChangeToExcludeMode:
			for _, s := range append(someSources, netip.Addr{}) {
				of = append(of, news{r.Group, s})
			}
		case AllowNewSources, BlockOldSources:
			for _, s := range r.Sources {
				of = append(of, news{r.Group, s})
			}
		}
	}
	for _, n := range of {
		if w.lost[n] >= w.m.cfg.Robustness-1 {
			return false
		}
	}
	for _, n := range of {
		w.lost[n]++
	}
	return true
}

// believe is what a switch makes of a record, that has this one host behind the
// port.
func (w *model) believe(r Record) {
	old := w.believed[r.Group]
	filter := Filter{Mode: old.Mode}
	for _, s := range someSources {
		accepted, listed := old.Accepts(s), slices.Contains(r.Sources, s)
		switch r.Type {
		case ModeIsInclude: // perhaps of some of them only
			accepted = accepted || listed
		case ChangeToIncludeMode:
			filter.Mode, accepted = Include, listed
		case ModeIsExclude, ChangeToExcludeMode:
			filter.Mode, accepted = Exclude, !listed
		case AllowNewSources:
			accepted = accepted || listed
		case BlockOldSources:
			accepted = accepted && !listed
		}
		if accepted == (filter.Mode == Include) {
			filter.Sources = append(filter.Sources, s)
		}
	}
	if w.believed[r.Group] = filter; filter.wantsNone() {
		delete(w.believed, r.Group)
	}
}

// check compares the views with the model.
func (w *model) check() {
	var want []Group
	for _, a := range slices.SortedFunc(maps.Keys(w.holders), netip.Addr.Compare) {
		holders := slices.SortedFunc(maps.Keys(w.holders[a]), func(a, b Holder) int { return int(a.ID) - int(b.ID) })
		want = append(want, Group{Addr: a, Filter: w.merged(a), Holders: holders})
	}
	for _, a := range someGroups {
		if got, want := w.m.Member(a), w.holders[a] != nil; got != want {
			w.t.Fatalf("Member(%v) = %v", a, got)
		}
		for _, h := range someHolders {
			want, holds := w.holders[a][h]
			if got, ok := w.m.FilterOf(a, h); ok != holds || !got.equal(want.Normal()) {
				w.t.Fatalf("FilterOf(%v, %v) = %v, %v, want %v, %v", a, h, got, ok, want, holds)
			}
		}
	}
	if got := w.m.Groups(); len(got)+len(want) > 0 {
		if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
			w.t.Fatal("groups (-want +got):\n", diff)
		}
	}
	if deadline, ok := w.m.Deadline(); ok && deadline.Before(w.now) {
		w.t.Fatalf("deadline %v is past", deadline.Sub(epoch))
	}
}

// wait lets the time pass, timer by timer, until no more is due at t.
func (w *model) wait(t time.Time) {
	for {
		deadline, ok := w.m.Deadline()
		if !ok || deadline.After(t) {
			break
		}
		w.now = deadline
		w.hear(deadline, w.m.Advance(deadline))
	}
	w.now = t
	w.hear(t, w.m.Advance(t))
}

var (
	someGroups  = []netip.Addr{allNodes, group5, group6, groupN(1), groupN(2), groupN(3), netip.MustParseAddr("ff01::9")}
	someHolders = []Holder{socket1, socket2, {Kind: HolderSocket, ID: 3}}
	someDelays  = []time.Duration{0, time.Millisecond, time.Second, 10 * time.Second}
)

// drawChanges draws changes, with OpSet of one of filters if there are any.
func drawChanges(t *rapid.T, filters []Filter) (changes Changes) {
	ops := []Op{OpListen, OpJoin, OpJoin, OpLeave, OpLeave}
	if filters != nil {
		ops = append(ops, OpSet, OpSet, OpSet)
	}
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		c := change(rapid.SampledFrom(ops).Draw(t, "op"),
			rapid.SampledFrom(someGroups).Draw(t, "group"), rapid.SampledFrom(someHolders).Draw(t, "holder"))
		if c.Op == OpSet {
			c.Filter = rapid.SampledFrom(filters).Draw(t, "filter")
		}
		changes = append(changes, c)
	}
	return changes
}

func drawQuery(t *rapid.T, version int) *Query {
	q := &Query{Version: version, MaxResponseDelay: rapid.SampledFrom(someDelays).Draw(t, "max response delay"), Group: noAddr}
	if rapid.Bool().Draw(t, "specific") {
		q.Group = rapid.SampledFrom(someGroups).Draw(t, "queried group")
		if version == 2 && rapid.Bool().Draw(t, "with sources") {
			q.Sources = []netip.Addr{rapid.SampledFrom([]netip.Addr{sourceA, sourceB}).Draw(t, "source")}
		}
	}
	return q
}

func newModel(t *rapid.T, cfg Config, lossy bool, filters []Filter) *model {
	random := choice(func(lo, hi time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(lo), int64(hi)).Draw(t, "chance"))
	})
	w := &model{
		t: t, m: New(cfg, random), now: epoch, lossy: lossy, filters: filters, source: noAddr,
		holders: map[netip.Addr]map[Holder]Filter{}, wanted: map[netip.Addr]bool{},
		believed: map[netip.Addr]Filter{}, lost: map[news]int{}, owed: map[netip.Addr]time.Time{},
	}
	// Smaller than any link is, for the groups to need several reports, but
	// with room for a record of all sources: a TO_IN that is split is for
	// routers only, which add up the parts.
	records := rapid.IntRange(4, 6).Draw(t, "records in a report")
	w.m.cfg.MTU = lenIPv6AndOptions + lenReportV2 + records*lenRecord
	w.m.pageSize = records
	if filters == nil {
		w.m.pageSize = rapid.IntRange(1, 4).Draw(t, "groups in a page")
	}
	return w
}

// run does random things, and in the end the network's belief must be what is
// joined.
func (w *model) run(versions []int) {
	steps := map[string]func(*rapid.T){
		"changes": func(t *rapid.T) {
			changes := drawChanges(t, w.filters)
			opened, closed := w.change(changes)
			actions := w.m.Step(w.now, changes)
			for _, a := range actions {
				switch a := a.(type) {
				case Joined:
					if !opened[a.Group] {
						t.Fatalf("%s for what was held", text(a))
					}
					delete(opened, a.Group)
				case Filtered:
					if !a.Filter.equal(w.merged(a.Group)) {
						t.Fatalf("%s, but the holders' are %s", text(a), filterText(w.merged(a.Group)))
					}
				case Left:
					if !closed[a.Group] {
						t.Fatalf("%s for what was not held, or is yet", text(a))
					}
					delete(closed, a.Group)
				}
			}
			if len(opened)+len(closed) > 0 {
				t.Fatalf("not told: opened %v, closed %v", opened, closed)
			}
			w.hear(w.now, actions)
		},
		"query": func(t *rapid.T) {
			q := drawQuery(t, rapid.SampledFrom(versions).Draw(t, "version"))
			before := w.m.Version()
			actions := w.m.Step(w.now, from(router, q))
			if w.m.Version() != before {
				clear(w.owed) // RFC 3810, section 8.2.1: cancelled
			}
			w.query(q)
			w.hear(w.now, actions)
		},
		"link-local": func(t *rapid.T) {
			a := rapid.SampledFrom([]netip.Addr{noAddr, ownLL, netip.MustParseAddr("fe80::2")}).Draw(t, "address")
			w.source = a
			w.hear(w.now, w.m.Step(w.now, SetLinkLocal{a}))
		},
		"up": func(t *rapid.T) {
			if !w.up {
				w.up = true
				clear(w.lost)
			}
			w.hear(w.now, w.m.Step(w.now, Up{}))
		},
		"down": func(t *rapid.T) {
			w.up = false
			clear(w.owed)
			clear(w.believed) // another link, or a router that was told
			w.hear(w.now, w.m.Step(w.now, Down{}))
		},
		"wait": func(t *rapid.T) {
			w.wait(w.now.Add(rapid.SampledFrom([]time.Duration{
				time.Nanosecond, 100 * time.Millisecond, time.Second, 300 * time.Second,
			}).Draw(t, "time")))
		},
		"": func(t *rapid.T) { w.check() },
	}
	for name, step := range steps {
		if name != "" {
			steps[name] = func(t *rapid.T) {
				w.wait(w.now) // timers first: a delay of 0 may have been drawn
				step(t)
			}
		}
	}
	steps["up"](w.t)
	w.t.Repeat(steps)
	steps["up"](w.t)
	w.wait(w.now.Add(time.Hour))
	w.check()
	if deadline, ok := w.m.Deadline(); ok {
		w.t.Fatalf("not idle after an hour: %v", deadline)
	}
	if diff := cmp.Diff(w.reported(), w.believed, compareAddrs, cmpopts.EquateEmpty()); diff != "" {
		w.t.Fatal("the network believes (-joined +believed):\n", diff)
	}
	if len(w.m.groups) != len(w.holders) {
		w.t.Fatalf("%d groups are kept, %d are held", len(w.m.groups), len(w.holders))
	}
}

// Whatever Robustness-1 reports of each news are lost, the network learns
// exactly what is joined, and has every answer in time.
//
// Spec: RFC 3810, section 9.1, must, MLD2-R03
// Spec: RFC 3810, section 6.1, must, MLD2-R04
func TestNetworkLearnsInSpiteOfLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		robustness := rapid.IntRange(1, 4).Draw(t, "robustness")
		newModel(t, Config{Robustness: robustness}, true, someFilters).run([]int{2})
	})
}

// Without loss this holds in every mode, and across changes of mode, for
// groups without source filters: version 1 cannot tell of these.
//
// Spec: RFC 3810, section 8.2.1, must, MLD2-R11
func TestNetworkLearnsInEveryMode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			Robustness: rapid.IntRange(1, 4).Draw(t, "robustness"),
			Version:    rapid.IntRange(1, 2).Draw(t, "start mode"),
		}
		newModel(t, cfg, false, nil).run([]int{1, 2})
	})
}

// A caller who is late gets what a punctual one gets, in the same order, and
// one whose clock goes back does no harm.
func TestLateCallerGetsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Robustness: rapid.IntRange(1, 3).Draw(t, "robustness")}
		punctual, late := New(cfg, scripted()), New(cfg, scripted())
		var first, second []string
		now := epoch
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom(someDelays).Draw(t, "time"))
			var ev Event
			switch rapid.IntRange(0, 7).Draw(t, "event") {
			case 0:
				ev = Up{}
			case 1:
				ev = SetLinkLocal{ownLL}
			case 2, 3:
				ev = from(router, drawQuery(t, rapid.IntRange(1, 2).Draw(t, "version")))
			default:
				ev = drawChanges(t, someFilters)
			}
			for {
				deadline, ok := punctual.Deadline()
				if !ok || deadline.After(now) {
					break
				}
				first = append(first, texts(punctual.Advance(deadline))...)
			}
			first = append(first, texts(punctual.Step(now, ev))...)
			stamp := now
			if rapid.Bool().Draw(t, "clock goes back") {
				second = append(second, texts(late.Advance(now))...)
				stamp = epoch
			}
			second = append(second, texts(late.Step(stamp, ev))...)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatal("(-punctual +late):\n", diff)
		}
	})
}

// scripted is a Random whose answers depend on their number only.
func scripted() choice {
	n := 0
	return func(lo, hi time.Duration) time.Duration {
		n++
		return lo + (hi-lo)*time.Duration(n*37%101)/101
	}
}

// The same calls give the same actions, to the letter.
func TestDeterministic(t *testing.T) {
	run := func() (all []string) {
		h := newHost(t, Config{}, scripted())
		all = append(all, h.step(0, join(groupsN(500)...))...)
		all = append(all, h.step(0, queryV2(noAddr, time.Second))...)
		all = append(all, h.step(0, leave(groupsN(100)...))...)
		all = append(all, h.settle()...)
		all = append(all, h.step(time.Hour, queryV1(noAddr, time.Second))...)
		all = append(all, fmt.Sprint(h.Groups()))
		return append(all, h.settle()...)
	}
	if diff := cmp.Diff(run(), run()); diff != "" {
		t.Fatal(diff)
	}
}
