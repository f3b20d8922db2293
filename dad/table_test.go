package dad

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/nd"
)

// The tables say what becomes of each event in each state: one table a
// profile, one line an event, one column a state. The cells:
//
//	-        no action, the state stays
//	n/a      the state cannot be entered in this profile
//	probe    (Join,) Probe, tentative
//	leave    Leave, absent
//	assign   Assign, assigned
//	dup-ns   Leave, Reject with the solicitation as evidence, absent
//	dup-na   Leave, Reject with the advertisement as evidence, absent
//	fail     Leave, Fail, absent
//	echo     no action, the state stays, counted as a probe looped back
//	looped   Looped, Probe, the state stays
//
// The states "looped" and "opt-looped" are tentative and optimistic with one
// probe looped back.

var tableStates = []string{"absent", "delayed", "tentative", "looped", "optimistic", "opt-looped", "assigned"}

var (
	tableAddr  = netip.MustParseAddr("2001:db8::1")
	tableGroup = nd.SolicitedNode(tableAddr)
	ownAddr    = netip.MustParseAddr("fe80::1") // another address of ours
	ownMAC     = nd.LinkAddr{2, 0, 0, 0, 0, 1}
	peerAddr   = netip.MustParseAddr("fe80::9")
)

// tableEvents are all kinds of events; nil is the deadline. In the state
// delayed, the own nonce is the one that will be drawn next.
var tableEvents = func() map[string]Event {
	events := map[string]Event{
		"timer":         nil,
		"start":         Start{Addr: tableAddr},
		"stop":          Stop{tableAddr},
		"accept":        Accept{tableAddr},
		"send-failed":   SendFailed{tableAddr},
		"retrans-timer": SetRetransTimer{2 * time.Second},
		"link-addr":     SetLinkAddr{other},
		"ns-elsewhere":  solicit("::", ownAddr, nonce(99), other),
		"na-elsewhere":  advert(nd.AllNodes, ownAddr, other),
	}
	macs := map[string]nd.LinkAddr{"own-mac": ownMAC, "other-mac": other}
	for mac, from := range macs {
		for name, n := range map[string]nd.Nonce{"own-nonce": nonce(1), "foreign-nonce": nonce(99), "no-nonce": ""} {
			events["ns-::-"+name+"-"+mac] = solicit("::", tableAddr, n, from)
			events["ns-unicast-"+name+"-"+mac] = solicit(peerAddr.String(), tableAddr, n, from)
		}
		events["na-all-nodes-"+mac] = advert(nd.AllNodes, tableAddr, from)
		events["na-to-target-"+mac] = advert(tableAddr, tableAddr, from)
		events["na-to-own-addr-"+mac] = advert(ownAddr, tableAddr, from)
	}
	return events
}()

func solicit(src string, target netip.Addr, n nd.Nonce, from nd.LinkAddr) Solicit {
	return Solicit{
		nd.Header{Src: netip.MustParseAddr(src), Dst: nd.SolicitedNode(target), From: from},
		&nd.NeighborSolicit{Target: target, Nonce: n},
	}
}

func advert(dst, target netip.Addr, from nd.LinkAddr) Advert {
	return Advert{nd.Header{Src: target, Dst: dst, From: from}, &nd.NeighborAdvert{Target: target}}
}

