package dad

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapstack/tapstack/nd"
)

var propertyAddrs = []netip.Addr{
	netip.MustParseAddr("fe80::1"),
	netip.MustParseAddr("2001:db8::1"), // of the same group
	netip.MustParseAddr("2001:db8::2"),
}

func drawConfig(t *rapid.T) Config {
	return Config{
		LinkAddr:               ownMAC,
		Loopback:               rapid.SampledFrom([]Loopback{LoopbackNone, LoopbackEchoes, LoopbackUnknown}).Draw(t, "loopback"),
		DupAddrDetectTransmits: rapid.IntRange(NoTransmits, 4).Draw(t, "transmits"),
		RetransTimer:           rapid.SampledFrom([]time.Duration{0, time.Millisecond, 700 * time.Millisecond, 5 * time.Second}).Draw(t, "retrans"),
		DelayProbeOnly:         rapid.Bool().Draw(t, "delayProbeOnly"),
		NoMulticastRADelay:     rapid.Bool().Draw(t, "noMulticastRADelay"),
		AcceptUnicastDst:       rapid.Bool().Draw(t, "acceptUnicastDst"),
		NoNonce:                rapid.Bool().Draw(t, "noNonce"),
	}
}

// drawEvent draws an event, most of them such that a test goes on.
func drawEvent(t *rapid.T, p *monitor) Event {
	addr := rapid.SampledFrom(propertyAddrs).Draw(t, "addr")
	from := rapid.SampledFrom([]nd.LinkAddr{ownMAC, other}).Draw(t, "from")
	switch rapid.SampledFrom([]string{"start", "start", "echo", "echo", "ns", "na", "resolve", "stop", "accept", "fail", "retrans"}).Draw(t, "event") {
	case "start":
		return Start{
			Addr:            addr,
			Mode:            rapid.SampledFrom([]Mode{Normal, Normal, Optimistic, Off}).Draw(t, "mode"),
			Anycast:         rapid.IntRange(0, 9).Draw(t, "anycast") == 9,
			First:           rapid.Bool().Draw(t, "first"),
			FromMulticastRA: rapid.Bool().Draw(t, "multicastRA"),
		}
	case "echo":
		var n nd.Nonce
		if o := p.addrs[addr]; o != nil && len(o.nonces) > 0 {
			n = rapid.SampledFrom(o.nonces).Draw(t, "nonce")
		}
		return solicit("::", addr, n, ownMAC)
	case "ns":
		return solicit("::", addr, rapid.SampledFrom([]nd.Nonce{"", nonce(7)}).Draw(t, "nonce"), from)
	case "na":
		return advert(rapid.SampledFrom([]netip.Addr{nd.AllNodes, addr, ownAddr}).Draw(t, "dst"), addr, from)
	case "resolve":
		return solicit(peerAddr.String(), addr, "", from)
	case "stop":
		return Stop{addr}
	case "accept":
		return Accept{addr}
	case "fail":
		return SendFailed{addr}
	}
	return SetRetransTimer{rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, time.Minute}).Draw(t, "retransTimer")}
}

// Whatever happens: never an assignment after evidence or before its time, the
// join before the probe, one leave for each join, the number and the times of
// probes, and nothing left of an address that has gone. See monitor.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newMonitor(drawConfig(t), &dice{seed: rapid.Uint64().Draw(t, "seed")})
		now := epoch
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1_500_000).Draw(t, "µs")) * time.Microsecond)
			if _, err := p.step(now, drawEvent(t, p)); err != nil {
				t.Fatalf("%v\n%s", err, p.log.String())
			}
		}
		for _, addr := range propertyAddrs {
			if _, err := p.step(now, Stop{addr}); err != nil {
				t.Fatalf("%v\n%s", err, p.log.String())
			}
		}
		if _, armed := p.m.Deadline(); armed || p.m.Len() != 0 || len(p.addrs) != 0 {
			t.Fatalf("after all stops: armed %v, %d addresses, %d held\n%s", armed, p.m.Len(), len(p.addrs), p.log.String())
		}
	})
}

// A caller that comes late gets the same actions as a punctual one, and one
// whose clock jumps back the same as if it stood still.
func TestLateCallerGetsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		seed := rapid.Uint64().Draw(t, "seed")
		p := newMonitor(cfg, &dice{seed: seed})
		late := New(cfg, &dice{seed: seed})
		now := epoch
		var want, got string
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3_000_000).Draw(t, "µs")) * time.Microsecond)
			ev := drawEvent(t, p)
			actions, err := p.step(now, ev)
			if err != nil {
				t.Fatalf("%v\n%s", err, p.log.String())
			}
			want += formatActions(actions)
			got += formatActions(late.Step(now, ev))
			if rapid.Bool().Draw(t, "back") {
				got += formatActions(late.Advance(now.Add(-time.Hour)))
			}
		}
		if want != got {
			t.Fatalf("punctual:\n%slate:\n%s", want, got)
		}
	})
}
