// Tapstack-host-gvisor is the program of the conformance target gvisor: gVisor's
// netstack as it comes, on a TAP, told what to do by the tester. It has nothing
// of this project's Neighbor Discovery, and `tapstack` nothing of it.
//
// What gVisor leaves to the program that embeds it is done as its documentation
// says, and as little as possible:
//
//   - The link is fdbased with Ethernet headers, which is what gVisor has for a
//     TAP: no queue, no offloads.
//   - IPv6 is ipv6.NewProtocolWithOptions with DefaultNDPConfigurations (Router
//     Advertisements are heeded, routers, prefixes and more specific routes
//     discovered, addresses generated), DefaultDADConfigurations (one probe) and
//     MLD, which is off unless it is asked for; the link-local address is
//     generated. The interface identifier is that of the Ethernet address and
//     there are no temporary addresses, unless a case says otherwise; opaque
//     identifiers (RFC 7217) come with the three retries that this RFC has.
//   - Neighbor Unreachability Detection has DefaultNUDConfigurations.
//   - TCP, UDP and ICMPv6 have their defaults; there is no IPv4. What the host
//     sends to itself stays inside (HandleLocal).
//   - Routes are the program's affair. What NDPDispatcher tells of routers,
//     prefixes and routes goes to the routing table, of routes to one prefix the
//     most preferred first; so do the prefix of an address that is added and the
//     routes of commands.
//   - A program joins a group by a UDP socket. A datagram is sent by one that is
//     bound to its port, and to its source if there is one.
//   - "up" and "down" are EnableNIC and DisableNIC.
//
// A duplicate is noted for the tables and has no other consequence than those
// that gVisor draws by itself.
package main
