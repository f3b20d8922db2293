package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// scripted is a host that sends what it is told to, when it is told to.
type scripted struct {
	now    time.Duration
	frames []Frame
}

func (s *scripted) LinkAddr() nd.LinkAddr { return HostLinkAddr }
func (s *scripted) Now() time.Duration    { return s.now }
func (s *scripted) Do(Command) error      { return nil }
func (s *scripted) View() (View, error)   { return View{}, nil }
func (s *scripted) Close() error          { return nil }

// Send answers echo requests at once.
func (s *scripted) Send(frame []byte) error {
	p := dissect(frame)
	if p.kind != "echo" {
		return nil
	}
	reply, err := build(newNames(HostLinkAddr), node{linkAddr: HostLinkAddr, iid: 0x77}, "echo-reply",
		[]field{{"dst", "=", p.one("src")}, {"seq", "=", p.one("seq")}}, nil)
	s.frames = append([]Frame{{s.now, reply[0]}}, s.frames...)
	return err
}

func (s *scripted) Next(until time.Duration) (Frame, bool, error) {
	if len(s.frames) > 0 && s.frames[0].At <= until {
		f := s.frames[0]
		s.frames, s.now = s.frames[1:], max(s.now, f.At)
		return f, true, nil
	}
	s.now = max(s.now, until)
	return Frame{}, false, nil
}

// scriptedDriver plays the same frames in every case.
type scriptedDriver struct {
	frames []Frame
	slack  time.Duration
	can    []Capability
}

func (d scriptedDriver) Name() string         { return "scripted" }
func (d scriptedDriver) Can() []Capability    { return append(d.can, CanUpDown, CanEcho, CanMLDv2) }
func (d scriptedDriver) Profiles() []string   { return []string{"current"} }
func (d scriptedDriver) Slack() time.Duration { return d.slack }
func (d scriptedDriver) Parallel() int        { return 1 }
func (d scriptedDriver) Open(Setup) (Target, error) {
	return &scripted{frames: slices.Clone(d.frames)}, nil
}

// says reads lines "1s ns target=HOST": what a node with the host's address
// sends at that time.
func says(t *testing.T, lines string) (frames []Frame) {
	t.Helper()
	for line := range strings.SplitSeq(lines, ";") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		at, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatal(err)
		}
		var fields []field
		for _, w := range words[2:] {
			fields = append(fields, parseField(w))
		}
		built, err := build(newNames(HostLinkAddr), node{name: "HOST", linkAddr: HostLinkAddr, iid: 0x77}, words[1], fields, nil)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, Frame{at, built[0]})
	}
	return frames
}

