package stack_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// A stack among Linux hosts and routers: each in a namespace of its own, on
// links that are bridges.

// openOn opens a TAP that is a port of the link.
func openOn(t *testing.T, l *netnstest.Link, cfg tap.Config) (dev *tap.Device) {
	t.Helper()
	l.Namespace.Do(t, func() {
		var err error
		if dev, err = tap.Open(cfg); err != nil {
			t.Fatal(err)
		}
	})
	l.Plug(t, cfg.Name)
	return dev
}

// attachTo makes a Stack with one interface, tap0, on the link.
func attachTo(t *testing.T, l *netnstest.Link, cfg stack.InterfaceConfig) (*stack.Stack, *stack.Interface) {
	t.Helper()
	return attachBy(t, tap.Config{Name: "tap0"}, l, cfg)
}

// attachBy is attachTo with a TAP of this kind.
func attachBy(t *testing.T, device tap.Config, l *netnstest.Link, cfg stack.InterfaceConfig) (*stack.Stack, *stack.Interface) {
	t.Helper()
	s, i := attach(t, openOn(t, l, device), cfg)
	if !cfg.NoLinkLocal {
		waitFor(t, "the link-local address", func() bool {
			a, ok := addressIn(i, "fe80::/64")
			return ok && a.State == stack.Preferred
		})
	}
	return s, i
}

// The Ethernet addresses of Linux nodes, and the link-local addresses that
// Linux forms of them.
const (
	mac1, mac2, mac3 = "02:00:00:00:01:01", "02:00:00:00:01:02", "02:00:00:00:01:03"
	ll1, ll2, ll3    = "fe80::ff:fe00:101", "fe80::ff:fe00:102", "fe80::ff:fe00:103"
)

// linkWith makes a link with Linux nodes, whose interfaces on it are called
// eth0 and have mac1, mac2 and so on.
func linkWith(t *testing.T, nodes int) (l *netnstest.Link, on []*netnstest.Namespace) {
	t.Helper()
	l = netnstest.NewLink(t)
	for n := range nodes {
		node := netnstest.NewNode(t)
		l.Join(t, node, "eth0", fmt.Sprintf("02:00:00:00:01:%02x", n+1))
		on = append(on, node)
	}
	return l, on
}

func mustAdd(t *testing.T, i *stack.Interface, addrs ...stack.AddressConfig) {
	t.Helper()
	for _, a := range addrs {
		if err := i.AddAddress(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
}

// offLink is an address that is used at once, without a prefix that is
// on-link.
func offLink(s string) stack.AddressConfig {
	a := instantly(s)
	a.OnLink = netip.Prefix{}
	return a
}

func mustAddRoute(t *testing.T, i *stack.Interface, prefix, via string) {
	t.Helper()
	if err := i.AddRoute(stack.RouteConfig{Prefix: netip.MustParsePrefix(prefix), Via: netip.MustParseAddr(via)}); err != nil {
		t.Fatal(err)
	}
}

// daemon is a program that runs in a namespace until the test ends.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	output strings.Builder
	once   sync.Once
	config string
}

// start starts a daemon; what it says is shown if the test fails.
func start(t *testing.T, ns *netnstest.Namespace, name string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: ns.Command(name, args...)}
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, &d.output)
		}
	})
	return d
}

// stop ends the daemon in good order.
func (d *daemon) stop() { d.end(syscall.SIGTERM) }

// kill ends it without a word.
func (d *daemon) kill() { d.end(syscall.SIGKILL) }

func (d *daemon) end(sig os.Signal) {
	d.once.Do(func() {
		d.cmd.Process.Signal(sig)
		d.cmd.Wait()
	})
}

// startRadvd starts radvd with what is in the braces of its interface eth0.
func startRadvd(t *testing.T, ns *netnstest.Namespace, statements string) *daemon {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "radvd.conf")
	writeRadvdConfig(t, config, statements)
	d := start(t, ns, "radvd", "-n", "-C", config, "-p", filepath.Join(dir, "pid"), "-m", "stderr")
	d.config = config
	return d
}

// says has radvd advertise something else from now on.
func (d *daemon) says(statements string) {
	d.t.Helper()
	writeRadvdConfig(d.t, d.config, statements)
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
}

func writeRadvdConfig(t *testing.T, file, statements string) {
	t.Helper()
	config := "interface eth0 {\nAdvSendAdvert on;\nMinRtrAdvInterval 3;\nMaxRtrAdvInterval 4;\n" + statements + "\n};\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// watcher keeps the events of a Stack.
type watcher struct {
	mu  sync.Mutex
	all []stack.Event
}

func watch(t *testing.T, s *stack.Stack) *watcher {
	w, sub := &watcher{}, s.Subscribe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range sub.All(ctx) {
			w.mu.Lock()
			w.all = append(w.all, e)
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		sub.Close()
	})
	return w
}

// of lists the events of a type so far.
func (w *watcher) of(eventType stack.EventType) (found []stack.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		if e.Type == eventType {
			found = append(found, e)
		}
	}
	return found
}