var tableProfiles = []struct {
	name  string
	cfg   Config
	table string
}{
	{"RFC 7527", Config{LinkAddr: ownMAC}, `
		                                    absent  delayed  tentative  looped  optimistic  opt-looped  assigned
		timer                               -       probe    assign     looped  assign      looped      -
		start                               probe   -        -          -       -           -           -
		stop                                -       leave    leave      leave   leave       leave       leave
		accept                              -       -        -          assign  -           assign      -
		send-failed                         -       -        fail       fail    fail        fail        -
		retrans-timer                       -       -        -          -       -           -           -
		link-addr                           -       -        -          -       -           -           -
		ns-::-own-nonce-own-mac             -       dup-ns   echo       echo    echo        echo        -
		ns-::-own-nonce-other-mac           -       dup-ns   echo       echo    echo        echo        -
		ns-::-foreign-nonce-own-mac         -       dup-ns   dup-ns     dup-ns  dup-ns      dup-ns      -
		ns-::-foreign-nonce-other-mac       -       dup-ns   dup-ns     dup-ns  dup-ns      dup-ns      -
		ns-::-no-nonce-own-mac              -       dup-ns   dup-ns     dup-ns  dup-ns      dup-ns      -
		ns-::-no-nonce-other-mac            -       dup-ns   dup-ns     dup-ns  dup-ns      dup-ns      -
		ns-unicast-own-nonce-own-mac        -       -        -          -       -           -           -
		ns-unicast-own-nonce-other-mac      -       -        -          -       -           -           -
		ns-unicast-foreign-nonce-own-mac    -       -        -          -       -           -           -
		ns-unicast-foreign-nonce-other-mac  -       -        -          -       -           -           -
		ns-unicast-no-nonce-own-mac         -       -        -          -       -           -           -
		ns-unicast-no-nonce-other-mac       -       -        -          -       -           -           -
		ns-elsewhere                        -       -        -          -       -           -           -
		na-all-nodes-own-mac                -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-all-nodes-other-mac              -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-to-target-own-mac                -       -        -          -       dup-na      dup-na      -
		na-to-target-other-mac              -       -        -          -       dup-na      dup-na      -
		na-to-own-addr-own-mac              -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-to-own-addr-other-mac            -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-elsewhere                        -       -        -          -       -           -           -
	`},
	{"RFC 2462", Config{LinkAddr: ownMAC, NoNonce: true, DelayProbeOnly: true, AcceptUnicastDst: true}, `
		                                    absent  delayed  tentative  looped  optimistic  opt-looped  assigned
		timer                               -       probe    assign     n/a     assign      n/a         -
		start                               probe   -        -          n/a     -           n/a         -
		stop                                -       leave    leave      n/a     leave       n/a         leave
		accept                              -       -        -          n/a     -           n/a         -
		send-failed                         -       -        fail       n/a     fail        n/a         -
		retrans-timer                       -       -        -          n/a     -           n/a         -
		link-addr                           -       -        -          n/a     -           n/a         -
		ns-::-own-nonce-own-mac             -       dup-ns   dup-ns     n/a     dup-ns      n/a         -
		ns-::-own-nonce-other-mac           -       dup-ns   dup-ns     n/a     dup-ns      n/a         -
		ns-::-foreign-nonce-own-mac         -       dup-ns   dup-ns     n/a     dup-ns      n/a         -
		ns-::-foreign-nonce-other-mac       -       dup-ns   dup-ns     n/a     dup-ns      n/a         -
		ns-::-no-nonce-own-mac              -       dup-ns   dup-ns     n/a     dup-ns      n/a         -
		ns-::-no-nonce-other-mac            -       dup-ns   dup-ns     n/a     dup-ns      n/a         -
		ns-unicast-own-nonce-own-mac        -       -        -          n/a     -           n/a         -
		ns-unicast-own-nonce-other-mac      -       -        -          n/a     -           n/a         -
		ns-unicast-foreign-nonce-own-mac    -       -        -          n/a     -           n/a         -
		ns-unicast-foreign-nonce-other-mac  -       -        -          n/a     -           n/a         -
		ns-unicast-no-nonce-own-mac         -       -        -          n/a     -           n/a         -
		ns-unicast-no-nonce-other-mac       -       -        -          n/a     -           n/a         -
		ns-elsewhere                        -       -        -          n/a     -           n/a         -
		na-all-nodes-own-mac                -       dup-na   dup-na     n/a     dup-na      n/a         -
		na-all-nodes-other-mac              -       dup-na   dup-na     n/a     dup-na      n/a         -
		na-to-target-own-mac                -       dup-na   dup-na     n/a     dup-na      n/a         -
		na-to-target-other-mac              -       dup-na   dup-na     n/a     dup-na      n/a         -
		na-to-own-addr-own-mac              -       dup-na   dup-na     n/a     dup-na      n/a         -
		na-to-own-addr-other-mac            -       dup-na   dup-na     n/a     dup-na      n/a         -
		na-elsewhere                        -       -        -          n/a     -           n/a         -
	`},
	{"RFC 4862, the link echoes", Config{LinkAddr: ownMAC, NoNonce: true, Loopback: LoopbackEchoes}, `
		                                    absent  delayed  tentative  looped  optimistic  opt-looped  assigned
		timer                               -       probe    assign     assign  assign      assign      -
		start                               probe   -        -          -       -           -           -
		stop                                -       leave    leave      leave   leave       leave       leave
		accept                              -       -        -          -       -           -           -
		send-failed                         -       -        fail       fail    fail        fail        -
		retrans-timer                       -       -        -          -       -           -           -
		link-addr                           -       -        -          -       -           -           -
		ns-::-own-nonce-own-mac             -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-::-own-nonce-other-mac           -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-::-foreign-nonce-own-mac         -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-::-foreign-nonce-other-mac       -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-::-no-nonce-own-mac              -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-::-no-nonce-other-mac            -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-unicast-own-nonce-own-mac        -       -        -          -       -           -           -
		ns-unicast-own-nonce-other-mac      -       -        -          -       -           -           -
		ns-unicast-foreign-nonce-own-mac    -       -        -          -       -           -           -
		ns-unicast-foreign-nonce-other-mac  -       -        -          -       -           -           -
		ns-unicast-no-nonce-own-mac         -       -        -          -       -           -           -
		ns-unicast-no-nonce-other-mac       -       -        -          -       -           -           -
		ns-elsewhere                        -       -        -          -       -           -           -
		na-all-nodes-own-mac                -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-all-nodes-other-mac              -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-to-target-own-mac                -       -        -          -       dup-na      dup-na      -
		na-to-target-other-mac              -       -        -          -       dup-na      dup-na      -
		na-to-own-addr-own-mac              -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-to-own-addr-other-mac            -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-elsewhere                        -       -        -          -       -           -           -
	`},
	{"RFC 4862, the link perhaps echoes", Config{LinkAddr: ownMAC, NoNonce: true, Loopback: LoopbackUnknown}, `
		                                    absent  delayed  tentative  looped  optimistic  opt-looped  assigned
		timer                               -       probe    assign     assign  assign      assign      -
		start                               probe   -        -          -       -           -           -
		stop                                -       leave    leave      leave   leave       leave       leave
		accept                              -       -        -          -       -           -           -
		send-failed                         -       -        fail       fail    fail        fail        -
		retrans-timer                       -       -        -          -       -           -           -
		link-addr                           -       -        -          -       -           -           -
		ns-::-own-nonce-own-mac             -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-::-own-nonce-other-mac           -       dup-ns   dup-ns     dup-ns  dup-ns      dup-ns      -
		ns-::-foreign-nonce-own-mac         -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-::-foreign-nonce-other-mac       -       dup-ns   dup-ns     dup-ns  dup-ns      dup-ns      -
		ns-::-no-nonce-own-mac              -       dup-ns   echo       dup-ns  echo        dup-ns      -
		ns-::-no-nonce-other-mac            -       dup-ns   dup-ns     dup-ns  dup-ns      dup-ns      -
		ns-unicast-own-nonce-own-mac        -       -        -          -       -           -           -
		ns-unicast-own-nonce-other-mac      -       -        -          -       -           -           -
		ns-unicast-foreign-nonce-own-mac    -       -        -          -       -           -           -
		ns-unicast-foreign-nonce-other-mac  -       -        -          -       -           -           -
		ns-unicast-no-nonce-own-mac         -       -        -          -       -           -           -
		ns-unicast-no-nonce-other-mac       -       -        -          -       -           -           -
		ns-elsewhere                        -       -        -          -       -           -           -
		na-all-nodes-own-mac                -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-all-nodes-other-mac              -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-to-target-own-mac                -       -        -          -       dup-na      dup-na      -
		na-to-target-other-mac              -       -        -          -       dup-na      dup-na      -
		na-to-own-addr-own-mac              -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-to-own-addr-other-mac            -       dup-na   dup-na     dup-na  dup-na      dup-na      -
		na-elsewhere                        -       -        -          -       -           -           -
	`},
}

