package nd

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Spec: RFC 4861, section 6.3.4, must, RA-R04
func TestRA_R04_DefaultRouterList(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	b.expect(b.do(lives(routerA, 30*time.Minute)), "router fe80::a", "add ::/0 via fe80::a by fe80::a for 30m0s")
	b.after(20 * time.Minute)
	b.expect(b.do(lives(routerA, 30*time.Minute)), "add ::/0 via fe80::a by fe80::a for 30m0s")
	b.expect(b.after(30*time.Minute - 1))
	b.expect(b.after(1), "remove ::/0 via fe80::a by fe80::a", "no router fe80::a")

	b.do(lives(routerA, time.Minute))
	b.expect(b.do(lives(routerA, 0)), "remove ::/0 via fe80::a by fe80::a", "no router fe80::a")
	b.expect(b.do(lives(routerB, 0)))
	if got := b.r.Routers(); len(got) != 0 {
		t.Errorf("remembered %+v", got)
	}
}

// The rest of an advertisement counts whatever the Router Lifetime.
//
// Spec: RFC 4861, section 6.3.4, must, RA-R04
// Spec: RFC 4861, section 6.3.4, SHOULD, RA-R06
func TestRA_R04_LifetimeZeroStillSpeaks(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	b.expect(b.do(ra(routerA, RouterAdvert{
		CurHopLimit: 32, MTU: 1400, Managed: true,
		Prefixes: []PrefixInformation{pio("2001:db8::/64", "LA", time.Hour)},
	})),
		"set 32 0s 0s 1400", "managed true other false",
		"add 2001:db8::/64 on-link by fe80::a for 1h0m0s",
		"prefix 2001:db8::/64 by fe80::a multicast true")
}

// Each router holds its own.
//
// Spec: RFC 4861, section 6.3.4, MUST NOT, RA-R03
func TestRA_R03_NoRouterEndsWhatAnotherSaid(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{Preferences: true})
	p := pio("2001:db8::/64", "L", time.Hour)
	say := RouterAdvert{RouterLifetime: time.Hour, Prefixes: []PrefixInformation{p}, Routes: []RouteInformation{rio("2001:db8:1::/48", Low, time.Hour)}}
	b.do(ra(routerA, say), ra(routerB, say))
	p.ValidLifetime = 0
	b.expect(b.do(ra(routerB, RouterAdvert{Prefixes: []PrefixInformation{p}, Routes: []RouteInformation{rio("2001:db8:1::/48", Low, 0)}})),
		"remove ::/0 via fe80::b by fe80::b", "no router fe80::b",
		"remove 2001:db8:1::/48 via fe80::b by fe80::b", "remove 2001:db8::/64 on-link by fe80::b")
	// Nor does an advertisement of the same router that says nothing of them.
	b.expect(b.do(lives(routerA, time.Hour)), "add ::/0 via fe80::a by fe80::a for 1h0m0s")
	if got := b.r.Routers(); len(got) != 1 || len(got[0].Prefixes) != 1 || len(got[0].Routes) != 1 {
		t.Errorf("%+v", got)
	}
}

// Spec: RFC 4861, section 6.3.4, MUST, RA-R05
func TestRA_R05_AtLeastTwoRouters(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxRouters: 1})
	// Routers that are on no Default Router List cannot take its room.
	for i := range 9 {
		b.do(announces(fmt.Sprintf("fe80::%d", i+1), pio("2001:db8::/64", "L", time.Hour)))
	}
	b.do(lives(routerA, time.Hour), lives(routerB, time.Hour))
	b.expect(b.do(lives("fe80::c", time.Hour))) // never instead of a live one
	var names []string
	for _, i := range b.r.Routers() {
		if i.Default {
			names = append(names, i.Addr.String())
		}
	}
	b.expect(names, routerA, routerB)
	if got := b.r.Counters().RoutersRefused; got != 8 {
		t.Errorf("refused %d", got)
	}
}

