package stack

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

var (
	ownMAC  = nd.LinkAddr{2, 0, 0, 0, 0, 1}
	peerMAC = nd.LinkAddr{2, 0, 0, 0, 0, 9}
	ownLL   = netip.MustParseAddr("fe80::ff:fe00:1")
	peerLL  = netip.MustParseAddr("fe80::9")
)

// script answers every choice with the same point of its window, and counts
// nonces up.
type script struct {
	point  float64 // 0: the earliest, 1: the latest
	nonces byte
}

func (s *script) Between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(float64(hi-lo)*s.point)
}

func (s *script) Nonce() nd.Nonce {
	s.nonces++
	return nd.Nonce([]byte{0, 0, 0, 0, 0, s.nonces})
}

// node drives one Core by hand and holds it to its invariants at every step.
type node struct {
	t         testing.TB
	core      *Core
	random    *script
	start     time.Time
	now       time.Time
	lastID    RequestID
	enabled   map[netip.Addr]bool
	published *rib.Snapshot
	pending   map[RequestID]bool
	results   map[RequestID]error
	probes    map[netip.Addr][]byte // the last one for each address
	actions   []CoreAction          // since the last call of take
	plane     dataPlane
}

// newNode makes a node that does not look for routers.
func newNode(t testing.TB, cfg CoreConfig) *node {
	cfg.NoRouters = true
	return newRoutedNode(t, cfg)
}

// newRoutedNode makes a node whose addresses can be foreseen, whatever the
// profile: of its link-layer address.
func newRoutedNode(t testing.TB, cfg CoreConfig) *node {
	cfg.Profile.identifiers, cfg.Profile.noTemporary = hardwareIdentifiers, true
	return newNodeAs(t, cfg)
}

// newNodeAs makes a node that is as cfg says.
func newNodeAs(t testing.TB, cfg CoreConfig) *node {
	if cfg.LinkAddr.IsZero() {
		cfg.LinkAddr = ownMAC
	}
	start := time.Date(2003, 7, 22, 19, 57, 19, 0, time.UTC)
	random := &script{}
	core := NewCore(cfg, random)
	return &node{
		t: t, core: core, random: random, start: start, now: start, published: core.Snapshot(),
		enabled: make(map[netip.Addr]bool), pending: make(map[RequestID]bool), results: make(map[RequestID]error),
		probes: make(map[netip.Addr][]byte), plane: newDataPlane(),
	}
}

func (n *node) step(ev CoreEvent) { n.apply(n.core.Step(n.now, ev)) }

// run lets d pass and fires each deadline at its time.
func (n *node) run(d time.Duration) {
	until := n.now.Add(d)
	for {
		at, ok := n.core.Deadline()
		if !ok || at.After(until) {
			break
		}
		if at.After(n.now) {
			n.now = at
		}
		n.apply(n.core.Advance(n.now))
	}
	n.now = until
}

// apply keeps account of what the actions say and checks that they agree.
func (n *node) apply(actions []CoreAction) {
	n.t.Helper()
	for _, act := range actions {
		n.actions = append(n.actions, act)
		n.plane.apply(n, act)
		switch act := act.(type) {
		case Enable:
			if n.enabled[act.Addr] {
				n.t.Errorf("%v enabled twice", act.Addr)
			}
			n.enabled[act.Addr] = true
		case Publish:
			n.published = act.Snapshot
		case Disable:
			// Source selection and routes let an address go first (KRE-9).
			if n.published.Local(act.Addr.As16()) || n.published.IsSource(act.Addr) {
				n.t.Errorf("%v leaves the sockets while the data path still has it", act.Addr)
			}
			if !n.enabled[act.Addr] {
				n.t.Errorf("%v disabled, but was not enabled", act.Addr)
			}
			delete(n.enabled, act.Addr)
		case *Send:
			if act.Probe.IsValid() {
				n.probes[act.Probe] = act.Frame
			}
		case Done:
			if !n.pending[act.ID] {
				n.t.Errorf("request %d done twice, or never made", act.ID)
			}
			delete(n.pending, act.ID)
			n.results[act.ID] = act.Err
		}
	}
	if n.published != n.core.Snapshot() {
		n.t.Error("the step ended with a snapshot that was not published")
	}
	n.check()
}

// take returns the actions since the last call.
func (n *node) take() []CoreAction {
	out := n.actions
	n.actions = nil
	return out
}

// sent returns the frames among actions.
func sent(actions []CoreAction) (frames [][]byte) {
	for _, act := range actions {
		if s, ok := act.(*Send); ok {
			frames = append(frames, s.Frame)
		}
	}
	return frames
}

