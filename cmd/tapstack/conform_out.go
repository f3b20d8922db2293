package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tapstack/tapstack/conformance"
)

// play plays the cases against one host after the other, and shows on w how far
// it is.
func (r *conformRun) play(ctx context.Context, w io.Writer, drivers []conformance.Driver, cases []*conformance.Case) (results []conformance.Result) {
	shown := newProgress(w)
	defer shown.close()
	var runners []conformance.Runner
	for _, d := range drivers {
		runners = append(runners, shown.watch(conformance.Runner{
			Driver: d, Profiles: r.profiles, Parallel: r.parallel, Longest: r.longest,
		}, len(cases)))
	}
	for _, runner := range runners {
		results = append(results, runner.Run(ctx, cases)...)
	}
	return results
}

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