// verdict plays steps, divided by semicolons, against a host that says this.
func verdict(t *testing.T, d scriptedDriver, steps string) Result {
	t.Helper()
	text := "case X-01 A case\n    spec RFC 4861\n    " + strings.ReplaceAll(steps, ";", "\n    ") + "\n"
	cases, err := Parse("x.txt", text, "")
	if err != nil {
		t.Fatal(err)
	}
	return playCase(context.Background(), cases[0], d, "current", Random)
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		says, steps string
		want        Verdict
	}{
		// When.
		{"0s ns", "expect ns", Pass},
		{"1ms ns", "expect ns", Fail},
		{"1s ns", "expect ns within 1s", Pass},
		{"1001ms ns", "expect ns within 1s", Fail},
		{"", "expect ns within 1s", Fail},
		{"5s ns", "expect ns at 5s", Pass},
		{"4999ms ns", "expect ns at 5s", Fail},
		{"4500ms ns", "expect ns at 5s ±10%", Pass},
		{"4400ms ns", "expect ns at 5s ±10%", Fail},
		{"500ms ns", "expect ns within 1s..3s", Fail},
		{"500ms na; 2s ns", "expect ns within 1s..3s", Pass},
		{"500ms ns; 2s ns", "expect ns within 1s..3s", Fail}, // the first decides
		{"500ms ns target=TN1; 2s ns", "expect ns target=HOST within 1s..3s", Pass},
		{"1s ns; 2s ns; 3s ns", "expect 3 ns within 1s every 1s", Pass},
		{"1s ns; 2s ns", "expect 3 ns within 1s every 1s", Fail},
		{"1s ns; 1900ms ns; 3s ns", "expect 3 ns within 1s every 1s", Fail},
		{"1s ns; 1900ms ns; 3s ns", "expect 3 ns within 1s every 1s ±10%", Pass},
		{"1s ns; 3s ns", "expect ns within 1s; expect ns at 2s", Pass},
		{"1s ns; 3s ns", "expect ns within 1s; label a; wait 1s; expect ns at 2s since a", Pass},
		{"1s ns", "wait 2s; expect ns within 1s", Fail},
		{"1s ns", "wait 1s since x; expect ns", Inconclusive},

		// What.
		{"0s ns target=TN1", "expect ns target=HOST", Fail},
		{"0s ns target=TN1", "expect ns target=HOST|TN1", Pass},
		{"0s ns target=TN1", "expect ns target!=HOST", Pass},
		{"0s ns target=TN1.p1", "expect ns target=P1", Pass},
		{"0s ns target=TN1.p2", "expect ns target=P1", Fail},
		{"0s ns", "expect ns sllao", Pass},
		{"0s ns", "expect ns no-sllao", Fail},
		{"0s ns src=::", "expect ns no-sllao dst=sn", Pass},
		{"0s ns hoplimit=64", "expect ns", Fail},
		{"0s ns hoplimit=64", "expect ns hoplimit<=64", Pass},
		{"0s ns hoplimit=64", "expect ns hoplimit>=65", Fail},
		{"0s ns checksum=bad", "expect ns", Fail},
		{"0s ns checksum=bad", "expect ns checksum=bad", Pass},
		{"0s ns code=1", "expect ns", Fail},
		{"0s report record=to_ex(sn(HOST))", "expect mld join=sn(HOST)", Pass},
		{"0s report record=to_ex(sn(HOST),TN1)", "expect mld join=sn(HOST)", Fail},
		{"0s report record=to_ex(sn(HOST),TN1,TN2)", "expect report record=to_ex(sn(HOST),TN2,TN1) records=1", Pass},
		{"0s report record=allow(sn(HOST),TN1*3)", "expect report record=allow(sn(HOST),TN1,TN2,TN3) source=TN2", Pass},
		{"0s report record=allow(sn(HOST),TN1*3)", "expect report source=TN4", Fail},
		{"0s report record=to_in(sn(HOST)) hoplimit=2", "expect mld leave=sn(HOST)", Fail},
		{"0s report record=to_in(sn(HOST)) no-alert", "expect mld leave=sn(HOST)", Fail},
		{"0s done group=sn(HOST)", "expect mld leave=sn(HOST)", Pass},
		{"0s ns target=TN1; 1s ns target=TN1", "expect ns target=$A; expect ns target=$A at 1s", Pass},
		{"0s ns target=TN1; 1s ns target=TN2", "expect ns target=$A; expect ns target=$A at 1s", Fail},
		{"0s ns target=TN1; 1s ns target=TN2", "expect ns target=$A; expect ns target!=$A target=$B at 1s", Pass},
		{"0s ns target=TN1", "expect ns target=$A within 1s; expect ns target=$B within 1s", Fail},
		{"0s ns target=TN1", "let A TN1; expect ns target=$A", Pass},

		// Several.
		{"0s ns; 1s na", "expect na within 1s; and ns", Pass},
		{"0s ns", "expect na within 1s; and ns", Fail},
		{"0s ns", "expect na within 1s; or ns", Pass},
		{"0s rs", "expect na within 1s; or ns", Fail},
		{"0s ns; 1s na", "expect na within 1s; without ns", Fail},
		{"0s na; 1s ns", "expect na within 1s; without ns", Pass},
		{"1s ns dst=HOST", "expect ns dst=HOST at 1s; without ns", Pass}, // itself
		{"0s ns; 0s ns", "expect ns; expect ns", Pass},
		{"0s ns", "expect ns; expect ns", Fail},

		// Nothing.
		{"2s ns", "no ns within 1s", Pass},
		{"1s ns", "no ns within 1s", Fail},
		{"1s ns", "no na within 1s; and ns", Fail},
		{"1s ns target=TN1", "no ns target=HOST within 1s", Pass},
		{"1s ns hoplimit=64", "no ns within 1s", Fail},
		{"1s ns", "nothing within 1s", Fail},
		{"1s ns", "nothing within 1s; but ns", Pass},
		{"500ms na; 1s ns", "nothing within 1s; but ns", Fail},
		{"1s ns; 2s na", "no na within 1s; expect na at 1s", Pass},
		{"1s ns", "expect ns within 1s; no ns within 1s", Pass},

		// What answers the first of several stimuli counts.
		{"", "TN1 echo seq=1; TN1 echo seq=2; expect echo-reply seq=1; and echo-reply seq=2", Pass},
		{"", "TN1 echo seq=1; wait 1s; TN1 echo seq=2; expect echo-reply seq=1", Fail},
		{"1s ns", "up; wait 2s; up; expect ns within 1s", Fail},

		// The way to the matter.
		{"", "given expect ns; expect na", Inconclusive},
		{"0s ns", "given expect ns; expect na", Fail},
		{"", "[rfc4862] expect ns; [!rfc4862] no ns within 1s", Pass},
		{"", "[!current] expect ns; no ns within 1s", Pass},
		{"", "needs tcp; expect ns", NotApplicable},
		{"", "profiles rfc2462; expect ns", NotApplicable},
		{"", "reflect; expect ns", Inconclusive},
		{"", "no ns within 1s; has address HOST", Pass}, // it shows none
	} {
		r := verdict(t, scriptedDriver{frames: says(t, c.says)}, c.steps)
		if r.Verdict != c.want {
			t.Errorf("host says %q, case %q: %s (%s / %s), want %s", c.says, c.steps, r.Verdict, r.Expected, r.Observed, c.want)
		}
	}
}

