// Package services answers the three small services by which a host is tried
// out: echo (RFC 862, port 7), discard (RFC 863, port 9) and the character
// generator (RFC 864, port 19), each on TCP and UDP.
//
//	s, err := services.Start(network, services.Echo, services.Discard)
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//
// A datagram whose source port is one of the three is not answered: two such
// servers would otherwise keep each other busy for ever. A datagram to a group
// is not answered either.
//
// Not implemented: the daytime, time and quote services, which belong to the
// same family.
package services

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Service is one of the three, by its name.
type Service string

// The services.
const (
	Echo    Service = "echo"
	Discard Service = "discard"
	Chargen Service = "chargen"
)

// behavior is what a service does with what it receives.
type behavior struct {
	port     uint16
	stream   func(net.Conn)
	datagram func(received []byte) (answer []byte) // nil: no answer
}

var behaviors = map[Service]behavior{
	Echo:    {7, echoStream, echoDatagram},
	Discard: {9, discardStream, discardDatagram},
	Chargen: {19, chargenStream, chargenDatagram},
}

// Parse returns the services that a list like "echo,chargen" names.
func Parse(list string) ([]Service, error) {
	var all []Service
	for name := range strings.SplitSeq(list, ",") {
		s := Service(strings.TrimSpace(name))
		if _, ok := behaviors[s]; !ok {
			return nil, fmt.Errorf("no service %q: there are echo, discard and chargen", name)
		}
		all = append(all, s)
	}
	return all, nil
}

// PacketConn receives datagrams for every address of the host and answers each
// from the address to which it was sent.
type PacketConn interface {
	// Receive returns the next datagram, who sent it and where it was sent.
	Receive(b []byte) (n int, from netip.AddrPort, to netip.Addr, err error)
	// Reply sends b to the peer from the address local.
	Reply(b []byte, local netip.Addr, to netip.AddrPort) error
	Close() error
}

// Network is where the services listen.
type Network interface {
	Listen(network, address string) (net.Listener, error)
	ListenPacket(network, address string) (PacketConn, error)
}

// maxConnections bounds the TCP connections of one service that are open at
// once. Further ones are closed as soon as they are accepted.
const maxConnections = 1024

// Server is a set of running services.
type Server struct {
	done chan struct{}
	wg   sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners []interface{ Close() error }
	conns     map[net.Conn]struct{}
}

// Start runs the services on every address that network has or will have,
// until Close. A service named twice runs once.
func Start(network Network, services ...Service) (*Server, error) {
	s := &Server{done: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	started := make(map[Service]bool)
	for _, name := range services {
		if started[name] {
			continue
		}
		started[name] = true
		if err := s.start(network, name); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) start(network Network, name Service) error {
	b, ok := behaviors[name]
	if !ok {
		return fmt.Errorf("no service %q", name)
	}
	address := "[::]:" + strconv.Itoa(int(b.port))
	l, err := network.Listen("tcp6", address)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.listeners = append(s.listeners, l)
	c, err := network.ListenPacket("udp6", address)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.listeners = append(s.listeners, c)
	s.wg.Go(func() { s.accept(l, b.stream) })
	s.wg.Go(func() { s.answer(c, b.datagram) })
	return nil
}

// Close ends the services and their connections, and returns once all of them
// are gone.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return errors.Join(errs...)
}

// accept serves connections until the listener is closed.
func (s *Server) accept(l net.Listener, serve func(net.Conn)) {
	slots := make(chan struct{}, maxConnections)
	for {
		c, err := l.Accept()
		if err != nil {
			if s.ended() {
				return
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		if !s.add(c) {
			c.Close()
			return
		}
		s.wg.Go(func() {
			defer func() { s.remove(c); <-slots }()
			serve(c)
		})
	}
}

func (s *Server) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// ended reports, after a socket failed, whether that was because of Close. If
// not, the failure passes (a peer that is gone again, something that ran
// short), and ended has waited a little.
func (s *Server) ended() bool {
	select {
	case <-s.done:
		return true
	case <-time.After(10 * time.Millisecond):
		return false
	}
}

// answer serves datagrams until the socket is closed.
func (s *Server) answer(c PacketConn, datagram func([]byte) []byte) {
	buf := make([]byte, 1<<16)
	for {
		n, from, to, err := c.Receive(buf)
		if err != nil {
			if s.ended() {
				return
			}
			continue
		}
		if to.IsMulticast() || isService(from.Port()) {
			continue
		}
		if reply := datagram(buf[:n]); reply != nil {
			// UDP promises nothing: a reply that cannot be sent is lost.
			_ = c.Reply(reply, to, from)
		}
	}
}

func isService(port uint16) bool {
	for _, b := range behaviors {
		if b.port == port {
			return true
		}
	}
	return false
}
