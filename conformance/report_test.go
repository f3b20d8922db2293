package conformance

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/internal/diagram"
)

// Wireshark's reader finds the frames with their times and directions, the
// command as a comment of the frame behind it, and the one that deviates.
func TestWritePcapng_TsharkReadsIt(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("SKIPPED, NOT PASSED: tshark is not installed")
	}
	r := verdict(t, scriptedDriver{frames: says(t, "1s ns; 2s na")}, "up; TN1 echo; expect ns within 3s; no na within 1s")
	file := filepath.Join(t.TempDir(), "a.pcapng")
	if err := writeFile(file, r.WritePcapng); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-r", file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch",
		"-e", "frame.packet_flags_direction", "-e", "icmpv6.type", "-e", "icmpv6.checksum.status", "-e", "frame.comment").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "scripted\t0.000000000\t0x00000002\t128\t1\t0s $ up\n" +
		"scripted\t0.000000000\t0x00000001\t129\t1\t\n" +
		"scripted\t1.000000000\t0x00000001\t135\t1\t\n" +
		"scripted\t2.000000000\t0x00000001\t136\t1\tfail: RFC 4861\\nexpected  " + r.Expected + "\\nobserved  " + r.Observed + "\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("(-want +tshark):\n%s", diff)
	}
}

// What has no frame behind it is said at the last one.
func TestWritePcapng_TrailingComments(t *testing.T) {
	r := verdict(t, scriptedDriver{frames: says(t, "0s ns")}, "expect ns; down; expect na within 1s")
	var b strings.Builder
	if err := r.WritePcapng(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"then: 0s $ down", "then: fail: RFC 4861\nexpected  na"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no comment %q", want)
		}
	}
}

// junitSchema is junit-10.xsd of Jenkins, as far as results use it: what may
// be in an element, and its attributes, of which those with ! must be there.
var junitSchema = map[string]struct{ children, attributes string }{
	"testsuites": {"testsuite", "name time tests failures errors"},
	"testsuite":  {"testsuite properties testcase system-out system-err", "name! tests! failures! errors! group time skipped timestamp hostname id package file log url"},
	"properties": {"property", ""},
	"property":   {"", "name! value!"},
	"testcase":   {"skipped error failure system-out system-err", "name! time classname group"},
	"skipped":    {"", "type message"},
	"error":      {"", "type message"},
	"failure":    {"", "type message"},
}

var junitNumber = regexp.MustCompile(`^[0-9]*(\.[0-9]*)?$`)

// checkJUnit says what in a document is not as the schema has it.
func checkJUnit(t *testing.T, text string) {
	t.Helper()
	var path []string
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.StartElement:
			rule, known := junitSchema[e.Name.Local]
			if len(path) == 0 && e.Name.Local != "testsuites" || !known ||
				len(path) > 0 && !slices.Contains(strings.Fields(junitSchema[path[len(path)-1]].children), e.Name.Local) {
				t.Errorf("an element %s in %q", e.Name.Local, path)
			}
			checkJUnitAttributes(t, e, strings.Fields(rule.attributes))
			path = append(path, e.Name.Local)
		}
	}
}

func checkJUnitAttributes(t *testing.T, e xml.StartElement, allowed []string) {
	t.Helper()
	has := map[string]bool{}
	for _, a := range e.Attr {
		has[a.Name.Local] = true
		if !slices.Contains(allowed, a.Name.Local) && !slices.Contains(allowed, a.Name.Local+"!") {
			t.Errorf("%s has an attribute %s", e.Name.Local, a.Name.Local)
		}
		if a.Name.Local == "time" && !junitNumber.MatchString(a.Value) {
			t.Errorf("%s takes %q", e.Name.Local, a.Value)
		}
	}
	for _, name := range allowed {
		if name, must := strings.CutSuffix(name, "!"); must && !has[name] {
			t.Errorf("%s has no attribute %s", e.Name.Local, name)
		}
	}
}

