package conformance

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// StackDriver makes hosts of whole stacks in this process, in real time, on a
// cable in memory.
type StackDriver struct{}

// Name implements Driver.
func (StackDriver) Name() string { return "stack" }

// Can implements Driver.
func (StackDriver) Can() []Capability {
	return []Capability{
		CanUpDown, CanAddress, CanAnycast, CanOptimist, CanGroup, CanFilter, CanRoute, CanNeighbor, CanLinkAddr, CanMTU, CanEcho, CanSend, CanView, CanForget, CanLifetimes, CanMLDv2,
		CanICMP, CanFragment, CanPathMTU, CanTCP,
	}
}

// Profiles implements Driver.
func (StackDriver) Profiles() []string { return ProfileNames }

// Slack implements Driver.
func (StackDriver) Slack() time.Duration { return 250 * time.Millisecond }

// Parallel implements Driver: a stack waits most of the time.
func (StackDriver) Parallel() int { return 128 }

// testerLinkAddr is that of the tester's end; the nodes have their own.
var testerLinkAddr = nd.LinkAddr{2, 0, 0, 0, 0, 0xfe}

// Open implements Driver.
func (StackDriver) Open(s Setup) (Target, error) {
	p, loopback, err := profileFor(s)
	if err != nil {
		return nil, err
	}
	st, err := stack.New(stack.Config{})
	if err != nil {
		return nil, err
	}
	host, tester := tap.Pipe(s.LinkAddr, testerLinkAddr, 0)
	i, err := st.Attach("tap0", host, stack.InterfaceConfig{Profile: p, Loopback: loopback, Down: true})
	if err != nil {
		return nil, errors.Join(err, tester.Close(), st.Close())
	}
	return &stackTarget{wire: newWire(linkPort{tester}), stack: st, host: i, sockets: map[int]*stack.PacketConn{}}, nil
}

// stackTarget is a stack on a cable.
type stackTarget struct {
	*wire
	stack *stack.Stack
	host  *stack.Interface
	// sockets are those that join groups. They are closed with the stack.
	sockets map[int]*stack.PacketConn
}

// LinkAddr implements Target.
func (t *stackTarget) LinkAddr() nd.LinkAddr { return t.host.LinkAddr() }

// Close implements Target.
func (t *stackTarget) Close() error { return errors.Join(t.wire.close(), t.stack.Close()) }

// Do implements Target.
func (t *stackTarget) Do(c Command) error {
	switch c.Op {
	case "up", "down":
		return t.host.SetUp(c.Op == "up")
	case "add":
		cfg, err := addressConfig(c)
		if err != nil {
			return err
		}
		return t.host.StartAddress(cfg)
	case "del":
		return t.host.RemoveAddress(c.Addr)
	case "join", "leave", "filter":
		return t.group(c)
	case "route-add":
		return t.host.AddRoute(stack.RouteConfig{Prefix: c.Prefix, Via: c.Via})
	case "route-del":
		return t.host.RemoveRoute(stack.RouteConfig{Prefix: c.Prefix, Via: c.Via})
	case "neighbor-add":
		return t.host.SetNeighbor(c.Addr, c.LinkAddr)
	case "neighbor-del":
		return t.host.DeleteNeighbor(c.Addr)
	case "flush":
		return t.host.FlushNeighbors()
	case "mac":
		return t.host.SetLinkAddr(c.LinkAddr)
	case "mtu":
		return t.host.SetMTU(c.Size)
	case "send":
		return t.datagram(c)
	}
	return cannot("the stack knows no command", c.Op)
}

// group has a socket join a group, leave it or choose its sources.
func (t *stackTarget) group(c Command) error {
	s := t.sockets[c.Socket]
	if s == nil {
		var err error
		if s, err = t.stack.ListenPacket("udp6", "[::]:0"); err != nil {
			return err
		}
		t.sockets[c.Socket] = s
	}
	group := c.Addr.WithZone(t.host.Name())
	switch c.Op {
	case "join":
		return s.JoinGroup(group)
	case "leave":
		return s.LeaveGroup(group)
	}
	return s.SetGroupFilter(group, filterOf(c))
}

// datagram sends what a program would.
func (t *stackTarget) datagram(c Command) error {
	conn, err := t.stack.ListenPacket("udp6", net.JoinHostPort("::", strconv.Itoa(int(c.SrcPort))))
	if err != nil {
		return err
	}
	dst := c.Addr
	if dst.IsLinkLocalUnicast() || dst.IsLinkLocalMulticast() {
		dst = dst.WithZone(t.host.Name())
	}
	_, err = conn.WritePacket(make([]byte, c.Size), c.Src, netip.AddrPortFrom(dst, c.DstPort))
	return errors.Join(err, conn.Close())
}

// View implements Target.
func (t *stackTarget) View() (View, error) {
	h := t.host
	return newView(h.Addresses(), h.Failures(), h.Routes(), h.Groups(), h.Neighbors()), nil
}
