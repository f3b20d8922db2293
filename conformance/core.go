package conformance

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// CoreDriver makes hosts of a stack.Core, in virtual time. Above it is only
// what answers an echo request and sends a datagram.
type CoreDriver struct{}

// Name implements Driver.
func (CoreDriver) Name() string { return "core" }

// Can implements Driver.
func (CoreDriver) Can() []Capability {
	return []Capability{
		CanUpDown, CanAddress, CanAnycast, CanOptimist, CanGroup, CanFilter, CanRoute, CanNeighbor, CanLinkAddr, CanMTU, CanEcho, CanSend, CanView, CanForget, CanLifetimes, CanMLDv2,
	}
}

// Profiles implements Driver.
func (CoreDriver) Profiles() []string { return ProfileNames }

// Slack implements Driver: time is virtual.
func (CoreDriver) Slack() time.Duration { return 0 }

// Parallel implements Driver.
func (CoreDriver) Parallel() int { return runtime.GOMAXPROCS(0) }

// Open implements Driver.
func (CoreDriver) Open(s Setup) (Target, error) {
	cfg, err := coreConfig(s)
	if err != nil {
		return nil, err
	}
	t := &coreTarget{
		core:    stack.NewCore(cfg, newChance(s.Chance)),
		enabled: map[netip.Addr]bool{}, groups: map[netip.Addr]mld.Filter{}, neighbors: map[netip.Addr]*coreNeighbor{}, hopLimit: 64, mtu: 1500,
	}
	return t, nil
}

var loopbacks = map[string]dad.Loopback{"none": dad.LoopbackNone, "echoes": dad.LoopbackEchoes, "unknown": dad.LoopbackUnknown}

// profileFor is the profile of a setup. Unless a case sets them, interface
// identifiers are made of the link-layer address, so that addresses can be
// foreseen, and there are no temporary addresses.
func profileFor(s Setup) (p stack.Profile, loopback dad.Loopback, err error) {
	if p, err = stack.ProfileByName(s.Profile); err != nil {
		return p, 0, err
	}
	knobs := append([]Setting{{"iid", "eui64"}, {"temp_addresses", "off"}}, s.Knobs...)
	for _, k := range knobs {
		if k.Name == "loopback" {
			loopback = loopbacks[k.Value]
			continue
		}
		if err := p.Set(k.Name, k.Value); err != nil {
			return p, 0, cannot(err.Error())
		}
	}
	return p, loopback, nil
}

func coreConfig(s Setup) (stack.CoreConfig, error) {
	p, loopback, err := profileFor(s)
	return stack.CoreConfig{
		LinkAddr: s.LinkAddr, Profile: p, Loopback: loopback,
		Identity: stack.Identity{Secret: []byte("the secret of the tests"), NetIface: "tap0"},
	}, err
}

// chance is an nd.Random that can be foreseen.
type chance struct {
	point Chance
	r     *rand.Rand
}

func newChance(c Chance) *chance { return &chance{c, rand.New(rand.NewPCG(4862, 4861))} }

func (c *chance) Between(lo, hi time.Duration) time.Duration {
	switch c.point {
	case Earliest:
		return lo
	case Latest:
		return hi
	}
	return lo + time.Duration(c.r.Int64N(int64(hi-lo)+1))
}

func (c *chance) Nonce() nd.Nonce {
	return nd.Nonce(binary.BigEndian.AppendUint64(nil, c.r.Uint64())[:6])
}

// coreTarget is a Core with the least that is needed above it.
type coreTarget struct {
	core   *stack.Core
	now    time.Duration
	queue  []Frame
	lastID stack.RequestID
	failed map[stack.RequestID]error

	usable    bool
	enabled   map[netip.Addr]bool
	groups    map[netip.Addr]mld.Filter
	neighbors map[netip.Addr]*coreNeighbor
	hopLimit  uint8
	mtu       int
	resend    []datagram
	skipped   time.Duration // the last time that a router was passed over
}

// coreNeighbor is what the data path knows of a neighbor.
type coreNeighbor struct {
	linkAddr nd.LinkAddr
	tell     bool
}

// datagram is an IPv6 packet.
type datagram []byte

func (d datagram) src() netip.Addr { return netip.AddrFrom16([16]byte(d[8:24])) }
func (d datagram) dst() netip.Addr { return netip.AddrFrom16([16]byte(d[24:40])) }

// flow is the same for all packets between two addresses.
func (d datagram) flow() uint32 {
	h := fnv.New32a()
	h.Write(d[8:40])
	return h.Sum32()
}

// epoch is when the time of a Core begins.
var epoch = time.Date(2003, 7, 22, 19, 57, 19, 0, time.UTC)

func (t *coreTarget) LinkAddr() nd.LinkAddr { return t.core.LinkAddr() }

func (t *coreTarget) Now() time.Duration { return t.now }

func (t *coreTarget) Close() error { return nil }

func (t *coreTarget) step(ev stack.CoreEvent) { t.apply(t.core.Step(epoch.Add(t.now), ev)) }

