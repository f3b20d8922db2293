// Command tapstack runs an IPv6 host on a TAP and looks after it.
//
//	tapstack run --tap tap0                  # the host
//	tapstack addr add 2001:db8::5/64         # waits until DAD has ended
//	tapstack addr show
//
// `tapstack --help` lists the commands; `tapstack man` prints the manual.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal ends a command that does not heed the first.
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit code. A failure is one
// line on stderr.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	addCompletion(root)
	// Cobra finds fault with flags and arguments before it runs a command, so
	// what fails without a command running is a usage error.
	running := false
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if !running {
		err = usageError{err.Error()}
	}
	code := exitCode(err)
	if text := err.Error(); text != "" {
		if code == control.ExitUsage {
			text += fmt.Sprintf(" (see %s --help)", cmd.CommandPath())
		}
		fmt.Fprintln(stderr, "tapstack: "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
	}
	return code
}

// usageError is a command line that can never be right.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// exitError carries an exit code. Without text, what there was to say has been
// said.
type exitError struct {
	code int
	text string
}

func (e exitError) Error() string { return e.text }

func exitCode(err error) int {
	var usage usageError
	var exit exitError
	switch {
	case errors.As(err, &usage):
		return control.ExitUsage
	case errors.As(err, &exit):
		return exit.code
	}
	return control.ExitCode(err)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tapstack",
		Short: "An IPv6 host on a TAP",
		Long: `tapstack is an IPv6 host in one process: it speaks Neighbor Discovery, Duplicate
Address Detection (DAD), Multicast Listener Discovery, TCP and UDP on a TAP.
"tapstack run" is the host; the other commands ask and change a running one.

An address that is added is tested before it exists: "addr add" returns when DAD
has ended, and a duplicate leaves nothing behind.`,
		Example: `  tapstack demo                          # see DAD at work, no privileges needed
  sudo tapstack run --tap tap0           # a host on a TAP
  sudo tapstack addr add 2001:db8::5/64  # give it an address
  sudo tapstack addr show`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetHelpCommand(newHelp())
	root.AddCommand(newRun(), newAddr(), newRoute(), newNeigh(), newRA(), newMaddr(), newLink(),
		newMonitor(), newPing(), newConnect(), newDemo(), newConform(), newVersion(), newMan())
	return root
}

// addCompletion adds Cobra's completion command, which keeps the output that
// root has now, and gives it what our commands have: examples, and an error
// for a misspelt subcommand.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	c, _, err := root.Find([]string{"completion"})
	if err != nil {
		panic(err) // Cobra has just added it
	}
	c.Args, c.RunE = noCommand, root.RunE
	c.Example = "  source <(tapstack completion bash)"
	for _, shell := range c.Commands() {
		shell.Example = "  tapstack completion " + shell.Name()
	}
}

// noCommand refuses the arguments of a command that has subcommands: they are
// misspelt ones.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		hint = ": is " + strings.Join(s, " or ") + " meant?"
	}
	return usagef("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("no command %q", strings.Join(args, " "))
			}
			return c.Help()
		},
	}
}
