package conformance

import (
	"context"
	"strings"
	"testing"
)

// What common.txt defines tells the states of a neighbor from each other, by
// the wire alone.
func TestCommonDefinitions(t *testing.T) {
	common, err := scenarioFiles.ReadFile("scenarios/common.txt")
	if err != nil {
		t.Fatal(err)
	}
	states := []string{"absent", "incomplete", "stale", "probe", "reachable"}
	for _, is := range states {
		for _, claimed := range states {
			steps := "start\n"
			if is != "absent" {
				steps += "    make TN1 " + is + "\n"
			}
			text := "case X-01 A neighbor\n    spec RFC 4861, section 7.3.2\n    " + steps + "    neighbor-is TN1 " + claimed + "\n"
			cases, err := Parse("x.txt", text, string(common))
			if err != nil {
				t.Fatal(err)
			}
			for _, chance := range []Chance{Earliest, Latest} {
				r := playCase(context.Background(), cases[0], CoreDriver{}, "rfc4862", chance)
				if want := is == claimed; (r.Verdict == Pass) != want || r.Verdict == Inconclusive {
					var b strings.Builder
					r.WriteText(&b)
					t.Errorf("a neighbor in state %s, taken for %s: %s", is, claimed, &b)
				}
			}
		}
	}
}
