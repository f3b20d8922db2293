package nd

import (
	"fmt"
	"testing"
	"time"
)

const (
	announced1   = "fe80::a announces 2001:db8:1::/64"
	unannounced1 = "fe80::a announced 2001:db8:1::/64"
)

// Who announces a prefix is told once, whatever the flags, and again when it has
// ended.
//
// Spec: RFC 8028, section 3.1, SHOULD, RA-R17
func TestRA_R17_AnnouncedPrefixes(t *testing.T) {
	for _, flags := range []string{"", "L", "A", "LA"} {
		b := newRoutersBench(t, RouterConfig{})
		say := announces(routerA, pio("2001:db8:1::/64", flags, time.Hour))
		b.expect(b.announcements(say), announced1)
		b.expect(b.announcements(say))
		b.expect(b.announcements(announces(routerB, pio("2001:db8:1::/64", flags, time.Hour))), "fe80::b announces 2001:db8:1::/64")
		b.expect(b.announcements(announces(routerA, pio("2001:db8:1::/64", flags, 0))), unannounced1)
		b.expect(b.announcements(say), announced1)
	}
}

// Spec: RFC 8028, section 3.1, SHOULD, RA-R17
func TestRA_R17_EveryEndOfAnAnnouncement(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(b *routersBench) []string
		want []string
	}{
		"lifetime": {func(b *routersBench) []string {
			b.now = b.now.Add(time.Hour)
			return b.announcements()
		}, []string{unannounced1}},
		"zero": {func(b *routersBench) []string {
			return b.announcements(announces(routerA, pio("2001:db8:1::/64", "", 0)))
		}, []string{unannounced1}},
		"forget":     {func(b *routersBench) []string { return b.announcements(Forget{addr(routerA)}) }, []string{unannounced1}},
		"disable":    {func(b *routersBench) []string { return b.announcements(Disable{}) }, []string{unannounced1}},
		"not router": {func(b *routersBench) []string { return b.announcements(NotRouter{addr(routerA)}) }, nil},
		"no route":   {func(b *routersBench) []string { return b.announcements(lives(routerA, 0)) }, nil},
		"no room": {func(b *routersBench) []string {
			for i := range 2 {
				b.do(announces(fmt.Sprintf("fe80::%d", i+1), pio("2001:db8::/64", "L", time.Hour)))
			}
			return b.announcements(lives(routerA, 0))
		}, []string{unannounced1}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRoutersBench(t, RouterConfig{MaxRouters: 2})
			b.do(ra(routerA, RouterAdvert{
				RouterLifetime: 2 * time.Hour, Prefixes: []PrefixInformation{pio("2001:db8:1::/64", "", time.Hour)},
			}))
			b.expect(test.end(b), test.want...)
		})
	}
}

// The announcement comes before the routes of its option, so that they are
// chosen with it in mind; what there is no room for is not announced.
func TestAnnouncementsComeFirstAndAreBounded(t *testing.T) {
	b := newRoutersBench(t, RouterConfig{MaxPrefixesPerRouter: 1})
	var order []string
	for _, a := range b.r.Step(b.now, announces(routerA, pio("2001:db8:1::/64", "L", time.Hour), pio("2001:db8:2::/64", "", time.Hour))) {
		order = append(order, describeRouter(t, a))
	}
	b.expect(order, "learn fe80::a 00:00:00:00:00:00", announced1, "add 2001:db8:1::/64 on-link by fe80::a for 1h0m0s")
	b.expect(b.announcements(announces(routerA, pio("fe80::/64", "", time.Hour)))) // nor what is no prefix of a router
}
