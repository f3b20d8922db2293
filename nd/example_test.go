package nd_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// noChance answers what a Random is asked with the least.
type noChance struct{}

func (noChance) Between(lo, hi time.Duration) time.Duration { return lo }
func (noChance) Nonce() nd.Nonce                            { return "\x00\x01\x02\x03\x04\x05" }

// A packet waits for the link-layer address of a neighbor, which answers after
// 300 ms.
func Example() {
	own, neighbor := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
	ownMAC, neighborMAC := nd.LinkAddr{0x02, 5: 1}, nd.LinkAddr{0x02, 5: 2}
	now := time.Unix(0, 0)

	n := nd.NewNeighbors(nd.NeighborConfig{LinkAddr: ownMAC}, noChance{})
	show := func(actions []nd.Action) {
		for _, a := range actions {
			switch a := a.(type) {
			case *nd.Send:
				fmt.Printf("send %T to %v\n", a.Message, a.Dst)
			case nd.Changed:
				fmt.Println(a.Neighbor.Addr, "is", a.Neighbor.State)
			case nd.Resolved:
				fmt.Println("packets for", a.Addr, "go to", a.LinkAddr)
			}
		}
	}
	show(n.Step(now, nd.Defend{Addr: own}))
	show(n.Step(now, nd.Resolve{Addr: neighbor, Src: own}))

	// What the neighbor answers, as octets.
	answer := nd.Append(nil, neighbor, own, &nd.NeighborAdvert{
		Target: neighbor, Solicited: true, Override: true, TargetLinkAddr: neighborMAC,
	})

	now = now.Add(300 * time.Millisecond)
	header := nd.Header{Src: neighbor, Dst: own, From: neighborMAC}
	m, err := nd.Parse(header, 255, answer)
	if err != nil {
		fmt.Println(err)
		return
	}
	if na, ok := m.(*nd.NeighborAdvert); ok {
		show(n.Step(now, nd.Advertised{Header: header, NeighborAdvert: na}))
	}
	at, _ := n.Deadline()
	show(n.Advance(at))
	// Output:
	// fe80::2 is incomplete
	// send *nd.NeighborSolicit to ff02::1:ff00:2
	// fe80::2 is reachable
	// packets for fe80::2 go to 02:00:00:00:00:02
	// fe80::2 is stale
}

// A hop limit other than 255 shows that a router has forwarded the message.
func ExampleParse() {
	src, dst := netip.MustParseAddr("fe80::2"), netip.MustParseAddr("fe80::1")
	b := nd.Append(nil, src, dst, &nd.NeighborAdvert{Target: src, Solicited: true})
	_, err := nd.Parse(nd.Header{Src: src, Dst: dst}, 64, b)
	fmt.Println(err)
	// Output:
	// invalid Neighbor Discovery message: hop limit is not 255 (RFC 4861, section 7.1.2)
}
