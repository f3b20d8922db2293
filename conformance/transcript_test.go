package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a transcript is pasted into is a file of scenarios: it is read without
// any definition, the host with the fault fails it for the same reason, and
// the host without passes it.
func TestTranscriptsPlay(t *testing.T) {
	played := 0
	for _, m := range mutants {
		if !slices.Contains([]string{"two probes", "a link is taken to loop"}, m.name) {
			continue
		}
		for _, c := range scenarios(t) {
			faulty := mutantDriver{CoreDriver{}, m}
			was := playCase(context.Background(), c, faulty, profileOf(c), Latest)
			if was.Verdict != Fail && was.Verdict != Inconclusive {
				continue
			}
			var b strings.Builder
			if err := was.WriteTranscript(&b, c); err != nil {
				t.Fatal(err)
			}
			cases, err := Parse("pasted.txt", b.String(), "")
			if err != nil || len(cases) != 1 {
				t.Fatalf("%s: %d cases, %v:\n%s", c.ID, len(cases), err, &b)
			}
			is := playCase(context.Background(), cases[0], faulty, profileOf(c), Latest)
			if is.Verdict != Fail || is.Deviating != was.Deviating || is.Observed != was.Observed || is.Expected != was.Expected {
				t.Errorf("%s with %s (-first +pasted):\n%s\n%s", c.ID, m.name, cmp.Diff(was.reason(), is.reason()), &b)
			}
			if r := playCase(context.Background(), cases[0], CoreDriver{}, profileOf(c), Latest); r.Verdict != Pass {
				t.Errorf("%s: the host without a fault: %s\n%s", c.ID, r.reason(), &b)
			}
			played++
		}
	}
	if played < 50 {
		t.Errorf("%d transcripts were played, too few to say anything", played)
	}
	t.Logf("%d transcripts played", played)
}

// What a target says of itself cannot become a line of the case.
func TestTranscript_HostileText(t *testing.T) {
	d := scriptedDriver{frames: says(t, "1s ns")}
	r := verdict(t, d, "up; expect na within 2s")
	r.Target, r.Observed = "x\ncase EVIL-1 y", "no\n    jump"
	r.Trace = append(r.Trace, Event{What: Noted, Text: "a\r\n    jump"})
	cases, err := Parse("x.txt", "case X-01 A case\n    spec RFC 4861\n    up\n    expect na within 2s\n", "")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.WriteTranscript(&b, cases[0]); err != nil {
		t.Fatal(err)
	}
	want := `# fail: RFC 4861
# expected  ` + r.Expected + `
# observed  no
#     jump
case X-01replay A case (x case EVIL-1 y, current)
    spec RFC 4861
    profiles current
    needs updown
    up
    #           0s $ up
    expect na within 2s
    #           1s < ` + r.Trace[1].Text + `
    #           0s # a      jump
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again, err := Parse("x.txt", b.String(), ""); err != nil || len(again) != 1 {
		t.Errorf("%d cases, %v", len(again), err)
	}
}

// Of a case in which nothing was checked the transcript is a comment.
func TestTranscript_NothingChecked(t *testing.T) {
	cases, err := Parse("x.txt", "case X-01 A case\n    spec RFC 4861\n    wait 1s since nowhere\n    expect ns\n", "")
	if err != nil {
		t.Fatal(err)
	}
	r := playCase(context.Background(), cases[0], scriptedDriver{}, "current", Random)
	var b strings.Builder
	if err := r.WriteTranscript(&b, cases[0]); err != nil {
		t.Fatal(err)
	}
	again, err := Parse("x.txt", b.String(), "")
	if r.Verdict != Inconclusive || err != nil || len(again) != 0 || !strings.Contains(b.String(), "#     wait 1s since nowhere\n") {
		t.Errorf("%s: %d cases, %v:\n%s", r.Verdict, len(again), err, &b)
	}
}
