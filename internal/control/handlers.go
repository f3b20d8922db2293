package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/stack"
)

// local finds the interface of a request that names it, gives it as the zone
// of an address, or both.
func (s *Server) local(name string, a netip.Addr) (*stack.Interface, netip.Addr, error) {
	if !a.IsValid() {
		return nil, a, invalidf("an address is missing")
	}
	if zone := a.Zone(); zone != "" {
		if name != "" && name != zone {
			return nil, a, invalidf("the zone of %s is not the interface %s", a, name)
		}
		name = zone
	}
	i, err := s.iface(name)
	return i, a.WithZone(""), err
}

// addAddresses adds one address, or an array of them at once.
func (s *Server) addAddresses(w http.ResponseWriter, r *http.Request) {
	b, err := body(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	if trimmed := bytes.TrimLeft(b, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		var list []NewAddress
		var failures []AddressFailure
		if err = unmarshal(b, &list); err == nil {
			failures, err = s.addMany(r.Context(), list)
		}
		if err != nil {
			fail(w, err)
			return
		}
		reply(w, failures)
		return
	}
	var a NewAddress
	if err = unmarshal(b, &a); err == nil {
		err = s.addOne(r.Context(), a)
	}
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, struct{}{})
}

func (s *Server) addOne(ctx context.Context, a NewAddress) error {
	i, cfg, err := s.addressConfig(a)
	if err != nil {
		return err
	}
	if a.NoWait {
		return i.StartAddress(cfg)
	}
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	return explain(ctx, i.AddAddress(ctx, cfg))
}

func (s *Server) addMany(ctx context.Context, list []NewAddress) ([]AddressFailure, error) {
	failures := []AddressFailure{}
	if len(list) == 0 {
		return failures, nil
	}
	var on *stack.Interface
	var configs []stack.AddressConfig
	for n, a := range list {
		i, cfg, err := s.addressConfig(a)
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", n, err)
		}
		if on != nil && i != on || a.Timeout != list[0].Timeout || a.NoWait != list[0].NoWait {
			return nil, invalidf("element %d: interface, timeout and no_wait must be the same in all elements", n)
		}
		on = i
		configs = append(configs, cfg)
	}
	errs := make([]error, len(configs))
	if list[0].NoWait {
		for n, cfg := range configs {
			errs[n] = on.StartAddress(cfg)
		}
	} else {
		ctx, cancel := withTimeout(ctx, list[0].Timeout)
		defer cancel()
		for n, err := range on.AddAddresses(ctx, configs) {
			errs[n] = explain(ctx, err)
		}
	}
	for n, err := range errs {
		if err != nil {
			failures = append(failures, AddressFailure{configs[n].Prefix.Addr(), *errorOf(err)})
		}
	}
	return failures, nil
}

// addressConfig translates a request.
func (s *Server) addressConfig(a NewAddress) (*stack.Interface, stack.AddressConfig, error) {
	var cfg stack.AddressConfig
	i, addr, err := s.local(a.Interface, a.Address)
	if err != nil {
		return nil, cfg, err
	}
	bits := 128
	if a.PrefixLen != nil {
		bits = *a.PrefixLen
	}
	if bits < 0 || bits > 128 {
		return nil, cfg, invalidf("prefix_len is %d, not from 0 to 128", bits)
	}
	mode, ok := map[string]dad.Mode{"": dad.Normal, "normal": dad.Normal, "optimistic": dad.Optimistic, "off": dad.Off}[a.DAD]
	if !ok {
		return nil, cfg, invalidf("dad is %q, none of normal, optimistic and off", a.DAD)
	}
	if !(a.Timeout >= 0 && a.Timeout <= maxTimeout) {
		return nil, cfg, invalidf("timeout is %v, not from 0 to %v seconds", a.Timeout, maxTimeout)
	}
	cfg = stack.AddressConfig{Prefix: netip.PrefixFrom(addr, bits), DAD: mode, Anycast: a.Anycast}
	if bits < 128 && !a.NoPrefixRoute {
		cfg.OnLink = cfg.Prefix.Masked()
	}
	if v := a.ValidLifetime; v != nil && *v != infinite {
		if *v == 0 {
			return nil, cfg, invalidf("valid_lifetime is 0: the address would be gone at once")
		}
		cfg.ValidLifetime = time.Duration(*v) * time.Second
	}
	if p := a.PreferredLifetime; p != nil && *p != infinite {
		cfg.PreferredLifetime = time.Duration(*p) * time.Second
		if *p == 0 {
			cfg.PreferredLifetime = -1 // deprecated from the start
		}
	} else if cfg.ValidLifetime != 0 && p == nil {
		cfg.PreferredLifetime = cfg.ValidLifetime
	}
	if cfg.ValidLifetime != 0 && (cfg.PreferredLifetime == 0 || cfg.PreferredLifetime > cfg.ValidLifetime) {
		return nil, cfg, invalidf("preferred_lifetime is longer than valid_lifetime")
	}
	return i, cfg, nil
}

