package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
// conformance/hosts. Programs are built in dir.
func hosts(dir string) (all []host) {
	for _, d := range conformance.Drivers() {
		h := host{name: d.Name(), what: versions[d.Name()]}
		h.open = func(context.Context) (conformance.Driver, error) { return d, nil }
		switch h.name {
		case "tap":
			h.open = func(ctx context.Context) (conformance.Driver, error) { return buildTap(ctx, dir) }
			fallthrough
		case "stack": // in real time, and the other profiles are those of the Core in it
			h.profiles = []string{"current"}
		}
		all = append(all, h)
	}
	for _, name := range conformance.HostNames {
		all = append(all, host{name: name, open: func(ctx context.Context) (conformance.Driver, error) { return openHost(ctx, name, dir) }})
	}
	return all
}

// openHost returns the driver of a stack of somebody else. That of gVisor is
// built first; lwIP's knows how to do that.
func openHost(ctx context.Context, name, dir string) (conformance.Driver, error) {
	if name == "gvisor" {
		const program = "tapstack-host-gvisor"
		if err := build(ctx, filepath.Join(dir, program), "./conformance/hosts/"+program); err != nil {
			return nil, err
		}
		os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	return conformance.NewHostDriver(ctx, name)
}

func build(ctx context.Context, program, pkg string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// versions say what the hosts of the package conformance are.
var versions = map[string]func() string{
	"core":  func() string { return "this project's reference model" },
	"stack": func() string { return "this project, with gVisor " + moduleVersion("gvisor.dev/gvisor") },
	"tap":   func() string { return "the process of this project" },
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
