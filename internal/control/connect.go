package control

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tapstack/tapstack/internal/forward"
	"github.com/tapstack/tapstack/stack"
)

// connectionHeader carries the number of a connection in the answer to POST
// /v1/connect.
const connectionHeader = "Tapstack-Connection"

// maxResults bounds the connections that ended with an error and are still
// known.
const maxResults = 64

// connections are those that POST /v1/connect has made.
type connections struct {
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	last   uint64
	open   map[uint64]*connection
	failed []*connection // the latest that ended with an error, the oldest first
}

// connection is one of them.
type connection struct {
	id           uint64
	client, peer net.Conn
	done         chan struct{}
	err          error // why it ended, once done is closed; nil: in good order
}

// add registers a connection, or returns nil after close.
func (cs *connections) add(client, peer net.Conn) *connection {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed {
		return nil
	}
	if cs.open == nil {
		cs.open = make(map[uint64]*connection)
	}
	cs.last++
	c := &connection{id: cs.last, client: client, peer: peer, done: make(chan struct{})}
	cs.open[c.id] = c
	cs.running.Add(1)
	return c
}

// end notes why a connection has ended.
func (cs *connections) end(c *connection, err error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.err = err
	close(c.done)
	delete(cs.open, c.id)
	if err != nil {
		if cs.failed = append(cs.failed, c); len(cs.failed) > maxResults {
			cs.failed = cs.failed[1:]
		}
	}
	cs.running.Done()
}

// find returns a connection that is open or has failed not long ago.
func (cs *connections) find(id uint64) *connection {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range cs.failed {
		if c.id == id {
			return c
		}
	}
	return cs.open[id]
}

// close ends all of them.
func (cs *connections) close() {
	cs.mu.Lock()
	cs.closed = true
	for _, c := range cs.open {
		forward.Abort(c.client)
		forward.Abort(c.peer)
	}
	cs.mu.Unlock()
	cs.running.Wait()
}

// connect joins the client's connection to a TCP or UDP peer.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	var c Connect
	err := decode(w, r, &c)
	if err == nil && !strings.EqualFold(r.Header.Get("Upgrade"), c.Network) {
		err = invalidf("the header Upgrade is %q, not the network, %q", r.Header.Get("Upgrade"), c.Network)
	}
	var peer net.Conn
	var where stack.OpError
	if err == nil {
		peer, where, err = s.dial(r.Context(), c)
	}
	if err != nil {
		fail(w, err)
		return
	}
	client, err := hijack(w, peer)
	if err != nil {
		forward.Abort(peer)
		fail(w, err)
		return
	}
	if c.Network == "udp" {
		peer = &framed{Conn: peer}
	}
	conn := s.connections.add(client, peer)
	if conn == nil {
		forward.Abort(client)
		forward.Abort(peer)
		return
	}
	_, err = fmt.Fprintf(client, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %d\r\n\r\n", c.Network, connectionHeader, conn.id)
	if err != nil {
		forward.Abort(client) // Join sees to the rest
	}
	if err = forward.Join(client, peer); err != nil {
		where.Op, where.Err = "connection to", cause(err)
		err = &where
	}
	s.connections.end(conn, err)
}

