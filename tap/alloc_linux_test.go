//go:build !race

package tap_test

import (
	"strings"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// The race detector has sync.Pool forget things, hence the build tag.
func TestDevice_FramesCostNoAllocation(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		b := frame(nd.BroadcastLinkAddr, addrA, strings.Repeat("x", 1000))
		out := []stack.Frame{{}}
		for rest := b; len(rest) > 0; rest = rest[min(50, len(rest)):] {
			out[0].Data = append(out[0].Data, rest[:min(50, len(rest))])
		}
		if n := testing.AllocsPerRun(100, func() { d.Write(out) }); n != 0 {
			t.Errorf("Write of a frame in %d pieces: %v allocations", len(out[0].Data), n)
		}
		in := room(1, 2048)
		if n := testing.AllocsPerRun(100, func() {
			k.send(b)
			d.Read(in)
		}); n != 0 {
			t.Errorf("Read: %v allocations", n)
		}
	})
}

func TestPipe_FramesCostNoAllocation(t *testing.T) {
	x, y := tap.Pipe(addrA, addrB, 1500)
	out := []stack.Frame{{Data: [][]byte{frame(addrB, addrA, "")}}}
	in := room(1, 100)
	if n := testing.AllocsPerRun(100, func() {
		x.Write(out)
		y.Read(in)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
