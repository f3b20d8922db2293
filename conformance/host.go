package conformance

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// HostNames are the targets that are hosts of others, whose programs come with
// this project and are programs of their own.
var HostNames = []string{"gvisor", "lwip"}

// hostInstalls say how one comes by these programs.
var hostInstalls = map[string]string{
	"gvisor": "go install github.com/tapstack/tapstack/conformance/hosts/tapstack-host-gvisor@latest",
	"lwip":   "apt install liblwip-dev gcc libc6-dev, and it is built when it is needed",
}

// MissingHostError says that a host of others is not installed.
type MissingHostError struct {
	Host    string // "gvisor"
	Program string // "tapstack-host-gvisor"
	Install string // what to do
}

func (e *MissingHostError) Error() string {
	return fmt.Sprintf("the target %s is a program of its own, %s, which is neither in PATH nor beside this one: %s", e.Host, e.Program, e.Install)
}

// HostDriver makes hosts of a stack of somebody else. Close it when it is no
// longer needed.
type HostDriver struct {
	*ExecDriver
	dir string // of the program, if that was built for this driver
}

// NewHostDriver finds the program of one of HostNames, in PATH or beside the
// running program. That of lwip is built if it is not there and a C compiler
// and Debian's liblwip-dev are. The error of one that is not there is a
// *MissingHostError.
func NewHostDriver(ctx context.Context, name string) (*HostDriver, error) {
	if !slices.Contains(HostNames, name) {
		return nil, fmt.Errorf("%q is no host of others: there are %s", name, strings.Join(HostNames, ", "))
	}
	d := &HostDriver{}
	program, err := findHost("tapstack-host-" + name)
	if err != nil && name == "lwip" {
		program, err = d.buildLwIP(ctx)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, &MissingHostError{name, "tapstack-host-" + name, hostInstalls[name]}
	}
	if err == nil {
		d.ExecDriver, err = NewExecDriver(ctx, ExecConfig{Command: []string{program}, Label: name})
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close removes what was built for the driver.
func (d *HostDriver) Close() error {
	if d.dir == "" {
		return nil
	}
	return os.RemoveAll(d.dir)
}

// findHost returns the path of a program. The error wraps exec.ErrNotFound.
func findHost(program string) (string, error) {
	found, err := exec.LookPath(program)
	if err == nil {
		return filepath.Abs(found)
	}
	self, selfErr := os.Executable()
	if selfErr != nil {
		return "", err
	}
	if found, besideErr := exec.LookPath(filepath.Join(filepath.Dir(self), program)); besideErr == nil {
		return found, nil
	}
	return "", err
}

//go:embed hosts/lwip/main.c
var lwipSource string

// lwipHeaders are where Debian has lwIP's.
const lwipHeaders = "/usr/include/lwip"

// buildLwIP builds the program in a directory of its own.
func (d *HostDriver) buildLwIP(ctx context.Context) (program string, err error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(lwipHeaders, "lwip/init.h")); err != nil {
		return "", exec.ErrNotFound
	}
	if d.dir, err = os.MkdirTemp("", "tapstack-host-lwip-"); err != nil {
		return "", err
	}
	program = filepath.Join(d.dir, "tapstack-host-lwip")
	cmd := exec.CommandContext(ctx, cc, "-O2", "-o", program, "-x", "c", "-I"+lwipHeaders, "-", "-llwip", "-lpthread")
	cmd.Stdin = strings.NewReader(lwipSource)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building tapstack-host-lwip: %w\n%s", err, out)
	}
	return program, nil
}
