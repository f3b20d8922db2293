package main

import (
	"github.com/spf13/cobra"
)

func newMonitor() *cobra.Command {
	t := new(target)
	var since uint64
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Print what happens, one JSON object a line",
		Long: `Print events as they happen, one JSON object a line, until it is interrupted. Each
event has a number, "seq". --since gives what has a higher number, as far as the
process still holds it (the last 4,096); an event of the type "lost" tells from and
to which number events are missing.`,
		Example: `  tapstack monitor
  tapstack monitor --since 0 | jq -r 'select(.type == "address_duplicate") | .address'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, err := t.words(cmd, args, 0, 0); err != nil {
				return err
			}
			c, err := t.client()
			if err != nil {
				return err
			}
			var from *uint64
			if cmd.Flags().Changed("since") {
				from = &since
			}
			out := cmd.OutOrStdout()
			return c.Events(cmd.Context(), from, func(line []byte) error {
				_, err := out.Write(append(line, '\n'))
				return err
			})
		},
	}
	cmd.Flags().Uint64Var(&since, "since", 0, "begin with the event after number `SEQ`; without it, with the next one")
	addTargetFlags(cmd, t)
	return cmd
}
