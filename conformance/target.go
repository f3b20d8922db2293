package conformance

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Driver is a kind of host that can be tested. Its methods may be called from
// any goroutine.
type Driver interface {
	// Name is what the command line calls it: "core".
	Name() string
	// Can lists what its targets can do.
	Can() []Capability
	// Profiles are the profiles that its targets can behave by; a host that
	// has no such choice names the one that it comes closest to.
	Profiles() []string
	// Slack is how late, or early, a frame may be for what cannot be helped.
	// With 0 the target has a clock of its own, which moves only in Next.
	Slack() time.Duration
	// Parallel is how many targets there may be at once.
	Parallel() int
	// Open makes a host whose interface is down. ErrNotApplicable, perhaps
	// wrapped, says that it cannot be set up like this.
	Open(Setup) (Target, error)
}

// Coarse is a Driver of hosts whose timers are the later, the longer they are.
type Coarse interface {
	// Late is how much later, besides Slack, a timer of this duration may go
	// off.
	Late(time.Duration) time.Duration
}

// Setup is what a case wants of a host.
type Setup struct {
	Profile  string
	Knobs    []Setting
	LinkAddr nd.LinkAddr // the wish; Target.LinkAddr is what became of it
	Chance   Chance
	// Context ends what Open, and then the target, waits for; nil: nothing
	// does.
	Context context.Context
}

// Chance says how a host is to draw its random numbers, if that is in the
// tester's hands.
type Chance string

const (
	Earliest Chance = "earliest" // every delay is the shortest possible
	Latest   Chance = "latest"   // every delay is the longest possible
	Random   Chance = "random"   // drawn, from a fixed seed
)

// ErrNotApplicable says that a target cannot do what a case asks for.
var ErrNotApplicable = errors.New("not applicable")

// Target is one host under test, with one Ethernet link whose other end is
// the tester's. Its methods are called from one goroutine.
type Target interface {
	// LinkAddr is the host's Ethernet address.
	LinkAddr() nd.LinkAddr
	// Now is the time since the target was opened.
	Now() time.Duration
	// Send puts a frame on the link. It does not keep it.
	Send(frame []byte) error
	// Next returns the next frame that the host sends before or at until,
	// which may be in the past. Without one it returns ok false, not before
	// until.
	Next(until time.Duration) (f Frame, ok bool, err error)
	// Do carries out a command, as far as that can be done at once: an address
	// is then being tested. The error is what the host says against it, or
	// wraps ErrNotApplicable.
	Do(Command) error
	// View shows the tables of the host; it is called only if the driver can.
	View() (View, error)
	// Close ends the host and leaves nothing of it.
	Close() error
}

// Frame is one frame of the host and when it came.
type Frame struct {
	At   time.Duration
	Data []byte
}

// View is what a host shows of itself.
type View struct {
	Addresses  map[netip.Addr]Entry
	Duplicates []netip.Addr // that DAD refused
	Routes     []Route
	Groups     []netip.Addr
	Neighbors  map[netip.Addr]Entry
}

// Entry is the line of an address or a neighbor. States are the words of the
// RFCs in lower case.
type Entry struct {
	State    string
	LinkAddr nd.LinkAddr // of a neighbor, if it is known
	Router   bool        // of a neighbor
}

func (e Entry) String() string {
	s := e.State
	if !e.LinkAddr.IsZero() {
		s += " mac=" + e.LinkAddr.String()
	}
	if e.Router {
		s += " router"
	}
	return s
}

// Route is the line of a route. Via is zero for an on-link prefix.
type Route struct {
	Prefix netip.Prefix
	Via    netip.Addr
}

func (r Route) String() string {
	if r.Via.IsValid() {
		return r.Prefix.String() + " via " + r.Via.String()
	}
	return r.Prefix.String()
}

// notApplicable says what cannot be done.
type notApplicable struct{ what string }

func (e *notApplicable) Error() string { return e.what }
func (e *notApplicable) Unwrap() error { return ErrNotApplicable }

func cannot(words ...string) error { return &notApplicable{strings.Join(words, " ")} }
