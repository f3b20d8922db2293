// Package rib is the routing information base of one interface: which routes
// there are, who holds them, where a packet goes next and which source address
// it bears.
//
// It implements next-hop determination and the Prefix List of RFC 4861,
// section 5 (with the on-link assumption of RFC 2461 as an option), the host
// rules of RFC 5942, section 4, the order of routes of RFC 4191, section 3.2
// (longest prefix, then preference; a metric of ours is in between), the load
// sharing of RFC 4311, and source address selection by RFC 6724, section 5, or
// RFC 3484.
//
// Two ideas carry it. A route has a set of owners, each named by a value, and
// lives while it has one: an address, a router or a command takes back what
// it holds itself and nothing else, so that fe80::/64 outlives the deletion
// of any link-local address but the last. And nothing enters for an address
// before DAD has assigned it: Assign is the only event that brings a local
// route, or fe80::/64, or a candidate source.
//
// Table is a pure state machine: it is told the time and each event, and
// answers with actions. What the data path reads is a Snapshot, immutable and
// free of locks; a lookup costs no allocation.
//
//	t := rib.New(rib.Config{})
//	t.Step(now, rib.Assign{Addr: netip.MustParseAddr("fe80::1")})
//	for _, r := range t.Routes() {
//		fmt.Println(r.Prefix, r.Origin, r.Owners)
//	}
//	// fe80::/64 on-link [address fe80::1]
//	// fe80::1/128 local [address fe80::1]
//	hop, ok := t.Snapshot().NextHop(src, dst, flow)
//
// It does not know multicast routes (the next hop of a group is the group
// itself, on-link, without any lookup), whether a gateway can be reached,
// redirects, or the rules of RFC 6724 that need more than the addresses of one
// interface: 4 (home addresses), 5 (other interfaces) and 5.5 (which router
// advertised which prefix).
package rib
