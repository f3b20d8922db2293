package nd

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// transitions has a row for each pair of state and event: the rows of the table
// in RFC 4861, appendix C, as its body (section 7.2.5) and RFC 7048 have it, and
// what follows for the rest. The second column has the numbers of the RFCs'
// rows; 29' is the one that RFC 7048 has in the place of 29.
//
// An entry has link-layer address A and, if it has one, is a router's; each
// advertisement has the R flag the other way round. "hears B" means that a
// message has another address than the entry. N is the number of solicitations
// that a state allows.
//
// What comes out: the entry's state, address, and R for a router; then what is
// sent or said, "ns*" being a solicitation by multicast and "failed" a removal
// because nobody answered.
const transitions = `
event packet to send
none        | 1   | incomplete   | changed ns*
incomplete  |     | incomplete   |
reachable   |     | reachable A R | resolved
stale       | 26  | delay A R     | changed resolved
delay       |     | delay A R     | resolved
probe       |     | probe A R     | resolved
unreachable |     | unreachable A R | resolved
static      |     | static A R    | resolved

event packet sent
none        |     | none         |
incomplete  |     | incomplete   |
reachable   |     | reachable A R |
stale       | 26  | delay A R     | changed
delay       |     | delay A R     |
probe       |     | probe A R     |
unreachable |     | unreachable A R |
static      |     | static A R    |

event upper-layer confirmation
none        |     | none         |
incomplete  | 24  | incomplete   |
reachable   | 23  | reachable A R |
stale       | 23  | reachable A R | changed
delay       | 23  | reachable A R | changed
probe       | 23  | reachable A R | changed
unreachable | 23  | reachable A R | changed
static      |     | static A R    |

event timer, less than N sent
none        |     | none         |
incomplete  | 2   | incomplete   | ns*
reachable   | 25  | stale A R     | changed
stale       |     | stale A R     |
delay       | 27  | probe A R     | changed ns
probe       | 28  | probe A R     | ns
unreachable | 30  | unreachable A R | ns*
static      |     | static A R    |

event timer, N sent
none        |     | none         |
incomplete  | 3   | none         | failed unresolved
reachable   | 25  | stale A R     | changed
stale       |     | stale A R     |
delay       | 27  | probe A R     | changed ns
probe       | 29' | unreachable A R | changed ns*
unreachable | 30  | unreachable A R | ns*
static      |     | static A R    |

event timer, N sent, without UNREACHABLE
none        |     | none         |
incomplete  | 3   | none         | failed unresolved
reachable   | 25  | stale A R     | changed
stale       |     | stale A R     |
delay       | 27  | probe A R     | changed ns
probe       | 29  | none         | failed
unreachable |     | unreachable A R | ns*
static      |     | static A R    |

event probe of a router
none        |     | incomplete   | changed ns*
incomplete  |     | incomplete   |
reachable   |     | reachable A R |
stale       |     | stale A R     |
delay       |     | delay A R     |
probe       |     | probe A R     |
unreachable |     | unreachable A R | ns*
static      |     | static A R    |

event RA without LLA
none        |     | none          | 
incomplete  |     | incomplete R  | changed
reachable   | 13  | reachable A R | 
stale       | 13  | stale A R     | 
delay       | 13  | delay A R     | 
probe       | 13  | probe A R     | 
unreachable | 13  | unreachable A R | 
static      |     | static A R    | 

event RA hears A
none        | 9   | stale A R     | changed changed
incomplete  | 10  | delay A R     | changed resolved changed changed
reachable   | 13  | reachable A R | 
stale       | 13  | stale A R     | 
delay       | 13  | delay A R     | 
probe       | 13  | probe A R     | 
unreachable | 13  | unreachable A R | 
static      |     | static A R    | 

event RA hears B
none        | 9   | stale B R     | changed changed
incomplete  | 10  | delay B R     | changed resolved changed changed
reachable   | 12  | stale B R     | changed
stale       | 12  | stale B R     | changed
delay       | 12  | stale B R     | changed
probe       | 12  | stale B R     | changed
unreachable | 12  | stale B R     | changed
static      |     | static A R    | 

event Redirect of a host hears A
none        | 9   | stale A       | changed
incomplete  | 10  | delay A       | changed resolved changed
reachable   | 13  | reachable A R | 
stale       | 13  | stale A R     | 
delay       | 13  | delay A R     | 
probe       | 13  | probe A R     | 
unreachable | 13  | unreachable A R | 
static      |     | static A R    | 

event NS without LLA
none        | 8   | incomplete   | changed ns*
incomplete  | 11  | incomplete   |
reachable   | 13  | reachable A R | na
stale       | 13  | stale A R     | na
delay       | 13  | delay A R     | na
probe       | 13  | probe A R     | na
unreachable | 13  | unreachable A R | na
static      |     | static A R    | na

event NS hears A
none        | 9   | stale A      | changed na
incomplete  | 10  | delay A      | changed resolved changed na
reachable   | 13  | reachable A R | na
stale       | 13  | stale A R     | na
delay       | 13  | delay A R     | na
probe       | 13  | probe A R     | na
unreachable | 13  | unreachable A R | na
static      |     | static A R    | na

event NS hears B
none        | 9   | stale B      | changed na
incomplete  | 10  | delay B      | changed resolved changed na
reachable   | 12  | stale B R     | changed na
stale       | 12  | stale B R     | changed na
delay       | 12  | stale B R     | changed na
probe       | 12  | stale B R     | changed na
unreachable | 12  | stale B R     | changed na
static      |     | static A R    | na

event NA S=0 O=0 without LLA
none        | 7   | none         |
incomplete  | 6   | incomplete   |
reachable   | 16  | reachable A  | changed
stale       | 16  | stale A      | changed
delay       | 16  | delay A      | changed
probe       | 16  | probe A      | changed
unreachable | 16  | unreachable A | changed
static      |     | static A R    |

event NA S=0 O=1 without LLA
none        | 7   | none         |
incomplete  | 6   | incomplete   |
reachable   | 16  | reachable A  | changed
stale       | 16  | stale A      | changed
delay       | 16  | delay A      | changed
probe       | 16  | probe A      | changed
unreachable | 16  | unreachable A | changed
static      |     | static A R    |

event NA S=1 O=0 without LLA
none        | 7   | none         |
incomplete  | 6   | incomplete   |
reachable   | 15  | reachable A  | changed
stale       | 15  | reachable A  | changed
delay       | 15  | reachable A  | changed
probe       | 15  | reachable A  | changed
unreachable | 15  | reachable A  | changed
static      |     | static A R    |

event NA S=1 O=1 without LLA
none        | 7   | none         |
incomplete  | 6   | incomplete   |
reachable   | 15  | reachable A  | changed
stale       | 15  | reachable A  | changed
delay       | 15  | reachable A  | changed
probe       | 15  | reachable A  | changed
unreachable | 15  | reachable A  | changed
static      |     | static A R    |

event NA S=0 O=0 hears A
none        | 7   | none         |
incomplete  | 4   | delay A R     | changed resolved changed
reachable   | 20  | reachable A  | changed
stale       | 20  | stale A      | changed
delay       | 20  | delay A      | changed
probe       | 20  | probe A      | changed
unreachable | 20  | unreachable A | changed
static      |     | static A R    |

event NA S=0 O=1 hears A
none        | 7   | none         |
incomplete  | 4   | delay A R     | changed resolved changed
reachable   | 21  | reachable A  | changed
stale       | 21  | stale A      | changed
delay       | 21  | delay A      | changed
probe       | 21  | probe A      | changed
unreachable | 21  | unreachable A | changed
static      |     | static A R    |

event NA S=1 O=0 hears A
none        | 7   | none         |
incomplete  | 5   | reachable A R | changed resolved
reachable   | 14  | reachable A  | changed
stale       | 14  | reachable A  | changed
delay       | 14  | reachable A  | changed
probe       | 14  | reachable A  | changed
unreachable | 14  | reachable A  | changed
static      |     | static A R    |

event NA S=1 O=1 hears A
none        | 7   | none         |
incomplete  | 5   | reachable A R | changed resolved
reachable   | 19  | reachable A  | changed
stale       | 19  | reachable A  | changed
delay       | 19  | reachable A  | changed
probe       | 19  | reachable A  | changed
unreachable | 19  | reachable A  | changed
static      |     | static A R    |

event NA S=0 O=0 hears B
none        | 7   | none         |
incomplete  | 4   | delay B R     | changed resolved changed
reachable   | 17  | stale A R     | changed
stale       | 18  | stale A R     |
delay       | 18  | delay A R     |
probe       | 18  | probe A R     |
unreachable | 18  | unreachable A R |
static      |     | static A R    |

event NA S=0 O=1 hears B
none        | 7   | none         |
incomplete  | 4   | delay B R     | changed resolved changed
reachable   | 22  | stale B      | changed
stale       | 22  | stale B      | changed
delay       | 22  | stale B      | changed
probe       | 22  | stale B      | changed
unreachable | 22  | stale B      | changed
static      |     | static A R    |

event NA S=1 O=0 hears B
none        | 7   | none         |
incomplete  | 5   | reachable B R | changed resolved
reachable   | 17  | stale A R     | changed
stale       | 18  | stale A R     |
delay       | 18  | delay A R     |
probe       | 18  | probe A R     |
unreachable | 18  | unreachable A R |
static      |     | static A R    |

event NA S=1 O=1 hears B
none        | 7   | none         |
incomplete  | 5   | reachable B R | changed resolved
reachable   | 19  | reachable B  | changed
stale       | 19  | reachable B  | changed
delay       | 19  | reachable B  | changed
probe       | 19  | reachable B  | changed
unreachable | 19  | reachable B  | changed
static      |     | static A R    |

event set static to A
none        |     | static A     | changed
incomplete  |     | static A     | changed resolved
reachable   |     | static A R    | changed
stale       |     | static A R    | changed
delay       |     | static A R    | changed
probe       |     | static A R    | changed
unreachable |     | static A R    | changed
static      |     | static A R    |

event set static to B
none        |     | static B     | changed
incomplete  |     | static B     | changed resolved
reachable   |     | static B R    | changed
stale       |     | static B R    | changed
delay       |     | static B R    | changed
probe       |     | static B R    | changed
unreachable |     | static B R    | changed
static      |     | static B R    | changed

event delete
none        |     | none         |
incomplete  |     | none         | removed unresolved
reachable   |     | none         | removed
stale       |     | none         | removed
delay       |     | none         | removed
probe       |     | none         | removed
unreachable |     | none         | removed
static      |     | none         | removed

event flush
none        |     | none         |
incomplete  |     | none         | removed unresolved
reachable   |     | none         | removed
stale       |     | none         | removed
delay       |     | none         | removed
probe       |     | none         | removed
unreachable |     | none         | removed
static      |     | static A R    |

event flush with static entries
none        |     | none         |
incomplete  |     | none         | removed unresolved
reachable   |     | none         | removed
stale       |     | none         | removed
delay       |     | none         | removed
probe       |     | none         | removed
unreachable |     | none         | removed
static      |     | none         | removed

event the address becomes our own
none        |     | none         |
incomplete  |     | none         | removed unresolved
reachable   |     | none         | removed
stale       |     | none         | removed
delay       |     | none         | removed
probe       |     | none         | removed
unreachable |     | none         | removed
static      |     | none         | removed

event our address is announced
none        |     | none         | na
incomplete  |     | incomplete   | na
reachable   |     | reachable A R | na
stale       |     | stale A R     | na
delay       |     | delay A R     | na
probe       |     | probe A R     | na
unreachable |     | unreachable A R | na
static      |     | static A R    | na

event our link-layer address changes
none        |     | none         | na
incomplete  |     | incomplete   | na
reachable   |     | reachable A R | na
stale       |     | stale A R     | na
delay       |     | delay A R     | na
probe       |     | probe A R     | na
unreachable |     | unreachable A R | na
static      |     | static A R    | na

event our last source is gone
none        |     | none         |
incomplete  |     | none         | removed unresolved
reachable   |     | reachable A R |
stale       |     | stale A R     |
delay       |     | delay A R     |
probe       |     | probe A R     |
unreachable |     | unreachable A R |
static      |     | static A R    |

event new timers
none        |     | none         |
incomplete  |     | incomplete   |
reachable   |     | reachable A R |
stale       |     | stale A R     |
delay       |     | delay A R     |
probe       |     | probe A R     |
unreachable |     | unreachable A R |
static      |     | static A R    |
`

