package conformance

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// What is kept of the past is bounded.
const (
	maxPast = 2048 // things that happened, of which the choices are not known
	maxDue  = 4096 // things that the host should have sent
	maxWork = 1 << 14
)

// Oracle compares a host with the reference model while it watches: to a Core
// of the same profile happens what happens to the host. Wherever the model asks
// chance, the host is taken to have drawn the longest delay until it sends
// earlier; then that is what it evidently drew. Silence beyond the longest
// delay is a departure, and so is what the model would not send.
//
// It must see everything from the time before the host first came up, and be
// told the commands. Three things it makes out by itself: that a packet wants a
// neighbor, from the solicitation; when a neighbor is probed by unicast, which
// is not compared; and that a solicited neighbor had been forgotten. What a
// model cannot foresee is not for an Oracle: random interface identifiers and
// temporary addresses.
//
// Nothing but its arguments decides what it says. It is not safe for concurrent
// use.
type Oracle struct {
	slack    time.Duration
	keeps    bool // an unreachable neighbor is kept, and solicited by multicast
	number   int
	chosen   choices
	base     *replica // has lived through all of which every choice is known
	front    *replica // has lived through everything
	past     []happening
	open     []draw                  // that the host may have answered earlier
	routers  map[netip.Addr]struct{} // heard of by advertisements
	told     []*Departure
	dropped  int
	commands stack.RequestID
}

// NewOracle returns an Oracle of a host that is down. Chance of the setup is
// not looked at. slack is how late, or early, a frame may be for what cannot be
// helped.
func NewOracle(s Setup, slack time.Duration) (*Oracle, error) {
	cfg, err := coreConfig(s)
	if err != nil {
		return nil, err
	}
	return &Oracle{
		slack: slack, keeps: s.Profile == "current" || slices.Contains(s.Knobs, Setting{"nud_exhausted", "unreachable"}),
		chosen: choices{}, routers: map[netip.Addr]struct{}{}, base: newReplica(cfg), front: newReplica(cfg),
	}, nil
}

// Saw takes a frame of the link at a time, the host's or somebody else's by its
// Ethernet source. It returns a departure that it found by then, if there is
// one; Silent returns others.
func (o *Oracle) Saw(at time.Duration, frame []byte) *Departure {
	if len(frame) >= ethernetLen && nd.LinkAddr(frame[6:12]) == o.front.core.LinkAddr() {
		return o.Sent(at, frame)
	}
	return o.Received(at, frame)
}

// Received takes a frame that the host received, also one with its own Ethernet
// address.
func (o *Oracle) Received(at time.Duration, frame []byte) *Departure {
	o.number++
	o.pass(at)
	p := dissect(frame)
	if src := parsed(p.one("src")); p.kind == "ra" && len(o.routers) < maxDue {
		o.routers[src] = struct{}{}
	}
	if p.is("nd") || p.is("mld") || p.kind == "query" {
		o.happened(happening{at: at, event: stack.FrameReceived{Frame: slices.Clone(frame)}})
	}
	return o.next()
}

// Sent takes a frame that the host sent.
func (o *Oracle) Sent(at time.Duration, frame []byte) *Departure {
	o.number++
	o.pass(at)
	p := dissect(frame)
	switch items := itemsOf(p); {
	case len(items) > 0:
		o.sent(at, p, items)
	case p.is("nd"), p.is("mld"):
	case p.kind != "other":
		o.data(at, p)
	}
	return o.next()
}

// Silent says that nothing else came before a time.
func (o *Oracle) Silent(until time.Duration) *Departure {
	o.pass(until)
	return o.next()
}

// Do says that the host was given a command. What the model refuses is taken to
// be refused by the host.
func (o *Oracle) Do(at time.Duration, c Command) (*Departure, error) {
	o.pass(at)
	o.commands++
	ev, err := eventOf(c, o.commands)
	if err != nil || ev == nil {
		return o.next(), err
	}
	o.happened(happening{at: at, event: ev})
	return o.next(), nil
}

