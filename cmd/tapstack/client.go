package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

// target says which running process, and which of its interfaces, a command is
// about.
type target struct {
	control string
	dev     string
}

// addTargetFlags adds --control and --dev to cmd and its subcommands.
func addTargetFlags(cmd *cobra.Command, t *target) {
	cmd.PersistentFlags().StringVar(&t.control, "control", "", "control socket of the running process, a `PATH` (env TAPSTACK_CONTROL)")
	cmd.PersistentFlags().StringVar(&t.dev, "dev", "", "the process that serves the TAP `NAME`, where several run")
	cmd.RegisterFlagCompletionFunc("dev", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		dir, err := control.Dir()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return control.Running(dir), cobra.ShellCompDirectiveNoFileComp
	})
}

// client finds the process: --control, else TAPSTACK_CONTROL, else the one
// that serves --dev, else the only one that runs.
func (t *target) client() (*control.Client, error) {
	for _, path := range []string{t.control, os.Getenv("TAPSTACK_CONTROL")} {
		if path != "" {
			return control.NewClient(path), nil
		}
	}
	dir, err := control.Dir()
	if err != nil {
		return nil, &control.NoProcessError{Reason: err.Error() + "; name a socket with --control"}
	}
	running := control.Running(dir)
	if len(running) == 0 {
		return nil, &control.NoProcessError{Reason: "none has its control socket in " + dir + "; start one with: tapstack run --tap NAME"}
	}
	if t.dev == "" {
		if len(running) > 1 {
			return nil, usagef("several tapstack processes run, for %s: pick one with --dev NAME", strings.Join(running, ", "))
		}
		return control.NewClient(control.SocketPath(dir, running[0])), nil
	}
	for _, name := range running {
		if name == t.dev {
			return control.NewClient(control.SocketPath(dir, name)), nil
		}
	}
	return nil, exitError{control.ExitNotFound, fmt.Sprintf("no tapstack process serves %s: running for %s", t.dev, strings.Join(running, ", "))}
}

// setDev takes the name of an interface from a place other than --dev, and
// refuses two names that differ.
func (t *target) setDev(name string) error {
	if name == "" || name == t.dev {
		return nil
	}
	if t.dev != "" {
		return usagef("two interfaces are given, %s and %s", t.dev, name)
	}
	t.dev = name
	return nil
}

// addr parses an address, whose zone names the interface. What says what the
// address is for.
func (t *target) addr(what, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Is4In6() {
		return netip.Addr{}, usagef("%s: %q is not an IPv6 address", what, s)
	}
	return a.WithZone(""), t.setDev(a.Zone())
}

// prefix parses ADDR[%ZONE][/LEN].
func (t *target) prefix(what, s string) (p netip.Prefix, hasLen bool, err error) {
	text, length, hasLen := strings.Cut(s, "/")
	a, err := t.addr(what, text)
	if err != nil {
		return netip.Prefix{}, false, err
	}
	if !hasLen {
		return netip.PrefixFrom(a, 128), false, nil
	}
	p, err = netip.ParsePrefix(a.String() + "/" + length)
	if err != nil {
		return netip.Prefix{}, false, usagef("%s: %q is not a prefix length from 0 to 128", what, length)
	}
	return p, true, nil
}

// unicast parses ADDR[%ZONE][/LEN] for an address that an interface can have.
func (t *target) unicast(what, s string) (p netip.Prefix, hasLen bool, err error) {
	p, hasLen, err = t.prefix(what, s)
	if err != nil {
		return p, hasLen, err
	}
	switch a := p.Addr(); {
	case a.IsUnspecified():
		err = usagef("%s %s: the unspecified address cannot be assigned", what, s)
	case a.IsLoopback():
		err = usagef("%s %s: the loopback address cannot be assigned to a TAP", what, s)
	case a.IsMulticast():
		err = usagef("%s %s: a multicast address cannot be assigned", what, s)
	}
	return p, hasLen, err
}

// words takes iproute2's "key value" pairs out of args. What is left must be
// between least and most arguments. The key dev works everywhere.
func (t *target) words(cmd *cobra.Command, args []string, least, most int, keys ...string) (rest []string, values map[string]string, err error) {
	values = make(map[string]string)
	for i := 0; i < len(args); i++ {
		known := false
		for _, k := range append(keys, "dev") {
			known = known || args[i] == k
		}
		if !known {
			rest = append(rest, args[i])
			continue
		}
		key := args[i]
		if i++; i == len(args) {
			return nil, nil, usagef("%q needs a value", key)
		}
		if _, ok := values[key]; ok {
			return nil, nil, usagef("%q is given twice", key)
		}
		values[key] = args[i]
	}
	switch {
	case len(rest) < least:
		return nil, nil, usagef("%s: an argument is missing", commandName(cmd))
	case len(rest) > most:
		return nil, nil, usagef("%s: %q is one argument too many", commandName(cmd), rest[most])
	}
	return rest, values, t.setDev(values["dev"])
}

// commandName is the command as it is typed after "tapstack".
func commandName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// addJSONFlag adds -j to a command that shows something.
func addJSONFlag(cmd *cobra.Command) { cmd.Flags().BoolP("json", "j", false, "print JSON") }

func wantsJSON(cmd *cobra.Command) bool {
	j, err := cmd.Flags().GetBool("json")
	return err == nil && j
}

// printView writes v as JSON if -j was given, else as text writes it: rows of
// cells parted by tabs, which are aligned.
func printView(cmd *cobra.Command, v any, text func(w io.Writer)) error {
	if wantsJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
	}
	out := bufio.NewWriter(cmd.OutOrStdout()) // the tabwriter writes each cell apart
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	text(w)
	if err := w.Flush(); err != nil {
		return err
	}
	return out.Flush()
}

// showCommand is the "show" of a noun and also what the noun means alone.
func showCommand[T any](t *target, short, example string, list func(*cobra.Command, *control.Client) ([]T, error), row func(io.Writer, T)) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show",
		Aliases: []string{"list", "ls"},
		Short:   short,
		Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, err := t.words(cmd, args, 0, 0); err != nil {
				return err
			}
			c, err := t.client()
			if err != nil {
				return err
			}
			all, err := list(cmd, c)
			if err != nil {
				return err
			}
			return printView(cmd, all, func(w io.Writer) {
				for _, v := range all {
					row(w, v)
				}
			})
		},
	}
	addJSONFlag(cmd)
	return cmd
}

// noun makes the command that groups subcommands and, alone, does what show
// does.
func noun(name, short, long, example string, show *cobra.Command, others ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long, Example: example,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return show.RunE(cmd, nil) },
	}
	addJSONFlag(cmd)
	cmd.AddCommand(show)
	cmd.AddCommand(others...)
	return cmd
}