// Spec: RFC 4861, section 6.3.4, SHOULD, RA-R06
func TestRA_R06_ParametersThatAreSpecified(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	all := RouterAdvert{CurHopLimit: 64, ReachableTime: time.Minute, RetransTimer: 2 * time.Second, MTU: 1400}
	b.expect(b.do(ra(routerA, all)), "set 64 1m0s 2s 1400")
	b.expect(b.do(ra(routerA, all)))            // no change
	b.expect(b.do(ra(routerA, RouterAdvert{}))) // unspecified
	all.CurHopLimit, all.ReachableTime = 255, 0 // the latest counts, whoever said it
	b.expect(b.do(ra(routerB, all)), "set 255 0s 0s 0")
	b.do(Disable{}, Enable{})
	b.expect(b.do(ra(routerB, all)), "set 255 0s 2s 1400")
}

// Spec: RFC 4861, section 6.3.4, SHOULD, RA-R08
// Spec: RFC 4861, section 6.3.4, MUST, RA-R08
func TestRA_R08_LinkAddr(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	learned := func(ev Advert) (found []string) {
		for _, a := range b.r.Step(b.now, ev) {
			if l, ok := a.(Learn); ok {
				found = append(found, describeRouter(t, l))
			}
		}
		return found
	}
	for _, lifetime := range []time.Duration{0, time.Hour} {
		b.expect(learned(ra(routerA, RouterAdvert{RouterLifetime: lifetime, SourceLinkAddr: link(routerAMAC)})), "learn fe80::a "+routerAMAC)
		b.expect(learned(ra(routerA, RouterAdvert{RouterLifetime: lifetime})), "learn fe80::a 00:00:00:00:00:00")
	}
	if got := b.r.Routers()[0].LinkAddr; got != link(routerAMAC) {
		t.Errorf("lists %v", got)
	}
}

// Spec: RFC 4861, section 6.3.4, SHOULD, RA-R09
// Spec: RFC 2461, section 6.3.4, SHOULD, RA-R09
func TestRA_R09_MTU(t *testing.T) {
	for _, test := range []struct {
		cfg  RouterConfig
		mtu  uint32
		want []string
	}{
		{RouterConfig{}, 1279, nil},
		{RouterConfig{}, 1280, []string{"set 0 0s 0s 1280"}},
		{RouterConfig{}, 1500, nil}, // as it is
		{RouterConfig{}, 1501, nil},
		{RouterConfig{}, 1<<32 - 1, nil},
		{RouterConfig{LinkMTU: 1500, MaxMTU: 9000}, 9000, []string{"set 0 0s 0s 9000"}},
		{RouterConfig{LinkMTU: 1500, MaxMTU: 9000}, 9001, nil},
		{RouterConfig{LinkMTU: 9000}, 1500, []string{"set 0 0s 0s 1500"}},
	} {
		b := newRoutersBench(t, test.cfg)
		b.expect(b.do(ra(routerA, RouterAdvert{MTU: test.mtu})), test.want...)
		refused := test.want == nil && test.mtu != 1500
		if got := b.r.Counters().MTUsRefused; (got == 1) != refused {
			t.Errorf("MTU %d: %d refused", test.mtu, got)
		}
	}
	b := newRoutersBench(t, RouterConfig{})
	b.do(ra(routerA, RouterAdvert{MTU: 1400}), SetLinkMTU{MTU: 4000})
	b.expect(b.do(ra(routerA, RouterAdvert{MTU: 1400})), "set 0 0s 0s 1400")
	b.expect(b.do(ra(routerA, RouterAdvert{MTU: 4000})), "set 0 0s 0s 4000")
}

