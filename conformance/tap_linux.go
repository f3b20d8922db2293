package conformance

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapstack/tapstack/internal/control"
)

// TapDriver makes hosts of `tapstack run`, each a process on a TAP in a
// network namespace of its own, and commands them over their control sockets.
// It needs root and iproute2.
type TapDriver struct {
	// Executable is a tapstack; empty: the running program, which must be one.
	Executable string
}

// Name implements Driver.
func (TapDriver) Name() string { return "tap" }

// Can implements Driver.
func (TapDriver) Can() []Capability { return StackDriver{}.Can() }

// Profiles implements Driver.
func (TapDriver) Profiles() []string { return ProfileNames }

// Slack implements Driver.
func (TapDriver) Slack() time.Duration { return 250 * time.Millisecond }

// Parallel implements Driver: hosts wait most of the time.
func (TapDriver) Parallel() int { return 64 }

// tapstackPath is the package of the command.
const tapstackPath = "github.com/tapstack/tapstack/cmd/tapstack"

func (d TapDriver) executable() (string, error) {
	if d.Executable != "" {
		return d.Executable, nil
	}
	// Any other program would do something else with our arguments.
	if info, ok := debug.ReadBuildInfo(); !ok || info.Path != tapstackPath {
		return "", errors.New("the target tap runs the command tapstack, and this program is another")
	}
	return os.Executable()
}

// tapKnobs are the knobs that a setup asks for, as --set takes them.
func tapKnobs(s Setup) (knobs []string, err error) {
	if _, _, err := profileFor(s); err != nil {
		return nil, err
	}
	for _, k := range append([]Setting{{"iid", "eui64"}, {"temp_addresses", "off"}}, s.Knobs...) {
		switch {
		case k.Name != "loopback":
			knobs = append(knobs, "--set", k.Name+"="+k.Value)
		case k.Value != "none":
			return nil, cannot("tapstack run takes its link for one that returns nothing, not for loopback=" + k.Value)
		}
	}
	return knobs, nil
}

