package stack_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Two nodes on one link, in memory: the second to ask for an address is told
// who has it.
func ExampleInterface_AddAddress() {
	first, second := tap.Pipe(nd.LinkAddr{2, 0, 0, 0, 0, 1}, nd.LinkAddr{2, 0, 0, 0, 0, 2}, 1500)
	address := stack.AddressConfig{
		Prefix: netip.MustParsePrefix("2001:db8::5/64"),
		OnLink: netip.MustParsePrefix("2001:db8::/64"),
	}
	for _, link := range []*tap.End{first, second} {
		s, err := stack.New(stack.Config{})
		if err != nil {
			log.Fatal(err)
		}
		defer s.Close()
		tap0, err := s.Attach("tap0", link, stack.InterfaceConfig{})
		if err != nil {
			log.Fatal(err)
		}
		err = tap0.AddAddress(context.Background(), address)
		if dup := (*dad.DuplicateError)(nil); errors.As(err, &dup) {
			fmt.Println(dup.Addr, "belongs to", dup.LinkAddr)
			continue
		}
		fmt.Println("added:", err == nil)
	}
	// Output:
	// added: true
	// 2001:db8::5 belongs to 02:00:00:00:00:01
}
