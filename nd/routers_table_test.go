package nd

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// solicitTable has a row for each pair of event and state of soliciting: the
// state after it, and what comes out; "rs" is a solicitation. The states with a
// tilde are those of RFC 7559. RAs are of a router that nobody knew.
const solicitTable = `
event Enable
off        | delaying  |
delaying   | delaying  |
sent       | delaying  |
last       | delaying  |
exhausted  | delaying  |
answered   | delaying  |
~sent      | ~delaying |
~answered  | ~delaying |

event Enable, delayed by DAD
off        | sent      | rs
delaying   | sent      | rs
sent       | delaying  |
last       | delaying  |
exhausted  | sent      | rs
answered   | delaying  |
~sent      | ~delaying |
~answered  | ~delaying |

event Disable
off        | off       |
delaying   | off       |
sent       | off       |
last       | off       |
exhausted  | off       |
answered   | off       | remove gone
~sent      | ~off      |
~answered  | ~off      | remove gone

event SetSource
off        | off       |
delaying   | delaying  |
sent       | sent      |
last       | last      |
exhausted  | exhausted |
answered   | answered  |
~sent      | ~sent     |
~answered  | ~answered |

event RA with a lifetime
off        | off       |
delaying   | delaying  | router add
sent       | answered  | router add
last       | answered  | router add
exhausted  | answered  | router add
answered   | answered  | router add
~sent      | ~answered | router add
~answered  | ~answered | router add

event RA with lifetime 0
off        | off       |
delaying   | delaying  |
sent       | sent      |
last       | answered  |
exhausted  | answered  |
answered   | answered  |
~sent      | ~sent     |
~answered  | ~answered |

event NotRouter
off        | off       |
delaying   | delaying  |
sent       | sent      |
last       | last      |
exhausted  | exhausted |
answered   | answered  | remove gone
~sent      | ~sent     |
~answered  | ~answered | remove gone

event Forget
off        | off       |
delaying   | delaying  |
sent       | sent      |
last       | last      |
exhausted  | exhausted |
answered   | answered  | remove gone
~sent      | ~sent     |
~answered  | ~answered | remove gone

event SetLinkMTU
off        | off       |
delaying   | delaying  |
sent       | sent      |
last       | last      |
exhausted  | exhausted |
answered   | answered  |
~sent      | ~sent     |
~answered  | ~answered |

event timer
off        | off       |
delaying   | sent      | rs
sent       | sent      | rs
last       | exhausted | none
exhausted  | exhausted |
answered   | answered  | remove gone
~sent      | ~sent     | rs
~answered  | ~answered | remove gone
`

var solicitStates = map[string]func(b *routersBench){
	"off":      func(*routersBench) {},
	"delaying": func(b *routersBench) { b.do(Enable{}) },
	"sent":     func(b *routersBench) { b.do(Enable{Delayed: true}) },
	"last": func(b *routersBench) {
		b.do(Enable{Delayed: true})
		b.after(8 * time.Second)
	},
	"exhausted": func(b *routersBench) {
		b.do(Enable{Delayed: true})
		b.after(time.Minute)
	},
	"answered": func(b *routersBench) { b.do(Enable{Delayed: true}, lives(routerA, time.Hour)) },
}

// solicitState names the state that the machine is in.
func (b *routersBench) solicitState() string {
	tilde := ""
	if b.r.cfg.Backoff {
		tilde = "~"
	}
	_, sending := b.r.timers.At(sendSolicit)
	_, waiting := b.r.timers.At(awaitNoRouter)
	switch s := b.r.solicits; {
	case !b.r.enabled:
		return tilde + "off"
	case sending && s.sent == 0:
		return tilde + "delaying"
	case sending:
		return tilde + "sent"
	case waiting:
		return tilde + "last"
	case s.heard:
		return tilde + "answered"
	}
	return tilde + "exhausted"
}

// fireNext lets the next thing come due.
func (b *routersBench) fireNext() []string {
	at, ok := b.r.Deadline()
	if !ok {
		return nil
	}
	return b.after(at.Sub(b.now))
}

