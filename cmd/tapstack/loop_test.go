package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// lockedBuffer can be read while a command writes it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// On a link that hands a host its own frames back, DAD never ends: one line
// says so, and `addr accept` ends it.
//
// Spec: RFC 7527, section 4.1, must, EDAD-R06
func TestEDAD_R06_AddrAddSaysThatTheLinkLoops(t *testing.T) {
	loop := tap.NewSwitch(tap.SwitchConfig{Hairpin: true})
	defer loop.Close()
	stk, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer stk.Close()
	cfg := stack.InterfaceConfig{NoLinkLocal: true}
	if err := cfg.Profile.Set("retrans_timer", "20ms"); err != nil {
		t.Fatal(err)
	}
	if _, err := stk.Attach("tap0", loop.Port(nd.LinkAddr{2, 0, 0, 0, 0, 1}), cfg); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tapstack")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tap0.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(stk, version())
	defer s.Close()
	go s.Serve(l)

	var stdout, stderr lockedBuffer
	code := make(chan int, 1)
	go func() {
		code <- execute(t.Context(), []string{"addr", "add", "2001:db8::5", "--control", path}, strings.NewReader(""), &stdout, &stderr)
	}()
	for range 1000 {
		if stderr.String() != "" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // several more rounds
	want := "tapstack: 2001:db8::5: the link loops probes back, so DAD goes on; \"tapstack addr accept 2001:db8::5\" ends it\n"
	if got := stderr.String(); got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
	var errs bytes.Buffer
	if c := execute(context.Background(), []string{"addr", "accept", "2001:db8::5", "--control", path}, strings.NewReader(""), &errs, &errs); c != 0 || errs.Len() > 0 {
		t.Errorf("addr accept: exit code %d, %s", c, &errs)
	}
	if c := <-code; c != 0 || stdout.String() != "" {
		t.Errorf("addr add: exit code %d, stdout %q, stderr %q", c, stdout.String(), stderr.String())
	}
}
