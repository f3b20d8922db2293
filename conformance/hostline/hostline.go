// Package hostline is the program's side of the line protocol by which
// `tapstack conform` drives hosts that it does not know: the target exec. A
// program in Go implements Host and calls Serve; docs/conformance.md has the
// protocol, for programs in other languages.
//
//	func main() {
//		if err := hostline.Serve(os.Stdin, os.Stdout, &host{}); err != nil {
//			log.Fatal(err)
//		}
//	}
package hostline

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/nd"
)

// version is the one of the protocol.
const version = "1"

// maxLine is more than the longest command: a filter of 10,000 sources.
const maxLine = 1 << 20

// Host is an IPv6 host with one interface. Its methods are called one after
// the other, Setup once and before Do and View.
//
// An error that wraps conformance.ErrNotApplicable says that the program
// cannot do this, which is no fault. Any other is what the host says against
// it.
type Host interface {
	// Hello introduces the program.
	Hello() Hello
	// Setup opens the interface and leaves the host down. It returns the
	// host's Ethernet address.
	Setup(Setup) (nd.LinkAddr, error)
	// Do carries out a command, as far as that can be done at once: an address
	// is then being tested.
	Do(conformance.Command) error
	// View shows the tables of the host. It is called only if Hello says that
	// it can.
	View() (conformance.View, error)
}

// Hello is what a program says of itself.
type Hello struct {
	Name     string // and version: "lwIP 2.1.3"
	Can      []conformance.Capability
	Profiles []string // that it can behave by; without a choice, the closest
}

// Setup is what a case wants of a host.
type Setup struct {
	Iface    string      // the interface in the namespace of the program
	Link     string      // "tap", to attach to, or "veth"
	LinkAddr nd.LinkAddr // the wish
	Profile  string
	Chance   conformance.Chance
	Knobs    []conformance.Setting
}

// Serve answers the requests of r on w for h, until r ends. The error is that
// of r or w.
func Serve(r io.Reader, w io.Writer, h Host) error {
	s := &server{host: h, out: bufio.NewWriter(w)}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		s.final(s.answer(lines.Text()))
		if err := s.out.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// server is one run of Serve.
type server struct {
	host  Host
	out   *bufio.Writer
	ready bool // Setup has been done
}

// final writes the line that ends an answer.
func (s *server) final(err error) {
	switch {
	case err == nil:
		s.data("ok")
	case errors.Is(err, conformance.ErrNotApplicable):
		s.data("cannot", strings.TrimSuffix(flat(err.Error()), ": "+conformance.ErrNotApplicable.Error()))
	default:
		s.data("refused", flat(err.Error()))
	}
}

// flat is a text in one line.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// data writes one line of words. An error stays with the writer, for Flush.
func (s *server) data(words ...string) { fmt.Fprintln(s.out, strings.Join(words, " ")) }

// cannot is the error of what this program does not know.
func cannot(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, conformance.ErrNotApplicable)...)
}

// answer writes the data lines that answer a request.
func (s *server) answer(request string) error {
	word, rest, _ := strings.Cut(request, " ")
	switch {
	case word == "hello":
		return s.hello(rest)
	case word == "setup" && s.ready:
		return errors.New("the second setup of this process")
	case word == "setup":
		return s.setup(strings.Fields(rest))
	case !s.ready:
		return fmt.Errorf("%s before setup", word)
	case word == "views":
		return s.views()
	}
	c, err := conformance.ParseCommand(request)
	if err != nil {
		return cannot("%v", err)
	}
	return s.host.Do(c)
}

func (s *server) hello(asked string) error {
	if asked != version {
		return cannot("this program speaks version %s of the protocol, not %s", version, asked)
	}
	h := s.host.Hello()
	s.data("name", flat(h.Name))
	can := []string{"can"}
	for _, c := range h.Can {
		can = append(can, string(c))
	}
	s.data(can...)
	s.data(append([]string{"profiles"}, h.Profiles...)...)
	return nil
}

// setup reads words like iface=tap0.
func (s *server) setup(words []string) error {
	var set Setup
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		knob, isKnob := strings.CutPrefix(name, "knob.")
		var err error
		switch {
		case !ok:
			err = fmt.Errorf("%q is not NAME=VALUE", w)
		case isKnob:
			set.Knobs = append(set.Knobs, conformance.Setting{Name: knob, Value: value})
		case name == "iface":
			set.Iface = value
		case name == "link":
			set.Link = value
		case name == "mac":
			set.LinkAddr, err = nd.ParseLinkAddr(value)
		case name == "profile":
			set.Profile = value
		case name == "chance":
			set.Chance = conformance.Chance(value)
		default:
			err = cannot("setup has no %s", name)
		}
		if err != nil {
			return err
		}
	}
	mac, err := s.host.Setup(set)
	if err != nil {
		return err
	}
	s.ready = true
	if mac != set.LinkAddr {
		s.data("mac", mac.String())
	}
	return nil
}

// views writes the tables, each in the order of its addresses.
func (s *server) views() error {
	v, err := s.host.View()
	if err != nil {
		return err
	}
	for _, a := range slices.SortedFunc(maps.Keys(v.Addresses), netip.Addr.Compare) {
		s.data("address", a.String(), v.Addresses[a].State)
	}
	for _, a := range v.Duplicates {
		s.data("duplicate", a.String())
	}
	for _, r := range v.Routes {
		s.data("route", r.String())
	}
	for _, g := range v.Groups {
		s.data("group", g.String())
	}
	for _, a := range slices.SortedFunc(maps.Keys(v.Neighbors), netip.Addr.Compare) {
		s.data(neighbor(a, v.Neighbors[a])...)
	}
	return nil
}

func neighbor(a netip.Addr, e conformance.Entry) []string {
	words := []string{"neighbor", a.String(), e.State}
	if !e.LinkAddr.IsZero() {
		words = append(words, e.LinkAddr.String())
	}
	if e.Router {
		words = append(words, "router")
	}
	return words
}
