//go:build !race

package conformance

import (
	"context"
	"testing"
	"time"
)

// Every case passes against the whole stack, in the current profile. It takes
// as long as the RFCs have it take.
func TestScenariosAgainstTheStack(t *testing.T) {
	if testing.Short() {
		t.Skip("in real time")
	}
	t.Parallel()
	r := Runner{Driver: StackDriver{}, Profiles: []string{"current"}}
	began := time.Now()
	results := r.Run(context.Background(), scenarios(t))
	within(t, began, 2*time.Minute) // the longest case takes one and a half
	allPass(t, results)
}
