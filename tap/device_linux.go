package tap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/tapstack/tapstack/stack"
	"golang.org/x/sys/unix"
)

// maxSegment is the largest IPv6 packet that crosses the device whole. Linux
// takes as much and gives a little less (its tso_max_size is 65536).
const maxSegment = 65535

func openDefault(cfg Config) (*Device, error) { return openLinux(cfg) }

func openLinux(cfg Config) (*Device, error) {
	flags := uint16(unix.IFF_VNET_HDR)
	if cfg.NoOffload {
		flags = 0
	}
	fd, name, err := attach(cfg.Name, flags)
	if err != nil {
		return nil, err
	}
	return newLinuxDevice(fd, name, !cfg.NoOffload, false, cfg)
}

// OpenFD is Open for a TAP that is open already, as file descriptor fd of
// this process; cfg.Name is not used and cfg.Backend must be Auto or Linux.
// The TAP must have been opened with IFF_NO_PI, and there is offload if it was
// opened with IFF_VNET_HDR too. Its interface must be in the network namespace
// of the caller. fd belongs to the device from now on and is closed when
// OpenFD fails.
func OpenFD(fd int, cfg Config) (*Device, error) {
	name, flags, err := inspect(fd)
	if err == nil && cfg.Backend == Water {
		err = errors.New("the water backend cannot take an open TAP: use the linux backend")
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open TAP from file descriptor %d: %w", fd, err)
	}
	return newLinuxDevice(fd, name, flags&unix.IFF_VNET_HDR != 0, true, cfg)
}

// inspect says to what TAP an inherited fd is attached, and readies it for
// use.
func inspect(fd int) (name string, flags uint16, err error) {
	request, _ := unix.NewIfreq("")
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, request); err != nil {
		return "", 0, fmt.Errorf("it is not attached to a TAP: %w", err)
	}
	// Whether it came with IFF_NO_PI the kernel does not say: of a TAP without
	// a filter it reports IFF_NOFILTER, which is the same bit.
	if request.Uint16()&unix.IFF_TAP == 0 {
		return "", 0, fmt.Errorf("%s is a TUN and not a TAP", request.Name())
	}
	unix.CloseOnExec(fd)
	return request.Name(), request.Uint16(), unix.SetNonblock(fd, true)
}

// newLinuxDevice makes a device of an attached TAP, whose fd it owns from now
// on, also when it fails.
func newLinuxDevice(fd int, name string, vnet, inherited bool, cfg Config) (*Device, error) {
	d := &linuxDevice{name: name, vnet: vnet, inherited: inherited, whole: vnet && !cfg.NoOffload}
	d.poll = newBusyPoll(cfg, runtime.NumCPU())
	if err := d.setOffload(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open TAP %s: %w", name, err)
	}
	// Only now: an fd that is not attached to a TAP cannot be polled.
	d.file = os.NewFile(uintptr(fd), "/dev/net/tun")
	raw, err := d.file.SyscallConn()
	if err != nil {
		d.file.Close()
		return nil, fmt.Errorf("open TAP %s: %w", name, err)
	}
	d.raw = raw
	d.readReady = d.readAll
	d.writers.New = func() any { return newWriter(d) }
	n, err := newNetif(name)
	if err != nil {
		d.close()
		return nil, err
	}
	if err := d.checkNamespace(n); err != nil {
		d.close()
		n.close()
		return nil, err
	}
	return newDevice(cfg, d, n)
}

// linuxDevice moves frames through /dev/net/tun, with a virtio-net header
// before each if vnet is set.
type linuxDevice struct {
	name   string
	vnet   bool
	whole  bool // segments and checksums cross the device undone
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool

	inherited bool // the file may be somebody else's, too

	busy     busyFlag
	discards atomic.Uint64

	// What the one reader works on, and its method value, kept so that Read
	// does not allocate.
	reading   []stack.Frame
	n         int
	readErr   error
	poll      busyPoll
	header    vnetHeader
	spare     [1]byte
	vectors   []unix.Iovec
	readReady func(fd uintptr) bool

	writers sync.Pool // of *writer
}

// setOffload tells the kernel what it may leave to us. It remembers what it
// was told of a lasting TAP, so that it must be told in any case.
func (d *linuxDevice) setOffload(fd int) error {
	features := 0
	if d.whole {
		features = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, features); err != nil {
		return fmt.Errorf("TUNSETOFFLOAD: %w", err)
	}
	if !d.vnet {
		return nil
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetHeaderLen); err != nil {
		return fmt.Errorf("TUNSETVNETHDRSZ: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1); err != nil {
		return fmt.Errorf("TUNSETVNETLE: %w", err)
	}
	return nil
}

// checkNamespace makes sure that n is the interface of this file: a file that
// was inherited may belong to an interface of another network namespace,
// while this one has an interface of the same name.
func (d *linuxDevice) checkNamespace(n *netif) error {
	var request ifreq
	var err error
	if e := d.raw.Control(func(fd uintptr) { err = request.ioctl(fd, unix.SIOCGIFHWADDR) }); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("open TAP %s: read its link-layer address: %w", d.name, err)
	}
	seen, err := n.linkAddr()
	if err != nil || seen != request.linkAddr() {
		return fmt.Errorf("open TAP %s: the interface is in another network namespace: open it there", d.name)
	}
	return nil
}

func (d *linuxDevice) offload() stack.Offload {
	if !d.whole {
		return stack.Offload{}
	}
	return stack.Offload{TCPSegmentation: true, MaxSegment: maxSegment}
}

func (d *linuxDevice) inDiscards() uint64 { return d.discards.Load() }