// What a host with a real clock is late or early by counts for nothing.
func TestSlack(t *testing.T) {
	for _, c := range []struct {
		says, steps string
		want        Verdict
	}{
		{"1100ms ns", "expect ns within 1s", Pass},
		{"1101ms ns", "expect ns within 1s", Fail},
		{"4900ms ns", "expect ns at 5s", Pass},
		{"4899ms ns", "expect ns at 5s", Fail},
		{"100ms ns", "expect ns", Pass},
		{"50ms ns", "wait 10ms; settle; expect ns", Pass},
		{"950ms ns", "no na within 990ms; expect ns within 10ms", Pass},
		{"850ms ns", "no na within 990ms; expect ns within 10ms", Fail},
		{"950ms ns", "wait 1s; expect ns", Pass},
		{"900ms ns", "no ns within 1s", Fail},
		{"901ms ns", "no ns within 1s", Pass},
	} {
		d := scriptedDriver{frames: says(t, c.says), slack: 100 * time.Millisecond}
		if r := verdict(t, d, c.steps); r.Verdict != c.want {
			t.Errorf("host says %q, case %q: %s (%s / %s), want %s", c.says, c.steps, r.Verdict, r.Expected, r.Observed, c.want)
		}
	}
}

// A result says what was expected and what came closest, and marks the frame.
func TestResultTellsWhatDecided(t *testing.T) {
	d := scriptedDriver{frames: says(t, "0s rs; 100ms ns target=TN1; 200ms na")}
	r := verdict(t, d, "up; spec RFC 4862, section 5.4.3; expect ns target=HOST within 1s")
	if r.Section != "RFC 4862, section 5.4.3" || r.Line != 5 || !strings.Contains(r.Expected, "ns target=HOST") ||
		!strings.Contains(r.Observed, "target is fe80::a1") || r.Deviating < 0 || !strings.Contains(r.Trace[r.Deviating].Text, "neighbor solicitation") {
		t.Errorf("%+v", r)
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "\n!      100ms < ") {
		t.Errorf("the frame is not marked:\n%s", &b)
	}
}

// A node that answers does so for its own addresses, and no longer when it is
// told.
func TestAnswers(t *testing.T) {
	d := scriptedDriver{frames: says(t, "0s ns target=TN1; 1s ns target=TN2; 2s ns target=TN1 src=::; 3s ns target=TN1.p1; 4s ns target=TN1")}
	r := verdict(t, d, "TN1 answers ns; wait 3500ms; TN1 answers nothing; no na within 2s")
	var sent []string
	for _, ev := range r.Trace {
		if ev.What == Received {
			sent = append(sent, ev.At.String()+" "+dissect(ev.Frame).one("target")+" S="+dissect(ev.Frame).one("S"))
		}
	}
	if got := strings.Join(sent, ", "); got != "0s fe80::a1 S=1, 3s 2001:db8:1::a1 S=1" {
		t.Errorf("answers: %s", got)
	}
}

// flaky is late the first time.
type flaky struct {
	scriptedDriver
	opened *int
}

func (d flaky) Open(s Setup) (Target, error) {
	*d.opened++
	if *d.opened == 1 {
		return &scripted{}, nil
	}
	return d.scriptedDriver.Open(s)
}

// In real time a case that fails is tried again before it is believed.
func TestRunner_TriesAgainInRealTime(t *testing.T) {
	cases, err := Parse("x.txt", "case X-01 A case\n    spec RFC 4861\n    expect ns\n", "")
	if err != nil {
		t.Fatal(err)
	}
	for slack, want := range map[time.Duration]Verdict{0: Fail, time.Millisecond: Pass} {
		d := flaky{scriptedDriver{frames: says(t, "0s ns"), slack: slack}, new(int)}
		r := Runner{Driver: d}.Run(context.Background(), cases)[0]
		if r.Verdict != want || (r.Tries == 2) != (want == Pass) {
			t.Errorf("slack %v: %s at try %d, want %s", slack, r.Verdict, r.Tries, want)
		}
	}
}

// interrupted is interrupted when it is tried for the second time.
type interrupted struct {
	scriptedDriver
	opened    *int
	interrupt func()
}

func (d interrupted) Open(s Setup) (Target, error) {
	if *d.opened++; *d.opened == 2 {
		d.interrupt()
	}
	return d.scriptedDriver.Open(s)
}

// What a case failed for is not forgotten because its next try was interrupted.
func TestRunner_AnInterruptedTryDecidesNothing(t *testing.T) {
	cases, err := Parse("x.txt", "case X-01 A case\n    spec RFC 4861\n    expect na within 100ms\n", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d := interrupted{scriptedDriver{frames: says(t, "1s ns"), slack: time.Millisecond}, new(int), cancel}
	if r := (Runner{Driver: d}).Run(ctx, cases)[0]; r.Verdict != Fail || r.Tries != 1 || *d.opened != 2 {
		t.Errorf("%s at try %d of %d: %s", r.Verdict, r.Tries, *d.opened, r.Observed)
	}
}
