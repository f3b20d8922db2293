package nd_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// A router advertises a prefix once. Its address is deprecated after an hour
// and gone after two.
func ExampleAutoconf() {
	now := time.Unix(0, 0)
	m := nd.NewAutoconf(nd.AutoconfConfig{LinkAddr: nd.LinkAddr{0x02, 5: 1}}, noChance{})
	show := func(actions []nd.AutoconfAction) {
		for _, a := range actions {
			switch a := a.(type) {
			case nd.AddAddress:
				fmt.Printf("test and assign %v/%d\n", a.Addr, a.PrefixLen)
			case nd.DeprecateAddress:
				fmt.Println("prefer others to", a.Addr)
			case nd.RemoveAddress:
				fmt.Println("remove", a.Addr)
			default:
				fmt.Printf("%T\n", a)
			}
		}
	}
	show(m.Step(now, nd.AutoconfUp{}))
	show(m.Step(now, nd.AutoconfPrefix{PrefixInformation: nd.PrefixInformation{
		Prefix: netip.MustParsePrefix("2001:db8::/64"), Autonomous: true,
		PreferredLifetime: time.Hour, ValidLifetime: 2 * time.Hour,
	}}))
	for at, ok := m.Deadline(); ok; at, ok = m.Deadline() {
		show(m.Advance(at))
	}
	// Output:
	// test and assign fe80::ff:fe00:1/64
	// test and assign 2001:db8::ff:fe00:1/64
	// prefer others to 2001:db8::ff:fe00:1
	// remove 2001:db8::ff:fe00:1
}
