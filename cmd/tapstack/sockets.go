package main

import (
	"net"
	"net/netip"

	"github.com/tapstack/tapstack/internal/services"
	"github.com/tapstack/tapstack/stack"
)

// sockets is a Stack as package services sees it.
type sockets struct{ *stack.Stack }

func (s sockets) ListenPacket(network, address string) (services.PacketConn, error) {
	c, err := s.Stack.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return packetConn{c}, nil
}

type packetConn struct{ *stack.PacketConn }

func (c packetConn) Receive(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	return n, from, netip.Addr{}, err
}

func (c packetConn) Reply(b []byte, local netip.Addr, to netip.AddrPort) error {
	_, err := c.WriteToUDPAddrPort(b, to)
	return err
}

var _ net.Listener
