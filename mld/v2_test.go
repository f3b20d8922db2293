package mld

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// groupN is the nth of many groups.
func groupN(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0xff, 0x05, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
}

// groupsN are the first n of them, from number 1.
func groupsN(n int) (groups []netip.Addr) {
	for i := range n {
		groups = append(groups, groupN(i+1))
	}
	return groups
}

// Spec: RFC 3810, section 5.2.14, must, MLD2-R01
// Spec: RFC 3810, section 6.1, must, MLD2-R02
// Spec: RFC 3810, section 6.1, must, GRP-R06
func TestMLD2_R02_JoinAndLeave(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.want(0, join(group5), "+ff02::5", "fe80::1 > ff02::16 TO_EX ff02::5")
	h.wantNext(time.Second, "fe80::1 > ff02::16 TO_EX ff02::5")
	h.wantQuiet()
	h.want(time.Minute, leave(group5), "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
	h.wantNext(61*time.Second, "fe80::1 > ff02::16 TO_IN ff02::5")
	h.wantQuiet()
	if len(h.groups) != 0 || len(h.holds) != 0 || len(h.joined) != 0 {
		t.Fatal("something is left")
	}
}

// Spec: RFC 3810, section 6.1, must, MLD2-R03
func TestMLD2_R03_Robustness(t *testing.T) {
	for robustness := 1; robustness <= 7; robustness++ {
		var windows []time.Duration
		h := newHost(t, Config{Robustness: robustness}, func(lo, hi time.Duration) time.Duration {
			if lo <= 0 {
				t.Fatalf("drawn from [%v, %v]: 0 is excluded", lo, hi)
			}
			windows = append(windows, hi)
			return hi / 2
		})
		h.step(0, join(group5))
		at := time.Duration(0)
		for range robustness - 1 {
			at += 500 * time.Millisecond
			h.wantNext(at, "fe80::1 > ff02::16 TO_EX ff02::5")
		}
		h.wantQuiet()
		for _, w := range windows {
			if w != time.Second {
				t.Fatalf("drawn up to %v, want 1s", w)
			}
		}
	}
}

// Spec: RFC 3810, section 6.1, must, MLD2-R04
func TestMLD2_R04_NewerChangeReplaces(t *testing.T) {
	h := newHost(t, Config{Robustness: 3}, latest)
	h.step(0, join(group5, group6))
	h.want(100*time.Millisecond, leave(group5), "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
	h.wantNext(1000*time.Millisecond, "fe80::1 > ff02::16 TO_EX ff05::6")
	h.wantNext(1100*time.Millisecond, "fe80::1 > ff02::16 TO_IN ff02::5")
	h.want(1200*time.Millisecond, join(group5), "+ff02::5", "fe80::1 > ff02::16 TO_EX ff02::5")
	h.wantNext(2000*time.Millisecond, "fe80::1 > ff02::16 TO_EX ff05::6")
	h.wantNext(2200*time.Millisecond, "fe80::1 > ff02::16 TO_EX ff02::5")
	h.wantNext(3200*time.Millisecond, "fe80::1 > ff02::16 TO_EX ff02::5")
	h.wantQuiet()
}

// The repeats of a leave are in no view, and one who only listens does not end
// them.
//
// Spec: derived, DER, GRP-R05
func TestLeaveIsRepeatedOutOfSight(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5))
	h.step(0, leave(group5))
	if h.Member(group5) || len(h.Groups()) != 0 {
		t.Fatal("in view after the leave")
	}
	h.want(0, Changes{change(OpListen, group5, socket2)}, "+ff02::5")
	h.wantNext(time.Second, "fe80::1 > ff02::16 TO_IN ff02::5")
	h.wantQuiet()
	if !h.Member(group5) {
		t.Fatal("forgotten with the last repeat")
	}
}

// A pending repeat belongs to the group, not to the holder who caused it.
//
// Spec: RFC 3810, section 6.1, must, MLD2-R03
func TestSurvivorKeepsItsRepeats(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, Changes{change(OpJoin, group5, socket1), change(OpJoin, group5, socket2)})
	h.want(0, leave(group5))
	h.wantNext(time.Second, "fe80::1 > ff02::16 TO_EX ff02::5")
}

