package rib_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/rib"
)

// The names of the tests' little world.
var (
	epoch = time.Unix(1_000_000, 0)

	ll1, ll2  = netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
	global1   = netip.MustParseAddr("2001:db8::1")
	global2   = netip.MustParseAddr("2001:db8::2")
	router9   = netip.MustParseAddr("fe80::9")
	routerA   = netip.MustParseAddr("fe80::a")
	elsewhere = netip.MustParseAddr("2001:db8:ffff::1")

	linkLocalPrefix = netip.MustParsePrefix("fe80::/64")
	docPrefix       = netip.MustParsePrefix("2001:db8::/64")
	all             = netip.MustParsePrefix("::/0")
)

func onLink(p netip.Prefix) rib.Key {
	return rib.Key{Prefix: p, Origin: rib.OnLink, Metric: rib.OnLinkMetric}
}

func via(p netip.Prefix, gateway netip.Addr) rib.Key {
	return rib.Key{Prefix: p, NextHop: gateway, Origin: rib.StaticOrigin, Metric: rib.StaticMetric}
}

func advertised(p netip.Prefix, router netip.Addr) rib.Key {
	return rib.Key{Prefix: p, NextHop: router, Origin: rib.RA, Metric: rib.RAMetric}
}

func byHand() rib.Owner { return rib.Owner{Kind: rib.OwnerStatic} }

func byRouter(router netip.Addr, p netip.Prefix) rib.Owner {
	return rib.Owner{Kind: rib.OwnerRouter, Addr: router, Prefix: p}
}

func byAddress(a netip.Addr) rib.Owner { return rib.Owner{Kind: rib.OwnerAddress, Addr: a} }

// apply steps table through events, all at epoch.
func apply(table *rib.Table, events ...rib.Event) []rib.Action {
	var actions []rib.Action
	for _, ev := range events {
		actions = append(actions, table.Step(epoch, ev)...)
	}
	return actions
}

func tableWith(cfg rib.Config, events ...rib.Event) *rib.Table {
	table := rib.New(cfg)
	apply(table, events...)
	return table
}

// line prints a route as the tests state it.
func line(r rib.Route) string {
	s := r.Prefix.String() + " " + r.Origin.String()
	if r.NextHop.IsValid() {
		s += " via " + r.NextHop.String()
	}
	return s + fmt.Sprint(" ", r.Owners)
}

func wantRoutes(t *testing.T, table *rib.Table, want ...string) {
	t.Helper()
	var got []string
	for _, r := range table.Routes() {
		got = append(got, line(r))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func wantActions(t *testing.T, actions []rib.Action, want ...string) {
	t.Helper()
	var got []string
	for _, act := range actions {
		switch act := act.(type) {
		case rib.Added:
			got = append(got, "added "+line(act.Route))
		case rib.Removed:
			got = append(got, "removed "+line(act.Route))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

// wantHop checks the next hop to dst: an address, "local" or "none".
func wantHop(t *testing.T, table *rib.Table, dst netip.Addr, want string) {
	t.Helper()
	if got := hop(table.Snapshot(), dst, 0); got != want {
		t.Errorf("next hop to %v: %s, want %s", dst, got, want)
	}
}

func hop(s *rib.Snapshot, dst netip.Addr, flow uint32) string {
	return hopFrom(s, netip.IPv6Unspecified(), dst, flow)
}

func hopFrom(s *rib.Snapshot, src, dst netip.Addr, flow uint32) string {
	h, ok := s.NextHop(src.As16(), dst.As16(), flow)
	switch {
	case !ok:
		return "none"
	case h.Local:
		return "local"
	}
	return netip.AddrFrom16(h.Addr).String()
}

// wantSource checks the source for dst: an address or "none".
func wantSource(t *testing.T, table *rib.Table, dst, want string) {
	t.Helper()
	if got := source(table.Snapshot(), netip.MustParseAddr(dst)); got != want {
		t.Errorf("source for %s: %s, want %s", dst, got, want)
	}
}

func source(s *rib.Snapshot, dst netip.Addr) string {
	a, ok := s.Source(dst)
	if !ok {
		return "none"
	}
	return a.String()
}
