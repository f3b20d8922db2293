package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

var (
	ours  = nd.LinkAddr{2, 0, 0, 0, 0, 0xa}
	other = nd.LinkAddr{2, 0, 0, 0, 0, 0xb}

	taken = netip.MustParsePrefix("2001:db8::80/64")
	free  = netip.MustParsePrefix("2001:db8::81/64")
)

// neighbor is another host on the link, which has the address taken.
func neighbor(t *testing.T, link stack.Link) *stack.Stack {
	t.Helper()
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	i, err := s.Attach("eth0", link, stack.InterfaceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.AddAddress(t.Context(), stack.AddressConfig{Prefix: taken, OnLink: taken.Masked()}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServesOnTheFirstFreeAddress(t *testing.T) {
	link, far := tap.Pipe(ours, other, 1500)
	client := http.Client{Transport: &http.Transport{DialContext: neighbor(t, far).DialContext, DisableKeepAlives: true}}

	ctx, stop := context.WithCancel(t.Context())
	lines := newLines()
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, slog.New(slog.NewTextHandler(lines, nil)), "tap0", link, []netip.Prefix{taken, free})
	}()
	select {
	case <-lines.serving:
	case err := <-ended:
		t.Fatalf("serve ended early: %v\n%s", err, lines)
	}
	if log := lines.String(); !strings.Contains(log, "address=2001:db8::80 node=02:00:00:00:00:0b") {
		t.Errorf("the log does not say who has the first address:\n%s", log)
	}
	page, err := client.Get("http://[2001:db8::81]/")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	if body, err := io.ReadAll(page.Body); string(body) != "all is well\n" || err != nil {
		t.Errorf("page = %q, %v", body, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve ended with %v", err)
	}
}

func TestEveryAddressTaken(t *testing.T) {
	link, far := tap.Pipe(ours, other, 1500)
	neighbor(t, far)
	err := serve(t.Context(), slog.New(slog.DiscardHandler), "tap0", link, []netip.Prefix{taken})
	if err == nil || err.Error() != "every address is in use by another node" {
		t.Errorf("serve ended with %v", err)
	}
}

// lines collects a log and says when the appliance serves.
type lines struct {
	mu      sync.Mutex
	log     bytes.Buffer
	serving chan struct{}
}

func newLines() *lines { return &lines{serving: make(chan struct{}, 1)} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Contains(b, []byte("msg=serving")) {
		l.serving <- struct{}{}
	}
	return l.log.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}
