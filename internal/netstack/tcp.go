package netstack

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// tuneTCP sets the options of TCP for the whole host.
func (h *Host) tuneTCP() {
	const smallest, usual, largest = 4 << 10, 1 << 20, mostBuffer
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: smallest, Default: usual, Max: largest}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: smallest, Default: usual, Max: largest}
	h.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &receive)
	h.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &send)
}

// sendPiece is how much data gVisor gets at once: the most that one of its
// segments takes for the device to cut, and a multiple of what it counts as one
// packet. It leaves while the next is copied,
// and no remnant of it needs a frame of its own.
const sendPiece = 46 * countedMSS

// TCPConn is a TCP connection. It implements net.Conn.
type TCPConn struct {
	socket
	key           flowKey
	local, remote netip.AddrPort
	closedWindow  atomic.Uint64 // see watchWindow
	sent          atomic.Uint64 // see noteSent
	told          atomic.Uint32 // the least path MTU that gVisor was told
	gone          atomic.Bool   // not in the flow table any more
	progress      progress
	buffer        sendBuffer
	bufferSet     atomic.Bool // by the user

	mu      sync.Mutex
	dialing bool
	// ended is why the connection is over, soft the last ICMPv6 error for it:
	// the reason if it times out (RFC 9293, section 3.9.2.2).
	ended, soft syscall.Errno
}

// DialTCP opens a connection. Without a local address Config.Source chooses
// one. It ends early if the peer refuses, if ctx is done, and on an ICMPv6
// Destination Unreachable for the connection.
//
// There are 49,536 local ports to choose from for each local address.
func (h *Host) DialTCP(ctx context.Context, local, remote netip.AddrPort) (*TCPConn, error) {
	c := &TCPConn{socket: makeSocket(h, "tcp"), dialing: true}
	err := c.dial(ctx, local, remote)
	if err != nil {
		c.close()
		if c.ep != nil {
			h.unregister(c.key, c)
			c.ep.Abort()
		}
		op := &net.OpError{Op: "dial", Net: "tcp", Addr: tcpAddr(remote), Err: err}
		if local.Addr().IsValid() {
			op.Source = tcpAddr(local)
		}
		return nil, op
	}
	return c, nil
}

func (c *TCPConn) dial(ctx context.Context, local, remote netip.AddrPort) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	local, remote, err := c.host.endpoints(local, remote)
	if err != nil {
		return err
	}
	if a := remote.Addr(); a.IsUnspecified() || a.IsMulticast() || remote.Port() == 0 {
		return syscall.EADDRNOTAVAIL
	}
	if err := c.open(tcp.ProtocolNumber); err != nil {
		return err
	}
	if err := c.ep.Bind(fullAddress(local)); err != nil {
		return errnoOf(err)
	}
	c.setAddrs(c.localAddr(), netip.AddrPortFrom(c.host.zoned(remote.Addr()), remote.Port()))
	if !c.host.register(c.key, c) {
		return net.ErrClosed
	}
	c.listen(c.notify)
	if err := c.ep.Connect(fullAddress(remote)); err != nil {
		if _, started := err.(*tcpip.ErrConnectStarted); !started {
			return errnoOf(err)
		}
	}
	return c.handshake(ctx)
}

// setAddrs sets the two ends of the connection.
func (c *TCPConn) setAddrs(local, remote netip.AddrPort) {
	c.local, c.remote = local, remote
	c.key = flowKey{
		local: local.Addr().As16(), localPort: local.Port(),
		remote: remote.Addr().As16(), remotePort: remote.Port(),
		proto: protoTCP,
	}
}

// handshake waits until the connection is established.
func (c *TCPConn) handshake(ctx context.Context) error {
	for {
		switch state := tcp.EndpointState(c.ep.State()); state {
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		case tcp.StateError, tcp.StateClose:
			if errno := c.end(c.ep.LastError()); errno != 0 {
				return errno
			}
			return syscall.ECONNABORTED
		default:
			c.mu.Lock()
			c.dialing = false
			c.mu.Unlock()
			return nil
		}
		if errno := c.endedBy(); errno != 0 {
			return errno
		}
		select {
		case <-c.writable:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.closed:
			return net.ErrClosed
		}
	}
}

// notify is called by gVisor, with locks held.
func (c *TCPConn) notify(mask waiter.EventMask) {
	c.noteEvents(mask)
	if mask&waiter.EventHUp != 0 {
		// Only now: after Close gVisor goes on with the connection until the
		// peer has all data, and an address that is removed ends that too.
		c.host.unregister(c.key, c)
		c.windowOpened()
	}
	c.socket.notify(mask)
}

// fail implements flowOwner.
func (c *TCPConn) fail(_ flowKey, errno syscall.Errno, hard bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialing && hard {
		c.ended = errno
		signal(c.writable)
		return
	}
	c.soft = errno
}

// end notes why gVisor ended the connection, and returns the reason.
func (c *TCPConn) end(err tcpip.Error) syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == 0 && err != nil {
		c.ended = errnoOf(err)
		if c.ended == syscall.ETIMEDOUT && c.soft != 0 {
			c.ended = c.soft
		}
	}
	return c.ended
}

func (c *TCPConn) endedBy() syscall.Errno { return c.end(nil) }

// Read implements net.Conn.
func (c *TCPConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, c.closedError("read")
	}
	c.readMu.Lock()
	n, err := c.read(b)
	c.readMu.Unlock()
	if err != nil && err != io.EOF {
		err = c.opError("read", err)
	}
	return n, err
}

