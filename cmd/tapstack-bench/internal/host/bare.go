package host

import (
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// Bare is a host without a device, for what a packet costs above it. What it
// sends is dropped.
type Bare interface {
	Host
	// Feed delivers a packet n times and returns when all are delivered.
	Feed(packet []byte, n int)
	Close()
}

// BareTapstack is tapstack on a link that does nothing, with Peer a static
// neighbor.
func BareTapstack() (Bare, error) {
	link := &sink{feed: make(chan feed), closed: make(chan struct{})}
	s, i, err := NewTapstack(link)
	if err != nil {
		return nil, err
	}
	if err := own(i); err != nil {
		s.Close()
		return nil, err
	}
	return bareTapstack{tapstack{s}, link}, nil
}

// own gives an interface Own, and Peer as a static neighbor.
func own(i *stack.Interface) error {
	if err := i.AddRoute(stack.RouteConfig{Prefix: Prefix}); err != nil {
		return err
	}
	if err := i.SetNeighbor(Peer, PeerLinkAddr); err != nil {
		return err
	}
	return i.StartAddress(stack.AddressConfig{Prefix: netip.PrefixFrom(Own, Prefix.Bits())})
}

type bareTapstack struct {
	tapstack
	link *sink
}

func (b bareTapstack) Feed(packet []byte, n int) {
	frame := append(append(append([]byte{}, OwnLinkAddr[:]...), PeerLinkAddr[:]...), 0x86, 0xdd)
	f := feed{append(frame, packet...), n, make(chan struct{})}
	b.link.feed <- f
	<-f.done
}

func (b bareTapstack) Close() { b.stack.Close() }

// sink is a link that takes every frame and delivers what it is fed.
type sink struct {
	feed   chan feed
	now    feed
	closed chan struct{}
	once   sync.Once
}

type feed struct {
	frame []byte
	left  int
	done  chan struct{}
}

func (s *sink) Read(frames []stack.Frame) (int, error) {
	if s.now.left == 0 {
		if s.now.done != nil { // Read again: the last ones are delivered
			close(s.now.done)
		}
		select {
		case s.now = <-s.feed:
		case <-s.closed:
			return 0, net.ErrClosed
		}
	}
	n := min(len(frames), s.now.left)
	for k := range frames[:n] {
		rest := s.now.frame
		for _, piece := range frames[k].Data {
			rest = rest[copy(piece, rest):]
		}
		frames[k].Len, frames[k].Offload = len(s.now.frame), stack.FrameOffload{}
	}
	s.now.left -= n
	return n, nil
}

func (s *sink) Write(frames []stack.Frame) (int, error) { return len(frames), nil }
func (s *sink) Drained() bool                           { return true }
func (s *sink) LinkAddr() nd.LinkAddr                   { return OwnLinkAddr }
func (s *sink) MTU() int                                { return 1500 }
func (s *sink) Offload() stack.Offload                  { return stack.Offload{} }

func (s *sink) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// BareGVisor is gVisor on an endpoint that does nothing, not even Ethernet.
func BareGVisor() (Bare, error) {
	link := endpoint{channel.New(0, 1500, "")}
	s, err := newGVisor(link, ipv6.Options{})
	if err != nil {
		return nil, err
	}
	if err := address(s); err != nil {
		s.Destroy()
		return nil, err
	}
	return bareGVisor{gvisor{s}, link}, nil
}

type bareGVisor struct {
	gvisor
	link endpoint
}

// endpoint drops what it is to send, in place of queueing it.
type endpoint struct{ *channel.Endpoint }

func (endpoint) WritePackets(l gstack.PacketBufferList) (int, tcpip.Error) { return l.Len(), nil }

func (b bareGVisor) Feed(packet []byte, n int) {
	for range n {
		p := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
		b.link.InjectInbound(header.IPv6ProtocolNumber, p)
		p.DecRef()
	}
}

func (b bareGVisor) Close() { b.stack.Destroy() }

// Datagram is a UDP packet from Peer to a port of Own, with these data.
func Datagram(port uint16, data []byte) []byte {
	p := make([]byte, header.IPv6MinimumSize+header.UDPMinimumSize+len(data))
	length := uint16(header.UDPMinimumSize + len(data))
	src, dst := tcpip.AddrFrom16(Peer.As16()), tcpip.AddrFrom16(Own.As16())
	header.IPv6(p).Encode(&header.IPv6Fields{
		PayloadLength: length, TransportProtocol: header.UDPProtocolNumber, HopLimit: 64, SrcAddr: src, DstAddr: dst,
	})
	u := header.UDP(p[header.IPv6MinimumSize:])
	u.Encode(&header.UDPFields{SrcPort: 9, DstPort: port, Length: length})
	copy(u.Payload(), data)
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, length)
	u.SetChecksum(^checksum.Checksum(u, sum))
	return p
}
