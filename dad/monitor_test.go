package dad

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// A monitor drives a machine, punctually, and checks after each call what must
// hold of it always. It knows the rules in another form than the machine: as
// what an observer of events and actions may see. It keeps every nonce and
// every event, so it is for short runs.
type monitor struct {
	cfg     Config
	m       *Machine
	now     time.Time
	retrans time.Duration
	addrs   map[netip.Addr]*observed
	log     strings.Builder // a transcript
}

// observed is what the monitor knows of an address that is not absent.
type observed struct {
	start    Start
	at       time.Time // of start
	joined   bool
	left     bool // in this call: the verdict must follow
	assigned bool
	probes   int // in all
	rounds   int // beyond the first
	echoes   int
	looped   int // in this round
	nonces   []nd.Nonce
	due      time.Time // of the next probe or the assignment
}

func newMonitor(cfg Config, r nd.Random) *monitor {
	p := &monitor{cfg: cfg, m: New(cfg, r), now: epoch, retrans: cfg.RetransTimer, addrs: make(map[netip.Addr]*observed)}
	if p.retrans == 0 {
		p.retrans = time.Second
	}
	return p
}

// transmits is the number of probes of the first round.
func (p *monitor) transmits() int {
	switch p.cfg.DupAddrDetectTransmits {
	case 0:
		return 1
	case NoTransmits:
		return 0
	}
	return p.cfg.DupAddrDetectTransmits
}

// until advances to at, deadline by deadline.
func (p *monitor) until(at time.Time) (actions []Action, err error) {
	for {
		due, ok := p.m.Deadline()
		if !ok || due.After(at) {
			break
		}
		if due.Before(p.now) {
			return actions, fmt.Errorf("deadline %v is over", due.Sub(epoch))
		}
		p.now = due
		fired := p.m.Advance(due)
		actions = append(actions, fired...)
		p.record("timer", fired)
		if err := p.check(nil, fired); err != nil {
			return actions, err
		}
	}
	p.now = at
	if extra := p.m.Advance(at); len(extra) > 0 {
		return actions, fmt.Errorf("without a deadline: %v", extra)
	}
	return actions, nil
}

// step advances to at and applies ev.
func (p *monitor) step(at time.Time, ev Event) ([]Action, error) {
	actions, err := p.until(at)
	if err != nil {
		return actions, err
	}
	now := p.m.Step(at, ev)
	p.record(formatEvent(ev), now)
	return append(actions, now...), p.check(ev, now)
}

func (p *monitor) record(what string, actions []Action) {
	fmt.Fprintf(&p.log, "%-7s %s\n%s", short(p.now.Sub(epoch)), what, formatActions(actions))
}

// check judges the actions of one call, which applied ev or fired timers.
func (p *monitor) check(ev Event, actions []Action) error {
	want := p.verdict(ev)
	if s, ok := ev.(SetRetransTimer); ok && s.RetransTimer > 0 {
		p.retrans = s.RetransTimer
	}
	for _, a := range actions {
		if err := p.action(ev, a); err != nil {
			return fmt.Errorf("%s: %w", formatAction(a), err)
		}
	}
	if want != "" && (len(actions) == 0 || formatAction(actions[len(actions)-1]) != want) {
		return fmt.Errorf("want %s", want)
	}
	for addr, o := range p.addrs {
		if _, stopped := ev.(Stop); o.left && !stopped {
			return fmt.Errorf("%v left its group for no reason", addr)
		}
		if o.left {
			delete(p.addrs, addr)
		}
	}
	return p.agree()
}