// Spec: RFC 4861, section 6.3.4, must, RA-R10
// Spec: RFC 4861, section 6.3.4, must, ONL-R02
// Spec: RFC 4861, section 6.3.4, MUST NOT, ONL-R04
func TestRA_R10_EachFlagOnItsOwn(t *testing.T) {
	const p = "2001:db8::/64"
	b := newRoutersBench(t, RouterConfig{})
	b.expect(b.do(announces(routerA, pio(p, "", time.Hour))))
	b.expect(b.do(announces(routerA, pio(p, "A", time.Hour))), "prefix 2001:db8::/64 by fe80::a multicast true")
	b.expect(b.do(announces(routerA, pio(p, "L", time.Hour))), "add 2001:db8::/64 on-link by fe80::a for 1h0m0s")
	// Without the flag nothing is said of it, also with lifetime zero.
	b.expect(b.do(announces(routerA, pio(p, "", time.Hour), pio(p, "", 0))))
	unicast := announces(routerA, pio(p, "A", 0))
	unicast.Dst = addr(hostLL)
	b.expect(b.do(unicast), "prefix 2001:db8::/64 by fe80::a multicast false")
	b.expect(b.after(time.Hour), "rs from ::", "rs from ::", "remove 2001:db8::/64 on-link by fe80::a")
}

// Spec: RFC 4861, section 6.3.4, must, ONL-R02
func TestONL_R02_TheLinkLocalPrefixIsIgnored(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{Preferences: true})
	for _, p := range []string{"fe80::/64", "fe80::/10", "fe80:1::/64", "ff02::/16", "::ffff:0:0/96", "::/128", "::1/128"} {
		m := RouterAdvert{Prefixes: []PrefixInformation{pio(p, "L", time.Hour)}}
		if p != "::/128" {
			m.Routes = []RouteInformation{rio(p, Medium, time.Hour)}
		}
		b.expect(b.do(ra(routerA, m)))
	}
	if got := b.r.Routers(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	// Autoconfiguration judges for itself.
	b.expect(b.do(announces(routerA, pio("fe80::/64", "A", time.Hour))), "prefix fe80::/64 by fe80::a multicast true")
}

// Spec: RFC 4861, section 6.3.4, must, ONL-R03
// Spec: RFC 4861, section 6.3.4, must, RA-R11
func TestONL_R03_LifetimeZeroActsAtOnce(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	b.expect(b.do(announces(routerA, pio("2001:db8::/64", "L", 0))))
	b.do(announces(routerA, pio("2001:db8::/64", "L", 30*24*time.Hour)))
	b.expect(b.do(announces(routerA, pio("2001:db8::/64", "L", time.Minute))), "add 2001:db8::/64 on-link by fe80::a for 1m0s")
	b.expect(b.do(announces(routerA, pio("2001:db8::/64", "L", 0))), "remove 2001:db8::/64 on-link by fe80::a")
}

// Spec: RFC 5942, section 4, MUST, ONL-R09
// Spec: RFC 4861, section 6.3.5, must, RA-R19
func TestONL_R09_PrefixesExpire(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxRtrSolicitations: 1})
	b.do(announces(routerA, pio("2001:db8::/64", "L", time.Minute), pio("2001:db8::/48", "L", time.Hour)))
	b.do(announces(routerB, pio("2001:db8::/64", "L", 2*time.Minute)))
	b.expect(b.after(time.Minute), "remove 2001:db8::/64 on-link by fe80::a")
	b.expect(b.after(time.Minute), "remove 2001:db8::/64 on-link by fe80::b")
	b.expect(b.after(time.Hour), "remove 2001:db8::/48 on-link by fe80::a")
	if got := b.r.Routers(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// Spec: RFC 4861, section 4.6.2, must, LIF-R14
func TestLIF_R14_Infinity(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxRtrSolicitations: 1, Preferences: true})
	forever := pio("2001:db8::/64", "L", Infinity)
	forever.PreferredLifetime = Infinity
	b.expect(b.do(ra(routerA, RouterAdvert{
		Prefixes: []PrefixInformation{forever},
		Routes:   []RouteInformation{rio("2001:db8:1::/48", Medium, Infinity)},
	})),
		"add 2001:db8:1::/48 via fe80::a by fe80::a for ever",
		"add 2001:db8::/64 on-link by fe80::a for ever")
	b.after(time.Second)
	if at, ok := b.r.Deadline(); ok {
		t.Errorf("something is due at %v", at)
	}
	// The longest finite lifetime, after an infinite one.
	const longest = (1<<32 - 2) * time.Second
	b.expect(b.do(announces(routerA, pio("2001:db8::/64", "L", longest))), fmt.Sprint("add 2001:db8::/64 on-link by fe80::a for ", longest))
	b.expect(b.after(longest - 1))
	b.expect(b.after(1), "remove 2001:db8::/64 on-link by fe80::a")
}