const (
	infinite   = math.MaxUint32 // seconds, as on the wire (RFC 4861, section 4.6.2)
	maxTimeout = 1e6            // seconds
)

// withTimeout ends ctx after so many seconds; 0: not by itself.
func withTimeout(ctx context.Context, seconds float64) (context.Context, context.CancelFunc) {
	if seconds == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
}

// explain says in an error that the end of ctx caused what that means for the
// address.
func explain(ctx context.Context, err error) error {
	var op *stack.OpError
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) || !errors.As(err, &op) {
		return err
	}
	e := *op
	word := "canceled"
	if errors.Is(err, context.DeadlineExceeded) {
		word = "timed out"
	}
	e.Err = reworded{word + " before DAD ended; the address was taken away again", op.Err}
	return &e
}

// reworded is an error in other words.
type reworded struct {
	text string
	error
}

func (e reworded) Error() string { return e.text }
func (e reworded) Unwrap() error { return e.error }

func (s *Server) deleteAddress(_ context.Context, a AddressRef) error {
	i, addr, err := s.existing(a)
	if err != nil {
		return err
	}
	return i.RemoveAddress(addr)
}

func (s *Server) acceptAddress(_ context.Context, a AddressRef) error {
	i, addr, err := s.existing(a)
	if err != nil {
		return err
	}
	return i.AcceptAddress(addr)
}

// existing finds the interface of a request about an address, which must have
// the prefix length that the request gives, if any.
func (s *Server) existing(a AddressRef) (*stack.Interface, netip.Addr, error) {
	i, addr, err := s.local(a.Interface, a.Address)
	if err != nil || a.PrefixLen == nil {
		return i, addr, err
	}
	for _, have := range i.Addresses() {
		if have.Prefix.Addr().WithZone("") == addr && have.Prefix.Bits() != *a.PrefixLen {
			return nil, addr, fmt.Errorf("%v/%d on %s: %w: its prefix length is %d", addr, *a.PrefixLen, i.Name(), stack.ErrNoSuchAddress, have.Prefix.Bits())
		}
	}
	return i, addr, nil
}

func (s *Server) addRoute(_ context.Context, r RouteRef) error {
	i, cfg, err := s.routeConfig(r)
	if err != nil {
		return err
	}
	return i.AddRoute(cfg)
}

func (s *Server) deleteRoute(_ context.Context, r RouteRef) error {
	i, cfg, err := s.routeConfig(r)
	if err != nil {
		return err
	}
	return i.RemoveRoute(cfg)
}

func (s *Server) routeConfig(r RouteRef) (*stack.Interface, stack.RouteConfig, error) {
	var cfg stack.RouteConfig
	if !r.Destination.IsValid() {
		return nil, cfg, invalidf("destination is missing")
	}
	if r.Destination != r.Destination.Masked() {
		return nil, cfg, invalidf("destination %v has bits beyond its length: is %v meant?", r.Destination, r.Destination.Masked())
	}
	i, via, err := s.local(r.Interface, orUnspecified(r.NextHop))
	if err != nil {
		return nil, cfg, err
	}
	cfg = stack.RouteConfig{Prefix: r.Destination, Metric: r.Metric}
	if r.NextHop.IsValid() {
		cfg.Via = via
	}
	return i, cfg, nil
}

func orUnspecified(a netip.Addr) netip.Addr {
	if a.IsValid() {
		return a
	}
	return netip.IPv6Unspecified()
}

// lookup says how a packet would be sent.
func (s *Server) lookup(w http.ResponseWriter, r *http.Request) {
	l, err := s.route(r)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, l)
}

func (s *Server) route(r *http.Request) (l Lookup, err error) {
	q, err := query(r, "interface", "destination", "source")
	if err != nil {
		return l, err
	}
	dst, err := netip.ParseAddr(q[1])
	if err != nil {
		return l, invalidf("destination: %v", err)
	}
	var src netip.Addr
	if q[2] != "" {
		if src, err = netip.ParseAddr(q[2]); err != nil {
			return l, invalidf("source: %v", err)
		}
	}
	i, dst, err := s.local(q[0], dst)
	if err != nil {
		return l, err
	}
	got, err := i.Route(dst, src.WithZone(""))
	var op *stack.OpError
	switch {
	case errors.Is(err, syscall.ENETUNREACH) && errors.As(err, &op):
		return l, &stack.OpError{Op: op.Op, Interface: op.Interface, Addr: op.Addr, Err: stack.ErrNoSuchRoute}
	case errors.Is(err, syscall.EADDRNOTAVAIL) && src.IsValid():
		return l, &stack.OpError{Op: "route from", Interface: i.Name(), Addr: src, Err: stack.ErrNoSuchAddress}
	case err != nil:
		return l, err
	}
	return Lookup{Destination: dst, NextHop: got.NextHop, Source: got.Source, Interface: i.Name(), Neighbor: got.Neighbor}, nil
}

