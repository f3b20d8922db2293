package rib_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/rib"
)

// Two link-local addresses hold fe80::/64. It stays until both are gone.
func Example() {
	now := time.Now()
	table := rib.New(rib.Config{})
	one, two := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
	table.Step(now, rib.Assign{Addr: one})
	table.Step(now, rib.Assign{Addr: two})
	table.Step(now, rib.Withdraw{Addr: one})
	for _, r := range table.Routes() {
		fmt.Println(r.Prefix, r.Origin, r.Owners)
	}

	// Output:
	// fe80::/64 on-link [address fe80::2]
	// fe80::2/128 local [address fe80::2]
}

// A prefix is on-link for the lifetime that a router advertised.
func ExampleTable_Advance() {
	now := time.Now()
	router, prefix := netip.MustParseAddr("fe80::9"), netip.MustParsePrefix("2001:db8::/64")
	table := rib.New(rib.Config{})
	table.Step(now, rib.Add{
		Key:      rib.Key{Prefix: prefix, Origin: rib.OnLink, Metric: rib.OnLinkMetric},
		Owner:    rib.Owner{Kind: rib.OwnerRouter, Addr: router, Prefix: prefix},
		Lifetime: time.Hour,
	})
	deadline, _ := table.Deadline()
	fmt.Println(deadline.Sub(now))
	for _, act := range table.Advance(deadline) {
		fmt.Printf("%T %v\n", act, act.(rib.Removed).Route.Prefix)
	}

	// Output:
	// 1h0m0s
	// rib.Removed 2001:db8::/64
}

// The data path asks a snapshot where a packet goes, and what source it bears.
func ExampleSnapshot() {
	now := time.Now()
	table := rib.New(rib.Config{})
	table.Step(now, rib.Assign{Addr: netip.MustParseAddr("fe80::1")})
	table.Step(now, rib.Assign{Addr: netip.MustParseAddr("2001:db8::1")})
	table.Step(now, rib.Add{
		Key: rib.Key{
			Prefix: netip.MustParsePrefix("::/0"), NextHop: netip.MustParseAddr("fe80::9"),
			Origin: rib.StaticOrigin, Metric: rib.StaticMetric,
		},
		Owner: rib.Owner{Kind: rib.OwnerStatic},
	})

	snapshot := table.Snapshot()
	for _, dst := range []string{"2001:db8:5::1", "fe80::7", "2001:db8::1"} {
		addr := netip.MustParseAddr(dst)
		hop, _ := snapshot.NextHop([16]byte{}, addr.As16(), 0)
		source, _ := snapshot.Source(addr)
		fmt.Println(dst, "via", netip.AddrFrom16(hop.Addr), "from", source, "local", hop.Local)
	}

	// Output:
	// 2001:db8:5::1 via fe80::9 from 2001:db8::1 local false
	// fe80::7 via fe80::7 from fe80::1 local false
	// 2001:db8::1 via 2001:db8::1 from 2001:db8::1 local true
}
