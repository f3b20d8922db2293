package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

func newRA() *cobra.Command {
	t := new(target)
	show := showCommand(t, "Show the routers that were heard", `  tapstack ra show
  tapstack ra show -j`,
		func(cmd *cobra.Command, c *control.Client) ([]control.Router, error) {
			return c.Routers(cmd.Context(), t.dev)
		}, routerRow)
	cmd := noun("ra", "Show what routers advertise", `Show the routers that were heard, with what they advertise and when it ends.`,
		`  tapstack ra`, show)
	addTargetFlags(cmd, t)
	return cmd
}

// routerRow prints a router and, below it, what it advertises.
func routerRow(w io.Writer, r control.Router) {
	lladdr, role := "-", "no default router"
	if r.LinkAddress != nil {
		lladdr = r.LinkAddress.String()
	}
	if r.Default {
		role = "default router, " + ends(r.Expires)
	}
	fmt.Fprintf(w, "%s\tdev %s\tlladdr %s\tpref %s\t%s\theard %v ago\n", r.Router, r.Interface, lladdr, r.Preference, role,
		max(0, time.Since(r.Heard)).Round(time.Second))
	fmt.Fprintf(w, "  lifetime %vs\thop limit %d\tmtu %d\treachable %vs\tretrans %vs\tmanaged %v, other %v\n",
		r.RouterLifetime, r.CurHopLimit, r.MTU, r.ReachableTime, r.RetransTimer, r.Managed, r.Other)
	for _, p := range r.Prefixes {
		onLink := "not on-link"
		if p.OnLink {
			onLink = "on-link, " + ends(p.OnLinkExpires)
		}
		fmt.Fprintf(w, "  prefix %s\t%s\tautonomous %v\tvalid: %s\tpreferred: %s\n", p.Prefix, onLink, p.Autonomous, ends(p.ValidUntil), ends(p.PreferredUntil))
	}
	for _, p := range r.Routes {
		fmt.Fprintf(w, "  route %s\tpref %s\t%s\n", p.Prefix, p.Preference, ends(p.Expires))
	}
	for _, d := range r.DNSServers {
		fmt.Fprintf(w, "  name server %s\t%s\n", d.Address, ends(d.Expires))
	}
	for _, d := range r.DNSSearch {
		fmt.Fprintf(w, "  search domain %s\t%s\n", d.Domain, ends(d.Expires))
	}
	if r.CaptivePortal != "" {
		fmt.Fprintf(w, "  captive portal %q\n", r.CaptivePortal)
	}
	for _, o := range r.Options {
		fmt.Fprintf(w, "  option %d\t%s\n", o.Type, o.Body)
	}
}

// ends says when something ends.
func ends(t *time.Time) string {
	if t == nil {
		return "forever"
	}
	return fmt.Sprintf("ends in %v", max(0, time.Until(*t)).Round(time.Second))
}
