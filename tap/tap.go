// Package tap has the Ethernet links that a stack can be attached to.
//
//   - [Open] attaches to a TAP of the operating system or creates one. On
//     Linux frames carry the virtio-net header, so TCP segments of up to
//     64 KiB and partial checksums cross the device whole, both ways.
//     Elsewhere, and on Linux if asked for, github.com/songgao/water does
//     the work, without offload. [OpenFD] takes a TAP that a parent process
//     or a service manager opened.
//   - [Pipe] is a cable in memory and [NewSwitch] a switch in memory that can
//     lose, delay, duplicate, reorder and reflect frames. Both need no
//     privileges and work in a testing/synctest bubble.
//   - [Tee] records what crosses any link as pcapng.
//
// All of them satisfy stack.Link. A TAP has two ends: the interface that the
// kernel shows is the kernel's, and the Device is the other one, with a
// link-layer address of its own.
//
//	dev, err := tap.Open(tap.Config{Name: "tap0"})
//	if err != nil {
//		return err
//	}
//	defer dev.Close()
//	if err := dev.SetUp(); err != nil {
//		return err
//	}
//
// TUN devices, multi-queue TAPs and VLAN tags are not supported.
package tap

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// Config says which TAP to open and how. Its zero value creates a TAP whose
// name the kernel chooses.
type Config struct {
	// Name is the interface to attach to. If there is none of that name it is
	// created, and it vanishes at Close. Empty: the system chooses a name.
	Name string
	// LinkAddr is the Ethernet address of our end. It must differ from that
	// of the kernel's end. Zero: LinkAddrFor of the name.
	LinkAddr nd.LinkAddr
	// MTU is set on the interface if it has another one: 1280 to 65521
	// octets. Zero: the interface keeps what it has.
	MTU int
	// Backend is who talks to the operating system.
	Backend Backend
	// NoOffload has every frame arrive and leave cut to the MTU and with its
	// checksum complete.
	NoOffload bool
	// NoBusyPoll has Read sleep at once when there is no frame. Without, while
	// frames come less than 100 µs apart, the Linux backend asks for the next
	// one again and again for as long before it sleeps, which answers sooner
	// and takes a processor meanwhile. With one processor it never does.
	NoBusyPoll bool
}

// Backend is an implementation of Device.
type Backend uint8

// The backends.
const (
	// Auto is Linux on Linux and Water everywhere else.
	Auto Backend = iota
	// Linux drives /dev/net/tun with the virtio-net header.
	Linux
	// Water uses github.com/songgao/water, without offload.
	Water
)

var backendNames = [...]string{Auto: "auto", Linux: "linux", Water: "water"}

// String returns the name that UnmarshalText takes.
func (b Backend) String() string {
	if int(b) < len(backendNames) {
		return backendNames[b]
	}
	return fmt.Sprintf("Backend(%d)", uint8(b))
}