// Spec: RFC 3810, section 6, must, MLD-R02
func TestMLD_R02_GroupsNeverReported(t *testing.T) {
	for _, version := range []int{1, 2} {
		h := newHost(t, Config{Version: version}, latest)
		for _, a := range []string{"ff02::1", "ff00::5", "ff01::5", "ff11::5", "ff01::1"} {
			group := netip.MustParseAddr(a)
			h.want(0, join(group), "+"+a)
			h.want(0, queryV2(group, time.Second))
			h.want(0, queryV2(noAddr, time.Second))
			h.wantQuiet()
			if !h.Member(group) {
				t.Errorf("not a member of %v", a)
			}
			h.want(0, leave(group), "-"+a)
			h.wantQuiet()
		}
	}
	h := newHost(t, Config{}, latest)
	for _, a := range []string{"ff02::2", "ff02::1:ff00:5", "ff12::1", "ff03::1", "ff0e::1"} {
		h.want(0, join(netip.MustParseAddr(a)), "+"+a, "fe80::1 > ff02::16 TO_EX "+a)
	}
}

// Spec: RFC 3590, section 4, must, MLD-R03
// Spec: RFC 3590, section 4, SHOULD, MLD-R04
func TestMLD_R04_LinkLocalBecomesValid(t *testing.T) {
	h := &host{t, New(Config{}, choice(latest))}
	h.want(0, Up{})
	h.want(0, join(group5, group6), "+ff02::5", "+ff05::6", ":: > ff02::16 TO_EX ff02::5, TO_EX ff05::6")
	h.want(100*time.Millisecond, leave(group6), "-ff05::6", ":: > ff02::16 TO_IN ff05::6")
	h.wantNext(1000*time.Millisecond, ":: > ff02::16 TO_EX ff02::5")
	h.want(1000*time.Millisecond, SetLinkLocal{ownLL}, "fe80::1 > ff02::16 TO_EX ff02::5")
	h.want(1000*time.Millisecond, SetLinkLocal{ownLL})
	h.wantNext(1100*time.Millisecond, "fe80::1 > ff02::16 TO_IN ff05::6")
	h.wantNext(2000*time.Millisecond, "fe80::1 > ff02::16 TO_EX ff02::5")
	h.wantQuiet()
	h.want(time.Minute, SetLinkLocal{noAddr})
	h.want(time.Minute, join(group6), "+ff05::6", ":: > ff02::16 TO_EX ff05::6")
	h.settle()
	h.want(2*time.Minute, SetLinkLocal{router}, "fe80::99 > ff02::16 TO_EX ff02::5, TO_EX ff05::6")
}

func TestUpAndDown(t *testing.T) {
	h := &host{t, New(Config{}, choice(latest))}
	h.want(0, SetLinkLocal{ownLL})
	h.want(0, join(group5, group6), "+ff02::5", "+ff05::6")
	h.want(0, queryV2(noAddr, time.Second))
	h.want(0, queryV1(noAddr, time.Second))
	h.wantQuiet()
	h.want(0, Up{}, "fe80::1 > ff02::16 TO_EX ff02::5, TO_EX ff05::6")
	h.want(0, Up{})
	h.want(0, leave(group6), "-ff05::6", "fe80::1 > ff02::16 TO_IN ff05::6")
	h.want(0, queryV2(noAddr, time.Second))
	h.want(0, queryV2(group5, time.Second))
	h.want(0, Down{})
	h.wantQuiet()
	h.want(0, leave(group5), "-ff02::5")
	h.want(0, join(group6), "+ff05::6")
	h.want(0, Down{})
	h.want(0, Up{}, "fe80::1 > ff02::16 TO_EX ff05::6")
	h.wantNext(time.Second, "fe80::1 > ff02::16 TO_EX ff05::6")
	h.wantQuiet()
}

// Spec: RFC 3810, section 5.2.15, must, MLD2-R09
func TestMLD2_R09_PackedByMTU(t *testing.T) {
	for mtu, records := range map[int]int{1280: 61, 1500: 72, 9000: 447} {
		h := newHost(t, Config{MTU: mtu}, latest)
		count := func(actions []Action) {
			t.Helper()
			sizes := []int{}
			for _, a := range actions {
				if send, ok := a.(Send); ok {
					n := len(send.Message.(*ReportV2).Records)
					sizes = append(sizes, n)
					if octets := lenIPv6AndOptions + len(Append(nil, send.Src, send.Dst, send.Message)); octets > mtu || n == records && octets <= mtu-lenRecord {
						t.Errorf("%d octets with %d records on a link of %d", octets, n, mtu)
					}
				}
			}
			if want := []int{records, records, 7}; !reflect.DeepEqual(sizes, want) {
				t.Errorf("MTU %d: reports of %v records, want %v", mtu, sizes, want)
			}
		}
		count(h.Step(epoch, join(groupsN(2*records+7)...)))
		count(h.Advance(epoch.Add(time.Second)))
		h.step(time.Minute, queryV2(noAddr, time.Second))
		count(h.Advance(epoch.Add(time.Hour)))
		h.step(time.Hour, SetLinkLocal{noAddr})
		count(h.Step(epoch.Add(time.Hour), SetLinkLocal{ownLL}))
	}
}

