package rib_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/tapstack/tapstack/rib"
)

// Spec: RFC 5942, section 4, DER, RTE-R01
// Spec: RFC 4861, section 5.1, must, ONL-R01
// Spec: RFC 4861, section 6.3.4, must, ONL-R02
// Spec: RFC 5942, section 4, MUST NOT, ONL-R05
// Spec: RFC 5942, section 3, must, ONL-R07
//
// What routes may come from what, row by row. Where an origin is not in a row,
// it cannot be expressed: there is none for a Redirect, an NS or an NA, for
// DHCPv6, or for a prefix whose L flag is clear.
func TestRTE_R01_WhatMayComeFromWhat(t *testing.T) {
	prefix := netip.MustParsePrefix
	own := func(a netip.Addr) rib.Key {
		return rib.Key{Prefix: netip.PrefixFrom(a, 128), Origin: rib.Local}
	}
	pio, rio := byRouter(router9, docPrefix), byRouter(router9, all)
	specific := prefix("2001:db8:1::/48")
	host := netip.PrefixFrom(global1, 128)
	for _, row := range []struct {
		what  string
		key   rib.Key
		owner rib.Owner
		want  error
	}{
		{"local, by hand", own(global1), byHand(), rib.ErrOrigin},
		{"local, by an address", own(global1), byAddress(global1), rib.ErrOrigin},
		{"local, from an RA", own(global1), pio, rib.ErrOrigin},

		{"fe80::/64, by hand", onLink(linkLocalPrefix), byHand(), rib.ErrPrefix},
		{"fe80::/64, from an RA", onLink(linkLocalPrefix), byRouter(router9, linkLocalPrefix), rib.ErrPrefix},
		{"fe80::/64, by a tentative address", onLink(linkLocalPrefix), byAddress(ll1), rib.ErrPrefix},
		{"fe80::/64, through a gateway", via(linkLocalPrefix, router9), byHand(), rib.ErrPrefix},
		{"part of fe80::/10, from an RA", onLink(prefix("fe80:0:0:1::/64")), pio, rib.ErrPrefix},

		{"on-link prefix, PIO with L=1", onLink(docPrefix), pio, nil},
		{"on-link prefix, by hand", onLink(docPrefix), byHand(), nil},
		{"on-link /128, by hand", onLink(host), byHand(), nil},
		{"on-link prefix, by an address alone", onLink(docPrefix), byAddress(global1), rib.ErrOwner},
		{"on-link prefix, by nobody", onLink(docPrefix), rib.Owner{}, rib.ErrOwner},

		{"::/0, from an RA", advertised(all, router9), rio, nil},
		{"::/0, by hand", via(all, router9), byHand(), nil},
		{"::/0, by an address", via(all, router9), byAddress(global1), rib.ErrOwner},
		{"::/0, from an RA for another router", advertised(all, routerA), rio, rib.ErrNextHop},

		{"more specific, RIO", advertised(specific, router9), byRouter(router9, specific), nil},
		{"more specific, by hand", via(specific, router9), byHand(), nil},
		{"more specific, by hand, global gateway", via(specific, global2), byHand(), nil},
		{"RA route, by hand", advertised(specific, router9), byHand(), rib.ErrOwner},
		{"static route, from an RA", via(specific, router9), rio, rib.ErrOwner},

		{"ff00::/8, by hand", onLink(prefix("ff00::/8")), byHand(), rib.ErrPrefix},
		{"ff00::/8, from an RA", onLink(prefix("ff02::/16")), pio, rib.ErrPrefix},

		{"::1/128, by hand", onLink(prefix("::1/128")), byHand(), rib.ErrPrefix},
		{"::1/128, from an RA", advertised(prefix("::1/128"), router9), rio, rib.ErrPrefix},
	} {
		t.Run(row.what, func(t *testing.T) {
			wantError(t, rib.Add{Key: row.key, Owner: row.owner}, row.want)
		})
	}
}