// Spec: RFC 2462, section 5.5.3, must, RA-R12
func TestRA_R12_ManagedAndOther(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	say := func(m, o bool) []string { return b.do(ra(routerA, RouterAdvert{Managed: m, Other: o})) }
	b.expect(say(false, false)) // as they were
	b.expect(say(true, false), "managed true other false")
	b.expect(say(true, false))
	b.expect(say(true, true), "managed true other true")
	b.expect(say(false, true), "managed false other true")
	b.do(Disable{}, Enable{})
	b.expect(say(true, false), "managed true other false")
}

// In RFC 2462 the flags are set once, and M implies O.
//
// Spec: RFC 2462, section 5.5.3, must, RA-R12
// Spec: RFC 2462, section 5.2, must, RA-R12
func TestRA_R12_FlagsThatAreSetStaySet(t *testing.T) {
	for _, c := range []struct {
		name string
		say  [][2]bool // M, O
		want []string
	}{
		{"M", [][2]bool{{false, false}, {true, false}, {true, false}, {false, false}, {false, true}, {true, true}}, []string{"managed true other true"}},
		{"O, then M", [][2]bool{{false, true}, {false, false}, {true, false}, {false, false}, {false, true}}, []string{"managed false other true", "managed true other true"}},
	} {
		b := newRoutersBench(t, RouterConfig{StickyFlags: true})
		for range 2 {
			var got []string
			for i, f := range c.say {
				src := []string{routerA, routerB}[i%2] // whichever router says it
				got = append(got, b.do(ra(src, RouterAdvert{Managed: f[0], Other: f[1]}))...)
			}
			b.expect(got, c.want...)
			b.do(Disable{}, Enable{}) // and then anew
		}
	}
}

// Spec: RFC 4191, section 2.2, MUST, RA-R14
// Spec: RFC 4191, section 3.1, must, RA-R14
func TestRA_R14_PreferenceOfTypeC(t *testing.T) {
	m := RouterAdvert{RouterLifetime: time.Hour, Preference: High}
	b := newRoutersBench(t, RouterConfig{Preferences: true})
	b.expect(b.do(ra(routerA, m)), "router fe80::a", "add ::/0 via fe80::a by fe80::a preference 1 for 1h0m0s")
	m.Preference = Low
	b.expect(b.do(ra(routerA, m)), "add ::/0 via fe80::a by fe80::a preference -1 for 1h0m0s")
	b = newRoutersBench(t, RouterConfig{}) // type A
	b.expect(b.do(ra(routerA, m)), "router fe80::a", "add ::/0 via fe80::a by fe80::a for 1h0m0s")
}

// Spec: RFC 4191, section 3.1, must, RA-R15
func TestRA_R15_RouteInformation(t *testing.T) {
	m := RouterAdvert{RouterLifetime: 100 * time.Second, Routes: []RouteInformation{
		rio("2001:db8:1::/48", High, time.Minute), rio("::/0", Low, 200*time.Second),
	}}
	b := newRoutersBench(t, RouterConfig{Preferences: true})
	b.expect(b.do(ra(routerA, m)), "router fe80::a",
		"add ::/0 via fe80::a by fe80::a preference -1 for 3m20s", // the RFC's own example
		"add 2001:db8:1::/48 via fe80::a by fe80::a preference 1 for 1m0s")
	b.expect(b.do(lives(routerA, 100*time.Second)), "add ::/0 via fe80::a by fe80::a for 1m40s")
	b.expect(b.after(time.Minute), "remove 2001:db8:1::/48 via fe80::a by fe80::a")

	// ::/0 with lifetime zero overrides the header, and a router whose header
	// has zero can be a default router by it.
	m.Routes = []RouteInformation{rio("::/0", Medium, 0)}
	b.expect(b.do(ra(routerA, m)), "remove ::/0 via fe80::a by fe80::a", "no router fe80::a")
	b.expect(b.do(ra(routerA, RouterAdvert{Routes: []RouteInformation{rio("::/0", Medium, time.Hour)}})),
		"router fe80::a", "add ::/0 via fe80::a by fe80::a for 1h0m0s")

	b = newRoutersBench(t, RouterConfig{}) // type A
	m.Routes = []RouteInformation{rio("2001:db8:1::/48", High, time.Minute), rio("::/0", Low, 0)}
	b.expect(b.do(ra(routerA, m)), "router fe80::a", "add ::/0 via fe80::a by fe80::a for 1m40s")
}

