package netstack

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// smallDatagram is the size of datagrams, in octets with their header, that
	// are counted as well as weighed while they wait to be read. gVisor weighs
	// their data only: an empty one costs nothing, so that anybody could fill
	// the memory with them.
	smallDatagram = 512
	// datagramCost is what one that waits is taken to cost at least.
	datagramCost = 256
)

// udpBuffer is how many octets of data wait to be read, or to be sent, at most,
// unless the user says otherwise. It is what Linux has.
const udpBuffer = 208 << 10

// maxPeerErrors bounds how many peers of an unconnected socket have an error
// waiting.
const maxPeerErrors = 64

// UDPConn is a UDP socket. It implements net.Conn, if DialUDP made it, and
// net.PacketConn.
//
// An ICMPv6 Destination Unreachable is the error of the next read or write of a
// connected socket, and of the next write to that peer of an unconnected one:
// a server goes on reading whatever happens to one of its clients.
type UDPConn struct {
	socket
	key           flowKey
	local, remote netip.AddrPort // remote is invalid if not connected
	to            tcpip.FullAddress

	stats *tcpip.TransportEndpointStats
	reads atomic.Uint64 // datagrams taken from gVisor
	watch atomic.Pointer[func(closed bool)]

	filter atomic.Pointer[func(src, group netip.Addr) bool]

	mu         sync.Mutex
	failed     syscall.Errno // connected
	peerErrors map[netip.AddrPort]syscall.Errno
}

// Meta is what goes with a datagram.
type Meta struct {
	// Local is the address that a received datagram was sent to, a group
	// perhaps. For sending it is the source; if it is not valid, the address
	// that the socket is bound to, or else Config.Source, decides.
	Local netip.Addr
	// Remote is the peer. For sending on a connected socket it is not needed.
	Remote netip.AddrPort
	// HopLimit is that of the packet. For sending, 0 stands for the default:
	// 1 to a group, else that of the host.
	HopLimit uint8
	// TrafficClass is that of a received packet.
	TrafficClass uint8
}

// DialUDP makes a socket that sends to, and receives from, remote only. Without
// a local address Config.Source chooses one, once.
func (h *Host) DialUDP(local, remote netip.AddrPort) (*UDPConn, error) {
	c := &UDPConn{socket: makeSocket(h, "udp")}
	if err := c.dial(local, remote); err != nil {
		if c.ep != nil {
			c.ep.Close()
		}
		return nil, &net.OpError{Op: "dial", Net: "udp", Addr: udpAddr(remote), Err: err}
	}
	return c, nil
}

func (c *UDPConn) dial(local, remote netip.AddrPort) error {
	local, remote, err := c.host.endpoints(local, remote)
	if err != nil {
		return err
	}
	if remote.Addr().IsUnspecified() || remote.Port() == 0 {
		return syscall.EADDRNOTAVAIL
	}
	if err := c.bind(local); err != nil {
		return err
	}
	if err := c.ep.Connect(fullAddress(remote)); err != nil {
		return errnoOf(err)
	}
	c.remote = netip.AddrPortFrom(c.host.zoned(remote.Addr()), remote.Port())
	c.key.remote, c.key.remotePort = remote.Addr().As16(), remote.Port()
	return c.start()
}

// ListenUDP makes a socket that is bound to an address, or, if it is
// unspecified, to all addresses that this host has and will have and all groups
// that it has joined. Port 0 has a free one chosen.
func (h *Host) ListenUDP(local netip.AddrPort) (*UDPConn, error) {
	c := &UDPConn{socket: makeSocket(h, "udp")}
	if err := c.listenOn(local); err != nil {
		if c.ep != nil {
			c.ep.Close()
		}
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: udpAddr(local), Err: err}
	}
	return c, nil
}

func (c *UDPConn) listenOn(local netip.AddrPort) error {
	addr, err := c.host.unzoned(local.Addr())
	if err != nil {
		return err
	}
	if err := c.bind(netip.AddrPortFrom(addr, local.Port())); err != nil {
		return err
	}
	return c.start()
}

func (c *UDPConn) bind(local netip.AddrPort) error {
	if err := c.open(udp.ProtocolNumber); err != nil {
		return err
	}
	if err := c.ep.Bind(fullAddress(local)); err != nil {
		return errnoOf(err)
	}
	c.local = c.localAddr()
	c.key = flowKey{local: c.local.Addr().As16(), localPort: c.local.Port(), proto: protoUDP}
	options := c.ep.SocketOptions()
	options.SetReceiveHopLimit(true)
	options.SetReceiveTClass(true)
	options.SetIPv6ReceivePacketInfo(true)
	options.SetReceiveBufferSize(udpBuffer, false)
	options.SetSendBufferSize(udpBuffer, false)
	c.stats, _ = c.ep.Stats().(*tcpip.TransportEndpointStats)
	return nil
}