func (c *TCPConn) read(b []byte) (int, error) {
	defer func() { c.dst = nil }()
	for {
		if err := c.check(&c.readDeadline); err != nil {
			return 0, err
		}
		c.dst = b
		res, err := c.ep.Read(&c.dst, tcpip.ReadOptions{})
		switch err.(type) {
		case nil:
			c.ep.ModerateRecvBuf(res.Count)
			return res.Count, nil
		case *tcpip.ErrWouldBlock:
			if err := c.wait(c.readable, &c.readDeadline); err != nil {
				return 0, err
			}
		case *tcpip.ErrClosedForReceive:
			if errno := c.endedBy(); errno != 0 {
				return 0, errno
			}
			return 0, io.EOF
		default:
			return 0, c.end(err)
		}
	}
}

// Write implements net.Conn. It returns when gVisor has taken all of b.
func (c *TCPConn) Write(b []byte) (int, error) {
	c.writeMu.Lock()
	c.host.writing.Add(1)
	c.share()
	n, err := c.write(b)
	c.host.writing.Add(-1)
	c.writeMu.Unlock()
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

func (c *TCPConn) write(b []byte) (done int, _ error) {
	defer c.payload.Reset(nil)
	for {
		if err := c.check(&c.writeDeadline); err != nil {
			return done, err
		}
		if done == len(b) {
			return done, nil
		}
		c.payload.Reset(b[done:min(len(b), done+sendPiece)])
		n, err := c.ep.Write(&c.payload, tcpip.WriteOptions{})
		done += int(n)
		switch err.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			c.enlarge()
			if err := c.wait(c.writable, &c.writeDeadline); err != nil {
				return done, err
			}
		case *tcpip.ErrClosedForSend:
			if errno := c.endedBy(); errno != 0 {
				return done, errno
			}
			return done, syscall.EPIPE
		default:
			return done, c.end(err)
		}
	}
}

// Close closes the connection. What was written still goes to the peer; if
// something was not read, the connection is reset.
func (c *TCPConn) Close() error {
	if !c.close() {
		return c.opError("close", net.ErrClosed)
	}
	c.quietly(c.ep.Close)
	return nil
}

// CloseRead ends reading: it returns io.EOF.
func (c *TCPConn) CloseRead() error { return c.shutdown(tcpip.ShutdownRead) }

// CloseWrite ends writing: the peer reads to the end of what was written.
func (c *TCPConn) CloseWrite() error { return c.shutdown(tcpip.ShutdownWrite) }

func (c *TCPConn) shutdown(how tcpip.ShutdownFlags) error {
	if c.closedError("close") != nil {
		return c.opError("close", net.ErrClosed)
	}
	var err tcpip.Error
	c.quietly(func() { err = c.ep.Shutdown(how) })
	if err != nil {
		return c.opError("close", errnoOf(err))
	}
	return nil
}

// abort resets the connection; its user sees ECONNABORTED.
func (c *TCPConn) abort() {
	c.mu.Lock()
	if c.ended == 0 {
		c.ended = syscall.ECONNABORTED
	}
	c.mu.Unlock()
	c.host.unregister(c.key, c)
	c.ep.Abort()
	c.windowOpened()
	signal(c.readable)
	signal(c.writable)
}

// shut implements flowOwner.
func (c *TCPConn) shut() {
	c.close()
	c.abort()
}

// LocalAddr implements net.Conn: a *net.TCPAddr.
func (c *TCPConn) LocalAddr() net.Addr { return tcpAddr(c.local) }

// RemoteAddr implements net.Conn: a *net.TCPAddr.
func (c *TCPConn) RemoteAddr() net.Addr { return tcpAddr(c.remote) }

// SetWriteBuffer sets how many octets wait to be sent, or to be acknowledged, at
// most.
func (c *TCPConn) SetWriteBuffer(n int) (err error) {
	c.bufferSet.Store(true)
	c.quietly(func() { err = c.socket.SetWriteBuffer(n) })
	return err
}

// SetNoDelay says whether small segments leave at once, which is the default,
// or wait for the acknowledgment of earlier data (Nagle's algorithm).
func (c *TCPConn) SetNoDelay(on bool) error {
	c.ep.SocketOptions().SetDelayOption(!on)
	return c.closedError("set")
}

// SetKeepAlive says whether an idle connection is probed. The default is not.
func (c *TCPConn) SetKeepAlive(on bool) error {
	c.ep.SocketOptions().SetKeepAlive(on)
	return c.closedError("set")
}

// SetKeepAlivePeriod sets how long a connection is idle before it is probed,
// and the time between probes.
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	idle, interval := tcpip.KeepaliveIdleOption(d), tcpip.KeepaliveIntervalOption(d)
	if err := c.ep.SetSockOpt(&idle); err != nil {
		return c.opError("set", errnoOf(err))
	}
	if err := c.ep.SetSockOpt(&interval); err != nil {
		return c.opError("set", errnoOf(err))
	}
	return c.closedError("set")
}

// SetLinger sets what Close does with data that the peer does not have yet: a
// negative sec (the default) sends it in the background, 0 discards it and
// resets the connection.
func (c *TCPConn) SetLinger(sec int) error {
	c.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: sec >= 0, Timeout: time.Duration(sec) * time.Second})
	return c.closedError("set")
}

func (c *TCPConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
