// Package netnstest gives a test network namespaces of its own, and Ethernet
// links between them, so that a test with real TAP devices and the real kernel
// as the peer leaves nothing behind on the host.
//
//	func TestSomething(t *testing.T) {
//		netnstest.Require(t)
//		ns := netnstest.New(t)
//		var dev *tap.Device
//		ns.Do(t, func() {
//			var err error
//			if dev, err = tap.Open(tap.Config{Name: "tap0"}); err != nil {
//				t.Fatal(err)
//			}
//		})
//		t.Cleanup(func() { dev.Close() })
//		ns.Run(t, "ip", "link", "set", "tap0", "up")
//	}
//
// Tests that use it need root. Without it they are skipped, and with
// TAPSTACK_NETNS=require in the environment they fail, so that a CI job
// cannot pass by skipping them.
package netnstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Require skips the test if this process cannot make network namespaces and
// TAP devices, or if one of the programs is not installed; if
// TAPSTACK_NETNS=require is set, it fails the test instead.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	err := privileged()
	for _, p := range programs {
		if _, missing := exec.LookPath(p); err == nil {
			err = missing
		}
	}
	if err == nil {
		return
	}
	if os.Getenv("TAPSTACK_NETNS") == "require" {
		t.Fatalf("TAPSTACK_NETNS=require is set, but this test cannot run: %v", err)
	}
	t.Skipf("SKIPPED, NOT PASSED: needs network namespaces and TAP devices: %v", err)
}

// privileged says why namespaces and TAP devices cannot be made here.
func privileged() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("running as uid %d, not as root", uid)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("iproute2 is not installed: %w", err)
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// Namespace is a network namespace that lives as long as the test.
type Namespace struct {
	name string
}

var serial atomic.Int64

// New makes a namespace with its loopback interface up, and deletes it when
// the test ends.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{name: fmt.Sprintf("tapstack-%d-%d", os.Getpid(), serial.Add(1))}
	run(t, exec.Command("ip", "netns", "add", n.name))
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", n.name).CombinedOutput(); err != nil {
			t.Errorf("ip netns del %s: %v\n%s", n.name, err, out)
		}
	})
	n.Run(t, "ip", "link", "set", "lo", "up")
	return n
}

// Name is the name under which `ip netns` knows the namespace.
func (n *Namespace) Name() string { return n.name }

// Command is a command that runs inside the namespace once it is started.
func (n *Namespace) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.name, name}, args...)...)
}

// Run runs a command inside the namespace and returns what it wrote to its
// standard output. A command that fails ends the test.
func (n *Namespace) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	return run(t, n.Command(name, args...))
}

func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// Do calls f in the calling goroutine with its thread inside the namespace:
// sockets and TAP devices that f opens belong to the namespace and stay so
// after Do has returned. Goroutines that f starts are not inside. f may end
// the test.
func (n *Namespace) Do(t testing.TB, f func()) {
	t.Helper()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	inside, err := os.Open(filepath.Join("/run/netns", n.name))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()

	runtime.LockOSThread()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		t.Fatalf("setns to %s: %v", n.name, err)
	}
	defer func() {
		// A thread that cannot go back stays locked and so dies with this
		// goroutine, instead of carrying other tests into the namespace.
		if err := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Errorf("setns back: %v", err)
			return
		}
		runtime.UnlockOSThread()
	}()
	f()
}
