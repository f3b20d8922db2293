package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

func newMaddr() *cobra.Command {
	t := new(target)
	show := showCommand(t, "Show the groups and who holds them", `  tapstack maddr show
  tapstack maddr show -j`,
		func(cmd *cobra.Command, c *control.Client) ([]control.Group, error) {
			return c.Groups(cmd.Context(), t.dev)
		}, groupRow)
	cmd := noun("maddr", "Show and change group memberships", `Show and change the multicast groups that the host listens to. A membership lives
as long as something holds it: an address (its solicited-node group), a socket, or
the operator.`, `  tapstack maddr
  tapstack maddr join ff02::4242
  tapstack maddr leave ff02::4242`, show,
		newGroupChange(t, "join", "Join a group", `Join a group for packets from everybody, or with --source for those from some
sources alone. More sources can be joined later. A source-specific group (ff3x::/32)
needs sources.`, (*control.Client).JoinGroup),
		newGroupChange(t, "leave", "Leave a group that \"maddr join\" joined", `Leave a group that "maddr join" joined. With --source only these of its sources are
left, and the group with the last of them.`, (*control.Client).LeaveGroup))
	addTargetFlags(cmd, t)
	return cmd
}

func groupRow(w io.Writer, g control.Group) {
	sources := ""
	if len(g.Sources) > 0 {
		sources = " " + strings.Join(texts(g.Sources), ", ")
	}
	fmt.Fprintf(w, "%s\tdev %s\t%s%s\theld by %s\n", g.Group, g.Interface, g.Mode, sources, strings.Join(g.Holders, ", "))
}

func texts(as []netip.Addr) (s []string) {
	for _, a := range as {
		s = append(s, a.String())
	}
	return s
}

func newGroupChange(t *target, name, short, long string, change func(*control.Client, context.Context, control.GroupRef) error) *cobra.Command {
	var sources []string
	cmd := &cobra.Command{
		Use:     name + " GROUP",
		Short:   short,
		Long:    long,
		Example: "  tapstack maddr " + name + " ff02::4242\n  tapstack maddr " + name + " ff35::8000:1 --source 2001:db8::9",
		RunE: func(cmd *cobra.Command, args []string) error {
			rest, _, err := t.words(cmd, args, 1, 1)
			if err != nil {
				return err
			}
			g, err := t.addr("group", rest[0])
			if err != nil {
				return err
			}
			if !g.IsMulticast() {
				return usagef("group: %s is not a multicast address", g)
			}
			ref := control.GroupRef{Group: g}
			for _, s := range sources {
				a, err := t.addr("source", s)
				if err != nil {
					return err
				}
				ref.Sources = append(ref.Sources, a)
			}
			ref.Interface = t.dev
			c, err := t.client()
			if err != nil {
				return err
			}
			return change(c, cmd.Context(), ref)
		},
	}
	cmd.Flags().StringArrayVar(&sources, "source", nil, "only packets from this `ADDR`; may be given several times")
	return cmd
}
