// Package stack is an IPv6 host: sockets above, an Ethernet link below, and in
// between Neighbor Discovery, Duplicate Address Detection, Multicast Listener
// Discovery and a routing table that know nothing of an address before it has
// proved unique (RFC 4862, section 5.4).
//
//	s, err := stack.New(stack.Config{})
//	link, err := tap.Open(tap.Config{Name: "tap0"})
//	tap0, err := s.Attach("tap0", link, stack.InterfaceConfig{})
//	err = tap0.AddAddress(ctx, stack.AddressConfig{
//		Prefix: netip.MustParsePrefix("2001:db8::5/64"),
//		OnLink: netip.MustParsePrefix("2001:db8::/64"),
//	}) // blocks until DAD has ended
//	if dup := (*dad.DuplicateError)(nil); errors.As(err, &dup) {
//		log.Print(dup.LinkAddr, " has it")
//	}
//	listener, err := s.Listen("tcp", ":80")
//
// The behaviour of one interface is a Core: a pure machine that is made of
// those of packages dad, nd, mld and rib and that takes time, frames and
// commands and gives frames, facts and results. An Interface owns a Core, in
// one goroutine at a time, and adds the clock, the link and the sockets, which
// are gVisor's. Data packets do not pass the loop.
//
// It does everything that a host on an Ethernet link does: it finds routers and
// leaves dead ones, forms and ages addresses, follows redirects and path MTUs.
// Which RFCs it follows where they differ is a Profile. It does not forward,
// knows no IPv4 and is no DHCPv6 client.
package stack
