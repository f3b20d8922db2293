// Command appliance is the program that docs/embedding.md walks through: a
// device that has an IPv6 host inside, on a TAP. It takes the first of its
// addresses that is free, serves a status page there, and says so when
// something is wrong with the address.
//
//	sudo go run ./examples/appliance tap0 2001:db8::80/64 2001:db8::81/64
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: appliance TAP ADDRESS/LEN...")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "appliance:", err)
		os.Exit(1)
	}
}

// run is main for a TAP.
func run(ctx context.Context, name string, candidates []string) error {
	link, err := openLink(name)
	if err != nil {
		return err
	}
	var prefixes []netip.Prefix
	for _, s := range candidates {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return errors.Join(err, link.Close())
		}
		prefixes = append(prefixes, p)
	}
	return serve(ctx, slog.Default(), name, link, prefixes)
}

// openLink attaches to a TAP, or creates it.
func openLink(name string) (stack.Link, error) {
	dev, err := tap.Open(tap.Config{Name: name})
	if err != nil {
		return nil, err
	}
	if err := dev.SetUp(); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return dev, nil
}

// serve is a host on link until ctx ends.
func serve(ctx context.Context, log *slog.Logger, name string, link stack.Link, candidates []netip.Prefix) (err error) {
	s, err := stack.New(stack.Config{Logger: log})
	if err != nil {
		return errors.Join(err, link.Close())
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	iface, err := s.Attach(name, link, stack.InterfaceConfig{})
	if err != nil {
		return err
	}
	go watch(ctx, log, s)

	addr, err := firstFree(ctx, log, iface, candidates)
	if err != nil {
		return err
	}
	l, err := s.Listen("tcp", net.JoinHostPort(addr.String(), "80"))
	if err != nil {
		return err
	}
	log.Info("serving", "address", l.Addr())

	server := http.Server{Handler: http.HandlerFunc(status)}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func status(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "all is well\n")
}

// firstFree adds the first of candidates that nobody else has.
func firstFree(ctx context.Context, log *slog.Logger, iface *stack.Interface, candidates []netip.Prefix) (netip.Addr, error) {
	for _, p := range candidates {
		err := add(ctx, iface, p)
		var duplicate *dad.DuplicateError
		switch {
		case err == nil:
			return p.Addr(), nil
		case errors.As(err, &duplicate):
			log.Warn("another node has the address, trying the next", "address", duplicate.Addr, "node", duplicate.LinkAddr)
		default:
			return netip.Addr{}, err
		}
	}
	return netip.Addr{}, errors.New("every address is in use by another node")
}

// add adds an address and waits for the verdict.
func add(ctx context.Context, iface *stack.Interface, p netip.Prefix) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := iface.AddAddress(ctx, stack.AddressConfig{Prefix: p, OnLink: p.Masked()})
	switch {
	case errors.Is(err, stack.ErrAddressExists):
		return iface.WaitAddress(ctx, p.Addr()) // it is ours already, or being tested
	case errors.Is(err, stack.ErrLinkDown), errors.Is(err, stack.ErrIPv6Disabled):
		return fmt.Errorf("check the cable, then start again: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no verdict, do probes come back from the link? %w", err)
	}
	return err
}

// watch says what goes wrong later.
func watch(ctx context.Context, log *slog.Logger, s *stack.Stack) {
	events := s.Subscribe()
	defer events.Close()
	for ev := range events.All(ctx) {
		switch ev.Type {
		case stack.AddressConflict:
			log.Error("another node claims our address", "address", ev.Address, "node", ev.LinkAddr)
		case stack.IPv6Disabled, stack.LinkIsDown:
			log.Error("the host is off the network", "event", ev.Type, "reason", ev.Reason)
		case stack.Lost:
			log.Warn("events were missed", "from", ev.From, "to", ev.To)
		}
	}
}
