package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/conformance/hosts/known"
)

// report is what came of a run.
type report struct {
	date  time.Time
	cases []*conformance.Case
	hosts []played
}

// played is what came of one host.
type played struct {
	name, version string
	profiles      []string
	known         *known.File
	trouble       error // why it could not be run
	results       []conformance.Result
	took          time.Duration
}

// stopped reports whether a case was not passed by a host that it is about.
func stopped(r conformance.Result) bool {
	return r.Verdict == conformance.Fail || r.Verdict == conformance.Inconclusive
}

// unexplained are the results that failed without a word about it.
func (p played) unexplained() []conformance.Result {
	return slices.DeleteFunc(slices.Clone(p.results), func(r conformance.Result) bool {
		return r.Verdict != conformance.Fail || p.known.Of(r.Case) != nil
	})
}

// outdated are the cases that are said to fail, each time, and were passed by
// every profile that they are about.
func (p played) outdated() (ids []string) {
	passed, failed := map[string]bool{}, map[string]bool{}
	for _, r := range p.results {
		passed[r.Case] = passed[r.Case] || r.Verdict == conformance.Pass
		failed[r.Case] = failed[r.Case] || stopped(r)
	}
	for _, r := range p.results {
		if e := p.known.Of(r.Case); e != nil && e.Chance == "" && passed[r.Case] && !failed[r.Case] && !slices.Contains(ids, r.Case) {
			ids = append(ids, r.Case)
		}
	}
	return ids
}

// judge tells what is not as it is known to be.
func (r report) judge(w io.Writer) (ok bool) {
	ok = true
	for _, p := range r.hosts {
		if p.trouble != nil {
			ok = false
			fmt.Fprintf(w, "\n!!! %s was NOT run: %v\n", p.name, p.trouble)
			continue
		}
		for _, result := range p.unexplained() {
			ok = false
			fmt.Fprintf(w, "\n%s, not explained:\n", p.name)
			if err := result.WriteText(w); err != nil {
				fmt.Fprintln(w, err)
			}
		}
		for _, id := range p.outdated() {
			ok = false
			fmt.Fprintf(w, "\n%s passes %s, of which conformance/hosts/known/%s.txt says that it fails it\n", p.name, id, p.name)
		}
	}
	return ok
}

// markdown is the report.
func (r report) markdown() string {
	b := new(strings.Builder)
	fmt.Fprintf(b, `# Results of the conformance suite

Made on %s by `+"`go run ./conformance/results`"+`. [conformance.md](conformance.md) says what a case is and
how to look at one; what is known of a host is in `+"`conformance/hosts/known`"+`.

| target | host | profiles | cases played | took |
|---|---|---|---|---|
`, r.date.UTC().Format("2 January 2006"))
	for _, p := range r.hosts {
		if p.trouble != nil {
			fmt.Fprintf(b, "| %s | **not run**: %s | | | |\n", p.name, cell(p.trouble.Error()))
			continue
		}
		n := conformance.CountOf(p.results)
		fmt.Fprintf(b, "| %s | %s | %s | %d | %v |\n", p.name, p.version, strings.Join(p.profiles, ", "),
			len(p.results)-n[conformance.NotApplicable], p.took.Round(time.Second))
	}
	r.groups(b)
	for _, p := range r.hosts {
		if p.trouble == nil {
			p.section(b)
		}
	}
	return b.String()
}

// groups is the table of counts.
func (r report) groups(b *strings.Builder) {
	fmt.Fprint(b, "\nHow many cases each host passes / fails / does not get as far as the matter of / cannot be asked, by group:\n\n| group |")
	names, _ := conformance.Groups(r.cases)
	rule := "\n|---|"
	for _, p := range r.hosts {
		for _, profile := range p.profiles {
			fmt.Fprintf(b, " %s |", p.column(profile))
			rule += "---|"
		}
	}
	fmt.Fprintln(b, rule)
	for _, group := range append(names, "") {
		title := group
		if group == "" {
			title = "**all**"
		}
		fmt.Fprintf(b, "| %s |", title)
		for _, p := range r.hosts {
			for _, profile := range p.profiles {
				fmt.Fprintf(b, " %s |", p.count(profile, group))
			}
		}
		fmt.Fprintln(b)
	}
}

// column is the title of the results by a profile.
func (p played) column(profile string) string {
	if len(p.profiles) == 1 {
		return p.name
	}
	return p.name + ", " + profile
}

// count is a cell of the table of counts.
func (p played) count(profile, group string) string {
	n := conformance.CountOf(slices.DeleteFunc(slices.Clone(p.results), func(r conformance.Result) bool {
		return r.Profile != profile || group != "" && r.Group != group
	}))
	return fmt.Sprintf("%d / %d / %d / %d", n[conformance.Pass], n[conformance.Fail], n[conformance.Inconclusive], n[conformance.NotApplicable])
}

// section tells what a host fails, entry by entry, and what nobody explains.
func (p played) section(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n", p.name)
	failed := map[string][]conformance.Result{}
	for _, r := range p.results {
		if stopped(r) {
			failed[r.Case] = append(failed[r.Case], r)
		}
	}
	if len(failed) == 0 {
		fmt.Fprintf(b, "\nFails nothing.\n")
		return
	}
	told := map[string]bool{}
	for _, e := range p.known.Entries {
		var ids []string
		for _, id := range e.Cases {
			if told[id] = true; len(failed[id]) > 0 {
				ids = append(ids, id+verdicts(failed[id]))
			}
		}
		if len(ids) > 0 {
			fmt.Fprintf(b, "\n**%s** (%s): “%s” The host: %s.\n", strings.Join(ids, ", "), e.Section, e.Text, strings.TrimSuffix(e.Host, "."))
		}
	}
	for _, r := range p.results {
		if stopped(r) && !told[r.Case] {
			told[r.Case] = true
			word := "not explained"
			if r.Verdict == conformance.Inconclusive {
				word = "inconclusive"
			}
			fmt.Fprintf(b, "\n**%s** (%s), %s: %s. At %s:%d: expected %s; observed %s\n",
				r.Case, r.Section, word, r.Title, r.File, r.Line, cell(r.Expected), cell(r.Observed))
		}
	}
}

// verdicts tells what needs to be told of how a case ended.
func verdicts(results []conformance.Result) string {
	if slices.ContainsFunc(results, func(r conformance.Result) bool { return r.Verdict == conformance.Fail }) {
		return ""
	}
	return " (inconclusive)"
}

// cell is a text that may stand in a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}
