package stack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

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
			i, _ := sinkInterface(b)
			frames := solicitationsFrom(sources)
			const batch = 8
			next := 0
			answer := func() {
				if next += batch; next+batch > len(frames) {
					next = 0
				}
				for !i.loop.fromReader(time.Now(), frames[next:min(next+batch, len(frames))]) {
					time.Sleep(time.Millisecond)
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
