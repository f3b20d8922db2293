package nd_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// The interface comes up, asks for routers, and one answers.
func ExampleRouters() {
	router := netip.MustParseAddr("fe80::a")
	now := time.Unix(0, 0)

	r := nd.NewRouters(nd.RouterConfig{}, noChance{})
	show := func(actions []nd.RouterAction) {
		for _, a := range actions {
			switch a := a.(type) {
			case nd.Solicit:
				fmt.Println("ask", a.Dst, "from", a.Src)
			case nd.RouterAdded:
				fmt.Println(a.Router, "is a default router")
			case nd.AddRoute:
				fmt.Println("route to", a.Prefix, "for", a.Lifetime)
			case nd.RemoveRoute:
				fmt.Println("no route to", a.Prefix)
			default: // this host does without the rest
			}
		}
	}
	show(r.Step(now, nd.Enable{Delayed: true}))
	show(r.Step(now, nd.Advert{
		Header: nd.Header{Src: router, Dst: nd.AllNodes},
		RouterAdvert: &nd.RouterAdvert{
			RouterLifetime: 30 * time.Minute,
			Prefixes: []nd.PrefixInformation{{
				Prefix: netip.MustParsePrefix("2001:db8::/64"), OnLink: true, ValidLifetime: time.Hour,
			}},
		},
	}))
	for at, ok := r.Deadline(); ok; at, ok = r.Deadline() {
		show(r.Advance(at))
	}
	// Output:
	// ask ff02::2 from ::
	// fe80::a is a default router
	// route to ::/0 for 30m0s
	// route to 2001:db8::/64 for 1h0m0s
	// no route to ::/0
	// no route to 2001:db8::/64
}
