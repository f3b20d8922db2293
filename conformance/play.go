package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// player plays one case with one target.
type player struct {
	ctx    context.Context
	c      *Case
	t      Target
	slack  time.Duration
	late   func(time.Duration) time.Duration // how much later a timer of the host may go off
	can    []Capability
	names  *names
	result *Result

	// frames are what the host sent; those before cursor have been dealt with.
	// origin is the time from which windows are counted, and origin of a label
	// that of the moment it names.
	frames  []seen
	cursor  int
	origin  time.Duration
	labels  map[string]time.Duration
	inBlock bool // the last step was a stimulus or a command
	answer  []answers
	matched []byte // the frame of the last expectation
	last    []byte // the packet with data that the host sent last
	step    step
}

// seen is a frame of the host with its place in the trace.
type seen struct {
	Frame
	*packet
	index int
}

// deviation is why a case fails.
type deviation struct {
	expected, observed string
	index              int // in the trace, or -1
	window             *Window
}

func (d *deviation) Error() string { return d.observed }

// play runs the steps and fills in the result.
func (p *player) play() {
	p.names = newNames(p.t.LinkAddr())
	p.labels = map[string]time.Duration{}
	for _, s := range p.c.steps {
		if !p.applies(s.only) {
			continue
		}
		p.step = s
		p.result.played = append(p.result.played, playedStep{s, len(p.result.Trace)})
		if err := p.do(s.do); err != nil {
			p.conclude(s, err)
			break
		}
	}
	p.result.Took = p.t.Now()
	if p.result.Verdict == Pass {
		p.result.played = nil
	}
}

// applies reports whether one of the words of a condition holds.
func (p *player) applies(only []string) bool {
	return len(only) == 0 || slices.ContainsFunc(only, func(w string) bool {
		name, not := strings.CutPrefix(w, "!")
		return (name == p.result.Profile || slices.Contains(p.can, Capability(name))) != not
	})
}

// conclude turns what stopped the case into its verdict.
func (p *player) conclude(s step, err error) {
	r := p.result
	r.Line, r.Step, r.Section = s.line, s.text, s.spec
	if r.Section == "" {
		r.Section = p.c.Spec()
	}
	var d *deviation
	switch {
	case errors.As(err, &d):
		r.Verdict, r.Expected, r.Observed, r.Deviating, r.Window = Fail, d.expected, d.observed, d.index, d.window
		if s.given {
			r.Verdict = Inconclusive
		}
	case errors.Is(err, ErrNotApplicable):
		r.Verdict, r.Observed = NotApplicable, err.Error()
	default:
		r.Verdict, r.Observed = Inconclusive, err.Error()
	}
}

func (p *player) note(what What, text string, frame []byte) int {
	at := p.t.Now()
	p.result.Trace = append(p.result.Trace, Event{At: at, What: what, Text: text, Frame: frame, Line: p.step.line})
	return len(p.result.Trace) - 1
}

func (p *player) do(do action) error {
	switch do := do.(type) {
	case stimulus:
		return p.stimulate(do)
	case rawFrame:
		return p.inject(do.octets)
	case reflection:
		if p.matched == nil {
			return errors.New("no frame has been expected yet that could be returned")
		}
		return p.inject(p.matched)
	case order:
		return p.order(do)
	case answers:
		p.answer = slices.DeleteFunc(p.answer, func(a answers) bool { return a.node.name == do.node.name })
		p.answer = append(p.answer, do)
		return nil
	case label:
		p.labels[do.name] = p.origin
		return nil
	case let:
		a, err := p.names.addr(do.value)
		p.names.vars[do.name] = a.String()
		return err
	case wait:
		from, err := p.since(do.since)
		if err != nil {
			return err
		}
		return p.pass(from + do.d)
	case settle:
		return p.drain(p.t.Now() + p.slack)
	case *expect:
		p.inBlock = false
		return p.expect(do)
	case *quiet:
		p.inBlock = false
		return p.quiet(do)
	case view:
		return p.view(do)
	}
	return fmt.Errorf("a step of type %T", do)
}

// since returns the time from which a window is counted.
func (p *player) since(name string) (time.Duration, error) {
	if name == "" {
		return p.origin, nil
	}
	t, ok := p.labels[name]
	if !ok {
		return 0, fmt.Errorf("no label %s", name)
	}
	return t, nil
}

