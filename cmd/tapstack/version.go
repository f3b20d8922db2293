package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
)

const gvisorModule = "gvisor.dev/gvisor"

// version says what this binary was built from.
func version() control.Version {
	v := control.Version{Tapstack: "unknown", Go: runtime.Version(), GVisor: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Tapstack = info.Main.Version
	}
	for _, m := range info.Deps {
		if m.Path == gvisorModule {
			v.GVisor = m.Version
		}
	}
	return v
}

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of tapstack, Go and gVisor",
		Example: `  tapstack version
  tapstack version -j`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := version()
			if wantsJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "tapstack %s\ngo       %s\ngvisor   %s\n", v.Tapstack, v.Go, v.GVisor)
			return err
		},
	}
	addJSONFlag(cmd)
	return cmd
}
