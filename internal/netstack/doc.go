// Package netstack is the one place where gVisor is used: as layer 3 and up
// (IPv6, reassembly, TCP, UDP, ICMPv6) of one interface.
//
// A [Host] takes IPv6 packets from below ([RxBuffer.Deliver]) and hands IPv6
// packets down (Config.Output). What is below is the caller's: Ethernet, the
// next hop, Neighbor Discovery, Duplicate Address Detection and Multicast
// Listener Discovery. gVisor has all of these too; here they are off, and a
// Host never sends a packet of its own accord. Adding an address or joining a
// group is silent.
//
// An address is added when it is assigned and removed when it is not: for
// gVisor, and so for every socket, a tentative address does not exist. The
// source address of each packet is chosen by the caller (Config.Source), never
// by gVisor.
//
// Sockets are of this package. They return addresses with their zone, and
// errors as *net.OpError over syscall.Errno; ICMPv6 errors that are received
// for a flow reach the socket that has it.
//
//	h, err := netstack.New(netstack.Config{
//		Name:   "tap0",
//		MTU:    1500,
//		Output: func(p *netstack.Packet) error { return link.Send(p) },
//		Source: func(dst netip.Addr) (netip.Addr, error) { return self, nil },
//	})
//	h.AddAddress(self)
//	l, err := h.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), 80))
//	c, err := h.DialTCP(ctx, netip.AddrPort{}, server)
//
// What gVisor does not do, or not well enough, is done between it and the link:
// path MTUs and fragments that fit them, flow labels, errors to the right
// socket, hints of reachability.
//
// Not here: the routing table, the neighbor cache, IPv4, forwarding.
package netstack