// wantError checks what Validate says of ev, and that Step agrees.
func wantError(t *testing.T, ev rib.Add, want error) {
	t.Helper()
	if err := rib.Validate(ev); !errors.Is(err, want) {
		t.Errorf("Validate: %v, want %v", err, want)
	}
	table := rib.New(rib.Config{})
	if got := len(apply(table, ev)); (got > 0) != (want == nil) {
		t.Errorf("Step: %d actions, though Validate wants %v", got, want)
	}
	if got := len(table.Routes()); (got > 0) != (want == nil) {
		t.Errorf("%d routes, though Validate wants %v", got, want)
	}
}

func TestValidateFields(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	good := rib.Add{Key: via(docPrefix, router9), Owner: byHand()}
	for name, tc := range map[string]struct {
		change func(*rib.Add)
		want   error
	}{
		"good":                     {func(*rib.Add) {}, nil},
		"high":                     {func(ev *rib.Add) { ev.Preference = 1 }, nil},
		"low":                      {func(ev *rib.Add) { ev.Preference = -1 }, nil},
		"preference above high":    {func(ev *rib.Add) { ev.Preference = 2 }, rib.ErrPreference},
		"preference below low":     {func(ev *rib.Add) { ev.Preference = -2 }, rib.ErrPreference},
		"negative lifetime":        {func(ev *rib.Add) { ev.Lifetime = -time.Second }, rib.ErrLifetime},
		"no prefix":                {func(ev *rib.Add) { ev.Prefix = netip.Prefix{} }, rib.ErrPrefix},
		"IPv4":                     {func(ev *rib.Add) { ev.Prefix = prefix("192.0.2.0/24") }, rib.ErrPrefix},
		"IPv4-mapped":              {func(ev *rib.Add) { ev.Prefix = netip.PrefixFrom(addr("::ffff:192.0.2.0"), 120) }, rib.ErrPrefix},
		"not masked":               {func(ev *rib.Add) { ev.Prefix = netip.PrefixFrom(global1, 64) }, rib.ErrPrefix},
		"the unspecified address":  {func(ev *rib.Add) { ev.Prefix = prefix("::/128") }, rib.ErrPrefix},
		"::/127":                   {func(ev *rib.Add) { ev.Prefix = prefix("::/127") }, nil},
		"covers fe80::/10":         {func(ev *rib.Add) { ev.Prefix = prefix("fe00::/8") }, nil},
		"no gateway":               {func(ev *rib.Add) { ev.NextHop = netip.Addr{} }, rib.ErrNextHop},
		"gateway IPv4":             {func(ev *rib.Add) { ev.NextHop = addr("192.0.2.1") }, rib.ErrNextHop},
		"gateway IPv4-mapped":      {func(ev *rib.Add) { ev.NextHop = addr("::ffff:192.0.2.1") }, rib.ErrNextHop},
		"gateway multicast":        {func(ev *rib.Add) { ev.NextHop = addr("ff02::2") }, rib.ErrNextHop},
		"gateway unspecified":      {func(ev *rib.Add) { ev.NextHop = addr("::") }, rib.ErrNextHop},
		"gateway loopback":         {func(ev *rib.Add) { ev.NextHop = addr("::1") }, rib.ErrNextHop},
		"gateway with zone":        {func(ev *rib.Add) { ev.NextHop = addr("fe80::1%tap0") }, rib.ErrNextHop},
		"on-link with gateway":     {func(ev *rib.Add) { ev.Origin = rib.OnLink }, rib.ErrNextHop},
		"no origin":                {func(ev *rib.Add) { ev.Origin = 0 }, rib.ErrOrigin},
		"unknown origin":           {func(ev *rib.Add) { ev.Origin = 99 }, rib.ErrOrigin},
		"unknown owner":            {func(ev *rib.Add) { ev.Owner.Kind = 99 }, rib.ErrOwner},
		"static owner with router": {func(ev *rib.Add) { ev.Owner.Addr = router9 }, rib.ErrOwner},
		"router not link-local": {func(ev *rib.Add) {
			ev.Origin, ev.NextHop, ev.Owner = rib.RA, global2, byRouter(global2, all)
		}, rib.ErrOwner},
		"router without address": {func(ev *rib.Add) {
			ev.Key, ev.Owner = onLink(docPrefix), byRouter(netip.Addr{}, docPrefix)
		}, rib.ErrOwner},
	} {
		t.Run(name, func(t *testing.T) {
			ev := good
			tc.change(&ev)
			wantError(t, ev, tc.want)
		})
	}
}