// begin opens a block of stimuli and commands: what the host sent before is
// dealt with.
func (p *player) begin() error {
	if p.inBlock {
		return nil
	}
	p.inBlock = true
	err := p.drain(p.t.Now())
	p.cursor = len(p.frames)
	return err
}

// drain reads all that the host sends until a time.
func (p *player) drain(until time.Duration) error {
	for {
		if more, err := p.take(until); err != nil || !more {
			return err
		}
	}
}

func (p *player) stimulate(s stimulus) error {
	if err := p.begin(); err != nil {
		return err
	}
	frames, err := build(p.names, s.from, s.kind, s.fields, p.last)
	if err != nil {
		return err
	}
	for _, f := range frames {
		if err := p.send(f); err != nil {
			return err
		}
	}
	p.origin = p.t.Now()
	return nil
}

func (p *player) inject(frame []byte) error {
	if err := p.begin(); err != nil {
		return err
	}
	err := p.send(frame)
	p.origin = p.t.Now()
	return err
}

func (p *player) send(frame []byte) error {
	p.note(Received, describe(frame), frame)
	return p.t.Send(frame)
}

func (p *player) order(o order) error {
	if err := p.begin(); err != nil {
		return err
	}
	cmd, err := o.command(p.names)
	if err != nil {
		return err
	}
	p.note(Ordered, cmd.String(), nil)
	if err := p.t.Do(cmd); err != nil {
		var failed *HostError
		if errors.Is(err, ErrNotApplicable) || errors.As(err, &failed) {
			return err
		}
		p.note(Noted, fmt.Sprintf("%s: %v", cmd, err), nil)
	}
	p.origin = p.t.Now()
	return nil
}

// take reads what the host sends until a time, up to the first frame, and
// answers for the nodes that answer.
func (p *player) take(until time.Duration) (more bool, err error) {
	f, ok, err := p.next(until)
	if !ok || err != nil {
		return false, err
	}
	s := seen{Frame: f, packet: dissect(f.Data), index: len(p.result.Trace)}
	p.result.Trace = append(p.result.Trace, Event{At: f.At, What: Sent, Text: describe(f.Data), Frame: f.Data, Line: p.step.line})
	p.frames = append(p.frames, s)
	if !s.is("nd") && !s.is("mld") && s.kind != "other" {
		p.last = f.Data[ethernetLen:]
	}
	return true, p.respond(s)
}

// heed is how often a player in real time looks whether it is to end.
const heed = 250 * time.Millisecond

// next is Target.Next, which ends early with the context.
func (p *player) next(until time.Duration) (f Frame, ok bool, err error) {
	for {
		step := until
		if p.slack > 0 {
			step = min(until, p.t.Now()+heed)
		}
		if f, ok, err = p.t.Next(step); ok || err != nil || step == until {
			return f, ok, err
		}
		if err := p.ctx.Err(); err != nil {
			return f, false, err
		}
	}
}

// respond answers a solicitation for the nodes that answer, as RFC 4861,
// section 7.2.4, has it.
func (p *player) respond(s seen) error {
	target, err := netip.ParseAddr(s.one("target"))
	if s.kind != "ns" || err != nil {
		return nil
	}
	probe := s.one("src") == "::"
	for _, a := range p.answer {
		fields := []field{{"target", "=", target.String()}, {"src", "=", target.String()}}
		switch {
		case a.what == "probes" && probe:
			fields = append(fields, field{"dst", "=", allNodes.String()})
		case a.what == "ns" && !probe && a.node.owns(target):
			fields = append(fields, field{"dst", "=", s.one("src")}, field{"ethdst", "=", s.one("ethsrc")})
		default:
			continue
		}
		frames, err := build(p.names, a.node, "na", fields, nil)
		if err != nil {
			return err
		}
		return p.send(frames[0])
	}
	return nil
}

// frame returns the frame at k, or waits for it until a time.
func (p *player) frame(k int, until time.Duration) (seen, bool, error) {
	for k >= len(p.frames) {
		more, err := p.take(until)
		if err != nil || !more {
			return seen{}, false, err
		}
	}
	return p.frames[k], true, nil
}

// pass lets time pass; what the host sends meanwhile is dealt with.
func (p *player) pass(until time.Duration) error {
	p.inBlock = false
	err := p.drain(until)
	p.over(until)
	return err
}

