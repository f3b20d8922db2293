package stack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

// FuzzCore turns octets into frames, commands and time steps. The Core never
// panics, its views agree after every step, and nothing is left once all is
// removed.
func FuzzCore(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 5, 40, 2, 0, 5, 90, 3, 0, 5, 90})
	f.Add([]byte{1, 1, 1, 2, 5, 10, 4, 1, 6, 0, 7, 0, 8, 1, 9, 2, 5, 255, 10, 0, 11, 3, 60, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 2 || len(data) > 400 {
			return
		}
		profile := []Profile{RFC2462(), RFC4862(), Current()}[data[0]%3]
		limits := Limits{MaxNeighbors: 16, MaxQueued: 4, MaxAddresses: 8, MaxGroups: 16, MaxRoutes: 4, MaxRedirects: 2}
		n := newNodeAs(t, CoreConfig{Profile: profile, Limits: limits, Identity: Identity{Secret: testSecret}})
		n.random.point = float64(data[1]) / 255
		n.step(LinkUp{})
		for in := (&fuzzInput{data[2:]}); len(in.data) > 0 && !t.Failed(); {
			fuzzStep(n, in)
		}
		for _, a := range n.core.Addresses() {
			n.remove(a.Prefix.Addr().String())
		}
		n.step(LinkDown{})
		n.run(24 * time.Hour)
		if len(n.enabled) != 0 || len(n.pending) != 0 || len(n.core.Routes()) != 0 || len(n.core.Addresses()) != 0 {
			t.Errorf("left: %d requests,\n%s", len(n.pending), n.view())
		}
	})
}

type fuzzInput struct{ data []byte }

func (in *fuzzInput) octet() byte {
	if len(in.data) == 0 {
		return 0
	}
	o := in.data[0]
	in.data = in.data[1:]
	return o
}

func (in *fuzzInput) take(n int) []byte {
	n = min(n, len(in.data))
	b := in.data[:n]
	in.data = in.data[n:]
	return b
}

func fuzzAddr(k byte) netip.Addr {
	return []netip.Addr{explored[0].Addr(), explored[1].Addr(), ownLL, peerLL, netip.MustParseAddr("fe80::beef:5"), netip.MustParseAddr("2001:db8::9")}[int(k)%6]
}

func fuzzStep(n *node, in *fuzzInput) {
	what, a := in.octet(), fuzzAddr(in.octet())
	switch what % 22 {
	case 0:
		n.addConfig(AddressConfig{Prefix: netip.PrefixFrom(a, 64), DAD: 0, Anycast: what > 200})
	case 1:
		n.remove(a.String())
	case 2:
		n.isClaimed(a.String())
	case 3:
		n.hears(netip.IPv6Unspecified(), nd.SolicitedNode(a), &nd.NeighborSolicit{Target: a})
	case 4:
		n.hears(peerLL, nd.SolicitedNode(a), &nd.NeighborSolicit{Target: a, SourceLinkAddr: peerMAC})
	case 5:
		n.run(time.Duration(in.octet()) * 17 * time.Millisecond)
	case 6:
		n.step(ProbeFailed{Addr: a})
	case 7:
		n.step(LinkDown{})
	case 8:
		n.step(LinkUp{})
	case 9:
		n.step(Output{NextHop: a, Src: ownLL, Packet: what})
	case 10:
		n.hears(peerLL, ownLL, &nd.NeighborAdvert{Target: a, Solicited: true, Override: what&1 != 0, Router: what&2 != 0, TargetLinkAddr: nd.LinkAddr{2, 0, 0, 0, 0, what}})
	case 11:
		n.receives(mldFrame(peerLL, nd.AllNodes, &mld.Query{Version: 1 + int(what)&1, MaxResponseDelay: time.Duration(in.octet()) * time.Millisecond}))
	case 12:
		if probe := n.probes[a]; probe != nil {
			n.receives(probe)
		}
	case 13:
		n.step(AcceptAddress{n.id(), a})
	case 14:
		r := RouteConfig{Prefix: netip.PrefixFrom(a, int(in.octet())%129).Masked()}
		if what > 128 {
			r.Via = peerLL
		}
		if what&64 == 0 {
			n.step(AddRoute{n.id(), r})
		} else {
			n.step(RemoveRoute{n.id(), r})
		}
	case 16:
		pi := nd.PrefixInformation{
			Prefix: netip.PrefixFrom(a, 64).Masked(), OnLink: what&32 != 0, Autonomous: what&64 != 0,
			ValidLifetime: time.Duration(in.octet()) * time.Second, PreferredLifetime: time.Duration(in.octet()) * time.Second,
		}
		n.hears(peerLL, nd.AllNodes, &nd.RouterAdvert{
			RouterLifetime: time.Duration(in.octet()) * time.Second, SourceLinkAddr: peerMAC, Prefixes: []nd.PrefixInformation{pi},
			Routes: []nd.RouteInformation{{Prefix: netip.PrefixFrom(a, 48).Masked(), Lifetime: time.Duration(in.octet()) * time.Second}},
		})
	case 15:
		n.receives(in.take(int(in.octet())))
	case 17:
		n.hears(peerLL, a, &nd.Redirect{Target: otherRouter, Destination: fuzzAddr(in.octet()), TargetLinkAddr: otherMAC})
	case 18:
		n.sends(a, fuzzAddr(in.octet()), uint32(what))
	case 19:
		n.step(RouterSkipped{ownLL, a, uint32(what)})
	case 20:
		n.step(Progress{Local: ownLL, Remote: a, Flow: uint32(what)})
	case 21:
		n.step(SetLinkAddr{n.id(), nd.LinkAddr{2 + what&1, 0, 0, 0, 0, what}})
	}
}
