package stack_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
)

// Routers that are radvd and dnsmasq.

// summary is what a router advertises, without the times.
type summary struct {
	Default                     bool
	Preference                  nd.Preference
	CurHopLimit                 uint8
	Managed, Other              bool
	ReachableTime, RetransTimer time.Duration
	MTU                         uint32
	Prefixes, Routes, DNS       []string
}

func summarize(r nd.RouterInfo) summary {
	s := summary{
		Default: r.Default, Preference: r.Preference, CurHopLimit: r.CurHopLimit, Managed: r.Managed, Other: r.Other,
		ReachableTime: r.ReachableTime, RetransTimer: r.RetransTimer, MTU: r.MTU,
	}
	for _, p := range r.Prefixes {
		flags := ""
		if p.OnLink {
			flags += " on-link"
		}
		if p.Autonomous {
			flags += " autonomous"
		}
		s.Prefixes = append(s.Prefixes, p.Prefix.String()+flags)
	}
	for _, route := range r.Routes {
		s.Routes = append(s.Routes, route.Prefix.String()+" "+preferenceName(route.Preference))
	}
	for _, server := range r.DNSServers {
		s.DNS = append(s.DNS, server.Addr.String())
	}
	for _, search := range r.DNSSearch {
		s.DNS = append(s.DNS, search.Domain)
	}
	return s
}

func preferenceName(p nd.Preference) string {
	return map[nd.Preference]string{nd.High: "high", nd.Medium: "medium", nd.Low: "low"}[p]
}

