package dad

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

func TestImpossibleThingsPanic(t *testing.T) {
	start := func(ev Start) func() {
		return func() { New(Config{}, new(script)).Step(epoch, ev) }
	}
	for name, f := range map[string]func(){
		"negative RetransTimer":  func() { New(Config{RetransTimer: -1}, new(script)) },
		"transmits below none":   func() { New(Config{DupAddrDetectTransmits: NoTransmits - 1}, new(script)) },
		"no event":               func() { New(Config{}, new(script)).Step(epoch, nil) },
		"no address":             start(Start{}),
		"IPv4":                   start(Start{Addr: netip.MustParseAddr("192.0.2.1")}),
		"zone":                   start(Start{Addr: netip.MustParseAddr("fe80::1%tap0")}),
		"unspecified":            start(Start{Addr: netip.IPv6Unspecified()}),
		"group":                  start(Start{Addr: nd.AllNodes}),
		"mode that is not there": start(Start{Addr: tableAddr, Mode: Off + 1}),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

// What the link can send never panics: headers with nothing in them are no
// evidence of anything.
func TestEmptyHeaders(t *testing.T) {
	m := New(Config{}, new(script))
	m.Step(epoch, Start{Addr: tableAddr})
	m.Step(epoch, Solicit{NeighborSolicit: new(nd.NeighborSolicit)})
	m.Step(epoch, Solicit{NeighborSolicit: &nd.NeighborSolicit{Target: tableAddr}})
	m.Step(epoch, Advert{NeighborAdvert: new(nd.NeighborAdvert)})
	if m.State(tableAddr) != Tentative || m.Len() != 1 {
		t.Errorf("state %d, %d addresses", m.State(tableAddr), m.Len())
	}
}

func TestEarlierNowCountsAsTheLatest(t *testing.T) {
	m := New(Config{}, new(script))
	m.Step(epoch, Start{Addr: tableAddr})
	m.Advance(epoch.Add(500 * time.Millisecond))
	m.Step(epoch, Start{Addr: ownAddr}) // as if 500 ms later
	if actions := m.Advance(epoch.Add(1499 * time.Millisecond)); len(actions) != 1 || m.State(ownAddr) != Tentative {
		t.Errorf("%v, state %d", actions, m.State(ownAddr))
	}
	m.Advance(epoch.Add(1500 * time.Millisecond))
	if m.State(ownAddr) != Assigned {
		t.Errorf("state %d", m.State(ownAddr))
	}
}

// The slice that a call returned is the caller's: a later call leaves it alone.
func TestActionsBelongToTheCaller(t *testing.T) {
	m := New(Config{}, new(script))
	first := m.Step(epoch, Start{Addr: tableAddr})
	want := formatActions(first)
	m.Step(epoch, Start{Addr: ownAddr})
	if got := formatActions(first); got != want {
		t.Errorf("became\n%swas\n%s", got, want)
	}
}

func TestEvidenceString(t *testing.T) {
	for e, want := range map[Evidence]string{
		FromAdvert: "neighbor advertisement", FromSolicit: "neighbor solicitation", 0: "unknown",
	} {
		if got := e.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