func (d *linuxDevice) close() error {
	d.closed.Store(true)
	// Who attaches to a lasting TAP after us, and without the virtio-net
	// header, must not get what only we can take.
	if d.whole {
		d.raw.Control(func(fd uintptr) { unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, 0) })
	}
	return d.file.Close()
}

func (d *linuxDevice) ioError(op direction, err error) error {
	if d.closed.Load() {
		return net.ErrClosed
	}
	return ioError(op, d.name, causeOf(d.raw, err))
}

// read fills in as many frames as there are.
func (d *linuxDevice) read(frames []stack.Frame) (int, error) {
	d.reading, d.n, d.readErr = frames, 0, nil
	err := d.raw.Read(d.readReady)
	d.reading = nil
	clear(d.vectors)
	if d.poll.waited() {
		d.poll.ready(time.Now())
	}
	switch {
	case err != nil:
		return 0, d.ioError(reading, err)
	case d.n == 0 && d.readErr != nil:
		return 0, d.ioError(reading, d.readErr)
	}
	return d.n, nil
}

// readAll reads until there is no room or no frame left. It reports false to
// sleep until the first frame comes.
func (d *linuxDevice) readAll(fd uintptr) bool {
	for d.n < len(d.reading) {
		f := &d.reading[d.n]
		d.busy.Store(true)
		length, errno := d.readFrame(fd, f)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && d.n == 0:
			d.busy.Store(false)
			again, yield := d.poll.empty(time.Now())
			if !again {
				return false
			}
			if yield {
				runtime.Gosched()
			}
		case errno == unix.EAGAIN:
			return true
		case errno != 0:
			d.readErr = errno
			return true
		case length < 0:
			d.discards.Add(1)
		default:
			f.Len = length
			f.Offload = stack.FrameOffload{}
			if d.vnet {
				f.Offload = d.header.decode(f.Data, length)
			}
			d.n++
		}
	}
	return true
}

// readFrame reads one frame and returns its length, or -1 if it is longer
// than its room. The kernel cuts such a frame without a word: an octet to
// spare, behind the room, shows it.
func (d *linuxDevice) readFrame(fd uintptr, f *stack.Frame) (int, unix.Errno) {
	v := d.vectors[:0]
	overhead, room := 0, 0
	if d.vnet {
		v = append(v, vector(d.header[:]))
		overhead = vnetHeaderLen
	}
	for _, p := range f.Data {
		if len(p) > 0 {
			v = append(v, vector(p))
			room += len(p)
		}
	}
	v = append(v, vector(d.spare[:]))
	d.vectors = v
	n, errno := d.vectorCall(unix.SYS_READV, fd, v)
	length := n - overhead
	if length > room {
		length = -1
	}
	return length, errno
}

// drained asks the kernel first and then the flag: see busyFlag.
func (d *linuxDevice) drained() bool {
	if readable, err := pollReadable(d.raw); err == nil && readable {
		return false
	}
	return !d.busy.Load()
}

// write sends without a lock, so that goroutines can send at once.
func (d *linuxDevice) write(frames []stack.Frame) (int, error) {
	w := d.writers.Get().(*writer)
	w.frames, w.n, w.err, w.full = frames, 0, nil, false
	err := d.raw.Control(w.now)
	if err == nil && w.full {
		err = d.raw.Write(w.whenWritable)
	}
	if err == nil {
		err = w.err
	}
	n := w.n
	w.frames = nil
	clear(w.vectors)
	d.writers.Put(w)
	if err != nil {
		return n, d.ioError(writing, err)
	}
	return n, nil
}

// writer is what one call of Write works on, with its method values, kept so
// that Write does not allocate.
type writer struct {
	d            *linuxDevice
	frames       []stack.Frame
	n            int
	err          error
	full         bool // the device would have blocked
	header       vnetHeader
	vectors      []unix.Iovec
	now          func(fd uintptr)
	whenWritable func(fd uintptr) bool
}

func newWriter(d *linuxDevice) *writer {
	w := &writer{d: d}
	w.now = func(fd uintptr) { w.full = !w.writeAll(fd) }
	w.whenWritable = w.writeAll
	return w
}

// writeAll writes the frames that are left. It reports false if the device
// takes no more for now.
func (w *writer) writeAll(fd uintptr) bool {
	for w.n < len(w.frames) {
		f := &w.frames[w.n]
		if !w.d.vnet && wantsOffload(f) {
			w.err = errNoOffload
			return true
		}
		switch errno := w.writeFrame(fd, f); errno {
		case 0:
			w.n++
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			w.err = errno
			return true
		}
	}
	return true
}

func (w *writer) writeFrame(fd uintptr, f *stack.Frame) unix.Errno {
	v := w.vectors[:0]
	if w.d.vnet {
		w.header.encode(f.Offload)
		v = append(v, vector(w.header[:]))
	}
	for _, p := range f.Data {
		if len(p) > 0 {
			v = append(v, vector(p))
		}
	}
	if len(v) == 0 {
		return unix.EINVAL
	}
	w.vectors = v
	_, errno := w.d.vectorCall(unix.SYS_WRITEV, fd, v)
	return errno
}

func vector(b []byte) unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return v
}

// vectorCall is readv or writev. Those of package unix allocate from the
// ninth piece on. Neither blocks, so Go's scheduler need not be told, unless
// somebody else can make the file one that blocks.
func (d *linuxDevice) vectorCall(call, fd uintptr, v []unix.Iovec) (int, unix.Errno) {
	var n uintptr
	var errno unix.Errno
	if d.inherited {
		n, _, errno = unix.Syscall(call, fd, uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)))
	} else {
		n, _, errno = unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)))
	}
	return int(n), errno
}