var (
	macA = link("02:00:00:00:00:0a")
	macB = link("02:00:00:00:00:0b")
)

// tableStates is every state with the events that lead there.
var tableStates = map[string]func(b *bench){
	"none":       func(*bench) {},
	"incomplete": func(b *bench) { b.do(Resolve{addr(peer), addr(hostLL)}) },
	"reachable": func(b *bench) {
		b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "RSO", macA))
	},
	"stale": func(b *bench) {
		b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "RSO", macA))
		b.after(time.Minute)
	},
	"delay": func(b *bench) {
		b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "RO", macA))
	},
	"probe": func(b *bench) {
		b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "RO", macA))
		b.after(5 * time.Second)
	},
	"unreachable": func(b *bench) {
		b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "RO", macA))
		b.after(8 * time.Second)
	},
	"static": func(b *bench) {
		b.do(Resolve{addr(peer), addr(hostLL)}, advert(peer, "RSO", macA), SetStatic{addr(peer), macA})
	},
}

// tableEvents is every event.
var tableEvents = map[string]func(b *bench) []string{
	"packet to send":           tableStep(Resolve{addr(peer), addr(hostLL)}),
	"packet sent":              tableStep(Used{addr(peer)}),
	"upper-layer confirmation": tableStep(Confirm{addr(peer)}),
	"timer, less than N sent": func(b *bench) []string {
		b.keepBusy()
		return b.tableTimer()
	},
	"timer, N sent": (*bench).tableLastTimer,
	"timer, N sent, without UNREACHABLE": func(b *bench) []string {
		b.n.cfg.KeepUnreachable = false
		return b.tableLastTimer()
	},
	"probe of a router": func(b *bench) []string {
		if b.state(peer) == "unreachable" {
			b.after(time.Second) // since the last solicitation
		}
		return b.do(ProbeRouter{addr(peer)})
	},
	"RA without LLA":                 tableStep(Heard{addr(peer), LinkAddr{}, true}),
	"RA hears A":                     tableStep(Heard{addr(peer), macA, true}),
	"RA hears B":                     tableStep(Heard{addr(peer), macB, true}),
	"Redirect of a host hears A":     tableStep(Heard{addr(peer), macA, false}),
	"NS without LLA":                 tableStep(solicit(peer, hostLL, hostLL, LinkAddr{})),
	"NS hears A":                     tableStep(solicit(peer, hostLL, hostLL, macA)),
	"NS hears B":                     tableStep(solicit(peer, hostLL, hostLL, macB)),
	"NA S=0 O=0 without LLA":         tableAdvert("", LinkAddr{}),
	"NA S=0 O=1 without LLA":         tableAdvert("O", LinkAddr{}),
	"NA S=1 O=0 without LLA":         tableAdvert("S", LinkAddr{}),
	"NA S=1 O=1 without LLA":         tableAdvert("SO", LinkAddr{}),
	"NA S=0 O=0 hears A":             tableAdvert("", macA),
	"NA S=0 O=1 hears A":             tableAdvert("O", macA),
	"NA S=1 O=0 hears A":             tableAdvert("S", macA),
	"NA S=1 O=1 hears A":             tableAdvert("SO", macA),
	"NA S=0 O=0 hears B":             tableAdvert("", macB),
	"NA S=0 O=1 hears B":             tableAdvert("O", macB),
	"NA S=1 O=0 hears B":             tableAdvert("S", macB),
	"NA S=1 O=1 hears B":             tableAdvert("SO", macB),
	"set static to A":                tableStep(SetStatic{addr(peer), macA}),
	"set static to B":                tableStep(SetStatic{addr(peer), macB}),
	"delete":                         tableStep(Delete{addr(peer)}),
	"flush":                          tableStep(Flush{}),
	"flush with static entries":      tableStep(Flush{Static: true}),
	"the address becomes our own":    tableStep(Defend{Addr: addr(peer)}),
	"our address is announced":       tableStep(Announce{addr(hostLL), AllNodes, true}),
	"our link-layer address changes": tableStep(SetLinkAddr{link(otherMAC)}),
	"our last source is gone":        tableStep(Yield{addr(hostLL)}),
	"new timers":                     tableStep(SetTimers{time.Minute, time.Minute}),
}

