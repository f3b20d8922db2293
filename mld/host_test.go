package mld

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// The cast of the tests.
var (
	epoch   = time.Unix(1_000_000_000, 0)
	group5  = netip.MustParseAddr("ff02::5")
	group6  = netip.MustParseAddr("ff05::6")
	noAddr  = netip.IPv6Unspecified()
	ownLL   = netip.MustParseAddr("fe80::1")
	router  = netip.MustParseAddr("fe80::99")
	sourceA = netip.MustParseAddr("2001:db8::a")
	sourceB = netip.MustParseAddr("2001:db8::b")

	sourceC = netip.MustParseAddr("2001:db8::c")

	all  = Filter{Mode: Exclude}
	none = Filter{}

	socket1 = Holder{Kind: HolderSocket, ID: 1}
	socket2 = Holder{Kind: HolderSocket, ID: 2}
)

// choice is a Random that is a function.
type choice func(lo, hi time.Duration) time.Duration

func (c choice) Between(lo, hi time.Duration) time.Duration { return c(lo, hi) }

func latest(_, hi time.Duration) time.Duration   { return hi }
func earliest(lo, _ time.Duration) time.Duration { return lo }

// host is a Machine with a clock that reads 0 at the beginning.
type host struct {
	t *testing.T
	*Machine
}

// newHost returns a Machine that is up and has the link-local address ownLL.
func newHost(t *testing.T, cfg Config, r choice) *host {
	h := &host{t, New(cfg, r)}
	h.step(0, Up{})
	h.step(0, SetLinkLocal{ownLL})
	return h
}

func (h *host) step(at time.Duration, ev Event) []string {
	return texts(h.Step(epoch.Add(at), ev))
}

// isHeldBy reports whether holder holds a.
func (h *host) isHeldBy(a netip.Addr, holder Holder) bool {
	_, ok := h.FilterOf(a, holder)
	return ok
}

// want makes the step and compares its actions.
func (h *host) want(at time.Duration, ev Event, want ...string) {
	h.t.Helper()
	h.compare(fmt.Sprintf("%T at %v", ev, at), h.step(at, ev), want)
}

// wantNext waits for the next deadline, which must be at, and compares.
func (h *host) wantNext(at time.Duration, want ...string) {
	h.t.Helper()
	deadline, ok := h.Deadline()
	if !ok || deadline.Sub(epoch) != at {
		h.t.Fatalf("deadline %v %v, want %v", deadline.Sub(epoch), ok, at)
	}
	h.compare(fmt.Sprintf("timer at %v", at), texts(h.Advance(deadline)), want)
}

// wantQuiet demands that nothing is pending.
func (h *host) wantQuiet() {
	h.t.Helper()
	if deadline, ok := h.Deadline(); ok {
		h.t.Fatalf("deadline at %v, want none", deadline.Sub(epoch))
	}
}

// settle lets all pending timers fire.
func (h *host) settle() (actions []string) {
	for range 1000 {
		deadline, ok := h.Deadline()
		if !ok {
			return actions
		}
		actions = append(actions, texts(h.Advance(deadline))...)
	}
	h.t.Fatal("never quiet")
	return nil
}

func (h *host) compare(what string, got, want []string) {
	h.t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		h.t.Fatalf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func change(op Op, group netip.Addr, h Holder) Change {
	return Change{Op: op, Group: group, Holder: h}
}

func join(groups ...netip.Addr) (c Changes) {
	for _, g := range groups {
		c = append(c, change(OpJoin, g, socket1))
	}
	return c
}

func leave(groups ...netip.Addr) (c Changes) {
	for _, g := range groups {
		c = append(c, change(OpLeave, g, socket1))
	}
	return c
}

// from wraps a message that a neighbor sent.
func from(src netip.Addr, m Message) Received {
	return Received{Header{Src: src, Dst: allNodes, HopLimit: 1, RouterAlert: true}, m}
}

func queryV1(group netip.Addr, delay time.Duration) Received {
	return from(router, &Query{Version: 1, Group: group, MaxResponseDelay: delay})
}

func queryV2(group netip.Addr, delay time.Duration, sources ...netip.Addr) Received {
	return from(router, &Query{Version: 2, Group: group, MaxResponseDelay: delay, Sources: sources})
}

// including and excluding are filters.
func including(sources ...netip.Addr) Filter { return Filter{Include, sources} }
func excluding(sources ...netip.Addr) Filter { return Filter{Exclude, sources} }

// set gives the filter of a holder of group5.
func set(h Holder, f Filter) Changes {
	return Changes{{Op: OpSet, Group: group5, Holder: h, Filter: f}}
}

// texts writes actions like "+ff02::5" (Joined), "-ff02::5" (Left), "~ff02::5
// IN 2001:db8::a" (Filtered) and "fe80::1 > ff02::16 TO_EX ff02::5".
func texts(actions []Action) (all []string) {
	for _, a := range actions {
		all = append(all, text(a))
	}
	return all
}

func text(a Action) string {
	switch a := a.(type) {
	case Joined:
		if a.Filter.equal(all) {
			return "+" + a.Group.String()
		}
		return "+" + a.Group.String() + " " + filterText(a.Filter)
	case Filtered:
		return "~" + a.Group.String() + " " + filterText(a.Filter)
	case Left:
		return "-" + a.Group.String()
	case Send:
		return fmt.Sprintf("%v > %v %s", a.Src, a.Dst, messageText(a.Message))
	}
	panic("no such action")
}

func filterText(f Filter) string {
	s := "IN"
	if f.Mode == Exclude {
		s = "EX"
	}
	for _, a := range f.Sources {
		s += " " + a.String()
	}
	return s
}

func messageText(m Message) string {
	switch m := m.(type) {
	case *ReportV1:
		return "report " + m.Group.String()
	case *DoneV1:
		return "done " + m.Group.String()
	case *ReportV2:
		var records []string
		for _, r := range m.Records {
			s := r.Type.String() + " " + r.Group.String()
			for _, a := range r.Sources {
				s += " " + a.String()
			}
			records = append(records, s)
		}
		return strings.Join(records, ", ")
	}
	panic("no such message")
}
