package host

import (
	"context"
	"net"
	"net/netip"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// tapstack is this project's stack.
type tapstack struct{ stack *stack.Stack }

func openTapstack(cfg tap.Config) (Host, error) {
	dev, err := tap.Open(cfg)
	if err != nil {
		return nil, err
	}
	if err := dev.SetUp(); err != nil {
		dev.Close()
		return nil, err
	}
	s, i, err := NewTapstack(dev)
	if err != nil {
		return nil, err
	}
	err = i.AddAddress(context.Background(), stack.AddressConfig{Prefix: netip.PrefixFrom(Own, Prefix.Bits()), OnLink: Prefix})
	if err != nil {
		s.Close()
		return nil, err
	}
	return tapstack{s}, nil
}

// NewTapstack attaches a stack to a link. It tests no address and looks for no
// routers, so that nothing but what is measured is on the link.
func NewTapstack(link stack.Link) (*stack.Stack, *stack.Interface, error) {
	profile := stack.Current()
	if err := profile.Set("dad_transmits", "0"); err != nil {
		return nil, nil, err
	}
	return attach(link, stack.InterfaceConfig{Profile: profile, NoRouters: true, NoLinkLocal: true})
}

func attach(link stack.Link, cfg stack.InterfaceConfig) (*stack.Stack, *stack.Interface, error) {
	s, err := stack.New(stack.Config{})
	if err != nil {
		link.Close()
		return nil, nil, err
	}
	i, err := s.Attach(DeviceName, link, cfg)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, i, nil
}

// NewTesting attaches a stack that tests its addresses to a cable that nobody
// is at the other end of. The random delay at its start is over (RFC 4862,
// section 5.4.2).
func NewTesting() (*stack.Stack, *stack.Interface, error) {
	link, peer := tap.Pipe(nd.LinkAddr(OwnLinkAddr), nd.LinkAddr(PeerLinkAddr), 1500)
	peer.Close()
	s, i, err := attach(link, stack.InterfaceConfig{NoRouters: true, NoLinkLocal: true})
	if err != nil {
		return nil, nil, err
	}
	if err := i.AddAddress(context.Background(), stack.AddressConfig{Prefix: netip.PrefixFrom(Own, Prefix.Bits())}); err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, i, nil
}

func (t tapstack) DialTCP(to netip.AddrPort) (net.Conn, error) {
	return t.stack.DialContext(context.Background(), "tcp", to.String())
}

func (t tapstack) DialUDP(to netip.AddrPort) (net.Conn, error) {
	return t.stack.DialContext(context.Background(), "udp", to.String())
}

func (t tapstack) ListenUDP(port uint16) (net.PacketConn, error) {
	return t.stack.ListenPacket("udp", netip.AddrPortFrom(Own, port).String())
}
