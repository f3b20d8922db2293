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

// Bounds of the memory for frames that is kept for those to come.
const (
	maxSpareBuffers = 256
	maxSpareBuffer  = 512 // octets
)

// inbox is what waits for the loop of an interface: control frames that the
// reader could not hand to the Core itself, commands from callers, misses from
// the data path.
type inbox struct {
	mu       sync.Mutex
	frames   []stampedFrame // those before head were taken
	head     int
	spare    [][]byte // buffers of frames that are done with
	commands []command
	outputs  []CoreEvent
	own      map[[16]byte]bool // our addresses; true: DAD is not over
	closed   bool
	lost     uint64
	wake     chan struct{} // capacity 1
}

func newInbox() *inbox {
	return &inbox{own: make(map[[16]byte]bool), wake: make(chan struct{}, 1)}
}

// wakeLoop has the loop take a turn.
func (b *inbox) wakeLoop() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// putFrames queues copies of frames. When too much waits, a frame is lost,
// unless it bears on an own address: a duplicate must be found, and an address
// defended, under any load.
func (b *inbox) putFrames(at time.Time, frames [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, frame := range frames {
		waiting := b.waiting()
		if b.closed || waiting >= maxWaitingFrames && waiting >= b.roomFor(frame) {
			b.lost++
			continue
		}
		var buffer []byte
		if last := len(b.spare) - 1; last >= 0 {
			buffer, b.spare = b.spare[last], b.spare[:last]
		}
		b.frames = append(b.frames, stampedFrame{at, append(buffer[:0], frame...)})
	}
	b.wakeLoop()
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
	testing, own := b.own[target.As16()]
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
	b.own[a.As16()] = testing
}

// forget notes that a is no own address any more.
func (b *inbox) forget(a netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.own, a.As16())
}

// putCommand queues a command and reports false if the loop has ended.
func (b *inbox) putCommand(c command) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.commands = append(b.commands, c)
	b.wakeLoop()
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
	b.wakeLoop()
	return true
}

// takeFrames moves up to limit frames, the oldest first, to dst and reports
// whether others are left.
func (b *inbox) takeFrames(dst []stampedFrame, limit int) (taken []stampedFrame, left bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	dst = b.moveFrames(dst, limit)
	return dst, b.waiting() > 0
}

// waiting is how many frames wait. The caller holds mu, as it does for
// moveFrames.
func (b *inbox) waiting() int { return len(b.frames) - b.head }

func (b *inbox) moveFrames(dst []stampedFrame, limit int) []stampedFrame {
	oldest := b.frames[b.head:]
	oldest = oldest[:min(limit, len(oldest))]
	dst = append(dst, oldest...)
	clear(oldest)
	if b.head += len(oldest); b.head > len(b.frames)/2 {
		left := copy(b.frames, b.frames[b.head:])
		clear(b.frames[left:])
		b.frames, b.head = b.frames[:left], 0
	}
	return dst
}

// recycle takes the buffers of frames back that takeFrames handed out.
func (b *inbox) recycle(frames []stampedFrame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k := range frames {
		if cap(frames[k].frame) <= maxSpareBuffer && len(b.spare) < maxSpareBuffers {
			b.spare = append(b.spare, frames[k].frame)
		}
	}
	clear(frames)
}

// take empties the inbox. The frames are moved to dst.
func (b *inbox) take(dst []stampedFrame) (frames []stampedFrame, outputs []CoreEvent, commands []command) {
	b.mu.Lock()
	defer b.mu.Unlock()
	frames = b.moveFrames(dst, len(b.frames))
	outputs, commands = b.outputs, b.commands
	b.outputs, b.commands = nil, nil
	return frames, outputs, commands
}

// close refuses what comes from now on and returns what is left.
func (b *inbox) close() (outputs []CoreEvent, commands []command) {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	_, outputs, commands = b.take(nil)
	return outputs, commands
}

func (b *inbox) lostFrames() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}
