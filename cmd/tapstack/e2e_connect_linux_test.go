package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/internal/forward"
)

// listen serves TCP connections on the kernel's side, each of which is closed
// when serve returns.
func (p *place) listen(address string, serve func(*net.TCPConn)) net.Listener {
	p.t.Helper()
	var l net.Listener
	var err error
	p.ns.Do(p.t, func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return l
}

// shout sends everything back in capitals once it has all of it.
func shout(c *net.TCPConn) {
	b, err := io.ReadAll(c)
	if err == nil {
		c.Write(bytes.ToUpper(b))
	}
}

func TestE2E_Connect(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.ns.Run(t, "ip", "-6", "addr", "add", "fe80::9/64", "dev", "tap0", "nodad")
	p.listen("[::]:7", shout)
	host := p.serve("--tap", "tap0", "--mac", "02:00:00:00:00:01")
	p.want("addr add 2001:db8::5/64", result{})
	p.settle()

	long := strings.Repeat("question ", 200_000)
	for _, c := range []struct{ in, line string }{
		{"question", "connect 2001:db8::9 7"},
		{"", "connect 2001:db8::9 7"},
		{long, "connect -I 2001:db8::5 2001:db8::9 7"},
		{"zone", "connect fe80::9%tap0 7"},
		{"dev", "connect fe80::9 7 dev tap0"},
	} {
		if diff := cmp.Diff(result{Stdout: strings.ToUpper(c.in)}, p.do(c.in, strings.Split(c.line, " ")...)); diff != "" {
			t.Errorf("tapstack %s with %d octets (-want +got):\n%.2000s", c.line, len(c.in), diff)
		}
	}
	for line, want := range map[string]result{
		"connect 2001:db8::9 80":                 {Code: 1, Stderr: "tapstack: connect to [2001:db8::9]:80 on tap0: connection refused\n"},
		"connect 2001:db8:7::9 80":               {Code: 1, Stderr: "tapstack: connect to [2001:db8:7::9]:80 on tap0: network is unreachable\n"},
		"connect 2001:db8::77 80":                {Code: 1, Stderr: "tapstack: connect to [2001:db8::77]:80 on tap0: no route to host\n"},
		"connect -I 2001:db8::77 2001:db8::9 80": {Code: 4, Stderr: "tapstack: connect from 2001:db8::77 on tap0: no such address\n"},
		"connect fe80::9%tap1 80":                {Code: 4, Stderr: "tapstack: no tapstack process serves tap1: running for tap0\n"},
	} {
		p.want(line, want)
	}
	cmd := p.command("connect", "2001:db8::9", "7")
	directory, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = directory, &stderr
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || stderr.String() != "tapstack: standard input: is a directory\n" {
		t.Errorf("a directory as standard input: %v, %s", err, &stderr)
	}
	s, _ := p.startConnected("connect", "2001:db8::9", "7")
	host.exit(syscall.SIGKILL)
	if code := s.exit(0); code != 5 || !isLine(s.stderr.String()) {
		t.Errorf("the process is killed: exit code %d, stderr %q", code, &s.stderr)
	}
}

// startConnected starts a command whose standard input stays open.
func (p *place) startConnected(args ...string) (*process, io.Writer) {
	p.t.Helper()
	cmd := p.command(args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	s := p.start(cmd)
	p.t.Cleanup(func() { in.Close() })
	return s, in
}

// The command ends when the peer has ended its direction, also while standard
// input is open; a reset is a failure; and an interrupted one leaves nothing.
func TestE2E_ConnectEnds(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.serve("--tap", "tap0")
	p.want("addr add 2001:db8::5/64", result{})
	p.listen("[::]:13", func(c *net.TCPConn) { io.WriteString(c, "now\n") })
	p.listen("[::]:14", func(c *net.TCPConn) {
		io.WriteString(c, "begin\n")
		c.Read(make([]byte, 1))
		forward.Abort(c)
	})
	gone := make(chan error, 1)
	p.listen("[::]:15", func(c *net.TCPConn) {
		io.WriteString(c, "begin\n")
		io.Copy(io.Discard, c)
		for {
			if _, err := c.Write([]byte{0}); err != nil {
				gone <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
	})

	s, _ := p.startConnected("connect", "2001:db8::9", "13")
	if code := s.exit(0); code != 0 || s.stdout.String() != "now\n" || s.stderr.String() != "" {
		t.Errorf("the peer ends: exit code %d, stdout %q, stderr %q", code, &s.stdout, &s.stderr)
	}
	s, in := p.startConnected("connect", "2001:db8::9", "14")
	<-s.lines
	if _, err := io.WriteString(in, "x"); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(0); code != 1 || s.stdout.String() != "begin\n" || s.stderr.String() != "tapstack: connection to [2001:db8::9]:14 on tap0: connection reset by peer\n" {
		t.Errorf("the peer resets: exit code %d, stdout %q, stderr %q", code, &s.stdout, &s.stderr)
	}
	s, _ = p.startConnected("connect", "2001:db8::9", "15")
	<-s.lines
	if code := s.exit(syscall.SIGINT); code != 0 || s.stderr.String() != "" {
		t.Errorf("interrupted: exit code %d, stderr %q", code, &s.stderr)
	}
	if err := <-gone; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the peer of an interrupted one sees %v", err)
	}
}

func TestE2E_ConnectUDP(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.serve("--tap", "tap0")
	p.want("addr add 2001:db8::5/64", result{})
	var l net.PacketConn
	var err error
	p.ns.Do(t, func() { l, err = net.ListenPacket("udp", "[2001:db8::9]:7") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			l.WriteTo(bytes.ToUpper(buf[:n]), from)
		}
	}()
	s, in := p.startConnected("connect", "-u", "2001:db8::9", "7")
	for _, line := range []string{"one", "two", strings.Repeat("x", 10_000)} {
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Fatal(err)
		}
		if got := <-s.lines; got != strings.ToUpper(line) {
			t.Errorf("%.20q came back for %.20q", got, line)
		}
	}
	if code := s.exit(syscall.SIGINT); code != 0 || s.stderr.String() != "" {
		t.Errorf("interrupted: exit code %d, stderr %q", code, &s.stderr)
	}
	s, in = p.startConnected("connect", "-u", "2001:db8::9", "9")
	if _, err := io.WriteString(in, "x"); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(0); code != 1 || s.stderr.String() != "tapstack: connection to [2001:db8::9]:9 on tap0: connection refused\n" {
		t.Errorf("nobody listens: exit code %d, stderr %q", code, &s.stderr)
	}
}

// A port that is forwarded is ready as soon as its address is, and "ready" does
// not wait for that.
func TestE2E_Forward(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	open := make(chan error, 1)
	port := func(l net.Listener) string {
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	shouts := port(p.listen("127.0.0.1:0", shout))
	waits := port(p.listen("127.0.0.1:0", func(c *net.TCPConn) {
		io.WriteString(c, "x")
		_, err := c.Read(make([]byte, 1))
		open <- err
	}))
	s := p.serve("--tap", "tap0", "--addr", "2001:db8::5/64",
		"--forward", "tcp:[2001:db8::5]:80=127.0.0.1:"+shouts, "--forward", "tcp::81=localhost:"+waits, "--forward", "tcp::82=127.0.0.1:1")
	p.settle()
	var c net.Conn
	for range 1000 { // the listener comes a moment after the address
		var err error
		p.ns.Do(t, func() { c, err = net.Dial("tcp", "[2001:db8::5]:80") })
		if err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if c == nil {
		t.Fatal("the port does not open")
	}
	defer c.Close()
	if _, err := io.WriteString(c, "question"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "QUESTION" {
		t.Errorf("the answer is %q, %v", b, err)
	}
	var refused net.Conn
	var err error
	p.ns.Do(t, func() { refused, err = net.Dial("tcp", "[2001:db8::5]:82") })
	if err == nil { // else the reset was quicker than the dial
		defer refused.Close()
		_, err = refused.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target refuses: %v, want %v", err, syscall.ECONNRESET)
	}
	d := p.dial("tcp", "[2001:db8::5]:81")
	if _, err := io.ReadFull(d, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(syscall.SIGTERM); code != 0 || s.stderr.String() != "" {
		t.Errorf("exit code %d, stderr %q", code, &s.stderr)
	}
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the end the peer sees %v, want %v", err, syscall.ECONNRESET)
	}
	if err := <-open; err == nil {
		t.Error("after the end the target still has its connection")
	}

	p.want("run --tap tap0 --services echo --forward tcp::7=localhost:7", result{Code: 1,
		Stderr: "tapstack: forward: tcp:[::]:7=localhost:7: listen tcp [::]:7: address already in use\n"})
}

// What the help shows works in a shell.
func TestE2E_ConnectInAPipeline(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.listen("[2001:db8::9]:80", shout)
	p.serve("--tap", "tap0")
	p.want("addr add 2001:db8::5/64", result{})
	self := p.command("connect").Args // ip netns exec NS SELF connect
	script := "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | " + strings.Join(self, " ") + " 2001:db8::9 80 | head -n 1"
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = p.command("connect").Env
	if out, err := cmd.Output(); err != nil || string(out) != "GET / HTTP/1.0\r\n" {
		t.Errorf("%s: %q, %v", script, out, err)
	}
}