// Spec: RFC 8106, section 5.3.1, SHOULD, RA-R16
func TestRA_R16_DNS(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxDNS: 2})
	dns := func(lifetime time.Duration, servers ...string) Advert {
		d := RecursiveDNS{Lifetime: lifetime}
		for _, s := range servers {
			d.Servers = append(d.Servers, addr(s))
		}
		return ra(routerA, RouterAdvert{RouterLifetime: time.Hour, DNSServers: []RecursiveDNS{d}})
	}
	options := func(lines []string) (found []string) {
		for _, l := range lines {
			if len(l) > 7 && l[:7] == "options" {
				found = append(found, l)
			}
		}
		return found
	}
	b.expect(options(b.do(dns(time.Minute, "2001:db8::54", "2001:db8::53"))), "options of fe80::a [2001:db8::54 2001:db8::53] [] []")
	b.expect(options(b.do(dns(10*time.Minute, "2001:db8::53")))) // only the lifetime
	b.expect(options(b.do(dns(10*time.Minute, "2001:db8::55")))) // no room
	b.expect(options(b.after(time.Minute)), "options of fe80::a [2001:db8::53] [] []")
	b.expect(options(b.do(ra(routerA, RouterAdvert{
		RouterLifetime: time.Hour, DNSSearch: []DNSSearchList{{Domains: []string{"example.org"}, Lifetime: Infinity}},
	}))), "options of fe80::a [2001:db8::53] [example.org] []")
	b.expect(options(b.do(dns(0, "2001:db8::53"))), "options of fe80::a [] [example.org] []")
	b.expect(options(b.do(Forget{addr(routerA)})), "options of fe80::a [] [] []")
	if got := b.r.Counters().DNSRefused; got != 1 {
		t.Errorf("refused %d", got)
	}
}

// Spec: RFC 4861, section 6.1.2, MUST, RA-R02
func TestRA_R02_UnknownOptionsArePassedOn(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxUnknown: 16})
	say := func(bodies ...string) []string {
		m := RouterAdvert{RouterLifetime: time.Hour}
		for _, s := range bodies {
			m.Unknown = append(m.Unknown, RawOption{Type: 200, Body: []byte(s)})
		}
		return b.do(ra(routerA, m))
	}
	const again = "add ::/0 via fe80::a by fe80::a for 1h0m0s"
	b.expect(say("abcdef"), "router fe80::a", again, "options of fe80::a [] [] [{200 [97 98 99 100 101 102]}]")
	b.expect(say("abcdef"), again)
	b.expect(say("abcdef", "0123456789abcd", "ABCDEF"), again,
		"options of fe80::a [] [] [{200 [97 98 99 100 101 102]} {200 [65 66 67 68 69 70]}]")
	if got := b.r.Counters().UnknownRefused; got != 1 {
		t.Errorf("refused %d", got)
	}
	b.expect(say(), again, "options of fe80::a [] [] []")
}

