package tap

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/songgao/water"
	"github.com/tapstack/tapstack/stack"
)

// waterFrame is more than the longest frame that a TAP without offload has.
const waterFrame = 64 << 10

func openWater(cfg Config) (*Device, error) {
	handle, err := openWaterHandle(cfg.Name)
	if err != nil {
		return nil, err
	}
	b := newWaterDevice(handle)
	n, err := newNetif(handle.Name())
	if err != nil {
		b.close()
		return nil, err
	}
	return newDevice(cfg, b, n)
}

// waterDevice moves frames through a handle of water's, which takes and gives
// a frame in one piece.
type waterDevice struct {
	name     string
	handle   io.ReadWriteCloser
	closed   atomic.Bool
	discards atomic.Uint64
	buffers  sync.Pool // of *[]byte, where Write joins the pieces of a frame

	// What the one reader works on.
	buffer []byte
	length int
	err    error

	// raw is nil if the handle cannot be polled. Then nothing is known about
	// frames that have arrived.
	raw       syscall.RawConn
	busy      busyFlag
	readReady func(fd uintptr) bool
}

func newWaterDevice(handle *water.Interface) *waterDevice {
	d := &waterDevice{name: handle.Name(), handle: handle.ReadWriteCloser, buffer: make([]byte, waterFrame)}
	d.buffers.New = func() any { return new([]byte) }
	d.readReady = d.tryRead
	if c, ok := d.handle.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			d.raw = raw
		}
	}
	return d
}

func (d *waterDevice) offload() stack.Offload { return stack.Offload{} }

func (d *waterDevice) inDiscards() uint64 { return d.discards.Load() }

func (d *waterDevice) close() error {
	d.closed.Store(true)
	return d.handle.Close()
}

func (d *waterDevice) ioError(op direction, err error) error {
	if d.closed.Load() {
		return net.ErrClosed
	}
	if d.raw != nil {
		err = causeOf(d.raw, err)
	}
	return ioError(op, d.name, err)
}

// read reads one frame.
func (d *waterDevice) read(frames []stack.Frame) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	for {
		if d.raw == nil {
			d.length, d.err = d.handle.Read(d.buffer)
		} else if err := d.raw.Read(d.readReady); err != nil {
			d.err = err
		}
		if d.err != nil {
			return 0, d.ioError(reading, d.err)
		}
		if scatter(&frames[0], d.buffer[:d.length]) {
			return 1, nil
		}
		d.discards.Add(1)
	}
}

// tryRead reads a frame if there is one.
func (d *waterDevice) tryRead(fd uintptr) bool {
	d.busy.Store(true)
	d.length, d.err = readFD(fd, d.buffer)
	if d.err == syscall.EAGAIN {
		d.busy.Store(false)
		return false
	}
	return true
}

// drained asks the system first and then the flag: see busyFlag.
func (d *waterDevice) drained() bool {
	if d.raw == nil {
		return true
	}
	if readable, err := pollReadable(d.raw); err == nil && readable {
		return false
	}
	return !d.busy.Load()
}

func (d *waterDevice) write(frames []stack.Frame) (int, error) {
	joined := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(joined)
	for i := range frames {
		if wantsOffload(&frames[i]) {
			return i, d.ioError(writing, errNoOffload)
		}
		*joined = (*joined)[:0]
		for _, p := range frames[i].Data {
			*joined = append(*joined, p...)
		}
		if _, err := d.handle.Write(*joined); err != nil {
			return i, d.ioError(writing, err)
		}
	}
	return len(frames), nil
}

// scatter copies a received frame into the pieces of f. It reports false if
// they have no room for all of it.
func scatter(f *stack.Frame, frame []byte) bool {
	rest := frame
	for _, p := range f.Data {
		rest = rest[copy(p, rest):]
	}
	if len(rest) > 0 {
		return false
	}
	f.Len, f.Offload = len(frame), stack.FrameOffload{}
	return true
}
