package services

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/tapstack/tapstack/stack"
)

// On is the Network of a Stack.
func On(s *stack.Stack) Network { return network{s} }

type network struct{ *stack.Stack }

// ListenPacket serves the port of address on every assigned address.
func (n network) ListenPacket(_, address string) (PacketConn, error) {
	_, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, err
	}
	c := &perAddress{
		stack: n.Stack, port: uint16(port), events: n.Subscribe(), received: make(chan received),
		done: make(chan struct{}), sockets: make(map[netip.Addr]*stack.PacketConn),
	}
	c.sync()
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.running.Go(func() { c.follow(ctx) })
	return c, nil
}

// maxSockets bounds the addresses on which one service answers datagrams.
const maxSockets = 1024

// perAddress has a socket for each assigned address, for a socket on the
// unspecified address does not tell where a datagram was sent, and so could
// not answer from there.
type perAddress struct {
	stack    *stack.Stack
	port     uint16
	events   *stack.Subscription
	received chan received
	done     chan struct{}
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	sockets map[netip.Addr]*stack.PacketConn
}

// received is one datagram.
type received struct {
	data []byte
	from netip.AddrPort
	to   netip.Addr
}

// follow opens and closes sockets as addresses come and go.
func (c *perAddress) follow(ctx context.Context) {
	for e := range c.events.All(ctx) {
		switch e.Type {
		case stack.AddressAssigned:
			c.open(zoned(e.Address, e.Interface))
		case stack.AddressRemoved, stack.AddressDuplicate, stack.AddressTentative:
			c.shut(zoned(e.Address, e.Interface))
		case stack.LinkIsDown, stack.IPv6Disabled, stack.Lost:
			c.sync()
		}
	}
}

// zoned is a with the zone that it needs.
func zoned(a netip.Addr, iface string) netip.Addr {
	if a.IsLinkLocalUnicast() {
		return a.WithZone(iface)
	}
	return a.WithZone("")
}

// sync makes the sockets those of the addresses that are assigned now.
func (c *perAddress) sync() {
	assigned := make(map[netip.Addr]bool)
	for _, i := range c.stack.Interfaces() {
		for _, a := range i.Addresses() {
			if a.State != stack.Tentative {
				assigned[zoned(a.Prefix.Addr(), i.Name())] = true
			}
		}
	}
	c.mu.Lock()
	var gone []netip.Addr
	for a := range c.sockets {
		if !assigned[a] {
			gone = append(gone, a)
		}
	}
	c.mu.Unlock()
	for _, a := range gone {
		c.shut(a)
	}
	for a := range assigned {
		c.open(a)
	}
}

// open makes the socket of an address. One that cannot be made is done
// without: the address is gone again.
func (c *perAddress) open(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.sockets[a] != nil || len(c.sockets) == maxSockets {
		return
	}
	s, err := c.stack.ListenPacket("udp6", netip.AddrPortFrom(a, c.port).String())
	if err != nil {
		return
	}
	c.sockets[a] = s
	c.running.Go(func() { c.receive(s, a) })
}

func (c *perAddress) shut(a netip.Addr) {
	c.mu.Lock()
	s := c.sockets[a]
	delete(c.sockets, a)
	c.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// receive passes on what comes in for one address, until its socket is closed.
func (c *perAddress) receive(s *stack.PacketConn, to netip.Addr) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		select {
		case c.received <- received{append([]byte(nil), buf[:n]...), from, to}:
		case <-c.done:
			return
		}
	}
}

func (c *perAddress) Receive(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	select {
	case r := <-c.received:
		return copy(b, r.data), r.from, r.to, nil
	case <-c.done:
		return 0, netip.AddrPort{}, netip.Addr{}, net.ErrClosed
	}
}

func (c *perAddress) Reply(b []byte, local netip.Addr, to netip.AddrPort) error {
	c.mu.Lock()
	s := c.sockets[local]
	c.mu.Unlock()
	if s == nil {
		return net.ErrClosed
	}
	_, err := s.WriteToUDPAddrPort(b, to)
	return err
}

func (c *perAddress) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	all := c.sockets
	c.sockets = nil
	c.mu.Unlock()
	close(c.done)
	c.cancel()
	for _, s := range all {
		s.Close()
	}
	c.running.Wait()
	c.events.Close()
	return nil
}
