package tap_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/tap"
	"golang.org/x/sys/unix"
)

// variants are the ways to drive a TAP on Linux.
var variants = []struct {
	name string
	cfg  tap.Config
}{
	{"linux", tap.Config{Backend: tap.Linux}},
	{"linux without offload", tap.Config{Backend: tap.Linux, NoOffload: true}},
	{"water", tap.Config{Backend: tap.Water}},
}

// eachVariant runs a test for each variant, in a namespace of its own whose
// kernel sends nothing by itself.
func eachVariant(t *testing.T, f func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config)) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) { f(t, quietNamespace(t), v.cfg) })
	}
}

func quietNamespace(t testing.TB) *netnstest.Namespace {
	t.Helper()
	netnstest.Require(t)
	ns := netnstest.New(t)
	ns.Run(t, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
	return ns
}

// open opens a device inside ns.
func open(t testing.TB, ns *netnstest.Namespace, cfg tap.Config) (d *tap.Device, err error) {
	t.Helper()
	ns.Do(t, func() { d, err = tap.Open(cfg) })
	if err == nil {
		t.Cleanup(func() { d.Close() })
	}
	return d, err
}

// openUp opens tap0 inside ns and brings it up.
func openUp(t testing.TB, ns *netnstest.Namespace, cfg tap.Config) *tap.Device {
	t.Helper()
	cfg.Name = "tap0"
	d, err := open(t, ns, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetUp(); err != nil {
		t.Fatal(err)
	}
	return d
}

// exists reports whether ns has an interface of this name.
func exists(t testing.TB, ns *netnstest.Namespace, name string) (ok bool) {
	t.Helper()
	ns.Do(t, func() {
		_, err := net.InterfaceByName(name)
		ok = err == nil
	})
	return ok
}

// kernelEnd is a packet socket on the kernel's end of a TAP.
type kernelEnd struct {
	t    testing.TB
	fd   int
	vnet bool
}

// kernelSide opens a packet socket for frames of one Ethernet type. With vnet
// frames carry a virtio-net header there too.
func kernelSide(t testing.TB, ns *netnstest.Namespace, name string, etherType uint16, vnet bool) *kernelEnd {
	t.Helper()
	k := &kernelEnd{t: t, vnet: vnet}
	ns.Do(t, func() {
		i, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		protocol := etherType<<8 | etherType>>8
		if k.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(k.fd) })
		if vnet {
			if err := unix.SetsockoptInt(k.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
				t.Fatal(err)
			}
		}
		// A test that waits in vain is to fail and not to hang.
		if err := unix.SetsockoptTimeval(k.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(k.fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: i.Index}); err != nil {
			t.Fatal(err)
		}
	})
	return k
}

func (k *kernelEnd) send(b []byte) {
	k.t.Helper()
	if _, err := unix.Write(k.fd, b); err != nil {
		k.t.Fatalf("the kernel refuses to send: %v", err)
	}
}

func (k *kernelEnd) receive() []byte {
	k.t.Helper()
	b := make([]byte, 1<<17)
	n, err := unix.Read(k.fd, b)
	if err != nil {
		k.t.Fatalf("nothing arrives at the kernel's end: %v", err)
	}
	return b[:n]
}

// within ends the tests, with all goroutines' stacks, instead of having f hang.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	defer time.AfterFunc(10*time.Second, func() {
		panic(t.Name() + ": " + what + " takes more than 10 s")
	}).Stop()
	f()
}

// kernelSpeaksIPv6 turns IPv6 on at the kernel's end of tap0, with address
// 2001:db8::1.
func kernelSpeaksIPv6(t testing.TB, ns *netnstest.Namespace) {
	t.Helper()
	ns.Run(t, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/tap0/disable_ipv6")
	ns.Run(t, "ip", "addr", "add", "2001:db8::1/64", "dev", "tap0", "nodad")
	// The kernel finishes by and by, and drops packets until then.
	within(t, "the kernel's address", func() {
		for !strings.Contains(ns.Run(t, "ip", "-6", "route", "show", "table", "local"), "local 2001:db8::1 ") {
		}
	})
}

func linkAddrOf(t *testing.T, ns *netnstest.Namespace, name string) (a nd.LinkAddr) {
	t.Helper()
	ns.Do(t, func() {
		i, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		a = nd.LinkAddr(i.HardwareAddr)
	})
	return a
}

func udpChecksumErrors(t *testing.T, ns *netnstest.Namespace) string {
	t.Helper()
	for line := range strings.Lines(ns.Run(t, "cat", "/proc/net/snmp6")) {
		if f := strings.Fields(line); f[0] == "Udp6InCsumErrors" {
			return f[1]
		}
	}
	t.Fatal("the kernel has no Udp6InCsumErrors")
	return ""
}
