package demo

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The story as a reader sees it, but for times and nonces.
func TestMemory(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	start := time.Now()
	if err := Memory(t.Context(), &b); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v, more than 10 s", took)
	}
	if diff := cmp.Diff(memoryStory, sameInEveryRun(b.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func sameInEveryRun(s string) string {
	s = regexp.MustCompile(`\d\.\d{3}s`).ReplaceAllString(s, "0.000s")
	return regexp.MustCompile(`nonce=[0-9a-f]{12}`).ReplaceAllString(s, "nonce=N")
}

func TestMemory_Interrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Memory(ctx, new(strings.Builder)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Memory: %v", err)
	}
}