// Everything that radvd can say of what this stack knows: each shows where it
// should, and ends as radvd says on its way out, or as its lifetime does.
//
// Spec: RFC 4861, section 6.3.4, must, RA-R04
// Spec: RFC 4861, section 6.3.4, SHOULD, RA-R06
// Spec: RFC 4861, section 6.3.4, SHOULD, RA-R09
// Spec: RFC 4861, section 6.3.4, must, RA-R10
// Spec: RFC 4191, section 2.3, must, RA-R15
func TestRadvdSaysEverything(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "radvd", "sysctl", "tcpdump")
	l, nodes := linkWith(t, 1)
	r1 := nodes[0]
	r1.Forward(t)
	r1.AddAddress(t, "eth0", "2001:db8:1::1/64")
	s, i := attachTo(t, l, patient)
	events := watch(t, s)
	const options = `
	AdvDefaultLifetime 600;
	AdvDefaultPreference low;
	AdvCurHopLimit 33;
	AdvReachableTime 4000;
	AdvRetransTimer 2000;
	AdvLinkMTU 1400;
	prefix 2001:db8:1::/64 { AdvOnLink on; AdvAutonomous on; AdvValidLifetime 7200; AdvPreferredLifetime 3600; };
	prefix 2001:db8:2::/64 { AdvOnLink on; AdvAutonomous off; };
	prefix 2001:db8:3::/64 { AdvOnLink off; AdvAutonomous on; };
	prefix 2001:db8:4::/64 { AdvOnLink off; AdvAutonomous off; };
	prefix 2001:db8:5::/64 { AdvOnLink on; AdvAutonomous on; AdvValidLifetime 16; AdvPreferredLifetime 8; DecrementLifetimes on; };
	route 2001:db8:a::/48 { AdvRoutePreference high; };
	route 2001:db8:b::/48 { AdvRoutePreference medium; };
	route 2001:db8:c::/48 { AdvRoutePreference low; };
	RDNSS 2001:db8:1::53 2001:db8:1::54 { AdvRDNSSLifetime 12; };
	DNSSL example.org example.net { AdvDNSSLLifetime 12; };
`
	radvd := startRadvd(t, r1, "AdvManagedFlag on; AdvOtherConfigFlag on;\n"+options)
	waitFor(t, "an address in each autonomous prefix", func() bool {
		for _, p := range []string{"2001:db8:1::/64", "2001:db8:3::/64", "2001:db8:5::/64"} {
			if a, ok := addressIn(i, p); !ok || a.State == stack.Tentative || a.Origin != stack.OriginSLAAC {
				return false
			}
		}
		return true
	})
	info, ok := routerOf(i, ll1)
	if !ok {
		t.Fatalf("routers: %+v", i.Routers())
	}
	want := summary{
		Default: true, Preference: nd.Low, CurHopLimit: 33, Managed: true, Other: true,
		ReachableTime: 4 * time.Second, RetransTimer: 2 * time.Second, MTU: 1400,
		Prefixes: []string{
			"2001:db8:1::/64 on-link autonomous", "2001:db8:2::/64 on-link", "2001:db8:3::/64 autonomous",
			"2001:db8:4::/64", "2001:db8:5::/64 on-link autonomous",
		},
		Routes: []string{"2001:db8:a::/48 high", "2001:db8:b::/48 medium", "2001:db8:c::/48 low"},
		DNS:    []string{"2001:db8:1::53", "2001:db8:1::54", "example.org", "example.net"},
	}
	if diff := cmp.Diff(want, summarize(info)); diff != "" {
		t.Errorf("what the router advertises (-want +got):\n%s", diff)
	}
	if info.LinkAddr.String() != mac1 || info.RouterLifetime != 10*time.Minute {
		t.Errorf("the router is %v, its lifetime %v", info.LinkAddr, info.RouterLifetime)
	}
	checkRoutesOfRadvd(t, i)
	for _, p := range []string{"2001:db8:2::/64", "2001:db8:4::/64"} {
		if a, ok := addressIn(i, p); ok {
			t.Errorf("an address of a prefix that is not autonomous: %v", a)
		}
	}
	own, _ := addressIn(i, "2001:db8:1::/64")
	r1.Run(t, "ping", "-6", "-n", "-c", "1", "-W", "10", own.Prefix.Addr().String())
	checkParametersOnTheWire(t, l, i, events)

	fewer := strings.Replace(options, " 2001:db8:1::54", "", 1)
	radvd.says("AdvOtherConfigFlag on;\n" + fewer)
	waitFor(t, "M to go", func() bool { return slices.Contains(events.states(stack.ManagedFlags), "other") })
	radvd.says(fewer)
	waitFor(t, "O to go", func() bool { return slices.Contains(events.states(stack.ManagedFlags), "none") })
	if diff := cmp.Diff([]string{"managed", "other", "none"}, events.states(stack.ManagedFlags)); diff != "" {
		t.Errorf("the flags over time (-want +got):\n%s", diff)
	}

	// The short lifetimes, which radvd counts down, end one after the other,
	// and take nothing else along.
	waitFor(t, "the end of the preferred lifetime", func() bool {
		a, ok := addressIn(i, "2001:db8:5::/64")
		return !ok || a.State == stack.Deprecated
	})
	waitFor(t, "the end of the valid lifetime", func() bool {
		_, ok := addressIn(i, "2001:db8:5::/64")
		return !ok && len(routesTo(i, "2001:db8:5::/64")) == 0
	})
	for _, end := range []stack.EventType{stack.AddressDeprecated, stack.AddressRemoved} {
		waitFor(t, string(end), func() bool { return len(events.of(end)) > 0 })
		for _, e := range events.of(end) {
			if !strings.HasPrefix(e.Address.String(), "2001:db8:5:") {
				t.Errorf("%s: %v, want the short-lived address alone", end, e.Address)
			}
		}
	}

	waitFor(t, "the lifetime of a name server to end", func() bool {
		r, ok := routerOf(i, ll1)
		return ok && len(r.DNSServers) == 1
	})

	radvd.stop()
	waitFor(t, "what radvd takes back to go", func() bool {
		r, ok := routerOf(i, ll1)
		return ok && !r.Default && len(r.Routes) == 0 && len(r.DNSServers) == 0 && len(r.DNSSearch) == 0
	})
	for _, p := range []string{"::/0", "2001:db8:a::/48", "2001:db8:b::/48", "2001:db8:c::/48"} {
		if rs := routesTo(i, p); len(rs) != 0 {
			t.Errorf("after radvd's end: %v", rs)
		}
	}
	for _, p := range []string{"2001:db8:1::/64", "2001:db8:3::/64"} {
		if a, ok := addressIn(i, p); !ok || a.State != stack.Preferred {
			t.Errorf("radvd's end took an address of %s: %v", p, a)
		}
	}
	if rs := routesTo(i, "2001:db8:2::/64"); len(rs) != 1 {
		t.Errorf("radvd's end took an on-link prefix: %v", rs)
	}
	waitFor(t, "the event of the removed router", func() bool { return len(events.of(stack.RouterRemoved)) > 0 })
	if es := events.of(stack.RouterOptions); len(es) < 3 {
		t.Errorf("options changed %d times, want two name servers, one, and none: %v", len(es), es)
	}
	if got := events.of(stack.RouterRemoved); len(got) != 1 || got[0].Address.String() != ll1 {
		t.Errorf("removed routers: %v", got)
	}
}

