package netstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// connect opens a TCP connection from an address of a to b.
func (p *pair) connect(t testing.TB, local netip.Addr, remote netip.Addr) (client, server *TCPConn) {
	t.Helper()
	l, err := p.b.ListenTCP(port(remote, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err = p.a.DialTCP(ctx, port(local, 0), l.AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	l.SetDeadline(time.Now().Add(10 * time.Second))
	server, err = l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestTCPEcho(t *testing.T) {
	offload := func(c *Config) { c.GSOMaxSize = 65536 }
	for _, test := range []struct {
		name   string
		change func(*Config)
	}{
		{"plain", func(*Config) {}},
		{"offload", offload},
		{"minimum MTU", func(c *Config) { c.MTU = 1280 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPair(t, test.change)
			client, server := p.connect(t, addrA, addrB)
			go func() {
				io.Copy(server, server)
				server.CloseWrite()
			}()
			sent := make([]byte, 8<<20)
			rng := rand.NewChaCha8([32]byte{})
			rng.Read(sent)
			go func() {
				if _, err := client.Write(sent); err != nil {
					t.Error(err)
				}
				client.CloseWrite()
			}()
			got, err := io.ReadAll(client)
			if err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("read %d octets, %v, want the %d that were sent", len(got), err, len(sent))
			}
			if client.Close() != nil || server.Close() != nil {
				t.Error("close failed")
			}
		})
	}
}

var (
	_ net.Conn     = (*TCPConn)(nil)
	_ net.Listener = (*TCPListener)(nil)
)

func TestTCPAddrs(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, linkA, linkB)
	for what, a := range map[string][2]net.Addr{
		"client": {client.LocalAddr(), server.RemoteAddr()},
		"server": {server.LocalAddr(), client.RemoteAddr()},
	} {
		if a[0].String() != a[1].String() || a[0].(*net.TCPAddr).Zone != "tap0" {
			t.Errorf("%s is %v, says its peer %v", what, a[0], a[1])
		}
	}
	l, err := p.a.ListenTCP(port(linkA.WithZone("tap0"), 80))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := l.Addr().String(), "[fe80::a%tap0]:80"; got != want {
		t.Errorf("listener on %s, want %s", got, want)
	}
}

func TestTCPRefused(t *testing.T) {
	p := newPair(t)
	_, err := p.a.DialTCP(context.Background(), anyAddr, port(addrB, 80))
	wantErrno(t, err, syscall.ECONNREFUSED)
	if op, ok := err.(*net.OpError); !ok || op.Op != "dial" || op.Addr.String() != "[2001:db8::b]:80" {
		t.Errorf("error %#v", err)
	}
	if len(p.a.flows.owners) != 0 {
		t.Error("the flow table keeps a connection that was refused")
	}
}

func TestTCPDialBadAddresses(t *testing.T) {
	p := newPair(t)
	for _, test := range []struct {
		local, remote netip.AddrPort
		want          syscall.Errno
	}{
		{anyAddr, port(addrB, 0), syscall.EADDRNOTAVAIL},
		{anyAddr, port(unspecified, 80), syscall.EADDRNOTAVAIL},
		{anyAddr, port(group, 80), syscall.EADDRNOTAVAIL},
		{anyAddr, anyAddr, syscall.EADDRNOTAVAIL},
		{anyAddr, port(netip.MustParseAddr("192.0.2.1"), 80), syscall.EAFNOSUPPORT},
		{anyAddr, port(netip.MustParseAddr("::ffff:192.0.2.1"), 80), syscall.EAFNOSUPPORT},
		{anyAddr, port(linkB.WithZone("eth9"), 80), syscall.EADDRNOTAVAIL},
		{port(addrB, 0), port(addrB, 80), syscall.EADDRNOTAVAIL},
	} {
		_, err := p.a.DialTCP(context.Background(), test.local, test.remote)
		wantErrno(t, err, test.want)
	}
	_, err := p.a.ListenTCP(port(addrB, 80))
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
	_, err = p.a.ListenTCP(port(group, 80))
	wantErrno(t, err, syscall.EADDRNOTAVAIL)
	l, err := p.a.ListenTCP(anyAddr)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.a.ListenTCP(l.AddrPort())
	wantErrno(t, err, syscall.EADDRINUSE)
}

func TestTCPDialContext(t *testing.T) {
	p := newPair(t)
	p.ab.setFilter(func(wireFrame) bool { return false })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err := p.a.DialTCP(ctx, anyAddr, port(addrB, 80))
	var timeout net.Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(5*time.Millisecond, cancel)
	if _, err = p.a.DialTCP(ctx, anyAddr, port(addrB, 80)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err = p.a.DialTCP(ctx, anyAddr, port(addrB, 80)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	if len(p.a.flows.owners) != 0 {
		t.Error("the flow table keeps a connection that was given up")
	}
}

// TestTCPHalfClose: each direction ends by itself.
func TestTCPHalfClose(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	client.Write([]byte("request"))
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, err := client.Write([]byte("x"))
	wantErrno(t, err, syscall.EPIPE)
	if got, err := io.ReadAll(server); err != nil || string(got) != "request" {
		t.Errorf("server read %q, %v", got, err)
	}
	server.Write([]byte("answer"))
	server.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
		t.Errorf("client read %q, %v", got, err)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	client, _ = p.connect(t, addrA, addrB)
	result := make(chan error)
	go func() {
		_, err := client.Read(make([]byte, 1))
		result <- err
	}()
	if err := client.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != io.EOF {
		t.Errorf("read while CloseRead: %v", err)
	}
}

// TestTCPReset: the user sees ECONNRESET, every time, after what arrived.
func TestTCPReset(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	exchange(t, client, server)
	if err := server.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	server.Close()
	for range 3 {
		_, err := client.Read(make([]byte, 1))
		wantErrno(t, err, syscall.ECONNRESET)
		_, err = client.Write(make([]byte, 1))
		wantErrno(t, err, syscall.ECONNRESET)
	}
	eventually(t, "both forget the connection", func() bool {
		p.a.mu.RLock()
		defer p.a.mu.RUnlock()
		p.b.mu.RLock()
		defer p.b.mu.RUnlock()
		return len(p.a.flows.owners) == 0 && len(p.b.flows.owners) == 0
	})
}

// TestTCPWriteDeadline: a writer whose peer does not read ends in time, and
// says how much was taken.
func TestTCPWriteDeadline(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	sent := make([]byte, 64<<20) // before the time runs
	client.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := client.Write(sent)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n >= len(sent) {
		t.Errorf("wrote %d, %v", n, err)
	}
	client.SetWriteDeadline(time.Time{})
	go func() {
		client.Write(sent[:1000])
		client.CloseWrite()
	}()
	got, err := io.Copy(io.Discard, server)
	if err != nil || got != int64(n)+1000 {
		t.Errorf("read %d, %v, want %d", got, err, n+1000)
	}
}

// TestTCPCloseUnblocks: Close ends reading and writing in progress.
func TestTCPCloseUnblocks(t *testing.T) {
	p := newPair(t)
	client, _ := p.connect(t, addrA, addrB)
	results := make(chan error, 2)
	go func() { _, err := client.Read(make([]byte, 1)); results <- err }()
	go func() { _, err := client.Write(make([]byte, 64<<20)); results <- err }()
	eventually(t, "the writer waits", func() bool { return len(p.ab.logged()) > 0 && p.quiet() })
	client.Close()
	for range 2 {
		if err := <-results; !errors.Is(err, net.ErrClosed) {
			t.Errorf("error = %v, want %v", err, net.ErrClosed)
		}
	}
	for what, err := range map[string]error{"close": client.Close(), "CloseWrite": client.CloseWrite(), "CloseRead": client.CloseRead(),
		"keep-alive": client.SetKeepAlive(true), "no delay": client.SetNoDelay(true), "period": client.SetKeepAlivePeriod(time.Hour)} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after close: %v", what, err)
		}
	}
}

// TestTCPConcurrentUse: many readers and writers on one connection.
func TestTCPConcurrentUse(t *testing.T) {
	p := newPair(t)
	client, server := p.connect(t, addrA, addrB)
	const workers, each = 8, 50
	var wg sync.WaitGroup
	var total atomic.Int64
	for range workers {
		wg.Go(func() {
			for range each {
				if _, err := client.Write(make([]byte, 1000)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			buf := make([]byte, 777)
			for {
				n, err := server.Read(buf)
				total.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	eventually(t, "all is read", func() bool { return total.Load() == workers*each*1000 })
	client.Close()
	wg.Wait()
}

// TestTCPListenerClose: connections that nobody accepted are reset.
func TestTCPListenerClose(t *testing.T) {
	p := newPair(t)
	l, err := p.b.ListenTCP(anyAddr)
	if err != nil {
		t.Fatal(err)
	}
	client, err := p.a.DialTCP(context.Background(), anyAddr, port(addrB, l.AddrPort().Port()))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection waits for Accept", func() bool { return len(l.accepted) == 1 })
	l.Close()
	client.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = client.Read(make([]byte, 1))
	wantErrno(t, err, syscall.ECONNRESET)
	_, err = p.a.DialTCP(context.Background(), anyAddr, client.remote)
	wantErrno(t, err, syscall.ECONNREFUSED)
}

// TestTCPTimeoutReason: a connection that times out says what ICMPv6 said.
func TestTCPTimeoutReason(t *testing.T) {
	p := newPair(t)
	for _, test := range []struct{ soft, want syscall.Errno }{
		{0, syscall.ETIMEDOUT},
		{syscall.EHOSTUNREACH, syscall.EHOSTUNREACH},
	} {
		client, _ := p.connect(t, addrA, addrB)
		if test.soft != 0 {
			p.a.flowOwner(client.key, true).fail(client.key, test.soft, true)
		}
		p.ab.setFilter(func(wireFrame) bool { return false })
		timeout := tcpip.TCPUserTimeoutOption(50 * time.Millisecond)
		client.ep.SetSockOpt(&timeout)
		client.Write([]byte("x"))
		client.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err := client.Read(make([]byte, 1))
		wantErrno(t, err, test.want)
		p.ab.setFilter(nil)
	}
}

// TestTCPLocal: a host reaches itself, and nothing of it is on the wire.
func TestTCPLocal(t *testing.T) {
	p := newPair(t, func(c *Config) { c.GSOMaxSize = 65536 })
	l, err := p.a.ListenTCP(port(addrA2, 80))
	if err != nil {
		t.Fatal(err)
	}
	client, err := p.a.DialTCP(context.Background(), anyAddr, l.AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("hello"), 1<<20)
	go func() {
		client.Write(sent)
		client.CloseWrite()
	}()
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("read %d octets, %v", len(got), err)
	}
	if got := p.ab.logged(); len(got) != 0 {
		t.Errorf("sent %x", got[0].data)
	}
}
