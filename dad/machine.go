package dad

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/internal/timerq"
	"github.com/tapstack/tapstack/nd"
)

// Machine runs DAD for the addresses of one interface, each on its own
// (RFC 4862, section 5.4: "Each individual unicast address SHOULD be tested
// for uniqueness"). It is not safe for concurrent use.
//
// Its memory grows with the addresses started and not yet stopped or rejected,
// never with what the link does. Each operation costs O(log n) in them.
type Machine struct {
	cfg    Config
	random nd.Random
	now    time.Time // the latest seen

	// trials has an entry for every address that is not Absent; a nil entry is
	// an assigned address, of which nothing more need be known.
	trials map[[16]byte]*trial
	timers timerq.Queue[netip.Addr] // one for each entry that is not nil

	actions []Action // of the call in progress
}

// New returns a Machine without addresses. It panics if cfg has a negative
// RetransTimer or a DupAddrDetectTransmits below NoTransmits.
func New(cfg Config, r nd.Random) *Machine {
	if cfg.RetransTimer < 0 || cfg.DupAddrDetectTransmits < NoTransmits {
		panic(fmt.Sprintf("dad: impossible Config: RetransTimer %v, DupAddrDetectTransmits %d",
			cfg.RetransTimer, cfg.DupAddrDetectTransmits))
	}
	if cfg.RetransTimer == 0 {
		cfg.RetransTimer = time.Second
	}
	switch cfg.DupAddrDetectTransmits {
	case 0:
		cfg.DupAddrDetectTransmits = 1
	case NoTransmits:
		cfg.DupAddrDetectTransmits = 0
	}
	return &Machine{cfg: cfg, random: r, trials: make(map[[16]byte]*trial)}
}

// Step does what Advance does, then applies ev. A message is to be given the
// time at which it was received, and in the order of these times: an address
// is a duplicate if the evidence came before the test ended, however late
// Step is called.
//
// It panics if ev is nil, or a Start whose Addr is not an IPv6 unicast address
// without a zone or whose Mode does not exist.
func (m *Machine) Step(now time.Time, ev Event) []Action {
	m.fire(now)
	switch ev := ev.(type) {
	case Start:
		m.start(ev)
	case Stop:
		m.stop(ev.Addr)
	case Accept:
		m.accept(ev.Addr)
	case Solicit:
		m.solicit(ev)
	case Advert:
		m.advert(ev)
	case SendFailed:
		m.sendFailed(ev.Addr)
	case SetRetransTimer:
		m.setRetransTimer(ev.RetransTimer)
	case SetLinkAddr:
		m.cfg.LinkAddr = ev.LinkAddr
	default:
		panic(fmt.Sprintf("dad: unknown event %T", ev))
	}
	return m.take()
}

// Advance fires, at its nominal time and in the order of time, every timer
// that is due at or before now. A now before the latest seen counts as that.
func (m *Machine) Advance(now time.Time) []Action {
	m.fire(now)
	return m.take()
}

// AdvanceSome is Advance that stops after most timers. What is left is still
// due: see Deadline.
func (m *Machine) AdvanceSome(now time.Time, most int) []Action {
	m.fireSome(now, most)
	return m.take()
}

// Deadline returns when Advance is next needed; ok is false if it is not.
func (m *Machine) Deadline() (t time.Time, ok bool) { return m.timers.Next() }

// State returns what the machine makes of addr.
func (m *Machine) State(addr netip.Addr) State {
	t, ok := m.trials[addr.As16()]
	switch {
	case !ok:
		return Absent
	case t == nil:
		return Assigned
	}
	return t.state
}

// Len returns the number of addresses that are not Absent.
func (m *Machine) Len() int { return len(m.trials) }

func (m *Machine) fire(now time.Time) { m.fireSome(now, math.MaxInt) }

func (m *Machine) fireSome(now time.Time, most int) {
	if now.After(m.now) {
		m.now = now
	}
	for range most {
		addr, at, ok := m.timers.PopDue(m.now)
		if !ok {
			return
		}
		m.expire(at, addr, m.trials[addr.As16()])
	}
}

func (m *Machine) setRetransTimer(d time.Duration) {
	if d > 0 {
		m.cfg.RetransTimer = d
	}
}

func (m *Machine) emit(a ...Action) { m.actions = append(m.actions, a...) }

// take hands the actions over to the caller.
func (m *Machine) take() []Action {
	actions := m.actions
	m.actions = nil
	return actions
}
