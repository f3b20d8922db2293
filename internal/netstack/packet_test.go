package netstack

import (
	"bytes"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"

	"github.com/tapstack/tapstack/nd"
)

func bufferOf(b []byte) buffer.Buffer { return buffer.MakeWithData(b) }

func (p *Packet) join() []byte { return bytes.Join(p.AppendSlices(nil), nil) }

// TestKeep: a kept packet has the same octets as the borrowed one, takes an
// Ethernet header of its own time, and outlives it.
func TestKeep(t *testing.T) {
	p := newPair(t, func(c *Config) { c.GSOMaxSize = 65536 })
	client, _ := p.connect(t, addrA, addrB)
	type pairOf struct {
		kept    *Packet
		want    []byte
		offload Offload
		src     [16]byte
		dst     [16]byte
		flow    uint32
		len     int
	}
	kept := make(chan pairOf, 100)
	p.a.cfg.Output = func(pkt *Packet) error {
		k := pairOf{want: pkt.join(), offload: pkt.Offload(), src: pkt.Src(), dst: pkt.Dst(), flow: pkt.Flow(), len: pkt.Len()}
		k.kept = pkt.Keep()
		k.kept.PushEthernet(macA, macB)
		if !bytes.Equal(pkt.join(), k.want) {
			t.Error("the borrowed packet has changed")
		}
		kept <- k
		return nil
	}
	c := dialUDP(t, p.a, port(addrB, 53))
	c.Write([]byte("hello"))
	c.Write(make([]byte, 3000)) // 3 fragments
	client.Write(make([]byte, 100))
	client.Write(make([]byte, 10000))
	ping, _ := p.a.ListenPing(netip.Addr{})
	ping.Send(addrB, 1, 0, []byte("hello"))
	p.a.sendICMPv6(addrA, addrB, [4]byte{typeEchoReply}, 0, []byte("hello"), 0)
	segments, checksums := 0, 0
	for range 7 {
		k := <-kept
		for i, mac := range []nd.LinkAddr{macA, macB} { // the second overwrites
			k.kept.PushEthernet(mac, macB)
			header := append(append(bytes.Clone(mac[:]), macB[:]...), 0x86, 0xdd)
			if got, want := k.kept.join(), append(header, k.want...); !bytes.Equal(got, want) {
				t.Errorf("push %d:\n%x, want\n%x", i, got[:60], want[:60])
			}
		}
		if k.kept.Offload() != k.offload || k.kept.Src() != k.src || k.kept.Dst() != k.dst || k.kept.Flow() != k.flow {
			t.Error("the kept packet differs")
		}
		if k.kept.Len() != k.len+ethernetSize {
			t.Errorf("%d octets with Ethernet header, want %d", k.kept.Len(), k.len+ethernetSize)
		}
		if k.offload.SegmentSize > 0 {
			segments++
			if !k.offload.NeedsChecksum || k.offload.ChecksumStart != 54 || k.offload.ChecksumOffset != 16 ||
				k.offload.HeaderLen != 54+32 || int(k.offload.HeaderLen)-ethernetSize+int(k.offload.SegmentSize) > 1500 {
				t.Errorf("offload %+v", k.offload)
			}
		}
		if k.offload.NeedsChecksum {
			checksums++
		}
		again := k.kept.Keep()
		k.kept.Release()
		if !bytes.Equal(again.join()[ethernetSize:], k.want) {
			t.Error("a packet kept twice differs")
		}
		again.Release()
	}
	if segments != 1 || checksums != 2 {
		t.Errorf("%d packets to segment, %d to complete the checksum of, want 1, 2", segments, checksums)
	}
}

// TestFlowLabels: one flow has one label, others have others, and a host
// without them sends 0.
func TestFlowLabels(t *testing.T) {
	p := newPair(t)
	p.ab.setFilter(func(wireFrame) bool { return false })
	label := func(c *UDPConn, to uint16) uint32 {
		p.ab.forget()
		if _, err := c.WriteToUDPAddrPort([]byte("x"), port(addrB, to)); err != nil {
			t.Fatal(err)
		}
		return be.Uint32(p.ab.logged()[0].packet())
	}
	c := listenUDP(t, p.a, anyAddr)
	first := label(c, 1)
	if first&0xfffff == 0 || first>>20 != 0x600 {
		t.Errorf("first word %#x", first)
	}
	if again := label(c, 1); again != first {
		t.Errorf("%#x, then %#x", first, again)
	}
	if other := label(c, 2); other == first {
		t.Errorf("two flows with label %#x", other)
	}
	q := newPair(t, func(c *Config) { c.NoFlowLabel = true })
	c = dialUDP(t, q.a, port(addrB, 1))
	c.Write([]byte("x"))
	if word := be.Uint32(q.ab.logged()[0].packet()); word != 0x60000000 {
		t.Errorf("first word %#x without flow labels", word)
	}
}

// TestOutputAllocations: a packet on its way out costs no memory here, with
// path MTUs neither.
func TestOutputAllocations(t *testing.T) {
	p := newPair(t)
	client, _ := p.connect(t, addrA, addrB)
	c := dialUDP(t, p.a, port(addrB, 53))
	packets := make(chan *Packet, 9)
	p.a.cfg.Output = func(pkt *Packet) error { packets <- pkt.Keep(); return nil }
	c.Write(make([]byte, 1400))
	client.Write(make([]byte, 1400))
	total := 0
	p.a.cfg.Output = func(pkt *Packet) error {
		var pieces [8][]byte
		pkt.PushEthernet(macB, macA)
		for _, b := range pkt.AppendSlices(pieces[:0]) {
			total += len(b)
		}
		src, dst, o := pkt.Src(), pkt.Dst(), pkt.Offload()
		total += int(src[0]) + int(dst[0]) + int(o.HeaderLen) + pkt.Len()
		return nil
	}
	datagram, segment := <-packets, <-packets
	for range 3 {
		for _, kept := range []*Packet{datagram, segment} {
			if n := testing.AllocsPerRun(100, func() { p.a.output(kept) }); n != 0 {
				t.Errorf("%v allocations, next header %d, %d path MTUs", n, kept.NextHeader(), p.a.paths.count.Load())
			}
		}
		p.a.paths.lower(router.As16(), 1300)
		p.a.paths.lower(addrB.As16(), 1490)
		p.a.WantProgress(1)
	}
	datagram.Release()
	segment.Release()
}
