//go:build !linux

package tap

import (
	"errors"
	"fmt"
	"net"
	"runtime"

	"github.com/tapstack/tapstack/nd"
)

func openDefault(cfg Config) (*Device, error) { return openWater(cfg) }

func openLinux(cfg Config) (*Device, error) {
	return nil, fmt.Errorf("open TAP %s: the linux backend on %s: %w: use the water backend", cfg.Name, runtime.GOOS, errors.ErrUnsupported)
}

// OpenFD is supported on Linux only.
func OpenFD(fd int, _ Config) (*Device, error) {
	return nil, fmt.Errorf("open TAP from file descriptor %d on %s: %w", fd, runtime.GOOS, errors.ErrUnsupported)
}

// netif is the system's end of a TAP.
type netif struct{ name string }

func newNetif(name string) (*netif, error) { return &netif{name: name}, nil }

func (n *netif) close() {}

func (n *netif) linkAddr() (nd.LinkAddr, error) {
	i, err := net.InterfaceByName(n.name)
	if err != nil {
		return nd.LinkAddr{}, fmt.Errorf("read the link-layer address of %s: %w", n.name, err)
	}
	if len(i.HardwareAddr) != len(nd.LinkAddr{}) {
		return nd.LinkAddr{}, fmt.Errorf("read the link-layer address of %s: it is %v", n.name, i.HardwareAddr)
	}
	return nd.LinkAddr(i.HardwareAddr), nil
}

func (n *netif) mtu() (int, error) {
	i, err := net.InterfaceByName(n.name)
	if err != nil {
		return 0, fmt.Errorf("read the MTU of %s: %w", n.name, err)
	}
	return i.MTU, nil
}

func (n *netif) setMTU(mtu int) error {
	return fmt.Errorf("set the MTU of %s to %d: %w: set it with the tools of the system", n.name, mtu, errors.ErrUnsupported)
}

func (n *netif) setUp() error {
	i, err := net.InterfaceByName(n.name)
	if err != nil {
		return fmt.Errorf("read the flags of %s: %w", n.name, err)
	}
	if i.Flags&net.FlagUp == 0 {
		return fmt.Errorf("bring %s up: %w: do it with the tools of the system", n.name, errors.ErrUnsupported)
	}
	return nil
}

// ioError says why an attached TAP does not take or give a frame.
func ioError(op direction, name string, err error) error {
	return fmt.Errorf("%s TAP %s: %w", op, name, err)
}
