package netnstest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Link is one Ethernet link: a bridge in a namespace of its own, which has no
// IPv6 address and so takes no part in what its ports say to each other.
type Link struct {
	Namespace *Namespace
	ports     map[string]string // of the far end, "namespace interface"
}

// NewLink makes a link without ports.
func NewLink(t testing.TB) *Link {
	t.Helper()
	l := &Link{Namespace: New(t), ports: map[string]string{}}
	l.Namespace.Script(t,
		"sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
		"ip link add br0 type bridge mcast_snooping 0",
		"ip link set br0 up",
	)
	return l
}

// Plug makes an interface of the link's own namespace a port, a TAP for
// example, and brings it up.
func (l *Link) Plug(t testing.TB, name string) {
	t.Helper()
	l.Namespace.Run(t, "ip", "link", "set", name, "master", "br0", "up")
}

// Join gives n an interface on the link with this name and Ethernet address,
// and waits for its link-local address.
func (l *Link) Join(t testing.TB, n *Namespace, name, linkAddr string) {
	t.Helper()
	port := fmt.Sprintf("port%d", len(l.ports)+1)
	l.ports[n.name+" "+name] = port
	l.Namespace.Script(t,
		fmt.Sprintf("ip link add %s type veth peer name %s address %s netns %s", port, name, linkAddr, n.name),
		"ip link set "+port+" master br0 up",
	)
	n.Run(t, "ip", "link", "set", name, "up")
	n.await(t, name, "fe80::")
}

// SetPort takes the port of n's interface down or up again: down, nothing
// passes, and what else is on the link does not see it.
func (l *Link) SetPort(t testing.TB, n *Namespace, name string, up bool) {
	t.Helper()
	state := "nomaster"
	if up {
		state = "master br0"
	}
	l.Namespace.Run(t, "sh", "-c", "ip link set "+l.ports[n.name+" "+name]+" "+state)
}

// NewNode makes the namespace of a Linux host. It uses its addresses at once,
// without DAD, and takes nothing from routers.
func NewNode(t testing.TB) *Namespace {
	t.Helper()
	n := New(t)
	n.Run(t, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.dad_transmits=0",
		"net.ipv6.conf.default.accept_ra=0", "net.ipv6.conf.default.router_solicitations=0")
	return n
}

// Forward makes n a router, which sends every ICMPv6 error that it has reason
// for.
func (n *Namespace) Forward(t testing.TB) {
	t.Helper()
	n.Run(t, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.icmp.ratelimit=0")
}

// AddAddress gives n an address with its prefix length, and waits until it is
// in use.
func (n *Namespace) AddAddress(t testing.TB, name, prefix string) {
	t.Helper()
	n.Run(t, "ip", "-6", "addr", "add", prefix, "dev", name, "nodad")
	addr, _, _ := strings.Cut(prefix, "/")
	n.await(t, name, netip.MustParseAddr(addr).String()+" ")
}

// await waits for the kernel's route to an address of its own that begins like
// this, which it makes some time after the address.
func (n *Namespace) await(t testing.TB, name, addr string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		for line := range strings.Lines(n.Run(t, "ip", "-6", "route", "show", "table", "local", "dev", name)) {
			if strings.HasPrefix(line, "local "+addr) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s of %s does not come to use %s", name, n.name, addr)
		}
	}
}

// Script runs command lines inside the namespace, up to the first that fails,
// which ends the test.
func (n *Namespace) Script(t testing.TB, lines ...string) string {
	t.Helper()
	return n.Run(t, "sh", "-ec", strings.Join(lines, "\n"))
}
