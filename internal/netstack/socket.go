package netstack

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/waiter"
)

// socket is what all sockets have in common: a gVisor endpoint, which never
// blocks, and what is needed to wait for it.
type socket struct {
	host *Host
	net  string // "tcp", "udp" or "icmp"
	ep   tcpip.Endpoint
	wq   *waiter.Queue

	// readable and writable hold a token when it is worth trying again. There
	// is one reader and one writer at a time: readMu and writeMu are held
	// while one waits.
	readable, writable chan struct{}
	readMu, writeMu    sync.Mutex
	dst                tcpip.SliceWriter // under readMu
	payload            bytes.Reader      // under writeMu

	readDeadline, writeDeadline deadline

	closeOnce sync.Once
	closed    chan struct{}
}

func makeSocket(h *Host, network string) socket {
	return socket{
		host:          h,
		net:           network,
		readable:      make(chan struct{}, 1),
		writable:      make(chan struct{}, 1),
		closed:        make(chan struct{}),
		readDeadline:  makeDeadline(),
		writeDeadline: makeDeadline(),
	}
}

// open makes the endpoint.
func (s *socket) open(proto tcpip.TransportProtocolNumber) error {
	s.wq = new(waiter.Queue)
	ep, err := s.host.stack.NewEndpoint(proto, ipv6.ProtocolNumber, s.wq)
	if err != nil {
		return errnoOf(err)
	}
	ep.SocketOptions().SetV6Only(true)
	s.ep = ep
	return nil
}

// notify is called by gVisor, with locks held.
func (s *socket) notify(mask waiter.EventMask) {
	if mask&(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr) != 0 {
		signal(s.readable)
	}
	if mask&(waiter.WritableEvents|waiter.EventHUp|waiter.EventErr) != 0 {
		signal(s.writable)
	}
}

// signal puts a token in c, if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// listen has the endpoint's events go to notify for as long as the endpoint
// lives.
func (s *socket) listen(notify func(waiter.EventMask)) {
	entry := waiter.NewFunctionEntry(waiter.AllEvents, notify)
	s.wq.EventRegister(&entry)
}

// check fails if the socket is closed or the deadline has passed.
func (s *socket) check(d *deadline) error {
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
	}
	select {
	case <-d.done():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// wait returns nil when there is a token in ready.
func (s *socket) wait(ready chan struct{}, d *deadline) error {
	select {
	case <-ready:
		return nil
	case <-s.closed:
		return net.ErrClosed
	case <-d.done():
		return os.ErrDeadlineExceeded
	}
}

// close marks the socket closed, and reports whether it was open.
func (s *socket) close() (first bool) {
	s.closeOnce.Do(func() {
		first = true
		close(s.closed)
	})
	return first
}

// SetDeadline sets both deadlines.
func (s *socket) SetDeadline(t time.Time) error {
	s.readDeadline.set(t)
	s.writeDeadline.set(t)
	return s.closedError("set")
}

// SetReadDeadline sets when reading, also that in progress, ends with
// os.ErrDeadlineExceeded. The zero time is never.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.readDeadline.set(t)
	return s.closedError("set")
}

// SetWriteDeadline is SetReadDeadline for writing.
func (s *socket) SetWriteDeadline(t time.Time) error {
	s.writeDeadline.set(t)
	return s.closedError("set")
}

// SetReadBuffer sets how many octets wait to be read at most.
func (s *socket) SetReadBuffer(n int) error {
	s.ep.SocketOptions().SetReceiveBufferSize(int64(n), true)
	return s.closedError("set")
}

// SetWriteBuffer sets how many octets wait to be sent at most.
func (s *socket) SetWriteBuffer(n int) error {
	s.ep.SocketOptions().SetSendBufferSize(int64(n), true)
	return s.closedError("set")
}

func (s *socket) closedError(op string) error {
	select {
	case <-s.closed:
		return &net.OpError{Op: op, Net: s.net, Err: net.ErrClosed}
	default:
		return nil
	}
}

// localAddr is the address and port that the endpoint is bound to.
func (s *socket) localAddr() netip.AddrPort {
	full, err := s.ep.GetLocalAddress()
	if err != nil {
		return netip.AddrPort{}
	}
	return s.host.addrPort(full)
}

// addrPort translates an address of gVisor.
func (h *Host) addrPort(full tcpip.FullAddress) netip.AddrPort {
	return netip.AddrPortFrom(h.zoned(addrOf(full.Addr)), full.Port)
}

// addrOf translates an address of gVisor; its empty address is ::.
func addrOf(a tcpip.Address) netip.Addr {
	if a.Len() != 16 {
		return netip.IPv6Unspecified()
	}
	return netip.AddrFrom16(a.As16())
}

// fullAddress translates an address for gVisor.
func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	full := tcpip.FullAddress{NIC: nicID, Port: a.Port()}
	if !a.Addr().IsUnspecified() {
		full.Addr = tcpip.AddrFrom16(a.Addr().As16())
	}
	return full
}

// endpoints checks the two ends that the caller of a dial gave, and chooses the
// local address if it is not given.
func (h *Host) endpoints(local, remote netip.AddrPort) (l, r netip.AddrPort, err error) {
	localAddr, err := h.unzoned(local.Addr())
	if err != nil {
		return local, remote, err
	}
	remoteAddr, err := h.unzoned(remote.Addr())
	if err != nil {
		return local, remote, err
	}
	if localAddr.IsUnspecified() {
		if localAddr, err = h.source(remoteAddr); err != nil {
			return local, remote, err
		}
	}
	return netip.AddrPortFrom(localAddr, local.Port()), netip.AddrPortFrom(remoteAddr, remote.Port()), nil
}

func tcpAddr(a netip.AddrPort) net.Addr { return net.TCPAddrFromAddrPort(a) }

func udpAddr(a netip.AddrPort) net.Addr { return net.UDPAddrFromAddrPort(a) }

// deadline is a point in time that may be moved while somebody waits for it.
type deadline struct {
	mu    *sync.Mutex
	timer *time.Timer
	ch    chan struct{} // closed when the time has come
}

func makeDeadline() deadline {
	return deadline{mu: new(sync.Mutex), ch: make(chan struct{})}
}

// done returns a channel that is closed when the deadline has passed. Moving
// the deadline before that keeps the channel.
func (d *deadline) done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ch
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.ch // it has fired: wait until it has closed the channel
	}
	d.timer = nil
	passed := false
	select {
	case <-d.ch:
		passed = true
	default:
	}
	if t.IsZero() || time.Until(t) > 0 {
		if passed {
			d.ch = make(chan struct{})
		}
		if !t.IsZero() {
			ch := d.ch
			d.timer = time.AfterFunc(time.Until(t), func() { close(ch) })
		}
		return
	}
	if !passed {
		close(d.ch)
	}
}