func tableStep(ev Event) func(*bench) []string {
	return func(b *bench) []string { return b.do(ev) }
}

// tableAdvert has the R flag that the entry has not.
func tableAdvert(flags string, a LinkAddr) func(*bench) []string {
	return func(b *bench) []string {
		if nb, _ := b.n.Lookup(addr(peer)); !nb.IsRouter {
			return b.do(advert(peer, flags+"R", a))
		}
		return b.do(advert(peer, flags, a))
	}
}

// keepBusy uses an UNREACHABLE entry, so that its timer has something to do.
func (b *bench) keepBusy() {
	if b.state(peer) == "unreachable" {
		b.do(Used{addr(peer)})
	}
}

// tableTimer lets the next deadline come, or a day pass if there is none.
func (b *bench) tableTimer() []string {
	at, ok := b.n.Deadline()
	if !ok {
		at = b.now.Add(24 * time.Hour)
	}
	return b.after(at.Sub(b.now))
}

// tableLastTimer lets the deadline come that follows the last solicitation.
func (b *bench) tableLastTimer() []string {
	switch b.state(peer) {
	case "incomplete", "probe":
		b.after(2 * time.Second)
	}
	b.keepBusy()
	return b.tableTimer()
}

// tableOutcome is an outcome in the words of the table.
func (b *bench) tableOutcome(out []string) string {
	nb, _ := b.n.Lookup(addr(peer))
	s := b.state(peer)
	if nb.LinkAddr == macA {
		s += " A"
	} else if nb.LinkAddr == macB {
		s += " B"
	}
	if nb.IsRouter {
		s += " R"
	}
	var words []string
	for _, o := range out {
		word := strings.Fields(o)[0]
		if strings.HasPrefix(o, "ns ") && strings.Contains(o, " to ff02::1:ff00:2") {
			word = "ns*"
		}
		if strings.HasSuffix(o, " failed") {
			word = "failed"
		}
		words = append(words, word)
	}
	return s + " | " + strings.Join(words, " ")
}

