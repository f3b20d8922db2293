package nd

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// autoconfTransitions has a row for each pair of a state of a prefix and an
// event: what becomes of it, and what comes out. A number is the DAD_Counter of
// the address that is spoken of.
const autoconfTransitions = `
event up
down       | new        |
new        | new        |
formed     | formed 0   |
deprecated | deprecated 0 |
waiting    | waiting    |
again      | formed 1   |
barred     | barred     |
removed    | barred     |
claimed    | none       |

event down
down       | down       |
new        | down       |
formed     | down       | remove 0
deprecated | down       | remove 0
waiting    | down       |
again      | down       | remove 1
barred     | down       |
removed    | down       |
claimed    | down       |

event prefix
down       | down       |
new        | formed 0   | add 0
formed     | formed 0   | update 0
deprecated | formed 0   | update 0
waiting    | waiting    |
again      | formed 1   | update 1
barred     | barred     |
removed    | barred     |
claimed    | waiting    |

event prefix with preferred lifetime 0
down       | down       |
new        | deprecated 0 | add 0
formed     | deprecated 0 | update 0, deprecate 0
deprecated | deprecated 0 | update 0
waiting    | waiting    |
again      | deprecated 1 | update 1, deprecate 1
barred     | barred     |
removed    | barred     |
claimed    | waiting    |

event prefix with valid lifetime 0
down       | down       |
new        | new        |
formed     | deprecated 0 | update 0, deprecate 0
deprecated | deprecated 0 | update 0
waiting    | waiting    |
again      | deprecated 1 | update 1, deprecate 1
barred     | barred     |
removed    | barred     |
claimed    | none       |

event assigned
down       | down       |
new        | new        |
formed     | formed 0   |
deprecated | deprecated 0 |
waiting    | waiting    |
again      | formed 1   | save 1
barred     | barred     |
removed    | barred     |
claimed    | none       |

event duplicate
down       | down       |
new        | new        |
formed     | waiting    |
deprecated | waiting    |
waiting    | waiting    |
again      | waiting    |
barred     | barred     |
removed    | barred     |
claimed    | none       |

event the last duplicate
down       | down       |
new        | new        |
formed     | barred     | add 1, add 2, add 3, exhausted
deprecated | barred     | add 1, add 2, add 3, exhausted
waiting    | barred     | add 1, add 2, add 3, exhausted
again      | barred     | add 2, add 3, exhausted
barred     | barred     |
removed    | barred     |
claimed    | none       |

event removed by hand
down       | down       |
new        | new        |
formed     | barred     |
deprecated | barred     |
waiting    | waiting    |
again      | barred     |
barred     | barred     |
removed    | barred     |
claimed    | none       |

event claimed
down       | down       |
new        | new        |
formed     | none       |
deprecated | none       |
waiting    | waiting    |
again      | none       |
barred     | barred     |
removed    | barred     |
claimed    | none       |

event claimed and released
down       | down       |
new        | new        |
formed     | none       |
deprecated | none       |
waiting    | waiting    |
again      | none       |
barred     | barred     |
removed    | barred     |
claimed    | none       |

event the next timer
down       | down       |
new        | new        |
formed     | deprecated 0 | deprecate 0
deprecated | new        | remove 0
waiting    | formed 1   | add 1
again      | deprecated 1 | deprecate 1
barred     | barred     |
removed    | barred     |
claimed    | new        |

event the end of the valid lifetime
down       | down       |
new        | new        |
formed     | new        | deprecate 0, remove 0
deprecated | new        | remove 0
waiting    | new        | add 1, deprecate 1, remove 1
again      | new        | deprecate 1, remove 1
barred     | barred     |
removed    | barred     |
claimed    | new        |
`