// states lists the states of the events of a type, one after the other.
func (w *watcher) states(eventType stack.EventType) (all []string) {
	for _, e := range w.of(eventType) {
		all = append(all, e.State)
	}
	return all
}

// routesTo lists the routes to exactly this prefix.
func routesTo(i *stack.Interface, prefix string) (found []rib.Route) {
	for _, r := range i.Routes() {
		if r.Prefix == netip.MustParsePrefix(prefix) {
			found = append(found, r)
		}
	}
	return found
}

// routerOf returns what a router advertises.
func routerOf(i *stack.Interface, addr string) (nd.RouterInfo, bool) {
	for _, r := range i.Routers() {
		if r.Addr == netip.MustParseAddr(addr) {
			return r, true
		}
	}
	return nd.RouterInfo{}, false
}

// addressIn returns the interface's one address in a prefix that is no
// temporary one.
func addressIn(i *stack.Interface, prefix string) (stack.Address, bool) {
	p := netip.MustParsePrefix(prefix)
	for _, a := range i.Addresses() {
		if p.Contains(a.Prefix.Addr()) && a.Origin != stack.OriginTemporary {
			return a, true
		}
	}
	return stack.Address{}, false
}

// routed is a stack on a link with Linux routers, behind which there are a
// second link and a Linux host on that:
//
//	stack 2001:db8:a::5 ── a ── 2001:db8:a::n router n 2001:db8:b::n ── b ── 2001:db8:b::9 host
//
// On link a, router 1 is mac1 and ll1, and so on. The host sends everything to
// the last router; the stack knows no router yet.
type routed struct {
	a, b    *netnstest.Link
	routers []*netnstest.Namespace
	host    *netnstest.Namespace
	s       *stack.Stack
	i       *stack.Interface
}

var routedHost = netip.MustParseAddr("2001:db8:b::9")

func newRouted(t *testing.T, cfg stack.InterfaceConfig, routers int) *routed {
	t.Helper()
	return newRoutedBy(t, tap.Config{Name: "tap0"}, cfg, routers)
}

// newRoutedBy is newRouted with a TAP of this kind.
func newRoutedBy(t *testing.T, device tap.Config, cfg stack.InterfaceConfig, routers int) *routed {
	t.Helper()
	netnstest.Require(t, "sysctl", "tcpdump")
	r := &routed{b: netnstest.NewLink(t), host: netnstest.NewNode(t)}
	r.a, r.routers = linkWith(t, routers)
	for n, router := range r.routers {
		router.Forward(t)
		router.AddAddress(t, "eth0", fmt.Sprintf("2001:db8:a::%d/64", n+1))
		r.b.Join(t, router, "eth1", fmt.Sprintf("02:00:00:00:02:%02x", n+1))
		router.AddAddress(t, "eth1", fmt.Sprintf("2001:db8:b::%d/64", n+1))
	}
	r.b.Join(t, r.host, "eth0", "02:00:00:00:02:09")
	r.host.AddAddress(t, "eth0", "2001:db8:b::9/64")
	r.host.Run(t, "ip", "-6", "route", "add", "default", "via", fmt.Sprintf("2001:db8:b::%d", routers))
	r.s, r.i = attachBy(t, device, r.a, cfg)
	mustAdd(t, r.i, instantly("2001:db8:a::5/64"))
	return r
}

// dialEcho connects the stack to the host's echo server for TCP or UDP.
func (r *routed) dialEcho(t *testing.T, network string) net.Conn {
	t.Helper()
	return dialEcho(t, r.s, r.host, network, "[2001:db8:b::9]:7")
}

// dialEcho starts an echo server for TCP or UDP in a namespace, and connects a
// stack to it. Port 0 stands for a free one.
func dialEcho(t *testing.T, s *stack.Stack, ns *netnstest.Namespace, network, address string) net.Conn {
	t.Helper()
	ns.Do(t, func() {
		if network == "udp" {
			u, err := net.ListenPacket("udp6", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { u.Close() })
			go echoPackets(u)
			address = u.LocalAddr().String()
			return
		}
		l, err := net.Listen("tcp6", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		address = l.Addr().String()
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				go func() {
					io.Copy(c, c)
					c.Close()
				}()
			}
		}()
	})
	c, err := s.DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

func echoPackets(c net.PacketConn) {
	b := make([]byte, 1<<16)
	for n, from, err := c.ReadFrom(b); err == nil; n, from, err = c.ReadFrom(b) {
		c.WriteTo(b[:n], from)
	}
}

// within is a context that ends with the test, or so much later.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// patient shortens DAD and resolution, and still leaves the kernel the time to
// answer on a machine that has much to do.
var patient = stack.InterfaceConfig{Profile: patientProfile()}

func patientProfile() stack.Profile { return patientAs(stack.Current()) }

func patientAs(p stack.Profile) stack.Profile { return profileWith(p, "300ms") }
