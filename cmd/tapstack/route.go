package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

func newRoute() *cobra.Command {
	t := new(target)
	show := showCommand(t, "Show the routes and who holds them", `  tapstack route show
  tapstack route show -j`,
		func(cmd *cobra.Command, c *control.Client) ([]control.Route, error) {
			return c.Routes(cmd.Context(), t.dev)
		}, routeRow)
	cmd := noun("route", "Show and change routes", `Show and change the routes of the host. A route lives as long as something holds
it: an address, a router's advertisement, or the operator.`, `  tapstack route
  tapstack route add default via fe80::1
  tapstack route get 2001:db8:1::9`, show, newRouteAdd(t), newRouteDel(t), newRouteGet(t))
	addTargetFlags(cmd, t)
	return cmd
}

func routeRow(w io.Writer, r control.Route) {
	via := "on-link"
	if r.NextHop != nil {
		via = "via " + r.NextHop.String()
	} else if r.Origin == "local" {
		via = "local"
	}
	expires := ""
	if r.Expires != nil {
		expires = fmt.Sprintf("\texpires %v", time.Until(*r.Expires).Round(time.Second))
	}
	fmt.Fprintf(w, "%s\t%s\tdev %s\torigin %s\tmetric %d\tpref %s\theld by %s%s\n", destinationText(r.Destination), via, r.Interface,
		r.Origin, r.Metric, r.Preference, strings.Join(r.Owners, ", "), expires)
}

func destinationText(p netip.Prefix) string {
	switch p.Bits() {
	case 0:
		return "default"
	case 128:
		return p.Addr().String()
	}
	return p.String()
}

// routeRef parses "PREFIX [via ADDR] [metric N]".
func (t *target) routeRef(cmd *cobra.Command, args []string, metric uint32) (control.RouteRef, error) {
	ref := control.RouteRef{Metric: metric}
	rest, words, err := t.words(cmd, args, 1, 1, "via", "metric")
	if err != nil {
		return ref, err
	}
	if rest[0] == "default" {
		rest[0] = "::/0"
	}
	p, _, err := t.prefix("route", rest[0])
	if err != nil {
		return ref, err
	}
	if p != p.Masked() {
		return ref, usagef("route %s: it has bits beyond its length: is %s meant?", rest[0], p.Masked())
	}
	ref.Destination = p
	if via, ok := words["via"]; ok {
		if ref.NextHop, err = t.addr("via", via); err != nil {
			return ref, err
		}
	}
	if m, ok := words["metric"]; ok {
		n, err := strconv.ParseUint(m, 10, 32)
		if err != nil {
			return ref, usagef("metric %q is not a number", m)
		}
		ref.Metric = uint32(n)
	}
	ref.Interface = t.dev
	return ref, nil
}

func newRouteAdd(t *target) *cobra.Command {
	return newRouteChange(t, &cobra.Command{
		Use:   "add PREFIX [via ADDR]",
		Short: "Add a route",
		Long: `Add a route: through the router ADDR, or without one on-link, which says that the
destinations are neighbors.`,
		Example: `  tapstack route add default via fe80::1
  tapstack route add 2001:db8:1::/48 via 2001:db8::1 --metric 100
  tapstack route add 2001:db8:2::/64`,
	}, (*control.Client).AddRoute)
}

func newRouteDel(t *target) *cobra.Command {
	return newRouteChange(t, &cobra.Command{
		Use:     "del PREFIX [via ADDR]",
		Aliases: []string{"delete"},
		Short:   "Remove a route that the operator added",
		Long: `Take the operator's hold off a route. The route goes unless something else holds
it.`,
		Example: `  tapstack route del default via fe80::1
  tapstack route del 2001:db8:2::/64`,
	}, (*control.Client).DeleteRoute)
}

func newRouteChange(t *target, cmd *cobra.Command, change func(*control.Client, context.Context, control.RouteRef) error) *cobra.Command {
	metric := cmd.Flags().Uint32("metric", 0, "metric `N`; the lowest is taken first, 0 is the default")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ref, err := t.routeRef(cmd, args, *metric)
		if err != nil {
			return err
		}
		c, err := t.client()
		if err != nil {
			return err
		}
		return change(c, cmd.Context(), ref)
	}
	return cmd
}

func newRouteGet(t *target) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get DST [from SRC]",
		Short: "Show how a packet to DST would be sent",
		Example: `  tapstack route get 2001:db8:1::9
  tapstack route get 2001:db8:1::9 from 2001:db8::5 -j`,
		RunE: func(cmd *cobra.Command, args []string) error {
			rest, words, err := t.words(cmd, args, 1, 1, "from")
			if err != nil {
				return err
			}
			dst, err := t.addr("destination", rest[0])
			if err != nil {
				return err
			}
			src := words["from"]
			if src != "" {
				a, err := t.addr("source", src)
				if err != nil {
					return err
				}
				src = a.String()
			}
			c, err := t.client()
			if err != nil {
				return err
			}
			l, err := c.Lookup(cmd.Context(), t.dev, dst.String(), src)
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(l)
			}
			via := "on-link"
			if l.NextHop != l.Destination {
				via = "via " + l.NextHop.String()
			}
			mtu := ""
			if l.PathMTU != 0 {
				mtu = fmt.Sprintf(" mtu %d", l.PathMTU)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s dev %s src %s neighbor %s%s\n", l.Destination, via, l.Interface, l.Source, l.Neighbor, mtu)
			return nil
		},
	}
	addJSONFlag(cmd)
	return cmd
}
