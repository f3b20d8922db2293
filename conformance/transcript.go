package conformance

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// WriteTranscript writes a case that did not pass as a case of its own: the
// steps that were played, definitions and conditions resolved, up to the one
// that decided, with all that happened in comments. It stands in a file of
// scenarios without anything else, and plays.
//
// What came before the step that decided is the way to the matter: it is
// given. If nothing was checked, for the target failed, there is nothing to
// play: all of it is a comment.
func (r Result) WriteTranscript(w io.Writer, c *Case) error {
	text := r.transcript(c)
	if !slices.ContainsFunc(r.played, func(s playedStep) bool { return isCheck(step{do: s.do}) }) {
		text = "# " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n# ") + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

func (r Result) transcript(c *Case) string {
	b := new(strings.Builder)
	for _, line := range strings.Split(r.reason(), "\n") {
		comment(b, "", line)
	}
	fmt.Fprintf(b, "case %sreplay %s (%s, %s)\n", c.ID, c.Title, oneLine(r.Target), r.Profile)
	for _, s := range c.Specs {
		fmt.Fprintf(b, "    spec %s\n", s)
	}
	header := func(word string, values ...string) {
		if len(values) > 0 {
			fmt.Fprintf(b, "    %s %s\n", word, strings.Join(values, " "))
		}
	}
	header("req", c.Requirements...)
	header("extern", c.Extern...)
	header("profiles", r.Profile)
	for _, n := range c.Needs {
		header("needs", string(n))
	}
	for _, k := range c.Knobs {
		header("set", k.Name+"="+k.Value)
	}
	r.writeSteps(b)
	return b.String()
}

func (r Result) writeSteps(b *strings.Builder) {
	given := len(r.played) > 0 && isCheck(step{do: r.played[len(r.played)-1].do})
	for k, s := range r.played {
		until, spec := len(r.Trace), ""
		if k > 0 {
			spec = r.played[k-1].spec
		}
		if k+1 < len(r.played) {
			until = r.played[k+1].from
		}
		if s.spec != spec {
			fmt.Fprintf(b, "    spec %s\n", s.spec)
		}
		s.given = given && k+1 < len(r.played) && isCheck(step{do: s.do})
		for _, line := range s.lines() {
			fmt.Fprintf(b, "    %s\n", line)
		}
		for i := s.from; i < until; i++ {
			comment(b, "    ", r.traceLine(i))
		}
	}
}

// lines are the step as it is written in a case without definitions.
func (s step) lines() []string {
	all := []string{s.words}
	if s.given {
		all[0] = "given " + s.words
	}
	add := func(word string, patterns []pattern) {
		for _, p := range patterns {
			all = append(all, word+" "+p.String())
		}
	}
	switch do := s.do.(type) {
	case *expect:
		word := "and"
		if do.any {
			word = "or"
		}
		add(word, do.patterns[1:])
		add("without", do.without)
	case *quiet:
		add("but", do.but)
		if len(do.not) > 0 {
			add("and", do.not[1:])
		}
	}
	return all
}

func comment(b *strings.Builder, indent, s string) {
	fmt.Fprintf(b, "%s# %s\n", indent, strings.TrimRight(oneLine(s), " "))
}

// oneLine keeps what others say from being more than a comment.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s)
}

// traceLine is what happened, in one line.
func (r Result) traceLine(i int) string {
	mark, ev := " ", r.Trace[i]
	if i == r.Deviating {
		mark = "!"
	}
	return fmt.Sprintf("%s %10v %s %s", mark, ev.At.Round(time.Millisecond), arrows[ev.What], ev.Text)
}

// caseOf returns the case with an identifier.
func caseOf(cases []*Case, id string) *Case {
	if k := slices.IndexFunc(cases, func(c *Case) bool { return c.ID == id }); k >= 0 {
		return cases[k]
	}
	return nil
}