var routersEvents = map[string]func(b *routersBench) []string{
	"Enable":                 func(b *routersBench) []string { return b.do(Enable{}) },
	"Enable, delayed by DAD": func(b *routersBench) []string { return b.do(Enable{Delayed: true}) },
	"Disable":                func(b *routersBench) []string { return b.do(Disable{}) },
	"SetSource":              func(b *routersBench) []string { return b.do(SetSource{Addr: addr(hostLL)}) },
	"NotRouter":              func(b *routersBench) []string { return b.do(NotRouter{addr(routerA)}) },
	"Forget":                 func(b *routersBench) []string { return b.do(Forget{addr(routerA)}) },
	"SetLinkMTU":             func(b *routersBench) []string { return b.do(SetLinkMTU{MTU: 1400}) },
	"timer":                  (*routersBench).fireNext,
}

// verbs shortens what describeRouter says to one word each.
func verbs(lines []string) string {
	var short []string
	for _, l := range lines {
		switch word, rest, _ := strings.Cut(l, " "); {
		case l == "no routers":
			short = append(short, "none")
		case word == "no":
			short = append(short, "gone")
		case word == "add" && strings.Contains(rest, "on-link"), word == "remove" && strings.Contains(rest, "on-link"):
			short = append(short, word+"-on-link")
		default:
			short = append(short, word)
		}
	}
	return strings.Join(short, " ")
}

// parseTable reads a table into event → state → the rest of the row.
func parseTable(t *testing.T, table string) map[string]map[string][]string {
	t.Helper()
	rows := map[string]map[string][]string{}
	event := ""
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "event "); ok {
			event = name
			rows[event] = map[string][]string{}
			continue
		}
		if line == "" {
			continue
		}
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 3 || rows[event][cells[0]] != nil {
			t.Fatalf("event %s: row %q", event, line)
		}
		rows[event][cells[0]] = cells[1:]
	}
	return rows
}

// checkTable runs each pair of event and state and compares; enter brings a
// fresh machine into a state.
func checkTable(t *testing.T, table string, states []string, events map[string]func(*routersBench) []string,
	enter func(t *testing.T, state string) *routersBench, name func(*routersBench) string) {
	t.Helper()
	rows := parseTable(t, table)
	for event, apply := range events {
		for _, state := range states {
			t.Run(event+"/"+state, func(t *testing.T) {
				want := rows[event][state]
				if want == nil {
					t.Fatal("the table has no row for this pair")
				}
				b := enter(t, state)
				if got := name(b); got != state {
					t.Fatalf("began in %s", got)
				}
				out := verbs(apply(b))
				if got := name(b); got != want[0] || out != want[1] {
					t.Errorf("got %s | %s\nwant %s | %s", got, out, want[0], want[1])
				}
			})
			delete(rows[event], state)
		}
		if len(rows[event]) > 0 {
			t.Errorf("event %s: rows of unknown states %v", event, rows[event])
		}
		delete(rows, event)
	}
	if len(rows) > 0 {
		t.Errorf("unknown events %v", rows)
	}
}

// withAdverts adds the advertisements that a table has to routersEvents.
func withAdverts(adverts map[string]Advert) map[string]func(*routersBench) []string {
	all := map[string]func(*routersBench) []string{}
	for name, apply := range routersEvents {
		all[name] = apply
	}
	for name, ev := range adverts {
		all[name] = func(b *routersBench) []string { return b.do(ev) }
	}
	return all
}

// Spec: RFC 4861, section 6.3.7, SHOULD, RS-R01
// Spec: RFC 4861, section 6.3.7, MUST, RS-R05
func TestSolicitTable(t *testing.T) {
	states := []string{"~sent", "~answered"}
	for state := range solicitStates {
		states = append(states, state)
	}
	slices.Sort(states)
	events := withAdverts(map[string]Advert{
		"RA with a lifetime": lives(routerB, 2*time.Hour),
		"RA with lifetime 0": lives(routerB, 0),
	})
	checkTable(t, solicitTable, states, events, func(t *testing.T, state string) *routersBench {
		plain, backoff := strings.CutPrefix(state, "~")
		b := newOffBench(t, RouterConfig{Backoff: backoff})
		solicitStates[plain](b)
		return b
	}, (*routersBench).solicitState)
}

