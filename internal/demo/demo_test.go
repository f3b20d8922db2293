package demo

import (
	"context"
	"encoding/xml"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The story as a reader sees it, but for times and nonces.
func TestMemory(t *testing.T) {
	t.Parallel()
	var b, drawing strings.Builder
	start := time.Now()
	if err := Memory(t.Context(), &b, &drawing); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v, more than 10 s", took)
	}
	if diff := cmp.Diff(memoryStory, sameInEveryRun(b.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The drawing that the documents show says what it said now.
	shown, err := os.ReadFile("../../docs/demo.svg")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(textsOf(t, string(shown)), textsOf(t, drawing.String())); diff != "" {
		t.Errorf("run \"tapstack demo --svg docs/demo.svg\" (-docs/demo.svg +drawn):\n%s", diff)
	}
}

// textsOf are the texts of a drawing, but for times and nonces.
func textsOf(t *testing.T, svg string) (texts []string) {
	t.Helper()
	var text struct {
		Groups []struct {
			Class string   `xml:"class,attr"`
			Texts []string `xml:"text"`
		} `xml:"g"`
	}
	if err := xml.Unmarshal([]byte(svg), &text); err != nil {
		t.Fatal(err)
	}
	for _, g := range text.Groups {
		texts = append(texts, g.Class+": "+sameInEveryRun(strings.Join(g.Texts[1:], " | ")))
	}
	return texts
}

func sameInEveryRun(s string) string {
	s = regexp.MustCompile(`\d\.\d{3}s`).ReplaceAllString(s, "0.000s")
	return regexp.MustCompile(`nonce=[0-9a-f]{12}`).ReplaceAllString(s, "nonce=N")
}

func TestMemory_Interrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Memory(ctx, new(strings.Builder), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Memory: %v", err)
	}
}
