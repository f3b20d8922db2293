// Package rib is the routing information base of one interface: which routes
// there are, who holds them, where a packet goes next and which source address
// it bears.
//
// It implements next-hop determination and the Prefix List of RFC 4861,
// section 5 (with the on-link assumption of RFC 2461 as an option), the host
// rules of RFC 5942, section 4, and source address selection by RFC 6724,
// section 5, or RFC 3484. Routers are chosen by RFC 4191, section 3.2, for a
// host of type C: longest prefix, then preference, and a metric of ours in
// between; those that failed are passed over. Equals share the load (RFC 4311),
// and default routers are preferred for the sources whose prefix they announced
// (RFC 8028). A host of type A, an option, chooses by RFC 4861, section 6.3.6,
// alone. What Redirects say (RFC 4861, section 8.3) is kept apart from the
// routes, as exceptions to them with a bound and an end.
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
// Whether a gateway can be reached, and which router announced which prefix, it
// is told: it keeps no Neighbor Cache and reads no advertisement.
//
// It does not know multicast routes (the next hop of a group is the group
// itself, on-link, without any lookup), or the rules of RFC 6724 that need more
// than the addresses of one interface: 4 (home addresses) and 5 (other
// interfaces). A router is used where a route leads through it, and never for
// having announced the prefix of a source alone (RFC 8028, section 3.1, would
// have it used for any destination).
package rib
