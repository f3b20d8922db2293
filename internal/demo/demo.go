// Package demo shows Duplicate Address Detection at work, as a story that needs
// no prior knowledge: a host adds an address that nobody has, and one that
// another host has. It shows what goes over the wire and that the failure
// leaves nothing behind.
//
//	err := demo.Memory(ctx, os.Stdout, nil)
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/internal/diagram"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

var (
	taken  = netip.MustParsePrefix("2001:db8::5/64") // the other host's
	unique = netip.MustParsePrefix("2001:db8::6/64")

	alice = nd.LinkAddr{2, 0, 0, 0, 0, 0x0a}
	bob   = nd.LinkAddr{2, 0, 0, 0, 0, 0x0b}
)

// settle is longer than an MLD report is repeated for (RFC 3810, section
// 9.11), so that a step does not show what the step before it still sends.
const settle = 1050 * time.Millisecond

// Memory tells the story with two hosts on a link in memory. It needs no
// privileges and takes about five seconds. What goes over the wire is drawn to
// drawing as an SVG, unless it is nil.
func Memory(ctx context.Context, w, drawing io.Writer) (err error) {
	s := &story{w: w, host: "bob", other: "alice", otherLinkAddr: alice}
	s.say(`Two hosts, alice (%s) and bob (%s), share one Ethernet
link, which is in the memory of this process.`, alice, bob)
	a, b := tap.Pipe(alice, bob, 1500)
	owner, closeOwner, err := attach("alice", s.wire.tap(a, "alice", ""), stack.InterfaceConfig{
		Addresses: []stack.AddressConfig{{Prefix: taken, OnLink: taken.Masked()}},
	})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	defer func() { err = errors.Join(err, closeOwner()) }()
	iface, closeHost, err := attach("bob", s.wire.tap(b, "bob", ""), stack.InterfaceConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeHost()) }()
	s.iface = iface
	s.step("alice has the address %s.", taken)
	if err := owner.WaitAddress(ctx, taken.Addr()); err != nil {
		return err
	}
	if err := s.tell(ctx); err != nil {
		return err
	}
	return s.draw(drawing)
}

// attach makes a host with one interface, whose link-local address is the same
// each time that the story is told, and which says nothing that is not part of
// it.
func attach(name string, link stack.Link, cfg stack.InterfaceConfig) (i *stack.Interface, stop func() error, err error) {
	for knob, value := range map[string]string{"iid": "eui64", "gratuitous_na": "off"} {
		if err := cfg.Profile.Set(knob, value); err != nil {
			return nil, nil, errors.Join(err, link.Close())
		}
	}
	stk, err := stack.New(stack.Config{})
	if err != nil {
		return nil, nil, errors.Join(err, link.Close())
	}
	if i, err = stk.Attach(name, link, cfg); err != nil {
		return nil, nil, errors.Join(err, stk.Close())
	}
	return i, stk.Close, nil
}

// story is what both shows have in common: host adds addresses, and other has
// one of them.
type story struct {
	w             io.Writer
	host, other   string
	otherLinkAddr nd.LinkAddr
	iface         *stack.Interface // the host's
	wire          wire
	steps         int
	began         time.Time     // of the first address that the host adds
	rows          []diagram.Row // of the drawing
}

// tell goes on from where the other host has its address.
func (s *story) tell(ctx context.Context) error {
	if err := s.awaitLinkLocal(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	s.state("So far %s has only the link-local address that it made itself", s.host)

	s.step("%s adds %s, which nobody has.", s.host, unique)
	s.say(`Before it uses the address it asks the link whether somebody has it: this is
Duplicate Address Detection (DAD). For a second it waits for an answer.`)
	if err := s.add(ctx, unique); err != nil {
		return fmt.Errorf("%v should have been unique: %w", unique, err)
	}
	s.say("No answer came: the address is assigned.")
	s.note(false, "no answer came: the address is assigned")
	s.state("Now %s has it, and with it two routes and a group", s.host)
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	before := s.snapshot()

	s.step("%s adds %s, which %s has.", s.host, taken, s.other)
	err := s.add(ctx, taken)
	var duplicate *dad.DuplicateError
	if !errors.As(err, &duplicate) {
		return fmt.Errorf("%v should have been a duplicate, but: %v", taken, err)
	}
	s.say("There was an answer. The address is not added, and the error says whose it is:\n\n  %v", err)
	s.note(true, "%v", err)
	s.state("Nothing of it is left: %s has what it had before", s.host)

	after := s.snapshot()
	switch {
	case duplicate.LinkAddr != s.otherLinkAddr:
		return fmt.Errorf("the owner is %v, not %v", s.otherLinkAddr, duplicate.LinkAddr)
	case !slices.Equal(before, after):
		return fmt.Errorf("the duplicate left something behind: before %q, after %q", before, after)
	}
	s.say("Verdict: as it should be. The unique address was assigned, the duplicate was\nrefused, its owner is known, and addresses, routes and groups are as before.")
	return nil
}

// awaitLinkLocal waits until the host's link-local address is assigned.
func (s *story) awaitLinkLocal(ctx context.Context) error {
	for _, a := range s.iface.Addresses() {
		if err := s.iface.WaitAddress(ctx, a.Prefix.Addr()); err != nil {
			return err
		}
	}
	return nil
}

// add adds an address and then shows what went over the wire because of it.
func (s *story) add(ctx context.Context, p netip.Prefix) error {
	from := s.wire.length()
	start := time.Now()
	if s.began.IsZero() {
		s.began = start
	}
	s.note(false, "add %s", p)
	err := s.iface.AddAddress(ctx, stack.AddressConfig{Prefix: p, OnLink: p.Masked()})
	frames := s.wire.about(from, p.Addr())
	s.say("On the wire (reports are sent twice; the repeats are not shown):\n\n%s", timeline(frames, start))
	s.arrows(frames)
	return err
}

func (s *story) step(format string, args ...any) {
	s.steps++
	s.say("%d. "+format, append([]any{s.steps}, args...)...)
}

// say writes a paragraph.
func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.w, format+"\n\n", args...)
}

// state shows what the host has.
func (s *story) state(format string, args ...any) {
	b := new(strings.Builder)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, line := range s.snapshot() {
		fmt.Fprintln(w, line)
	}
	_ = w.Flush() // a Builder takes everything
	s.say(format+":\n\n%s", append(args, strings.TrimSuffix(b.String(), "\n"))...)
}

// snapshot lists the host's addresses, routes and groups, their parts parted
// by tabs.
func (s *story) snapshot() (lines []string) {
	for _, a := range s.iface.Addresses() {
		lines = append(lines, fmt.Sprintf("  address\t%s\t%s", a.Prefix, a.State))
	}
	for _, r := range s.iface.Routes() {
		lines = append(lines, fmt.Sprintf("  route\t%s\t%s, held by %s", r.Prefix, r.Origin, list(r.Owners)))
	}
	for _, g := range s.iface.Groups() {
		lines = append(lines, fmt.Sprintf("  group\t%s\theld by %s", g.Addr, list(g.Holders)))
	}
	return lines
}

func list[T fmt.Stringer](all []T) string {
	var texts []string
	for _, v := range all {
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ", ")
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
