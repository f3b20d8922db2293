package stack

import (
	"container/list"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tapstack/tapstack/nd"
)

// soakTime is how long the soak lasts on the Core's clock.
const soakTime = 30 * 24 * time.Hour

// chance is a Random that draws.
type chance struct{ *rand.Rand }

func (c chance) Between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(c.Int64N(int64(hi-lo)+1))
}

func (c chance) Nonce() nd.Nonce {
	b := make([]byte, 6)
	for i := range b {
		b[i] = byte(c.Uint32())
	}
	return nd.Nonce(b)
}

// soak is a month on a busy link: routers that change their minds, addresses
// and routes that come and go, neighbors that die, duplicates, a link that
// flaps. The harness holds the Core to its invariants at every step.
type soak struct {
	*node
	chance
	alive   map[netip.Addr]bool // of the neighbors
	routers []netip.Addr
	added   []netip.Addr
}

func soakMAC(a netip.Addr) nd.LinkAddr {
	b := a.As16()
	return nd.LinkAddr{2, 0, 0, b[13], b[14], b[15]}
}

func newSoak(t *testing.T, p Profile) *soak {
	s := &soak{
		chance: chance{rand.New(rand.NewPCG(2003, 7))}, alive: map[netip.Addr]bool{},
		routers: []netip.Addr{netip.MustParseAddr("fe80::a1"), netip.MustParseAddr("fe80::a2"), netip.MustParseAddr("fe80::a3")},
	}
	cfg := CoreConfig{Profile: p, LinkAddr: ownMAC, Identity: Identity{Secret: testSecret, NetIface: "tap0"}}
	s.node = newNodeAs(t, cfg)
	s.node.core = NewCore(cfg, s.chance)
	s.node.published = s.node.core.Snapshot()
	return s
}

// lives lets d pass; neighbors that are alive answer.
func (s *soak) lives(d time.Duration) {
	until := s.now.Add(d)
	for {
		s.answer()
		at, ok := s.core.Deadline()
		if !ok || at.After(until) {
			break
		}
		s.run(max(at.Sub(s.now), 0))
		s.resendAll()
	}
	s.run(until.Sub(s.now))
}

// answer has the neighbors answer what was solicited.
func (s *soak) answer() {
	for _, f := range sent(s.take()) {
		p, ok := parseControl(f)
		if !ok {
			continue
		}
		m, err := nd.Parse(nd.Header{Src: p.src, Dst: p.dst, From: p.from}, p.hopLimit, p.message)
		ns, isNS := m.(*nd.NeighborSolicit)
		if err != nil || !isNS || !s.alive[ns.Target] {
			continue
		}
		na := &nd.NeighborAdvert{Target: ns.Target, Router: slices.Contains(s.routers, ns.Target), Override: true, TargetLinkAddr: soakMAC(ns.Target)}
		dst := p.src
		if na.Solicited = !p.src.IsUnspecified(); !na.Solicited {
			dst = nd.AllNodes
		}
		s.receives(ndFrame(soakMAC(ns.Target), ns.Target, dst, na))
	}
}

// someLifetime is now and then nothing, or for ever.
func (s *soak) someLifetime() time.Duration {
	switch s.IntN(6) {
	case 0:
		return 0
	case 1:
		return nd.Infinity
	}
	return time.Duration(1+s.IntN(4*3600)) * time.Second
}

func (s *soak) prefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(s.IntN(4))}), 64)
}

func (s *soak) routerSpeaks() {
	router := s.routers[s.IntN(len(s.routers))]
	ra := &nd.RouterAdvert{
		RouterLifetime: time.Duration(s.IntN(3)) * 1800 * time.Second, Preference: nd.Preference(s.IntN(3) - 1),
		SourceLinkAddr: soakMAC(router), Managed: s.IntN(2) == 0, MTU: uint32(1280 + s.IntN(220)),
	}
	for range s.IntN(3) {
		valid := s.someLifetime()
		preferred := min(valid, s.someLifetime())
		ra.Prefixes = append(ra.Prefixes, nd.PrefixInformation{
			Prefix: s.prefix(), OnLink: s.IntN(2) == 0, Autonomous: s.IntN(3) > 0, ValidLifetime: valid, PreferredLifetime: preferred,
		})
	}
	if s.IntN(2) == 0 {
		route := nd.RouteInformation{Prefix: netip.MustParsePrefix("2001:db8:77::/48"), Preference: nd.Preference(s.IntN(3) - 1), Lifetime: s.someLifetime()}
		ra.Routes = append(ra.Routes, route)
	}
	if s.IntN(3) == 0 {
		ra.DNSServers = append(ra.DNSServers, nd.RecursiveDNS{Servers: []netip.Addr{router}, Lifetime: s.someLifetime()})
	}
	s.receives(ndFrame(soakMAC(router), router, nd.AllNodes, ra))
}

// someAddress is one of a few in a prefix, so that there are clashes.
func (s *soak) someAddress() netip.Addr {
	b := s.prefix().Addr().As16()
	b[15] = byte(1 + s.IntN(20))
	return netip.AddrFrom16(b)
}

