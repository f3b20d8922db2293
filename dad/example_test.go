package dad_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// fixed stands in for a source of chance.
type fixed struct{}

func (fixed) Between(_, hi time.Duration) time.Duration { return hi / 2 }
func (fixed) Nonce() nd.Nonce                           { return "\x01\x02\x03\x04\x05\x06" }

// Two addresses are tested at once; one of them has an owner already.
func Example() {
	m := dad.New(dad.Config{}, fixed{})
	now := time.Unix(0, 0)
	free, taken := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")

	show(m.Step(now, dad.Start{Addr: free}))
	show(m.Step(now, dad.Start{Addr: taken}))

	show(m.Step(now.Add(300*time.Millisecond), dad.Advert{
		Header:         nd.Header{Src: taken, Dst: nd.AllNodes, From: nd.LinkAddr{2, 0, 0, 0, 0, 9}},
		NeighborAdvert: &nd.NeighborAdvert{Target: taken, Override: true},
	}))

	deadline, _ := m.Deadline()
	fmt.Println("after", deadline.Sub(now))
	show(m.Advance(deadline))
	// Output:
	// join ff02::1:ff00:1
	// probe 2001:db8::1, nonce 010203040506
	// join ff02::1:ff00:2
	// probe 2001:db8::2, nonce 010203040506
	// leave ff02::1:ff00:2
	// duplicate address: in use by 02:00:00:00:00:09 (neighbor advertisement)
	// after 1s
	// assign 2001:db8::1
}

// show executes actions, in order.
func show(actions []dad.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case dad.Join:
			fmt.Println("join", a.Group)
		case dad.Probe:
			fmt.Printf("probe %v, nonce %v\n", a.Addr, a.Nonce)
		case dad.Leave:
			fmt.Println("leave", a.Group)
		case dad.Reject:
			fmt.Println(a.Duplicate)
		case dad.Assign:
			fmt.Println("assign", a.Addr)
		}
	}
}
