package netnstest_test

import (
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
)

func TestNamespace_DoRunsInside(t *testing.T) {
	netnstest.Require(t)
	ns := netnstest.New(t)
	ns.Run(t, "ip", "tuntap", "add", "dev", "tap7", "mode", "tap")
	if out := ns.Run(t, "ip", "link"); !strings.Contains(out, "tap7") {
		t.Errorf("ip link inside does not list tap7:\n%s", out)
	}
	inside := false
	ns.Do(t, func() {
		_, err := net.InterfaceByName("tap7")
		inside = err == nil
	})
	if !inside {
		t.Error("tap7 is not visible within Do")
	}
	if _, err := net.InterfaceByName("tap7"); err == nil {
		t.Error("tap7 is visible outside the namespace")
	}
}

func TestNamespace_DoComesBackWhenTheTestEndsInside(t *testing.T) {
	netnstest.Require(t)
	ns := netnstest.New(t)
	before := threadNamespace(t)
	var after string
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { after = threadNamespace(t) }()
		ns.Do(t, func() {
			if threadNamespace(t) == before {
				t.Error("Do runs its function outside the namespace")
			}
			runtime.Goexit() // as t.Fatal does
		})
	}()
	<-done
	if after != before {
		t.Errorf("namespace after Do = %s, want %s", after, before)
	}
}

func TestNamespace_IsDeletedWithItsTest(t *testing.T) {
	netnstest.Require(t)
	var name string
	t.Run("owner", func(t *testing.T) { name = netnstest.New(t).Name() })
	if _, err := os.Stat("/run/netns/" + name); !os.IsNotExist(err) {
		t.Errorf("namespace %s outlived its test: %v", name, err)
	}
}

func threadNamespace(t *testing.T) string {
	t.Helper()
	s, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Error(err)
	}
	return s
}

// A port that is taken from the link says nothing to its owner, whose
// interface stays up.
func TestLink_NodesReachEachOtherUntilAPortIsTaken(t *testing.T) {
	netnstest.Require(t, "ping", "sysctl")
	l, a, b := netnstest.NewLink(t), netnstest.NewNode(t), netnstest.NewNode(t)
	l.Join(t, a, "eth0", "02:00:00:00:00:0a")
	l.Join(t, b, "eth0", "02:00:00:00:00:0b")
	a.AddAddress(t, "eth0", "2001:db8::a/64")
	b.AddAddress(t, "eth0", "2001:db8::b/64")
	a.Run(t, "ping", "-6", "-n", "-c", "1", "-W", "10", "2001:db8::b")
	l.SetPort(t, b, "eth0", false)
	if out, err := a.Command("ping", "-6", "-n", "-c", "1", "-W", "1", "2001:db8::b").CombinedOutput(); err == nil {
		t.Errorf("a node whose port is taken answers:\n%s", out)
	}
	if out := b.Run(t, "ip", "link", "show", "eth0"); !strings.Contains(out, "LOWER_UP") {
		t.Errorf("its interface knows:\n%s", out)
	}
	l.SetPort(t, b, "eth0", true)
	a.Run(t, "ping", "-6", "-n", "-c", "1", "-W", "10", "2001:db8::b")
}