func (s *soak) happens() {
	addresses := s.core.Addresses()
	switch k := s.IntN(100); {
	case k < 30:
		s.routerSpeaks()
	case k < 55:
		if len(addresses) > 0 {
			src := addresses[s.IntN(len(addresses))]
			if src.State != Tentative {
				s.sends(src.Prefix.Addr(), s.someAddress(), s.Uint32())
				s.sends(src.Prefix.Addr(), netip.MustParseAddr("2001:db8:77::1"), s.Uint32())
			}
		}
	case k < 65:
		a := s.someAddress()
		s.addConfig(AddressConfig{Prefix: netip.PrefixFrom(a, 64), OnLink: netip.PrefixFrom(a, 64).Masked(), ValidLifetime: time.Hour, PreferredLifetime: time.Minute})
		s.added = append(s.added, a)
	case k < 70:
		a := s.someAddress()
		s.add(a.String() + "/64")
		s.added = append(s.added, a)
	case k < 78:
		if len(addresses) > 0 {
			_ = s.remove(addresses[s.IntN(len(addresses))].Prefix.Addr().String())
		}
	case k < 84: // somebody is a duplicate, or in conflict
		if len(addresses) > 0 {
			a := addresses[s.IntN(len(addresses))]
			if a.Origin != OriginLinkLocal {
				s.isClaimed(a.Prefix.Addr().String())
			}
		}
	case k < 92:
		a := s.someAddress()
		if s.IntN(3) == 0 {
			a = s.routers[s.IntN(len(s.routers))]
		}
		s.alive[a] = !s.alive[a]
	case k < 95:
		router := s.routers[s.IntN(len(s.routers))]
		s.hears(router, ownLL, &nd.Redirect{Target: s.routers[s.IntN(len(s.routers))], Destination: netip.MustParseAddr("2001:db8:77::1"), TargetLinkAddr: soakMAC(router)})
	case k < 97:
		s.step(AddRoute{RouteConfig: RouteConfig{Prefix: netip.MustParsePrefix("2001:db8:99::/48"), Via: s.routers[0]}})
		s.step(RemoveRoute{RouteConfig: RouteConfig{Prefix: netip.MustParsePrefix("2001:db8:99::/48"), Via: s.routers[0]}})
	case k < 98:
		s.step(JoinGroup{Group: netip.MustParseAddr("ff02::4242")})
		s.step(LeaveGroup{Group: netip.MustParseAddr("ff02::4242")})
	default:
		s.step(LinkDown{})
		s.lives(time.Duration(s.IntN(100)) * time.Second)
		s.step(LinkUp{})
	}
}

// withdrawn takes everything back and waits until it is over.
func (s *soak) withdrawn() {
	for _, a := range s.added {
		_ = s.remove(a.String())
	}
	s.alive = map[netip.Addr]bool{}
	s.step(LinkDown{})
	s.step(LinkUp{})
	s.lives(2 * time.Hour)
	s.take()
}

// sized is what tables of prefixes have in common.
type sized interface{ Size6() int }

func size(s sized) int {
	if reflect.ValueOf(s).IsNil() {
		return 0
	}
	return s.Size6()
}

// stateOf is the whole state of a Core as values that compare, without what
// only counts or tells the time.
func stateOf(c *Core) cmp.Option {
	ignored := []string{
		"now", "counters", "failures", "random", "Since", "last", "redrawAt", "reachableTime", "resolveBudget", // time and chance
		"seq", "entered", "assigned", "created", "turns", "generation", "edit", "most", // numbers that only rise
		"spare", "adverts", "spareSends", // memory that is used again
		"holds", // keys by pointer: the views show the holders
	}
	return cmp.Options{
		cmp.Exporter(func(reflect.Type) bool { return true }),
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(x, y list.List) bool { return x.Len() == y.Len() }),
		// Tables of routes are empty, or they are not.
		cmp.FilterValues(func(x, y sized) bool { return true }, cmp.Comparer(func(x, y sized) bool { return size(x) == size(y) })),
		cmp.FilterPath(func(p cmp.Path) bool {
			field, ok := p.Last().(cmp.StructField)
			return ok && (slices.Contains(ignored, field.Name()) || strings.HasPrefix(field.Name(), "_"))
		}, cmp.Ignore()),
	}
}

// A month later, when everything was taken back, the state is what it was at
// the start: nothing has leaked, and nothing is missing.
func TestSoakOfAMonthLeavesNothingBehind(t *testing.T) {
	for name, p := range map[string]Profile{"rfc2462": RFC2462(), "rfc4862": RFC4862(), "current": Current()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSoak(t, p)
			s.step(LinkUp{})
			s.lives(2 * time.Hour)
			began, events := s.view(), 0
			for end := s.now.Add(soakTime); s.now.Before(end); events++ {
				s.happens()
				s.lives(time.Duration(s.IntN(240)) * time.Second)
				if t.Failed() {
					t.Fatalf("after %d events, %v", events, s.now.Sub(s.start))
				}
			}
			s.withdrawn()
			if diff := cmp.Diff(began, s.view()); diff != "" {
				t.Errorf("what an operator sees (-at the start +after a month):\n%s", diff)
			}
			if len(s.pending) != 0 {
				t.Errorf("%d requests were never answered", len(s.pending))
			}
			fresh := newSoak(t, p)
			fresh.step(LinkUp{})
			fresh.lives(2 * time.Hour)
			for _, c := range []*soak{s, fresh} {
				c.step(LinkDown{})
				c.run(2 * time.Hour)
			}
			if diff := cmp.Diff(fresh.core, s.core, stateOf(s.core)); diff != "" {
				t.Errorf("the state of the Core (-fresh +after a month):\n%s", diff)
			}
			t.Logf("%d events in %v of the Core's time", events, soakTime)
		})
	}
}
