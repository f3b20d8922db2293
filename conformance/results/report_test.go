package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/conformance/hosts/known"
)

// example is what came of a host that fails A-1, as is known, and A-2, as is
// not, passes A-3, which it is said to fail, and one that could not be run.
func example(t *testing.T) report {
	t.Helper()
	f, err := known.Parse("x.txt", `A-1, A-3 RFC 1, section 2
    the text: "It is."
    the host: says | it is not
`)
	if err != nil {
		t.Fatal(err)
	}
	result := func(id string, v conformance.Verdict) conformance.Result {
		return conformance.Result{Case: id, Group: "a", Profile: "p", Verdict: v, Title: "Title of " + id, Section: "RFC 1, section 2", Observed: "a|b", Deviating: -1}
	}
	return report{
		cases: []*conformance.Case{{ID: "A-1", Group: "a"}},
		hosts: []played{
			{name: "x", version: "X 1", profiles: []string{"p"}, known: f, results: []conformance.Result{
				result("A-1", conformance.Fail), result("A-2", conformance.Fail), result("A-3", conformance.Pass),
				result("A-4", conformance.Inconclusive), result("A-5", conformance.NotApplicable),
			}},
			{name: "y", trouble: errors.New("it needs root")},
		},
	}
}

// What fails without an entry, what passes with one, and what could not be run
// are each told, and each is a failure of the command.
func TestReport_Judge(t *testing.T) {
	r := example(t)
	var b strings.Builder
	if r.judge(&b) {
		t.Error("it is content")
	}
	for _, want := range []string{
		"x, not explained:\nfail           A-2", "x passes A-3, of which conformance/hosts/known/x.txt says that it fails it", "!!! y was NOT run: it needs root",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "A-1") {
		t.Errorf("what is known is told:\n%s", &b)
	}
	r.hosts = r.hosts[:1]
	r.hosts[0].results = r.hosts[0].results[:1]
	if !r.judge(&b) {
		t.Error("it is not content with what is known")
	}
}

func TestReport_Markdown(t *testing.T) {
	got := example(t).markdown()
	for _, want := range []string{
		"| x | X 1 | p | 4 |", "| y | **not run**: it needs root |", "| a | 1 / 2 / 1 / 1 |", "| **all** | 1 / 2 / 1 / 1 |",
		"**A-1** (RFC 1, section 2): “It is.” The host: says | it is not.", "**A-2** (RFC 1, section 2), not explained: Title of A-2.",
		"**A-4** (RFC 1, section 2), inconclusive:", `observed a\|b`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it has no %q:\n%s", want, got)
		}
	}
}

// The results that are published are of the hosts that there are.
func TestPublished(t *testing.T) {
	text, err := os.ReadFile("../../docs/conformance-results.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts(t.TempDir()) {
		if !strings.Contains(string(text), "\n| "+h.name+" | ") {
			t.Errorf("docs/conformance-results.md has nothing of %s: make it again", h.name)
		}
	}
	if strings.Contains(string(text), "not explained:") {
		t.Error("docs/conformance-results.md has results that nobody explains")
	}
}