// routerTable has a row for each pair of event and what is known of the router
// that it is about: nothing; that it is a default router; that it holds an
// on-link prefix ("holder"); or both. Each hold ends after an hour. "zero" is
// an option with lifetime 0.
const routerTable = `
event Enable
unknown | unknown |
default | default |
holder  | holder  |
both    | both    |

event Enable, delayed by DAD
unknown | unknown | rs
default | default | rs
holder  | holder  | rs
both    | both    | rs

event Disable
unknown | unknown |
default | unknown | remove gone
holder  | unknown | remove-on-link
both    | unknown | remove gone remove-on-link

event SetSource
unknown | unknown |
default | default |
holder  | holder  |
both    | both    |

event SetLinkMTU
unknown | unknown |
default | default |
holder  | holder  |
both    | both    |

event NotRouter
unknown | unknown |
default | unknown | remove gone
holder  | holder  |
both    | holder  | remove gone

event Forget
unknown | unknown |
default | unknown | remove gone
holder  | unknown | remove-on-link
both    | unknown | remove gone remove-on-link

event timer
unknown | unknown |
default | unknown | remove gone
holder  | unknown | remove-on-link
both    | unknown | remove gone remove-on-link

event RA with a lifetime
unknown | default | router add
default | default | add
holder  | both    | router add
both    | both    | add

event RA with lifetime 0
unknown | unknown |
default | unknown | remove gone
holder  | holder  |
both    | holder  | remove gone

event RA with lifetime 0 and the prefix
unknown | holder  | add-on-link
default | holder  | remove gone add-on-link
holder  | holder  | add-on-link
both    | holder  | remove gone add-on-link

event RA with lifetime 0 and the prefix, zero
unknown | unknown |
default | unknown | remove gone
holder  | unknown | remove-on-link
both    | unknown | remove gone remove-on-link

event RA with a lifetime and the prefix
unknown | both    | router add add-on-link
default | both    | add add-on-link
holder  | both    | router add add-on-link
both    | both    | add add-on-link

event RA with a lifetime and the prefix, zero
unknown | default | router add
default | default | add
holder  | default | router add remove-on-link
both    | default | add remove-on-link

event RA with a lifetime and the prefix without L
unknown | default | router add
default | default | add
holder  | both    | router add
both    | both    | add

event RA of another router with the prefix, zero
unknown | unknown |
default | default |
holder  | holder  |
both    | both    |
`

// Spec: RFC 4861, section 6.3.4, must, RA-R04
// Spec: RFC 4861, section 6.3.4, must, ONL-R02
// Spec: RFC 4861, section 6.3.4, must, ONL-R03
// Spec: RFC 4861, section 6.3.4, MUST NOT, ONL-R04
func TestRouterTable(t *testing.T) {
	const p = "2001:db8::/64"
	advert := func(src string, lifetime time.Duration, ps ...PrefixInformation) Advert {
		return ra(src, RouterAdvert{RouterLifetime: lifetime, Prefixes: ps})
	}
	hold, zero := pio(p, "L", time.Hour), pio(p, "L", 0)
	events := withAdverts(map[string]Advert{
		"RA with a lifetime":                          advert(routerA, time.Hour),
		"RA with lifetime 0":                          advert(routerA, 0),
		"RA with lifetime 0 and the prefix":           advert(routerA, 0, hold),
		"RA with lifetime 0 and the prefix, zero":     advert(routerA, 0, zero),
		"RA with a lifetime and the prefix":           advert(routerA, time.Hour, hold),
		"RA with a lifetime and the prefix, zero":     advert(routerA, time.Hour, zero),
		"RA with a lifetime and the prefix without L": advert(routerA, time.Hour, pio(p, "", time.Minute)),
		"RA of another router with the prefix, zero":  advert(routerB, 0, zero),
	})
	enter := func(t *testing.T, state string) *routersBench {
		// Nothing else is due, and nothing keeps a solicitation waiting.
		b := newRoutersBench(t, RouterConfig{MaxRtrSolicitations: 1})
		b.after(time.Minute)
		switch state {
		case "default":
			b.do(advert(routerA, time.Hour))
		case "holder":
			b.do(advert(routerA, 0, hold))
		case "both":
			b.do(advert(routerA, time.Hour, hold))
		}
		return b
	}
	checkTable(t, routerTable, []string{"unknown", "default", "holder", "both"}, events, enter, func(b *routersBench) string {
		for _, i := range b.r.Routers() {
			onLink := slices.ContainsFunc(i.Prefixes, func(p PrefixInfo) bool { return p.OnLink })
			switch {
			case i.Addr != addr(routerA):
			case i.Default && onLink:
				return "both"
			case i.Default:
				return "default"
			case onLink:
				return "holder"
			}
		}
		return "unknown"
	})
}
