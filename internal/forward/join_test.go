package forward

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// tcpPair is a connection through the loopback interface.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{c, d} {
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// joined is two connections with a Join between them.
func joined(t *testing.T) (left, right *net.TCPConn, result chan error) {
	t.Helper()
	left, a := tcpPair(t)
	b, right := tcpPair(t)
	result = make(chan error, 1)
	go func() { result <- Join(a, b) }()
	return left, right, result
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func wantAll(t *testing.T, c net.Conn, want string) {
	t.Helper()
	if b, err := io.ReadAll(c); err != nil || string(b) != want {
		t.Errorf("got %q, %v, want %q", b, err, want)
	}
}

// Each direction ends by itself, whichever is the first.
func TestJoin_HalfClose(t *testing.T) {
	for _, leftFirst := range []bool{true, false} {
		first, second, result := joined(t)
		if !leftFirst {
			first, second = second, first
		}
		send(t, first, "question")
		if err := first.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantAll(t, second, "question")
		send(t, second, "answer")
		if err := second.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantAll(t, first, "answer")
		if err := <-result; err != nil {
			t.Errorf("Join: %v", err)
		}
	}
}

// A reset of one is a reset of the other.
func TestJoin_Reset(t *testing.T) {
	left, right, result := joined(t)
	send(t, left, "x")
	if _, err := io.ReadFull(right, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	Abort(left)
	if _, err := right.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the other side sees %v, want %v", err, syscall.ECONNRESET)
	}
	if err := <-result; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Join: %v, want %v", err, syscall.ECONNRESET)
	}
}

// A connection that cannot end one direction alone is not left half open.
func TestJoin_NoHalfClose(t *testing.T) {
	left, a := tcpPair(t)
	b, right := net.Pipe()
	result := make(chan error, 1)
	go func() { result <- Join(a, b) }()
	if err := left.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := right.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v, want %v", err, io.EOF)
	}
	if err := <-result; err == nil {
		t.Error("Join succeeds")
	}
}