// hasRoom reports whether one more datagram may wait to be read.
func (c *UDPConn) hasRoom() bool {
	waiting := c.stats.PacketsReceived.Value() - c.stats.ReceiveErrors.ReceiveBufferOverflow.Value() -
		c.stats.ReceiveErrors.ClosedReceiver.Value() - c.reads.Load()
	return int64(waiting)*datagramCost < c.ep.SocketOptions().GetReceiveBufferSize()
}

// roomFor reports whether there is room for packet, a UDP datagram without
// extension headers of which the first part is given.
func (h *Host) roomFor(packet []byte) bool {
	if len(packet) < ipv6Size+8 {
		return true // gVisor drops it
	}
	c, ok := h.flowOwner(flowKey{
		local: [16]byte(packet[24:40]), localPort: be.Uint16(packet[ipv6Size+2:]),
		remote: [16]byte(packet[8:24]), remotePort: be.Uint16(packet[ipv6Size:]),
		proto: protoUDP,
	}, true).(*UDPConn)
	return !ok || c.hasRoom()
}

// Overrun reports whether datagrams have been dropped since it was last called
// because too many waited to be read. It is for who calls Deliver.
func (h *Host) Overrun() bool {
	dropped := h.counters.inQueueFull.Load() + h.stack.Stats().UDP.ReceiveBufferErrors.Value()
	if dropped == h.overrun {
		return false
	}
	h.overrun = dropped
	return true
}

func (c *UDPConn) start() error {
	if !c.host.register(c.key, c) {
		return net.ErrClosed
	}
	c.listen(c.notifyReaders)
	return nil
}

// notifyReaders is notify that tells the watcher too.
func (c *UDPConn) notifyReaders(mask waiter.EventMask) {
	c.notify(mask)
	if mask&waiter.ReadableEvents != 0 {
		c.tellWatcher(false)
	}
}

func (c *UDPConn) tellWatcher(closed bool) {
	if f := c.watch.Load(); f != nil {
		(*f)(closed)
	}
}

// Watch has f called whenever TryReadMsg may find something that was not there
// before, and when the socket is closed. f must neither block nor call the
// socket. What came before Watch it is not told of.
func (c *UDPConn) Watch(f func(closed bool)) { c.watch.Store(&f) }

// TryReadMsg is ReadMsg that does not wait: ok is false if there is no datagram.
func (c *UDPConn) TryReadMsg(b []byte) (n int, m Meta, ok bool, err error) {
	c.readMu.Lock()
	n, m, ok, err = c.tryRead(b)
	c.readMu.Unlock()
	if err != nil {
		err = c.opError("read", c.remote, err)
	}
	return n, m, ok, err
}

// Read implements net.Conn. A datagram longer than b is cut.
func (c *UDPConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadMsg(b)
	return n, err
}

// ReadFrom implements net.PacketConn; the address is a *net.UDPAddr.
func (c *UDPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, m, err := c.ReadMsg(b)
	if err != nil {
		return 0, nil, err
	}
	return n, udpAddr(m.Remote), nil
}

// ReadFromUDPAddrPort is ReadFrom without an allocation.
func (c *UDPConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, m, err := c.ReadMsg(b)
	return n, m.Remote, err
}

// ReadMsg is Read with all that is known of the datagram.
func (c *UDPConn) ReadMsg(b []byte) (int, Meta, error) {
	c.readMu.Lock()
	n, m, err := c.read(b)
	c.readMu.Unlock()
	if err != nil {
		err = c.opError("read", c.remote, err)
	}
	return n, m, err
}

func (c *UDPConn) read(b []byte) (int, Meta, error) {
	for {
		if err := c.check(&c.readDeadline); err != nil {
			return 0, Meta{}, err
		}
		n, m, ok, err := c.tryRead(b)
		if ok || err != nil {
			return n, m, err
		}
		if err := c.wait(c.readable, &c.readDeadline); err != nil {
			return 0, Meta{}, err
		}
	}
}

