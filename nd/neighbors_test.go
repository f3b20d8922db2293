package nd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The cast: two addresses of the host, two neighbors.
const (
	hostLL     = "fe80::1"
	hostGlobal = "2001:db8::1"
	hostMAC    = "02:00:00:00:00:01"
	peer       = "fe80::2"
	peerMAC    = "02:00:00:00:00:02"
	other      = "2001:db8::3"
	otherMAC   = "02:00:00:00:00:03"
)

var epoch = time.Date(2003, 1, 1, 0, 0, 0, 0, time.UTC)

// middle draws the middle of each interval.
type middle struct{}

func (middle) Between(lo, hi time.Duration) time.Duration { return (lo + hi) / 2 }
func (middle) Nonce() Nonce                               { return "nonce." }

// bench is a machine on a test's workbench.
type bench struct {
	t   testing.TB
	n   *Neighbors
	now time.Time
}

// newBench returns a machine that has the host's addresses.
func newBench(t testing.TB, cfg NeighborConfig) *bench {
	b := newBareBench(t, cfg)
	b.do(Defend{Addr: addr(hostLL)})
	b.do(Defend{Addr: addr(hostGlobal)})
	return b
}

func newBareBench(t testing.TB, cfg NeighborConfig) *bench {
	cfg.LinkAddr = link(hostMAC)
	return &bench{t, NewNeighbors(cfg, middle{}), epoch}
}

// do applies events and returns what comes out.
func (b *bench) do(evs ...Event) []string {
	b.t.Helper()
	var out []Action
	for _, ev := range evs {
		out = append(out, b.n.Step(b.now, ev)...)
	}
	return describe(out)
}

// after lets time pass.
func (b *bench) after(d time.Duration) []string {
	b.t.Helper()
	b.now = b.now.Add(d)
	return describe(b.n.Advance(b.now))
}

func (b *bench) state(a string) string {
	nb, ok := b.n.Lookup(addr(a))
	if !ok {
		return "none"
	}
	return nb.State.String()
}

// expect compares what came out with what should have.
func (b *bench) expect(got []string, want ...string) {
	b.t.Helper()
	if d := cmp.Diff(want, got, cmpEmpty); d != "" {
		b.t.Fatalf("(-want +got)\n%s", d)
	}
}

var cmpEmpty = cmp.Transformer("", func(s []string) string { return strings.Join(s, "\n") })

func describe(actions []Action) []string {
	var out []string
	for _, a := range actions {
		out = append(out, describeAction(a))
	}
	return out
}

func describeAction(a Action) string {
	switch a := a.(type) {
	case *Send:
		return describeSend(a)
	case Changed:
		return "changed " + describeNeighbor(a.Neighbor)
	case Removed:
		s := fmt.Sprint("removed ", a.Addr)
		if a.Failed {
			s += " failed"
		}
		return s
	case Resolved:
		return fmt.Sprint("resolved ", a.Addr, " ", a.LinkAddr)
	case Unresolved:
		return fmt.Sprint("unresolved ", a.Addr)
	case Conflict:
		return fmt.Sprint("conflict ", a.Addr, " ", a.LinkAddr, " from ", a.From)
	}
	return fmt.Sprintf("%T", a)
}

func describeSend(s *Send) string {
	var b strings.Builder
	switch m := s.Message.(type) {
	case *NeighborSolicit:
		fmt.Fprint(&b, "ns ", m.Target, " from ", s.Src, " to ", s.Dst)
		if m.SourceLinkAddr != link(hostMAC) || m.Nonce != "" {
			fmt.Fprintf(&b, " sllao=%v nonce=%v", m.SourceLinkAddr, m.Nonce)
		}
	case *NeighborAdvert:
		fmt.Fprint(&b, "na ", m.Target, " from ", s.Src, " to ", s.Dst)
		for _, f := range []struct {
			name string
			set  bool
		}{{" R", m.Router}, {" S", m.Solicited}, {" O", m.Override}} {
			if f.set {
				b.WriteString(f.name)
			}
		}
		if m.TargetLinkAddr != link(hostMAC) {
			fmt.Fprintf(&b, " tllao=%v", m.TargetLinkAddr)
		}
	}
	if !s.To.IsZero() {
		fmt.Fprint(&b, " via ", s.To)
	}
	return b.String()
}

func describeNeighbor(n Neighbor) string {
	s := fmt.Sprint(n.Addr, " ", n.State)
	if !n.LinkAddr.IsZero() {
		s += " " + n.LinkAddr.String()
	}
	if n.IsRouter {
		s += " router"
	}
	return s
}

// solicit is a Neighbor Solicitation that the host receives. Without a
// link-layer address it has no option.
func solicit(src, dst, target string, a LinkAddr) Solicited {
	return Solicited{
		Header{Src: addr(src), Dst: addr(dst), From: link(otherMAC)},
		&NeighborSolicit{Target: addr(target), SourceLinkAddr: a},
	}
}

// advert is a Neighbor Advertisement that the host receives; flags is made of
// R, S and O.
func advert(target, flags string, a LinkAddr) Advertised {
	return Advertised{
		Header{Src: addr(target), Dst: addr(hostLL), From: link(otherMAC)},
		&NeighborAdvert{
			Target: addr(target), TargetLinkAddr: a,
			Router:    strings.Contains(flags, "R"),
			Solicited: strings.Contains(flags, "S"),
			Override:  strings.Contains(flags, "O"),
		},
	}
}