func TestEveryEventInEveryState(t *testing.T) {
	for _, p := range tableProfiles {
		t.Run(p.name, func(t *testing.T) {
			cells := parseTable(t, p.table)
			for _, name := range sortedKeys(tableEvents) {
				for _, state := range tableStates {
					cell, ok := cells[name+" "+state]
					if !ok {
						t.Errorf("no cell for %s in state %s", name, state)
						continue
					}
					delete(cells, name+" "+state)
					if err := checkCell(p.cfg, state, name, cell); err != nil {
						t.Errorf("%s in state %s: %v", name, state, err)
					}
				}
			}
			for _, key := range sortedKeys(cells) {
				t.Errorf("a cell for %q, which is no event and state", key)
			}
		})
	}
}

// checkCell brings a machine to state, gives it the event and compares.
func checkCell(cfg Config, state, name, cell string) error {
	m, before := enter(cfg, state)
	if cell == "n/a" {
		if m != nil {
			return fmt.Errorf("can be entered, but the cell says it cannot")
		}
		return nil
	}
	if m == nil {
		return fmt.Errorf("cannot be entered")
	}
	now := epoch.Add(100 * time.Millisecond)
	var got []Action
	if ev := tableEvents[name]; ev != nil {
		got = m.Step(now, ev)
	} else if due, ok := m.Deadline(); ok {
		now = due
		got = m.Advance(now)
	} else {
		got = m.Advance(now.Add(time.Hour))
	}
	want, after := outcome(cfg, cell, before, tableEvents[name])
	if diff := cmp.Diff(formatActions(want), formatActions(got)); diff != "" {
		return fmt.Errorf("actions (-want +got)\n%s", diff)
	}
	if got := m.State(tableAddr); got != after {
		return fmt.Errorf("state %d, want %d", got, after)
	}
	if cell == "echo" {
		return checkEcho(cfg, m, now)
	}
	return nil
}

