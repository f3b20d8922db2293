package conformance

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func scenarios(t testing.TB) []*Case {
	t.Helper()
	cases, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// within logs how long the cases took and has the test fail if that is far more
// than they are to take. Others want the machine too, and there is the race
// detector.
func within(t *testing.T, began time.Time, budget time.Duration) {
	t.Helper()
	took := time.Since(began).Round(100 * time.Millisecond)
	t.Logf("the cases took %v; they are to take less than %v", took, budget)
	if took > 6*budget {
		t.Errorf("they took %v, far more than %v", took, budget)
	}
}

// allPass shows those that should have passed and did not.
func allPass(t *testing.T, results []Result) {
	t.Helper()
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

// Every case passes against the Core, in every profile that it is about,
// whatever chance has it do.
func TestScenariosAgainstTheCore(t *testing.T) {
	began := time.Now()
	results := Runner{Driver: CoreDriver{}}.Run(context.Background(), scenarios(t))
	within(t, began, 10*time.Second)
	allPass(t, results)
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
