package stack

import (
	"net/netip"
	"sync"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Bounds of what may wait for the loop. Beyond maxWaitingFrames there is room
// for solicitations of own addresses alone, and beyond as many again for what
// may show that an address under test is a duplicate (RFC 6583, section 7.1).
const (
	maxWaitingFrames  = 4096
	maxWaitingOutputs = 4096
)

// command is one call from outside the loop: an event for the Core, or a look
// at it.
type command struct {
	event CoreEvent
	look  func(*Core)
	done  chan struct{} // closed after look, or when the loop ended before it
}

// stampedFrame is a control frame with the time at which it was read.
type stampedFrame struct {
	at    time.Time
	frame []byte
}

// inbox is what waits for the loop of an interface: control frames from the
// reader, commands from callers, misses from the data path.
type inbox struct {
	mu       sync.Mutex
	frames   []stampedFrame
	commands []command
	outputs  []CoreEvent
	own      map[netip.Addr]bool // our addresses; true: DAD is not over
	closed   bool
	lost     uint64
	wake     chan struct{} // capacity 1
}

func newInbox() *inbox {
	return &inbox{own: make(map[netip.Addr]bool), wake: make(chan struct{}, 1)}
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// putFrame queues a copy of frame. When too much waits, a frame is lost,
// unless it bears on an own address: a duplicate must be found, and an address
// defended, under any load.
func (b *inbox) putFrame(at time.Time, frame []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if waiting := len(b.frames); waiting >= maxWaitingFrames && waiting >= b.roomFor(frame) {
		b.lost++
		return
	}
	b.frames = append(b.frames, stampedFrame{at, append([]byte(nil), frame...)})
	b.signal()
}

// roomFor returns how many frames may wait with this one among them.
func (b *inbox) roomFor(frame []byte) int {
	p, ok := parseControl(frame)
	if !ok {
		return maxWaitingFrames
	}
	m, err := nd.Parse(nd.Header{Src: p.src, Dst: p.dst, From: p.from}, p.hopLimit, p.message)
	if err != nil {
		return maxWaitingFrames
	}
	var target netip.Addr
	evidence := true
	switch m := m.(type) {
	case *nd.NeighborAdvert:
		target = m.Target
	case *nd.NeighborSolicit:
		target, evidence = m.Target, p.src.IsUnspecified()
	}
	testing, own := b.own[target]
	_, solicit := m.(*nd.NeighborSolicit)
	switch {
	case testing && evidence:
		return 3 * maxWaitingFrames
	case own && !testing && solicit:
		return 2 * maxWaitingFrames
	}
	return maxWaitingFrames
}

// setOwn notes that a is an own address, and whether it is being tested.
func (b *inbox) setOwn(a netip.Addr, testing bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own[a] = testing
}

// forget notes that a is no own address any more.
func (b *inbox) forget(a netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.own, a)
}

// putCommand queues a command and reports false if the loop has ended.
func (b *inbox) putCommand(c command) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.commands = append(b.commands, c)
	b.signal()
	return true
}

// putOutput queues what the data path could not do alone and reports false if
// there is no room.
func (b *inbox) putOutput(ev CoreEvent) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.outputs) >= maxWaitingOutputs {
		return false
	}
	b.outputs = append(b.outputs, ev)
	b.signal()
	return true
}

// take empties the inbox.
func (b *inbox) take() (frames []stampedFrame, outputs []CoreEvent, commands []command) {
	b.mu.Lock()
	defer b.mu.Unlock()
	frames, outputs, commands = b.frames, b.outputs, b.commands
	b.frames, b.outputs, b.commands = nil, nil, nil
	return frames, outputs, commands
}

// close refuses what comes from now on and returns what is left.
func (b *inbox) close() (outputs []CoreEvent, commands []command) {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	_, outputs, commands = b.take()
	return outputs, commands
}

func (b *inbox) lostFrames() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}
