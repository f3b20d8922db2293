package conformance

import (
	"embed"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Case is one scenario.
type Case struct {
	ID, Title    string
	Group        string // the name of its file, without .txt
	File         string
	Line         int
	Specs        []string // "RFC 4862, section 5.4.3"
	Requirements []string // identifiers of docs/requirements.txt
	Extern       []string // identifiers of the same test elsewhere
	Profiles     []string // empty: every one
	Needs        []Capability
	Knobs        []Setting
	// Text is the case as it is written, with the words of its row in place.
	Text  []string
	steps []step
}

// Setting is one knob of a host's configuration and its value: those of
// stack.Knobs, and "loopback" (none, echoes or unknown: RFC 4862, appendix A).
type Setting struct{ Name, Value string }

// Capability is something that a target can do and others cannot. A case that
// needs it is not applicable to those.
type Capability string

const (
	CanUpDown    Capability = "updown"    // up, down
	CanAddress   Capability = "addresses" // add, del
	CanAnycast   Capability = "anycast"   // add … anycast
	CanOptimist  Capability = "optimistic"
	CanGroup     Capability = "groups"    // join, leave
	CanFilter    Capability = "filters"   // filter: source filters
	CanRoute     Capability = "routes"    // route-add, route-del
	CanNeighbor  Capability = "neighbors" // neighbor-add, neighbor-del
	CanLinkAddr  Capability = "linkaddr"  // mac
	CanMTU       Capability = "mtu"       // mtu
	CanEcho      Capability = "echo"      // answers echo requests
	CanSend      Capability = "send"      // send: a datagram of a program
	CanICMP      Capability = "icmp"      // ICMPv6 errors, extension headers
	CanFragment  Capability = "fragments" // fragments and reassembles
	CanPathMTU   Capability = "pmtu"      // heeds Packet Too Big
	CanTCP       Capability = "tcp"       // has TCP
	CanView      Capability = "views"     // shows its tables
	CanForget    Capability = "flush"     // flush
	CanLifetimes Capability = "lifetimes" // add … valid= preferred=
	CanMLDv2     Capability = "mldv2"     // speaks version 2 of MLD, not the first alone
)

// capabilities are all that there are.
var capabilities = []Capability{
	CanUpDown, CanAddress, CanAnycast, CanOptimist, CanGroup, CanFilter, CanRoute, CanNeighbor, CanLinkAddr, CanMTU, CanEcho, CanSend,
	CanICMP, CanFragment, CanPathMTU, CanTCP, CanView, CanForget, CanLifetimes, CanMLDv2,
}

// step is one line of a case.
type step struct {
	line  int    // in the file
	text  string // as written: the line of the case, and what it stands for
	own   string // what it stands for alone
	words string // of it, those that say what it does: without condition and given
	spec  string // the section that it is about, if it is not those of the case
	only  []string
	given bool // its failure says nothing about the host
	do    action
}

// action is what a step does.
type action interface{ isAction() }

type (
	// stimulus is a message from a node.
	stimulus struct {
		from   node
		kind   string
		fields []field
	}
	// rawFrame is a frame given octet by octet.
	rawFrame struct{ octets []byte }
	// reflection returns the frame that the last expectation matched.
	reflection struct{}
	// answers says what a node answers by itself: "ns" for its addresses, or
	// the "probes" for any, or "nothing".
	answers struct {
		node node
		what string
	}
	// order is a command to the host.
	order struct {
		op    string
		words []string
	}
	// wait lets time pass.
	wait struct {
		d     time.Duration
		since string
	}
	// settle gives the host the time that it may be late. What it sends
	// meanwhile can still be expected.
	settle struct{}
	// label names this moment.
	label struct{ name string }
	// let gives a variable a value.
	let struct{ name, value string }
	// expect waits for frames.
	expect struct {
		window
		patterns []pattern
		any      bool // one of them is enough
		without  []pattern
	}
	// quiet demands that there be no such frame.
	quiet struct {
		window
		not []pattern // these must not come
		but []pattern // anything but these
	}
	// view looks at a table of the host.
	view struct {
		no    bool
		what  string
		words []string
	}
)

func (stimulus) isAction()   {}
func (rawFrame) isAction()   {}
func (reflection) isAction() {}
func (answers) isAction()    {}
func (order) isAction()      {}
func (wait) isAction()       {}
func (settle) isAction()     {}
func (label) isAction()      {}
func (let) isAction()        {}
func (*expect) isAction()    {}
func (*quiet) isAction()     {}
func (view) isAction()       {}

// window says when frames are to come, counted from the last stimulus, command
// or frame, or from a label.
type window struct {
	lo, hi time.Duration
	since  string
	count  int
	every  time.Duration
	// tolerance of at and every, as a fraction.
	tolerance float64
}

// Command is what a scenario tells the host to do. String is the form in which
// it is written.
type Command struct {
	Op       string // "up", "down", "add", …: the first word
	Prefix   netip.Prefix
	Addr     netip.Addr // of an address, a group, a neighbor, a destination
	Src      netip.Addr // of send; may be zero
	Via      netip.Addr // of a route; may be zero
	LinkAddr nd.LinkAddr
	Mode     string       // "", "anycast", "optimistic", "no-dad"; of filter "include" or "exclude"
	Sources  []netip.Addr // of filter
	Socket   int          // of join, leave and filter: which program's, 1 unless the case says by=
	// Valid and Preferred are lifetimes in seconds of an address; 0: for ever.
	Valid, Preferred time.Duration
	SrcPort, DstPort uint16
	Size             int // of a datagram's data; the new MTU
	text             string
}

func (c Command) String() string { return c.text }

// needs is the capability that each command asks for.
var commandNeeds = map[string]Capability{
	"up": CanUpDown, "down": CanUpDown, "add": CanAddress, "del": CanAddress, "join": CanGroup, "leave": CanGroup, "filter": CanFilter,
	"route-add": CanRoute, "route-del": CanRoute, "neighbor-add": CanNeighbor, "neighbor-del": CanNeighbor, "mac": CanLinkAddr, "mtu": CanMTU,
	"send": CanSend, "flush": CanForget,
}

//go:embed scenarios/*.txt
var scenarioFiles embed.FS

// Scenarios returns the cases that come with the package, in the order of
// files and lines.
func Scenarios() ([]*Case, error) { return ParseFS(scenarioFiles, "scenarios/*.txt") }

// ParseFS reads the scenario files that match a pattern. Definitions of
// common.txt, which comes with the package, are known in all of them.
func ParseFS(fsys fs.FS, pattern string) ([]*Case, error) {
	common, err := scenarioFiles.ReadFile("scenarios/common.txt")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(fsys, pattern)
	if err != nil {
		return nil, err
	}
	var all []*Case
	seen := map[string]*Case{}
	for _, file := range files {
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		cases, err := Parse(file, string(text), string(common))
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			if other := seen[c.ID]; other != nil {
				return nil, &SyntaxError{c.File, c.Line, fmt.Sprintf("case %s is there already, in %s:%d", c.ID, other.File, other.Line)}
			}
			seen[c.ID] = c
		}
		all = append(all, cases...)
	}
	return all, nil
}

// Length is about how long the case takes in real time, at most.
func (c *Case) Length() time.Duration {
	var d time.Duration
	for _, s := range c.steps {
		switch do := s.do.(type) {
		case wait:
			d += do.d
		case *expect:
			d += do.hi + time.Duration(max(0, do.count-1))*do.every
		case *quiet:
			d += do.hi
		}
	}
	return d
}

// isFor reports whether the case says something about a profile.
func (c *Case) isFor(profile string) bool {
	return len(c.Profiles) == 0 || slices.Contains(c.Profiles, profile)
}

// Sections are all that the case names, those of single steps too.
func (c *Case) Sections() []string {
	all := slices.Clone(c.Specs)
	for _, s := range c.steps {
		if s.spec != "" && !slices.Contains(all, s.spec) {
			all = append(all, s.spec)
		}
	}
	return all
}

// Spec is the sections of the case in one line.
func (c *Case) Spec() string { return strings.Join(c.Specs, "; ") }
