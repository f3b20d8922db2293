package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Count is how many results have each verdict.
type Count map[Verdict]int

// CountOf counts results.
func CountOf(results []Result) Count {
	n := Count{}
	for _, r := range results {
		n[r.Verdict]++
	}
	return n
}

func (n Count) String() string {
	var parts []string
	for _, v := range []Verdict{Pass, Fail, Inconclusive, NotApplicable} {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	return strings.Join(parts, ", ")
}

// Summary is the result in one line.
func (r Result) Summary() string {
	s := fmt.Sprintf("%-14s %-8s %-8s %-8s %s", r.Verdict, r.Case, r.Target, r.Profile, r.Title)
	if r.Verdict == NotApplicable {
		s += " (" + r.Observed + ")"
	}
	return s
}

// WriteText writes what the case is about, what decided, and all that happened
// before it, with the frame that deviates marked.
func (r Result) WriteText(w io.Writer) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "%s\n", r.Summary())
	section := r.Section
	if section == "" {
		section = strings.Join(r.Specs, "; ")
	}
	fmt.Fprintf(b, "  section   %s\n", section)
	if len(r.Requirements) > 0 {
		fmt.Fprintf(b, "  requires  %s\n", strings.Join(r.Requirements, ", "))
	}
	if r.Verdict != Pass && r.Verdict != NotApplicable {
		fmt.Fprintf(b, "  step      %s:%d: %s\n", r.File, r.Line, r.Step)
		if r.Expected != "" {
			fmt.Fprintf(b, "  expected  %s\n", r.Expected)
		}
		fmt.Fprintf(b, "  observed  %s\n  chance    %s\n", r.Observed, r.Chance)
	}
	r.writeTrace(b)
	_, err := io.WriteString(w, b.String())
	return err
}

var arrows = map[What]string{Sent: "<", Received: ">", Ordered: "$", Noted: "#"}

func (r Result) writeTrace(b *strings.Builder) {
	for i := range r.Trace {
		fmt.Fprintln(b, r.traceLine(i))
	}
}

// WriteJSON writes results as one JSON array.
func WriteJSON(w io.Writer, results []Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(results)
}

// WriteExplanation writes what a case is about, as it is written, and what it
// does, step by step.
func (c *Case) WriteExplanation(w io.Writer) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "%s  %s\n%s:%d\n\n", c.ID, c.Title, c.File, c.Line)
	for _, s := range c.Text {
		fmt.Fprintf(b, "    %s\n", s)
	}
	fmt.Fprintf(b, "\nStep by step:\n\n")
	for _, s := range c.steps {
		fmt.Fprintf(b, "    %s\n", s)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Groups are the groups of cases, in order, with how many each has.
func Groups(cases []*Case) (names []string, count map[string]int) {
	count = map[string]int{}
	for _, c := range cases {
		count[c.Group]++
	}
	return slices.Sorted(maps.Keys(count)), count
}

// String is the step as it is played, definitions resolved.
func (s step) String() string {
	text := s.own
	switch do := s.do.(type) {
	case *expect:
		word := "and"
		if do.any {
			word = "or"
		}
		text += continued(word, do.patterns[1:]) + continued("without", do.without)
	case *quiet:
		text += continued("but", do.but)
		if len(do.not) > 0 {
			text += continued("and", do.not[1:])
		}
	}
	if s.given && !strings.HasPrefix(text, "given ") {
		text = "given " + text
	}
	return text
}

func continued(word string, ps []pattern) (s string) {
	for _, p := range ps {
		s += " " + word + " " + p.String()
	}
	return s
}