// The portal of a router is the one that it named last. An advertisement without
// the option says nothing of it.
//
// Spec: RFC 4861, section 9, MUST NOT, RA-R02
func TestRA_R02_CaptivePortal(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxRtrSolicitations: 1})
	const again = "add ::/0 via fe80::a by fe80::a for 1h0m0s"
	say := func(uri string) []string {
		return b.do(ra(routerA, RouterAdvert{RouterLifetime: time.Hour, CaptivePortal: uri}))
	}
	b.expect(say("https://example.org/a"), "router fe80::a", again, "options of fe80::a [] [] [] portal https://example.org/a")
	b.expect(say("https://example.org/a"), again)
	b.expect(say(""), again)
	b.expect(say("https://example.org/b"), again, "options of fe80::a [] [] [] portal https://example.org/b")
	if got := b.r.Routers()[0].CaptivePortal; got != "https://example.org/b" {
		t.Errorf("lists %q", got)
	}
	b.expect(b.after(time.Hour), "remove ::/0 via fe80::a by fe80::a", "no router fe80::a", "options of fe80::a [] [] []")
}

// Nothing is shared with the caller.
func TestRoutersKeepTheirOwnOptions(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{})
	m := RouterAdvert{RouterLifetime: time.Hour, Unknown: []RawOption{{Type: 200, Body: []byte("abcdef")}}}
	for _, a := range b.r.Step(b.now, ra(routerA, m)) {
		if o, ok := a.(Options); ok {
			o.Unknown[0].Body[0] = 'X'
		}
	}
	b.r.Routers()[0].Unknown[0].Body[1] = 'X'
	m.Unknown[0].Body[2] = 'X'
	if got := string(b.r.Routers()[0].Unknown[0].Body); got != "abcdef" {
		t.Errorf("now %q", got)
	}
}

// Spec: RFC 8028, section 3.1, SHOULD, RA-R17
func TestRA_R17_RoutersListsEverything(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{Preferences: true})
	p := pio("2001:db8:2::/64", "LA", time.Hour)
	m := RouterAdvert{
		CurHopLimit: 64, Managed: true, Other: true, Preference: High, RouterLifetime: 30 * time.Minute,
		ReachableTime: time.Minute, RetransTimer: time.Second, SourceLinkAddr: link(routerAMAC), MTU: 1400,
		Prefixes:   []PrefixInformation{p, pio("2001:db8:1::/64", "A", Infinity)},
		Routes:     []RouteInformation{rio("2001:db8:3::/48", Low, Infinity)},
		DNSServers: []RecursiveDNS{{Servers: []netip.Addr{addr("2001:db8::53")}, Lifetime: time.Minute}},
		DNSSearch:  []DNSSearchList{{Domains: []string{"example.org"}, Lifetime: Infinity}},
		Unknown:    []RawOption{{Type: 200, Body: []byte("abcdef")}},
	}
	b.do(ra(routerB, m), ra(routerA, m))
	// A later option without the flag, and shorter, leaves the hold as it is.
	b.do(ra(routerA, RouterAdvert{
		CurHopLimit: 64, Managed: true, Other: true, Preference: High, RouterLifetime: 30 * time.Minute,
		ReachableTime: time.Minute, RetransTimer: time.Second, MTU: 1400,
		Prefixes: []PrefixInformation{pio("2001:db8:2::/64", "", 10*time.Minute)}, Unknown: m.Unknown,
	}))
	want := RouterInfo{
		Addr: addr(routerA), LinkAddr: link(routerAMAC), Heard: epoch,
		Default: true, Expires: epoch.Add(30 * time.Minute), Preference: High,
		CurHopLimit: 64, Managed: true, Other: true, RouterLifetime: 30 * time.Minute,
		ReachableTime: time.Minute, RetransTimer: time.Second, MTU: 1400,
		Prefixes: []PrefixInfo{
			{Prefix: netip.MustParsePrefix("2001:db8:1::/64"), Autonomous: true, Preferred: epoch.Add(Infinity / 2)},
			{Prefix: p.Prefix, OnLink: true, OnLinkExpires: epoch.Add(time.Hour), Valid: epoch.Add(10 * time.Minute), Preferred: epoch.Add(5 * time.Minute)},
		},
		Routes:     []RouteInfo{{Prefix: netip.MustParsePrefix("2001:db8:3::/48"), Preference: Low}},
		DNSServers: []DNSServerInfo{{Addr: addr("2001:db8::53"), Expires: epoch.Add(time.Minute)}},
		DNSSearch:  []DNSSearchInfo{{Domain: "example.org"}},
		Unknown:    m.Unknown,
	}
	got := b.r.Routers()
	if len(got) != 2 {
		t.Fatalf("%d routers", len(got))
	}
	if d := cmp.Diff(want, got[0], cmpAddrs); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Spec: RFC 4861, section 6.3.5, MUST, RA-R18
