package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tapstack/tapstack/conformance"
)

// prepareOut makes the directory of the report before hours are spent on what
// is to be put there.
func prepareOut(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	f, err := os.CreateTemp(dir, ".tapstack-")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	f.Close()
	return os.Remove(f.Name())
}

// writeOut writes the report into the directory, if there is one to be.
func writeOut(dir string, cases []*conformance.Case, results []conformance.Result) error {
	if dir == "" {
		return nil
	}
	report := conformance.Report{Cases: cases, Results: results, Made: time.Now(), Software: "tapstack " + version().Tapstack}
	if err := report.WriteDir(dir); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// interrupted reports whether a case had not begun when the run was to end.
func interrupted(r conformance.Result) bool {
	return r.Verdict == conformance.Inconclusive && len(r.Trace) == 0 && r.Observed == context.Canceled.Error()
}

// whereOut says where the report is.
func whereOut(dir string) string {
	if dir == "" {
		return ""
	}
	return ", report in " + filepath.Join(dir, "index.html")
}