// checkRoutesOfRadvd compares the routes with what TestRadvdSaysEverything has
// radvd say.
func checkRoutesOfRadvd(t *testing.T, i *stack.Interface) {
	t.Helper()
	router := netip.MustParseAddr(ll1)
	for prefix, preference := range map[string]nd.Preference{
		"::/0": nd.Low, "2001:db8:a::/48": nd.High, "2001:db8:b::/48": nd.Medium, "2001:db8:c::/48": nd.Low,
	} {
		rs := routesTo(i, prefix)
		if len(rs) != 1 || rs[0].NextHop != router || rs[0].Origin != rib.RA || rs[0].Preference != rib.Preference(preference) {
			t.Errorf("the route to %s: %+v", prefix, rs)
		}
	}
	for prefix, want := range map[string]bool{
		"2001:db8:1::/64": true, "2001:db8:2::/64": true, "2001:db8:3::/64": false, "2001:db8:4::/64": false, "2001:db8:5::/64": true,
	} {
		rs := routesTo(i, prefix)
		if (len(rs) > 0) != want {
			t.Errorf("%s is on-link: %v, want %v", prefix, len(rs) > 0, want)
			continue
		}
		if want && (rs[0].Origin != rib.OnLink || len(rs[0].Owners) != 1 || rs[0].Owners[0].Addr != router) {
			t.Errorf("the prefix %+v", rs[0])
		}
	}
}

// checkParametersOnTheWire looks for the effects of hop limit 33, MTU 1400,
// RetransTimer 2 s and ReachableTime 4 s.
func checkParametersOnTheWire(t *testing.T, l *netnstest.Link, i *stack.Interface, events *watcher) {
	t.Helper()
	wire := capture(t, l.Namespace, "tap0")
	dst := netip.MustParseAddr("2001:db8:1::1")
	if err := ping(t, i, dst, make([]byte, 1440)); err != nil {
		t.Fatal(err)
	}
	largest := 0
	for _, p := range wire.await("an Echo Request in fragments", func(p captured) bool {
		return p.eth.SrcMAC.String() == i.LinkAddr().String() && p.ip.NextHeader == layers.IPProtocolIPv6Fragment
	}) {
		largest = max(largest, 40+int(p.ip.Length))
		if p.ip.HopLimit != 33 {
			t.Errorf("a packet with hop limit %d", p.ip.HopLimit)
		}
	}
	if largest <= 1280 || largest > 1400 {
		t.Errorf("the largest packet has %d octets, want at most the advertised 1400", largest)
	}
	began := time.Now()
	mustAdd(t, i, prefix("2001:db8:9::1/64"))
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("DAD took %v, less than the advertised RetransTimer", took)
	}
	var reachable, stale time.Time
	waitFor(t, "the neighbor to become STALE again", func() bool {
		for _, e := range events.of(stack.NeighborChanged) {
			switch {
			case e.Address != dst:
			case e.State == "reachable":
				reachable = e.Time
			case e.State == "stale":
				stale = e.Time
			}
		}
		return !reachable.IsZero() && stale.After(reachable)
	})
	if d := stale.Sub(reachable); d < 2*time.Second || d > 14*time.Second {
		t.Errorf("REACHABLE for %v; ReachableTime is 4s, the default 30s", d)
	}
}

