package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/nd"
)

func newNeigh() *cobra.Command {
	t := new(target)
	show := showCommand(t, "Show the neighbors", `  tapstack neigh show
  tapstack neigh show -j`,
		func(cmd *cobra.Command, c *control.Client) ([]control.Neighbor, error) {
			return c.Neighbors(cmd.Context(), t.dev)
		}, neighborRow)
	cmd := noun("neigh", "Show and change the Neighbor Cache", `Show and change the Neighbor Cache: the link-layer addresses of nodes on the link,
with the states of RFC 4861, section 7.3.2.`, `  tapstack neigh
  tapstack neigh add fe80::9 lladdr 02:00:00:00:00:09
  tapstack neigh flush`, show, newNeighAdd(t), newNeighDel(t), newNeighFlush(t))
	cmd.Aliases = []string{"neighbor"}
	addTargetFlags(cmd, t)
	return cmd
}

func neighborRow(w io.Writer, n control.Neighbor) {
	lladdr, router := "-", ""
	if n.LinkAddress != nil {
		lladdr = n.LinkAddress.String()
	}
	if n.Router {
		router = "\trouter"
	}
	fmt.Fprintf(w, "%s\tdev %s\tlladdr %s\t%s\tsince %s%s\n", n.Address, n.Interface, lladdr, n.State, n.Since.Local().Format(time.DateTime), router)
}

func newNeighAdd(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "add ADDR lladdr MAC",
		Short: "Make a permanent entry",
		Long: `Make a permanent entry, in place of what was learned about ADDR. It is not probed,
and only "neigh del" removes it.`,
		Example: `  tapstack neigh add fe80::9 lladdr 02:00:00:00:00:09`,
		RunE: func(cmd *cobra.Command, args []string) error {
			rest, words, err := t.words(cmd, args, 1, 2, "lladdr")
			if err != nil {
				return err
			}
			mac := words["lladdr"]
			if len(rest) == 2 && mac == "" {
				mac = rest[1]
			} else if len(rest) == 2 || mac == "" {
				return usagef("neigh add: say lladdr MAC, once")
			}
			lladdr, err := nodeLinkAddr(mac)
			if err != nil {
				return err
			}
			return t.changeNeighbor(cmd, rest[0], lladdr, (*control.Client).AddNeighbor)
		},
	}
}

func newNeighDel(t *target) *cobra.Command {
	return &cobra.Command{
		Use:     "del ADDR",
		Aliases: []string{"delete"},
		Short:   "Remove an entry",
		Example: `  tapstack neigh del fe80::9`,
		RunE: func(cmd *cobra.Command, args []string) error {
			rest, _, err := t.words(cmd, args, 1, 1)
			if err != nil {
				return err
			}
			return t.changeNeighbor(cmd, rest[0], nd.LinkAddr{}, (*control.Client).DeleteNeighbor)
		},
	}
}

func (t *target) changeNeighbor(cmd *cobra.Command, addr string, lladdr nd.LinkAddr, change func(*control.Client, context.Context, control.NeighborRef) error) error {
	a, err := t.addr("neighbor", addr)
	if err != nil {
		return err
	}
	c, err := t.client()
	if err != nil {
		return err
	}
	return change(c, cmd.Context(), control.NeighborRef{Interface: t.dev, Address: a, LinkAddress: lladdr})
}

func newNeighFlush(t *target) *cobra.Command {
	return &cobra.Command{
		Use:     "flush",
		Short:   "Remove every entry but the permanent ones",
		Example: `  tapstack neigh flush`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, err := t.words(cmd, args, 0, 0); err != nil {
				return err
			}
			c, err := t.client()
			if err != nil {
				return err
			}
			return c.FlushNeighbors(cmd.Context(), control.InterfaceRef{Interface: t.dev})
		},
	}
}