// verdict returns the action that ev must end with, if any.
func (p *monitor) verdict(ev Event) string {
	switch ev := ev.(type) {
	case Solicit:
		o := p.addrs[ev.Target]
		if o == nil || o.assigned || !ev.Src.IsUnspecified() {
			return ""
		}
		var own bool
		switch {
		case !p.cfg.NoNonce:
			own = slices.Contains(o.nonces, ev.Nonce)
		case p.cfg.Loopback == LoopbackEchoes || p.cfg.Loopback == LoopbackUnknown && ev.From == p.cfg.LinkAddr:
			own = o.echoes < o.probes
		}
		if own {
			o.echoes++
			if !p.cfg.NoNonce {
				o.looped++
			}
			return ""
		}
		return formatAction(Reject{&DuplicateError{ev.Target, ev.From, ev.From, FromSolicit}})
	case Advert:
		o := p.addrs[ev.Target]
		if o == nil || o.assigned || ev.Dst == ev.Target && o.start.Mode == Normal && !p.cfg.AcceptUnicastDst {
			return ""
		}
		by := ev.TargetLinkAddr
		if by.IsZero() {
			by = ev.From
		}
		return formatAction(Reject{&DuplicateError{ev.Target, by, ev.From, FromAdvert}})
	case SendFailed:
		if o := p.addrs[ev.Addr]; o != nil && !o.assigned && o.probes > 0 {
			return formatAction(Fail{ev.Addr})
		}
	case Accept:
		if o := p.addrs[ev.Addr]; o != nil && !o.assigned && o.echoes > 0 && !p.cfg.NoNonce {
			o.due = p.now
			o.looped, o.probes = 0, p.transmits()+maxMulticastSolicit*o.rounds
			return formatAction(Assign{Addr: ev.Addr})
		}
	case Stop:
		if p.addrs[ev.Addr] != nil {
			return formatAction(Leave{ev.Addr, nd.SolicitedNode(ev.Addr)})
		}
	}
	return ""
}

// action judges one action and takes note of it.
func (p *monitor) action(ev Event, a Action) error {
	switch a := a.(type) {
	case Listen:
		if p.cfg.DelayProbeOnly {
			return fmt.Errorf("the join is not to be delayed")
		}
		return p.begin(ev, a.Addr, a.Group)
	case Join:
		if o := p.addrs[a.Addr]; o != nil && !o.joined && a.Group == nd.SolicitedNode(a.Addr) {
			o.joined = true
			return nil
		}
		if err := p.begin(ev, a.Addr, a.Group); err != nil {
			return err
		}
		p.addrs[a.Addr].joined = true
		return nil
	case Leave:
		o := p.addrs[a.Addr]
		if o == nil || o.left || a.Group != nd.SolicitedNode(a.Addr) {
			return fmt.Errorf("nothing to leave")
		}
		o.left = true
		return nil
	case Reject:
		if _, isAdvert := ev.(Advert); !isAdvert {
			if _, isSolicit := ev.(Solicit); !isSolicit {
				return fmt.Errorf("without evidence")
			}
		}
		return p.end(a.Duplicate.Addr)
	case Fail:
		if _, ok := ev.(SendFailed); !ok {
			return fmt.Errorf("nothing failed")
		}
		return p.end(a.Addr)
	case Probe:
		return p.probe(a)
	case Assign:
		return p.assign(ev, a)
	case Looped:
		o := p.addrs[a.Addr]
		if o == nil || o.assigned || a.Probes != o.looped || a.Probes == 0 || o.probes != p.transmits()+maxMulticastSolicit*o.rounds {
			return fmt.Errorf("no round was looped back, or it is not over: %+v", o)
		}
		o.looped = 0
		o.rounds++
		return nil
	}
	return fmt.Errorf("unknown action")
}

func (p *monitor) begin(ev Event, addr, group netip.Addr) error {
	start, ok := ev.(Start)
	if !ok || start.Addr != addr || p.addrs[addr] != nil || group != nd.SolicitedNode(addr) {
		return fmt.Errorf("not begun")
	}
	p.addrs[addr] = &observed{start: start, at: p.now}
	return nil
}

