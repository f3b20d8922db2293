package services

import (
	"net/netip"

	"github.com/tapstack/tapstack/stack"
)

// On is the Network of a Stack.
func On(s *stack.Stack) Network { return network{s} }

type network struct{ *stack.Stack }

func (n network) ListenPacket(network, address string) (PacketConn, error) {
	c, err := n.Stack.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return datagrams{c}, nil
}

type datagrams struct{ *stack.PacketConn }

// Receive passes over what was sent to a group: an answer to it would be an
// answer from every host on the link.
func (c datagrams) Receive(b []byte) (n int, from netip.AddrPort, to netip.Addr, err error) {
	for {
		n, from, to, err = c.ReadPacket(b)
		if err != nil || !to.IsMulticast() {
			return n, from, to, err
		}
	}
}

func (c datagrams) Reply(b []byte, local netip.Addr, to netip.AddrPort) error {
	_, err := c.WritePacket(b, local, to)
	return err
}
