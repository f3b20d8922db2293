package dad

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What Start does at once, for every combination of its fields. The cells:
//
//	now     Join, Probe
//	listen  Listen, and after the delay Join, Probe
//	join    Join, and after the delay Probe
//	usable  Join, Assign as optimistic, Probe
//	assign  Join, Assign
const startTable = `
	                                      RFC4862  RFC2462  no-transmits
	normal                                now      now      assign
	normal first                          listen   join     assign
	normal multicast-ra                   listen   now      assign
	normal first multicast-ra             listen   join     assign
	normal anycast                        assign   assign   assign
	normal anycast first                  assign   assign   assign
	normal anycast multicast-ra           assign   assign   assign
	normal anycast first multicast-ra     assign   assign   assign
	optimistic                            usable   usable   assign
	optimistic first                      usable   usable   assign
	optimistic multicast-ra               usable   usable   assign
	optimistic first multicast-ra         usable   usable   assign
	optimistic anycast                    assign   assign   assign
	optimistic anycast first              assign   assign   assign
	optimistic anycast multicast-ra       assign   assign   assign
	optimistic anycast first multicast-ra assign   assign   assign
	off                                   assign   assign   assign
	off first                             assign   assign   assign
	off multicast-ra                      assign   assign   assign
	off first multicast-ra                assign   assign   assign
	off anycast                           assign   assign   assign
	off anycast first                     assign   assign   assign
	off anycast multicast-ra              assign   assign   assign
	off anycast first multicast-ra        assign   assign   assign
`

func TestEveryStart(t *testing.T) {
	configs := []Config{
		{NoNonce: true},
		{NoNonce: true, DelayProbeOnly: true, NoMulticastRADelay: true, AcceptUnicastDst: true},
		{NoNonce: true, DupAddrDetectTransmits: NoTransmits},
	}
	cells := make(map[string][]string)
	for _, line := range strings.Split(strings.TrimSpace(startTable), "\n")[1:] {
		f := strings.Fields(line)
		n := len(f) - len(configs)
		cells[strings.Join(f[:n], " ")] = f[n:]
	}
	for mode, name := range []string{"normal", "optimistic", "off"} {
		for flags := range 8 {
			ev := Start{
				Addr: tableAddr, Mode: Mode(mode),
				Anycast: flags&4 != 0, First: flags&2 != 0, FromMulticastRA: flags&1 != 0,
			}
			row := name
			for i, word := range []string{" anycast", " first", " multicast-ra"} {
				if flags&(4>>i) != 0 {
					row += word
				}
			}
			if len(cells[row]) != len(configs) {
				t.Errorf("no row for %q", row)
				continue
			}
			for i, cfg := range configs {
				checkStart(t, fmt.Sprintf("%s, column %d", row, i), cfg, ev, cells[row][i])
			}
		}
	}
}

func checkStart(t *testing.T, name string, cfg Config, ev Start, cell string) {
	t.Helper()
	const delay = 250 * time.Millisecond
	var (
		join   = Join{tableAddr, tableGroup}
		probe  = Probe{Addr: tableAddr, Group: tableGroup}
		assign = Assign{Addr: tableAddr}
	)
	var atOnce, later []Action
	state, due := Tentative, time.Second
	switch cell {
	case "now":
		atOnce, later = []Action{join, probe}, []Action{assign}
	case "listen":
		atOnce, later = []Action{Listen{tableAddr, tableGroup}}, []Action{join, probe}
		state, due = Delayed, delay
	case "join":
		atOnce, later = []Action{join}, []Action{probe}
		state, due = Delayed, delay
	case "usable":
		atOnce, later = []Action{join, Assign{tableAddr, true}, probe}, []Action{assign}
		state = OptimisticState
	case "assign":
		atOnce, state, due = []Action{join, assign}, Assigned, 0
	}
	m := New(cfg, &script{delays: []time.Duration{delay}})
	if diff := cmp.Diff(formatActions(atOnce), formatActions(m.Step(epoch, ev))); diff != "" {
		t.Errorf("%s: at once (-want +got)\n%s", name, diff)
	}
	if got := m.State(tableAddr); got != state {
		t.Errorf("%s: state %d, want %d", name, got, state)
	}
	at, ok := m.Deadline()
	if ok != (due > 0) || ok && !at.Equal(epoch.Add(due)) {
		t.Fatalf("%s: deadline %v %v, want %v", name, at.Sub(epoch), ok, due)
	}
	if diff := cmp.Diff(formatActions(later), formatActions(m.Advance(at))); diff != "" {
		t.Errorf("%s: at the deadline (-want +got)\n%s", name, diff)
	}
}
