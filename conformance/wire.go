package conformance

import (
	"io"
	"slices"
	"time"

	"github.com/tapstack/tapstack/stack"
)

// wire is the tester's end of a link, by a real clock. A Read of the port is
// one frame, and a Write too.
type wire struct {
	port   io.ReadWriteCloser
	began  time.Time
	frames chan Frame
	failed error // of Read; set before frames is closed
}

// wireQueue is how many frames of a host wait for the tester. What comes after
// those waits in the link.
const wireQueue = 4096

// maxFrame is more than a frame of any link.
const maxFrame = 1 << 16

func newWire(port io.ReadWriteCloser) *wire {
	w := &wire{port: port, began: time.Now(), frames: make(chan Frame, wireQueue)}
	go w.read()
	return w
}

func (w *wire) read() {
	defer close(w.frames)
	room := make([]byte, maxFrame)
	for {
		n, err := w.port.Read(room)
		if err != nil {
			w.failed = err
			return
		}
		w.frames <- Frame{w.Now(), slices.Clone(room[:n])}
	}
}

// Now implements Target.
func (w *wire) Now() time.Duration { return time.Since(w.began) }

// Send implements Target.
func (w *wire) Send(frame []byte) error {
	_, err := w.port.Write(frame)
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

// close closes the port and waits until nobody reads it.
func (w *wire) close() error {
	err := w.port.Close()
	for range w.frames { // so that the reader can end
	}
	return err
}

// linkPort is the port of a link of the stack.
type linkPort struct{ stack.Link }

func (p linkPort) Read(b []byte) (int, error) {
	frames := [1]stack.Frame{{Data: [][]byte{b}}}
	_, err := p.Link.Read(frames[:])
	return frames[0].Len, err
}

func (p linkPort) Write(b []byte) (int, error) {
	_, err := p.Link.Write([]stack.Frame{{Data: [][]byte{b}}})
	return len(b), err
}
