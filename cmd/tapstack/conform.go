package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/internal/control"
)

func newConform() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conform",
		Short: "Judge IPv6 hosts by the RFCs",
		Long: `Play scenarios against an IPv6 host from the other end of its link, and tell which
section of which RFC a host departs from that does not pass. docs/conformance.md has
the format of the scenarios.`,
		Example: `  tapstack conform run                   # against the reference model, in a second or two
  tapstack conform run --target stack --case dad
  tapstack conform explain DAD-09`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConformRun(), newConformList(), newConformExplain(), newConformCheck())
	return cmd
}

// conformRun is one `conform run`.
type conformRun struct {
	targets
	judged   []string // the hosts, for people
	cases    []string
	profiles []string
	parallel int
	longest  time.Duration
	verbose  bool
	out      string
}

func newConformRun() *cobra.Command {
	r := new(conformRun)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Play the scenarios against a host",
		Long: `Play the scenarios against a host and tell what does not pass: the section, what was
expected, what was observed, and every frame up to there, of which the one that
deviates is marked.

Exit code 1 says that a case failed, or that the host did not get as far as the
matter of a case.`,
		Example: `  tapstack conform run
  tapstack conform run --case DAD-09 -v
  tapstack conform run --target stack --case 'NUD-*' --profile rfc4862
  tapstack conform run --case dad -j
  sudo tapstack conform run --target linux,tap
  sudo tapstack conform run --target exec --exec ./myhost
  tapstack conform run --out report      # report/index.html is for a browser`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&r.names, "target", []string{"core"}, "the `HOST`, or several, one after the other: "+strings.Join(targetNames(), ", "))
	f.StringVar(&r.exec, "exec", "", "the program of the target exec, a `COMMAND` for sh that speaks the line protocol of docs/conformance.md")
	f.StringVar(&r.link, "link", "tap", "what the program finds in its namespace, a `LINK`: tap, to attach to, or veth, for a kernel")
	f.StringSliceVar(&r.cases, "case", nil, "the cases or groups that match `GLOB` alone (repeatable)")
	f.StringSliceVar(&r.profiles, "profile", nil, "this `PROFILE` alone: "+strings.Join(conformance.ProfileNames, ", ")+" (repeatable)")
	f.IntVar(&r.parallel, "parallel", 0, "play `N` cases at once (default: what the target can take)")
	f.DurationVar(&r.longest, "longest", 90*time.Second, "in real time, leave out the cases that take more than `D`")
	f.StringVar(&r.out, "out", "", "write a report into the directory `DIR`: index.html, junit.xml, results.json, and the frames and a transcript of each case that did not pass")
	f.BoolVarP(&r.verbose, "verbose", "v", false, "show every case, with all frames")
	addJSONFlag(cmd)
	complete := func(name string, values []string) {
		cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	complete("target", targetNames())
	complete("link", []string{"tap", "veth"})
	complete("profile", conformance.ProfileNames)
	cmd.RegisterFlagCompletionFunc("case", completeCases)
	return cmd
}