// A second router, dnsmasq, advertises a prefix of its own and the one that
// radvd has: each router's word is kept apart, and ends with that router only.
// dnsmasq says nothing when it is killed; its lifetime ends then.
//
// Spec: RFC 4861, section 6.3.4, MUST NOT, RA-R03
// Spec: RFC 8028, section 3.1, SHOULD, RA-R17
func TestRadvdAndDnsmasqOnOneLink(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "radvd", "dnsmasq", "rdisc6", "sysctl")
	l, nodes := linkWith(t, 3)
	for _, r := range nodes[:2] {
		r.Forward(t)
	}
	nodes[0].AddAddress(t, "eth0", "2001:db8:5::1/64")
	nodes[1].AddAddress(t, "eth0", "2001:db8:5::2/64")
	nodes[1].AddAddress(t, "eth0", "2001:db8:d::2/64")
	s, i := attachTo(t, l, patient)
	events := watch(t, s)
	radvd := startRadvd(t, nodes[0], `
	AdvDefaultLifetime 600;
	prefix 2001:db8:5::/64 { DeprecatePrefix on; };
	prefix 2001:db8:e::/64 { DeprecatePrefix on; };
	RDNSS 2001:db8:5::53 { AdvRDNSSLifetime 600; };
`)
	dnsmasq := startDnsmasq(t, nodes[1], "--dhcp-range=2001:db8:5::,ra-only,64,2h", "--dhcp-range=2001:db8:d::,ra-only,64,2h",
		"--dhcp-option=option6:dns-server,[2001:db8:d::53]", "--ra-param=eth0,high,4,21")
	waitFor(t, "an address of each prefix", func() bool {
		for _, p := range []string{"2001:db8:5::/64", "2001:db8:d::/64", "2001:db8:e::/64"} {
			if a, ok := addressIn(i, p); !ok || a.State != stack.Preferred {
				return false
			}
		}
		_, radvdIs := routerOf(i, ll1)
		_, dnsmasqIs := routerOf(i, ll2)
		return radvdIs && dnsmasqIs
	})
	defaults := func() (via []string) {
		for _, r := range routesTo(i, "::/0") {
			via = append(via, r.NextHop.String()+" "+preferenceName(nd.Preference(r.Preference)))
		}
		return via
	}
	owners := func(prefix string) (all []string) {
		for _, r := range routesTo(i, prefix) {
			for _, o := range r.Owners {
				all = append(all, o.Addr.String())
			}
		}
		return all
	}
	if diff := cmp.Diff([]string{ll2 + " high", ll1 + " medium"}, defaults()); diff != "" {
		t.Errorf("default routes (-want +got):\n%s", diff)
	}
	for prefix, want := range map[string][]string{
		"2001:db8:5::/64": {ll1, ll2}, "2001:db8:d::/64": {ll2}, "2001:db8:e::/64": {ll1},
	} {
		if diff := cmp.Diff(want, owners(prefix)); diff != "" {
			t.Errorf("owners of %s (-want +got):\n%s", prefix, diff)
		}
	}
	if r, ok := i.Route(netip.MustParseAddr("2001:db8:77::1"), netip.Addr{}); ok != nil || r.NextHop.String() != ll2 {
		t.Errorf("the route out of the link: %+v %v, want that of the high preference", r, ok)
	}

	// radvd goes and takes back all it can: its default route at once, and the
	// preferred lifetimes of its prefixes. Of the address that both routers
	// stand for, the last word counts: dnsmasq makes it preferred again.
	radvd.stop()
	waitFor(t, "radvd's word to end", func() bool {
		a, ok := addressIn(i, "2001:db8:e::/64")
		return ok && a.State == stack.Deprecated && len(defaults()) == 1
	})
	nodes[2].Run(t, "rdisc6", "-1", "eth0") // whose answer goes to everybody
	waitFor(t, "the shared address to be preferred again", func() bool {
		a, ok := addressIn(i, "2001:db8:5::/64")
		return ok && a.State == stack.Preferred
	})
	if diff := cmp.Diff([]string{ll2 + " high"}, defaults()); diff != "" {
		t.Errorf("default routes after radvd's end (-want +got):\n%s", diff)
	}
	if r, ok := routerOf(i, ll2); !ok || len(r.DNSServers) != 1 || r.DNSServers[0].Addr.String() != "2001:db8:d::53" {
		t.Errorf("radvd's end took name servers of dnsmasq: %+v", r)
	}

	dnsmasq.kill()
	last, _ := routerOf(i, ll2)
	waitFor(t, "the lifetime of dnsmasq's default route to end", func() bool { return len(events.of(stack.RouterRemoved)) > 1 })
	if got := defaults(); len(got) != 0 {
		t.Errorf("default routes after both routers' end: %v", got)
	}
	removed := events.of(stack.RouterRemoved)
	if len(removed) != 2 || removed[0].Address.String() != ll1 || removed[1].Address.String() != ll2 {
		t.Errorf("removed routers: %v", removed)
	}
	if d := removed[1].Time.Sub(last.Heard); d < 21*time.Second {
		t.Errorf("the default route ended %v after the last advertisement; its lifetime is 21s", d)
	}
	for _, p := range []string{"2001:db8:5::/64", "2001:db8:d::/64"} {
		if a, ok := addressIn(i, p); !ok || a.State != stack.Preferred {
			t.Errorf("the default route took an address of %s along: %v", p, a)
		}
	}
	if got := owners("2001:db8:d::/64"); len(got) != 1 {
		t.Errorf("the default route took the on-link prefix along")
	}
}

// startDnsmasq starts dnsmasq as a router's program on eth0.
func startDnsmasq(t *testing.T, ns *netnstest.Namespace, args ...string) *daemon {
	t.Helper()
	return start(t, ns, "dnsmasq", append([]string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--enable-ra", "--user=root",
		"--log-facility=-", "--dhcp-leasefile=" + filepath.Join(t.TempDir(), "leases"), "--pid-file=",
	}, args...)...)
}
