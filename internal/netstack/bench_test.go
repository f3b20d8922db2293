package netstack

import (
	"fmt"
	"io"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/waiter"
)

// BenchmarkTCP sends one way over one connection between two hosts in one
// process, through a wire that copies each frame twice.
func BenchmarkTCP(b *testing.B) {
	for _, bench := range []struct {
		name     string
		mtu, gso int
	}{{"plain1500", 1500, 0}, {"plain9000", 9000, 0}, {"offload", 1500, 65535}} {
		b.Run(bench.name, func(b *testing.B) {
			p := newPair(b, func(c *Config) { c.MTU, c.GSOMaxSize = bench.mtu, bench.gso })
			p.ab.quiet, p.ba.quiet = true, true
			client, server := p.connect(b, addrA, addrB)
			const chunk = 256 << 10
			buf := make([]byte, chunk)
			b.SetBytes(chunk)
			b.ResetTimer()
			go func() {
				for range b.N {
					client.Write(buf)
				}
				client.CloseWrite()
			}()
			got := make([]byte, chunk)
			for {
				if _, err := server.Read(got); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
			client.Close()
			server.Close()
		})
	}
}

// BenchmarkUDP sends datagrams into nothing, and receives them from nowhere.
func BenchmarkUDP(b *testing.B) {
	p := newPair(b)
	p.ab.quiet, p.ba.quiet = true, true
	b.Run("write", func(b *testing.B) {
		p.a.cfg.Output = func(*Packet) error { return nil }
		c := dialUDP(b, p.a, port(addrB, 53))
		data := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Write(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write unconnected", func(b *testing.B) {
		c := listenUDP(b, p.a, anyAddr)
		data := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.WriteToUDPAddrPort(data, port(addrB, 53)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("receive", func(b *testing.B) {
		c := listenUDP(b, p.b, port(unspecified, 53))
		frame := append(make([]byte, ethernetSize), ip(addrA, addrB, 64, protoUDP, udpMessage(port(addrA, 1), port(addrB, 53), make([]byte, 100)))...)
		rx := p.b.NewRxBuffer()
		got := make([]byte, 2000)
		b.ReportAllocs()
		for b.Loop() {
			fill(rx.Pieces(), frame)
			rx.Deliver(len(frame), false)
			if _, _, err := c.ReadMsg(got); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOutput is what a packet costs between gVisor and Config.Output: UDP
// and a TCP segment with data, without path MTUs and with one for every
// destination but theirs.
func BenchmarkOutput(b *testing.B) {
	p := newPair(b)
	client, _ := p.connect(b, addrA, addrB)
	kept := make(chan *Packet, 9)
	p.a.cfg.Output = func(pkt *Packet) error { kept <- pkt.Keep(); return nil }
	c := dialUDP(b, p.a, port(addrB, 53))
	c.Write(make([]byte, 1400))
	datagram := <-kept
	client.Write(make([]byte, 1400))
	segment := <-kept
	n := 0
	p.a.cfg.Output = func(pkt *Packet) error {
		var pieces [8][]byte
		pkt.PushEthernet(macB, macA)
		n += len(pkt.AppendSlices(pieces[:0]))
		return nil
	}
	for _, paths := range []int{0, 4096} {
		for k := range paths {
			p.a.paths.lower(pathDst(k), 1400)
		}
		for name, packet := range map[string]*Packet{"UDP": datagram, "TCP": segment} {
			b.Run(fmt.Sprintf("%s, %d paths", name, paths), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p.a.output(packet)
				}
			})
		}
	}
	p.a.paths.lower(addrB.As16(), 1300)
	b.Run("UDP, fragmented", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.a.output(datagram)
		}
	})
}

// BenchmarkProgress is what hints cost: at an event of gVisor and at an
// acknowledgment, when nobody wants them, and when this one was given.
func BenchmarkProgress(b *testing.B) {
	p := newPair(b, func(c *Config) { c.Progress = func(_, _ [16]byte, _ uint32) {} })
	client, server := p.connect(b, addrA, addrB)
	exchange(b, client, server)
	var ack []byte
	eventually(b, "an acknowledgment", func() bool {
		frames := p.ba.logged()
		ack = frames[len(frames)-1].packet()
		return header.TCP(ack[ipv6Size:]).Flags() == header.TCPFlagAck
	})
	for generation, name := range []string{"not wanted", "wanted, given"} {
		p.a.WantProgress(uint32(generation))
		client.reached()
		b.Run("event, "+name, func(b *testing.B) {
			for b.Loop() {
				client.noteEvents(waiter.EventIn)
			}
		})
		b.Run("acknowledgment, "+name, func(b *testing.B) {
			for b.Loop() {
				p.a.prepare(ack, true)
			}
		})
	}
}

func BenchmarkClassify(b *testing.B) {
	for name, packet := range map[string][]byte{
		"TCP":  ip(addrA, addrB, 64, protoTCP, make([]byte, 20)),
		"echo": icmpPacket(addrA, addrB, typeEchoRequest, 0, 0, nil),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Classify(packet)
			}
		})
	}
}

// BenchmarkAddresses adds and removes an address beside n others.
func BenchmarkAddresses(b *testing.B) {
	for _, bench := range []struct {
		name string
		n    int
	}{{"10", 10}, {"100000", 100e3}} {
		b.Run(bench.name, func(b *testing.B) {
			p := newPair(b)
			a := netip.MustParseAddr("2001:db8:1::").As16()
			for i := range bench.n {
				be.PutUint32(a[12:], uint32(i))
				if err := p.a.AddAddress(netip.AddrFrom16(a)); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if err := p.a.AddAddress(router); err != nil {
					b.Fatal(err)
				}
				if err := p.a.RemoveAddress(router, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