func completeCases(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cases, err := conformance.Scenarios()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, _ := conformance.Groups(cases)
	for _, c := range cases {
		names = append(names, c.ID)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// selectCases returns the cases that match one of the patterns.
func selectCases(patterns []string) ([]*conformance.Case, error) {
	all, err := conformance.Scenarios()
	if err != nil || len(patterns) == 0 {
		return all, err
	}
	wanted := map[*conformance.Case]bool{}
	for _, p := range patterns {
		some, err := conformance.Select(all, p)
		if err != nil {
			return nil, usagef("--case %q: %v", p, err)
		}
		if len(some) == 0 {
			return nil, usagef("--case %q: no case and no group is called so", p)
		}
		for _, c := range some {
			wanted[c] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(c *conformance.Case) bool { return !wanted[c] }), nil
}

func (r *conformRun) run(cmd *cobra.Command) error {
	cases, err := selectCases(r.cases)
	if err != nil {
		return err
	}
	if r.parallel < 0 {
		return usagef("--parallel %d is no number of cases", r.parallel)
	}
	drivers, err := r.drivers(cmd.Context())
	if err != nil {
		return err
	}
	defer closeDrivers(drivers)
	r.judged = titles(drivers)
	for _, d := range drivers {
		for _, p := range r.profiles {
			if !slices.Contains(d.Profiles(), p) {
				return usagef("--profile %q: the target %s has %s", p, d.Name(), strings.Join(d.Profiles(), ", "))
			}
		}
	}
	if err := prepareOut(r.out); err != nil {
		return err
	}
	began := time.Now()
	results := r.play(cmd.Context(), cmd.ErrOrStderr(), drivers, cases)
	if err := writeOut(r.out, cases, results); err != nil {
		return err
	}
	return r.report(cmd, results, time.Since(began))
}

// report prints the results; what does not pass is the error.
func (r *conformRun) report(cmd *cobra.Command, results []conformance.Result, took time.Duration) error {
	out := cmd.OutOrStdout()
	if wantsJSON(cmd) {
		if err := conformance.WriteJSON(out, results); err != nil {
			return err
		}
	} else if err := r.text(out, results, took); err != nil {
		return err
	}
	n := conformance.CountOf(results)
	if n[conformance.Fail]+n[conformance.Inconclusive] > 0 {
		return exitError{control.ExitFailed, ""}
	}
	return nil
}

func (r *conformRun) text(w io.Writer, results []conformance.Result, took time.Duration) error {
	left := 0
	for _, result := range results {
		if interrupted(result) {
			left++
			continue
		}
		if passed := result.Verdict == conformance.Pass || result.Verdict == conformance.NotApplicable; passed && !r.verbose {
			continue
		}
		if err := result.WriteText(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	if left > 0 {
		fmt.Fprintf(w, "interrupted: %d were not played\n", left)
	}
	_, err := fmt.Fprintf(w, "%s against %s in %v%s\n", conformance.CountOf(results), strings.Join(r.judged, ", "), took.Round(10*time.Millisecond), whereOut(r.out))
	return err
}

// listedCase is a case in the output of `conform list -j`.
type listedCase struct {
	ID           string   `json:"case"`
	Title        string   `json:"title"`
	Group        string   `json:"group"`
	Specs        []string `json:"specs"`
	Requirements []string `json:"requirements,omitempty"`
	Extern       []string `json:"extern,omitempty"`
	Profiles     []string `json:"profiles,omitempty"`
}

func newConformList() *cobra.Command {
	var patterns []string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the scenarios",
		Example: `  tapstack conform list
  tapstack conform list --case 'DAD-5*' -j`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cases, err := selectCases(patterns)
			if err != nil {
				return err
			}
			listed := []listedCase{}
			for _, c := range cases {
				listed = append(listed, listedCase{c.ID, c.Title, c.Group, c.Specs, c.Requirements, c.Extern, c.Profiles})
			}
			return printView(cmd, listed, func(w io.Writer) {
				for _, c := range listed {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.ID, c.Specs[0], strings.Join(c.Extern, ", "), c.Title)
				}
			})
		},
	}
	cmd.Flags().StringSliceVar(&patterns, "case", nil, "the cases or groups that match `GLOB` alone (repeatable)")
	cmd.RegisterFlagCompletionFunc("case", completeCases)
	addJSONFlag(cmd)
	return cmd
}

func newConformExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain CASE",
		Short:   "Show what a scenario does, and why",
		Example: "  tapstack conform explain DAD-09",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cases, err := conformance.Scenarios()
			if err != nil {
				return err
			}
			k := slices.IndexFunc(cases, func(c *conformance.Case) bool { return strings.EqualFold(c.ID, args[0]) })
			if k < 0 {
				return usagef("there is no case %q: \"tapstack conform list\" lists them", args[0])
			}
			return cases[k].WriteExplanation(cmd.OutOrStdout())
		},
		ValidArgsFunction: completeCases,
	}
	return cmd
}
