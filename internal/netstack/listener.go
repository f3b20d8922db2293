package netstack

import (
	"net"
	"net/netip"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// backlog is how many connections wait for Accept at most.
const backlog = 1024

// TCPListener takes TCP connections. It implements net.Listener.
type TCPListener struct {
	socket
	key      flowKey
	addr     netip.AddrPort
	accepted chan *TCPConn
	done     chan struct{} // closed when run has returned
}

// ListenTCP listens on an address, or on all that this host has and will have
// if it is unspecified. Port 0 has a free one chosen. A listener on an address
// stays when the address is removed, and hears nothing until it is back.
func (h *Host) ListenTCP(local netip.AddrPort) (*TCPListener, error) {
	l := &TCPListener{
		socket:   makeSocket(h, "tcp"),
		accepted: make(chan *TCPConn, backlog),
		done:     make(chan struct{}),
	}
	if err := l.start(local); err != nil {
		if l.ep != nil {
			l.ep.Close()
		}
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: tcpAddr(local), Err: err}
	}
	go l.run()
	return l, nil
}

func (l *TCPListener) start(local netip.AddrPort) error {
	addr, err := l.host.unzoned(local.Addr())
	if err != nil {
		return err
	}
	if addr.IsMulticast() {
		return syscall.EADDRNOTAVAIL
	}
	if err := l.open(tcp.ProtocolNumber); err != nil {
		return err
	}
	if err := l.ep.Bind(fullAddress(netip.AddrPortFrom(addr, local.Port()))); err != nil {
		return errnoOf(err)
	}
	if err := l.ep.Listen(backlog); err != nil {
		return errnoOf(err)
	}
	l.listen(l.notify)
	l.addr = l.localAddr()
	l.key = flowKey{local: l.addr.Addr().As16(), localPort: l.addr.Port(), proto: protoTCP}
	if !l.host.register(l.key, l) {
		return net.ErrClosed
	}
	return nil
}

// run takes connections from gVisor as soon as they are established, so that
// all of them are in the flow table and end with their address, accepted by
// the user or not.
func (l *TCPListener) run() {
	defer close(l.done)
	for {
		ep, wq, err := l.ep.Accept(nil)
		switch err.(type) {
		case nil:
			c := l.newConn(ep, wq)
			if c == nil {
				continue
			}
			select {
			case l.accepted <- c:
			case <-l.closed:
				c.shut()
				return
			}
		case *tcpip.ErrWouldBlock:
			select {
			case <-l.readable:
			case <-l.closed:
				return
			}
		default:
			return // closed
		}
	}
}

// newConn makes a connection of an endpoint that gVisor accepted, or returns
// nil if it has ended already.
func (l *TCPListener) newConn(ep tcpip.Endpoint, wq *waiter.Queue) *TCPConn {
	c := &TCPConn{socket: makeSocket(l.host, "tcp")}
	c.ep, c.wq = ep, wq
	remote, err := ep.GetRemoteAddress()
	if err != nil {
		ep.Abort()
		return nil
	}
	c.setAddrs(c.localAddr(), l.host.addrPort(remote))
	if !l.host.register(c.key, c) {
		ep.Abort()
		return nil
	}
	c.listen(c.notify)
	if state := tcp.EndpointState(ep.State()); state == tcp.StateError || state == tcp.StateClose {
		// Reset before its events came to c. The user reads what arrived, and
		// then the error.
		l.host.unregister(c.key, c)
	}
	if !l.host.HasAddress(c.key.local) {
		// The address went while the connection was on its way here.
		c.abort()
		return nil
	}
	c.reached() // the peer has acknowledged the handshake
	return c
}

// Accept implements net.Listener.
func (l *TCPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptTCP waits for the next connection.
func (l *TCPListener) AcceptTCP() (*TCPConn, error) {
	err := l.check(&l.readDeadline)
	if err == nil {
		select {
		case c := <-l.accepted:
			return c, nil
		case <-l.closed:
			err = net.ErrClosed
		case <-l.readDeadline.done():
			err = os.ErrDeadlineExceeded
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
}

// Close stops listening. Connections that wait for Accept are reset.
func (l *TCPListener) Close() error {
	if !l.close() {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.end()
	return nil
}

func (l *TCPListener) end() {
	l.host.unregister(l.key, l)
	l.ep.Close()
	<-l.done
	for {
		select {
		case c := <-l.accepted:
			c.shut()
		default:
			return
		}
	}
}

// fail implements flowOwner.
func (l *TCPListener) fail(flowKey, syscall.Errno, bool) {}

// shut implements flowOwner.
func (l *TCPListener) shut() {
	if l.close() {
		l.end()
	}
}

// Addr implements net.Listener: a *net.TCPAddr.
func (l *TCPListener) Addr() net.Addr { return tcpAddr(l.addr) }

// AddrPort is Addr as a value.
func (l *TCPListener) AddrPort() netip.AddrPort { return l.addr }
