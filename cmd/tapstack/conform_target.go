package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tapstack/tapstack/conformance"
)

// targets are the hosts that `conform run` is to judge, as they are typed.
type targets struct {
	names []string
	exec  string
	link  string
}

func targetNames() (names []string) {
	for _, d := range conformance.Drivers() {
		names = append(names, d.Name())
	}
	return append(append(names, conformance.HostNames...), "exec")
}

// drivers makes what the flags name. A program is asked what it is.
func (t targets) drivers(ctx context.Context) (drivers []conformance.Driver, err error) {
	switch uses := slices.Contains(t.names, "exec"); {
	case uses && t.exec == "":
		return nil, usagef("--target exec: which program? Name it with --exec 'CMD ARGS'")
	case !uses && t.exec != "":
		return nil, usagef("--exec is for --target exec")
	case !uses && t.link != "tap":
		return nil, usagef("--link is for --target exec")
	case t.link != "tap" && t.link != "veth":
		return nil, usagef("--link %q is neither tap nor veth", t.link)
	}
	for k, name := range t.names {
		if slices.Contains(t.names[:k], name) {
			return nil, usagef("--target names %s twice", name)
		}
		d, err := t.driver(ctx, name)
		if err != nil {
			return nil, errors.Join(err, closeDrivers(drivers))
		}
		drivers = append(drivers, d)
	}
	return drivers, nil
}

// closeDrivers removes what drivers have built.
func closeDrivers(drivers []conformance.Driver) (err error) {
	for _, d := range drivers {
		if d, ok := d.(io.Closer); ok {
			err = errors.Join(err, d.Close())
		}
	}
	return err
}

func (t targets) driver(ctx context.Context, name string) (conformance.Driver, error) {
	for _, d := range conformance.Drivers() {
		if d.Name() != name {
			continue
		}
		if r, ok := d.(interface{ Ready() error }); ok {
			if err := r.Ready(); err != nil {
				return nil, fmt.Errorf("--target %s: %w", name, err)
			}
		}
		return d, nil
	}
	if slices.Contains(conformance.HostNames, name) {
		return conformance.NewHostDriver(ctx, name)
	}
	if name != "exec" {
		return nil, usagef("--target %q is none of %s", name, strings.Join(targetNames(), ", "))
	}
	d, err := conformance.NewExecDriver(ctx, conformance.ExecConfig{Command: []string{"sh", "-c", t.exec}, Link: t.link})
	if err != nil {
		return nil, fmt.Errorf("--exec %q: %w", t.exec, err)
	}
	return d, nil
}

// titles are the names of the hosts, and what a program calls itself.
func titles(drivers []conformance.Driver) (all []string) {
	for _, d := range drivers {
		title := d.Name()
		if program, ok := d.(interface{ Program() string }); ok {
			title += " (" + program.Program() + ")"
		}
		all = append(all, title)
	}
	return all
}
