package stack

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/mld"
)

// PacketConn is an unconnected UDP socket, on one address or on every address
// of every interface. All methods may be called from any goroutine.
type PacketConn struct {
	stack    *Stack
	received chan *datagram
	stop     chan struct{}
	stopOnce sync.Once
	running  sync.WaitGroup
	read     readDeadline

	mu      sync.Mutex
	members map[*Interface]*packetMember
	bound   netip.AddrPort
	write   time.Time

	groups socketGroups
}

// packetMember is the endpoint of a PacketConn on one interface.
type packetMember struct {
	*netstack.UDPConn
	groups *groupView              // which the socket has joined there
	joined map[netip.Addr]struct{} // the same, for socketGroups.mu
}

// datagram is one that was received.
type datagram struct {
	data []byte
	from netip.AddrPort
	to   netip.Addr
	err  error
}

// maxReceived bounds the datagrams that wait for a reader beyond the sockets'
// own buffers.
const maxReceived = 256

// ListenPacket opens a UDP socket. The network is udp or udp6; the address is
// as for Listen. Errors are *net.OpError.
func (s *Stack) ListenPacket(network, address string) (*PacketConn, error) {
	tcp, err := transport(network)
	if err == nil && tcp {
		err = net.UnknownNetworkError(network)
	}
	var local netip.AddrPort
	if err == nil {
		local, err = parseLocal(address)
	}
	var c *PacketConn
	if err == nil {
		c, err = s.listenPacket(local)
	}
	if err != nil {
		return nil, listenError(network, address, err)
	}
	return c, nil
}

func (s *Stack) listenPacket(local netip.AddrPort) (*PacketConn, error) {
	c := &PacketConn{
		stack: s, received: make(chan *datagram, maxReceived), stop: make(chan struct{}),
		members: make(map[*Interface]*packetMember), bound: local, read: newReadDeadline(),
	}
	c.groups.holder = mld.Holder{Kind: mld.HolderSocket, ID: s.lastSocket.Add(1)}
	if local.Addr().IsUnspecified() && local.Addr().Zone() == "" {
		if err := s.openWildcard(c, local.Port()); err != nil {
			return nil, err
		}
		return c, nil
	}
	find := s.local
	if local.Addr().IsMulticast() {
		find = s.route
	}
	i, err := find(local.Addr())
	if err != nil {
		return nil, err
	}
	if _, err := c.open(i, local.Port()); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *PacketConn) open(i *Interface, port uint16) (uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn, err := i.host.ListenUDP(netip.AddrPortFrom(c.bound.Addr().WithZone(""), port))
	if err != nil {
		return port, err
	}
	if err := conn.SetWriteDeadline(c.write); err != nil {
		return port, errors.Join(err, conn.Close())
	}
	member := &packetMember{conn, newGroupView(), make(map[netip.Addr]struct{})}
	conn.SetMulticastFilter(c.groups.filter(i, member))
	conn.SetMulticastLoopback(!c.groups.noLoopback)
	got := member.LocalAddr().(*net.UDPAddr).Port
	c.bound = netip.AddrPortFrom(c.bound.Addr(), uint16(got))
	c.members[i] = member
	c.running.Go(func() { c.receiveFrom(conn) })
	return uint16(got), nil
}

// receiveFrom queues what one interface's endpoint receives.
func (c *PacketConn) receiveFrom(member *netstack.UDPConn) {
	buffer := make([]byte, 65536)
	for {
		n, meta, err := member.ReadMsg(buffer)
		if errors.Is(err, net.ErrClosed) {
			if !c.isWildcard() { // there is no other: the interface is closed
				c.stopOnce.Do(func() { close(c.stop) })
			}
			return
		}
		d := &datagram{from: meta.Remote, to: meta.Local, err: err}
		if err == nil {
			d.data = append(d.data, buffer[:n]...)
		}
		select {
		case c.received <- d:
		case <-c.stop:
			return
		}
	}
}

// isWildcard reports whether the socket is on every interface.
func (c *PacketConn) isWildcard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bound.Addr().IsUnspecified() && c.bound.Addr().Zone() == ""
}

func (c *PacketConn) port() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bound.Port()
}

func (c *PacketConn) reset() {
	c.mu.Lock()
	members := c.members
	c.members = make(map[*Interface]*packetMember)
	c.mu.Unlock()
	for _, m := range members {
		m.Close()
	}
}

func (c *PacketConn) shut() {
	c.stopOnce.Do(func() { close(c.stop) })
	c.leaveAll()
	c.reset()
	c.running.Wait()
}

// Close closes the socket, leaves its groups and unblocks its readers.
func (c *PacketConn) Close() error {
	select {
	case <-c.stop:
		return c.opError("close", nil, net.ErrClosed)
	default:
	}
	c.stack.closeWildcard(c)
	c.shut()
	return nil
}

