package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

const tapName = "tapstack-demo"

// TAP tells the story with this process as one host and the Linux kernel as
// the other, on a TAP that is there only as long. It needs root, or
// CAP_NET_ADMIN, and iproute2. What goes over the wire is drawn to drawing as
// an SVG, unless it is nil.
func TAP(ctx context.Context, w, drawing io.Writer) (err error) {
	s := &story{w: w, host: "tapstack", other: "the kernel", otherLinkAddr: alice}
	dev, err := tap.Open(tap.Config{Name: tapName, LinkAddr: bob})
	if err != nil {
		return err
	}
	s.say(`Two hosts, the Linux kernel (%s) and tapstack, which is this
process (%s), share one Ethernet link, the TAP %s:`, alice, bob, tapName)
	for _, args := range [][]string{{"link", "set", tapName, "address", alice.String()}, {"link", "set", tapName, "up"}} {
		if err := s.command(ctx, "ip", args...); err != nil {
			return errors.Join(err, dev.Close())
		}
	}
	iface, stop, err := attach(tapName, s.wire.tap(dev, "tapstack", "kernel"), stack.InterfaceConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	s.iface = iface
	s.step("The kernel gets the address %s:", taken)
	if err := s.command(ctx, "ip", "-6", "addr", "add", taken.String(), "dev", tapName, "nodad"); err != nil {
		return err
	}
	if err := s.tell(ctx); err != nil {
		return err
	}
	return s.draw(drawing)
}

// command runs a command that configures the kernel, and shows it.
func (s *story) command(ctx context.Context, name string, args ...string) error {
	s.say("  # %s %s", name, strings.Join(args, " "))
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
