package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tapstack/tapstack/nd"
)

// HostError says that the program of a host failed: it is gone, does not
// answer, or says what the line protocol does not have. That is no verdict
// about the host.
type HostError struct {
	Request string // what it was asked last; empty: nothing
	Line    string // what it said that it should not have; empty: it was not that
	Why     string
	Stderr  string // the end of what it wrote to stderr
}

func (e *HostError) Error() string {
	s := "the program of the host " + e.Why
	if e.Request != "" {
		s = fmt.Sprintf("asked %q, %s", shortened(e.Request), s)
	}
	if e.Line != "" {
		s += fmt.Sprintf(": %q", shortened(e.Line))
	}
	if e.Stderr != "" {
		s += "; its stderr ends: " + e.Stderr
	}
	return s
}

// shortened is a line as far as it helps a reader.
func shortened(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

const (
	// maxAnswerLine and maxAnswerLines bound what a program can say.
	maxAnswerLine  = 1024
	maxAnswerLines = 20000
	// How long a program may take for an answer.
	answerTime, setupTime = 5 * time.Second, 15 * time.Second
)

// said is a line of a program, without its end; err is what ended them.
type said struct {
	line string
	err  error
}

var errLongLine = fmt.Errorf("writes a line of more than %d octets", maxAnswerLine)

// readLines reads what a program says until r ends or stop is closed. It reads
// no more than it can pass on.
func readLines(r io.Reader, lines chan<- said, stop <-chan struct{}) {
	defer close(lines)
	tell := func(s said) bool {
		select {
		case lines <- s:
			return s.err == nil
		case <-stop:
			return false
		}
	}
	for in := bufio.NewReaderSize(r, maxAnswerLine+1); ; {
		line, err := in.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull:
			tell(said{string(line), errLongLine})
			return
		case err != nil && len(line) == 0:
			return
		case err != nil:
			tell(said{string(line), errors.New("ends within a line")})
			return
		case !tell(said{line: string(line[:len(line)-1])}):
			return
		}
	}
}

// talk is a conversation with a program by the line protocol, one request
// after the other. After the first *HostError it is over, and that is the
// answer to every further request.
type talk struct {
	ctx    context.Context // ends waiting
	stdin  io.Writer
	lines  <-chan said
	ended  <-chan struct{} // closed when the program has ended
	death  func() string   // how it ended, and stderr is complete; after ended
	stderr func() string
	hurry  int // tests divide by it how long a program may take; 0 is 1
	over   *HostError
}

// ask makes a request and returns the lines of data that answer it. The error
// wraps ErrNotApplicable if the program cannot, is a *HostError, or is what
// the host says against it.
func (t *talk) ask(request string) (data []string, err error) {
	if t.over != nil {
		return nil, t.over
	}
	select {
	case s, open := <-t.lines:
		if open {
			return nil, t.fail("", s.line, "says something that it was not asked")
		}
		return nil, t.gone(request)
	default:
	}
	go io.WriteString(t.stdin, request+"\n") // whether it reads is seen by its answer
	limit := answerTime
	if strings.HasPrefix(request, "setup") {
		limit = setupTime
	}
	for due := t.within(limit); ; {
		line, err := t.line(request, due)
		if err != nil {
			return nil, err
		}
		final, err := t.take(request, line)
		if final || err != nil {
			return data, err
		}
		if data = append(data, line); len(data) > maxAnswerLines {
			return nil, t.fail(request, line, fmt.Sprintf("answers with more than %d lines", maxAnswerLines))
		}
	}
}

// due is a moment, and how long it was until then.
type due struct {
	at    <-chan time.Time
	after time.Duration
}

func (t *talk) within(limit time.Duration) due {
	if t.hurry > 0 {
		limit /= time.Duration(t.hurry)
	}
	return due{time.After(limit), limit}
}

// line waits for the next line of the program.
func (t *talk) line(request string, limit due) (string, error) {
	select {
	case s, open := <-t.lines:
		return t.heard(request, s, open)
	case <-limit.at:
		return "", t.fail(request, "", fmt.Sprintf("does not answer within %v", limit.after))
	case <-t.ctx.Done():
		return "", t.fail(request, "", "is not waited for: "+t.ctx.Err().Error())
	case <-t.ended:
	}
	// What it said last may still be on the way; somebody else may have its
	// stdout.
	select {
	case s, open := <-t.lines:
		return t.heard(request, s, open)
	case <-time.After(100 * time.Millisecond):
		return "", t.gone(request)
	}
}

func (t *talk) heard(request string, s said, open bool) (string, error) {
	switch {
	case !open:
		return "", t.gone(request)
	case s.err != nil:
		return "", t.fail(request, s.line, s.err.Error())
	case !utf8.ValidString(s.line):
		return "", t.fail(request, s.line, "says what is no UTF-8")
	}
	return s.line, nil
}

// take looks at one line of an answer: is it the final one, and if so, what is
// the answer?
func (t *talk) take(request, line string) (final bool, err error) {
	word, why, _ := strings.Cut(line, " ")
	if why == "" {
		why = "it does not say why"
	}
	switch {
	case line == "ok":
		return true, nil
	case word == "refused":
		return true, errors.New(why)
	case word == "cannot":
		return true, cannot(why)
	case !slices.Contains(dataWords[strings.SplitN(request, " ", 2)[0]], word):
		return false, t.fail(request, line, "says what is no answer to that")
	}
	return false, nil
}

// dataWords are the first words of the lines of data that answer a request.
var dataWords = map[string][]string{
	"hello": {"name", "can", "profiles"},
	"setup": {"mac"},
	"views": {"address", "duplicate", "route", "group", "neighbor"},
}

