package tap_test

import (
	"strings"
	"testing"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

func BenchmarkDevice(b *testing.B) {
	for _, v := range variants {
		b.Run(v.name+"/write", func(b *testing.B) {
			d := openUp(b, quietNamespace(b), v.cfg)
			f := frame(nd.BroadcastLinkAddr, addrA, strings.Repeat("x", 1500))
			benchmarkWrite(b, d, stack.Frame{Data: [][]byte{f[:54], f[54:]}})
		})
		b.Run(v.name+"/read", func(b *testing.B) {
			ns := quietNamespace(b)
			d := openUp(b, ns, v.cfg)
			k := kernelSide(b, ns, "tap0", testEtherType, false)
			f := frame(d.LinkAddr(), addrA, strings.Repeat("x", 1486))
			benchmarkRead(b, d, k, f)
		})
	}
	b.Run("linux/write 64 KiB", func(b *testing.B) {
		d := openUp(b, quietNamespace(b), tap.Config{})
		f := segment(nd.BroadcastLinkAddr, d.LinkAddr(), largestPayload)
		var pieces [][]byte
		for rest := f; len(rest) > 0; rest = rest[min(4096, len(rest)):] {
			pieces = append(pieces, rest[:min(4096, len(rest))])
		}
		benchmarkWrite(b, d, stack.Frame{Data: pieces, Offload: wholeSegment})
	})
	b.Run("linux/read 64 KiB", func(b *testing.B) {
		ns := quietNamespace(b)
		d := openUp(b, ns, tap.Config{})
		k := kernelSide(b, ns, "tap0", etherTypeIPv6, true)
		benchmarkRead(b, d, k, append(vnet(), segment(d.LinkAddr(), addrA, largestPayload)...))
	})
}

func benchmarkWrite(b *testing.B, d *tap.Device, f stack.Frame) {
	frames := []stack.Frame{f}
	length := 0
	for _, p := range f.Data {
		length += len(p)
	}
	b.SetBytes(int64(length))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Write(frames); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkRead includes what the kernel does to send a frame.
func benchmarkRead(b *testing.B, d *tap.Device, k *kernelEnd, sent []byte) {
	const batch = 32
	r := room(batch, headerLen+65535)
	b.SetBytes(int64(len(sent)))
	b.ReportAllocs()
	for waiting := 0; b.Loop(); {
		if waiting == 0 {
			for range batch {
				k.send(sent)
			}
			waiting = batch
		}
		n, err := d.Read(r[:1])
		if err != nil {
			b.Fatal(err)
		}
		waiting -= n
	}
}
