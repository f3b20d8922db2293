package conformance

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
)

func scenarios(t testing.TB) []*Case {
	t.Helper()
	cases, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// Every case passes against the Core, in every profile that it is about,
// whatever chance has it do.
func TestScenariosAgainstTheCore(t *testing.T) {
	results := Runner{Driver: CoreDriver{}}.Run(context.Background(), scenarios(t))
	for _, r := range results {
		if r.Verdict == Fail || r.Verdict == Inconclusive {
			var b strings.Builder
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			t.Error(b.String())
		}
	}
	t.Log(CountOf(results))
}

var requirement = regexp.MustCompile(`(?m)^([A-Z]+[0-9]?-[A-Z]?[0-9]+) \|`)

// Every case names requirements that exist.
func TestScenariosNameRequirementsThatExist(t *testing.T) {
	text, err := os.ReadFile("../docs/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	for _, m := range requirement.FindAllSubmatch(text, -1) {
		exists[string(m[1])] = true
	}
	for _, c := range scenarios(t) {
		for _, id := range c.Requirements {
			if !exists[id] {
				t.Errorf("%s:%d: case %s: docs/requirements.txt has no %s", c.File, c.Line, c.ID, id)
			}
		}
	}
}