// WriteJUnit writes what the schema allows, with each verdict in its place.
func TestWriteJUnit(t *testing.T) {
	results := []Result{
		{Case: "DAD-01", Title: "One", Group: "dad", Target: "core", Profile: "current", Verdict: Pass, Specs: []string{"RFC 4862, section 5.4"}, Requirements: []string{"DAD-R01", "DAD-R02"}, Took: 1500 * time.Millisecond},
		{Case: "DAD-02", Title: "Two & <more>", Group: "dad", Target: "core", Profile: "current", Verdict: Fail, Specs: []string{"RFC 4862"}, Section: "RFC 4862", Expected: "a", Observed: "b \x00\xff ]]>", Deviating: -1},
		{Case: "DAD-03", Title: "Three", Group: "dad", Target: "core", Profile: "current", Verdict: Inconclusive, Observed: "gone", Deviating: -1},
		{Case: "DAD-04", Title: "Four", Group: "dad", Target: "core", Profile: "current", Verdict: NotApplicable, Observed: "cannot"},
		{Case: "DAD-01", Title: "One", Group: "dad", Target: "linux", Profile: "rfc4862", Verdict: Pass},
	}
	var b strings.Builder
	if err := WriteJUnit(&b, results); err != nil {
		t.Fatal(err)
	}
	checkJUnit(t, b.String())
	var got junitSuites
	if err := xml.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 5 || got.Failures != 1 || got.Errors != 1 || len(got.Suites) != 2 || got.Suites[0].Skipped != 1 || got.Suites[0].Time != "1.500" {
		t.Errorf("counted wrong:\n%s", &b)
	}
	properties := []junitProperty{
		{"target", "core"}, {"profile", "current"}, {"group", "dad"}, {"DAD-01.spec", "RFC 4862, section 5.4"}, {"DAD-01.requirements", "DAD-R01, DAD-R02"},
		{"DAD-02.spec", "RFC 4862"}, {"DAD-03.spec", ""}, {"DAD-04.spec", ""},
	}
	if diff := cmp.Diff(properties, got.Suites[0].Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	cases := got.Suites[0].Cases
	if cases[0].Failure != nil || cases[1].Failure == nil || cases[2].Error == nil || cases[3].Skipped == nil || cases[3].Skipped.Message != "cannot" ||
		!strings.Contains(cases[1].Failure.Text, "  expected  a\n  observed  b") || cases[1].Name != "DAD-02 Two & <more>" || cases[1].Classname != "core.current.dad" {
		t.Errorf("cases:\n%s", &b)
	}
}

// A real report is what the schema allows too, and what it says adds up.
func TestReport_WriteDir(t *testing.T) {
	r := twoTargets(t)
	dir := filepath.Join(t.TempDir(), "new", "report")
	if err := r.WriteDir(dir); err != nil {
		t.Fatal(err)
	}
	junit, err := os.ReadFile(filepath.Join(dir, "junit.xml"))
	if err != nil {
		t.Fatal(err)
	}
	checkJUnit(t, string(junit))
	text, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var results []Result
	if err := json.Unmarshal(text, &results); err != nil || len(results) != len(r.Results) {
		t.Fatalf("%d results, want %d: %v", len(results), len(r.Results), err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	n := CountOf(r.Results)
	if want := 3 + 2*(n[Fail]+n[Inconclusive]); len(files) != want || n[Fail] == 0 {
		t.Errorf("%d files for %s, want %d", len(files), n, want)
	}
	if err := r.WriteDir("/dev/null/report"); err == nil {
		t.Error("a directory that cannot be made was made")
	}
}

// Files are called after case, profile and target, whatever a target is called,
// and none twice.
func TestReport_FileNames(t *testing.T) {
	trace := []Event{{What: Ordered, Text: "up"}}
	r := Report{Results: []Result{
		{Case: "DAD-01", Profile: "current", Target: "a b", Verdict: Fail, Trace: trace}, {Case: "DAD-01", Profile: "current", Target: "a/b", Verdict: Fail, Trace: trace},
		{Case: "DAD-02", Profile: "current", Target: "../x", Verdict: Inconclusive, Trace: trace}, {Case: "DAD-03", Verdict: Pass, Trace: trace}, {Case: "DAD-04", Verdict: NotApplicable},
		{Case: "DAD-05", Verdict: Inconclusive}, // not begun
	}}
	if diff := cmp.Diff([]string{"DAD-01-current-a_b", "DAD-01-current-a_b-2", "DAD-02-current-.._x", "", "", ""}, r.fileNames()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The nodes have lifelines, a message to a group goes to everyone, and what
// deviates or is missing is marked in its window.
func TestResultDiagram(t *testing.T) {
	r := verdict(t, scriptedDriver{frames: says(t, "100ms ns src=::; 1s ns dst=TN2 ethdst=TN2; 2s na dst=all-nodes")}, "up; TN1 ns; TR1 ra; expect ns within 1s; no na within 5s")
	d := r.diagram()
	var lines []string
	for _, l := range d.Lines {
		lines = append(lines, l.Name)
	}
	if diff := cmp.Diff([]string{"HOST", "TN1", "TR1", "TN2"}, lines); diff != "" {
		t.Errorf("lifelines (-want +got):\n%s", diff)
	}
	type arrow struct {
		Kind     diagram.Kind
		From, To int
		Short    string
		Wrong    bool
	}
	var arrows []arrow
	for _, row := range d.Rows {
		arrows = append(arrows, arrow{row.Kind, row.From, row.To, row.Short, row.Wrong})
	}
	want := []arrow{
		{Kind: diagram.Note}, {0, 1, diagram.Everyone, "NS", false}, {0, 2, diagram.Everyone, "RA", false},
		{0, 0, diagram.Everyone, "DAD probe", false}, {0, 0, 3, "NS", false}, {0, 0, diagram.Everyone, "NA", true},
	}
	if diff := cmp.Diff(want, arrows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if w := d.Window; w == nil || w.From != 100*time.Millisecond || w.Until != 5100*time.Millisecond {
		t.Errorf("window %v", d.Window)
	}

	r = verdict(t, scriptedDriver{frames: says(t, "1s rs")}, "up; expect na within 2s..3s")
	d = r.diagram()
	last := d.Rows[len(d.Rows)-1]
	if last.Kind != diagram.Missing || !last.Wrong || last.At != 3*time.Second || !strings.Contains(last.Why, "no such frame") || d.Window.From != 2*time.Second {
		t.Errorf("what is missing: %+v, window %v", last, d.Window)
	}
	// Twice as many nodes as there are lifelines: the last is shared.
	for n := range byte(16) {
		r.Trace = append(r.Trace, Event{What: Received, Frame: []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 9, n, 0x86, 0xdd}})
	}
	if d := r.diagram(); len(d.Lines) != maxLifelines || d.Lines[maxLifelines-1].Name != "others" {
		t.Errorf("lifelines %v", d.Lines)
	}
}
