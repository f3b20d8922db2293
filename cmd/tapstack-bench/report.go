package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
)

// Report is all that one run has found.
type Report struct {
	Time     time.Time `json:"time"`
	Versions []string  `json:"versions"`
	CPUs     int       `json:"cpus"`
	Load     string    `json:"load,omitempty"` // of the machine before the run, over 1, 5 and 15 minutes
	Rounds   int       `json:"rounds"`
	LeftOut  []string  `json:"left_out,omitempty"`
	Figures  []Figure  `json:"figures"`
}

func newReport(rounds int) *Report {
	r := &Report{Time: time.Now().UTC().Truncate(time.Second), CPUs: runtime.GOMAXPROCS(0), Rounds: rounds, Versions: []string{runtime.Version()}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "gvisor.dev/gvisor" {
				r.Versions = append(r.Versions, "gVisor "+m.Version)
			}
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		r.Versions = append(r.Versions, "Linux "+strings.TrimSpace(string(release)))
	}
	// It decides what the kernel's TCP can do, as the peer and as a rival.
	if name, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		r.Versions = append(r.Versions, "its TCP with "+strings.TrimSpace(string(name)))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return r
}

// columns are the hosts in the order in which they are shown.
var columns = []string{host.Tapstack, host.NoOffload, host.GVisor, host.Kernel}

// WriteTable writes the figures for people: medians, and half of the range as
// a share of the median.
func (r *Report) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %s, %d CPUs, load before %s; medians of %d\n",
		r.Time.Format(time.DateTime), strings.Join(r.Versions, ", "), r.CPUs, r.Load, r.Rounds)
	for _, family := range r.families() {
		fmt.Fprintf(w, "\n%s\n", family)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(t, "  figure\tunit\t%s\tbounds\n", strings.Join(columns, "\t"))
		for _, f := range r.of(family) {
			fmt.Fprintf(t, "  %s\t%s", f.title(), f.Unit)
			for _, of := range columns {
				fmt.Fprintf(t, "\t%s", f.cell(of))
			}
			fmt.Fprintf(t, "\t%s\n", f.verdicts())
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if len(r.LeftOut) > 0 {
		fmt.Fprintf(w, "\nleft out\n  %s\n", strings.Join(r.LeftOut, "\n  "))
	}
	met, all := r.met()
	_, err := fmt.Fprintf(w, "\n%d of %d bounds are met.\n", met, all)
	return err
}

func (r *Report) families() (names []string) {
	for _, f := range r.Figures {
		if !slices.Contains(names, f.Family) {
			names = append(names, f.Family)
		}
	}
	return names
}

func (r *Report) of(family string) (fs []Figure) {
	for _, f := range r.Figures {
		if f.Family == family {
			fs = append(fs, f)
		}
	}
	return fs
}

func (r *Report) met() (met, all int) {
	for _, f := range r.Figures {
		for _, v := range f.Bounds {
			if all++; v.Met {
				met++
			}
		}
	}
	return met, all
}

func (f *Figure) title() string {
	if f.X == 0 {
		return f.Name
	}
	return fmt.Sprintf("%s, %d %s", f.Name, f.X, f.XUnit)
}

func (f *Figure) cell(of string) string {
	r, ok := f.result(of)
	if !ok {
		return "-"
	}
	if len(r.Samples) == 1 || r.Median == 0 {
		return number(r.Median)
	}
	return fmt.Sprintf("%s ±%.0f%%", number(r.Median), 50*(r.Max-r.Min)/r.Median)
}

func (f *Figure) verdicts() string {
	var all []string
	for _, v := range f.Bounds {
		all = append(all, v.String())
	}
	return strings.Join(all, "; ")
}

// line is the figure in one line.
func (f *Figure) line() string {
	line := f.title() + ":"
	for _, r := range f.Results {
		line += fmt.Sprintf(" %s %s %s;", r.Of, f.cell(r.Of), f.Unit)
	}
	return line + " " + f.verdicts()
}

// WriteJSON writes the report to a file.
func (r *Report) WriteJSON(file string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// WritePlots writes a plot of each family into a directory.
func (r *Report) WritePlots(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, family := range r.families() {
		file := filepath.Join(dir, strings.ReplaceAll(family, " ", "-")+".svg")
		if err := os.WriteFile(file, plot(family, r.of(family)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
