package control

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/nd"
)

// The router that docs/control-api.md shows has every field that there is, and
// is what the view makes of one that advertises everything.
func TestRA_DocumentedRouter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	day := 24 * time.Hour
	info := nd.RouterInfo{
		Addr: netip.MustParseAddr("fe80::ff:fe00:9"), LinkAddr: peerMAC, Heard: now,
		Default: true, Expires: now.Add(30 * time.Minute), Preference: nd.High,
		CurHopLimit: 64, Other: true, RouterLifetime: 30 * time.Minute, ReachableTime: 30 * time.Second, RetransTimer: 500 * time.Millisecond,
		MTU: 1400, CaptivePortal: "https://portal.example/",
		Prefixes: []nd.PrefixInfo{{
			Prefix: netip.MustParsePrefix("2001:db8::/64"), OnLink: true, OnLinkExpires: now.Add(30 * day),
			Autonomous: true, Valid: now.Add(30 * day), Preferred: now.Add(7 * day),
		}},
		Routes:     []nd.RouteInfo{{Prefix: netip.MustParsePrefix("2001:db8:1::/48"), Preference: nd.Low}},
		DNSServers: []nd.DNSServerInfo{{Addr: netip.MustParseAddr("2001:db8::53"), Expires: now.Add(time.Hour)}},
		DNSSearch:  []nd.DNSSearchInfo{{Domain: "example.com", Expires: now.Add(time.Hour)}},
		Unknown:    []nd.RawOption{{Type: 253, Body: []byte{0, 1, 2, 3, 4, 5}}},
	}
	got, err := json.MarshalIndent(routerView("tap0", info), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	markdown, err := os.ReadFile("../../docs/control-api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(markdown), "\n## Routers")
	_, rest, _ = strings.Cut(rest, "\n```json\n")
	want, _, ok := strings.Cut(rest, "\n```")
	if !ok {
		t.Fatal("docs/control-api.md shows no router")
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-documented +got):\n%s", diff)
	}
}

// What is not advertised is null, empty or zero, and no list is null.
func TestRA_RouterThatSaysNothing(t *testing.T) {
	got, err := json.Marshal(routerView("tap0", nd.RouterInfo{Addr: netip.MustParseAddr("fe80::9")}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"interface":"tap0","router":"fe80::9","link_address":null,"heard":"0001-01-01T00:00:00Z","default":false,"expires":null,"preference":"medium",` +
		`"router_lifetime":0,"cur_hop_limit":0,"managed":false,"other":false,"reachable_time":0,"retrans_timer":0,"mtu":0,"captive_portal":"",` +
		`"prefixes":[],"routes":[],"dns_servers":[],"dns_search":[],"options":[]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
