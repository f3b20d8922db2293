package stack_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
)

// radvd is the router: an address of its prefix, its routes and name servers,
// and their end when it says good-bye.
func TestRouterIsRadvd(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "radvd")
	k := newKernelNode(t, quick)
	k.ns.Run(t, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
	k.kernelHas("2001:db8:5::9/64")
	dir := t.TempDir()
	config := filepath.Join(dir, "radvd.conf")
	if err := os.WriteFile(config, []byte(`interface tap0 {
	AdvSendAdvert on;
	MinRtrAdvInterval 3;
	MaxRtrAdvInterval 4;
	AdvDefaultPreference high;
	AdvCurHopLimit 77;
	prefix 2001:db8:5::/64 { AdvValidLifetime 7200; AdvPreferredLifetime 3600; };
	route 2001:db8:77::/48 { AdvRoutePreference low; };
	RDNSS 2001:db8:5::53 { };
	DNSSL example.org { };
};
`), 0o600); err != nil {
		t.Fatal(err)
	}
	radvd := k.ns.Command("radvd", "-n", "-C", config, "-p", filepath.Join(dir, "pid"), "-m", "stderr")
	if err := radvd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			radvd.Process.Signal(syscall.SIGTERM)
			radvd.Wait()
		}
	}
	t.Cleanup(stop)

	formed := stack.LinkLocalAddr(k.i.LinkAddr()).As16()
	copy(formed[:], netip.MustParseAddr("2001:db8:5::").AsSlice()[:8])
	addr := netip.AddrFrom16(formed)
	waitFor(t, "the autoconfigured address", func() bool {
		return slices.ContainsFunc(k.i.Addresses(), func(a stack.Address) bool {
			return a.Prefix.Addr() == addr && a.State == stack.Preferred && a.Origin == stack.OriginSLAAC
		})
	})
	route := func(p string) (found rib.Route) {
		for _, r := range k.i.Routes() {
			if r.Prefix == netip.MustParsePrefix(p) {
				found = r
			}
		}
		return found
	}
	if r := route("::/0"); r.NextHop != k.kernelLL || r.Preference != rib.Preference(nd.High) {
		t.Errorf("default route %+v", r)
	}
	if r := route("2001:db8:77::/48"); r.NextHop != k.kernelLL || r.Preference != rib.Preference(nd.Low) {
		t.Errorf("the more specific route %+v", r)
	}
	if r := route("2001:db8:5::/64"); r.Origin != rib.OnLink || len(r.Owners) != 1 || r.Owners[0].Addr != k.kernelLL {
		t.Errorf("the prefix %+v", r)
	}
	k.pings(netip.MustParseAddr("2001:db8:5::9"), "with an autoconfigured address")
	k.isPinged(addr.String(), "with an autoconfigured address")
	rs := k.i.Routers()
	if len(rs) != 1 || rs[0].CurHopLimit != 77 || len(rs[0].DNSServers) != 1 || len(rs[0].DNSSearch) != 1 || rs[0].DNSSearch[0].Domain != "example.org" {
		t.Fatalf("routers: %+v", rs)
	}
	stop()
	waitFor(t, "the default route to go with radvd", func() bool { return !route("::/0").Prefix.IsValid() })
	k.pings(netip.MustParseAddr("2001:db8:5::9"), "after radvd's end")
}