// enter returns a machine with tableAddr in the state, or nil if there is no
// way into it.
func enter(cfg Config, name string) (*Machine, State) {
	m := New(cfg, &script{delays: []time.Duration{500 * time.Millisecond}})
	echo := solicit("::", tableAddr, nonce(1), ownMAC)
	switch name {
	case "absent":
		return m, Absent
	case "delayed":
		m.Step(epoch, Start{Addr: tableAddr, First: true})
		return m, Delayed
	case "tentative", "looped":
		m.Step(epoch, Start{Addr: tableAddr})
	case "optimistic", "opt-looped":
		m.Step(epoch, Start{Addr: tableAddr, Mode: Optimistic})
	case "assigned":
		m.Step(epoch, Start{Addr: tableAddr, Mode: Off})
	}
	if strings.HasSuffix(name, "looped") {
		if actions := m.Step(epoch, echo); len(actions) > 0 {
			return nil, Absent
		}
	}
	return m, m.State(tableAddr)
}

// outcome spells a cell out.
func outcome(cfg Config, cell string, before State, ev Event) ([]Action, State) {
	probe := Probe{Addr: tableAddr, Group: tableGroup}
	if !cfg.NoNonce {
		probe.Nonce = nonce(1)
	}
	leave := Leave{tableAddr, tableGroup}
	switch cell {
	case "-", "echo":
		return nil, before
	case "probe":
		if before == Delayed && cfg.DelayProbeOnly {
			return []Action{probe}, Tentative
		}
		return []Action{Join{tableAddr, tableGroup}, probe}, Tentative
	case "leave":
		return []Action{leave}, Absent
	case "assign":
		return []Action{Assign{Addr: tableAddr}}, Assigned
	case "fail":
		return []Action{leave, Fail{tableAddr}}, Absent
	case "looped":
		probe.Nonce = nonce(2)
		return []Action{Looped{Addr: tableAddr, Probes: 1}, probe}, before
	case "dup-ns":
		from := ev.(Solicit).From
		return []Action{leave, Reject{&DuplicateError{tableAddr, from, from, FromSolicit}}}, Absent
	case "dup-na":
		from := ev.(Advert).From
		return []Action{leave, Reject{&DuplicateError{tableAddr, from, from, FromAdvert}}}, Absent
	}
	panic("no such cell: " + cell)
}

// checkEcho checks that the last solicitation was counted: with nonces, Accept
// has become possible; without, one more is too many.
func checkEcho(cfg Config, m *Machine, now time.Time) error {
	if !cfg.NoNonce {
		m.Step(now, Accept{tableAddr})
		if m.State(tableAddr) != Assigned {
			return fmt.Errorf("Accept is not possible after the echo")
		}
		return nil
	}
	m.Step(now, solicit("::", tableAddr, "", ownMAC))
	if m.State(tableAddr) != Absent {
		return fmt.Errorf("another solicitation is not too many after the echo")
	}
	return nil
}

// parseTable returns the cells by "event state".
func parseTable(t *testing.T, text string) map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if head := strings.Fields(lines[0]); !slices.Equal(head, tableStates) {
		t.Fatalf("columns are %v, want %v", head, tableStates)
	}
	cells := make(map[string]string)
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != 1+len(tableStates) {
			t.Fatalf("%d cells in line %q, want %d", len(fields)-1, line, len(tableStates))
		}
		for i, state := range tableStates {
			key := fields[0] + " " + state
			if _, twice := cells[key]; twice {
				t.Errorf("two cells for %s", key)
			}
			cells[key] = fields[1+i]
		}
	}
	return cells
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
