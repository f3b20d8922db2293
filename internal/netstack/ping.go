package netstack

import (
	"net"
	"net/netip"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
)

const echoHeaderSize = header.ICMPv6EchoMinimumSize

// PingConn sends ICMPv6 Echo Requests with an identifier of its own, and
// receives the replies.
type PingConn struct {
	socket
	key    flowKey
	local  netip.Addr
	ident  uint16
	to     tcpip.FullAddress // under writeMu
	buf    []byte            // under writeMu
	writer echoWriter        // under readMu

	mu     sync.Mutex
	failed []PingError
}

// EchoReply is a received Echo Reply.
type EchoReply struct {
	From, To netip.Addr
	Sequence uint16
	HopLimit uint8
	// N is how much of the data was stored.
	N int
}

// PingError is an ICMPv6 error for an Echo Request, or a failure to resolve the
// neighbor.
type PingError struct {
	// To is where the request went.
	To  netip.Addr
	Err syscall.Errno
}

// Error implements error.
func (e *PingError) Error() string { return e.To.String() + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *PingError) Unwrap() error { return e.Err }

// maxPingErrors bounds how many errors wait to be received.
const maxPingErrors = 64

// ListenPing makes a socket for Echo Requests from local. If it is not valid or
// unspecified, Config.Source chooses a source for each request.
func (h *Host) ListenPing(local netip.Addr) (*PingConn, error) {
	c := &PingConn{socket: makeSocket(h, "icmp")}
	if err := c.start(local); err != nil {
		if c.ep != nil {
			c.ep.Close()
		}
		return nil, &net.OpError{Op: "listen", Net: "icmp", Err: err}
	}
	return c, nil
}

func (c *PingConn) start(local netip.Addr) error {
	local, err := c.host.unzoned(local)
	if err != nil {
		return err
	}
	if err := c.open(icmp.ProtocolNumber6); err != nil {
		return err
	}
	if err := c.ep.Bind(fullAddress(netip.AddrPortFrom(local, 0))); err != nil {
		return errnoOf(err)
	}
	c.local, c.ident = local, c.localAddr().Port()
	c.key = flowKey{local: local.As16(), localPort: c.ident, proto: protoICMPv6}
	options := c.ep.SocketOptions()
	options.SetReceiveHopLimit(true)
	options.SetIPv6ReceivePacketInfo(true)
	if !c.host.register(c.key, c) {
		return net.ErrClosed
	}
	c.listen(c.notify)
	return nil
}

// Ident is the identifier of the requests.
func (c *PingConn) Ident() uint16 { return c.ident }

// Send sends an Echo Request. hopLimit 0 stands for the default.
func (c *PingConn) Send(to netip.Addr, sequence uint16, hopLimit uint8, data []byte) error {
	c.writeMu.Lock()
	err := c.send(to, sequence, hopLimit, data)
	c.writeMu.Unlock()
	if err != nil {
		return &net.OpError{Op: "write", Net: "icmp", Addr: &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}, Err: err}
	}
	return nil
}

func (c *PingConn) send(to netip.Addr, sequence uint16, hopLimit uint8, data []byte) error {
	to, err := c.host.unzoned(to)
	if err != nil {
		return err
	}
	if to.IsUnspecified() {
		return syscall.EADDRNOTAVAIL
	}
	local := c.local
	if local.IsUnspecified() {
		if local, err = c.host.source(to); err != nil {
			return err
		}
	}
	c.to = fullAddress(netip.AddrPortFrom(to, 0))
	options := tcpip.WriteOptions{To: &c.to}
	options.ControlMessages.HasIPv6PacketInfo = true
	options.ControlMessages.IPv6PacketInfo = tcpip.IPv6PacketInfo{NIC: nicID, Addr: tcpip.AddrFrom16(local.As16())}
	if hopLimit != 0 {
		options.ControlMessages.HasHopLimit = true
		options.ControlMessages.HopLimit = hopLimit
	}
	c.buf = append(c.buf[:0], typeEchoRequest, 0, 0, 0, 0, 0, byte(sequence>>8), byte(sequence))
	c.buf = append(c.buf, data...)
	for {
		if err := c.check(&c.writeDeadline); err != nil {
			return err
		}
		c.payload.Reset(c.buf)
		_, err := c.ep.Write(&c.payload, options)
		switch err.(type) {
		case nil:
			return nil
		case *tcpip.ErrWouldBlock:
			if err := c.wait(c.writable, &c.writeDeadline); err != nil {
				return err
			}
		default:
			return errnoOf(err)
		}
	}
}

// Receive waits for a reply and stores its data. An ICMPv6 error for a request
// is an error here; it wraps a *PingError.
func (c *PingConn) Receive(data []byte) (EchoReply, error) {
	c.readMu.Lock()
	r, err := c.receive(data)
	c.readMu.Unlock()
	if err != nil {
		err = &net.OpError{Op: "read", Net: "icmp", Err: err}
	}
	return r, err
}

func (c *PingConn) receive(data []byte) (EchoReply, error) {
	defer func() { c.writer.data = nil }()
	for {
		if err := c.check(&c.readDeadline); err != nil {
			return EchoReply{}, err
		}
		if failed := c.takeFailure(); failed != nil {
			return EchoReply{}, failed
		}
		c.writer = echoWriter{data: data}
		res, err := c.ep.Read(&c.writer, tcpip.ReadOptions{NeedRemoteAddr: true})
		switch err.(type) {
		case nil:
			return EchoReply{
				From:     c.host.zoned(addrOf(res.RemoteAddr.Addr)),
				To:       c.host.zoned(addrOf(res.ControlMessages.IPv6PacketInfo.Addr)),
				Sequence: be.Uint16(c.writer.header[6:8]),
				HopLimit: res.ControlMessages.HopLimit,
				N:        c.writer.n,
			}, nil
		case *tcpip.ErrWouldBlock:
			if err := c.wait(c.readable, &c.readDeadline); err != nil {
				return EchoReply{}, err
			}
		case *tcpip.ErrClosedForReceive:
			return EchoReply{}, net.ErrClosed
		default:
			return EchoReply{}, errnoOf(err)
		}
	}
}

// echoWriter takes a message apart: the header, and the data that fits.
type echoWriter struct {
	header  [echoHeaderSize]byte
	headerN int
	data    []byte
	n       int
}

// Write implements io.Writer.
func (w *echoWriter) Write(b []byte) (int, error) {
	n := copy(w.header[w.headerN:], b)
	w.headerN += n
	w.n += copy(w.data[w.n:], b[n:])
	return len(b), nil
}

// fail implements flowOwner.
func (c *PingConn) fail(key flowKey, errno syscall.Errno, _ bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) == maxPingErrors {
		return
	}
	c.failed = append(c.failed, PingError{To: c.host.zoned(netip.AddrFrom16(key.remote)), Err: errno})
	signal(c.readable)
}

// takeFailure returns the oldest error that waits.
func (c *PingConn) takeFailure() *PingError {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) == 0 {
		return nil
	}
	e := c.failed[0]
	c.failed = c.failed[1:]
	return &e
}

// Close ends the socket.
func (c *PingConn) Close() error {
	if !c.close() {
		return &net.OpError{Op: "close", Net: "icmp", Err: net.ErrClosed}
	}
	c.host.unregister(c.key, c)
	c.ep.Close()
	return nil
}

// shut implements flowOwner.
func (c *PingConn) shut() { _ = c.Close() }
