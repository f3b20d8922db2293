package host

import (
	"errors"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// nic is the only one of a gVisor stack.
const nic tcpip.NICID = 1

// gvisor is gVisor as it comes: with its defaults, its own Neighbor Discovery
// and the sockets of gonet.
type gvisor struct{ stack *stack.Stack }

// newGVisor makes a stack on a link endpoint. options are those of IPv6.
func newGVisor(link stack.LinkEndpoint, options ipv6.Options) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv6.NewProtocolWithOptions(options)},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol6},
	})
	if err := s.CreateNIC(nic, link); err != nil {
		s.Destroy()
		return nil, errors.New(err.String())
	}
	return s, nil
}

// address gives a gVisor stack Own, and the route to its prefix.
func address(s *stack.Stack) error {
	if err := addAddress(s, Own); err != nil {
		return err
	}
	s.AddRoute(route(Prefix))
	return nil
}

func addAddress(s *stack.Stack, a netip.Addr) error {
	err := s.AddProtocolAddress(nic, tcpip.ProtocolAddress{
		Protocol:          ipv6.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16(a.As16()), PrefixLen: Prefix.Bits()},
	}, stack.AddressProperties{})
	if err != nil {
		return errors.New(err.String())
	}
	return nil
}

func route(p netip.Prefix) tcpip.Route {
	a := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16(p.Addr().As16()), PrefixLen: p.Bits()}
	return tcpip.Route{Destination: a.Subnet(), NIC: nic}
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom16(a.Addr().As16()), Port: a.Port()}
}

func (g gvisor) DialTCP(to netip.AddrPort) (net.Conn, error) {
	return gonet.DialTCP(g.stack, full(to), header.IPv6ProtocolNumber)
}

func (g gvisor) DialUDP(to netip.AddrPort) (net.Conn, error) {
	remote := full(to)
	return gonet.DialUDP(g.stack, nil, &remote, header.IPv6ProtocolNumber)
}

func (g gvisor) ListenUDP(port uint16) (net.PacketConn, error) {
	local := full(netip.AddrPortFrom(Own, port))
	return gonet.DialUDP(g.stack, &local, nil, header.IPv6ProtocolNumber)
}