// next returns the departure that was found first.
func (o *Oracle) next() *Departure {
	if len(o.told) == 0 {
		return nil
	}
	d := o.told[0]
	o.told = o.told[1:]
	return d
}

func (o *Oracle) departs(at time.Duration, kind, expected, observed string) {
	if len(o.told) == maxDepartures {
		o.dropped++
		return
	}
	r := itemRules[kind]
	o.told = append(o.told, &Departure{At: at, Frame: o.number, Section: r.section, Requirement: r.requirement, Expected: expected, Observed: observed})
}

// itemRules are where it is written when a host sends a message.
var itemRules = map[string]rule{
	"ns": {"RFC 4861, section 7.2.2", "NDS-R08"}, "probe": {"RFC 4862, section 5.4.2", "DAD-R14"}, "na": {"RFC 4861, section 7.2.4", "NDV-R06"},
	"rs": {"RFC 4861, section 6.3.7", "RS-R01"}, "report": {"RFC 3810, section 6", "MLD2-R02"}, "report1": {"RFC 2710, section 4", "MLD1-R01"},
	"done": {"RFC 2710, section 4", "MLD1-R05"}, "data": {"RFC 4862, section 5.4", "DAD-R16"},
}

// kindOf tells probes from other solicitations.
func kindOf(it item) string {
	if it.kind == "ns" && strings.Contains(it.key, "src=:: ") {
		return "probe"
	}
	return it.kind
}

// pass lets time pass for the model, and misses what the host did not send.
func (o *Oracle) pass(at time.Duration) {
	o.front.run(at)
	o.asked()
	for o.front.overdue(at - o.slack) {
		f := o.front.due[0]
		if !o.mayBeLeftOut(f.item) {
			o.departs(f.at+o.slack, kindOf(f.item), fmt.Sprintf("%v by %v", f.item, f.at), "nothing")
		}
		o.happened(happening{at: at, forgot: []item{f.item}})
	}
	o.settle(at)
}

// mayBeLeftOut: a router that did not answer may be asked once, only to see
// whether it does again (RFC 4861, section 6.3.6).
func (o *Oracle) mayBeLeftOut(it item) bool {
	_, ok := o.routers[it.target]
	return ok && kindOf(it) == "ns"
}

// asked notes what the model asked chance since.
func (o *Oracle) asked() {
	for _, d := range o.front.script.asked {
		// How long a neighbor is taken to be reachable does not show.
		if _, known := o.chosen[d]; !known && d.hi != 3*d.lo && d.hi > d.lo {
			o.open = append(o.open, d)
		}
	}
	o.front.script.asked = o.front.script.asked[:0]
}

func (o *Oracle) happened(h happening) {
	o.front.live(h, o.slack)
	o.asked()
	o.past = append(o.past, h)
}

// settle has the base follow, up to the first choice that the host may still
// show to have made otherwise.
func (o *Oracle) settle(now time.Duration) {
	o.open = slices.DeleteFunc(o.open, func(d draw) bool {
		_, known := o.chosen[d]
		return known || d.at+d.hi+o.slack < now
	})
	first := now
	for _, d := range o.open {
		first = min(first, d.at)
	}
	n := 0
	for n < len(o.past) && (o.past[n].at < first || len(o.past)-n > maxPast) {
		o.base.live(o.past[n], o.slack)
		n++
	}
	o.past = slices.Delete(o.past, 0, n)
	o.base.script.asked = o.base.script.asked[:0]
	maps.DeleteFunc(o.chosen, func(d draw, _ time.Duration) bool { return d.at < o.base.now })
	if n := len(o.front.due) - maxDue; n > 0 {
		o.front.due = slices.Delete(o.front.due, 0, n)
		o.dropped += n
	}
}

