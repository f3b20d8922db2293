package rib_test

import (
	"net/netip"
	"testing"

	"github.com/tapstack/tapstack/rib"
)

// preferred reports whether packets with a source in prefix go to fe80::a,
// which only an announcement brings about.
func preferred(table *rib.Table, prefix netip.Prefix) bool {
	apply(table, learn("::/0", "fe80::9", 1), learn("::/0", "fe80::a", 0))
	return hopFrom(table.Snapshot(), prefix.Addr().Next(), elsewhere, 0) == "fe80::a"
}

func TestAnnouncementsThatAreIgnored(t *testing.T) {
	routerA := netip.MustParseAddr("fe80::a")
	for name, row := range map[string]struct {
		ev      rib.Announce
		refused uint64
	}{
		"good":                  {rib.Announce{Router: routerA, Prefix: docPrefix}, 0},
		"router not link-local": {rib.Announce{Router: global1, Prefix: docPrefix}, 1},
		"no router":             {rib.Announce{Prefix: docPrefix}, 1},
		"no prefix":             {rib.Announce{Router: routerA}, 1},
		"link-local prefix":     {rib.Announce{Router: routerA, Prefix: linkLocalPrefix}, 1},
		"not masked":            {rib.Announce{Router: routerA, Prefix: netip.PrefixFrom(global1, 64)}, 1},
		"IPv4":                  {rib.Announce{Router: routerA, Prefix: netip.MustParsePrefix("192.0.2.0/24")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			table := tableWith(rib.Config{}, row.ev)
			if got := table.Counters().AnnouncementsRefused; got != row.refused {
				t.Errorf("%d refused, want %d", got, row.refused)
			}
			if got := preferred(table, docPrefix); got != (row.refused == 0) {
				t.Errorf("preferred: %v", got)
			}
			apply(table, rib.Renounce(row.ev), rib.Renounce(row.ev))
			if preferred(table, docPrefix) {
				t.Error("still preferred when it is taken back")
			}
		})
	}
}

func TestMaxAnnouncements(t *testing.T) {
	prefix := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 6: byte(i >> 8), 7: byte(i)}), 64)
	}
	routerA := netip.MustParseAddr("fe80::a")
	for name, row := range map[string]struct {
		cfg   rib.Config
		bound int
	}{"of all routers": {rib.Config{MaxAnnouncements: 10}, 10}, "of one router": {rib.Config{}, 64}} {
		t.Run(name, func(t *testing.T) {
			table := rib.New(row.cfg)
			for i := range row.bound + 5 {
				ev := rib.Announce{Router: routerA, Prefix: prefix(i)}
				apply(table, ev, ev) // again is no other
			}
			if got := table.Counters().AnnouncementsRefused; got != 10 {
				t.Errorf("%d refused, want 10", got)
			}
			if !preferred(table, prefix(row.bound-1)) || preferred(table, prefix(row.bound)) {
				t.Errorf("not the first %d", row.bound)
			}
			apply(table, rib.Renounce{Router: routerA, Prefix: prefix(0)}, rib.Announce{Router: routerA, Prefix: prefix(row.bound)})
			if preferred(table, prefix(0)) || !preferred(table, prefix(row.bound)) {
				t.Error("no room where one was taken back")
			}
		})
	}
}
