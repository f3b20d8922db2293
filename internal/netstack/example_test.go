package netstack_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/tapstack/tapstack/internal/netstack"
)

// Two hosts whose links are a Go channel each.
func Example() {
	server, client := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	newHost := func(self netip.Addr, out chan<- []byte) *netstack.Host {
		h, err := netstack.New(netstack.Config{
			Name: "tap0",
			MTU:  1500,
			Output: func(p *netstack.Packet) error {
				var packet []byte
				for _, piece := range p.AppendSlices(nil) {
					packet = append(packet, piece...)
				}
				out <- packet
				return nil
			},
			Source: func(netip.Addr) (netip.Addr, error) { return self, nil },
		})
		if err != nil {
			panic(err)
		}
		if err := h.AddAddress(self); err != nil {
			panic(err)
		}
		return h
	}
	toClient, toServer := make(chan []byte, 100), make(chan []byte, 100)
	a, b := newHost(server, toClient), newHost(client, toServer)
	pump := func(h *netstack.Host, in <-chan []byte) {
		for packet := range in {
			h.DeliverBytes(packet)
		}
	}
	go pump(a, toServer)
	go pump(b, toClient)

	l, _ := a.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), 80))
	go func() {
		c, _ := l.Accept()
		fmt.Fprintf(c, "hello %v", c.RemoteAddr().String()[:13])
		c.Close()
	}()
	c, _ := b.DialTCP(context.Background(), netip.AddrPort{}, netip.AddrPortFrom(server, 80))
	greeting, _ := io.ReadAll(c)
	fmt.Println(string(greeting), "from", c.RemoteAddr())
	a.Close()
	b.Close()
	close(toClient)
	close(toServer)
	// Output: hello [2001:db8::2] from [2001:db8::1]:80
}