// Next implements Target: time goes from deadline to deadline.
func (t *coreTarget) Next(until time.Duration) (Frame, bool, error) {
	for len(t.queue) == 0 {
		at, ok := t.core.Deadline()
		due := at.Sub(epoch)
		if !ok || due > until {
			t.now = max(t.now, until)
			return Frame{}, false, nil
		}
		t.now = max(t.now, due)
		t.apply(t.core.Advance(epoch.Add(t.now)))
	}
	f := t.queue[0]
	t.queue = t.queue[1:]
	return f, true, nil
}

func (t *coreTarget) transmit(frame []byte) {
	t.queue = append(t.queue, Frame{At: t.now, Data: slices.Clone(frame)})
}

func (t *coreTarget) apply(actions []stack.CoreAction) {
	for _, act := range actions {
		switch act := act.(type) {
		case *stack.Send:
			t.transmit(act.Frame)
		case stack.Enable:
			t.enabled[act.Addr] = true
		case stack.Disable:
			delete(t.enabled, act.Addr)
		case stack.SetUsable:
			t.usable = act.Usable
		case stack.OpenGroup:
			t.groups[act.Group] = act.Filter
		case stack.FilterGroup:
			t.groups[act.Group] = act.Filter
		case stack.CloseGroup:
			delete(t.groups, act.Group)
		case stack.SetHopLimit:
			t.hopLimit = act.HopLimit
		case stack.SetPathMTU:
			t.mtu = act.MTU
		case stack.SetNeighborView:
			t.learn(act.Neighbor)
		case stack.DropNeighborView:
			delete(t.neighbors, act.Addr)
		case stack.Release:
			for _, p := range act.Packets {
				t.put(p.(datagram), act.LinkAddr)
			}
		case stack.Resend:
			for _, p := range act.Packets {
				t.resend = append(t.resend, p.(datagram))
			}
		case stack.Unreachable, stack.Discard: // lost
		case stack.Abort, stack.WatchProgress: // there are no connections
		case stack.UseLinkAddr, stack.Publish: // the Core is asked
		case stack.Notify, stack.SaveDADCounter:
		case stack.Done:
			if act.Err != nil && t.failed != nil {
				t.failed[act.ID] = act.Err
			}
		}
	}
	for len(t.resend) > 0 {
		p := t.resend[0]
		t.resend = t.resend[1:]
		t.forward(p)
	}
}

func (t *coreTarget) learn(n nd.Neighbor) {
	if n.State == nd.Incomplete {
		delete(t.neighbors, n.Addr)
		return
	}
	t.neighbors[n.Addr] = &coreNeighbor{n.LinkAddr, n.State == nd.Stale || n.State == nd.Unreachable}
}

// put puts a packet on the link.
func (t *coreTarget) put(p datagram, to nd.LinkAddr) {
	from := t.core.LinkAddr()
	frame := append(append(to[:], from[:]...), etherTypeIPv6>>8, etherTypeIPv6&0xff)
	t.transmit(append(frame, p...))
}

// forward does what the data path of the stack does with a packet.
func (t *coreTarget) forward(p datagram) {
	dst := p.dst()
	if !t.usable {
		return
	}
	if dst.IsMulticast() {
		t.put(p, nd.MulticastLinkAddr(dst))
		return
	}
	hop, ok := t.core.Snapshot().NextHop(p.src().As16(), dst.As16(), p.flow())
	if !ok || hop.Local {
		return
	}
	if hop.HasSkipped && (t.skipped == 0 || t.now-t.skipped >= time.Second) {
		t.skipped = t.now
		t.step(stack.RouterSkipped{Src: p.src(), Dst: dst, Flow: p.flow()})
	}
	next := netip.AddrFrom16(hop.Addr)
	n, known := t.neighbors[next]
	if !known {
		t.step(stack.Output{NextHop: next, Src: p.src(), Dst: dst, Flow: p.flow(), Packet: p})
		return
	}
	t.put(p, n.linkAddr)
	if n.tell {
		n.tell = false
		t.step(stack.NeighborUsed{Addr: next})
	}
}

// Send implements Target: control messages are for the Core, echo requests are
// answered.
func (t *coreTarget) Send(frame []byte) error {
	p := dissect(frame)
	switch {
	case p.is("nd"), p.is("mld"), p.kind == "query":
		t.step(stack.FrameReceived{Frame: frame})
	case p.kind == "echo" && t.usable:
		t.echo(frame[ethernetLen:], p)
	}
	return nil
}

// echo answers an echo request (RFC 4443, section 4.2).
func (t *coreTarget) echo(request datagram, p *packet) {
	dst, to := request.dst(), t.LinkAddr().String()
	forUs := t.enabled[dst] && p.fields["ethdst"][0] == to || dst.IsMulticast() && t.groups[dst].Accepts(request.src())
	if !forUs || p.fields["checksum"][0] != "ok" || request[6] != protoICMPv6 {
		return
	}
	src := dst
	if dst.IsMulticast() {
		var ok bool
		if src, ok = t.core.Snapshot().Source(request.src()); !ok {
			return
		}
	}
	message := slices.Clone(request[ipv6Len : ipv6Len+int(binary.BigEndian.Uint16(request[4:]))])
	message[0], message[2], message[3] = typeEchoReply, 0, 0
	binary.BigEndian.PutUint16(message[2:], checksum(src, request.src(), protoICMPv6, message))
	t.forward(t.packet(src, request.src(), protoICMPv6, message))
}

