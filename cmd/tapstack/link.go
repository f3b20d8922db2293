package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/nd"
)

func newLink() *cobra.Command {
	t := new(target)
	show := showCommand(t, "Show the interface and its counters", `  tapstack link show
  tapstack link show -j`,
		func(cmd *cobra.Command, c *control.Client) ([]control.Link, error) {
			return c.Links(cmd.Context(), t.dev)
		}, linkRow)
	cmd := noun("link", "Show and change the interface", "Show and change the host's interface.", `  tapstack link
  tapstack link set tap0 down
  tapstack link set tap0 up
  tapstack link set tap0 mtu 1400
  tapstack link set tap0 address 02:00:00:00:00:05`, show, newLinkSet(t))
	addTargetFlags(cmd, t)
	return cmd
}

func linkRow(w io.Writer, l control.Link) {
	state := "down"
	if l.Up {
		state = "up"
	}
	if l.IPv6Disabled {
		state += ", IPv6 disabled"
	}
	fmt.Fprintf(w, "%d: %s: %s, mtu %d, lladdr %s, MLDv%d\n", l.Index, l.Interface, state, l.MTU, l.LinkAddress, l.MLDVersion)
	// The counters come as they are named by the process, in its order.
	d := json.NewDecoder(bytes.NewReader(l.Counters))
	d.UseNumber()
	var name string
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		switch v := token.(type) {
		case string:
			name = v
		case json.Number:
			fmt.Fprintf(w, "    %s\t%s\n", strings.ReplaceAll(name, "_", " "), v)
		}
	}
}

func newLinkSet(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME {up | down | mtu N | address MAC}",
		Short: "Take the interface up or down, or set its MTU or link-layer address",
		Long: `"down" withdraws all addresses and forgets what was learned. "up" is a fresh start:
the link-local address and the configured addresses run DAD again.`,
		Example: `  tapstack link set tap0 down
  tapstack link set tap0 up
  tapstack link set tap0 mtu 1400
  tapstack link set tap0 address 02:00:00:00:00:05`,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := t.linkChange(cmd, args)
			if err != nil {
				return err
			}
			c, err := t.client()
			if err != nil {
				return err
			}
			return c.ChangeLink(cmd.Context(), change)
		},
	}
}

// linkChange parses "NAME {up | down | mtu N | address MAC}...".
func (t *target) linkChange(cmd *cobra.Command, args []string) (change control.LinkChange, err error) {
	rest, words, err := t.words(cmd, args, 0, 2, "mtu", "address")
	if err != nil {
		return change, err
	}
	var name string
	for _, word := range rest {
		switch {
		case word == "up" || word == "down":
			if change.Up != nil {
				return change, usagef("both up and down")
			}
			up := word == "up"
			change.Up = &up
		case name == "":
			name = word
		default:
			return change, usagef("%q is none of up, down, mtu and address", word)
		}
	}
	if mtu, ok := words["mtu"]; ok {
		n, err := strconv.Atoi(mtu)
		if err != nil || n < 1280 {
			return change, usagef("mtu %q is not a number from 1280", mtu)
		}
		change.MTU = &n
	}
	if address, ok := words["address"]; ok {
		if change.LinkAddress, err = nodeLinkAddr(address); err != nil {
			return change, err
		}
	}
	if change.Up == nil && change.MTU == nil && change.LinkAddress.IsZero() {
		return change, usagef("link set: say up, down, mtu N or address MAC")
	}
	if err := t.setDev(name); err != nil {
		return change, err
	}
	if t.dev == "" {
		return change, usagef("link set: which interface?")
	}
	change.Interface = t.dev
	return change, nil
}

// nodeLinkAddr parses the link-layer address of a node.
func nodeLinkAddr(s string) (nd.LinkAddr, error) {
	a, err := nd.ParseLinkAddr(s)
	if err != nil {
		return a, usageError{err.Error()}
	}
	if a.IsZero() || a.IsMulticast() {
		return a, usagef("%s is not the link-layer address of a node", a)
	}
	return a, nil
}
