// Command tapstack-bench measures tapstack beside what would be used instead:
// gVisor as it comes, on the same kind of TAP, and the Linux kernel on a pair
// of virtual Ethernet interfaces. It measures them in turn, in one run.
//
//	go run ./cmd/tapstack-bench
//	go run ./cmd/tapstack-bench --full --json bench.json --svg plots
//
// As root on Linux it measures everything, and without privileges what needs
// none. docs/benchmarks.md says how to read it.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/node"
)

func main() {
	node.Main()
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// families are the parts of a run, in order.
var families = []struct {
	name string
	run  func(*bench)
	pair bool // it needs devices, all of it
}{
	{"bulk", bulk, true},
	{"small", small, true},
	{"datapath", datapath, false},
	{"control", controlPlane, false},
	{"footprint", footprint, false},
}

// execute runs the command line and returns the exit code: 0 also when bounds
// are missed, because that is what a run is to find out.
func execute(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tapstack-bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	wantFull := flags.Bool("full", false, "measure longer, more often and at a larger scale")
	jsonFile := flags.String("json", "", "write the figures to `FILE`, as JSON")
	svgDir := flags.String("svg", "", "write a plot of each family into `DIR`")
	profiles := flags.String("profile", "", "write CPU profiles of the hosts into `DIR`")
	figures := flags.String("figure", "", "measure only the figures whose name has `REGEXP` in it, such as 'UDP|NS flood'")
	only := flags.String("family", "", "measure only the families of `LIST`, parted by commas: "+familyNames())
	if err := flags.Parse(args); err != nil {
		return 2
	}
	p := quick
	if *wantFull {
		p = full
	}
	selected, err := regexp.Compile(*figures)
	if err != nil {
		fmt.Fprintf(stderr, "tapstack-bench: --figure: %v\n", err)
		return 2
	}
	b := &bench{plan: p, progress: stderr, profiles: *profiles, selected: selected, report: newReport(p.rounds)}
	if err := b.run(*only); err != nil {
		fmt.Fprintf(stderr, "tapstack-bench: %v\n", err)
		return 2
	}
	if err := b.report.write(stdout, *jsonFile, *svgDir); err != nil {
		fmt.Fprintf(stderr, "tapstack-bench: %v\n", err)
		return 1
	}
	return 0
}

func familyNames() string {
	var names []string
	for _, f := range families {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// run measures the families of a list, or all.
func (b *bench) run(list string) error {
	wanted := strings.Split(familyNames(), ", ")
	if list != "" {
		for _, name := range strings.Split(list, ",") {
			if !slices.Contains(wanted, name) {
				return fmt.Errorf("there is no family %q, only %s", name, familyNames())
			}
		}
		wanted = strings.Split(list, ",")
	}
	if b.profiles != "" {
		if err := os.MkdirAll(b.profiles, 0o755); err != nil {
			return err
		}
	}
	b.start()
	defer b.stop()
	for _, f := range families {
		if slices.Contains(wanted, f.name) && (len(b.pairs) > 0 || !f.pair) {
			f.run(b)
		}
	}
	return nil
}

// write writes the report in every form that is wanted.
func (r *Report) write(table io.Writer, jsonFile, svgDir string) error {
	if jsonFile != "" {
		if err := r.WriteJSON(jsonFile); err != nil {
			return err
		}
	}
	if svgDir != "" {
		if err := r.WritePlots(svgDir); err != nil {
			return err
		}
	}
	return r.WriteTable(table)
}
