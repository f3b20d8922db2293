package rib_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/tapstack/tapstack/rib"
)

func policy(prefix string, label uint8) rib.Policy {
	return rib.Policy{Prefix: netip.MustParsePrefix(prefix), Label: label}
}

// Spec: RFC 6724, section 2.1, SHOULD, SAS-R13
func TestSAS_R13_ValidatePolicy(t *testing.T) {
	rest := policy("::/0", 1)
	for name, row := range map[string]struct {
		rows []rib.Policy
		want error
	}{
		"none":           {nil, nil},
		"one for all":    {[]rib.Policy{rest}, nil},
		"IPv4-mapped":    {[]rib.Policy{rest, {Prefix: netip.PrefixFrom(netip.MustParseAddr("::ffff:0:0"), 96), Label: 4}}, nil},
		"not for all":    {[]rib.Policy{policy("2000::/3", 1)}, nil},
		"twice":          {[]rib.Policy{rest, policy("2001:db8::/32", 2), policy("2001:db8::/32", 3)}, rib.ErrPolicy},
		"IPv4":           {[]rib.Policy{rest, policy("192.0.2.0/24", 2)}, rib.ErrPolicy},
		"not masked":     {[]rib.Policy{rest, policy("2001:db8::1/32", 2)}, rib.ErrPolicy},
		"no prefix":      {[]rib.Policy{rest, {}}, rib.ErrPolicy},
		"too many rows":  {append(manyPolicies(512), rest), rib.ErrPolicy},
		"just so many":   {append(manyPolicies(511), rest), nil},
		"labels may tie": {[]rib.Policy{rest, policy("2001:db8::/32", 1)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := rib.ValidatePolicy(row.rows); !errors.Is(err, row.want) {
				t.Errorf("ValidatePolicy: %v, want %v", err, row.want)
			}
			// A table that may not be is the default.
			table := rib.New(rib.Config{Policy: row.rows})
			for _, ev := range addrs("2002::1", "3000::1") {
				apply(table, ev)
			}
			if row.want != nil {
				wantSource(t, table, "2a00::1", "3000::1")
			}
		})
	}
}

func manyPolicies(n int) []rib.Policy {
	rows := make([]rib.Policy, n)
	for i := range rows {
		a := netip.MustParseAddr("2001:db8::").As16()
		binary.BigEndian.PutUint16(a[4:], uint16(i))
		rows[i] = rib.Policy{Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 48), Label: uint8(i)}
	}
	return rows
}

// Spec: RFC 6724, section 2.1, SHOULD, SAS-R13
//
// Rows that are set add to either default table, or take the place of its rows,
// whatever their order.
func TestSAS_R13_Policy(t *testing.T) {
	for _, rfc3484 := range []bool{false, true} {
		table := rib.New(rib.Config{RFC3484: rfc3484, Policy: []rib.Policy{
			policy("3ffe::/16", 9), policy("2002::/16", 9), policy("2001:db8:1::/48", 77), policy("2001:db8::/32", 2), policy("3000::/16", 77),
		}})
		for _, ev := range addrs("2001:db8::1", "2001:db8:1::1", "2002::1", "::c000:201") {
			apply(table, ev)
		}
		wantSource(t, table, "3000::9", "2001:db8:1::1")
		wantSource(t, table, "2001:db8:2::9", "2001:db8::1")
		wantSource(t, table, "3ffe::9", "2002::1")
		wantSource(t, table, "::c000:209", "::c000:201") // a row of both defaults
	}
}