// over says that a time without expectations is over: what the host sent in it
// is dealt with, but for what it may have sent early.
func (p *player) over(until time.Duration) {
	for p.cursor < len(p.frames) && p.frames[p.cursor].At <= until-p.slack {
		p.cursor++
	}
	p.origin = max(p.origin, until)
}

// expect waits for what is expected: all patterns, in any order, or one of
// them, or one several times. The first frame that is like a pattern decides;
// if it comes too early the case fails.
func (p *player) expect(e *expect) error {
	from, err := p.since(e.since)
	if err != nil {
		return err
	}
	lo, hi := p.span(from+e.lo, from+e.hi, e.lo, e.tolerance)
	hi += p.late(e.hi)
	open := slices.Clone(e.patterns)
	for k := range max(1, e.count) {
		if k > 0 {
			open = slices.Clone(e.patterns)
			at := p.origin + e.every
			lo, hi = p.span(at, at, e.every, e.tolerance)
			hi += p.late(e.every)
		}
		if err := p.one(e, open, lo, hi); err != nil {
			var d *deviation
			if e.count > 1 && errors.As(err, &d) {
				d.expected += fmt.Sprintf(" (number %d of %d)", k+1, e.count)
			}
			return err
		}
	}
	return nil
}

// span widens a window by what the target and the step tolerate.
func (p *player) span(lo, hi, d time.Duration, fraction float64) (time.Duration, time.Duration) {
	tolerance := time.Duration(float64(d)*fraction) + p.slack
	return lo - tolerance, hi + tolerance
}

// one waits for all of open, or for one of them.
func (p *player) one(e *expect, open []pattern, lo, hi time.Duration) error {
	near := deviation{index: -1}
	first := p.cursor
	for k := first; len(open) > 0; k++ {
		f, ok, err := p.frame(k, hi)
		if err != nil {
			return err
		}
		if !ok || f.At > hi {
			return p.missing(e, open, lo, hi, near)
		}
		i := slices.IndexFunc(open, func(q pattern) bool { return p.closer(q, f, &near) })
		if i < 0 {
			if k := slices.IndexFunc(e.without, func(q pattern) bool { return p.matches(q, f) }); k >= 0 {
				return &deviation{"no " + e.without[k].String() + " before " + patterns(open, e.any), describe(f.Data), f.index, &Window{p.origin, hi}}
			}
			continue
		}
		if f.At < lo {
			return &deviation{
				fmt.Sprintf("%s, not before %s", open[i], p.time(lo)), fmt.Sprintf("at %s: %s", p.time(f.At), describe(f.Data)), f.index, &Window{lo, hi},
			}
		}
		p.cursor, p.origin, p.matched = max(p.cursor, k+1), f.At, f.Data
		if open = slices.Delete(open, i, i+1); e.any {
			return nil
		}
	}
	return nil
}

// time is a moment, told from the one that windows are counted from.
func (p *player) time(t time.Duration) string {
	return fmt.Sprintf("%v (%v after the step before)", t.Round(time.Millisecond), (t - p.origin).Round(time.Millisecond))
}

// closer reports whether a frame is like a pattern. If not, and if it is more
// like it than what near tells of, near tells of it.
func (p *player) closer(q pattern, f seen, near *deviation) bool {
	differs, otherKind := q.match(p.names, f.packet)
	if otherKind {
		return false
	}
	if len(differs) == 0 {
		return true
	}
	if near.index < 0 {
		*near = deviation{observed: strings.Join(differs, ", ") + ": " + describe(f.Data), index: f.index}
	}
	return false
}

func (p *player) matches(q pattern, f seen) bool {
	differs, otherKind := q.match(p.names, f.packet)
	return !otherKind && len(differs) == 0
}

// missing is the deviation of a host that did not send what was expected.
func (p *player) missing(e *expect, open []pattern, lo, hi time.Duration, near deviation) error {
	if hi < p.t.Now()-p.slack {
		hi = p.t.Now()
	}
	d := &deviation{expected: fmt.Sprintf("%s by %s", patterns(open, e.any), p.time(hi)), observed: "no such frame", index: near.index, window: &Window{lo, hi}}
	if lo > p.origin {
		d.expected = fmt.Sprintf("%s between %s and %s", patterns(open, e.any), p.time(lo), p.time(hi))
	}
	if near.index >= 0 {
		d.observed = near.observed
	}
	return d
}