func (t *coreTarget) packet(src, dst netip.Addr, proto byte, message []byte) datagram {
	p := binary.BigEndian.AppendUint16([]byte{6 << 4, 0, 0, 0}, uint16(len(message)))
	p = append(p, proto, t.hopLimit)
	s, d := src.As16(), dst.As16()
	return append(append(append(p, s[:]...), d[:]...), message...)
}

var errNoSource = errors.New("no such source address")

// datagram sends what a program would.
func (t *coreTarget) datagram(c Command) error {
	src, ok := c.Src, true
	if !src.IsValid() {
		src, ok = t.core.Snapshot().Source(c.Addr)
	}
	if !ok || !t.enabled[src] {
		return errNoSource
	}
	m := binary.BigEndian.AppendUint16(nil, c.SrcPort)
	m = binary.BigEndian.AppendUint16(m, c.DstPort)
	m = binary.BigEndian.AppendUint16(m, uint16(8+c.Size))
	m = append(append(m, 0, 0), make([]byte, c.Size)...)
	binary.BigEndian.PutUint16(m[6:], checksum(src, c.Addr, protoUDP, m))
	t.forward(t.packet(src, c.Addr, protoUDP, m))
	return nil
}

// Do implements Target.
func (t *coreTarget) Do(c Command) error {
	t.lastID++
	id := t.lastID
	ev, err := eventOf(c, id)
	if err != nil {
		return err
	}
	if ev == nil {
		return t.datagram(c)
	}
	t.failed = map[stack.RequestID]error{}
	t.step(ev)
	err = t.failed[id]
	t.failed = nil
	return err
}

// eventOf is what a command is to a Core; nil: it is a matter of what is above.
func eventOf(c Command, id stack.RequestID) (stack.CoreEvent, error) {
	holder := mld.Holder{Kind: mld.HolderSocket, ID: uint64(c.Socket)}
	switch c.Op {
	case "up":
		return stack.LinkUp{}, nil
	case "down":
		return stack.LinkDown{}, nil
	case "add":
		cfg, err := addressConfig(c)
		if err != nil {
			return nil, err
		}
		return stack.AddAddresses{Requests: []stack.AddRequest{{ID: id, AddressConfig: cfg}}}, nil
	case "del":
		return stack.RemoveAddress{ID: id, Addr: c.Addr}, nil
	case "join":
		return stack.JoinGroup{ID: id, Group: c.Addr, Holder: holder}, nil
	case "leave":
		return stack.LeaveGroup{ID: id, Group: c.Addr, Holder: holder}, nil
	case "filter":
		return stack.SetGroupFilter{ID: id, Group: c.Addr, Holder: holder, Filter: filterOf(c)}, nil
	case "route-add":
		return stack.AddRoute{ID: id, RouteConfig: stack.RouteConfig{Prefix: c.Prefix, Via: c.Via}}, nil
	case "route-del":
		return stack.RemoveRoute{ID: id, RouteConfig: stack.RouteConfig{Prefix: c.Prefix, Via: c.Via}}, nil
	case "neighbor-add":
		return stack.SetNeighbor{ID: id, Addr: c.Addr, LinkAddr: c.LinkAddr}, nil
	case "neighbor-del":
		return stack.DeleteNeighbor{ID: id, Addr: c.Addr}, nil
	case "flush":
		return stack.FlushNeighbors{ID: id}, nil
	case "mac":
		return stack.SetLinkAddr{ID: id, LinkAddr: c.LinkAddr}, nil
	case "mtu":
		return stack.SetMTU{MTU: c.Size}, nil
	case "send":
		return nil, nil
	}
	return nil, cannot("the Core knows no command", c.Op)
}

// filterOf is the filter that a command sets.
func filterOf(c Command) mld.Filter {
	f := mld.Filter{Sources: c.Sources}
	if c.Mode == "exclude" {
		f.Mode = mld.Exclude
	}
	return f
}

// addressConfig is how tapstack takes "add": a length below 128 states that
// the prefix is on-link.
func addressConfig(c Command) (stack.AddressConfig, error) {
	cfg := stack.AddressConfig{Prefix: c.Prefix, PreferredLifetime: c.Preferred, ValidLifetime: c.Valid}
	if c.Prefix.Bits() < 128 && !c.Prefix.Addr().IsLinkLocalUnicast() {
		cfg.OnLink = c.Prefix.Masked()
	}
	switch c.Mode {
	case "anycast":
		cfg.Anycast = true
	case "optimistic":
		cfg.DAD = dad.Optimistic
	case "no-dad":
		cfg.DAD = dad.Off
	case "":
	default:
		return cfg, errors.New("no mode " + c.Mode)
	}
	return cfg, nil
}

// View implements Target.
func (t *coreTarget) View() (View, error) {
	return newView(t.core.Addresses(), t.core.Failures(), t.core.Routes(), t.core.Groups(), t.core.Neighbors()), nil
}
