package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/node"
)

func TestMain(m *testing.M) {
	node.Main()
	os.Exit(m.Run())
}

// tiny proves that figures come out, and nothing of what they are.
var tiny = plan{
	rounds: 1, budget: time.Minute, each: 50 * time.Millisecond, trips: 20, ops: 1600,
	floodSources: 50, floodRate: 1000,
	addresses: []int{20}, gvisorAddrs: []int{20}, kernelAddrs: []int{20, 30}, coreAddresses: []int{10, 20},
	neighbors: []int{16, 64}, routes: []int{64, 128}, gvisorRoutes: []int{64},
	settle: 50 * time.Millisecond, idle: 50 * time.Millisecond, executable: true,
}

// Each family yields figures of every host that it can measure here, and the
// report can be read again. Without root it says what it leaves out; with
// TAPSTACK_NETNS=require it must leave out nothing.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var table, progress strings.Builder
	b := &bench{plan: tiny, progress: &progress, profiles: filepath.Join(dir, "profiles"), report: newReport(tiny.rounds)}
	if err := b.run(""); err != nil {
		t.Fatal(err)
	}
	if err := b.report.write(&table, filepath.Join(dir, "report.json"), filepath.Join(dir, "plots")); err != nil {
		t.Fatal(err)
	}
	want := []string{"data path", "control plane", "footprint"}
	if err := node.Possible(); err == nil {
		want = []string{"bulk", "small", "data path", "control plane", "footprint"}
		if len(b.report.LeftOut) > 0 {
			t.Errorf("left out as root:\n%s", strings.Join(b.report.LeftOut, "\n"))
		}
	} else if os.Getenv("TAPSTACK_NETNS") == "require" {
		t.Errorf("TAPSTACK_NETNS=require is set, but no host can be measured on a device: %v", err)
	} else if len(b.report.LeftOut) == 0 {
		t.Error("it does not say what it leaves out")
	}
	if diff := cmp.Diff(want, b.report.families()); diff != "" {
		t.Errorf("families (-want +got):\n%s\n%s", diff, &progress)
	}
	for _, f := range b.report.Figures {
		checkFigure(t, f, &table)
	}
	checkFiles(t, b.report, dir)
}

// checkFigure holds a figure to what must be true however long it was measured.
func checkFigure(t *testing.T, f Figure, table fmt.Stringer) {
	t.Helper()
	if len(f.Results) == 0 || f.Unit == "" {
		t.Errorf("%s: %+v", f.title(), f)
	}
	if !strings.Contains(table.String(), f.title()) {
		t.Errorf("the table does not have %q", f.title())
	}
	for _, r := range f.Results {
		if len(r.Samples) == 0 || math.IsNaN(r.Median) || r.Median < r.Min || r.Median > r.Max {
			t.Errorf("%s of %s: %+v", f.title(), r.Of, r)
		}
		if f.Family == "bulk" && r.Median == 0 {
			t.Errorf("%s of %s: nothing was moved", f.title(), r.Of)
		}
	}
}

func checkFiles(t *testing.T, r *Report, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatalf("the JSON cannot be read: %v", err)
	}
	if len(again.Figures) != len(r.Figures) || again.Figures[0].Results[0].Of != host.Tapstack {
		t.Errorf("of %d figures the JSON has %d", len(r.Figures), len(again.Figures))
	}
	plots, err := filepath.Glob(filepath.Join(dir, "plots", "*.svg"))
	if err != nil || len(plots) != len(r.families()) {
		t.Errorf("%d plots (%v), want one for each of %v", len(plots), err, r.families())
	}
	for _, file := range plots {
		plot, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(plot); err == nil; {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		plot.Close()
	}
}

func TestJudge(t *testing.T) {
	results := []Result{newResult(host.Tapstack, []float64{90, 30, 60}), newResult(host.GVisor, []float64{10})}
	for _, test := range []struct {
		bound bound
		want  []Verdict
	}{
		{atLeast(60), []Verdict{{Bound: "≥ 60 s", Value: 60, Met: true}}},
		{atLeast(120), []Verdict{{Bound: "≥ 120 s", Value: 60, MissedBy: 0.5}}},
		{atMost(60), []Verdict{{Bound: "≤ 60 s", Value: 60, Met: true}}},
		{atMost(40), []Verdict{{Bound: "≤ 40 s", Value: 60, MissedBy: 0.5}}},
		{atLeastTimes(6, host.GVisor), []Verdict{{Bound: "≥ 6 × gVisor", Value: 6, Met: true}}},
		{atMostTimes(0.5, host.GVisor), []Verdict{{Bound: "≤ 0.5 × gVisor", Value: 6, MissedBy: 11}}},
		{atLeastTimes(1, host.Kernel), nil},
		{bound{atLeast: 5, of: host.GVisor}, []Verdict{{Bound: "gVisor ≥ 5 s", Value: 10, Met: true}}},
		{bound{atLeast: 5, of: host.NoOffload}, nil},
	} {
		f := Figure{Unit: "s", Results: results, bounds: []bound{test.bound}}
		f.judge()
		if diff := cmp.Diff(test.want, f.Bounds); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.bound, diff)
		}
	}
}

// Hosts take turns, and who fails once is left out of the figure.
func TestCompare(t *testing.T) {
	var order []string
	failing := errors.New("no")
	host := func(name string, err error) contestant {
		return contestant{name, func() ([]float64, error) {
			order = append(order, name)
			return []float64{float64(len(order)), 0}, err
		}}
	}
	b := &bench{plan: plan{budget: time.Minute}, progress: io.Discard, report: &Report{}}
	b.compare("family", []Figure{{Name: "first"}, {Name: "second"}}, 2, host("a", nil), host("b", nil), host("c", failing))
	if want := []string{"a", "b", "c", "b", "a"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if len(b.report.Figures) != 2 || len(b.report.LeftOut) != 1 {
		t.Fatalf("report: %+v", b.report)
	}
	want := []Result{{Of: "a", Median: 3, Min: 1, Max: 5, Samples: []float64{1, 5}}, {Of: "b", Median: 3, Min: 2, Max: 4, Samples: []float64{2, 4}}}
	if diff := cmp.Diff(want, b.report.Figures[0].Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--frob"}, {"--family", "frob"}} {
		var stderr strings.Builder
		if code := execute(args, io.Discard, &stderr); code != 2 || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d, %q", args, code, stderr.String())
		}
	}
}
