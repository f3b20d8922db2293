package nd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Two routers, and what they say.
const (
	routerA    = "fe80::a"
	routerB    = "fe80::b"
	routerAMAC = "02:00:00:00:00:0a"
)

// routersBench is a Routers on a test's workbench. Its log leaves Learn out,
// which every advertisement brings, and what follows from prefixes, which
// announcements of the bench tells.
type routersBench struct {
	t   testing.TB
	r   *Routers
	now time.Time
}

// newRoutersBench returns a machine that is enabled and has solicited once.
func newRoutersBench(t testing.TB, cfg RouterConfig) *routersBench {
	b := newOffBench(t, cfg)
	b.do(Enable{Delayed: true})
	return b
}

func newOffBench(t testing.TB, cfg RouterConfig) *routersBench {
	return &routersBench{t, NewRouters(cfg, middle{}), epoch}
}

func (b *routersBench) do(evs ...RouterEvent) []string {
	b.t.Helper()
	var out []RouterAction
	for _, ev := range evs {
		out = append(out, b.r.Step(b.now, ev)...)
	}
	return describeRouters(b.t, out)
}

func (b *routersBench) after(d time.Duration) []string {
	b.t.Helper()
	b.now = b.now.Add(d)
	return describeRouters(b.t, b.r.Advance(b.now))
}

func (b *routersBench) expect(got []string, want ...string) {
	b.t.Helper()
	if d := cmp.Diff(want, got, cmpEmpty); d != "" {
		b.t.Fatalf("(-want +got)\n%s", d)
	}
}

// ra is an advertisement from a router to all nodes.
func ra(src string, m RouterAdvert) Advert {
	return Advert{Header: Header{Src: addr(src), Dst: AllNodes}, RouterAdvert: &m}
}

// lives is one that says no more than that src is a default router for d.
func lives(src string, d time.Duration) Advert { return ra(src, RouterAdvert{RouterLifetime: d}) }

// pio is a Prefix Information option with the flags L and A.
func pio(p, flags string, valid time.Duration) PrefixInformation {
	return PrefixInformation{
		Prefix: netip.MustParsePrefix(p), ValidLifetime: valid, PreferredLifetime: valid / 2,
		OnLink: strings.Contains(flags, "L"), Autonomous: strings.Contains(flags, "A"),
	}
}

func announces(src string, ps ...PrefixInformation) Advert {
	return ra(src, RouterAdvert{Prefixes: ps})
}

func rio(p string, pref Preference, lifetime time.Duration) RouteInformation {
	return RouteInformation{Prefix: netip.MustParsePrefix(p), Preference: pref, Lifetime: lifetime}
}

func describeRouters(t testing.TB, actions []RouterAction) []string {
	t.Helper()
	var out []string
	for _, a := range actions {
		switch a.(type) {
		case Learn, Announced, Unannounced:
		default:
			out = append(out, describeRouter(t, a))
		}
	}
	return out
}

// announcements is do with nothing but Announced and Unannounced in its log.
func (b *routersBench) announcements(evs ...RouterEvent) (out []string) {
	b.t.Helper()
	actions := b.r.Advance(b.now)
	for _, ev := range evs {
		actions = append(actions, b.r.Step(b.now, ev)...)
	}
	for _, a := range actions {
		switch a.(type) {
		case Announced, Unannounced:
			out = append(out, describeRouter(b.t, a))
		}
	}
	return out
}

func describeRouter(t testing.TB, a RouterAction) string {
	t.Helper()
	switch a := a.(type) {
	case Solicit:
		s := fmt.Sprint("rs from ", a.Src)
		if !a.Message.SourceLinkAddr.IsZero() {
			s += fmt.Sprint(" sllao ", a.Message.SourceLinkAddr)
		}
		if a.Dst != netip.MustParseAddr("ff02::2") {
			t.Fatalf("solicitation to %v", a.Dst)
		}
		return s
	case AddRoute:
		s := fmt.Sprint("add ", a.Prefix, describeVia(a.NextHop), " by ", a.Router)
		if a.Preference != Medium {
			s += fmt.Sprint(" preference ", int(a.Preference))
		}
		if a.Lifetime == Infinity {
			return s + " for ever"
		}
		return s + fmt.Sprint(" for ", a.Lifetime)
	case RemoveRoute:
		return fmt.Sprint("remove ", a.Prefix, describeVia(a.NextHop), " by ", a.Router)
	case SetParameters:
		return fmt.Sprint("set ", a.CurHopLimit, " ", a.ReachableTime, " ", a.RetransTimer, " ", a.MTU)
	case Prefix:
		return fmt.Sprint("prefix ", a.Prefix, " by ", a.Router, " multicast ", a.FromMulticast)
	case Learn:
		return fmt.Sprint("learn ", a.Router, " ", a.LinkAddr)
	case Managed:
		return fmt.Sprintf("managed %v other %v", a.Managed, a.Other)
	case NoRouters:
		return "no routers"
	case RouterAdded:
		return fmt.Sprint("router ", a.Router)
	case RouterRemoved:
		return fmt.Sprint("no router ", a.Router)
	case Announced:
		return fmt.Sprint(a.Router, " announces ", a.Prefix)
	case Unannounced:
		return fmt.Sprint(a.Router, " announced ", a.Prefix)
	case Options:
		s := fmt.Sprint("options of ", a.Router, " ", a.DNSServers, " ", a.DNSSearch, " ", a.Unknown)
		if a.CaptivePortal != "" {
			s += " portal " + a.CaptivePortal
		}
		return s
	}
	t.Fatalf("%T", a)
	return ""
}

func describeVia(nextHop netip.Addr) string {
	if nextHop == (netip.Addr{}) {
		return " on-link"
	}
	return " via " + nextHop.String()
}
