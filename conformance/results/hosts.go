package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime/debug"
	"strings"

	"github.com/tapstack/tapstack/conformance"
)

// host is a host that there are results of.
type host struct {
	name string
	open func(context.Context) (conformance.Driver, error)
	// what says what the host is, of one that does not say it itself.
	what func() string
	// profiles are those to play; nil: all that it has.
	profiles []string
}

// hosts are those of the package conformance, and those whose programs are in
// conformance/hosts.
func hosts() (all []host) {
	for _, d := range conformance.Drivers() {
		h := host{name: d.Name(), what: versions[d.Name()]}
		h.open = func(context.Context) (conformance.Driver, error) { return d, nil }
		if h.name == "stack" { // in real time, and the other profiles are those of the Core in it
			h.profiles = []string{"current"}
		}
		all = append(all, h)
	}
	return all
}

// versions say what the hosts of the package conformance are.
var versions = map[string]func() string{
	"core":  func() string { return "this project's reference model" },
	"stack": func() string { return "this project, with gVisor " + moduleVersion("gvisor.dev/gvisor") },
	"linux": func() string {
		release, err := exec.Command("uname", "-sr").Output()
		if err != nil {
			return fmt.Sprintf("Linux (uname: %v)", err)
		}
		version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-") // what follows is a distributor's
		return version
	},
}

// version is the name and version of a host.
func (h host) version(d conformance.Driver) string {
	if p, ok := d.(interface{ Program() string }); ok {
		return p.Program()
	}
	if h.what == nil {
		return h.name
	}
	return h.what()
}

// moduleVersion is the version of a module that this program is built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown version"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "of unknown version"
}
