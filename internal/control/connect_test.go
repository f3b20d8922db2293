package control

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapstack/tapstack/internal/forward"
)

// serveOnLink is serve with 2001:db8::5, for which the peer is a neighbor.
func serveOnLink(t *testing.T) *served {
	t.Helper()
	s := serve(t, quick)
	bits := peer.Bits()
	if err := s.AddAddress(t.Context(), NewAddress{Address: netip.MustParseAddr("2001:db8::5"), PrefixLen: &bits}); err != nil {
		t.Fatal(err)
	}
	return s
}

// to is a Connect to the peer.
func to(network string, port uint16) Connect {
	return Connect{Network: network, Address: peer.Addr(), Port: port}
}

func (s *served) connect(t *testing.T, c Connect) *Connection {
	t.Helper()
	conn, err := s.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// wantResult compares how a connection ended; "" is in good order.
func wantResult(t *testing.T, c *Connection, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := ""
	if err := c.Result(ctx); err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("the connection ended with %q, want %q", got, want)
	}
}

// The end of either direction leaves the other open, whichever is the first.
func TestConnect_TCPHalfClose(t *testing.T) {
	s := serveOnLink(t)
	long := strings.Repeat("question ", 100_000)
	s.listen(t, 7, func(c net.Conn) {
		b, _ := io.ReadAll(c)
		c.Write(bytes.ToUpper(b))
	})
	c := s.connect(t, to("tcp", 7))
	if _, err := io.WriteString(c, long); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != strings.ToUpper(long) {
		t.Errorf("%d octets came back, %v", len(b), err)
	}
	wantResult(t, c, "")

	got := make(chan string, 1)
	s.listen(t, 8, func(c net.Conn) {
		io.WriteString(c, "hello")
		c.(interface{ CloseWrite() error }).CloseWrite()
		b, _ := io.ReadAll(c)
		got <- string(b)
	})
	c = s.connect(t, to("tcp", 8))
	if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := io.WriteString(c, "thank you"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b := <-got; b != "thank you" {
		t.Errorf("the peer got %q", b)
	}
	wantResult(t, c, "")
}

// A connection that the peer resets does not look like one that has ended.
func TestConnect_Reset(t *testing.T) {
	s := serveOnLink(t)
	s.listen(t, 7, func(c net.Conn) {
		io.WriteString(c, "hello")
		c.Read(make([]byte, 1))
		forward.Abort(c)
	})
	c := s.connect(t, to("tcp", 7))
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("read %d octets, %v", n, err)
	}
	wantResult(t, c, "connection to [2001:db8::9]:7 on tap0: connection reset by peer")
}

