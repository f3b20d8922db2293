// Package host has the hosts that are measured beside each other, behind one
// interface: tapstack, gVisor as it comes, and the Linux kernel.
package host

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/tapstack/tapstack/tap"
)

// Host is an IPv6 host with sockets. Its address is Own and its one neighbor
// is Peer.
type Host interface {
	DialTCP(to netip.AddrPort) (net.Conn, error)
	DialUDP(to netip.AddrPort) (net.Conn, error)
	// ListenUDP opens a socket on Own.
	ListenUDP(port uint16) (net.PacketConn, error)
}

// Where the hosts are.
var (
	Own    = netip.MustParseAddr("2001:db8::2")
	Peer   = netip.MustParseAddr("2001:db8::1")
	Prefix = netip.MustParsePrefix("2001:db8::/64")
)

// Link-layer addresses of the two.
var (
	OwnLinkAddr  = [6]byte{2, 0, 0, 0, 0, 2}
	PeerLinkAddr = [6]byte{2, 0, 0, 0, 0, 1}
)

// The hosts by name.
const (
	Tapstack  = "tapstack"
	NoOffload = "tapstack, offload off"
	GVisor    = "gVisor"
	Kernel    = "kernel"
)

// DeviceName is the interface between a host and its peer: the kernel's end of
// a TAP, or of a pair of virtual Ethernet interfaces.
const DeviceName = "tap0"

// Open makes the host of this name on a TAP, which it makes in the calling
// thread's network namespace. Kernel is that namespace itself, and needs none.
func Open(name, device string) (Host, error) {
	switch name {
	case Tapstack:
		return openTapstack(tap.Config{Name: device, LinkAddr: OwnLinkAddr})
	case NoOffload:
		return openTapstack(tap.Config{Name: device, LinkAddr: OwnLinkAddr, NoOffload: true})
	case GVisor:
		return openGVisor(device)
	case Kernel:
		return kernel{}, nil
	}
	return nil, fmt.Errorf("there is no host %q", name)
}

// kernel is the kernel of the process's network namespace.
type kernel struct{}

func (kernel) DialTCP(to netip.AddrPort) (net.Conn, error) { return net.Dial("tcp6", to.String()) }

func (kernel) DialUDP(to netip.AddrPort) (net.Conn, error) { return net.Dial("udp6", to.String()) }

func (kernel) ListenUDP(port uint16) (net.PacketConn, error) {
	return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(Own, port)))
}
