package netstack

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"
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

var _ net.Conn = (*TCPConn)(nil)
var _ net.Listener = (*TCPListener)(nil)
