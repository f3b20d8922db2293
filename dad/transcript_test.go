package dad

import (
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/nd"
)

// A transcript is a dialogue with one machine, one line a thing:
//
//	# a comment
//	config transmits=3         how the machine is made, before the first event
//	delay 300ms                the answer to the next question for a delay
//	0s      start 2001:db8::1  at this time, this event
//	        > probe …          an action, generated
//	1s      timer              a deadline, generated
//	1h      quiet              nothing (but what is listed) until then
//
// Play reads the lines that are not generated and writes all of them again, so
// that a transcript is right if nothing changes. Nonces are drawn as 01, 02 and
// so on; those of others can be anything else.

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := play(string(want))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// check plays a transcript written in a test.
func check(t *testing.T, want string) {
	t.Helper()
	want = strings.TrimLeft(strings.ReplaceAll(want, "\n\t", "\n"), "\n")
	want = strings.TrimRight(want, "\t")
	got, err := play(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The runner notices what a transcript gets wrong.
func TestTranscriptErrors(t *testing.T) {
	for _, text := range []string{
		"0s start 2001:db8::1 sometimes\n",
		"0s start\n",
		"0s dance 2001:db8::1\n",
		"0s stop 2001:db8::1 now\n",
		"soon start 2001:db8::1\n",
		"1s start 2001:db8::1\n0s stop 2001:db8::1\n",
		"0s start 2001:db8::1 first\n",                   // no delay given
		"delay 2s\n0s start 2001:db8::1 first\n",         // out of range
		"delay 1s\n0s start 2001:db8::1\n",               // not asked for
		"config transmits=many\n",                        // not a number
		"config colour=blue\n",                           // no such option
		"0s start 2001:db8::1\nconfig transmits=2\n",     // too late
		"0s ns 2001:db8::1 nonce=0\n",                    // half an octet
		"0s na 2001:db8::1 tll=02:00:00:00:00\n",         // too short
		"0s retrans-timer never\n0s quiet\n",             // not a duration
		"0s ns 2001:db8::1 nonce=02 colour=blue\n",       // no such field
		"0s na 2001:db8::1 dst=everybody tll=override\n", // no address
	} {
		if got, err := play(text); err == nil {
			t.Errorf("%q was played:\n%s", text, got)
		}
	}
	const wrong = "0s      start 2001:db8::1\n        > fail 2001:db8::1\n"
	if got, err := play(wrong); err != nil || got == wrong {
		t.Errorf("a wrong action passed: %v", err)
	}
}

var epoch = time.Unix(1_000_000_000, 0)

// play runs the lines of text that are not generated and returns all lines.
func play(text string) (string, error) {
	var p player
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if err := p.line(line); err != nil {
			return "", fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	p.out.WriteString(p.pending)
	if len(p.random.delays) > 0 {
		return "", fmt.Errorf("delays that nobody asked for: %v", p.random.delays)
	}
	return p.out.String(), nil
}

type player struct {
	cfg    Config
	m      *Machine
	random script
	now    time.Duration

	out     strings.Builder
	pending string // lines that go before the next event, but after timers
}

func (p *player) line(line string) error {
	word := strings.Fields(line)
	switch {
	case len(word) == 0 || word[0][0] == '#':
		p.pending += line + "\n"
		return nil
	case word[0] == ">" || len(word) == 2 && word[1] == "timer":
		return nil // generated
	case word[0] == "config" && p.m == nil:
		p.pending += line + "\n"
		for _, w := range word[1:] {
			if err := parseOption(w, &p.cfg); err != nil {
				return err
			}
		}
		return nil
	case word[0] == "delay" && len(word) == 2:
		p.pending += line + "\n"
		d, err := time.ParseDuration(word[1])
		p.random.delays = append(p.random.delays, d)
		return err
	}
	if p.m == nil {
		p.m = New(p.cfg, &p.random)
	}
	at, err := time.ParseDuration(word[0])
	if err != nil || at < p.now || len(word) < 2 {
		return fmt.Errorf("not a time, in order, and an event: %w", err)
	}
	p.now = at
	return p.event(at, word[1:])
}

func (p *player) event(at time.Duration, word []string) error {
	for {
		due, ok := p.m.Deadline()
		if !ok || due.Sub(epoch) > at {
			break
		}
		fmt.Fprintf(&p.out, "%-7s timer\n", short(due.Sub(epoch)))
		p.out.WriteString(formatActions(p.m.Advance(due)))
	}
	fmt.Fprintf(&p.out, "%s%-7s %s\n", p.pending, short(at), strings.Join(word, " "))
	p.pending = ""
	if word[0] == "quiet" {
		p.out.WriteString(formatActions(p.m.Advance(epoch.Add(at))))
		return p.random.err
	}
	ev, err := parseEvent(word)
	if err != nil {
		return err
	}
	p.out.WriteString(formatActions(p.m.Step(epoch.Add(at), ev)))
	return p.random.err
}

// short is d without the zeros of time.Duration's own format.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// script answers a machine's questions as a transcript says.
type script struct {
	delays []time.Duration
	nonces uint64
	err    error
}

func (s *script) Between(lo, hi time.Duration) time.Duration {
	if len(s.delays) == 0 {
		s.err = fmt.Errorf("no delay in [%v, %v] given", lo, hi)
		return lo
	}
	d := s.delays[0]
	s.delays = s.delays[1:]
	if d < lo || d > hi {
		s.err = fmt.Errorf("delay %v is not in [%v, %v]", d, lo, hi)
	}
	return d
}

func (s *script) Nonce() nd.Nonce {
	s.nonces++
	return nonce(s.nonces)
}

// nonce is n as six octets.
func nonce(n uint64) nd.Nonce {
	return nd.Nonce([]byte{byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func parseOption(word string, cfg *Config) (err error) {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "transmits":
		if value == "none" {
			cfg.DupAddrDetectTransmits = NoTransmits
			return nil
		}
		cfg.DupAddrDetectTransmits, err = strconv.Atoi(value)
	case "retrans":
		cfg.RetransTimer, err = time.ParseDuration(value)
	case "linkaddr":
		cfg.LinkAddr, err = nd.ParseLinkAddr(value)
	case "loopback":
		loopback, ok := map[string]Loopback{"none": LoopbackNone, "echoes": LoopbackEchoes, "unknown": LoopbackUnknown}[value]
		if !ok {
			return fmt.Errorf("unknown loopback %q", value)
		}
		cfg.Loopback = loopback
	case "no-nonce":
		cfg.NoNonce = true
	case "rfc2462":
		cfg.DelayProbeOnly, cfg.NoMulticastRADelay, cfg.AcceptUnicastDst, cfg.NoNonce = true, true, true, true
	default:
		return fmt.Errorf("unknown option %q", key)
	}
	return err
}

func parseEvent(word []string) (Event, error) {
	verb, word := word[0], word[1:]
	if len(word) == 0 {
		return nil, fmt.Errorf("%s what?", verb)
	}
	if verb == "retrans-timer" {
		d, err := time.ParseDuration(word[0])
		return SetRetransTimer{d}, err
	}
	if verb == "link-addr" {
		l, err := nd.ParseLinkAddr(word[0])
		return SetLinkAddr{l}, err
	}
	addr, err := netip.ParseAddr(word[0])
	if err != nil {
		return nil, err
	}
	word = word[1:]
	switch verb {
	case "start":
		return parseStart(Start{Addr: addr}, word)
	case "ns":
		return parseSolicit(addr, word)
	case "na":
		return parseAdvert(addr, word)
	}
	if len(word) > 0 {
		return nil, fmt.Errorf("unknown words %q", word)
	}
	switch verb {
	case "stop":
		return Stop{addr}, nil
	case "accept":
		return Accept{addr}, nil
	case "send-failed":
		return SendFailed{addr}, nil
	}
	return nil, fmt.Errorf("unknown event %q", verb)
}

func parseStart(ev Start, word []string) (Event, error) {
	for _, w := range word {
		switch w {
		case "optimistic":
			ev.Mode = Optimistic
		case "off":
			ev.Mode = Off
		case "anycast":
			ev.Anycast = true
		case "first":
			ev.First = true
		case "multicast-ra":
			ev.FromMulticastRA = true
		default:
			return nil, fmt.Errorf("unknown word %q", w)
		}
	}
	return ev, nil
}

// other is the link-layer address of the node at the far end.
var other = nd.LinkAddr{2, 0, 0, 0, 0, 9}

// parseSolicit makes a probe of another node, but for the fields given.
func parseSolicit(target netip.Addr, word []string) (Event, error) {
	ev := Solicit{
		nd.Header{Src: netip.IPv6Unspecified(), Dst: nd.SolicitedNode(target), From: other},
		&nd.NeighborSolicit{Target: target},
	}
	for _, w := range word {
		key, value, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "nonce":
			var b []byte
			b, err = hex.DecodeString(value)
			ev.Nonce = nd.Nonce(make([]byte, max(0, 6-len(b)))) + nd.Nonce(b)
		default:
			err = parseHeader(key, value, &ev.Header)
		}
		if err != nil {
			return nil, err
		}
	}
	return ev, nil
}

// parseAdvert makes a defence by another node, but for the fields given.
func parseAdvert(target netip.Addr, word []string) (Event, error) {
	ev := Advert{
		nd.Header{Src: target, Dst: nd.AllNodes, From: other},
		&nd.NeighborAdvert{Target: target},
	}
	for _, w := range word {
		key, value, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "tll":
			ev.TargetLinkAddr, err = nd.ParseLinkAddr(value)
		case "router":
			ev.Router = true
		case "solicited":
			ev.Solicited = true
		case "override":
			ev.Override = true
		default:
			err = parseHeader(key, value, &ev.Header)
		}
		if err != nil {
			return nil, err
		}
	}
	return ev, nil
}

func parseHeader(key, value string, h *nd.Header) (err error) {
	switch key {
	case "src":
		h.Src, err = netip.ParseAddr(value)
	case "dst":
		h.Dst, err = netip.ParseAddr(value)
	case "from":
		h.From, err = nd.ParseLinkAddr(value)
	default:
		err = fmt.Errorf("unknown field %q", key)
	}
	return err
}

// formatEvent is what parseEvent understands.
func formatEvent(ev Event) string {
	switch ev := ev.(type) {
	case Start:
		s := "start " + ev.Addr.String() + []string{"", " optimistic", " off"}[ev.Mode]
		if ev.Anycast {
			s += " anycast"
		}
		if ev.First {
			s += " first"
		}
		if ev.FromMulticastRA {
			s += " multicast-ra"
		}
		return s
	case Stop:
		return "stop " + ev.Addr.String()
	case Accept:
		return "accept " + ev.Addr.String()
	case SendFailed:
		return "send-failed " + ev.Addr.String()
	case SetRetransTimer:
		return "retrans-timer " + ev.RetransTimer.String()
	case SetLinkAddr:
		return "link-addr " + ev.LinkAddr.String()
	case Solicit:
		s := fmt.Sprintf("ns %v src=%v dst=%v from=%v", ev.Target, ev.Src, ev.Dst, ev.From)
		if ev.Nonce != "" {
			s += " nonce=" + formatNonce(ev.Nonce)
		}
		return s
	case Advert:
		s := fmt.Sprintf("na %v src=%v dst=%v from=%v", ev.Target, ev.Src, ev.Dst, ev.From)
		if !ev.TargetLinkAddr.IsZero() {
			s += " tll=" + ev.TargetLinkAddr.String()
		}
		return s
	}
	return fmt.Sprintf("%#v", ev)
}

// formatNonce leaves leading zeros out.
func formatNonce(n nd.Nonce) string {
	s := n.String()
	for len(s) > 2 && s[:2] == "00" {
		s = s[2:]
	}
	return s
}

func formatAction(a Action) string {
	switch a := a.(type) {
	case Listen:
		return fmt.Sprintf("listen %v for %v", a.Group, a.Addr)
	case Join:
		return fmt.Sprintf("join %v for %v", a.Group, a.Addr)
	case Leave:
		return fmt.Sprintf("leave %v for %v", a.Group, a.Addr)
	case Probe:
		s := fmt.Sprintf("probe %v to %v", a.Addr, a.Group)
		if a.Nonce != "" {
			s += " nonce=" + formatNonce(a.Nonce)
		}
		return s
	case Assign:
		if a.Optimistic {
			return "assign " + a.Addr.String() + " optimistic"
		}
		return "assign " + a.Addr.String()
	case Reject:
		d := a.Duplicate
		s := fmt.Sprintf("reject %v by %v (%v)", d.Addr, d.LinkAddr, d.Evidence)
		if d.From != d.LinkAddr {
			s += " from " + d.From.String()
		}
		return s
	case Fail:
		return "fail " + a.Addr.String()
	case Looped:
		return fmt.Sprintf("looped %v probes=%d", a.Addr, a.Probes)
	}
	return fmt.Sprintf("%#v", a)
}

func formatActions(actions []Action) string {
	var b strings.Builder
	for _, a := range actions {
		b.WriteString("        > " + formatAction(a) + "\n")
	}
	return b.String()
}
