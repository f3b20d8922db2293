//go:build !race

package conformance

import (
	"context"
	"strings"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// The program that the documentation shows passes what every kernel passes.
func TestExec_TheHostOfTheDocumentation(t *testing.T) {
	netnstest.Require(t)
	if testing.Short() {
		t.Skip("in real time")
	}
	t.Parallel()
	d, err := NewExecDriver(context.Background(), ExecConfig{Command: []string{"hosts/kernel.sh"}, Label: "kernel", Link: "veth"})
	if err != nil {
		t.Fatal(err)
	}
	var cases []*Case
	for _, id := range []string{"DAD-01", "DAD-04a", "DAD-09", "DAD-17", "DAD-38", "DAD-43", "DAD-61"} {
		some, err := Select(scenarios(t), id)
		if err != nil || len(some) != 1 {
			t.Fatalf("%s: %d cases, %v", id, len(some), err)
		}
		cases = append(cases, some...)
	}
	for _, r := range (Runner{Driver: d}).Run(context.Background(), cases) {
		want := Pass
		if r.Case == "DAD-04a" { // it has no knobs
			want = NotApplicable
		}
		if r.Verdict != want || r.Target != "kernel" {
			var b strings.Builder
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			t.Error(b.String())
		}
	}
}
