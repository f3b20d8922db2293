package mld

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The states of a group and how to get there, in MLDv2, MLDv1 and MLDv1
// compatibility mode. Random delays are the longest.
var tableStates = []struct {
	name    string
	version int
	events  []Event
}{
	{"absent", 2, nil},
	{"listening", 2, []Event{Changes{change(OpListen, group5, socket1)}}},
	{"repeating", 2, []Event{join(group5)}},
	{"idle", 2, []Event{join(group5), nil}},
	{"answering all", 2, []Event{join(group5), nil, queryV2(noAddr, 10*time.Second)}},
	{"answering group", 2, []Event{join(group5), nil, queryV2(group5, 10*time.Second)}},
	{"answering source", 2, []Event{join(group5), nil, queryV2(group5, 10*time.Second, sourceB)}},
	{"leaving", 2, []Event{join(group5), leave(group5)}},
	{"leaving, listening", 2, []Event{join(group5), leave(group5), Changes{change(OpListen, group5, socket1)}}},
	{"down", 2, []Event{join(group5), Down{}}},
	{"including", 2, []Event{set(socket1, including(sourceA)), nil}},
	{"including, repeating", 2, []Event{set(socket1, including(sourceA))}},
	{"including, answering source", 2, []Event{set(socket1, including(sourceA)), nil, queryV2(group5, 10*time.Second, sourceA)}},
	{"including, leaving", 2, []Event{set(socket1, including(sourceA)), leave(group5)}},
	{"excluding", 2, []Event{set(socket1, excluding(sourceA)), nil}},
	{"excluding, repeating", 2, []Event{set(socket1, excluding(sourceA))}},
	{"excluding, repeating source", 2, []Event{join(group5), nil, set(socket1, excluding(sourceA))}},
	{"excluding, answering source", 2, []Event{set(socket1, excluding(sourceA)), nil, queryV2(group5, 10*time.Second, sourceB)}},

	{"v1 absent", 1, nil},
	{"v1 listening", 1, []Event{Changes{change(OpListen, group5, socket1)}}},
	{"v1 unsolicited", 1, []Event{join(group5)}},
	{"v1 idle", 1, []Event{join(group5), nil}},
	{"v1 answering", 1, []Event{join(group5), nil, queryV1(noAddr, 10*time.Second)}},
	{"v1 suppressed", 1, []Event{join(group5), from(router, &ReportV1{group5})}},
	{"v1 down", 1, []Event{join(group5), Down{}}},
	{"v1 including", 1, []Event{set(socket1, including(sourceA)), nil}},

	{"compatible", 2, []Event{join(group5), nil, queryV1(groupN(1), 0)}},
	{"compatible, including", 2, []Event{set(socket1, including(sourceA)), nil, queryV1(groupN(1), 0)}},
	{"compatible, answering", 2, []Event{join(group5), nil, queryV1(group5, 10*time.Second)}},
}

// tableEvents are what can happen; nil is that the next timer fires.
var tableEvents = []struct {
	name  string
	event Event
}{
	{"listen", Changes{change(OpListen, group5, socket1)}},
	{"join", join(group5)},
	{"leave", leave(group5)},
	{"include A", set(socket1, including(sourceA))},
	{"include B", set(socket1, including(sourceB))},
	{"include none", set(socket1, none)},
	{"exclude A", set(socket1, excluding(sourceA))},
	{"exclude none", set(socket1, all)},
	{"other includes B", set(socket2, including(sourceB))},
	{"other joins", Changes{change(OpJoin, group5, socket2)}},
	{"other leaves", Changes{change(OpLeave, group5, socket2)}},
	{"link-local", SetLinkLocal{router}},
	{"no link-local", SetLinkLocal{noAddr}},
	{"up", Up{}},
	{"down", Down{}},
	{"query", queryV2(noAddr, 5*time.Second)},
	{"group query", queryV2(group5, 5*time.Second)},
	{"source query", queryV2(group5, 5*time.Second, sourceA)},
	{"sources query", queryV2(group5, 5*time.Second, sourceA, sourceB)},
	{"strange query", queryV2(group6, 5*time.Second)},
	{"v1 query", queryV1(noAddr, 5*time.Second)},
	{"v1 group query", queryV1(group5, 5*time.Second)},
	{"v1 strange query", queryV1(group6, 5*time.Second)},
	{"v1 report", from(router, &ReportV1{group5})},
	{"v1 done", from(router, &DoneV1{group5})},
	{"v2 report", from(router, &ReportV2{[]Record{{Type: ModeIsExclude, Group: group5}}})},
	{"mtu", SetMTU{1280}},
	{"timer", nil},
}

// stateText names the state that a host is in, by what can be seen of it and
// by what will happen.
func stateText(h *host) string {
	var parts []string
	if h.Version() == 1 {
		parts = append(parts, "v1")
	}
	switch g := h.groups[group5.As16()]; {
	case g == nil:
		parts = append(parts, "absent")
	case g.joined:
		parts = append(parts, "joined")
		if !g.filter.equal(all) {
			parts = append(parts, filterText(g.filter))
		}
	case g.holders > 0:
		parts = append(parts, "listening")
	default:
		parts = append(parts, "gone")
	}
	if deadline, ok := h.Deadline(); ok {
		parts = append(parts, "timer in "+deadline.Sub(h.now).String())
	}
	return strings.Join(parts, " ")
}

// readTable returns the rows of testdata/table.txt by "state/event".
func readTable(t *testing.T) map[string]string {
	text, err := os.ReadFile("testdata/table.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	state := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			state = strings.Trim(line, "[]")
			continue
		}
		event, row, _ := strings.Cut(line, "|")
		key := state + "/" + strings.TrimSpace(event)
		if _, ok := rows[key]; ok {
			t.Fatalf("two rows for %s", key)
		}
		rows[key] = strings.TrimSpace(row)
	}
	return rows
}

// Every event in every state has a row, and every row is so.
func TestTable(t *testing.T) {
	rows := readTable(t)
	for _, s := range tableStates {
		for _, e := range tableEvents {
			h, now := hostInState(t, s.version, s.events)
			ev := e.event
			var got []string
			if ev == nil {
				if deadline, ok := h.Deadline(); ok {
					got = texts(h.Advance(deadline))
				}
			} else {
				got = h.step(now, ev)
			}
			row := strings.TrimSpace(strings.Join(got, "; ") + " | " + stateText(h))
			key := s.name + "/" + e.name
			want, ok := rows[key]
			if !ok {
				t.Errorf("%s: no row; it would be %q", key, row)
			} else if row != want {
				t.Errorf("%s:\n got %s\nwant %s", key, row, want)
			}
			delete(rows, key)
		}
	}
	for key := range rows {
		t.Errorf("%s: a row for nothing", key)
	}
}

// hostInState makes the events of a state; nil among them waits until all is
// quiet.
func hostInState(t *testing.T, version int, events []Event) (h *host, now time.Duration) {
	h = newHost(t, Config{Version: version}, latest)
	for _, ev := range events {
		if ev == nil {
			h.settle()
			now = time.Minute
			continue
		}
		h.step(now, ev)
	}
	return h, now
}