// Spec: RFC 3810, section 6.3, MUST NOT, MLD2-R06
// Spec: RFC 3810, section 6.3, must, MLD2-R08
func TestMLD2_R06_GeneralQueryIsNotAnsweredAtOnce(t *testing.T) {
	for _, draw := range []choice{earliest, latest} {
		h := newHost(t, Config{}, draw)
		h.step(0, join(group5, group6))
		h.settle()
		for i, delay := range []time.Duration{0, time.Millisecond, 10 * time.Second, 65536 * time.Millisecond} {
			now := time.Duration(i+1) * time.Hour
			h.want(now, queryV2(noAddr, delay))
			deadline, ok := h.Deadline()
			after := deadline.Sub(epoch) - now
			if !ok || after <= 0 || after > max(delay, time.Millisecond) {
				t.Fatalf("answered after %v of %v", after, delay)
			}
			h.wantNext(now+after, "fe80::1 > ff02::16 IS_EX ff02::5, IS_EX ff05::6")
			h.wantQuiet()
		}
	}
}

func TestQueryWithoutMembership(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.want(0, queryV2(noAddr, time.Second))
	h.want(0, queryV2(group5, time.Second))
	h.want(0, queryV2(group5, time.Second, sourceA))
	h.wantQuiet()
}

// twoQueries gives the delays that a host draws for two queries.
func twoQueries(t *testing.T, first, second time.Duration) *host {
	draws := []time.Duration{first, second}
	h := newHost(t, Config{Robustness: 1}, func(_, hi time.Duration) time.Duration {
		d := draws[0]
		draws = draws[1:]
		if d > hi {
			t.Fatalf("no draw of %v from (0, %v)", d, hi)
		}
		return d
	})
	h.step(0, join(group5, group6))
	return h
}

const (
	allExclude  = "fe80::1 > ff02::16 IS_EX ff02::5, IS_EX ff05::6"
	oneExclude  = "fe80::1 > ff02::16 IS_EX ff02::5"
	includeA    = "fe80::1 > ff02::16 IS_IN ff02::5 2001:db8::a"
	includeB    = "fe80::1 > ff02::16 IS_IN ff02::5 2001:db8::b"
	includeBoth = "fe80::1 > ff02::16 IS_IN ff02::5 2001:db8::a 2001:db8::b"
)

// Every pair of pending answer and new Query, with the new one's delay shorter
// and longer: the rules of RFC 3810, section 6.2.
//
// Spec: RFC 3810, section 6.2, must, MLD2-R05
// Spec: RFC 3810, section 6.3, must, MLD2-R08
func TestMLD2_R05_FiveRules(t *testing.T) {
	general, specific := queryV2(noAddr, time.Hour), queryV2(group5, time.Hour)
	withA, withB := queryV2(group5, time.Hour, sourceA), queryV2(group5, time.Hour, sourceB)
	for _, c := range []struct {
		name          string
		first, second Event
		longer        string // what is sent at 2s, the first at 1s
		shorter       string // what is sent when the second is at 1s and the first at 2s
	}{
		// The two sides of "|" are sent at 1s and 2s.
		{"general, general: rules 1, 2", general, general, allExclude + "|", allExclude + "|"},
		{"general, group: rules 1, 3", general, specific, allExclude + "|", oneExclude + "|" + allExclude},
		{"general, source: rules 1, 3", general, withA, allExclude + "|", includeA + "|" + allExclude},
		{"group, general: rule 2", specific, general, oneExclude + "|" + allExclude, allExclude + "|" + oneExclude},
		{"source, general: rule 2", withA, general, includeA + "|" + allExclude, allExclude + "|" + includeA},
		{"group, group: rule 4", specific, specific, oneExclude + "|", oneExclude + "|"},
		{"group, source: rule 4", specific, withA, oneExclude + "|", oneExclude + "|"},
		{"source, group: rule 4", withA, specific, oneExclude + "|", oneExclude + "|"},
		{"source, source: rule 5", withB, withA, includeBoth + "|", includeBoth + "|"},
		{"source, the same: rule 5", withB, withB, includeB + "|", includeB + "|"},
	} {
		for order, want := range []string{c.longer, c.shorter} {
			first, second := time.Second, 2*time.Second
			if order == 1 {
				first, second = second, first
			}
			h := twoQueries(t, first, second)
			h.want(0, c.first)
			h.want(0, c.second)
			got := strings.Join(texts(h.Advance(epoch.Add(time.Second))), ";") + "|" +
				strings.Join(texts(h.Advance(epoch.Add(2*time.Second))), ";")
			if got != want {
				t.Errorf("%s, delays %v and %v:\n got %s\nwant %s", c.name, first, second, got, want)
			}
			h.wantQuiet()
		}
	}
}