func (n *node) id() RequestID {
	n.lastID++
	n.pending[n.lastID] = true
	return n.lastID
}

// add begins an add of "address/length" as the command line does: a length
// below 128 states the on-link prefix too.
func (n *node) add(prefix string) RequestID {
	p := netip.MustParsePrefix(prefix)
	cfg := AddressConfig{Prefix: p}
	if p.Bits() < 128 && !p.Addr().IsLinkLocalUnicast() {
		cfg.OnLink = p.Masked()
	}
	return n.addConfig(cfg)
}

func (n *node) addConfig(cfg AddressConfig) RequestID {
	id := n.id()
	n.step(AddAddresses{[]AddRequest{{ID: id, AddressConfig: cfg}}})
	return id
}

// mustAdd adds and waits.
func (n *node) mustAdd(prefix string) {
	n.t.Helper()
	id := n.add(prefix)
	n.run(3 * time.Second)
	if err, ok := n.results[id]; !ok || err != nil {
		n.t.Fatalf("add %s: %v (done: %v)", prefix, err, ok)
	}
}

func (n *node) remove(addr string) error {
	id := n.id()
	n.step(RemoveAddress{id, netip.MustParseAddr(addr)})
	return n.results[id]
}

// up brings the link up and waits until the link-local address is assigned.
func (n *node) up() {
	n.step(LinkUp{})
	n.run(10 * time.Second)
	n.take()
}

// hears gives the Core an ND message from the peer.
func (n *node) hears(src, dst netip.Addr, m nd.Message) {
	n.receives(ndFrame(peerMAC, src, dst, m))
}

func (n *node) receives(frame []byte) { n.step(FrameReceived{frame}) }

// ndFrame builds a frame as another node would send it.
func ndFrame(from nd.LinkAddr, src, dst netip.Addr, m nd.Message) []byte {
	to := ownMAC
	if dst.IsMulticast() {
		to = nd.MulticastLinkAddr(dst)
	}
	msg := nd.Append(nil, src, dst, m)
	return append(appendHeaders(nil, from, to, src, dst, protocolICMPv6, 255, len(msg)), msg...)
}

// claim is the advertisement with which the owner of an address answers a
// probe (RFC 4861, section 7.2.4).
func claim(a netip.Addr) *nd.NeighborAdvert {
	return &nd.NeighborAdvert{Target: a, Override: true, TargetLinkAddr: peerMAC}
}

func (n *node) isClaimed(a string) {
	n.hears(netip.MustParseAddr(a), nd.AllNodes, claim(netip.MustParseAddr(a)))
}

// view is everything that an operator can see, as text.
func (n *node) view() string {
	var b strings.Builder
	for _, a := range n.core.Addresses() {
		fmt.Fprintf(&b, "address %v %v %v\n", a.Prefix, a.State, a.Origin)
	}
	for _, r := range n.core.Routes() {
		fmt.Fprintf(&b, "route %v via %v %v metric %d owners %v\n", r.Prefix, r.NextHop, r.Origin, r.Metric, r.Owners)
	}
	for _, g := range n.core.Groups() {
		fmt.Fprintf(&b, "group %v %v\n", g.Addr, g.Holders)
	}
	for _, e := range n.core.Neighbors() {
		fmt.Fprintf(&b, "neighbor %v %v %v\n", e.Addr, e.LinkAddr, e.State)
	}
	return b.String()
}

// check holds the views against each other: there is no route and no socket
// address for what is not assigned, and holders are what the addresses imply.
func (n *node) check() {
	n.t.Helper()
	for _, problem := range n.problems() {
		n.t.Errorf("at %v: %s\n%s", n.now.Sub(n.start), problem, n.view())
	}
}

