package tap

import (
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// queueLen is how many frames an End holds until they are read.
const queueLen = 4096

// Pipe is a cable in memory: what one end writes the other reads, in order
// and at once. Frames are at most mtu octets and an Ethernet header long;
// zero is 1500.
func Pipe(a, b nd.LinkAddr, mtu int) (*End, *End) {
	x, y := newEnd(a, mtu), newEnd(b, mtu)
	x.send = func(frame [][]byte) { y.enqueue(newFrameBuffer(frame)) }
	y.send = func(frame [][]byte) { x.enqueue(newFrameBuffer(frame)) }
	return x, y
}

// End is one end of a Pipe or one port of a Switch. It implements stack.Link,
// without offload.
//
// It holds up to 4,096 frames until they are read, and drops and counts what
// comes after those. Writing to an End whose peer is closed succeeds, like
// sending on a cable that nobody listens to.
type End struct {
	addr nd.LinkAddr
	mtu  int
	// send takes one frame from Write. detach is called at Close, if set.
	send   func(frame [][]byte)
	detach func()

	mu       sync.Mutex
	arrived  sync.Cond // signaled when the queue fills or the end closes
	queue    []*frameBuffer
	head     int  // queue[head:] is what waits
	reading  bool // Read has returned frames and was not called again
	discards uint64
	writeErr error
	closed   bool
}

var _ stack.Link = (*End)(nil)

func newEnd(addr nd.LinkAddr, mtu int) *End {
	if mtu == 0 {
		mtu = 1500
	}
	e := &End{addr: addr, mtu: mtu}
	e.arrived.L = &e.mu
	return e
}

// frameBuffer is a frame on its way.
type frameBuffer struct{ data []byte }

var frameBuffers = sync.Pool{New: func() any { return new(frameBuffer) }}

func newFrameBuffer(pieces [][]byte) *frameBuffer {
	b := frameBuffers.Get().(*frameBuffer)
	b.data = b.data[:0]
	for _, p := range pieces {
		b.data = append(b.data, p...)
	}
	return b
}

func (b *frameBuffer) free() { frameBuffers.Put(b) }

// LinkAddr implements stack.Link.
func (e *End) LinkAddr() nd.LinkAddr { return e.addr }

// MTU implements stack.Link.
func (e *End) MTU() int { return e.mtu }

// Offload implements stack.Link: there is none.
func (e *End) Offload() stack.Offload { return stack.Offload{} }

// Read implements stack.Link.
func (e *End) Read(frames []stack.Frame) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = false
	n := 0
	for n == 0 && len(frames) > 0 {
		for e.head == len(e.queue) && !e.closed {
			e.arrived.Wait()
		}
		if e.closed {
			return 0, net.ErrClosed
		}
		for n < len(frames) && e.head < len(e.queue) {
			b := e.dequeue()
			if scatter(&frames[n], b.data) {
				n++
			} else {
				e.discards++
			}
			b.free()
		}
	}
	e.reading = n > 0
	return n, nil
}

// dequeue takes the oldest frame.
func (e *End) dequeue() *frameBuffer {
	b := e.queue[e.head]
	e.queue[e.head] = nil
	if e.head++; e.head == len(e.queue) {
		e.queue, e.head = e.queue[:0], 0
	}
	return b
}

// enqueue adds the newest frame, which belongs to the queue from now on.
func (e *End) enqueue(b *frameBuffer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	waiting := e.queue[e.head:]
	switch {
	case e.closed:
		b.free()
		return
	case len(waiting) == queueLen:
		e.discards++
		b.free()
		return
	case len(e.queue) == cap(e.queue) && e.head > len(waiting):
		e.queue, e.head = append(e.queue[:0], waiting...), 0
	}
	e.queue = append(e.queue, b)
	e.arrived.Signal()
}

// Write implements stack.Link. It refuses a frame that is longer than the
// MTU allows with syscall.EMSGSIZE.
func (e *End) Write(frames []stack.Frame) (int, error) {
	for i := range frames {
		if err := e.checkWrite(&frames[i]); err != nil {
			return i, err
		}
		e.send(frames[i].Data)
	}
	return len(frames), nil
}

// checkWrite says why f cannot be sent.
func (e *End) checkWrite(f *stack.Frame) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	length := 0
	for _, p := range f.Data {
		length += len(p)
	}
	switch {
	case e.closed:
		return net.ErrClosed
	case e.writeErr != nil:
		return e.writeErr
	case length < headerLen:
		return fmt.Errorf("frame of %d octets is shorter than an Ethernet header: %w", length, syscall.EINVAL)
	case length > headerLen+e.mtu:
		return fmt.Errorf("frame of %d octets on a link with MTU %d: %w", length, e.mtu, syscall.EMSGSIZE)
	case wantsOffload(f):
		return errNoOffload
	}
	return nil
}

// FailWrites has every Write fail with err from now on, or work again if err
// is nil. A TAP whose kernel's end is down fails with syscall.ENETDOWN.
func (e *End) FailWrites(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.writeErr = err
}

// Drained implements stack.Link, and is exact.
func (e *End) Drained() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed || e.head == len(e.queue) && !e.reading
}

// InDiscards counts the frames that arrived and were dropped: the queue was
// full, or they were longer than the room that Read had for them.
func (e *End) InDiscards() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.discards
}

// Close unblocks Read and drops what waits to be read. The other ends stay
// open.
func (e *End) Close() error {
	if e.shut() && e.detach != nil {
		e.detach()
	}
	return nil
}

// shut closes the end and reports whether it was open.
func (e *End) shut() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.closed = true
	for e.head < len(e.queue) {
		e.dequeue().free()
	}
	e.arrived.Broadcast()
	return true
}
