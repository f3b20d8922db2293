package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

var (
	ownMAC  = nd.LinkAddr{2, 0, 0, 0, 0, 1}
	peerMAC = nd.LinkAddr{2, 0, 0, 0, 0, 9}
	peer    = netip.MustParsePrefix("2001:db8::9/64")
)

// prompt is a Random that never waits and makes the same nonces in every run.
type prompt struct{ n byte }

func (p *prompt) Between(lo, _ time.Duration) time.Duration { return lo }
func (p *prompt) Nonce() nd.Nonce {
	p.n++
	return nd.Nonce([]byte{0, 0, 0, 0, 0, p.n})
}

// served is a host tap0 on a link in memory whose control socket answers. On
// the same link is a peer that has peer, and the link-local address of peerMAC,
// and greets who connects to port 13.
type served struct {
	*Client
	dir    string
	socket string
	iface  *stack.Interface
	peer   *stack.Stack
	server *Server
}

// serve starts the host, whose DAD takes so long; if that is never, its
// link-local address is still in DAD.
func serve(t testing.TB, retransTimer string) *served {
	t.Helper()
	ours, theirs := tap.Pipe(ownMAC, peerMAC, 1500)
	attach := func(name, retransTimer string, link stack.Link, cfg stack.InterfaceConfig) (*stack.Stack, *stack.Interface) {
		stk, err := stack.New(stack.Config{Random: new(prompt)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := stk.Close(); err != nil {
				t.Errorf("closing %s: %v", name, err)
			}
		})
		for knob, value := range map[string]string{"retrans_timer": retransTimer, "iid": "eui64"} {
			if err := cfg.Profile.Set(knob, value); err != nil {
				t.Fatal(err)
			}
		}
		i, err := stk.Attach(name, link, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range i.Addresses() {
			if retransTimer == never {
				break
			}
			if err := i.WaitAddress(t.Context(), a.Prefix.Addr()); err != nil {
				t.Fatal(err)
			}
		}
		return stk, i
	}
	other, _ := attach("peer", quick, theirs, stack.InterfaceConfig{Addresses: []stack.AddressConfig{{Prefix: peer, OnLink: peer.Masked()}}})
	stk, iface := attach("tap0", retransTimer, ours, stack.InterfaceConfig{})

	dir, err := os.MkdirTemp("", "tapstack") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &served{dir: dir, socket: filepath.Join(dir, "tap0.sock"), iface: iface, peer: other}
	s.listen(t, 13, func(c net.Conn) { io.WriteString(c, "hello\n") })
	l, err := Listen(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	s.Client = NewClient(s.socket)
	s.server = NewServer(stk, Version{Tapstack: "v1.2.3", Go: "go1.26", GVisor: "v0.1"})
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(l) }()
	t.Cleanup(func() {
		if err := s.server.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// listen has the peer serve the TCP connections to a port, each of which is
// closed when serve returns.
func (s *served) listen(t testing.TB, port uint16, serve func(net.Conn)) {
	t.Helper()
	l, err := s.peer.Listen("tcp", netip.AddrPortFrom(peer.Addr(), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

// ask makes a request with a client that is not ours and returns the status
// and the body.
func (s *served) ask(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket)
		},
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://tapstack"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// want asks and compares the whole answer.
func (s *served) want(t testing.TB, method, path, body string, status int, answer string) {
	t.Helper()
	gotStatus, got := s.ask(t, method, path, body)
	if gotStatus != status || strings.TrimSuffix(got, "\n") != answer {
		t.Errorf("%s %s %s\ngot  %d %s\nwant %d %s", method, path, body, gotStatus, strings.TrimSuffix(got, "\n"), status, answer)
	}
}

// wantError asks and compares the kind and exit code of the error, which must
// be one object of three fields.
func (s *served) wantError(t testing.TB, method, path, body string, status int, kind string, exit int) {
	t.Helper()
	gotStatus, got := s.ask(t, method, path, body)
	if err := checkError(gotStatus, got, status, kind, exit); err != nil {
		t.Errorf("%s %s %.80s: %v", method, path, body, err)
	}
}

func checkError(gotStatus int, got string, status int, kind string, exit int) error {
	d := json.NewDecoder(bytes.NewReader([]byte(got)))
	d.DisallowUnknownFields()
	var e Error
	if err := d.Decode(&e); err != nil || e.Message == "" {
		return fmt.Errorf("answer %d %q is not an error object: %v", gotStatus, got, err)
	}
	if gotStatus != status || e.Kind != kind || e.Exit != exit {
		return fmt.Errorf("got %d %s, want %d, kind %s, exit %d", gotStatus, got, status, kind, exit)
	}
	return nil
}

func newPipe() (a, b *tap.End) {
	return tap.Pipe(nd.LinkAddr{2, 0, 0, 0, 0, 2}, nd.LinkAddr{2, 0, 0, 0, 0, 3}, 1500)
}
