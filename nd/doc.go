// Package nd is Neighbor Discovery for IPv6 (RFC 4861) as a host on Ethernet
// does it.
//
// Parse and Append translate the five messages. Parse verifies every rule that
// a message alone can break, so that no machine behind it sees an invalid one.
//
// Neighbors is the Neighbor Cache of one interface: address resolution,
// Neighbor Unreachability Detection (with the UNREACHABLE state of RFC 7048 if
// wanted), and the advertisements that answer solicitations of the interface's
// own addresses, also those under optimistic Duplicate Address Detection
// (RFC 4429), or announce them unasked (RFC 9131). It probes routers that would
// be used if they were reachable (RFC 4191, section 3.5). It is a pure machine:
// it is told the time and what happens, and returns what is to be done.
//
// Routers is the host side of router discovery (RFC 4861, section 6.3;
// RFC 7559, RFC 4191, RFC 8028, RFC 8106, RFC 8910): it solicits, and tells
// which routes each router holds and which prefixes it announces, and for how
// long. Autoconf forms addresses from the prefixes
// that they advertise (RFC 4862, section 5.5; RFC 7217, RFC 8981) and ages
// them. They are machines of the same kind.
//
//	n := nd.NewNeighbors(nd.NeighborConfig{LinkAddr: mac}, random)
//	do(n.Step(now, nd.Defend{Addr: own}))
//	do(n.Step(now, nd.Resolve{Addr: neighbor, Src: own})) // a packet waits
//	…
//	m, err := nd.Parse(header, hopLimit, icmp)
//	if na, ok := m.(*nd.NeighborAdvert); ok {
//		do(n.Step(now, nd.Advertised{Header: header, NeighborAdvert: na}))
//	}
//	…
//	if at, ok := n.Deadline(); ok { … do(n.Advance(at)) … }
//
// Not here: Duplicate Address Detection (package dad), the packets that wait
// for a link-layer address (their owner keeps them), routes (package rib),
// Redirects beyond their message, proxying, and what routers alone do.
package nd