// MarshalText implements encoding.TextMarshaler.
func (b Backend) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText takes auto, linux or water.
func (b *Backend) UnmarshalText(text []byte) error {
	for i, name := range backendNames {
		if name == string(text) {
			*b = Backend(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a backend: want auto, linux or water", text)
}

const (
	// headerLen is the length of an Ethernet header.
	headerLen = 14
	// minMTU is what IPv6 asks of every link (RFC 8200, section 5).
	minMTU = 1280
	// maxMTU is the largest that a TAP takes: 65535 less its header.
	maxMTU = 65521
)

// Device is our end of a TAP. It implements stack.Link.
//
// Write returns an error that is syscall.ENETDOWN while the kernel's end is
// down.
type Device struct {
	name     string
	backend  backend
	linkAddr nd.LinkAddr
	mtu      int

	mu     sync.Mutex // guards netif and closed
	netif  *netif
	closed bool
}

// backend moves the frames of a Device.
type backend interface {
	read(frames []stack.Frame) (int, error)
	write(frames []stack.Frame) (int, error)
	drained() bool
	offload() stack.Offload
	inDiscards() uint64
	close() error
}

var _ stack.Link = (*Device)(nil)

// Open attaches to the TAP that cfg names, or creates it. Several processes
// cannot hold one TAP: the second gets an error that is syscall.EBUSY.
//
// Closing the device removes the TAP if Open created it. One that was there
// before stays, whoever made it, with the MTU and the state that it has then.
func Open(cfg Config) (*Device, error) {
	switch cfg.Backend {
	case Auto:
		return openDefault(cfg)
	case Linux:
		return openLinux(cfg)
	case Water:
		return openWater(cfg)
	}
	return nil, fmt.Errorf("open TAP %s: there is no backend %d", cfg.Name, cfg.Backend)
}

// newDevice completes a device around an open backend: the interface's MTU
// and the address of our end. It closes b and n if it fails.
func newDevice(cfg Config, b backend, n *netif) (_ *Device, err error) {
	defer func() {
		if err != nil {
			b.close()
			n.close()
		}
	}()
	d := &Device{name: n.name, backend: b, netif: n, mtu: cfg.MTU, linkAddr: cfg.LinkAddr}
	if d.linkAddr.IsZero() {
		d.linkAddr = LinkAddrFor(n.name)
	}
	if d.linkAddr.IsMulticast() {
		return nil, fmt.Errorf("open TAP %s: link-layer address %v is a group's: its first octet must be even", n.name, d.linkAddr)
	}
	kernel, err := n.linkAddr()
	if err != nil {
		return nil, err
	}
	if d.linkAddr == kernel {
		return nil, fmt.Errorf("open TAP %s: link-layer address %v is that of the kernel's end: choose another for ours", n.name, kernel)
	}
	if d.mtu != 0 && (d.mtu < minMTU || d.mtu > maxMTU) {
		return nil, fmt.Errorf("open TAP %s: MTU %d is not in %d to %d", n.name, d.mtu, minMTU, maxMTU)
	}
	mtu, err := n.mtu()
	switch {
	case err != nil:
		return nil, err
	case d.mtu == 0 && mtu < minMTU:
		return nil, fmt.Errorf("open TAP %s: its MTU is %d and IPv6 needs %d: ask for an MTU or set one", n.name, mtu, minMTU)
	case d.mtu == 0:
		d.mtu = min(mtu, maxMTU)
	case d.mtu != mtu:
		if err := n.setMTU(d.mtu); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Name is the name that the interface had when it was opened.
func (d *Device) Name() string { return d.name }

// LinkAddr is the Ethernet address of our end.
func (d *Device) LinkAddr() nd.LinkAddr { return d.linkAddr }

// MTU is the MTU that the interface had when it was opened, in octets.
func (d *Device) MTU() int { return d.mtu }

// Read implements stack.Link.
func (d *Device) Read(frames []stack.Frame) (int, error) { return d.backend.read(frames) }

// Write implements stack.Link.
func (d *Device) Write(frames []stack.Frame) (int, error) { return d.backend.write(frames) }

// Drained implements stack.Link.
func (d *Device) Drained() bool { return d.backend.drained() }

// Offload implements stack.Link.
func (d *Device) Offload() stack.Offload { return d.backend.offload() }

// InDiscards counts the frames that arrived and were longer than the room
// that Read had for them.
func (d *Device) InDiscards() uint64 { return d.backend.inDiscards() }

// SetUp brings the kernel's end up. It needs no privilege if that is up
// already. On systems other than Linux it only checks.
func (d *Device) SetUp() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return net.ErrClosed
	}
	return d.netif.setUp()
}

// Close gives the TAP back and unblocks Read and Write.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.netif.close()
	return d.backend.close()
}

// LinkAddrFor is the address that our end of the TAP of this name gets unless
// another is asked for: locally administered, unicast, and the same each
// time. It does not depend on the machine: who joins the TAPs of several
// machines to one link must choose their addresses.
func LinkAddrFor(name string) nd.LinkAddr {
	const group, local = 0x01, 0x02
	sum := sha256.Sum256([]byte("tapstack link-layer address of " + name))
	a := nd.LinkAddr(sum[:6])
	a[0] = a[0]&^group | local
	return a
}

// busyFlag says that the one reader may be in possession of frames. It is
// raised before each attempt to take one out of the device, and comes down
// only when Read is called and finds nothing: whoever sees first that the
// device holds no frame, and then that the flag is down, knows that the
// frames that have arrived so far were read and are done with.
type busyFlag struct{ atomic.Bool }

// direction is which way a frame was going when a device failed.
type direction string

const (
	reading direction = "read from"
	writing direction = "write to"
)

var errNoOffload = errors.New("a partial checksum or an uncut segment on a link without offload")

// wantsOffload reports whether somebody has yet to complete f.
func wantsOffload(f *stack.Frame) bool {
	return f.Offload.NeedsChecksum || f.Offload.SegmentSize != 0
}
