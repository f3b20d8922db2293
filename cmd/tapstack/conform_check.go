package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/nd"
)

// conformCheck is one `conform check`.
type conformCheck struct {
	host string
	cfg  conformance.CheckConfig
}

func newConformCheck() *cobra.Command {
	c := new(conformCheck)
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Judge the hosts of a capture",
		Long: `Judge the hosts of a capture (pcap or pcapng of an Ethernet; - is standard input) by
what they send, and tell what the RFCs do not allow: the section, what was expected,
what was observed, and in which frame.

A capture does not show what a host was told to do, nor what was before its first
frame. Where that would have to be known no host is accused: what cannot be judged is
listed as open.

Exit code 1 says that a host departs from an RFC, 2 that the file cannot be read.`,
		Example: `  tapstack conform check capture.pcapng
  tapstack conform check capture.pcap --host 02:00:00:00:00:01 --profile rfc4862
  tcpdump -i eth0 -w - ip6 | tapstack conform check - -j`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&c.host, "host", "", "only the host with the link-layer or IPv6 address `ADDR`")
	f.StringVar(&c.cfg.Profile, "profile", "", "judge by this `PROFILE`: "+strings.Join(conformance.ProfileNames, ", ")+" (default: by what they have in common)")
	f.DurationVar(&c.cfg.RetransTimer, "retrans-timer", 0, "the RetransTimer `D` that the hosts are configured with (default 1s)")
	f.IntVar(&c.cfg.DupAddrDetectTransmits, "dad-transmits", 0, "the DupAddrDetectTransmits `N` that the hosts are configured with (default: not known, and not judged)")
	f.DurationVar(&c.cfg.Slack, "slack", 100*time.Millisecond, "how much `D` the times of the capture may be off")
	addJSONFlag(cmd)
	cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(conformance.ProfileNames, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *conformCheck) validate() error {
	switch {
	case c.cfg.Profile != "" && !slices.Contains(conformance.ProfileNames, c.cfg.Profile):
		return usagef("--profile %q is none of %s", c.cfg.Profile, strings.Join(conformance.ProfileNames, ", "))
	case c.cfg.RetransTimer < 0 || c.cfg.Slack < 0:
		return usagef("--retrans-timer and --slack are not negative")
	case c.cfg.DupAddrDetectTransmits < 0:
		return usagef("--dad-transmits %d is no number of probes", c.cfg.DupAddrDetectTransmits)
	case c.host == "":
		return nil
	}
	_, errMAC := nd.ParseLinkAddr(c.host)
	if _, err := netip.ParseAddr(c.host); err != nil && errMAC != nil {
		return usagef("--host %q is neither a link-layer address nor an IPv6 address", c.host)
	}
	return nil
}

func (c *conformCheck) run(cmd *cobra.Command, name string) error {
	if err := c.validate(); err != nil {
		return err
	}
	in := cmd.InOrStdin()
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return exitError{control.ExitUsage, err.Error()}
		}
		defer f.Close()
		in = f
	}
	capture, err := conformance.CheckCapture(in, c.cfg)
	if err != nil {
		return exitError{control.ExitUsage, fmt.Sprintf("%s: %v", name, err)}
	}
	if c.host != "" {
		if err := c.only(&capture); err != nil {
			return err
		}
	}
	if wantsJSON(cmd) {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(capture)
	} else {
		err = writeCapture(cmd.OutOrStdout(), name, capture)
	}
	if err == nil && departed(capture) > 0 {
		err = exitError{control.ExitFailed, ""}
	}
	return err
}

// only leaves the host that was asked for.
func (c *conformCheck) only(capture *conformance.Capture) error {
	l, _ := nd.ParseLinkAddr(c.host)
	a, _ := netip.ParseAddr(c.host)
	var there []string
	for _, h := range capture.Hosts {
		there = append(there, h.LinkAddr)
	}
	capture.Hosts = slices.DeleteFunc(capture.Hosts, func(h conformance.HostReport) bool {
		return h.LinkAddr != l.String() && !(a.IsValid() && slices.Contains(h.Addresses, a.String()))
	})
	switch {
	case len(capture.Hosts) > 0:
		return nil
	case len(there) == 0:
		return usagef("--host %s: nobody sends IPv6 in this capture", c.host)
	}
	return usagef("--host %s is not in this capture: there are %s", c.host, strings.Join(there, ", "))
}

func departed(c conformance.Capture) (n int) {
	for _, h := range c.Hosts {
		if h.Verdict == conformance.Fail {
			n++
		}
	}
	return n
}

func writeCapture(w io.Writer, name string, c conformance.Capture) error {
	var errs []error
	say := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format, args...)
		errs = append(errs, err)
	}
	for _, h := range c.Hosts {
		what := ""
		if h.Router {
			what = ", a router"
		}
		say("%-14s %s  %d frames%s: %s\n", h.Verdict, h.LinkAddr, h.Frames, what, some(h.Addresses))
		for _, d := range h.Departures {
			say("  frame %d at %v\n    section   %s (%s)\n    expected  %s\n    observed  %s\n", d.Frame, d.At, d.Section, d.Requirement, d.Expected, d.Observed)
		}
		if h.More > 0 {
			say("  and %d more of the same kind\n", h.More)
		}
		for _, s := range h.Open {
			say("  open: %s\n", s)
		}
		say("\n")
	}
	for _, s := range c.Notes {
		say("%s\n", s)
	}
	say("%s: %d of %d hosts depart, in %d frames of %v\n", name, departed(c), len(c.Hosts), c.Frames, c.Took)
	return errors.Join(errs...)
}

// some is a list, or its beginning if it is long.
func some(all []string) string {
	const most = 4
	switch {
	case len(all) == 0:
		return "no address"
	case len(all) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}