func TestConnect_Errors(t *testing.T) {
	s := serveOnLink(t)
	for want, c := range map[string]Connect{
		"connect to [2001:db8::9]:80 on tap0: connection refused":       to("tcp", 80),
		"connect to [2001:db8:1::9]:80 on tap0: network is unreachable": {Network: "tcp", Address: netip.MustParseAddr("2001:db8:1::9"), Port: 80},
		"connect from 2001:db8::77 on tap0: no such address":            {Network: "tcp", Address: peer.Addr(), Port: 13, Source: netip.MustParseAddr("2001:db8::77")},
		"interface tap1: no such interface":                             {Network: "tcp", Address: netip.MustParseAddr("fe80::1%tap1"), Port: 13},
		"port is missing":                                               to("tcp", 0),
		`network is "sctp", neither tcp nor udp`:                        to("sctp", 13),
		"192.0.2.1 is not the IPv6 address of a peer":                   {Network: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: 13},
		"ff02::1 is not the IPv6 address of a peer":                     {Network: "tcp", Address: netip.MustParseAddr("ff02::1"), Port: 13},
		":: is not the IPv6 address of a peer":                          {Network: "udp", Address: netip.MustParseAddr("::"), Port: 13},
	} {
		_, err := s.Connect(t.Context(), c)
		var e *Error
		if !errors.As(err, &e) || e.Message != want {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
	good := `{"network":"tcp","address":"2001:db8::9","port":13}`
	s.wantError(t, "POST", "/v1/connect", good, 400, "invalid", 2) // without Upgrade
	for _, body := range []string{`{}`, `{"network":"tcp"}`, `{"network":"tcp","address":"2001:db8::9","port":65536}`, `{"network":"tcp","address":"2001:db8::9","port":-1}`, good + good} {
		s.wantError(t, "POST", "/v1/connect", body, 400, "invalid", 2)
	}
	s.want(t, "GET", "/v1/connect?id=99", "", 200, `{}`)
	s.wantError(t, "GET", "/v1/connect", "", 400, "invalid", 2)
	s.wantError(t, "GET", "/v1/connect?id=x", "", 400, "invalid", 2)
	if err := s.iface.SetUp(false); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := s.Connect(t.Context(), to("tcp", 13)); !errors.As(err, &e) || e.Kind != "link_down" || e.Exit != 1 {
		t.Errorf("with the link down: %v", err)
	}
}

// The source and the zone are those of the request.
func TestConnect_SourceAndZone(t *testing.T) {
	s := serveOnLink(t)
	if err := s.AddAddress(t.Context(), NewAddress{Address: netip.MustParseAddr("2001:db8::6")}); err != nil {
		t.Fatal(err)
	}
	s.listen(t, 7, func(c net.Conn) { fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP) })
	for _, source := range []string{"2001:db8::5", "2001:db8::6"} {
		c := s.connect(t, Connect{Network: "tcp", Address: peer.Addr().WithZone("tap0"), Port: 7, Source: netip.MustParseAddr(source)})
		if b, err := io.ReadAll(c); err != nil || string(b) != source {
			t.Errorf("from %s it came from %s, %v", source, b, err)
		}
	}
}

// A client that goes away while the connection is not there yet ends the
// attempt; one that goes away later, with its own direction ended or not, does
// not keep the peer.
func TestConnect_ClientGoesAway(t *testing.T) {
	s := serveOnLink(t)
	if err := s.iface.SetNeighbor(netip.MustParseAddr("fe80::77"), peerMAC); err != nil { // which does not answer for it
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var e *Error
	_, err := s.Connect(ctx, Connect{Network: "tcp", Address: netip.MustParseAddr("fe80::77"), Port: 7})
	if !errors.As(err, &e) || e.Kind != "canceled" || e.Message != "connect to [fe80::77]:7 on tap0: canceled" {
		t.Errorf("during the attempt: %v", err)
	}

	ended := make(chan error, 1)
	s.listen(t, 7, func(c net.Conn) {
		io.Copy(io.Discard, c)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		// The peer does not close its own direction.
		for {
			if _, err := io.WriteString(c, "."); err != nil {
				ended <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	for _, halfFirst := range []bool{false, true} {
		c := s.connect(t, to("tcp", 7))
		if halfFirst {
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Errorf("with one direction ended: %v", err)
			}
		}
		c.Close()
		select {
		case err := <-ended:
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the peer sees %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the peer is kept")
		}
	}
}

// A silent peer is not kept either, and nothing of the connection is left.
func TestConnect_ClientGoesAwayFromASilentPeer(t *testing.T) {
	s := serveOnLink(t)
	ended := make(chan error, 1)
	s.listen(t, 7, func(c net.Conn) {
		io.Copy(io.Discard, c)
		// The end came; the reset after it is seen by a write.
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			s.server.connections.mu.Lock()
			open := len(s.server.connections.open)
			s.server.connections.mu.Unlock()
			if open == 0 {
				ended <- nil
				return
			}
		}
		ended <- errors.New("the connection is kept")
	})
	c := s.connect(t, to("tcp", 7))
	c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// udpEcho has the peer send datagrams back, with their length before them.
func (s *served) udpEcho(t *testing.T, port uint16) {
	t.Helper()
	l, err := s.peer.ListenPacket("udp", netip.AddrPortFrom(peer.Addr(), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, _, err := l.ReadPacket(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				l.WriteTo(fmt.Appendf(nil, "%d:%s", n, buf[:n]), net.UDPAddrFromAddrPort(from))
			}
		}
	}()
}

// Datagrams stay what they are, the empty one too.
func TestConnect_UDP(t *testing.T) {
	s := serveOnLink(t)
	s.udpEcho(t, 7)
	c := s.connect(t, to("udp", 7))
	buf := make([]byte, 1<<16)
	for _, text := range []string{"hello", "", strings.Repeat("x", 60_000), "y"} {
		if n, err := c.Write([]byte(text)); err != nil || n != len(text) {
			t.Fatalf("wrote %d octets, %v", n, err)
		}
		want := fmt.Sprintf("%d:%s", len(text), text)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("read %.20q, %v, want %.20q", buf[:n], err, want)
		}
	}
	if _, err := c.Write(make([]byte, 1<<16)); err == nil {
		t.Error("a datagram that is too long is sent")
	}
	// What there is no room for is lost, and not the next datagram.
	for _, text := range []string{"first", "second"} {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := c.Read(buf[:3]); err != nil || string(buf[:n]) != "5:f" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	// The end of what we send is not the end of what comes.
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "6:second" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}

func TestConnect_UDPRefused(t *testing.T) {
	s := serveOnLink(t)
	c := s.connect(t, to("udp", 9))
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v, want %v", err, io.EOF)
	}
	wantResult(t, c, "connection to [2001:db8::9]:9 on tap0: connection refused")
}

// A UDP socket whose client has gone is closed, also if nothing ever comes.
func TestConnect_UDPClientGoesAway(t *testing.T) {
	s := serveOnLink(t)
	s.udpEcho(t, 7)
	for _, halfFirst := range []bool{false, true} {
		c := s.connect(t, to("udp", 7))
		if halfFirst {
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		conn := s.server.connections.find(s.server.connections.last)
		c.Close()
		select {
		case <-conn.done:
		case <-time.After(20 * time.Second):
			t.Fatal("the socket stays open")
		}
	}
}

// A client that stops within a datagram has it dropped, and is told.
func TestConnect_UDPCutFrame(t *testing.T) {
	s := serveOnLink(t)
	c := s.connect(t, to("udp", 7))
	if _, err := c.conn.Write([]byte{0, 5, 'x'}); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantResult(t, c, "connection to [2001:db8::9]:7 on tap0: the client stopped within a datagram")
}

// Frames may come in any pieces.
func TestFramed_AnyPieces(t *testing.T) {
	var stream []byte
	want := []string{"a", "", "bc", strings.Repeat("d", 300)}
	for _, text := range want {
		stream = append(binary.BigEndian.AppendUint16(stream, uint16(len(text))), text...)
	}
	for size := 1; size <= len(stream); size++ {
		sent := new(datagrams)
		f := &framed{Conn: sent}
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			if got, err := f.Write(rest[:n]); err != nil || got != n {
				t.Fatalf("wrote %d of %d octets, %v", got, n, err)
			}
			rest = rest[n:]
		}
		if err := f.CloseWrite(); err != nil || fmt.Sprint(*sent) != fmt.Sprint(want) {
			t.Fatalf("in pieces of %d: %v, %.60q", size, err, *sent)
		}
	}
}

// datagrams is a socket that remembers what is sent.
type datagrams []string

func (d *datagrams) Write(b []byte) (int, error) {
	*d = append(*d, string(b))
	return len(b), nil
}

func (*datagrams) Read([]byte) (int, error)         { return 0, io.EOF }
func (*datagrams) Close() error                     { return nil }
func (*datagrams) LocalAddr() net.Addr              { return nil }
func (*datagrams) RemoteAddr() net.Addr             { return nil }
func (*datagrams) SetDeadline(time.Time) error      { return nil }
func (*datagrams) SetReadDeadline(time.Time) error  { return nil }
func (*datagrams) SetWriteDeadline(time.Time) error { return nil }

// The end of the process ends the connections.
func TestConnect_EndOfTheProcess(t *testing.T) {
	s := serveOnLink(t)
	s.udpEcho(t, 7)
	c := s.connect(t, to("udp", 7))
	if err := s.server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v, want %v", err, io.EOF)
	}
	if err := c.Result(t.Context()); ExitCode(err) != ExitNoProcess {
		t.Errorf("Result: %v, want that of no process", err)
	}
}

// The results that are kept are bounded.
func TestConnections_ResultsAreBounded(t *testing.T) {
	var cs connections
	failure := errors.New("reset")
	for range 2 * maxResults {
		a, b := net.Pipe()
		cs.end(cs.add(a, b), failure)
	}
	if len(cs.failed) != maxResults || len(cs.open) != 0 || cs.find(maxResults) != nil || cs.find(2*maxResults).err != failure {
		t.Errorf("%d results, %d open", len(cs.failed), len(cs.open))
	}
	cs.close()
	if a, b := net.Pipe(); cs.add(a, b) != nil {
		t.Error("a connection after close")
	}
}