// dial opens the connection to the peer. Where is what to say of it in errors.
func (s *Server) dial(ctx context.Context, c Connect) (peer net.Conn, where stack.OpError, err error) {
	i, dst, err := s.local(c.Interface, c.Address)
	switch {
	case err != nil:
		return nil, where, err
	case c.Network != "tcp" && c.Network != "udp":
		return nil, where, invalidf("network is %q, neither tcp nor udp", c.Network)
	case !dst.Is6() || dst.Is4In6() || dst.IsUnspecified() || dst.IsMulticast() && c.Network == "tcp":
		return nil, where, invalidf("%v is not the IPv6 address of a peer", dst)
	case c.Port == 0:
		return nil, where, invalidf("port is missing")
	}
	where = stack.OpError{Op: "connect to", Interface: i.Name(), Object: netip.AddrPortFrom(dst, c.Port).String()}
	peer, err = s.stack.DialFrom(ctx, c.Source.WithZone(""), c.Network, netip.AddrPortFrom(dst.WithZone(i.Name()), c.Port).String())
	switch {
	case err == nil:
		return peer, where, nil
	case errors.Is(err, syscall.EADDRNOTAVAIL) && c.Source.IsValid():
		return nil, where, &stack.OpError{Op: "connect from", Interface: i.Name(), Addr: c.Source, Err: stack.ErrNoSuchAddress}
	}
	failure := where
	if failure.Err = cause(err); errors.Is(err, context.Canceled) {
		failure.Err = reworded{"canceled", err}
	}
	return nil, where, &failure
}

// cause is what a *net.OpError is about: its own words name the peer again.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// hijack takes the connection of a request from the server. When the client has
// closed it wholly, peer is aborted.
func hijack(w http.ResponseWriter, peer net.Conn) (*clientConn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	return &clientConn{Conn: conn, r: buffered.Reader, peer: peer}, conn.SetDeadline(time.Time{})
}

// clientConn is the client's connection after the switch. A client that ends
// its sending direction may wait for what the peer still sends, for ever
// perhaps; one that has closed the connection must not keep the peer.
type clientConn struct {
	net.Conn
	r     *bufio.Reader
	peer  net.Conn
	ended atomic.Bool // the peer has ended its direction
}

func (c *clientConn) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if err == io.EOF {
		go c.watch()
	}
	return n, err
}

// watch returns when the client has closed the connection, or it is closed
// here.
func (c *clientConn) watch() {
	if awaitHangup(c.Conn) && !c.ended.Load() {
		forward.Abort(c.peer)
	}
}

// CloseWrite passes the end of what the peer sends on to the client.
func (c *clientConn) CloseWrite() error {
	c.ended.Store(true) // both directions are over: that is no hangup
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// framed is a UDP socket as a stream: each datagram comes after its length in
// two octets, the more significant one first.
type framed struct {
	net.Conn
	received []byte // what Read has not given yet
	buf      []byte
	unsent   []byte // less than a datagram
}

func (f *framed) Read(b []byte) (int, error) {
	if len(f.received) == 0 {
		if f.buf == nil {
			f.buf = make([]byte, 2+maxDatagram)
		}
		n, err := f.Conn.Read(f.buf[2:])
		if err != nil {
			return 0, err
		}
		binary.BigEndian.PutUint16(f.buf, uint16(n))
		f.received = f.buf[:2+n]
	}
	n := copy(b, f.received)
	f.received = f.received[n:]
	return n, nil
}

func (f *framed) Write(b []byte) (int, error) {
	f.unsent = append(f.unsent, b...)
	rest := f.unsent
	for len(rest) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(rest))
		if len(rest) < end {
			break
		}
		if _, err := f.Conn.Write(rest[2:end]); err != nil {
			return 0, err
		}
		rest = rest[end:]
	}
	f.unsent = append(f.unsent[:0], rest...)
	return len(b), nil
}

// CloseWrite does nothing: the peer of a UDP socket sees no end.
func (f *framed) CloseWrite() error {
	if len(f.unsent) > 0 {
		return errors.New("the client stopped within a datagram")
	}
	return nil
}

// connectResult answers when a connection has ended, with why.
func (s *Server) connectResult(w http.ResponseWriter, r *http.Request) {
	err := s.awaitConnection(r)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, struct{}{})
}

func (s *Server) awaitConnection(r *http.Request) error {
	q, err := query(r, "id")
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(q[0], 10, 64)
	if err != nil {
		return invalidf("id is %q, not the number of a connection", q[0])
	}
	c := s.connections.find(id)
	if c == nil {
		return nil
	}
	select {
	case <-c.done:
		return c.err
	case <-r.Context().Done():
		return r.Context().Err()
	}
}
