package conformance

import (
	"slices"
	"time"

	"github.com/tapstack/tapstack/stack"
)

// wire is the tester's end of a link, by a real clock.
type wire struct {
	link   stack.Link
	began  time.Time
	frames chan Frame
	failed error // of read; set before frames is closed
}

// wireQueue is how many frames of a host wait for the tester. What comes after
// those waits in the link.
const wireQueue = 4096

// maxFrame is more than a frame of any link.
const maxFrame = 1 << 16

func newWire(link stack.Link) *wire {
	w := &wire{link: link, began: time.Now(), frames: make(chan Frame, wireQueue)}
	go w.read()
	return w
}

func (w *wire) read() {
	defer close(w.frames)
	const batch = 8
	var frames [batch]stack.Frame
	var room [batch][maxFrame]byte
	for {
		for k := range frames {
			frames[k] = stack.Frame{Data: [][]byte{room[k][:]}}
		}
		n, err := w.link.Read(frames[:])
		at := w.Now()
		for k := range n {
			w.frames <- Frame{at, slices.Clone(room[k][:frames[k].Len])}
		}
		if err != nil {
			w.failed = err
			return
		}
	}
}

// Now implements Target.
func (w *wire) Now() time.Duration { return time.Since(w.began) }

// Send implements Target.
func (w *wire) Send(frame []byte) error {
	_, err := w.link.Write([]stack.Frame{{Data: [][]byte{frame}}})
	return err
}

// Next implements Target.
func (w *wire) Next(until time.Duration) (Frame, bool, error) {
	select {
	case f, ok := <-w.frames: // what is there is there, however late it is
		return f, ok, w.end(ok)
	default:
	}
	timer := time.NewTimer(until - w.Now())
	defer timer.Stop()
	select {
	case f, ok := <-w.frames:
		return f, ok, w.end(ok)
	case <-timer.C:
		return Frame{}, false, nil
	}
}

func (w *wire) end(open bool) error {
	if open {
		return nil
	}
	return w.failed
}

// close closes the link and waits until nobody reads it.
func (w *wire) close() error {
	err := w.link.Close()
	for range w.frames { // so that the reader can end
	}
	return err
}