// Each pair of a state and an event has a row, and does what it says.
//
// Spec: RFC 4861, section 7.2.5, MUST, NUD-R01
// Spec: RFC 7048, section 3, SHOULD, NUD-R09
// Spec: RFC 4861, section 6.3.4, MUST, RA-R08
// Spec: RFC 4861, section 8.3, MUST, RDR-R03
// Spec: RFC 4861, section 8.3, MUST, RDR-R04
// Spec: RFC 9131, section 6.1.1, SHOULD, UNA-R04
// Spec: RFC 4861, section 7.3.1, MUST NOT, NUD-R02
// Spec: RFC 4861, section 7.3.1, SHOULD, NUD-R03
// Spec: RFC 4861, section 7.2.3, MUST NOT, NDV-R09
// Spec: RFC 4861, section 7.2, MUST NOT, NDV-R10
// Spec: RFC 4861, section 7.2.2, must, NUD-1
// Spec: RFC 4861, section 7.2.2, SHOULD, NUD-2
// Spec: RFC 4861, section 7.2.2, MUST, NUD-3
// Spec: RFC 4861, section 7.2.5, must, NUD-4, NUD-5, NUD-17
// Spec: RFC 4861, section 7.2.5, SHOULD, NUD-6, NUD-7, UNA-R04
// Spec: RFC 4861, section 7.2, MUST NOT, NUD-8, NUD-11
// Spec: RFC 4861, section 7.2.3, SHOULD, NUD-9
// Spec: RFC 4861, section 7.2.3, MUST, NUD-12
// Spec: RFC 4861, section 7.2.3, must, NUD-13
// Spec: RFC 4861, section 7.2.5, MUST, NUD-14, NUD-15, NUD-16, NUD-19, NUD-20, NUD-21, NUD-22
// Spec: RFC 4861, section 7.2.5, MUST NOT, NUD-18
// Spec: RFC 4861, section 7.3.3, must, NUD-10, NUD-23, NUD-24, NUD-25, NUD-26, NUD-27, NUD-28
// Spec: RFC 7048, section 3, SHOULD, NUD-29b, NUD-30
func TestNUD_R01_EveryStateAndEvent(t *testing.T) {
	rows := make(map[string]string) // "state, event" to outcome
	numbers := make(map[string]bool)
	event := ""
	for line := range strings.Lines(transitions) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "event "); ok {
			if event = name; tableEvents[event] == nil {
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
		if len(f) != 4 || tableStates[f[0]] == nil {
			t.Fatalf("odd row %q", line)
		}
		rows[f[0]+", "+event] = f[2] + " | " + f[3]
		numbers[f[1]] = true
	}
	for no := 1; no <= 30; no++ {
		if !numbers[strconv.Itoa(no)] {
			t.Errorf("row %d is missing", no)
		}
	}
	for state, lead := range tableStates {
		for event, do := range tableEvents {
			name := state + ", " + event
			want, ok := rows[name]
			if !ok {
				t.Errorf("%s: no row", name)
				continue
			}
			b := newBareBench(t, NeighborConfig{KeepUnreachable: true})
			b.do(Defend{Addr: addr(hostLL)})
			lead(b)
			if got := b.state(peer); got != state {
				t.Fatalf("made %s in place of %s", got, state)
			}
			if got := b.tableOutcome(do(b)); got != want {
				t.Errorf("%s:\n got %s\nwant %s", name, got, want)
			}
		}
	}
	if n := len(tableStates) * len(tableEvents); len(rows) != n {
		t.Errorf("%d rows for %d pairs", len(rows), n)
	}
}
