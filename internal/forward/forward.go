package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/tapstack/tapstack/stack"
)

const (
	// maxConnections bounds the connections of one rule that are open at once.
	// Further ones are reset as soon as they are accepted.
	maxConnections = 1024
	dialTimeout    = 30 * time.Second
	// keepAlive is how long a connection is idle before it is probed, so that
	// those of peers that are gone do not take up the room for ever.
	keepAlive = time.Minute
)

// Server is a set of rules at work.
type Server struct {
	stack  *stack.Stack
	log    *slog.Logger
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[interface{ Close() error }]struct{} // listeners and connections
}

// Start puts rules to work until Close. A rule whose address is not assigned
// yet waits for that. The error is that of a port which is taken.
func Start(stk *stack.Stack, log *slog.Logger, rules ...Rule) (*Server, error) {
	s := &Server{stack: stk, log: log, open: make(map[interface{ Close() error }]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, r := range rules {
		l, err := s.listen(r)
		if err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return nil, errors.Join(fmt.Errorf("%v: %w", r, err), s.Close())
		}
		s.wg.Go(func() { s.serve(r, l) })
	}
	return s, nil
}

// Close ends the listeners and the connections, and returns once all of them
// are gone.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.cancel()
	var errs []error
	for c := range s.open {
		switch c := c.(type) {
		case net.Conn:
			Abort(c)
		default:
			errs = append(errs, c.Close())
		}
	}
	clear(s.open)
	s.mu.Unlock()
	s.wg.Wait()
	return errors.Join(errs...)
}

// add remembers what Close has to close; false: Close was here already.
func (s *Server) add(c interface{ Close() error }) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.open[c] = struct{}{}
	}
	return !s.closed
}

func (s *Server) remove(c interface{ Close() error }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// listen opens the port of a rule.
func (s *Server) listen(r Rule) (net.Listener, error) {
	l, err := s.stack.Listen("tcp6", r.Listen.String())
	if err != nil {
		return nil, err
	}
	if !s.add(l) {
		return nil, errors.Join(net.ErrClosed, l.Close())
	}
	return l, nil
}

// serve takes the connections of a rule; l is nil if its address is not
// assigned yet.
func (s *Server) serve(r Rule, l net.Listener) {
	if l == nil {
		var err error
		if l, err = s.await(r); err != nil {
			if s.ctx.Err() == nil {
				s.log.Error("a forward does not work", "forward", r.String(), "error", err)
			}
			return
		}
	}
	s.accept(r, l)
}

// await opens the port of a rule as soon as its address is assigned.
func (s *Server) await(r Rule) (net.Listener, error) {
	events := s.stack.Subscribe()
	defer events.Close()
	l, err := s.listen(r) // it may have been assigned a moment ago
	if !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return l, err
	}
	for e := range events.All(s.ctx) {
		if e.Type != stack.Lost && e.Address != r.Listen.Addr().WithZone("") {
			continue
		}
		if l, err = s.listen(r); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return l, err
		}
	}
	return nil, net.ErrClosed
}

// accept joins connections to the target until the listener is closed.
func (s *Server) accept(r Rule, l net.Listener) {
	slots := make(chan struct{}, maxConnections)
	refused := 0
	defer func() {
		if refused > 0 {
			s.log.Warn("connections of a forward were refused", "forward", r.String(), "connections", refused)
		}
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			if !s.pause() {
				return
			}
			continue // something ran short
		}
		select {
		case slots <- struct{}{}:
		default:
			if refused++; refused == 1 {
				s.log.Warn("a forward has all the connections it may have: further ones are refused", "forward", r.String(), "connections", maxConnections)
			}
			Abort(c)
			continue
		}
		s.wg.Go(func() {
			defer func() { <-slots }()
			s.forward(r, c)
		})
	}
}

// pause waits a little; false: Close was called meanwhile.
func (s *Server) pause() bool {
	select {
	case <-s.ctx.Done():
		return false
	case <-time.After(10 * time.Millisecond):
		return true
	}
}

// forward joins one connection to the target.
func (s *Server) forward(r Rule, c net.Conn) {
	log := s.log.With("forward", r.String(), "peer", c.RemoteAddr().String())
	if !s.add(c) {
		Abort(c)
		return
	}
	defer s.remove(c)
	if k, ok := c.(interface {
		SetKeepAlive(bool) error
		SetKeepAlivePeriod(time.Duration) error
	}); ok {
		_ = errors.Join(k.SetKeepAlivePeriod(keepAlive), k.SetKeepAlive(true)) // it may be reset already
	}
	d := net.Dialer{Timeout: dialTimeout}
	target, err := d.DialContext(s.ctx, "tcp", r.Target)
	if err != nil {
		log.Debug("a connection is refused", "error", err)
		Abort(c)
		return
	}
	if !s.add(target) {
		Abort(c)
		Abort(target)
		return
	}
	defer s.remove(target)
	log.Debug("a connection is forwarded", "to", target.RemoteAddr().String())
	err = Join(c, target)
	log.Debug("a connection has ended", "error", err)
}