// A pending answer tells the state at its time (RFC 3810, section 6.3), and a
// group that was left meanwhile has none.
//
// Spec: RFC 3810, section 6.3, must, MLD2-R08
func TestStateChangesWhileAnAnswerIsPending(t *testing.T) {
	h := newHost(t, Config{Robustness: 1}, latest)
	h.step(0, join(group5))
	for _, q := range []Event{queryV2(group5, time.Minute), queryV2(group5, time.Minute, sourceA), queryV2(noAddr, time.Minute)} {
		h.want(0, q)
		h.want(0, leave(group5), "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
		h.wantQuiet()
		h.want(0, join(group5), "+ff02::5", "fe80::1 > ff02::16 TO_EX ff02::5")
		h.wantQuiet()
	}
	h.want(0, queryV2(noAddr, time.Minute))
	h.want(0, join(group6), "+ff05::6", "fe80::1 > ff02::16 TO_EX ff05::6")
	h.want(0, leave(group5), "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
	h.wantNext(time.Minute, "fe80::1 > ff02::16 IS_EX ff05::6")
}

// Spec: RFC 3810, section 5.1.11, must, MLD2-R08
func TestQueriedSourcesThatNoPacketHas(t *testing.T) {
	h := newHost(t, Config{Robustness: 1}, latest)
	h.step(0, join(group5))
	h.want(0, queryV2(group5, time.Second, noAddr, group6))
	h.wantQuiet()
	h.want(0, queryV2(group5, time.Second, noAddr, sourceB, group6, sourceA, sourceA))
	h.wantNext(time.Second, includeBoth)
}

func TestQueriedSourcesAreBounded(t *testing.T) {
	sources := make([]netip.Addr, 1000)
	for i := range sources {
		sources[i] = netip.AddrFrom16([16]byte{0x20, 0x01, 14: byte(i >> 8), 15: byte(i)})
	}
	for _, c := range []struct{ mtu, fit int }{{1280, 75}, {1500, 89}} {
		h := newHost(t, Config{Robustness: 1, MTU: c.mtu}, latest)
		h.step(0, join(group5))
		h.want(0, queryV2(group5, time.Second, sources[:c.fit]...))
		send := h.Advance(epoch.Add(time.Second))[0].(Send)
		records := send.Message.(*ReportV2).Records
		if octets := lenIPv6AndOptions + len(Append(nil, send.Src, send.Dst, send.Message)); len(records) != 1 || len(records[0].Sources) != c.fit || octets > c.mtu {
			t.Fatalf("MTU %d: %d octets with %d records", c.mtu, octets, len(records))
		}
		h.want(time.Minute, queryV2(group5, time.Second, sources[:c.fit]...))
		h.want(time.Minute, queryV2(group5, time.Second, sources[c.fit]))
		h.wantNext(61*time.Second, oneExclude)
		h.want(time.Hour, queryV2(group5, time.Second, sources...))
		h.wantNext(time.Hour+time.Second, oneExclude)
	}
}

// The answer to a General Query is spread over the interval, page by page, and
// has each group once, whatever comes and goes meanwhile.
//
// Spec: RFC 3810, section 6.3, REC, MLD2-R06
func TestManyGroupsAnswerInPages(t *testing.T) {
	n := 0
	h := newHost(t, Config{Robustness: 1}, func(_, hi time.Duration) time.Duration {
		n++
		return hi * time.Duration(n) / 10
	})
	h.step(0, join(groupsN(200)...)) // pages of 72, 72, 56
	h.want(0, queryV2(noAddr, 10*time.Second))
	if n != 3 {
		t.Fatalf("%d draws for three pages", n)
	}
	// The last group moves into the first page, and owes its answer there.
	h.step(0, leave(groupN(1)))
	seen := map[string]int{}
	for i, want := range []int{72, 72, 55} {
		got := h.Advance(epoch.Add(time.Duration(i+1) * time.Second))
		if len(got) != 1 {
			t.Fatalf("%d reports at %ds", len(got), i+1)
		}
		records := got[0].(Send).Message.(*ReportV2).Records
		if len(records) != want {
			t.Errorf("%d records at %ds, want %d", len(records), i+1, want)
		}
		for _, r := range records {
			seen[r.Group.String()]++
		}
	}
	h.wantQuiet()
	for i := 2; i <= 200; i++ {
		if s := groupN(i).String(); seen[s] != 1 {
			t.Errorf("%s reported %d times", s, seen[s])
		}
	}
}

// A group that moves from a page whose answer is due into one that owes none
// takes the answer with it.
func TestMovedGroupKeepsItsAnswer(t *testing.T) {
	n := 0
	h := newHost(t, Config{Robustness: 1}, func(_, hi time.Duration) time.Duration {
		n++
		return hi * time.Duration(n) / 10
	})
	h.step(0, join(groupsN(73)...)) // pages of 72 and 1
	h.step(0, queryV2(noAddr, 10*time.Second))
	h.Advance(epoch.Add(time.Second)) // the first page
	h.step(time.Second, leave(groupN(5)))
	got := fmt.Sprint(texts(h.Advance(epoch.Add(2 * time.Second))))
	if !strings.Contains(got, "IS_EX "+groupN(73).String()) {
		t.Fatalf("the moved group is not in %s", got)
	}
	h.wantQuiet()
}

// Spec: RFC 3810, section 6, must, MLD-R11
func TestMLD_R11_ReportsAndDoneIgnored(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5))
	h.want(0, queryV2(noAddr, time.Minute))
	for _, m := range []Message{
		&ReportV1{group5}, &DoneV1{group5},
		&ReportV2{[]Record{{Type: ModeIsExclude, Group: group5}, {Type: ChangeToIncludeMode, Group: group5}}},
	} {
		h.want(0, from(router, m))
	}
	h.wantNext(time.Second, "fe80::1 > ff02::16 TO_EX ff02::5")
	h.wantNext(time.Minute, "fe80::1 > ff02::16 IS_EX ff02::5")
	h.wantQuiet()
}