func (n *node) problems() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	usable, groups, listed := map[netip.Addr]bool{}, map[netip.Addr][]mld.Holder{}, map[netip.Addr]Address{}
	for _, a := range n.core.Addresses() {
		addr := a.Prefix.Addr()
		listed[addr] = a
		usable[addr] = a.State != Tentative
		if usable[addr] != n.enabled[addr] {
			bad("%v is %v, but enabled for sockets: %v", addr, a.State, n.enabled[addr])
		}
		if n.core.addresses.byAddr[addr.As16()].state != addressWaiting {
			g := nd.SolicitedNode(addr)
			groups[g] = append(groups[g], mld.Holder{Kind: mld.HolderAddress, Addr: addr})
		}
	}
	for addr := range n.enabled {
		if !usable[addr] {
			bad("%v is enabled for sockets, but not assigned", addr)
		}
	}
	held := map[netip.Addr]int{}
	for _, g := range n.core.Groups() {
		for _, h := range g.Holders {
			if h.Kind != mld.HolderAddress {
				continue
			}
			held[g.Addr]++
			if !slices.Contains(groups[g.Addr], h) {
				bad("group %v is held by %v, which is not tested or assigned", g.Addr, h)
			}
		}
	}
	for g, want := range groups {
		if held[g] != len(want) {
			bad("group %v has %d holders, want %v", g, held[g], want)
		}
	}
	local := map[netip.Addr]bool{}
	for _, r := range n.core.Routes() {
		// A redirect that Neighbor Discovery itself brought about has none.
		if len(r.Owners) == 0 && r.Origin != rib.Redirected {
			bad("route %v has no owner", r.Prefix)
		}
		for _, o := range r.Owners {
			if o.Kind == rib.OwnerAddress && !usable[o.Addr] {
				bad("route %v is owned by %v, which is not assigned", r.Prefix, o)
			}
		}
		if r.Origin == rib.Local {
			local[r.Prefix.Addr()] = true
		}
	}
	for addr, is := range usable {
		if is != local[addr] {
			bad("%v: assigned %v, local route %v", addr, is, local[addr])
		}
		if src, ok := n.core.Snapshot().Source(addr); ok && !usable[src] {
			bad("%v would be a source", src)
		}
	}
	return problems
}

// wantErr fails unless the request ended with err (nil: success).
func (n *node) wantErr(id RequestID, want error) {
	n.t.Helper()
	got, ok := n.results[id]
	switch {
	case !ok:
		n.t.Errorf("request %d has not ended, want %v", id, want)
	case want == nil && got != nil, !errors.Is(got, want):
		n.t.Errorf("request %d ended with %v, want %v", id, got, want)
	}
}

// wire says what a frame is, in a line.
func wire(frame []byte) string {
	p, ok := parseControl(frame)
	if !ok {
		return "unreadable"
	}
	var what string
	switch m, err := nd.Parse(nd.Header{Src: p.src, Dst: p.dst, From: p.from}, p.hopLimit, p.message); m := m.(type) {
	case *nd.NeighborSolicit:
		what = fmt.Sprintf("NS %v", m.Target)
	case *nd.NeighborAdvert:
		what = fmt.Sprintf("NA %v", m.Target)
	case *nd.RouterSolicit:
		what = fmt.Sprintf("RS %v", m.SourceLinkAddr)
	default:
		h := mld.Header{Src: p.src, Dst: p.dst, HopLimit: p.hopLimit, RouterAlert: p.routerAlert}
		message, mldErr := mld.Parse(h, p.message)
		switch m := message.(type) {
		case *mld.ReportV2:
			what = "MLD"
			for _, r := range m.Records {
				what += fmt.Sprintf(" %v %v", r.Type, r.Group)
			}
		case *mld.ReportV1:
			what = fmt.Sprintf("MLDv1 report %v", m.Group)
		case *mld.DoneV1:
			what = fmt.Sprintf("MLDv1 done %v", m.Group)
		default:
			what = fmt.Sprint(err, mldErr)
		}
	}
	return fmt.Sprintf("%v > %v: %s", p.src, p.dst, what)
}

// lines says what actions do that others can see, one line each.
func lines(actions []CoreAction) (ls []string) {
	for _, act := range actions {
		switch act := act.(type) {
		case *Send:
			ls = append(ls, "send "+wire(act.Frame))
		case Enable:
			ls = append(ls, fmt.Sprintf("enable %v", act.Addr))
		case Disable:
			ls = append(ls, fmt.Sprintf("disable %v", act.Addr))
		case Abort:
			ls = append(ls, fmt.Sprintf("abort %v", act.Addr))
		case Done:
			ls = append(ls, fmt.Sprintf("done %v", act.Err))
		case Notify:
			ls = append(ls, "event "+eventLine(act.Event))
		}
	}
	return ls
}

func eventLine(ev Event) string {
	s := string(ev.Type)
	for _, field := range []fmt.Stringer{ev.Address, ev.Prefix, ev.NextHop, ev.Group} {
		if t := field.String(); !strings.HasPrefix(t, "invalid") {
			s += " " + t
		}
	}
	if !ev.LinkAddr.IsZero() {
		s += " " + ev.LinkAddr.String()
	}
	if ev.State != "" {
		s += " " + ev.State
	}
	return s
}
