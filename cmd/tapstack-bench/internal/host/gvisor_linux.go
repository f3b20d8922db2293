package host

import (
	"fmt"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// openGVisor puts gVisor on a TAP by its fdbased endpoint, which is what it
// has for one: whole frames, without the virtio-net header.
func openGVisor(device string) (Host, error) {
	fd, err := openTAP(device)
	if err != nil {
		return nil, err
	}
	link, err := fdbased.New(&fdbased.Options{
		FDs: []int{fd}, MTU: 1500, EthernetHeader: true, Address: tcpip.LinkAddress(OwnLinkAddr[:]),
	})
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	s, err := newGVisor(link, ipv6.Options{})
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if err := address(s); err != nil {
		s.Destroy()
		return nil, err
	}
	return gvisor{s}, nil
}

// openTAP makes a TAP and brings the kernel's end up.
func openTAP(device string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	if err := makeTAP(fd, device); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make %s: %w", device, err)
	}
	return fd, nil
}

func makeTAP(fd int, device string) error {
	req, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, req); err != nil {
		return err
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req)
}