// Reports are packed to the MTU of the day, those of an answer that was owed
// before too, and none is forgotten.
func TestSetMTU_RepacksWhatIsOwed(t *testing.T) {
	for _, mtu := range []int{1280, 1500} {
		testSetMTU(t, 2780-mtu, mtu)
	}
}

func testSetMTU(t *testing.T, from, to int) {
	h := newHost(t, Config{MTU: from}, latest)
	var changes Changes
	for n := range 200 {
		changes = append(changes, change(OpJoin, groupN(n), socket1))
	}
	h.step(0, changes)
	h.settle()
	h.step(time.Minute, queryV2(noAddr, 10*time.Second))
	h.step(time.Minute, SetMTU{to})
	told := map[netip.Addr]bool{}
	for _, act := range h.Advance(epoch.Add(2 * time.Minute)) {
		s := act.(Send)
		report := s.Message.(*ReportV2)
		if size := lenIPv6AndOptions + len(Append(nil, s.Src, s.Dst, report)); size > to {
			t.Errorf("a report of %d octets", size)
		}
		for _, r := range report.Records {
			told[r.Group] = true
		}
	}
	if len(told) != 200 {
		t.Errorf("%d groups were reported, want 200", len(told))
	}
}

// 10,000 groups, one in ten with a source, answer a General Query within its
// delay, in packets that are full but for one of each page, and spread.
func TestMLD2_R06_TenThousandGroups(t *testing.T) {
	h := newHost(t, Config{}, scripted())
	var changes Changes
	for i, g := range groupsN(10_000) {
		c := change(OpJoin, g, socket1)
		if i%10 == 0 {
			c.Op, c.Filter = OpSet, including(sourceA)
		}
		changes = append(changes, c)
	}
	h.step(0, changes)
	h.settle()
	h.want(time.Minute, queryV2(noAddr, 10*time.Second))
	seen := map[netip.Addr]bool{}
	packets, most := 0, 0
	for {
		deadline, ok := h.Deadline()
		if !ok {
			break
		}
		if after := deadline.Sub(epoch) - time.Minute; after <= 0 || after > 10*time.Second {
			t.Fatalf("an answer after %v", after)
		}
		actions := h.Advance(deadline)
		packets, most = packets+len(actions), max(most, len(actions))
		for _, a := range actions {
			send := a.(Send)
			for _, r := range send.Message.(*ReportV2).Records {
				if seen[r.Group] {
					t.Errorf("%v told twice", r.Group)
				}
				seen[r.Group] = true
			}
			if octets := lenIPv6AndOptions + len(Append(nil, send.Src, send.Dst, send.Message)); octets > 1500 {
				t.Errorf("%d octets", octets)
			}
		}
	}
	if pages := (10_000 + 71) / 72; len(seen) != 10_000 || packets > 2*pages || most > 4 {
		t.Errorf("%d groups in %d packets, up to %d at once", len(seen), packets, most)
	}
}
