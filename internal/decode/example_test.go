package decode_test

import (
	"fmt"
	"net/netip"

	"github.com/tapstack/tapstack/internal/decode"
	"github.com/tapstack/tapstack/nd"
)

func ExampleLine() {
	host := netip.MustParseAddr("2001:db8::5")
	group := nd.SolicitedNode(host)
	to, from := nd.MulticastLinkAddr(group), nd.LinkAddr{2, 0, 0, 0, 0, 1}
	src, dst := netip.IPv6Unspecified().As16(), group.As16()

	message := nd.Append(nil, netip.IPv6Unspecified(), group, &nd.NeighborSolicit{Target: host})
	frame := append(append(to[:], from[:]...), 0x86, 0xdd) // Ethernet
	frame = append(frame, 6<<4, 0, 0, 0, 0, byte(len(message)), 58, 255)
	frame = append(append(append(frame, src[:]...), dst[:]...), message...)
	fmt.Println(decode.Line(frame))
	// Output:
	// 02:00:00:00:00:01 > 33:33:ff:00:00:05  :: > ff02::1:ff00:5  neighbor solicitation for 2001:db8::5 (DAD probe)
}
