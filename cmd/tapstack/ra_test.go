package main

import (
	"net/netip"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/nd"
)

func TestRouterRow_ShowsEverything(t *testing.T) {
	now := time.Now()
	in := func(d time.Duration) *time.Time {
		end := now.Add(d)
		return &end
	}
	show := func(r control.Router) string {
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		routerRow(w, r)
		w.Flush()
		return b.String()
	}
	got := show(control.Router{
		Interface: "tap0", Router: netip.MustParseAddr("fe80::9"), LinkAddress: &nd.LinkAddr{2, 0, 0, 0, 0, 9}, Heard: now,
		Default: true, Expires: in(30 * time.Minute), Preference: "high", RouterLifetime: 1800, CurHopLimit: 64, Other: true,
		ReachableTime: 30, RetransTimer: 0.5, MTU: 1400, CaptivePortal: "https://portal.example/\x1b",
		Prefixes: []control.RouterPrefix{
			{Prefix: netip.MustParsePrefix("2001:db8::/64"), OnLink: true, OnLinkExpires: in(time.Hour), Autonomous: true, ValidUntil: in(time.Hour), PreferredUntil: in(time.Minute)},
			{Prefix: netip.MustParsePrefix("2001:db8:2::/64")},
		},
		Routes:     []control.RouterRoute{{Prefix: netip.MustParsePrefix("2001:db8:1::/48"), Preference: "low"}},
		DNSServers: []control.DNSServer{{Address: netip.MustParseAddr("2001:db8::53"), Expires: in(time.Hour)}},
		DNSSearch:  []control.DNSDomain{{Domain: "example.com", Expires: in(time.Hour)}},
		Options:    []control.RouterOption{{Type: 253, Body: "000102030405"}},
	})
	for _, part := range []string{
		"fe80::9 ", "dev tap0 ", "lladdr 02:00:00:00:00:09 ", "pref high ", "default router, ends in 30m0s ", "heard 0s ago\n",
		"  lifetime 1800s ", "hop limit 64 ", "mtu 1400 ", "reachable 30s ", "retrans 0.5s ", "managed false, other true\n",
		"  prefix 2001:db8::/64 ", "on-link, ends in 1h0m0s ", "autonomous true ", "valid: ends in 1h0m0s ", "preferred: ends in 1m0s\n",
		"  prefix 2001:db8:2::/64 ", "not on-link ", "autonomous false ", "valid: forever ", "preferred: forever\n",
		"  route 2001:db8:1::/48 ", "pref low ", "  name server 2001:db8::53 ", "  search domain example.com ",
		`  captive portal "https://portal.example/\x1b"` + "\n", "  option 253 ", "000102030405\n",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
	got = show(control.Router{Interface: "tap0", Router: netip.MustParseAddr("fe80::9"), Heard: now, Preference: "medium"})
	if diff := cmp.Diff("fe80::9        dev tap0     lladdr -  pref medium   no default router  heard 0s ago\n"+
		"  lifetime 0s  hop limit 0  mtu 0     reachable 0s  retrans 0s         managed false, other false\n", got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
