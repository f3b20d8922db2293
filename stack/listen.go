package stack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/tapstack/tapstack/internal/netstack"
)

// Listen opens a TCP listener. The network is tcp or tcp6; the address is
// "[IPv6 address]:port" for one address, which must be assigned, or ":port" or
// "[::]:port" for every address of every interface, those to come included.
// Port 0 picks a free one. Errors are *net.OpError. It fits http.Serve.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	tcp, err := transport(network)
	if err == nil && !tcp {
		err = net.UnknownNetworkError(network)
	}
	var local netip.AddrPort
	if err == nil {
		local, err = parseLocal(address)
	}
	var l net.Listener
	if err == nil {
		l, err = s.listen(local)
	}
	if err != nil {
		return nil, listenError(network, address, err)
	}
	return l, nil
}

func listenError(network, address string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return err
	}
	return &net.OpError{Op: "listen", Net: network, Addr: stringAddr{network, address}, Err: err}
}

// parseLocal parses an address to listen on; an empty host is unspecified.
func parseLocal(address string) (netip.AddrPort, error) {
	host, port, err := splitPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), port), nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil || !a.Is6() || a.Is4In6() {
		return netip.AddrPort{}, &net.AddrError{Err: "not an IPv6 address", Addr: host}
	}
	return netip.AddrPortFrom(a, port), nil
}

func (s *Stack) listen(local netip.AddrPort) (net.Listener, error) {
	if !local.Addr().IsUnspecified() || local.Addr().Zone() != "" {
		i, err := s.local(local.Addr())
		if err != nil {
			return nil, err
		}
		l, err := i.host.ListenTCP(netip.AddrPortFrom(local.Addr().WithZone(""), local.Port()))
		if err != nil {
			return nil, err
		}
		return l, nil
	}
	l := &listener{stack: s, accepted: make(chan net.Conn), stop: make(chan struct{}), bound: local.Port()}
	if err := s.openWildcard(l, local.Port()); err != nil {
		return nil, err
	}
	return l, nil
}

// wildcard is a socket on the unspecified address: one endpoint on each
// interface, also on those that are attached later. A gVisor stack of its own
// for each interface keeps equal link-local addresses apart.
type wildcard interface {
	open(i *Interface, port uint16) (got uint16, err error)
	port() uint16
	reset() // closes the endpoints; it may be opened again
	shut()  // closes it for good
}

// wildcards are the open ones; guarded by Stack.mu.
type wildcards struct{ all []wildcard }

func (ws *wildcards) open(i *Interface) error {
	for _, w := range ws.all {
		if _, err := w.open(i, w.port()); err != nil {
			return fmt.Errorf("opening port %d, which is open on every interface: %w", w.port(), err)
		}
	}
	return nil
}

func (ws *wildcards) takeAll() []wildcard {
	all := ws.all
	ws.all = nil
	return all
}

// portAttempts bounds the search for a port that is free on every interface.
const portAttempts = 64

// openWildcard opens w on every interface, all with one port.
func (s *Stack) openWildcard(w wildcard, port uint16) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if len(s.Interfaces()) == 0 && port == 0 {
		return &net.AddrError{Err: "no port can be picked before an interface is attached", Addr: ":0"}
	}
	var err error
	for range portAttempts {
		if err = openEverywhere(w, s.Interfaces(), port); err == nil {
			s.wildcards.all = append(s.wildcards.all, w)
			return nil
		}
		w.reset()
		if port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return err
}

func openEverywhere(w wildcard, all []*Interface, port uint16) (err error) {
	for _, i := range all {
		if port, err = w.open(i, port); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) closeWildcard(w wildcard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wildcards.all = slices.DeleteFunc(s.wildcards.all, func(have wildcard) bool { return have == w })
}

// listener merges the TCP listeners of all interfaces.
type listener struct {
	stack    *Stack
	accepted chan net.Conn
	stop     chan struct{}
	stopOnce sync.Once
	running  sync.WaitGroup

	mu      sync.Mutex
	members []*netstack.TCPListener
	bound   uint16
}

func (l *listener) open(i *Interface, port uint16) (uint16, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	member, err := i.host.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		return port, err
	}
	l.members = append(l.members, member)
	l.bound = member.AddrPort().Port()
	l.running.Go(func() { l.acceptFrom(member) })
	return l.bound, nil
}

func (l *listener) acceptFrom(member *netstack.TCPListener) {
	for {
		conn, err := member.AcceptTCP()
		if err != nil {
			return // closed
		}
		select {
		case l.accepted <- conn:
		case <-l.stop:
			conn.Close()
			return
		}
	}
}

func (l *listener) port() uint16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bound
}

func (l *listener) reset() {
	l.mu.Lock()
	members := l.members
	l.members = nil
	l.mu.Unlock()
	for _, m := range members {
		m.Close()
	}
}

func (l *listener) shut() {
	l.stopOnce.Do(func() { close(l.stop) })
	l.reset()
	l.running.Wait()
}

// Accept waits for a connection on any interface.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.stop:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close ends the listener; connections that were accepted stay.
func (l *listener) Close() error {
	select {
	case <-l.stop:
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	default:
	}
	l.stack.closeWildcard(l)
	l.shut()
	return nil
}

// Addr is the unspecified address with the port.
func (l *listener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv6unspecified, Port: int(l.port())}
}