var (
	tablePrefix    = prefix(subnet, 7*day, 30*day)
	autoconfStates = map[string]func(b *autoBench){
		"down":       func(b *autoBench) { b.do(AutoconfDown{}) },
		"new":        func(*autoBench) {},
		"formed":     func(b *autoBench) { b.do(tablePrefix) },
		"deprecated": func(b *autoBench) { b.do(prefix(subnet, 0, 30*day)) },
		"waiting":    func(b *autoBench) { b.do(tablePrefix, AddressDuplicate{stableAddr(subnet, 0)}) },
		"again": func(b *autoBench) {
			b.do(tablePrefix, AddressDuplicate{stableAddr(subnet, 0)})
			b.after(time.Second)
		},
		"barred": func(b *autoBench) {
			b.do(tablePrefix)
			b.exhaust()
		},
		"removed": func(b *autoBench) { b.do(tablePrefix, AddressRemoved{stableAddr(subnet, 0)}) },
		"claimed": func(b *autoBench) { b.do(tablePrefix, AddressClaimed{stableAddr(subnet, 0)}) },
	}
	autoconfEvents = map[string]func(b *autoBench) []string{
		"up":                               autoStep(AutoconfUp{}),
		"down":                             autoStep(AutoconfDown{}),
		"prefix":                           autoStep(prefix(subnet, 8*day, 31*day)),
		"prefix with preferred lifetime 0": autoStep(prefix(subnet, 0, 31*day)),
		"prefix with valid lifetime 0":     autoStep(prefix(subnet, 0, 0)),
		"assigned":                         func(b *autoBench) []string { return b.do(AddressAssigned{b.current()}) },
		"duplicate":                        func(b *autoBench) []string { return b.do(AddressDuplicate{b.current()}) },
		"the last duplicate":               (*autoBench).exhaust,
		"removed by hand":                  func(b *autoBench) []string { return b.do(AddressRemoved{b.current()}) },
		"claimed":                          func(b *autoBench) []string { return b.do(AddressClaimed{b.current()}) },
		"claimed and released": func(b *autoBench) []string {
			return b.do(AddressClaimed{b.current()}, AddressReleased{b.current()})
		},
		"the next timer": func(b *autoBench) []string {
			at, ok := b.m.Deadline()
			if !ok {
				at = b.now.Add(day)
			}
			return b.after(at.Sub(b.now))
		},
		"the end of the valid lifetime": func(b *autoBench) []string { return b.after(30 * day) },
	}
)

func autoStep(ev AutoconfEvent) func(*autoBench) []string {
	return func(b *autoBench) []string { return b.do(ev) }
}

// current is the address of the prefix, or the first one that it would have.
func (b *autoBench) current() netip.Addr {
	if p := b.m.prefixes[tablePrefix.Prefix]; p != nil && p.stable != nil {
		return p.stable.addr
	}
	return stableAddr(subnet, 0)
}

// exhaust makes duplicates of all that is tried.
func (b *autoBench) exhaust() (out []string) {
	for range 1 + idgenRetries {
		out = append(out, b.after(time.Second)...)
		out = append(out, b.do(AddressDuplicate{b.current()})...)
	}
	return out
}

// tableState is the state of the prefix in the words of the table.
func (b *autoBench) tableState() string {
	p := b.m.prefixes[tablePrefix.Prefix]
	switch {
	case !b.m.up:
		return "down"
	case p == nil:
		return "new"
	case p.stable != nil && p.stable.deprecated:
		return b.inWords("deprecated " + p.stable.addr.String())
	case p.stable != nil:
		return b.inWords("formed " + p.stable.addr.String())
	case p.stableAttempts.barred:
		return "barred"
	}
	if _, ok := b.m.timers.At(slaacTimer{prefix: p, kind: retry}); ok {
		return "waiting"
	}
	return "none"
}

// inWords puts DAD_Counters in the place of addresses and leaves out the rest.
func (b *autoBench) inWords(s string) string {
	words := strings.Fields(s)
	for counter := range uint32(5) {
		a := stableAddr(subnet, counter).String()
		if len(words) > 1 && strings.TrimSuffix(words[1], "/64") == a {
			return words[0] + " " + string(rune('0'+counter))
		}
	}
	if words[0] == "save" {
		return words[0] + " " + words[2]
	}
	return words[0]
}

// Each pair of a state and an event has a row, and does what it says.
func TestAutoconfEveryStateAndEvent(t *testing.T) {
	rows := make(map[string]string) // "state, event" to outcome
	event := ""
	for line := range strings.Lines(autoconfTransitions) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "event "); ok {
			if event = name; autoconfEvents[event] == nil {
				t.Errorf("unknown event %q", event)
			}
			continue
		}
		if line == "" {
			continue
		}
		f := strings.Split(line, "|")
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		if len(f) != 3 || autoconfStates[f[0]] == nil {
			t.Fatalf("odd row %q", line)
		}
		rows[f[0]+", "+event] = f[1] + " | " + f[2]
	}
	for state, lead := range autoconfStates {
		for event, do := range autoconfEvents {
			name := state + ", " + event
			want, ok := rows[name]
			if !ok {
				t.Errorf("%s: no row", name)
				continue
			}
			b := newUpBench(t, stableConfig)
			lead(b)
			var words []string
			for _, o := range do(b) {
				words = append(words, b.inWords(o))
			}
			if got := b.tableState() + " | " + strings.Join(words, ", "); got != want {
				t.Errorf("%s:\n got %s\nwant %s", name, got, want)
			}
		}
	}
	if n := len(autoconfStates) * len(autoconfEvents); len(rows) != n {
		t.Errorf("%d rows for %d pairs", len(rows), n)
	}
}