func (p *monitor) end(addr netip.Addr) error {
	o := p.addrs[addr]
	if o == nil || !o.left || o.assigned {
		return fmt.Errorf("no test that has left its group")
	}
	delete(p.addrs, addr)
	return nil
}

func (p *monitor) probe(a Probe) error {
	o := p.addrs[a.Addr]
	switch {
	case o == nil || o.left || o.assigned || !o.joined:
		return fmt.Errorf("not tested, or not in the group")
	case a.Group != nd.SolicitedNode(a.Addr):
		return fmt.Errorf("wrong group")
	case (a.Nonce == "") != p.cfg.NoNonce || a.Nonce != "" && (len(a.Nonce) < 6 || slices.Contains(o.nonces, a.Nonce)):
		return fmt.Errorf("wrong nonce, sent were %v", o.nonces)
	case o.probes == p.transmits()+maxMulticastSolicit*o.rounds:
		return fmt.Errorf("probe %d is too many", o.probes+1)
	case o.probes > 0 && !p.now.Equal(o.due):
		return fmt.Errorf("not at %v", o.due.Sub(epoch))
	case o.probes == 0 && !p.mayBegin(o):
		return fmt.Errorf("first probe after %v", p.now.Sub(o.at))
	}
	o.probes++
	o.nonces = append(o.nonces, a.Nonce)
	o.due = p.now.Add(p.retrans)
	return nil
}

// mayBegin reports whether the first probe of o is due some time about now.
func (p *monitor) mayBegin(o *observed) bool {
	delayed := o.start.Mode == Normal && (o.start.First || o.start.FromMulticastRA && !p.cfg.NoMulticastRADelay)
	wait := p.now.Sub(o.at)
	return wait == 0 || delayed && wait > 0 && wait <= time.Second
}

func (p *monitor) assign(ev Event, a Assign) error {
	o := p.addrs[a.Addr]
	if o == nil || o.left || o.assigned || !o.joined {
		return fmt.Errorf("cannot be assigned now")
	}
	tested := p.transmits() > 0 && o.start.Mode != Off && !o.start.Anycast
	switch {
	case a.Optimistic && (o.start.Mode != Optimistic || o.probes > 0 || !tested || ev != Event(o.start)):
		return fmt.Errorf("not optimistic")
	case a.Optimistic:
		return nil
	case !tested && (o.probes > 0 || ev != Event(o.start)):
		return fmt.Errorf("not at once")
	case tested && (o.probes != p.transmits()+maxMulticastSolicit*o.rounds || o.looped > 0 || !p.now.Equal(o.due)):
		return fmt.Errorf("the test is not over: %+v, due %v", o, o.due.Sub(epoch))
	}
	o.assigned = true
	return nil
}

// agree compares what the machine says of itself.
func (p *monitor) agree() error {
	testing := 0
	for addr, o := range p.addrs {
		want := Tentative
		switch {
		case o.assigned:
			want = Assigned
		case o.start.Mode == Optimistic:
			want = OptimisticState
		case o.probes == 0:
			want = Delayed
		}
		if got := p.m.State(addr); got != want {
			return fmt.Errorf("%v is in state %d, want %d", addr, got, want)
		}
		if !o.assigned {
			testing++
		}
	}
	if p.m.Len() != len(p.addrs) {
		return fmt.Errorf("%d addresses, want %d", p.m.Len(), len(p.addrs))
	}
	if due, ok := p.m.Deadline(); ok != (testing > 0) || ok && due.Before(p.now) {
		return fmt.Errorf("deadline %v %v with %d tests", due.Sub(epoch), ok, testing)
	}
	return nil
}

// dice answers a machine's questions from a seed.
type dice struct{ seed, n uint64 }

// next is splitmix64.
func (d *dice) next() uint64 {
	d.n++
	x := d.seed + d.n*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (d *dice) Between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.next()%uint64(hi-lo+1))
}

func (d *dice) Nonce() nd.Nonce { return nonce(d.next()) }
