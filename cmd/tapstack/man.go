package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// manual is what the manual says beyond the help of the commands.
const manual = `.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
failed
.TP
.B 2
usage
.TP
.B 3
duplicate address
.TP
.B 4
no such address, route, group or interface
.TP
.B 5
no tapstack process answers
.TP
.B 6
it exists already
.PP
Every failure prints one line on standard error that says what failed, on what,
and why.
.SH ENVIRONMENT
.TP
.B TAPSTACK_CONTROL
the control socket, where \-\-control is not given
.TP
.B XDG_RUNTIME_DIR
where the default control sockets are: tapstack/NAME.sock below it
.TP
.B XDG_STATE_HOME, HOME
where the default state directory is, but for root: tapstack below the first,
and .local/state/tapstack below the second
.TP
.B NOTIFY_SOCKET
where "tapstack run" reports that it is ready, as sd_notify(3) does
.SH FILES
.TP
.I /run/tapstack/NAME.sock
the control socket of the process that serves the TAP NAME, for root without
XDG_RUNTIME_DIR
.TP
.I /var/lib/tapstack/secret
what stable interface identifiers are made of, for root without \-\-state\-dir: 32
random octets that nobody else may read. With another secret the host has other
addresses
.TP
.I /var/lib/tapstack/counters.json
how many of its identifiers were duplicates, for each interface and prefix
.SH SEE ALSO
ip(8), nc(1), tcpdump(8), RFC 4861, RFC 4862, RFC 7217, RFC 3810
`

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:     "man",
		Short:   "Print the manual page, as roff",
		Example: "  tapstack man | man -l -",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeManual(cmd.OutOrStdout(), cmd.Root())
		},
	}
}

// writeManual writes the manual of root and all its commands, from the same
// texts as their --help.
func writeManual(w io.Writer, root *cobra.Command) error {
	b := new(strings.Builder)
	name := root.Name()
	fmt.Fprintf(b, ".TH %s 8\n.SH NAME\n%s \\- %s\n", strings.ToUpper(name), name, roff(root.Short))
	fmt.Fprintf(b, ".SH SYNOPSIS\n.B %s\nCOMMAND [ARGUMENTS] [FLAGS]\n", name)
	fmt.Fprintf(b, ".SH DESCRIPTION\n%s", paragraphs(root.Long))
	b.WriteString(".SH COMMANDS\n")
	writeCommands(b, root)
	writeExample(b, ".SH EXAMPLES\n", root.Example)
	b.WriteString(manual)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeCommands(b *strings.Builder, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		fmt.Fprintf(b, ".SS %s\n%s.\n", roff(strings.TrimSuffix(c.UseLine(), " [flags]")), roff(c.Short))
		if c.Long != "" {
			b.WriteString(".PP\n" + paragraphs(c.Long))
		}
		if flags := strings.TrimRight(c.NonInheritedFlags().FlagUsages(), "\n"); flags != "" {
			fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roff(flags))
		}
		writeExample(b, ".PP\nExamples:\n", c.Example)
		writeCommands(b, c)
	}
}

func writeExample(b *strings.Builder, title, example string) {
	if example != "" {
		fmt.Fprintf(b, "%s.PP\n.nf\n%s\n.fi\n", title, roff(example))
	}
}

// paragraphs is text with roff's paragraph breaks.
func paragraphs(text string) string {
	return strings.ReplaceAll(roff(text), "\n\n", "\n.PP\n") + "\n"
}

// roff escapes what roff would take for its own: backslashes, hyphens that are
// minus signs, and lines that begin with a control character.
func roff(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