// Spec: RFC 4191, section 3.3, MUST, DRS-R07
func TestRA_R18_RemovalIsToldOnce(t *testing.T) {
	gone := []string{"remove ::/0 via fe80::a by fe80::a", "no router fe80::a"}
	for name, end := range map[string]func(b *routersBench) []string{
		"time":       func(b *routersBench) []string { return b.after(time.Hour) },
		"zero":       func(b *routersBench) []string { return b.do(lives(routerA, 0)) },
		"not router": func(b *routersBench) []string { return b.do(NotRouter{addr(routerA)}) },
		"forget":     func(b *routersBench) []string { return b.do(Forget{addr(routerA)}) },
		"disable":    func(b *routersBench) []string { return b.do(Disable{}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newRoutersBench(t, RouterConfig{})
			b.do(lives(routerA, time.Hour))
			b.expect(end(b), gone...)
			if got := b.r.Routers(); len(got) != 0 {
				t.Errorf("still lists %+v", got)
			}
			b.expect(b.do(NotRouter{addr(routerA)}, Forget{addr(routerA)}, Disable{}))
		})
	}
}

// Spec: RFC 4861, section 7.2.5, MUST, NUD-R07
func TestNUD_R07_NoRouteThroughAHost(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{Preferences: true})
	m := RouterAdvert{
		RouterLifetime: time.Hour, Routes: []RouteInformation{rio("2001:db8:1::/48", Medium, time.Hour)},
		Prefixes: []PrefixInformation{pio("2001:db8::/64", "L", time.Hour)},
	}
	b.do(ra(routerA, m), ra(routerB, m))
	b.expect(b.do(NotRouter{addr(routerA)}),
		"remove ::/0 via fe80::a by fe80::a", "no router fe80::a", "remove 2001:db8:1::/48 via fe80::a by fe80::a")
	b.expect(b.do(Forget{addr(routerA)}), "remove 2001:db8::/64 on-link by fe80::a")
	b.expect(b.do(lives(routerA, time.Hour)), "router fe80::a", "add ::/0 via fe80::a by fe80::a for 1h0m0s")
}

// A router that leaves the list finds no room beside it.
func TestRoutersForgetThoseThatLeaveWithoutRoom(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxRouters: 2, MaxRtrSolicitations: 1})
	for i := range 2 {
		b.do(announces(fmt.Sprintf("fe80::%d", i+1), pio("2001:db8::/64", "L", time.Hour)))
	}
	b.do(ra(routerA, RouterAdvert{RouterLifetime: time.Minute, Prefixes: []PrefixInformation{pio("2001:db8::/64", "L", time.Hour)}}))
	b.expect(b.after(time.Minute),
		"remove ::/0 via fe80::a by fe80::a", "no router fe80::a", "remove 2001:db8::/64 on-link by fe80::a")
	if got := b.r.Counters().RoutersRefused; got != 1 {
		t.Errorf("refused %d", got)
	}
}

// An advertisement for which there is no room still has parameters and
// autonomous prefixes.
func TestRoutersRefusedStillSpeak(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxRouters: 2})
	b.do(lives(routerA, time.Hour), lives(routerB, time.Hour))
	b.expect(b.do(ra("fe80::c", RouterAdvert{
		RouterLifetime: time.Hour, CurHopLimit: 9, Prefixes: []PrefixInformation{pio("2001:db8::/64", "LA", time.Hour)},
	})), "set 9 0s 0s 0", "prefix 2001:db8::/64 by fe80::c multicast true")
}
