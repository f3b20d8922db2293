package stack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// solicitationsFrom returns a Neighbor Solicitation for an address of
// sinkInterface from each of n nodes.
func solicitationsFrom(n int) [][]byte {
	own := netip.MustParseAddr("2001:db8::1")
	frames := make([][]byte, n)
	for k := range frames {
		src, mac := own.As16(), nd.LinkAddr{2, 9}
		binary.BigEndian.PutUint32(src[8:], uint32(k+1))
		binary.BigEndian.PutUint32(mac[2:], uint32(k+1))
		frames[k] = ndFrame(mac, netip.AddrFrom16(src), nd.SolicitedNode(own), &nd.NeighborSolicit{Target: own, SourceLinkAddr: mac})
	}
	return frames
}

// BenchmarkAnswer is a Neighbor Solicitation for an own address from the reader
// to the link: from one node, or from more than the Neighbor Cache has room
// for.
func BenchmarkAnswer(b *testing.B) {
	for _, sources := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("%d sources", sources), func(b *testing.B) {
			i := restingInterface(b, newSink())
			frames := solicitationsFrom(sources)
			const batch = 8
			next := 0
			answer := func() {
				if next += batch; next+batch > len(frames) {
					next = 0
				}
				if !i.loop.fromReader(time.Now(), frames[next:min(next+batch, len(frames))]) {
					b.Fatal("the reader did not get its turn")
				}
			}
			for range 2 * sources / batch {
				answer()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for k := 0; k < b.N; k += min(batch, sources) {
				answer()
			}
		})
	}
}

// recorder is a sink that remembers whom it sent frames to.
type recorder struct {
	*sink
	to []nd.LinkAddr
}

func (r *recorder) Write(frames []Frame) (int, error) {
	for _, f := range frames {
		r.to = append(r.to, nd.LinkAddr(f.Data[0][:6]))
	}
	return len(frames), nil
}

// restingInterface is an interface with 2001:db8::1/64 on link, whose loop does
// not run.
func restingInterface(t testing.TB, link Link) *Interface {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	i, err := newInterface(s, "tap0", 1, link, InterfaceConfig{NoLinkLocal: true, NoRouters: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.host.Close() })
	now := time.Now()
	i.loop.execute(i.core.Step(now, LinkUp{}))
	i.loop.execute(i.core.Step(now, AddAddresses{[]AddRequest{{AddressConfig: AddressConfig{
		Prefix: netip.MustParsePrefix("2001:db8::1/64"), DAD: dad.Off,
	}}}}))
	for at, ok := i.core.Deadline(); ok; at, ok = i.core.Deadline() { // the reports of MLD
		i.loop.execute(i.core.Advance(at))
	}
	return i
}

// What the reader hands over itself comes behind what has waited, and leaves in
// one go; a part of too much that waits is left to the loop.
func TestReaderHandsOverInOrder(t *testing.T) {
	r := &recorder{sink: newSink()}
	i := restingInterface(t, r)
	r.to = nil
	frames := solicitationsFrom(readerTurn + 10)
	i.loop.turn.Lock()
	if i.loop.fromReader(time.Now(), frames[:1]) {
		t.Error("the reader took the turn of the loop")
	}
	i.inbox.putFrames(time.Now(), frames[:2])
	i.loop.turn.Unlock()
	if !i.loop.fromReader(time.Now(), frames[2:5]) {
		t.Error("the loop is at rest, but the frames were not taken")
	}
	var want []nd.LinkAddr
	for _, f := range frames[:5] {
		want = append(want, nd.LinkAddr(f[6:12]))
	}
	if diff := cmp.Diff(want, r.to); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}

	r.to = nil
	i.loop.turn.Lock()
	i.inbox.putFrames(time.Now(), frames)
	i.loop.turn.Unlock()
	if i.loop.fromReader(time.Now(), frames[:1]) || len(r.to) != readerTurn {
		t.Errorf("%d frames were answered on the reader's time, want %d", len(r.to), readerTurn)
	}
}

// A frame that has waited is still what it was when others were answered since.
func TestFramesOfAStepStay(t *testing.T) {
	i := restingInterface(t, newSink())
	const frames = 2 * maxSpareSends
	var kept, copies [][]byte
	for _, f := range solicitationsFrom(frames) {
		for _, act := range i.core.receiveFrame(time.Now(), f) {
			if s, ok := act.(*Send); ok {
				kept, copies = append(kept, s.Frame), append(copies, bytes.Clone(s.Frame))
			}
		}
	}
	if diff := cmp.Diff(copies, kept); diff != "" || len(kept) != frames {
		t.Errorf("%d frames (-want +got):\n%s", len(kept), diff)
	}
}

// The answer to a solicitation leaves no garbage.
func TestAnswerAllocatesNothing(t *testing.T) {
	i := restingInterface(t, newSink())
	frames := solicitationsFrom(8)
	allocs := testing.AllocsPerRun(100, func() {
		for _, f := range frames {
			i.loop.queue(i.core.receiveFrame(time.Now(), f))
		}
		i.loop.settle()
	})
	if allocs != 0 {
		t.Errorf("%v allocations for %d answers", allocs, len(frames))
	}
}
