package rib

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// Policy is a row of a policy table (RFC 6724, section 2.1), without the
// precedence: that is for the choice of destinations.
type Policy struct {
	Prefix netip.Prefix // IPv6, masked
	Label  uint8
}

// ErrPolicy is what ValidatePolicy wraps.
var ErrPolicy = errors.New("rib: no policy table")

const maxPolicies = 512

// The default policy tables.
var (
	policy6724 = []Policy{ // RFC 6724, section 2.1
		{netip.MustParsePrefix("::1/128"), 0},
		{netip.MustParsePrefix("::/0"), 1},
		{netip.MustParsePrefix("::ffff:0:0/96"), 4},
		{netip.MustParsePrefix("2002::/16"), 2},
		{netip.MustParsePrefix("2001::/32"), 5},
		{netip.MustParsePrefix("fc00::/7"), 13},
		{netip.MustParsePrefix("::/96"), 3},
		{netip.MustParsePrefix("fec0::/10"), 11},
		{netip.MustParsePrefix("3ffe::/16"), 12},
	}
	policy3484 = []Policy{ // RFC 3484, section 2.1
		{netip.MustParsePrefix("::1/128"), 0},
		{netip.MustParsePrefix("::/0"), 1},
		{netip.MustParsePrefix("2002::/16"), 2},
		{netip.MustParsePrefix("::/96"), 3},
		{netip.MustParsePrefix("::ffff:0:0/96"), 4},
	}
)

// ValidatePolicy says why a Table would not use rows: nil, or an error that is
// ErrPolicy. There are at most 512, with each prefix once.
func ValidatePolicy(rows []Policy) error {
	if len(rows) > maxPolicies {
		return fmt.Errorf("%w: %d rows are more than %d", ErrPolicy, len(rows), maxPolicies)
	}
	seen := make(map[netip.Prefix]bool, len(rows))
	for _, row := range rows {
		switch p := row.Prefix; {
		case !p.IsValid() || !p.Addr().Is6():
			return fmt.Errorf("%w: %v is not an IPv6 prefix", ErrPolicy, p)
		case p != p.Masked():
			return fmt.Errorf("%w: %v has bits set behind its length", ErrPolicy, p)
		case seen[p]:
			return fmt.Errorf("%w: %v is in it twice", ErrPolicy, p)
		}
		seen[row.Prefix] = true
	}
	return nil
}

var everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

// labels are the labels of a policy table, immutable.
type labels struct{ table *bart.Table[uint8] }

// labelsOf joins tables; a later row replaces an earlier one with its prefix.
func labelsOf(tables ...[]Policy) labels {
	l := labels{new(bart.Table[uint8])}
	for _, rows := range tables {
		for _, row := range rows {
			l.table.Insert(row.Prefix, row.Label)
		}
	}
	return l
}

// of returns Label(a). Every table has a row for ::/0.
func (l labels) of(a netip.Addr) uint8 {
	label, _ := l.table.Lookup(a)
	return label
}

// labels returns the labels that sources are to be chosen by.
func (cfg Config) labels() labels {
	defaults := policy6724
	if cfg.RFC3484 {
		defaults = policy3484
	}
	if ValidatePolicy(cfg.Policy) != nil {
		return labelsOf(defaults)
	}
	return labelsOf(defaults, cfg.Policy)
}