func patterns(ps []pattern, any bool) string {
	var all []string
	for _, q := range ps {
		all = append(all, q.String())
	}
	if any {
		return strings.Join(all, " or ")
	}
	return strings.Join(all, " and ")
}

// quiet demands that until the end of the window there be none of the frames
// that must not come. What a host may send after it may come a little early.
func (p *player) quiet(q *quiet) error {
	from, err := p.since(q.since)
	if err != nil {
		return err
	}
	lo, hi := from+q.lo, from+q.hi
	for k := p.cursor; ; k++ {
		f, ok, err := p.frame(k, hi)
		if err != nil {
			return err
		}
		if !ok || f.At > hi {
			break
		}
		if q.lo > 0 && f.At < lo || f.At > hi-p.slack {
			continue
		}
		like := func(w pattern) bool { return p.matches(w, f) }
		i := slices.IndexFunc(q.not, like)
		switch {
		case i >= 0:
			return &deviation{fmt.Sprintf("no %s until %s", q.not[i], p.time(hi)), fmt.Sprintf("at %s: %s", p.time(f.At), describe(f.Data)), f.index, &Window{lo, hi}}
		case len(q.not) == 0 && !slices.ContainsFunc(q.but, like):
			return &deviation{fmt.Sprintf("nothing until %s", p.time(hi)), fmt.Sprintf("at %s: %s", p.time(f.At), describe(f.Data)), f.index, &Window{lo, hi}}
		}
	}
	p.over(hi)
	return nil
}

// view looks at a table. A host that shows none is not asked; one with a real
// clock has a moment to come round.
func (p *player) view(v view) error {
	if !slices.Contains(p.can, CanView) {
		return nil
	}
	for until := p.t.Now() + p.slack; ; {
		h, err := p.t.View()
		if err != nil {
			return err
		}
		has, ok, err := v.check(p.names, h)
		if err != nil || ok {
			return err
		}
		if p.t.Now() >= until {
			no := ""
			if v.no {
				no = "no "
			}
			return &deviation{no + v.what + " " + strings.Join(v.words, " "), has, -1, nil}
		}
		if _, err := p.take(min(until, p.t.Now()+10*time.Millisecond)); err != nil {
			return err
		}
	}
}

func newResult(c *Case, d Driver, profile string, chance Chance) Result {
	return Result{
		Case: c.ID, Title: c.Title, Group: c.Group, Target: d.Name(), Profile: profile, Chance: chance, Verdict: Pass,
		Specs: c.Specs, Requirements: c.Requirements, Extern: c.Extern, File: c.File, Line: c.Line, Deviating: -1,
	}
}

// latenessOf is how late the timers of a driver's hosts are, besides its slack.
func latenessOf(d Driver) func(time.Duration) time.Duration {
	if d, ok := d.(Coarse); ok {
		return d.Late
	}
	return func(time.Duration) time.Duration { return 0 }
}

// playCase opens a target for a case and plays it.
func playCase(ctx context.Context, c *Case, d Driver, profile string, chance Chance) Result {
	r := newResult(c, d, profile, chance)
	unable := func(format string, args ...any) Result {
		r.Verdict, r.Observed = NotApplicable, fmt.Sprintf(format, args...)
		return r
	}
	if !c.isFor(profile) {
		return unable("the case is about the profiles %s", strings.Join(c.Profiles, ", "))
	}
	can := d.Can()
	for _, n := range c.Needs {
		if !slices.Contains(can, n) {
			return unable("the target cannot do %s", n)
		}
	}
	t, err := d.Open(Setup{Profile: profile, Knobs: c.Knobs, LinkAddr: HostLinkAddr, Chance: chance, Context: ctx})
	if errors.Is(err, ErrNotApplicable) {
		return unable("%v", err)
	}
	if err != nil {
		r.Verdict, r.Observed = Inconclusive, err.Error()
		return r
	}
	p := &player{ctx: ctx, c: c, t: t, slack: d.Slack(), late: latenessOf(d), can: can, result: &r}
	p.play()
	if err := t.Close(); err != nil && r.Verdict == Pass {
		r.Verdict, r.Observed = Inconclusive, "closing the target: "+err.Error()
	}
	return r
}
