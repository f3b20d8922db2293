package conformance

import (
	"context"
	"encoding/binary"
	"testing"
	"time"
)

// A capture can hold anything: neither judge panics, and what they keep is
// bounded. The octets are frames, each behind its length and how much later it
// comes.
func FuzzJudges(f *testing.F) {
	for _, c := range scenarios(f)[:40] {
		r := playCase(context.Background(), c, CoreDriver{}, "rfc4862", Random)
		var b []byte
		last := time.Duration(0)
		for _, ev := range r.Trace {
			if len(ev.Frame) == 0 {
				continue
			}
			b = binary.BigEndian.AppendUint16(b, uint16(len(ev.Frame)))
			b = binary.BigEndian.AppendUint16(b, uint16((ev.At-last)/time.Millisecond))
			b, last = append(b, ev.Frame...), ev.At
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := NewCheck(CheckConfig{})
		oracle, err := NewOracle(Setup{Profile: "rfc4862", LinkAddr: HostLinkAddr}, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oracle.Do(0, Command{Op: "up"}); err != nil {
			t.Fatal(err)
		}
		at := time.Duration(0)
		for len(b) >= 4 {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-4)
			at += time.Duration(binary.BigEndian.Uint16(b[2:])) * time.Millisecond
			check.Saw(at, b[4:4+n], true)
			oracle.Saw(at, b[4:4+n])
			b = b[4+n:]
		}
		oracle.Silent(at + time.Hour)
		for _, h := range check.Hosts() {
			if len(h.Departures) > maxDepartures || len(h.Open) > maxOpen+maxCheckedAddresses+4 {
				t.Fatalf("%d departures, %d open", len(h.Departures), len(h.Open))
			}
		}
		if len(oracle.past) > maxPast || len(oracle.front.due) > maxDue || len(oracle.told) > maxDepartures {
			t.Fatalf("the oracle keeps %d, %d and %d", len(oracle.past), len(oracle.front.due), len(oracle.told))
		}
	})
}

// manyFrames is a day of a host on a link with a router, which queries and
// advertises, and neighbors that ask for it.
func manyFrames(tb testing.TB, n int) (frames []Event) {
	target, err := CoreDriver{}.Open(Setup{Profile: "rfc4862", LinkAddr: HostLinkAddr, Chance: Random})
	if err != nil {
		tb.Fatal(err)
	}
	ns := newNames(HostLinkAddr)
	if err := target.Do(Command{Op: "up"}); err != nil {
		tb.Fatal(err)
	}
	said := [][]string{
		{"TR1", "query", "maxresp=1000"}, {"TN1", "ns", "target=HOST"}, {"TN2", "ns", "target=HOST"}, {"TR1", "ra", "prefix=P1"}, {"TN3", "ns", "target=HOST", "src=::"},
	}
	for i := 0; len(frames) < n; i++ {
		words := said[i%len(said)]
		var fields []field
		for _, w := range words[2:] {
			fields = append(fields, parseField(w))
		}
		built, err := build(ns, must(nodeByName(words[0])), words[1], fields, nil)
		if err != nil {
			tb.Fatal(err)
		}
		now := target.Now()
		frames = append(frames, Event{At: now, What: Received, Frame: built[0]})
		if err := target.Send(built[0]); err != nil {
			tb.Fatal(err)
		}
		for {
			f, ok, err := target.Next(now + 700*time.Millisecond)
			if err != nil {
				tb.Fatal(err)
			}
			if !ok {
				break
			}
			frames = append(frames, Event{At: f.At, What: Sent, Frame: f.Data})
		}
	}
	return frames[:n]
}

// The cost of a frame does not grow with how many came before.
func BenchmarkJudges(b *testing.B) {
	frames := manyFrames(b, 100_000)
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			c := NewCheck(CheckConfig{Profile: "rfc4862"})
			for _, f := range frames {
				c.Saw(f.At, f.Frame, true)
			}
			for _, h := range c.Hosts() {
				if h.LinkAddr == HostLinkAddr.String() && len(h.Departures) > 0 {
					b.Fatal(h.Departures[0])
				}
			}
		}
	})
	for _, n := range []int{10_000, 100_000} {
		b.Run("oracle", func(b *testing.B) {
			for b.Loop() {
				o, err := NewOracle(Setup{Profile: "rfc4862", LinkAddr: HostLinkAddr}, 0)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := o.Do(0, Command{Op: "up"}); err != nil {
					b.Fatal(err)
				}
				for _, f := range frames[:n] {
					if d := o.Saw(f.At, f.Frame); d != nil {
						b.Fatal(d)
					}
				}
			}
		})
	}
}