// Open implements Driver.
func (d TapDriver) Open(s Setup) (Target, error) {
	knobs, err := tapKnobs(s)
	if err != nil {
		return nil, err
	}
	executable, err := d.executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tapstack-conform")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "control")
	args := append([]string{
		executable, "run", "--down", "--tap", "tap0", "--offload", "off", "--mac", s.LinkAddr.String(), "--profile", s.Profile,
		"--control", socket, "--state-dir", filepath.Join(dir, "state"),
	}, knobs...)
	t, err := openProcess(s, "tap", ExecConfig{Command: args}, func(t *processTarget) error {
		line, err := t.talk.line("", t.talk.within(setupTime))
		if err == nil && line != "ready" {
			err = t.talk.fail("", line, "does not say that it is ready")
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &tapTarget{processTarget: t, dir: dir, client: control.NewClient(socket), groups: map[netip.Addr]Command{}}, nil
}

// tapTarget is a tapstack process.
type tapTarget struct {
	*processTarget
	dir    string
	client *control.Client
	// groups are the memberships: the filter of each group.
	groups map[netip.Addr]Command
	// datagrams are connections that have sent; they are closed with the
	// process, for a datagram may be on the way.
	datagrams []*control.Connection
}

// Close implements Target.
func (t *tapTarget) Close() error {
	for _, c := range t.datagrams {
		c.Close()
	}
	return errors.Join(t.processTarget.Close(), os.RemoveAll(t.dir))
}

// call makes a request to the process. One that does not answer has failed.
func (t *tapTarget) call(request string, f func(context.Context) error) error {
	if err := t.talk.alive(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.talk.ctx, answerTime)
	defer cancel()
	err := f(ctx)
	var refused *control.Error
	switch {
	case err == nil, errors.As(err, &refused), errors.Is(err, ErrNotApplicable):
		return err
	}
	return t.talk.fail(request, "", "does not answer: "+err.Error())
}

// Do implements Target.
func (t *tapTarget) Do(c Command) error {
	return t.call(c.String(), func(ctx context.Context) error { return t.do(ctx, c) })
}

func (t *tapTarget) do(ctx context.Context, c Command) error {
	switch c.Op {
	case "up", "down":
		up := c.Op == "up"
		return t.client.ChangeLink(ctx, control.LinkChange{Up: &up})
	case "mac":
		return t.client.ChangeLink(ctx, control.LinkChange{LinkAddress: c.LinkAddr})
	case "mtu":
		return t.client.ChangeLink(ctx, control.LinkChange{MTU: &c.Size})
	case "add":
		return t.client.AddAddress(ctx, newAddress(c))
	case "del":
		return t.client.DeleteAddress(ctx, control.AddressRef{Address: c.Addr})
	case "join", "leave", "filter":
		return t.group(ctx, c)
	case "route-add":
		return t.client.AddRoute(ctx, control.RouteRef{Destination: c.Prefix, NextHop: c.Via})
	case "route-del":
		return t.client.DeleteRoute(ctx, control.RouteRef{Destination: c.Prefix, NextHop: c.Via})
	case "neighbor-add":
		return t.client.AddNeighbor(ctx, control.NeighborRef{Address: c.Addr, LinkAddress: c.LinkAddr})
	case "neighbor-del":
		return t.client.DeleteNeighbor(ctx, control.NeighborRef{Address: c.Addr})
	case "flush":
		return t.client.FlushNeighbors(ctx, control.InterfaceRef{})
	case "send":
		return t.datagram(ctx, c)
	}
	return cannot("the control interface has no", c.Op)
}

// newAddress is what "add" asks of the control interface.
func newAddress(c Command) control.NewAddress {
	bits := c.Prefix.Bits()
	a := control.NewAddress{
		Address: c.Prefix.Addr(), PrefixLen: &bits, NoWait: true, Anycast: c.Mode == "anycast",
		DAD:           map[string]string{"optimistic": "optimistic", "no-dad": "off"}[c.Mode],
		NoPrefixRoute: c.Prefix.Addr().IsLinkLocalUnicast(),
	}
	seconds := func(d time.Duration) *uint32 {
		s := uint32(d / time.Second)
		return &s
	}
	if c.Valid != 0 {
		a.ValidLifetime = seconds(c.Valid)
	}
	if c.Preferred != 0 {
		a.PreferredLifetime = seconds(c.Preferred)
	}
	return a
}

// group joins or leaves a group, or some sources of it. The control interface
// is one holder, which joins and leaves; what takes both at once it cannot.
func (t *tapTarget) group(ctx context.Context, c Command) error {
	if c.Socket > 1 {
		return cannot("the control interface joins groups for one program alone")
	}
	was, wasIn := t.groups[c.Addr]
	switch {
	case c.Op == "join":
		c.Mode = "exclude"
	case c.Op == "leave":
		c.Mode, c.Sources = "include", nil
	case c.Mode == "exclude" && len(c.Sources) > 0:
		return cannot("the control interface excludes no sources")
	}
	isIn := c.Mode == "exclude" || len(c.Sources) > 0
	ref := control.GroupRef{Group: c.Addr}
	change := t.client.JoinGroup
	switch more, less := missing(c.Sources, was.Sources), missing(was.Sources, c.Sources); {
	case !wasIn && isIn, c.Op == "join":
		ref.Sources = c.Sources
	case c.Op == "leave", wasIn && !isIn:
		change, ref.Sources = t.client.LeaveGroup, was.Sources
	case !wasIn:
		return nil
	case was.Mode != c.Mode, len(more) > 0 && len(less) > 0:
		return cannot("the control interface does not join and leave in one")
	case len(less) > 0:
		change, ref.Sources = t.client.LeaveGroup, less
	case len(more) > 0:
		ref.Sources = more
	default:
		return nil // nothing changes
	}
	err := change(ctx, ref)
	if err == nil && isIn {
		t.groups[c.Addr] = c
	} else if err == nil {
		delete(t.groups, c.Addr)
	}
	return err
}

// missing are those of as that bs does not have.
func missing(as, bs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(as), func(a netip.Addr) bool { return slices.Contains(bs, a) })
}

// usualPort is that of a send which does not say from which one.
const usualPort = 40001

// datagram sends what a program would.
func (t *tapTarget) datagram(ctx context.Context, c Command) error {
	if c.SrcPort != usualPort {
		return cannot("the control interface sends from no port of one's choice, not from", strconv.Itoa(int(c.SrcPort)))
	}
	conn, err := t.client.Connect(ctx, control.Connect{Network: "udp", Address: c.Addr, Port: c.DstPort, Source: c.Src})
	if err != nil {
		return err
	}
	t.datagrams = append(t.datagrams, conn)
	_, err = conn.Write(make([]byte, c.Size))
	return err
}

// View implements Target.
func (t *tapTarget) View() (v View, err error) {
	err = t.call("its tables", func(ctx context.Context) error {
		v, err = t.view(ctx)
		return err
	})
	return v, err
}

func (t *tapTarget) view(ctx context.Context) (View, error) {
	v := View{Addresses: map[netip.Addr]Entry{}, Neighbors: map[netip.Addr]Entry{}}
	addresses, err := t.client.Addresses(ctx, "")
	if err != nil {
		return v, err
	}
	for _, a := range addresses {
		v.Addresses[a.Address] = Entry{State: a.State}
	}
	duplicates, err := t.client.Duplicates(ctx, "")
	if err != nil {
		return v, err
	}
	for _, d := range duplicates {
		v.Duplicates = append(v.Duplicates, d.Address)
	}
	routes, err := t.client.Routes(ctx, "")
	if err != nil {
		return v, err
	}
	for _, r := range routes {
		route := Route{Prefix: r.Destination}
		if r.NextHop != nil {
			route.Via = *r.NextHop
		}
		v.Routes = append(v.Routes, route)
	}
	groups, err := t.client.Groups(ctx, "")
	if err != nil {
		return v, err
	}
	for _, g := range groups {
		v.Groups = append(v.Groups, g.Group)
	}
	neighbors, err := t.client.Neighbors(ctx, "")
	for _, n := range neighbors {
		e := Entry{State: strings.ToLower(n.State), Router: n.Router}
		if n.LinkAddress != nil {
			e.LinkAddr = *n.LinkAddress
		}
		v.Neighbors[n.Address] = e
	}
	return v, err
}