// tryRead reads the next datagram that is wanted, if there is one.
func (c *UDPConn) tryRead(b []byte) (n int, m Meta, ok bool, err error) {
	if errno := c.takeFailure(); errno != 0 {
		return 0, Meta{}, false, errno
	}
	c.dst = b
	defer func() { c.dst = nil }()
	for {
		res, err := c.ep.Read(&c.dst, tcpip.ReadOptions{NeedRemoteAddr: true})
		switch err.(type) {
		case nil, *tcpip.ErrBadBuffer: // the latter for a b without room
			c.reads.Add(1)
			if m := c.meta(&res); c.wanted(m) {
				return res.Count, m, true, nil
			}
			c.dst = b
		case *tcpip.ErrWouldBlock:
			return 0, Meta{}, false, nil
		case *tcpip.ErrClosedForReceive:
			return 0, Meta{}, false, net.ErrClosed
		default:
			return 0, Meta{}, false, errnoOf(err)
		}
	}
}

func (c *UDPConn) meta(res *tcpip.ReadResult) Meta {
	return Meta{
		Local:        c.host.zoned(addrOf(res.ControlMessages.IPv6PacketInfo.Addr)),
		Remote:       c.host.addrPort(res.RemoteAddr),
		HopLimit:     res.ControlMessages.HopLimit,
		TrafficClass: uint8(res.ControlMessages.TClass),
	}
}

// SetMulticastFilter has accept decide which datagrams to groups the socket
// takes. Without, it takes those to any group that the host has joined,
// whoever had it do so. It may be called at any time, and with nil.
func (c *UDPConn) SetMulticastFilter(accept func(src, group netip.Addr) bool) {
	if accept == nil {
		c.filter.Store(nil)
		return
	}
	c.filter.Store(&accept)
}

// SetMulticastLoopback says whether datagrams that the socket sends to groups
// come to the sockets of this host too, as far as it has joined the group. They
// do unless told otherwise.
func (c *UDPConn) SetMulticastLoopback(on bool) { c.ep.SocketOptions().SetMulticastLoop(on) }

func (c *UDPConn) wanted(m Meta) bool {
	if !m.Local.IsMulticast() {
		return true
	}
	accept := c.filter.Load()
	return accept == nil || (*accept)(m.Remote.Addr(), m.Local)
}

// Write implements net.Conn. It returns when the datagram has left.
func (c *UDPConn) Write(b []byte) (int, error) { return c.WriteMsg(b, Meta{}) }

// WriteTo implements net.PacketConn; addr is a *net.UDPAddr.
func (c *UDPConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, c.opError("write", netip.AddrPort{}, syscall.EINVAL)
	}
	return c.WriteToUDPAddrPort(b, a.AddrPort())
}

// WriteToUDPAddrPort is WriteTo without an allocation.
func (c *UDPConn) WriteToUDPAddrPort(b []byte, remote netip.AddrPort) (int, error) {
	if c.remote.IsValid() {
		return 0, c.opError("write", remote, net.ErrWriteToConnected)
	}
	return c.WriteMsg(b, Meta{Remote: remote})
}

// WriteMsg sends one datagram as m says.
func (c *UDPConn) WriteMsg(b []byte, m Meta) (int, error) {
	c.writeMu.Lock()
	n, err := c.write(b, m)
	c.writeMu.Unlock()
	if err != nil {
		remote := m.Remote
		if !remote.IsValid() {
			remote = c.remote
		}
		err = c.opError("write", remote, err)
	}
	return n, err
}

func (c *UDPConn) write(b []byte, m Meta) (int, error) {
	options, err := c.writeOptions(m)
	if err != nil {
		return 0, err
	}
	if len(b) > minMTU-ipv6Size-header.UDPMinimumSize {
		c.markFlow(m.Remote, &options)
	}
	defer c.payload.Reset(nil)
	for {
		if err := c.check(&c.writeDeadline); err != nil {
			return 0, err
		}
		if errno := c.takePeerError(m.Remote); errno != 0 {
			return 0, errno
		}
		c.payload.Reset(b)
		_, err := c.ep.Write(&c.payload, options)
		switch err.(type) {
		case nil:
			return len(b), nil
		case *tcpip.ErrWouldBlock:
			if err := c.wait(c.writable, &c.writeDeadline); err != nil {
				return 0, err
			}
		case *tcpip.ErrClosedForSend:
			return 0, net.ErrClosed
		default:
			if local := c.local.Addr(); isUnicast(local) && !c.host.HasAddress(local.As16()) {
				return 0, syscall.EADDRNOTAVAIL // gVisor says that there is no route
			}
			return 0, errnoOf(err)
		}
	}
}

