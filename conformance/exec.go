package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ExecConfig says which program is a host, and how.
type ExecConfig struct {
	// Command is the program and its arguments. It speaks the line protocol of
	// docs/conformance.md.
	Command []string
	// Label is the name of the target; empty: "exec".
	Label string
	// Link is what the program finds in its namespace: "tap" (or empty), a TAP
	// to attach to, or "veth", the end of a veth pair for a host that is a
	// kernel.
	Link string

	hurry int // tests divide by it how long a program may take
}

// interfaceNames are the host's interface of each kind of link.
var interfaceNames = map[string]string{"tap": "tap0", "veth": "eth0"}

// ExecDriver makes hosts of a program that it does not know, each a process in
// a network namespace of its own. It needs Linux, root and iproute2.
type ExecDriver struct {
	config ExecConfig
	hello  hello
}

// NewExecDriver starts the program once, to learn what it can do. An error
// that the program is to blame for is a *HostError.
func NewExecDriver(ctx context.Context, c ExecConfig) (*ExecDriver, error) {
	if c.Label == "" {
		c.Label = "exec"
	}
	if c.Link == "" {
		c.Link = "tap"
	}
	if len(c.Command) == 0 {
		return nil, errors.New("which program is the host?")
	}
	if interfaceNames[c.Link] == "" {
		return nil, fmt.Errorf("%q is no link: there are tap and veth", c.Link)
	}
	d := &ExecDriver{config: c}
	var err error
	d.hello, err = d.introduce(ctx)
	return d, err
}

// Name implements Driver.
func (d *ExecDriver) Name() string { return d.config.Label }

// Program is how the program calls itself.
func (d *ExecDriver) Program() string { return d.hello.name }

// Can implements Driver.
func (d *ExecDriver) Can() []Capability { return d.hello.can }

// Profiles implements Driver.
func (d *ExecDriver) Profiles() []string { return d.hello.profiles }

// Slack implements Driver.
func (d *ExecDriver) Slack() time.Duration { return 250 * time.Millisecond }

// Parallel implements Driver: hosts wait most of the time.
func (d *ExecDriver) Parallel() int { return 32 }
