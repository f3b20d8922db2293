package tap

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// SwitchConfig says what a Switch does to frames. Its zero value is a switch
// without faults. Probabilities are 0 to 1, and each copy of a frame, one per
// port that it goes to, meets its own fate.
type SwitchConfig struct {
	// MTU is that of all ports. Zero: 1500.
	MTU int
	// Seed decides all that chance decides: the same frames written in the
	// same order meet the same fate.
	Seed uint64
	// Loss is the probability that a copy is lost.
	Loss float64
	// Duplicate is the probability that a copy arrives twice, the second time
	// right behind the first.
	Duplicate float64
	// MinDelay and MaxDelay bound how long a copy takes. It waits for those
	// before it, so that delay alone does not reorder. A MaxDelay below
	// MinDelay counts as MinDelay.
	MinDelay, MaxDelay time.Duration
	// Reorder is the probability that a copy is held back by up to
	// ReorderDelay more, and that those behind it do not wait for it.
	Reorder float64
	// ReorderDelay is at most how long. Zero: 10 ms.
	ReorderDelay time.Duration
	// Hairpin sends frames back out of the port that they came in by: a host
	// hears its own multicasts, as behind a bridge port in hairpin mode.
	Hairpin bool
}

// maxLearned bounds the forwarding table. What does not fit is flooded.
const maxLearned = 65536

// Switch is an Ethernet switch in memory. It learns behind which port an
// address is and sends frames for that address there only. Multicasts,
// broadcasts and frames for unknown addresses go to all ports.
type Switch struct {
	cfg SwitchConfig

	mu      sync.Mutex
	rand    *rand.Rand
	ports   []*port // in the order of attachment
	learned map[nd.LinkAddr]*port
	delayed delayedFrames
	serial  uint64
	timer   *time.Timer // runs deliverDue; nil until a frame is delayed
	closed  bool
}

// port is the switch's view of an End.
type port struct {
	end     *End
	removed bool
	// lastDue is when the newest copy for this port arrives.
	lastDue time.Time
}

// NewSwitch returns a switch without ports.
func NewSwitch(cfg SwitchConfig) *Switch {
	cfg.MaxDelay = max(cfg.MaxDelay, cfg.MinDelay)
	if cfg.ReorderDelay == 0 {
		cfg.ReorderDelay = 10 * time.Millisecond
	}
	return &Switch{cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 0)), learned: map[nd.LinkAddr]*port{}}
}

// Port adds a port for a host with this address. Closing the End removes it.
// A port of a closed switch is closed.
func (s *Switch) Port(addr nd.LinkAddr) *End {
	p := &port{end: newEnd(addr, s.cfg.MTU)}
	p.end.send = func(frame [][]byte) { s.forward(p, frame) }
	p.end.detach = func() { s.remove(p) }
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		p.end.shut()
		return p.end
	}
	s.ports = append(s.ports, p)
	return p.end
}

// remove forgets a port whose End was closed.
func (s *Switch) remove(p *port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.removed = true
	s.ports = slices.DeleteFunc(s.ports, func(q *port) bool { return q == p })
	for addr, q := range s.learned {
		if q == p {
			delete(s.learned, addr)
		}
	}
}

// Close closes all ports and drops what is on its way.
func (s *Switch) Close() error {
	s.mu.Lock()
	ports := s.ports
	s.ports, s.learned, s.closed = nil, nil, true
	for _, d := range s.delayed {
		d.frame.free()
	}
	s.delayed = nil
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	for _, p := range ports {
		p.end.shut()
	}
	return nil
}

// forward takes a frame that came in by port from.
func (s *Switch) forward(from *port, frame [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || from.removed {
		return
	}
	now := time.Now()
	var header [headerLen]byte
	gather(header[:], frame)
	to, source := nd.LinkAddr(header[0:6]), nd.LinkAddr(header[6:12])
	if _, known := s.learned[source]; !source.IsMulticast() && (known || len(s.learned) < maxLearned) {
		s.learned[source] = from
	}
	only := s.learned[to] // nil for a group, which is never a source
	for _, p := range s.ports {
		if (only == nil || p == only) && (p != from || s.cfg.Hairpin) {
			s.send(now, p, frame)
		}
	}
	s.setTimer(now)
}

// send decides the fate of the copy of a frame for one port. It draws the
// same numbers from the generator for every copy, so that a fault that is
// turned on does not change what the others do.
func (s *Switch) send(now time.Time, p *port, frame [][]byte) {
	lost := s.rand.Float64() < s.cfg.Loss
	twice := s.rand.Float64() < s.cfg.Duplicate
	heldBack := s.rand.Float64() < s.cfg.Reorder
	delay := s.cfg.MinDelay + part(s.rand.Float64(), s.cfg.MaxDelay-s.cfg.MinDelay)
	extra := part(s.rand.Float64(), s.cfg.ReorderDelay)
	if lost {
		return
	}
	due := now.Add(delay)
	if heldBack {
		due = due.Add(extra)
	} else {
		if due.Before(p.lastDue) {
			due = p.lastDue
		}
		p.lastDue = due
	}
	copies := 1
	if twice {
		copies = 2
	}
	for range copies {
		if !due.After(now) {
			p.end.enqueue(newFrameBuffer(frame))
			continue
		}
		s.serial++
		heap.Push(&s.delayed, delayedFrame{due: due, serial: s.serial, to: p, frame: newFrameBuffer(frame)})
	}
}

// part is a chance part of d for f from [0, 1), but not nothing: a frame that
// is held back by nothing would not be overtaken.
func part(f float64, d time.Duration) time.Duration {
	return time.Duration((1 - f) * float64(d))
}

// deliverDue is the timer's function: it hands over what is due, in order.
func (s *Switch) deliverDue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.delayed) > 0 && !s.delayed[0].due.After(now) {
		d := heap.Pop(&s.delayed).(delayedFrame)
		d.to.end.enqueue(d.frame)
	}
	s.setTimer(now)
}

// setTimer sets the timer to the next frame that is due.
func (s *Switch) setTimer(now time.Time) {
	if len(s.delayed) == 0 {
		return
	}
	wait := s.delayed[0].due.Sub(now)
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.deliverDue)
		return
	}
	s.timer.Reset(wait)
}

// delayedFrame is a copy of a frame on its way to a port.
type delayedFrame struct {
	due    time.Time
	serial uint64 // order among those due at the same time
	to     *port
	frame  *frameBuffer
}

// delayedFrames is a heap.Interface.
type delayedFrames []delayedFrame

func (q delayedFrames) Len() int { return len(q) }
func (q delayedFrames) Less(i, j int) bool {
	if c := q[i].due.Compare(q[j].due); c != 0 {
		return c < 0
	}
	return q[i].serial < q[j].serial
}
func (q delayedFrames) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *delayedFrames) Push(x any)   { *q = append(*q, x.(delayedFrame)) }
func (q *delayedFrames) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	(*q)[last] = delayedFrame{}
	*q = (*q)[:last]
	return d
}

// gather fills to with the beginning of a frame in pieces.
func gather(to []byte, pieces [][]byte) {
	n := 0
	for _, p := range pieces {
		n += copy(to[n:], p)
	}
}
