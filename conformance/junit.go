package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The elements of JUnit's XML, as the schema of Jenkins (junit-10.xsd) has
// them: only a suite has properties.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		Classname string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitOutcome `xml:"skipped"`
		Error     *junitOutcome `xml:"error"`
		Failure   *junitOutcome `xml:"failure"`
	}
	junitOutcome struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes results as JUnit's XML, for what collects the results of
// tests: a suite for each target, profile and group. A case that failed is a
// failure, one that is inconclusive an error, one that is not applicable is
// skipped. The sections and requirements of each case are properties of its
// suite, "DAD-09.spec" and "DAD-09.requirements". Times are by the clock of
// the target.
func WriteJUnit(w io.Writer, results []Result) error {
	all := junitSuites{Name: "conformance"}
	place := map[string]int{}
	took := map[int]time.Duration{}
	for _, r := range results {
		name := r.Target + "." + r.Profile + "." + r.Group
		k, ok := place[name]
		if !ok {
			k = len(all.Suites)
			place[name] = k
			all.Suites = append(all.Suites, junitSuite{Name: valid(name), Properties: []junitProperty{
				{"target", valid(r.Target)}, {"profile", valid(r.Profile)}, {"group", valid(r.Group)},
			}})
		}
		took[k] += r.Took
		all.Suites[k].add(r)
		all.Suites[k].Time = junitTime(took[k])
	}
	for _, s := range all.Suites {
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(r Result) {
	s.Tests++
	s.Properties = append(s.Properties, junitProperty{r.Case + ".spec", valid(strings.Join(r.Specs, "; "))})
	if len(r.Requirements) > 0 {
		s.Properties = append(s.Properties, junitProperty{r.Case + ".requirements", valid(strings.Join(r.Requirements, ", "))})
	}
	c := junitCase{Name: valid(r.Case + " " + r.Title), Classname: s.Name, Time: junitTime(r.Took)}
	outcome := &junitOutcome{Message: valid(r.Observed), Type: string(r.Verdict)}
	switch r.Verdict {
	case NotApplicable:
		s.Skipped++
		c.Skipped = outcome
	case Fail:
		s.Failures++
		c.Failure = outcome
	case Inconclusive:
		s.Errors++
		c.Error = outcome
	}
	if r.Verdict == Fail || r.Verdict == Inconclusive {
		var b strings.Builder
		_ = r.WriteText(&b) // a Builder takes everything
		outcome.Text = valid(b.String())
	}
	s.Cases = append(s.Cases, c)
}

// valid is a text with what XML cannot hold replaced, and not too long for
// those who read it.
func valid(s string) string {
	const longest = 64 << 10
	if len(s) > longest {
		s = s[:longest/4] + "\n…\n" + s[len(s)-longest*3/4:]
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

func junitTime(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