func (c *PacketConn) opError(op string, to net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Addr: to, Err: err}
}

// ReadFromUDPAddrPort waits for a datagram and copies as much of it as fits
// into b.
func (c *PacketConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, _, err := c.ReadPacket(b)
	return n, from, err
}

// ReadPacket is ReadFromUDPAddrPort that tells as well to which address the
// datagram was sent: one of the interface's, or a group.
func (c *PacketConn) ReadPacket(b []byte) (n int, from netip.AddrPort, to netip.Addr, err error) {
	fail := func(err error) (int, netip.AddrPort, netip.Addr, error) {
		return 0, netip.AddrPort{}, netip.Addr{}, c.opError("read", nil, err)
	}
	expired := c.read.channel()
	select {
	case <-expired:
		return fail(os.ErrDeadlineExceeded)
	default:
	}
	select {
	case d := <-c.received:
		return copy(b, d.data), d.from, d.to, d.err
	case <-c.stop:
		return fail(net.ErrClosed)
	case <-expired:
		return fail(os.ErrDeadlineExceeded)
	}
}

// WriteToUDPAddrPort sends b to an address. The source is the socket's
// address, or else chosen by RFC 6724.
func (c *PacketConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return c.WritePacket(b, netip.Addr{}, to)
}

// WritePacket is WriteToUDPAddrPort with a source, which must be an assigned
// address; the zero Addr leaves the choice to RFC 6724. A server answers from
// the address that ReadPacket told.
func (c *PacketConn) WritePacket(b []byte, source netip.Addr, to netip.AddrPort) (int, error) {
	member, err := c.member(source, to.Addr())
	if err != nil {
		return 0, c.opError("write", net.UDPAddrFromAddrPort(to), err)
	}
	meta := netstack.Meta{Local: source.WithZone(""), Remote: netip.AddrPortFrom(to.Addr().WithZone(""), to.Port())}
	if to.Addr().IsMulticast() {
		meta.HopLimit = uint8(c.groups.hopLimit.Load())
	}
	return member.WriteMsg(b, meta)
}

// member picks the endpoint of the interface that holds source, or else
// reaches dst.
func (c *PacketConn) member(source, dst netip.Addr) (*packetMember, error) {
	select {
	case <-c.stop:
		return nil, net.ErrClosed
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.bound.Addr().IsUnspecified() {
		for _, m := range c.members {
			return m, nil
		}
	}
	var i *Interface
	var err error
	switch out := c.groups.out; {
	case out != nil && dst.IsMulticast() && dst.Zone() == "":
		i = out
	case source.IsValid():
		i, err = c.stack.local(source)
	default:
		i, err = c.stack.route(dst)
	}
	if err != nil {
		return nil, err
	}
	m, ok := c.members[i]
	if !ok {
		return nil, net.ErrClosed
	}
	return m, nil
}

// ReadFrom implements net.PacketConn; the address is a *net.UDPAddr.
func (c *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo implements net.PacketConn; the address must be a *net.UDPAddr.
func (c *PacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok || a.IP.To4() != nil || len(a.IP) != net.IPv6len {
		return 0, c.opError("write", to, &net.AddrError{Err: "not an IPv6 UDP address", Addr: to.String()})
	}
	return c.WriteToUDPAddrPort(b, a.AddrPort())
}

// LocalAddr is the address that the socket is bound to, a *net.UDPAddr.
func (c *PacketConn) LocalAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return net.UDPAddrFromAddrPort(c.bound)
}

// SetDeadline sets both deadlines.
func (c *PacketConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads, those in progress too; the zero time means
// never.
func (c *PacketConn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return nil
}

// SetWriteDeadline bounds writes; the zero time means never.
func (c *PacketConn) SetWriteDeadline(t time.Time) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	for _, m := range c.members {
		err = errors.Join(err, m.SetWriteDeadline(t))
	}
	return err
}

// readDeadline is a deadline that readers can select on.
type readDeadline struct {
	mu      *sync.Mutex
	expired chan struct{} // closed when the deadline has passed
	timer   *time.Timer
}

func newReadDeadline() readDeadline {
	return readDeadline{mu: new(sync.Mutex), expired: make(chan struct{})}
}

func (d *readDeadline) channel() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}

// set replaces the deadline. Readers that wait keep their channel: only one
// that was closed is replaced.
func (d *readDeadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	select {
	case <-d.expired:
		d.expired = make(chan struct{})
	default:
	}
	if t.IsZero() {
		d.timer = nil
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer { // not replaced meanwhile
			close(d.expired)
			d.timer = nil
		}
	})
	d.timer = timer
}
