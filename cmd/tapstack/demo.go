package main

import (
	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/demo"
)

func newDemo() *cobra.Command {
	var onTAP bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See Duplicate Address Detection at work",
		Long: `Show, with two hosts on one link, how an address that nobody has is added, and how
one that the other host has is refused without leaving anything behind. It needs no
privileges and no network, and takes about five seconds.

With --tap the other host is the Linux kernel, and the link a real TAP.`,
		Example: `  tapstack demo
  sudo tapstack demo --tap`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if onTAP {
				return demo.TAP(cmd.Context(), cmd.OutOrStdout())
			}
			return demo.Memory(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&onTAP, "tap", false, "against the Linux kernel, on a TAP")
	return cmd
}
