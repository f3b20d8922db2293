//go:build !race

package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// kernels are two hosts that are kernels, on a cable, and tcpdump on the end of
// the second.
type kernels struct {
	a, b  *netnstest.Namespace
	macA  string
	file  string
	taker *exec.Cmd
}

func newKernels(t *testing.T) *kernels {
	k := &kernels{a: netnstest.New(t), b: netnstest.New(t), macA: "02:00:00:00:0a:01", file: filepath.Join(t.TempDir(), "capture.pcap")}
	k.a.Run(t, "ip", "link", "add", "eth0", "address", k.macA, "type", "veth", "peer", "name", "eth0", "netns", k.b.Name())
	k.b.Run(t, "ip", "link", "set", "eth0", "up")
	k.taker = k.b.Command("tcpdump", "-i", "eth0", "-U", "-w", k.file)
	if err := k.taker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.taker.Process.Kill() })
	// It has begun when its header is written.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if info, err := os.Stat(k.file); err == nil && info.Size() >= 24 {
			return k
		}
		if time.Now().After(deadline) {
			t.Fatal("tcpdump does not begin")
		}
	}
}

// departures ends the capture and returns what is said of the first host, as
// it was written and as pcapng.
func (k *kernels) departures(t *testing.T) []Departure {
	t.Helper()
	k.taker.Process.Signal(syscall.SIGINT)
	k.taker.Wait()
	found := k.check(t, k.file)
	if tshark, err := exec.LookPath("tshark"); err == nil {
		ng := k.file + "ng"
		if out, err := exec.Command(tshark, "-F", "pcapng", "-r", k.file, "-w", ng).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if again := k.check(t, ng); len(again) != len(found) {
			t.Errorf("%d departures in pcap, %d in pcapng", len(found), len(again))
		}
	}
	return found
}

func (k *kernels) check(t *testing.T, name string) (found []Departure) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := CheckCapture(f, CheckConfig{Slack: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range c.Hosts {
		if h.LinkAddr != k.macA {
			continue
		}
		for _, d := range h.Departures {
			// The kernel's report waits for its next tick: a probe that chance
			// has leave at once is sometimes before it.
			if d.Requirement != "DAD-R22" {
				found = append(found, d)
			}
		}
		return found
	}
	t.Fatal("the host is not in the capture")
	return nil
}

// Of what a kernel does right nothing is found: it comes up, tests addresses,
// resolves a neighbor, is pinged.
func TestCheckLinux_DoesRight(t *testing.T) {
	netnstest.Require(t, "tcpdump", "ping")
	if testing.Short() {
		t.Skip("in real time")
	}
	t.Parallel()
	k := newKernels(t)
	k.a.Run(t, "ip", "link", "set", "eth0", "up")
	k.a.Run(t, "ip", "addr", "add", "2001:db8::5/64", "dev", "eth0")
	k.b.Run(t, "ip", "addr", "add", "2001:db8::6/64", "dev", "eth0")
	time.Sleep(3500 * time.Millisecond)
	k.a.Run(t, "ping", "-c", "2", "2001:db8::6")
	k.b.Run(t, "ping", "-c", "1", "2001:db8::5")
	for _, d := range k.departures(t) {
		t.Error(d)
	}
}

// The kernel keeps a duplicate, and its group, as the BSDs did in 2003: it
// never leaves it.
func TestCheckLinux_KeepsADuplicate(t *testing.T) {
	netnstest.Require(t, "tcpdump", "ping")
	if testing.Short() {
		t.Skip("in real time")
	}
	t.Parallel()
	k := newKernels(t)
	k.b.Run(t, "ip", "addr", "add", "2001:db8::6/64", "dev", "eth0")
	k.a.Run(t, "ip", "link", "set", "eth0", "up")
	k.a.Run(t, "ip", "addr", "add", "2001:db8::5/64", "dev", "eth0")
	time.Sleep(3500 * time.Millisecond)
	k.a.Run(t, "ip", "addr", "add", "2001:db8::6/64", "dev", "eth0")
	time.Sleep(4 * time.Second)
	k.b.Run(t, "ping", "-c", "2", "2001:db8::5")
	found := k.departures(t)
	if len(found) != 1 || found[0].Requirement != "DAD-R46" {
		t.Errorf("departures %v, want one of DAD-R46", found)
	}
}
