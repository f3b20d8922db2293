package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/tapstack/tapstack/rib"
)

// DialContext connects to an address. The network is tcp, tcp6, udp or udp6;
// the address is "[IPv6 address]:port", where a link-local address carries its
// zone (the interface's name or its index), or "name:port" if the Config has a
// Resolver. The source is chosen by RFC 6724. Errors are *net.OpError over a
// syscall.Errno where the network gave one. It fits
// http.Transport.DialContext.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return s.DialFrom(ctx, netip.Addr{}, network, address)
}

// DialFrom is DialContext with the source address, which must be assigned to
// the interface of the destination; the zero Addr has it chosen.
func (s *Stack) DialFrom(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
	conn, err := s.dial(ctx, source, network, address)
	if err != nil {
		return nil, dialError(network, address, err)
	}
	return conn, nil
}

func (s *Stack) dial(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
	tcp, err := transport(network)
	if err != nil {
		return nil, err
	}
	remotes, err := s.resolve(ctx, network, address)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, remote := range remotes {
		conn, err := s.dialOne(ctx, tcp, source, remote)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errs[0]
}

func (s *Stack) dialOne(ctx context.Context, tcp bool, source netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	i, err := s.route(remote.Addr())
	if err != nil {
		return nil, err
	}
	var local netip.AddrPort
	if source.IsValid() {
		if source, err = i.own(source); err != nil {
			return nil, err
		}
		local = netip.AddrPortFrom(source, 0)
	}
	remote = netip.AddrPortFrom(remote.Addr().WithZone(""), remote.Port())
	if tcp {
		return asConn(i.host.DialTCP(ctx, local, remote))
	}
	return asConn(i.host.DialUDP(local, remote))
}

// asConn keeps a nil pointer from becoming a non-nil interface.
func asConn[C net.Conn](c C, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dialError makes err a *net.OpError if it is none yet.
func dialError(network, address string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return err
	}
	return &net.OpError{Op: "dial", Net: network, Addr: stringAddr{network, address}, Err: err}
}

// stringAddr is an address as the caller wrote it.
type stringAddr struct{ network, address string }

func (a stringAddr) Network() string { return a.network }
func (a stringAddr) String() string  { return a.address }

func transport(network string) (tcp bool, err error) {
	switch network {
	case "tcp", "tcp6":
		return true, nil
	case "udp", "udp6":
		return false, nil
	}
	return false, net.UnknownNetworkError(network)
}

// splitPort parts "host:port"; the port is a number.
func splitPort(address string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return "", 0, &net.AddrError{Err: "port is not a number from 0 to 65535", Addr: address}
	}
	return host, uint16(n), nil
}

// resolve turns what a caller dials into addresses.
func (s *Stack) resolve(ctx context.Context, network, address string) ([]netip.AddrPort, error) {
	host, port, err := splitPort(address)
	if err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !a.Is6() || a.Is4In6() {
			return nil, &net.AddrError{Err: "not an IPv6 address", Addr: host}
		}
		return []netip.AddrPort{netip.AddrPortFrom(a, port)}, nil
	}
	if s.cfg.Resolver == nil || host == "" || strings.Contains(host, ":") {
		return nil, &net.DNSError{Err: "no resolver is configured", Name: host, IsNotFound: true}
	}
	found, err := s.cfg.Resolver(ctx, host)
	if err != nil {
		return nil, err
	}
	var remotes []netip.AddrPort
	for _, a := range found {
		if a.Is6() && !a.Is4In6() {
			remotes = append(remotes, netip.AddrPortFrom(a, port))
		}
	}
	if len(remotes) == 0 {
		return nil, &net.DNSError{Err: "no IPv6 address", Name: host, IsNotFound: true}
	}
	return remotes, nil
}

// route picks the interface for a destination: that of its zone, else the one
// with the best route. A link-local or multicast destination needs a zone
// unless there is one interface only (RFC 4007, section 6).
func (s *Stack) route(dst netip.Addr) (*Interface, error) {
	all := s.Interfaces()
	switch {
	case dst.IsUnspecified():
		return nil, syscall.EADDRNOTAVAIL
	case dst.Zone() != "":
		return s.zone(dst.Zone())
	case len(all) == 0:
		return nil, syscall.ENETUNREACH
	case len(all) == 1:
		return all[0], nil
	case dst.IsLinkLocalUnicast() || dst.IsMulticast():
		return nil, &net.AddrError{Err: "needs a zone: there are several interfaces", Addr: dst.String()}
	}
	var best *Interface
	var bestRoute rib.Route
	for _, i := range all {
		r, ok := i.view.Load().Lookup(dst)
		if ok && (best == nil || betterRoute(r, bestRoute)) {
			best, bestRoute = i, r
		}
	}
	if best == nil {
		return nil, syscall.ENETUNREACH
	}
	return best, nil
}

func betterRoute(a, b rib.Route) bool {
	switch {
	case a.Prefix.Bits() != b.Prefix.Bits():
		return a.Prefix.Bits() > b.Prefix.Bits()
	case a.Metric != b.Metric:
		return a.Metric < b.Metric
	}
	return a.Preference > b.Preference
}

// zone returns the interface with this name or decimal index.
func (s *Stack) zone(zone string) (*Interface, error) {
	for _, i := range s.Interfaces() {
		if i.isZone(zone) {
			return i, nil
		}
	}
	return nil, &net.AddrError{Err: "no such zone", Addr: zone}
}

// local picks the interface that holds a, which a socket is to be bound to.
func (s *Stack) local(a netip.Addr) (*Interface, error) {
	if a.Zone() != "" {
		return s.zone(a.Zone())
	}
	var found *Interface
	for _, i := range s.Interfaces() {
		if i.host.HasAddress(a.As16()) {
			if found != nil {
				return nil, &net.AddrError{Err: "needs a zone: several interfaces have it", Addr: a.String()}
			}
			found = i
		}
	}
	if found == nil {
		return nil, s.whyNotLocal(a)
	}
	return found, nil
}

// whyNotLocal tells a tentative address from one that is nowhere.
func (s *Stack) whyNotLocal(a netip.Addr) error {
	for _, i := range s.Interfaces() {
		for _, have := range i.Addresses() {
			if have.Prefix.Addr() == a {
				return ErrTentative
			}
		}
	}
	return syscall.EADDRNOTAVAIL
}
