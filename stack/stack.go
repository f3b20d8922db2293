package stack

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tapstack/tapstack/nd"
)

// Config parametrises a Stack. The zero value is usable.
type Config struct {
	// Logger gets what an operator wants to know; nil discards it.
	Logger *slog.Logger
	// Random is the source of chance; nil means one seeded by the operating
	// system.
	Random nd.Random
	// Resolver looks up host names for DialContext; nil means that names fail
	// with a *net.DNSError.
	Resolver func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Stack is an IPv6 host with one or more interfaces. All methods may be called
// from any goroutine.
type Stack struct {
	cfg    Config
	log    *slog.Logger
	random nd.Random
	events *eventRing

	lastSocket atomic.Uint64 // the number of the latest PacketConn

	mu         sync.Mutex // guards attaching, closing and wildcards
	closed     bool
	lastIndex  int
	wildcards  wildcards
	interfaces atomic.Pointer[[]*Interface] // replaced whole; read without mu
}

// New returns a Stack without interfaces.
func New(cfg Config) (*Stack, error) {
	s := &Stack{cfg: cfg, log: cfg.Logger, random: cfg.Random, events: newEventRing()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.random == nil {
		s.random = newRandom()
	}
	s.interfaces.Store(new([]*Interface))
	return s, nil
}

// Attach makes an interface of a link and brings it up. The Stack closes the
// link, also when Attach fails. The name is the zone of its link-local
// addresses and must be new.
func (s *Stack) Attach(name string, link Link, cfg InterfaceConfig) (*Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.attach(name, link, cfg)
	if err != nil {
		return nil, &OpError{Op: "attach", Interface: name, Err: errors.Join(err, link.Close())}
	}
	all := append(slices.Clone(s.Interfaces()), i)
	s.interfaces.Store(&all)
	i.start(cfg)
	return i, nil
}

func (s *Stack) attach(name string, link Link, cfg InterfaceConfig) (*Interface, error) {
	if s.closed {
		return nil, ErrClosed
	}
	if name == "" {
		return nil, &InvalidArgumentError{"interface name", "is empty"}
	}
	if _, exists := s.Interface(name); exists {
		return nil, &InvalidArgumentError{"interface name " + name, "is taken"}
	}
	for _, a := range cfg.Addresses {
		if err := a.Validate(); err != nil {
			return nil, err
		}
	}
	s.lastIndex++
	i, err := newInterface(s, name, s.lastIndex, link, cfg)
	if err != nil {
		return nil, err
	}
	if err := s.wildcards.open(i); err != nil {
		return nil, errors.Join(err, i.host.Close())
	}
	return i, nil
}

// Interfaces lists the interfaces in the order of attaching.
func (s *Stack) Interfaces() []*Interface { return *s.interfaces.Load() }

// Interface returns the interface called name.
func (s *Stack) Interface(name string) (*Interface, bool) {
	for _, i := range s.Interfaces() {
		if i.name == name {
			return i, true
		}
	}
	return nil, false
}

// owner returns the interface other than i that holds dst; link-local
// addresses belong to their link and are never another interface's.
func (s *Stack) owner(dst [16]byte, i *Interface) *Interface {
	all := s.Interfaces()
	if len(all) < 2 || dst[0] == 0xfe && dst[1]&0xc0 == 0x80 {
		return nil
	}
	for _, other := range all {
		if other != i && other.view.Load().Local(dst) {
			return other
		}
	}
	return nil
}

// Close removes every address in good order, closes every socket and link and
// waits until nothing of the Stack runs any more.
func (s *Stack) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	all := s.Interfaces()
	open := s.wildcards.takeAll()
	s.mu.Unlock()
	var errs []error
	for _, w := range open {
		w.shut()
	}
	for _, i := range all {
		errs = append(errs, i.close())
	}
	s.events.close()
	return errors.Join(errs...)
}
