package mld_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/mld"
)

// always draws the longest delay.
type always struct{}

func (always) Between(_, hi time.Duration) time.Duration { return hi }

// A host joins a group and leaves it. Each report is repeated once.
func Example() {
	now := time.Unix(0, 0)
	group := netip.MustParseAddr("ff02::1:ff00:1")
	holder := mld.Holder{Kind: mld.HolderAddress, Addr: netip.MustParseAddr("2001:db8::1")}

	m := mld.New(mld.Config{}, always{})
	m.Step(now, mld.Up{})
	show(m.Step(now, mld.Changes{{Op: mld.OpJoin, Group: group, Holder: holder}}))
	next, _ := m.Deadline()
	fmt.Println("after", next.Sub(now))
	show(m.Advance(next))
	fmt.Println(m.Groups()[0].Addr, "held by", m.Groups()[0].Holders)
	show(m.Step(next, mld.Changes{{Op: mld.OpLeave, Group: group, Holder: holder}}))

	// Output:
	// joined ff02::1:ff00:1
	// send to ff02::16: TO_EX ff02::1:ff00:1
	// after 1s
	// send to ff02::16: TO_EX ff02::1:ff00:1
	// ff02::1:ff00:1 held by [address 2001:db8::1]
	// left ff02::1:ff00:1
	// send to ff02::16: TO_IN ff02::1:ff00:1
}

func show(actions []mld.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case mld.Joined:
			fmt.Println("joined", a.Group)
		case mld.Left:
			fmt.Println("left", a.Group)
		case mld.Filtered:
			fmt.Println("filtered", a.Group)
		case mld.Send:
			for _, r := range a.Message.(*mld.ReportV2).Records {
				fmt.Printf("send to %v: %v %v\n", a.Dst, r.Type, r.Group)
			}
		}
	}
}
