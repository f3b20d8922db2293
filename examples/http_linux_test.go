// Package examples_test runs the examples.
package examples_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// The server and the client are two hosts on two TAPs, and the kernel is the
// switch between them.
func TestHTTPServerAndClient(t *testing.T) {
	netnstest.Require(t)
	ns := netnstest.New(t)
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "./http-server", "./http-client").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ns.Run(t, "ip", "link", "add", "br0", "type", "bridge")
	ns.Run(t, "ip", "link", "set", "br0", "up")
	for _, name := range []string{"tap0", "tap1"} {
		ns.Run(t, "ip", "tuntap", "add", "dev", name, "mode", "tap")
		ns.Run(t, "ip", "link", "set", name, "master", "br0")
	}

	server := ns.Command(filepath.Join(bin, "http-server"), "tap0", "2001:db8::80/64")
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil || !strings.Contains(line, "serving http://[2001:db8::80]:80/") {
		t.Fatalf("the server said %q, %v", line, err)
	}

	got := ns.Run(t, filepath.Join(bin, "http-client"), "tap1", "2001:db8::81/64", "http://[2001:db8::80]/")
	if !strings.HasPrefix(got, "hello [2001:db8::81]:") {
		t.Errorf("the page is %q", got)
	}
}
