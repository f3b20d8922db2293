package tap

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/tapstack/tapstack/nd"
	"golang.org/x/sys/unix"
)

// attach opens /dev/net/tun and attaches it to the TAP of this name, which is
// created if there is none. The caller owns fd.
func attach(name string, flags uint16) (fd int, actual string, err error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return -1, "", fmt.Errorf("open TAP %s: the name is longer than %d octets", name, unix.IFNAMSIZ-1)
	}
	if name == "" {
		request, _ = unix.NewIfreq("tap%d")
	}
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, "", fmt.Errorf("open TAP %s: /dev/net/tun: %w: %s", name, err, adviseDevice(err))
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return -1, "", fmt.Errorf("open TAP %s: %w: %s", name, err, adviseAttach(name, err))
	}
	return fd, request.Name(), nil
}

// adviseDevice says what to do when /dev/net/tun does not open.
func adviseDevice(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return "load the module with `modprobe tun`; give a container `--device /dev/net/tun`"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "run as root, or let this user open it; a container needs `--device /dev/net/tun`"
	}
	return "TAPs cannot be opened"
}

// adviseAttach says what to do when the kernel refuses the TAP.
func adviseAttach(name string, err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		if name == "" {
			name = "tap0"
		}
		return fmt.Sprintf("this needs root or CAP_NET_ADMIN, or a TAP of your own: `sudo ip tuntap add dev %s mode tap user %s`", name, userName())
	case errors.Is(err, unix.EBUSY):
		return "another process is attached to it: stop that, or choose another TAP"
	case errors.Is(err, unix.EINVAL):
		return "the name is no interface name, or is that of an interface that is not a TAP, or of a TAP with several queues"
	}
	return "the kernel refused"
}

// userName is for a command line to copy.
func userName() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "$USER"
}

// netif is the kernel's end of a TAP. It keeps a socket of the network
// namespace that it was made in, since a goroutine's thread may be in another
// one later.
type netif struct {
	name   string
	socket int
}

func newNetif(name string) (*netif, error) {
	// Interface requests work on a socket of any kind. This kind always
	// exists.
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: socket: %w", name, err)
	}
	return &netif{name: name, socket: s}, nil
}

func (n *netif) close() { unix.Close(n.socket) }

func (n *netif) linkAddr() (nd.LinkAddr, error) {
	var request ifreq
	copy(request.name[:], n.name)
	if err := request.ioctl(uintptr(n.socket), unix.SIOCGIFHWADDR); err != nil {
		return nd.LinkAddr{}, fmt.Errorf("read the link-layer address of %s: %w", n.name, err)
	}
	return request.linkAddr(), nil
}

func (n *netif) mtu() (int, error) {
	request, err := n.request(unix.SIOCGIFMTU)
	if err != nil {
		return 0, fmt.Errorf("read the MTU of %s: %w", n.name, err)
	}
	return int(request.Uint32()), nil
}

func (n *netif) setMTU(mtu int) error {
	request, _ := unix.NewIfreq(n.name)
	request.SetUint32(uint32(mtu))
	if err := unix.IoctlIfreq(n.socket, unix.SIOCSIFMTU, request); err != nil {
		return n.refused(fmt.Sprintf("set the MTU of %s to %d", n.name, mtu), fmt.Sprintf("mtu %d", mtu), err)
	}
	return nil
}

func (n *netif) setUp() error {
	request, err := n.request(unix.SIOCGIFFLAGS)
	if err != nil {
		return fmt.Errorf("read the flags of %s: %w", n.name, err)
	}
	flags := request.Uint16()
	if flags&unix.IFF_UP != 0 {
		return nil
	}
	request.SetUint16(flags | unix.IFF_UP)
	if err := unix.IoctlIfreq(n.socket, unix.SIOCSIFFLAGS, request); err != nil {
		return n.refused(fmt.Sprintf("bring %s up", n.name), "up", err)
	}
	return nil
}

// request asks for one property of the interface.
func (n *netif) request(call uint) (*unix.Ifreq, error) {
	request, err := unix.NewIfreq(n.name)
	if err != nil {
		return nil, err
	}
	return request, unix.IoctlIfreq(n.socket, call, request)
}

// refused says what to do when the kernel refuses a change.
func (n *netif) refused(what, setting string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%s: %w: this needs root or CAP_NET_ADMIN: run `sudo ip link set %s %s` first", what, err, n.name, setting)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// ioError says why an attached TAP does not take or give a frame.
func ioError(op direction, name string, err error) error {
	switch {
	case op == writing && errors.Is(err, unix.EIO):
		return fmt.Errorf("%s TAP %s: %w: the kernel's end is down: `ip link set %s up` brings it up", op, name, unix.ENETDOWN, name)
	case errors.Is(err, unix.EBADFD):
		return fmt.Errorf("%s TAP %s: the interface was deleted: %w", op, name, err)
	}
	return fmt.Errorf("%s TAP %s: %w", op, name, err)
}

// ifreq is struct ifreq with a link-layer address, which unix.Ifreq cannot
// read: data is the address family, in two octets, and then the address.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte
}

func (r *ifreq) ioctl(fd, call uintptr) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, call, uintptr(unsafe.Pointer(r))); errno != 0 {
		return errno
	}
	return nil
}

func (r *ifreq) linkAddr() nd.LinkAddr { return nd.LinkAddr(r.data[2:8]) }