// sent compares what the host sent with the model.
func (o *Oracle) sent(at time.Duration, p *packet, items []item) {
	due := slices.Clone(o.front.due)
	strange := o.front.found(items)
	if len(strange) == 0 {
		o.past = append(o.past, happening{at: at, sent: items})
		return
	}
	o.front.due = due
	if p.kind == "ns" && p.one("src") != "::" && o.wanted(at, p, items) {
		return
	}
	if o.drew(at, items) {
		return
	}
	strange = o.front.found(items)
	for _, it := range strange {
		items = slices.DeleteFunc(items, func(other item) bool { return other == it })
		o.departs(at, kindOf(it), o.expectation(), it.String())
	}
	o.past = append(o.past, happening{at: at, sent: items})
}

// expectation is what the model would send next.
func (o *Oracle) expectation() string {
	if len(o.front.due) > 0 {
		return fmt.Sprintf("%v at %v", o.front.due[0].item, o.front.due[0].at)
	}
	if at, ok := o.front.core.Deadline(); ok {
		return fmt.Sprintf("nothing before %v", at.Sub(epoch))
	}
	return "nothing"
}

// wanted makes out from a solicitation that a packet wants a neighbor.
func (o *Oracle) wanted(at time.Duration, p *packet, items []item) bool {
	target := parsed(p.one("target"))
	packet := stack.Output{NextHop: target, Src: parsed(p.one("src")), Dst: target}
	if !isUnicast(target) {
		return false
	}
	before := len(o.front.due)
	o.happened(happening{at: at, event: packet})
	if len(o.front.due) == before {
		// It does not resolve what it knows: the host has forgotten it, or
		// believes that it is unreachable.
		if !o.knows(target) {
			return false
		}
		if o.keeps {
			return true
		}
		o.happened(happening{at: at, event: stack.DeleteNeighbor{Addr: target}})
		o.happened(happening{at: at, event: packet})
	}
	if len(o.front.found(items)) > 0 {
		return false
	}
	o.past = append(o.past, happening{at: at, sent: items})
	return true
}

// knows reports whether the model has the link-layer address of a neighbor.
func (o *Oracle) knows(a netip.Addr) bool {
	return slices.ContainsFunc(o.front.core.Neighbors(), func(n nd.Neighbor) bool { return n.Addr == a && !n.LinkAddr.IsZero() })
}

// drew looks for the choice by which the model sends this now.
func (o *Oracle) drew(at time.Duration, items []item) bool {
	work := maxWork
	for _, d := range o.open {
		answer := min(max(at-d.at, d.lo), d.hi)
		if early := at - d.at; early < d.lo-o.slack || early > d.hi+o.slack || answer == d.hi {
			continue
		}
		if work -= len(o.past) + 16; work < 0 {
			return false
		}
		if o.try(d, answer, at, items) {
			return true
		}
	}
	return false
}

// try lives through what happened since the base with another answer of chance.
func (o *Oracle) try(d draw, answer, at time.Duration, items []item) bool {
	c := maps.Clone(o.chosen)
	c[d] = answer
	r := o.base.copy(c)
	for _, h := range o.past {
		if !r.live(h, o.slack) {
			return false
		}
	}
	r.run(at)
	if len(r.found(items)) > 0 || r.overdue(at-o.slack) {
		return false
	}
	o.front, o.chosen, o.base.script.choices = r, c, c
	o.past = append(o.past, happening{at: at, sent: items})
	o.open = o.open[:0]
	o.asked()
	return true
}

// data judges a packet of the host that is neither Neighbor Discovery nor MLD:
// only an address that the model has may be its source.
func (o *Oracle) data(at time.Duration, p *packet) {
	src := parsed(p.one("src"))
	if _, ok := o.front.enabled[src]; ok || !isUnicast(src) {
		return
	}
	o.departs(at, "data", fmt.Sprintf("no packet from %v, which is not assigned", src), "one to "+p.one("dst"))
}