func (s *Server) addNeighbor(_ context.Context, n NeighborRef) error {
	if n.LinkAddress.IsZero() {
		return invalidf("link_address is missing")
	}
	i, addr, err := s.local(n.Interface, n.Address)
	if err != nil {
		return err
	}
	return i.SetNeighbor(addr, n.LinkAddress)
}

func (s *Server) deleteNeighbor(_ context.Context, n NeighborRef) error {
	if !n.LinkAddress.IsZero() {
		return invalidf("link_address is not for DELETE: an address has one entry")
	}
	i, addr, err := s.local(n.Interface, n.Address)
	if err != nil {
		return err
	}
	return i.DeleteNeighbor(addr)
}

func (s *Server) flushNeighbors(_ context.Context, r InterfaceRef) error {
	i, err := s.iface(r.Interface)
	if err != nil {
		return err
	}
	return i.FlushNeighbors()
}

func (s *Server) joinGroup(_ context.Context, g GroupRef) error {
	i, group, err := s.local(g.Interface, g.Group)
	if err != nil {
		return err
	}
	return i.JoinGroup(group, g.Sources...)
}

func (s *Server) leaveGroup(_ context.Context, g GroupRef) error {
	i, group, err := s.local(g.Interface, g.Group)
	if err != nil {
		return err
	}
	return i.LeaveGroup(group, g.Sources...)
}

func (s *Server) changeLink(_ context.Context, l LinkChange) error {
	i, err := s.iface(l.Interface)
	if err != nil {
		return err
	}
	if l.Up == nil && l.MTU == nil {
		return invalidf("neither up nor mtu is given")
	}
	if l.MTU != nil {
		if err := i.SetMTU(*l.MTU); err != nil {
			return err
		}
	}
	if l.Up != nil {
		return i.SetUp(*l.Up)
	}
	return nil
}

// ping sends one Echo Request and waits for its reply.
func (s *Server) ping(w http.ResponseWriter, r *http.Request) {
	var p Ping
	err := decode(w, r, &p)
	if err != nil {
		fail(w, err)
		return
	}
	pong, err := s.echo(r.Context(), p)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, pong)
}

// maxPing is the largest payload of an Echo Request: what an IPv6 packet
// holds.
const maxPing = math.MaxUint16 - 8

func (s *Server) echo(ctx context.Context, p Ping) (Pong, error) {
	i, dst, err := s.local(p.Interface, p.Address)
	if err != nil {
		return Pong{}, err
	}
	if p.Size < 0 || p.Size > maxPing {
		return Pong{}, invalidf("size is %d, not from 0 to %d", p.Size, maxPing)
	}
	if !(p.Timeout >= 0 && p.Timeout <= maxTimeout) {
		return Pong{}, invalidf("timeout is %v, not from 0 to %v seconds", p.Timeout, maxTimeout)
	}
	if p.Timeout == 0 {
		p.Timeout = 5
	}
	ctx, cancel := withTimeout(ctx, p.Timeout)
	defer cancel()
	pinger, err := i.NewPinger(p.Source.WithZone(""))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		err = &stack.OpError{Op: "ping from", Interface: i.Name(), Addr: p.Source, Err: stack.ErrNoSuchAddress}
	}
	if err != nil {
		return Pong{}, err
	}
	defer pinger.Close()
	got, err := pinger.Ping(ctx, dst, p.Sequence, make([]byte, p.Size))
	if errors.Is(err, context.DeadlineExceeded) {
		return Pong{}, reworded{fmt.Sprintf("ping %v on %s: no reply within %v s", dst, i.Name(), p.Timeout), err}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return Pong{}, &stack.OpError{Op: "ping", Interface: i.Name(), Addr: dst, Err: errno}
	}
	if err != nil {
		return Pong{}, err
	}
	return Pong{From: got.From, HopLimit: got.HopLimit, Bytes: got.Bytes, RTT: got.RTT.Seconds()}, nil
}

// events streams events, one JSON object a line, each sent at once.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "since")
	if err != nil {
		fail(w, err)
		return
	}
	sub, err := s.subscribe(q[0])
	if err != nil {
		fail(w, err)
		return
	}
	defer sub.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return
	}
	enc := json.NewEncoder(w)
	for e := range sub.All(r.Context()) {
		if enc.Encode(e) != nil || flush() != nil {
			return
		}
	}
}

func (s *Server) subscribe(since string) (*stack.Subscription, error) {
	if since == "" {
		return s.stack.Subscribe(), nil
	}
	n, err := strconv.ParseUint(since, 10, 64)
	if err != nil {
		return nil, invalidf("since is %q, not the number of an event", since)
	}
	return s.stack.SubscribeSince(n), nil
}