func (t *talk) fail(request, line, why string) *HostError {
	t.over = &HostError{request, line, why, t.stderr()}
	return t.over
}

// gone is the error of a program that says nothing any more.
func (t *talk) gone(request string) *HostError {
	select {
	case <-t.ended:
		return t.fail(request, "", t.death())
	case <-time.After(time.Second):
		return t.fail(request, "", "has closed its stdout")
	}
}

// alive is an error if the program has ended.
func (t *talk) alive() error {
	if t.over != nil {
		return t.over
	}
	select {
	case <-t.ended:
		return t.fail("", "", t.death())
	default:
		return nil
	}
}

// hello is what a program says of itself.
type hello struct {
	name     string
	can      []Capability
	profiles []string
}

const helloRequest = "hello 1"

func (t *talk) hello() (h hello, err error) {
	data, err := t.ask(helloRequest)
	if err != nil {
		return h, err
	}
	for _, line := range data {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "name":
			h.name = rest
		case "can":
			for w := range strings.FieldsSeq(rest) {
				if !slices.Contains(capabilities, Capability(w)) {
					return h, t.fail(helloRequest, line, fmt.Sprintf("can do %q, which is none of %v", w, capabilities))
				}
				h.can = append(h.can, Capability(w))
			}
		case "profiles":
			for w := range strings.FieldsSeq(rest) {
				if !slices.Contains(ProfileNames, w) {
					return h, t.fail(helloRequest, line, fmt.Sprintf("knows the profile %q, which is none of %v", w, ProfileNames))
				}
				h.profiles = append(h.profiles, w)
			}
		}
	}
	switch {
	case h.name == "":
		return h, t.fail(helloRequest, "", "does not say its name")
	case len(h.profiles) == 0:
		return h, t.fail(helloRequest, "", "names no profile that it comes close to")
	}
	return h, nil
}

// setup sets the host up on an interface and returns its Ethernet address.
func (t *talk) setup(iface, link string, s Setup) (mac nd.LinkAddr, err error) {
	request := fmt.Sprintf("setup iface=%s link=%s mac=%v profile=%s chance=%s", iface, link, s.LinkAddr, s.Profile, s.Chance)
	for _, k := range s.Knobs {
		request += " knob." + k.Name + "=" + k.Value
	}
	data, err := t.ask(request)
	if err != nil {
		return mac, fmt.Errorf("setup: %w", err)
	}
	mac = s.LinkAddr
	for _, line := range data {
		if mac, err = nd.ParseLinkAddr(strings.TrimPrefix(line, "mac ")); err != nil {
			return mac, t.fail(request, line, "has an address that is none")
		}
	}
	return mac, err
}

// view reads the tables.
func (t *talk) view() (View, error) {
	v := View{Addresses: map[netip.Addr]Entry{}, Neighbors: map[netip.Addr]Entry{}}
	data, err := t.ask("views")
	if err != nil {
		return v, err
	}
	for _, line := range data {
		if err := v.read(strings.Split(line, " ")); err != nil {
			return v, t.fail("views", line, err.Error())
		}
	}
	return v, nil
}

// read reads one line of the tables.
func (v *View) read(words []string) error {
	if len(words) < 2 {
		return errors.New("shows nothing in a line")
	}
	if words[0] == "route" {
		return v.readRoute(words[1:])
	}
	a, err := netip.ParseAddr(words[1])
	if err != nil || !a.Is6() || a.Zone() != "" {
		return errors.New("shows an address that is none")
	}
	state, more := word(words, 2), max(0, len(words)-3)
	switch words[0] {
	case "address":
		if state == "assigned" || !slices.Contains(addressStates, state) || more > 0 {
			return errors.New("shows an address not as ADDR STATE with one of the states " + strings.Join(addressStates[:len(addressStates)-1], ", "))
		}
		v.Addresses[a] = Entry{State: state}
	case "neighbor":
		return v.readNeighbor(a, words[2:])
	case "duplicate", "group":
		if len(words) > 2 {
			return errors.New("shows more than an address")
		}
		if words[0] == "group" {
			v.Groups = append(v.Groups, a)
		} else {
			v.Duplicates = append(v.Duplicates, a)
		}
	}
	return nil
}

// readNeighbor reads STATE [MAC] [router].
func (v *View) readNeighbor(a netip.Addr, words []string) error {
	e := Entry{State: word(words, 0)}
	if !slices.Contains(neighborStates, e.State) {
		return errors.New("shows a neighbor not as ADDR STATE [MAC] [router] with one of the states " + strings.Join(neighborStates, ", "))
	}
	words = words[1:]
	if len(words) > 0 && words[len(words)-1] == "router" {
		e.Router, words = true, words[:len(words)-1]
	}
	if len(words) > 0 {
		var err error
		if e.LinkAddr, err = nd.ParseLinkAddr(words[0]); err != nil || len(words) > 1 {
			return errors.New("shows a neighbor not as ADDR STATE [MAC] [router]")
		}
	}
	v.Neighbors[a] = e
	return nil
}

// readRoute reads PREFIX [via ADDR].
func (v *View) readRoute(words []string) error {
	form := errors.New("shows a route not as PREFIX [via ADDR]")
	p, err := netip.ParsePrefix(words[0])
	if err != nil || !p.Addr().Is6() || len(words) != 1 && (len(words) != 3 || words[1] != "via") {
		return form
	}
	r := Route{Prefix: p.Masked()}
	if len(words) == 3 {
		if r.Via, err = netip.ParseAddr(words[2]); err != nil || !r.Via.Is6() || r.Via.Zone() != "" {
			return form
		}
	}
	v.Routes = append(v.Routes, r)
	return nil
}

// command tells the host a command.
func (t *talk) command(c Command) error {
	_, err := t.ask(c.String())
	return err
}
