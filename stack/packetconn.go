package stack

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/mld"
)

// PacketConn is an unconnected UDP socket, on one address or on every address
// of every interface. All methods may be called from any goroutine.
type PacketConn struct {
	stack    *Stack
	wildcard bool // it is on every interface
	arrivals arrivals
	stop     chan struct{}
	stopOnce sync.Once
	read     readDeadline

	mu      sync.Mutex
	members map[*Interface]*packetMember
	only    atomic.Pointer[packetMember] // if it is on one address
	bound   netip.AddrPort
	write   time.Time

	groups socketGroups
}

// packetMember is the endpoint of a PacketConn on one interface.
type packetMember struct {
	*netstack.UDPConn
	groups *groupView              // which the socket has joined there
	joined map[netip.Addr]struct{} // the same, for socketGroups.mu

	// For arrivals.mu.
	listed bool
	next   *packetMember
}

// arrivals lists the members of a PacketConn that may have a datagram, each
// once, in the order in which they are to be read: who was read goes to the end.
type arrivals struct {
	mu          sync.Mutex
	first, last *packetMember
	waiting     int           // readers
	wake        chan struct{} // capacity 1
}

// add lists m, and wakes a reader that waits.
func (a *arrivals) add(m *packetMember) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !m.listed {
		m.listed, m.next = true, nil
		if a.first == nil {
			a.first = m
		} else {
			a.last.next = m
		}
		a.last = m
	}
	if a.waiting > 0 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// take returns the next member, or nil for a reader that is now to wait, and
// then to call awoke.
func (a *arrivals) take() *packetMember {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.first
	if m == nil {
		a.waiting++
		return nil
	}
	a.first = m.next
	m.listed, m.next = false, nil
	return m
}

// awoke says that a reader has stopped waiting. If it did so for another reason
// than what arrived, one that goes on waiting is woken in its place.
func (a *arrivals) awoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting--
	if a.first != nil && a.waiting > 0 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

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
		stack: s, arrivals: arrivals{wake: make(chan struct{}, 1)}, stop: make(chan struct{}),
		members: make(map[*Interface]*packetMember), bound: local, read: newReadDeadline(),
	}
	c.groups.holder = mld.Holder{Kind: mld.HolderSocket, ID: s.lastSocket.Add(1)}
	c.wildcard = local.Addr().IsUnspecified() && local.Addr().Zone() == ""
	if c.wildcard {
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
	member := &packetMember{UDPConn: conn, groups: newGroupView(), joined: make(map[netip.Addr]struct{})}
	conn.SetMulticastFilter(c.groups.filter(i, member))
	conn.SetMulticastLoopback(!c.groups.noLoopback)
	got := member.LocalAddr().(*net.UDPAddr).Port
	c.bound = netip.AddrPortFrom(c.bound.Addr(), uint16(got))
	c.members[i] = member
	if !c.bound.Addr().IsUnspecified() {
		c.only.Store(member)
	}
	conn.Watch(func(closed bool) {
		if closed && !c.wildcard { // there is no other: the interface is closed
			c.stopOnce.Do(func() { close(c.stop) })
		}
		c.arrivals.add(member)
	})
	c.arrivals.add(member) // what came before
	return uint16(got), nil
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
	c.only.Store(nil)
	c.mu.Unlock()
	for _, m := range members {
		m.Close()
	}
}

func (c *PacketConn) shut() {
	c.stopOnce.Do(func() { close(c.stop) })
	c.leaveAll()
	c.reset()
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
	for {
		expired := c.read.channel()
		select {
		case <-c.stop:
			return fail(net.ErrClosed)
		case <-expired:
			return fail(os.ErrDeadlineExceeded)
		default:
		}
		m := c.only.Load() // and leave it in the list, if it is there
		if m != nil {
			if n, meta, ok, _ := m.TryReadMsg(b); ok {
				return n, meta.Remote, meta.Local, nil
			}
		}
		if m = c.arrivals.take(); m == nil {
			select {
			case <-c.arrivals.wake:
			case <-c.stop:
			case <-expired:
			}
			c.arrivals.awoke()
			continue
		}
		n, meta, ok, err := m.TryReadMsg(b)
		switch {
		case ok:
			c.arrivals.add(m) // there may be more
			return n, meta.Remote, meta.Local, nil
		case err != nil && !errors.Is(err, net.ErrClosed):
			c.arrivals.add(m)
			return 0, netip.AddrPort{}, netip.Addr{}, err
		}
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
	if m := c.only.Load(); m != nil {
		return m, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
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
