//go:build !linux

package node

import (
	"errors"
	"os/exec"
)

var errLinux = errors.New("network namespaces and TAPs need Linux")

// Possible says why no Pair can be started here.
func Possible() error { return errLinux }

func startAlone(*exec.Cmd) error { return errLinux }

func startInside(int) func(*exec.Cmd) error { return startAlone }
