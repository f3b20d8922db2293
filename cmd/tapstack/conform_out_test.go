package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/conformance"
)

// --out leaves a report, even if nothing failed, and says where it is.
func TestConform_Out(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "report")
	code, stdout, stderr := command(t, "conform", "run", "--case", "DAD-09", "--out", dir)
	if code != 0 || stderr != "" || !strings.HasSuffix(stdout, ", report in "+filepath.Join(dir, "index.html")+"\n") {
		t.Errorf("exit code %d, stderr %q, stdout %q", code, stderr, stdout)
	}
	for _, name := range []string{"index.html", "junit.xml", "results.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), "DAD-09") {
			t.Errorf("%s: no DAD-09 in it, %v", name, err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 3 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if code, _, stderr := command(t, "conform", "run", "--case", "DAD-09", "--out", "/dev/null/report"); code != 1 || !strings.Contains(stderr, "--out: mkdir /dev/null") {
		t.Errorf("no such directory: exit code %d, stderr %q", code, stderr)
	}
}

// fake is a driver that is only asked who it is.
type fake struct {
	conformance.Driver
	name string
}

func (f fake) Name() string         { return f.name }
func (f fake) Profiles() []string   { return []string{"rfc4862", "current"} }
func (f fake) Slack() time.Duration { return time.Second }

// clocked is a progress whose time is in the test's hands, on a screen.
func clocked(screen *strings.Builder) (p *progress, now *time.Time) {
	now = new(time.Time)
	*now = time.Unix(1000, 0)
	p = &progress{now: func() time.Time { return *now }, began: *now, reported: *now, stop: make(chan struct{})}
	if screen != nil {
		p.screen = screen
	}
	return p, now
}

func TestProgress_Block(t *testing.T) {
	screen := new(strings.Builder)
	p, now := clocked(screen)
	a := p.watch(conformance.Runner{Driver: fake{name: "stack"}}, 3)
	b := p.watch(conformance.Runner{Driver: fake{name: "mine"}, Profiles: []string{"current"}}, 6)
	p.watch(conformance.Runner{Driver: fake{name: "core"}}, 1)
	a.Began(&conformance.Case{ID: "DAD-01"}, "current")
	*now = now.Add(2 * time.Second)
	a.Began(&conformance.Case{ID: "DAD-02"}, "current")
	b.Began(&conformance.Case{ID: "DAD-03"}, "current")
	*now = now.Add(time.Second)
	b.Progress(conformance.Result{Case: "DAD-03", Profile: "current", Verdict: conformance.Pass})
	b.Progress(conformance.Result{Case: "DAD-04", Profile: "current", Verdict: conformance.NotApplicable})
	want := `stack [------------------------] 0/6  
      running DAD-01 current for 3s
mine  [########----------------] 2/6  1 pass, 1 not-applicable
core  [------------------------] 0/2  
3s elapsed, about 2s left, without those that have not begun
`
	if diff := cmp.Diff(want, p.block()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A second try is no other case.
	for try, v := range []conformance.Verdict{conformance.Fail, conformance.Pass} {
		a.Progress(conformance.Result{Case: "DAD-01", Title: "T", Target: "stack", Profile: "current", Verdict: v, Tries: try + 1})
	}
	if block := p.block(); !strings.Contains(block, "1/6  1 pass\n      running DAD-02 current for 1s\n") {
		t.Errorf("after a second try:\n%s", block)
	}
	p.close()
	// What failed stands above the block, which is gone at the end.
	if seen := render(screen.String()); seen != "fail           DAD-01   stack    current  T (try 1)\n" {
		t.Errorf("what is left on the screen:\n%s", seen)
	}
}

// When every case has been played, those that run are tried again, and how long
// that takes nobody knows.
func TestProgress_TryingAgain(t *testing.T) {
	p, now := clocked(new(strings.Builder))
	r := p.watch(conformance.Runner{Driver: fake{name: "stack"}, Profiles: []string{"current"}}, 1)
	c := &conformance.Case{ID: "DAD-01"}
	r.Began(c, "current")
	r.Progress(conformance.Result{Case: "DAD-01", Profile: "current", Verdict: conformance.Fail, Tries: 1})
	r.Began(c, "current")
	*now = now.Add(4 * time.Second)
	want := "stack [########################] 1/1  1 fail\n      trying again DAD-01 current for 4s\n4s elapsed\n"
	if diff := cmp.Diff(want, p.block()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.close()
}

// render is what a terminal shows after all of s: lines go up and away.
func render(s string) string {
	var lines []string
	for line := range strings.SplitAfterSeq(s, "\n") {
		line = strings.NewReplacer("\x1b[?7l", "", "\x1b[?7h", "").Replace(line)
		for strings.HasPrefix(line, "\x1b[") {
			up, rest, _ := strings.Cut(line[2:], "A\r\x1b[J")
			lines, line = lines[:len(lines)-int(up[0]-'0')], rest
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// Where nothing can be redrawn there is a line now and then, and none in a
// short run.
func TestProgress_NoTerminal(t *testing.T) {
	p, now := clocked(nil)
	plain := new(strings.Builder)
	p.plain = plain
	r := p.watch(conformance.Runner{Driver: fake{name: "stack"}}, 3)
	r.Progress(conformance.Result{Case: "DAD-01", Profile: "current", Verdict: conformance.Fail})
	for range 100 {
		*now = now.Add(tickEvery)
		p.refresh()
	}
	p.close()
	if want := "stack: 1 of 6 done, 1 fail, after 30s\n"; plain.String() != want {
		t.Errorf("%q, want %q", plain, want)
	}
}

// What a run that was interrupted did not get to is told in one line.
func TestConform_Interrupted(t *testing.T) {
	cmd, out := newConformRun(), new(strings.Builder)
	cmd.SetOut(out)
	notPlayed := conformance.Result{Case: "DAD-09", Verdict: conformance.Inconclusive, Observed: context.Canceled.Error(), Deviating: -1}
	err := (&conformRun{judged: []string{"core"}}).report(cmd, []conformance.Result{notPlayed, notPlayed}, 0)
	if want := "interrupted: 2 were not played\n2 inconclusive against core in 0s\n"; out.String() != want || exitCode(err) != 1 {
		t.Errorf("exit code %d, %q", exitCode(err), out)
	}
}