// markFlow has gVisor mark what it makes of the next datagram with the flow, so
// that fragments, in which the ports are not seen, have the label of the flow
// too (RFC 6437, section 3: "all packets of a given flow").
func (c *UDPConn) markFlow(remote netip.AddrPort, o *tcpip.WriteOptions) {
	if !remote.IsValid() {
		remote = c.remote
	}
	local := c.local.Addr()
	if o.ControlMessages.HasIPv6PacketInfo {
		local = addrOf(o.ControlMessages.IPv6PacketInfo.Addr)
	}
	c.ep.SocketOptions().SetMark(c.host.flowOfKey(&flowKey{
		local: local.As16(), localPort: c.local.Port(),
		remote: remote.Addr().As16(), remotePort: remote.Port(),
		proto: protoUDP,
	}))
}

// writeOptions says where a datagram goes and from where. gVisor chooses
// nothing.
func (c *UDPConn) writeOptions(m Meta) (o tcpip.WriteOptions, err error) {
	connected := c.remote.IsValid()
	var remote netip.Addr
	switch {
	case !m.Remote.IsValid() && !connected:
		return o, syscall.EDESTADDRREQ
	case !m.Remote.IsValid():
		remote = c.remote.Addr()
	case connected && m.Remote != c.remote:
		return o, syscall.EISCONN
	default:
		if remote, err = c.host.unzoned(m.Remote.Addr()); err != nil {
			return o, err
		}
		if remote.IsUnspecified() || m.Remote.Port() == 0 {
			return o, syscall.EADDRNOTAVAIL
		}
		c.to = fullAddress(netip.AddrPortFrom(remote, m.Remote.Port()))
		o.To = &c.to
	}
	local, err := c.host.unzoned(m.Local)
	if err != nil {
		return o, err
	}
	if local.IsUnspecified() && (c.local.Addr().IsUnspecified() || c.local.Addr().IsMulticast()) {
		if local, err = c.host.source(remote); err != nil {
			return o, err
		}
	}
	if !local.IsUnspecified() {
		o.ControlMessages.HasIPv6PacketInfo = true
		o.ControlMessages.IPv6PacketInfo = tcpip.IPv6PacketInfo{NIC: nicID, Addr: tcpip.AddrFrom16(local.As16())}
	}
	if m.HopLimit != 0 {
		o.ControlMessages.HasHopLimit = true
		o.ControlMessages.HopLimit = m.HopLimit
	}
	return o, nil
}

// fail implements flowOwner.
func (c *UDPConn) fail(key flowKey, errno syscall.Errno, hard bool) {
	if !hard {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remote.IsValid() {
		c.failed = errno
		signal(c.readable)
		return
	}
	if c.peerErrors == nil || len(c.peerErrors) == maxPeerErrors {
		c.peerErrors = make(map[netip.AddrPort]syscall.Errno)
	}
	c.peerErrors[netip.AddrPortFrom(netip.AddrFrom16(key.remote), key.remotePort)] = errno
}

// takeFailure returns the error that waits for a connected socket, once.
func (c *UDPConn) takeFailure() syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	errno := c.failed
	c.failed = 0
	return errno
}

// takePeerError returns the error that waits for a write to remote, once.
func (c *UDPConn) takePeerError(remote netip.AddrPort) syscall.Errno {
	if c.remote.IsValid() {
		return c.takeFailure()
	}
	key := netip.AddrPortFrom(remote.Addr().WithZone(""), remote.Port())
	c.mu.Lock()
	defer c.mu.Unlock()
	errno := c.peerErrors[key]
	delete(c.peerErrors, key)
	return errno
}

// Close implements net.Conn.
func (c *UDPConn) Close() error {
	if !c.close() {
		return c.opError("close", c.remote, net.ErrClosed)
	}
	c.host.unregister(c.key, c)
	c.ep.Close()
	c.tellWatcher(true)
	return nil
}

// shut implements flowOwner.
func (c *UDPConn) shut() { _ = c.Close() }

// LocalAddr implements net.Conn: a *net.UDPAddr.
func (c *UDPConn) LocalAddr() net.Addr { return udpAddr(c.local) }

// RemoteAddr implements net.Conn: a *net.UDPAddr, or nil if not connected.
func (c *UDPConn) RemoteAddr() net.Addr {
	if !c.remote.IsValid() {
		return nil
	}
	return udpAddr(c.remote)
}

func (c *UDPConn) opError(op string, remote netip.AddrPort, err error) error {
	e := &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Err: err}
	if remote.IsValid() {
		e.Addr = udpAddr(remote)
	}
	return e
}
