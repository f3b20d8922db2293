// Command results plays all scenarios against all hosts that there are, and
// writes docs/conformance-results.md. Run it from the root of the repository,
// as root:
//
//	go run ./conformance/results
//
// It fails if a host fails a case of which conformance/hosts/known does not say
// why, passes one of which it does, or could not be run.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/conformance/hosts/known"
)

// command is one run of the command.
type command struct {
	targets, cases []string
	out, raw       string
	log            io.Writer
}

func main() {
	c := command{log: os.Stderr}
	list := func(into *[]string) func(string) error {
		return func(s string) error {
			*into = append(*into, strings.Split(s, ",")...)
			return nil
		}
	}
	flag.Func("target", "play against this `HOST` alone, or several with commas; nothing is written unless -o says where", list(&c.targets))
	flag.Func("case", "play the cases or groups that match `GLOB` alone, or several with commas; nothing is written unless -o says where", list(&c.cases))
	flag.StringVar(&c.out, "o", "", "write to `FILE` (default docs/conformance-results.md)")
	flag.StringVar(&c.raw, "json", "", "write all results with their frames to `FILE`")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "results takes no argument %q: see -help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ok, err := c.run(ctx)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "results:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// run plays everything and writes what came of it; ok says whether all is as
// it is known to be.
func (c command) run(ctx context.Context) (ok bool, err error) {
	cases, err := c.selectCases()
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "tapstack-results-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	hosts, err := c.selectHosts(hosts(dir))
	if err != nil {
		return false, err
	}
	if c.out == "" && len(c.targets) == 0 && len(c.cases) == 0 {
		c.out = "docs/conformance-results.md"
	}
	r := report{date: time.Now(), cases: cases}
	var raw []conformance.Result
	for _, h := range hosts {
		p := c.play(ctx, h, cases)
		if err := ctx.Err(); err != nil {
			return false, err
		}
		r.hosts = append(r.hosts, p)
		raw = append(raw, p.results...)
	}
	if c.raw != "" {
		text, err := json.Marshal(raw)
		if err == nil {
			err = os.WriteFile(c.raw, text, 0o644)
		}
		if err != nil {
			return false, err
		}
	}
	if c.out != "" {
		if err := os.WriteFile(c.out, []byte(r.markdown()), 0o644); err != nil {
			return false, err
		}
	}
	return r.judge(c.log), nil
}

func (c command) selectCases() (selected []*conformance.Case, err error) {
	all, err := conformance.Scenarios()
	if err != nil || len(c.cases) == 0 {
		return all, err
	}
	for _, pattern := range c.cases {
		some, err := conformance.Select(all, pattern)
		if err != nil || len(some) == 0 {
			return nil, fmt.Errorf("-case %s: no case and no group is called so", pattern)
		}
		selected = append(selected, some...)
	}
	return selected, nil
}

func (c command) selectHosts(all []host) (selected []host, err error) {
	if len(c.targets) == 0 {
		return all, nil
	}
	for _, name := range c.targets {
		k := slices.IndexFunc(all, func(h host) bool { return h.name == name })
		if k < 0 {
			return nil, fmt.Errorf("-target %s: there is no such host", name)
		}
		selected = append(selected, all[k])
	}
	return selected, nil
}

// play plays the cases against one host.
func (c command) play(ctx context.Context, h host, cases []*conformance.Case) played {
	p := played{name: h.name}
	if p.known, p.trouble = known.Read(h.name); p.trouble != nil {
		return p
	}
	var d conformance.Driver
	if d, p.trouble = h.open(ctx); p.trouble == nil {
		p.trouble = trial(d)
		if closer, ok := d.(io.Closer); ok {
			defer closer.Close()
		}
	}
	if p.trouble != nil {
		fmt.Fprintf(c.log, "!!! %s is NOT run: %v\n", h.name, p.trouble)
		return p
	}
	p.profiles, p.version = h.profiles, h.version(d)
	if p.profiles == nil {
		p.profiles = d.Profiles()
	}
	fmt.Fprintf(c.log, "%s (%s): %d cases, profiles %s\n", h.name, p.version, len(cases), strings.Join(p.profiles, ", "))
	began, done := time.Now(), 0
	p.results = conformance.Runner{
		Driver: d, Profiles: p.profiles, Known: p.known.Cases(),
		Progress: func(r conformance.Result) {
			done++
			if (r.Verdict == conformance.Fail || r.Verdict == conformance.Inconclusive) && p.known.Of(r.Case) == nil {
				fmt.Fprintf(c.log, "%6v %5d %s\n", time.Since(began).Round(time.Second), done, r.Summary())
			}
		},
	}.Run(ctx, cases)
	p.took = time.Since(began)
	fmt.Fprintf(c.log, "%s: %s in %v\n", h.name, conformance.CountOf(p.results), p.took.Round(time.Second))
	return p
}

// trial makes one host, so that what is missing for it is told once.
func trial(d conformance.Driver) error {
	t, err := d.Open(conformance.Setup{Profile: d.Profiles()[0], LinkAddr: conformance.HostLinkAddr, Chance: conformance.Random})
	if err != nil {
		return err
	}
	return t.Close()
}
