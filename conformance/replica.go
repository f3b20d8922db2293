package conformance

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// draw is one question to chance: the nth that the Core asked at a moment.
type draw struct {
	at     time.Duration
	n      int
	lo, hi time.Duration
}

// choices are the answers that the host evidently drew. What it has not shown
// yet is answered with the longest delay.
type choices map[draw]time.Duration

// script is the chance of a replica.
type script struct {
	choices choices
	at      time.Duration
	n       int
	nonces  uint64
	asked   []draw
}

// Between implements nd.Random.
func (s *script) Between(lo, hi time.Duration) time.Duration {
	d := draw{s.at, s.n, lo, hi}
	s.n++
	s.asked = append(s.asked, d)
	if answer, ok := s.choices[d]; ok {
		return answer
	}
	return hi
}

// Nonce implements nd.Random.
func (s *script) Nonce() nd.Nonce {
	s.nonces++
	return nd.Nonce(binary.BigEndian.AppendUint64(nil, s.nonces)[2:])
}

// foreseen is something that a replica sent and the host is still to send.
type foreseen struct {
	at   time.Duration
	item item
}

// replica is a Core to which happens what happens to the host.
type replica struct {
	core    *stack.Core
	script  *script
	now     time.Duration
	due     []foreseen // by time
	enabled map[netip.Addr]struct{}
}

// happening is one thing that happened to the host or that it did.
type happening struct {
	at     time.Duration
	event  stack.CoreEvent // nil: none
	sent   []item          // by the host
	forgot []item          // that it did not send, which has been told
}

func newReplica(cfg stack.CoreConfig) *replica {
	s := &script{choices: choices{}}
	return &replica{core: stack.NewCore(cfg, s), script: s, enabled: map[netip.Addr]struct{}{}}
}

// copy returns another one, with choices of its own.
func (r *replica) copy(c choices) *replica {
	s := &script{choices: c, at: r.script.at, n: r.script.n, nonces: r.script.nonces}
	return &replica{
		core: clone(r.core, map[any]any{r.script: s}), script: s, now: r.now,
		due: slices.Clone(r.due), enabled: maps.Clone(r.enabled),
	}
}

// begin says when the Core asks what it asks next.
func (r *replica) begin(at time.Duration) {
	r.now = max(r.now, at)
	if r.script.at != r.now {
		r.script.at, r.script.n = r.now, 0
	}
}

// run lets time pass, one deadline after the other.
func (r *replica) run(until time.Duration) {
	for {
		at, ok := r.core.Deadline()
		if !ok || at.Sub(epoch) > until {
			break
		}
		r.begin(at.Sub(epoch))
		r.take(r.core.Advance(epoch.Add(r.now)))
	}
	r.now = max(r.now, until)
}

func (r *replica) step(at time.Duration, ev stack.CoreEvent) {
	r.run(at)
	r.begin(at)
	r.take(r.core.Step(epoch.Add(r.now), ev))
}

func (r *replica) take(actions []stack.CoreAction) {
	for _, act := range actions {
		switch act := act.(type) {
		case *stack.Send:
			for _, it := range itemsOf(dissect(act.Frame)) {
				r.due = append(r.due, foreseen{r.now, it})
			}
		case stack.Enable:
			r.enabled[act.Addr] = struct{}{}
		case stack.Disable:
			delete(r.enabled, act.Addr)
		case stack.Abort, stack.Publish, stack.SetNeighborView, stack.DropNeighborView, stack.Release, stack.Resend, stack.WatchProgress,
			stack.UseLinkAddr, stack.Unreachable, stack.Discard, stack.OpenGroup, stack.FilterGroup, stack.CloseGroup,
			stack.SetHopLimit, stack.SetPathMTU, stack.SetUsable, stack.SaveDADCounter, stack.Done, stack.Notify:
			// They do not show on the wire.
		}
	}
}

// found takes the items that the host sent from those that are due. It returns
// those that are not.
func (r *replica) found(items []item) (strange []item) {
	for _, it := range items {
		k := slices.IndexFunc(r.due, func(f foreseen) bool { return f.item.key == it.key })
		if k < 0 {
			strange = append(strange, it)
			continue
		}
		r.due = slices.Delete(r.due, k, k+1)
	}
	return strange
}

// live goes through something again, with other choices perhaps. It reports
// whether what the host sent was due, and nothing overdue was left.
func (r *replica) live(h happening, slack time.Duration) bool {
	r.run(h.at)
	if h.event != nil {
		r.step(h.at, h.event)
	}
	strange := r.found(h.sent)
	r.found(h.forgot)
	return len(strange) == 0 && !r.overdue(h.at-slack)
}

// overdue reports whether something was due before a time.
func (r *replica) overdue(at time.Duration) bool { return len(r.due) > 0 && r.due[0].at < at }

// item is one thing that a frame says, with all that the RFCs fix about it and
// nothing that they leave open: the order of options, nonces, flow labels, how
// records are spread over reports.
type item struct {
	key  string
	kind string // of the message
	// target is whom a solicitation or advertisement is about.
	target netip.Addr
}

func (it item) String() string { return it.key }

// fixed are the fields that count, by kind.
var fixed = map[string][]string{
	"ns": {"src", "dst", "target", "sllao"}, "na": {"src", "dst", "target", "R", "S", "O", "tllao"}, "rs": {"src", "dst", "sllao"},
	"report1": {"src", "dst", "group"}, "done": {"src", "dst", "group"}, "report": {"src", "dst"},
}

// itemsOf is what a message of Neighbor Discovery or MLD says. Solicitations by
// unicast are left out: when a neighbor is probed depends on what the host
// sent, and drew, before (RFC 4861, section 7.3.3).
func itemsOf(p *packet) (items []item) {
	fields, ok := fixed[p.kind]
	if !ok || p.kind == "ns" && !strings.HasPrefix(p.one("dst"), "ff") {
		return nil
	}
	var b strings.Builder
	b.WriteString(kindNames[p.kind])
	for _, name := range fields {
		if v := p.one(name); v != "" {
			fmt.Fprintf(&b, " %s=%s", name, v)
		}
	}
	usual := pattern{kind: p.kind}.withDefaults()
	for _, f := range usual.fields {
		if v := p.one(f.name); v != f.value {
			fmt.Fprintf(&b, " %s=%s", f.name, v)
		}
	}
	if dst := p.one("dst"); strings.HasPrefix(dst, "ff") {
		if to := nd.MulticastLinkAddr(parsed(dst)).String(); p.one("ethdst") != to {
			fmt.Fprintf(&b, " ethdst=%s", p.one("ethdst"))
		}
	}
	if len(p.fields["malformed"]) > 0 {
		fmt.Fprintf(&b, " malformed (%s)", p.one("malformed"))
	}
	if p.kind == "ns" && len(p.fields["nonce"]) > 0 {
		b.WriteString(" nonce")
	}
	if p.kind != "report" {
		return []item{{b.String(), p.kind, parsed(p.one("target"))}}
	}
	for _, r := range p.fields["record"] {
		items = append(items, item{b.String() + " record=" + r, p.kind, netip.Addr{}})
	}
	return items
}
