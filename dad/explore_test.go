package dad

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// A move is one thing that can happen to one address.
type move struct {
	name string
	make func(*monitor) Event // nil: the next deadline
}

var moves = []move{
	{"deadline", nil},
	{"start", fixed(Start{Addr: tableAddr})},
	{"start first", fixed(Start{Addr: tableAddr, First: true})},
	{"start optimistic", fixed(Start{Addr: tableAddr, Mode: Optimistic})},
	{"start off", fixed(Start{Addr: tableAddr, Mode: Off})},
	{"stop", fixed(Stop{tableAddr})},
	{"accept", fixed(Accept{tableAddr})},
	{"send failed", fixed(SendFailed{tableAddr})},
	{"slower", fixed(SetRetransTimer{3 * time.Second})},
	{"echo of the first", func(p *monitor) Event { return solicit("::", tableAddr, ownNonce(p, true), ownMAC) }},
	{"echo of the last", func(p *monitor) Event { return solicit("::", tableAddr, ownNonce(p, false), ownMAC) }},
	{"foreign probe", fixed(solicit("::", tableAddr, nonce(0xffff), other))},
	{"probe without nonce", fixed(solicit("::", tableAddr, "", ownMAC))},
	{"resolution", fixed(solicit(peerAddr.String(), tableAddr, "", other))},
	{"advertisement", fixed(advert(nd.AllNodes, tableAddr, other))},
	{"unicast advertisement", fixed(advert(tableAddr, tableAddr, other))},
}

func fixed(ev Event) func(*monitor) Event { return func(*monitor) Event { return ev } }

// ownNonce is that of the first or the last probe of the test.
func ownNonce(p *monitor, first bool) nd.Nonce {
	o := p.addrs[tableAddr]
	switch {
	case o == nil || len(o.nonces) == 0:
		return ""
	case first:
		return o.nonces[0]
	}
	return o.nonces[len(o.nonces)-1]
}

// half is always in the middle.
type half struct{ script }

func (*half) Between(lo, hi time.Duration) time.Duration { return (lo + hi) / 2 }

// All that can happen to one address in nine moves, 100 ms apart but for the
// deadlines, keeps the rules of monitor. Histories that lead to the same state
// of machine and monitor have the same future, so that one of them is enough.
func TestExploreOneAddress(t *testing.T) {
	const depth = 9
	for _, cfg := range []Config{
		{LinkAddr: ownMAC},
		{LinkAddr: ownMAC, DupAddrDetectTransmits: 2, NoNonce: true, DelayProbeOnly: true, AcceptUnicastDst: true},
		{LinkAddr: ownMAC, DupAddrDetectTransmits: 3, NoNonce: true, Loopback: LoopbackEchoes},
		{LinkAddr: ownMAC, DupAddrDetectTransmits: 2, NoNonce: true, Loopback: LoopbackUnknown},
		{LinkAddr: ownMAC, DupAddrDetectTransmits: NoTransmits},
	} {
		t.Run(fmt.Sprintf("%+v", cfg), func(t *testing.T) {
			seen := make(map[string]bool)
			histories := [][]int{nil}
			for range depth {
				var longer [][]int
				for _, h := range histories {
					for i := range moves {
						next := append(slices.Clip(h), i)
						if print := playMoves(t, cfg, next); !seen[print] {
							seen[print] = true
							longer = append(longer, next)
						}
					}
				}
				histories = longer
			}
			t.Logf("%d states", len(seen))
		})
	}
}

// playMoves plays a history and returns all of its end that bears on the
// future.
func playMoves(t *testing.T, cfg Config, history []int) string {
	t.Helper()
	p := newMonitor(cfg, new(half))
	for _, i := range history {
		var err error
		if moves[i].make != nil {
			_, err = p.step(p.now.Add(100*time.Millisecond), moves[i].make(p))
		} else if due, ok := p.m.Deadline(); ok {
			_, err = p.until(due)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, p.log.String())
		}
	}
	print := fmt.Sprint(p.retrans, p.m.cfg.RetransTimer, p.m.State(tableAddr))
	if o := p.addrs[tableAddr]; o != nil {
		seen := *o
		seen.nonces = nil
		seen.at, seen.due = sinceNow(p, o.at), sinceNow(p, o.due)
		print += fmt.Sprintf(" %+v", seen)
		if trial := p.m.trials[tableAddr.As16()]; trial != nil {
			own := *trial
			own.nonces = nil
			due, _ := p.m.Deadline()
			print += fmt.Sprintf(" %+v %v", own, due.Sub(p.now))
			for _, n := range trial.nonces {
				print += fmt.Sprint(" ", slices.Index(o.nonces, n))
			}
		}
	}
	return print
}

// sinceNow makes times comparable between histories; what was long ago is over.
func sinceNow(p *monitor, t time.Time) time.Time {
	return time.Time{}.Add(max(t.Sub(p.now), -2*time.Second))
}
