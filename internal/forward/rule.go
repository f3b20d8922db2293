package forward

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Rule is one forward: which connections are taken, and where they go.
type Rule struct {
	// Listen is an address of the tapstack host, or unspecified for every one
	// that it has or will have, and a port.
	Listen netip.AddrPort
	// Target is "host:port" in the network of the system; the host may be a
	// name.
	Target string
}

// String returns the rule as ParseRule takes it.
func (r Rule) String() string { return "tcp:" + r.Listen.String() + "=" + r.Target }

// ParseRule parses "tcp:[ADDR]:PORT=HOST:PORT". ADDR and its brackets may be
// left out for every address.
func ParseRule(s string) (Rule, error) {
	rest, ok := strings.CutPrefix(s, "tcp:")
	listen, target, cut := strings.Cut(rest, "=")
	if !ok || !cut {
		return Rule{}, fmt.Errorf("%q is not tcp:[ADDR]:PORT=HOST:PORT", s)
	}
	addr, port, err := splitPort(listen)
	if err != nil {
		return Rule{}, err
	}
	r := Rule{Target: target}
	if addr == "" {
		addr = "::"
	}
	a, err := netip.ParseAddr(addr)
	if err != nil || !a.Is6() || a.Is4In6() || a.IsLoopback() || a.IsMulticast() || a.Zone() != "" && a.WithZone("").IsUnspecified() {
		return Rule{}, fmt.Errorf("%q is not an IPv6 address that the host can have", addr)
	}
	r.Listen = netip.AddrPortFrom(a, port)
	host, _, err := splitPort(target)
	if err != nil {
		return Rule{}, err
	}
	if host == "" {
		return Rule{}, fmt.Errorf("%q has no host", target)
	}
	return r, nil
}

// splitPort parts "host:port"; the port is a number from 1.
func splitPort(s string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not an address with a port", s)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q is not a number from 1 to 65535", text)
	}
	return host, uint16(n), nil
}
