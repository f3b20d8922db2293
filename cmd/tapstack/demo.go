package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/demo"
)

func newDemo() *cobra.Command {
	var onTAP bool
	var drawing string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See Duplicate Address Detection at work",
		Long: `Show, with two hosts on one link, how an address that nobody has is added, and how
one that the other host has is refused without leaving anything behind. It needs no
privileges and no network, and takes about five seconds.

With --tap the other host is the Linux kernel, and the link a real TAP. With --svg
what goes over the wire is drawn as well, for a browser.`,
		Example: `  tapstack demo
  sudo tapstack demo --tap
  tapstack demo --svg demo.svg           # what goes over the wire, drawn`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tell := demo.Memory
			if onTAP {
				tell = demo.TAP
			}
			if drawing == "" {
				return tell(cmd.Context(), cmd.OutOrStdout(), nil)
			}
			f, err := os.Create(drawing)
			if err != nil {
				return fmt.Errorf("--svg: %w", err)
			}
			return errors.Join(tell(cmd.Context(), cmd.OutOrStdout(), f), f.Close())
		},
	}
	cmd.Flags().BoolVar(&onTAP, "tap", false, "against the Linux kernel, on a TAP")
	cmd.Flags().StringVar(&drawing, "svg", "", "draw what goes over the wire to `FILE`")
	return cmd
}
