package stack

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

// Spec: RFC 4862, section 5.4.2, MUST, DAD-R13
// Spec: RFC 4862, section 5.4.2, must, DAD-R15
func TestDAD_R15_ProbeOnTheWire(t *testing.T) {
	n := newNode(t, CoreConfig{Profile: RFC4862()})
	n.up()
	n.add("2001:db8::1:2345/64")
	frames := sent(n.take())
	if len(frames) != 2 {
		t.Fatalf("%d frames, want a report and a probe", len(frames))
	}
	if s := wire(frames[0]); !strings.Contains(s, "MLD") || !strings.Contains(s, "ff02::1:ff01:2345") {
		t.Errorf("first frame: %s", s)
	}
	want := "3333ff012345" + "020000000001" + "86dd" + // Ethernet
		"60000000" + "0018" + "3a" + "ff" + // IPv6: 24 octets of ICMPv6, hop limit 255
		"00000000000000000000000000000000" + "ff0200000000000000000001ff012345" +
		"8700" + "0663" + "00000000" + "20010db8000000000000000000012345"
	if got := hexOf(frames[1]); got != want {
		t.Errorf("probe:\n%s, want\n%s", got, want)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, o := range b {
		s.WriteByte(digits[o>>4])
		s.WriteByte(digits[o&15])
	}
	return s.String()
}

// Spec: RFC 3590, section 4, SHOULD, MLD-R04
func TestMLD_R04_GroupsAreReportedAgainFromTheLinkLocalAddress(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.step(LinkUp{})
	n.run(999 * time.Millisecond)
	for _, s := range lines(n.take()) {
		if strings.Contains(s, "MLD") && !strings.HasPrefix(s, "send :: >") {
			t.Errorf("a report from a tentative address: %s", s)
		}
	}
	n.run(time.Millisecond)
	if !slices.ContainsFunc(lines(n.take()), func(s string) bool {
		return strings.HasPrefix(s, "send "+ownLL.String()+" > ff02::16: MLD") && strings.Contains(s, "ff02::1:ff00:1")
	}) {
		t.Error("no report from the link-local address once it is valid")
	}
}

// Many addresses added together are reported together, before any probe.
func TestAddsMadeTogetherAreReportedTogether(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	var requests []AddRequest
	for k := range 100 {
		a := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 14: 1, 15: byte(k)})
		requests = append(requests, AddRequest{ID: n.id(), AddressConfig: AddressConfig{Prefix: netip.PrefixFrom(a, 64)}})
	}
	n.step(AddAddresses{requests})
	reports, probes := 0, 0
	for _, f := range sent(n.take()) {
		if strings.Contains(wire(f), "MLD") {
			reports++
			if probes > 0 {
				t.Fatal("a report after a probe")
			}
		} else {
			probes++
		}
	}
	if reports > 2 || probes != 100 {
		t.Errorf("%d reports and %d probes, want at most 2 and 100", reports, probes)
	}
}

// Spec: RFC 4861, section 7.2.4, MUST, DAD-R37
func TestDAD_R37_AssignedAddressIsDefended(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::1/64")
	n.take()
	a := netip.MustParseAddr("2001:db8::1")
	n.hears(netip.IPv6Unspecified(), nd.SolicitedNode(a), &nd.NeighborSolicit{Target: a, Nonce: "abcdef"})
	frames := sent(n.take())
	if len(frames) != 1 || wire(frames[0]) != "2001:db8::1 > ff02::1: NA 2001:db8::1" {
		t.Fatalf("%d frames", len(frames))
	}
	if !n.enabled[a] || len(n.core.Neighbors()) != 0 {
		t.Error("the defence changed something")
	}
}

// Spec: RFC 4862, section 5.4.4, DER, DAD-R36
func TestDAD_R36_AdvertisementForAnAssignedAddressIsReported(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::1/64")
	before := n.view()
	n.take()
	n.isClaimed("2001:db8::1")
	if got := lines(n.take()); !slices.Contains(got, "event address_conflict 2001:db8::1 02:00:00:00:00:09") {
		t.Errorf("no conflict event: %v", got)
	}
	if n.view() != before || n.core.Counters().Conflicts != 1 {
		t.Error("a conflict changed something, or was not counted")
	}
}

// Spec: RFC 4862, section 5.4.4, must, DAD-R35
func TestDAD_R35_AdvertisementForATentativeAddressLeavesTheCacheAlone(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.step(SetNeighbor{0, netip.MustParseAddr("2001:db8::5"), nd.LinkAddr{2, 0, 0, 0, 0, 7}})
	n.add("2001:db8::5/64")
	n.isClaimed("2001:db8::5")
	for _, e := range n.core.Neighbors() {
		if e.LinkAddr == peerMAC {
			t.Errorf("the advertisement reached the cache: %v", e)
		}
	}
}

// Spec: RFC 6980, section 5, MUST, FRG-R02
func TestParseControlRefusesWhatNoMachineMaySee(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::5")
	plain := ndFrame(peerMAC, netip.IPv6Unspecified(), nd.SolicitedNode(a), &nd.NeighborSolicit{Target: a})
	// with puts a header in front of the ICMPv6 message.
	with := func(next byte, header ...byte) []byte {
		f := slices.Clone(plain[:ethernetHeaderLen+ipv6HeaderLen])
		f[ethernetHeaderLen+6] = next
		f[ethernetHeaderLen+5] += byte(len(header))
		return append(append(f, header...), plain[ethernetHeaderLen+ipv6HeaderLen:]...)
	}
	for name, test := range map[string]struct {
		frame []byte
		want  bool
	}{
		"plain":                          {plain, true},
		"hop-by-hop padding":             {with(0, 58, 0, 1, 4, 0, 0, 0, 0), true},
		"destination options":            {with(60, 58, 0, 1, 4, 0, 0, 0, 0), true},
		"unknown option to be skipped":   {with(60, 58, 0, 0x1e, 4, 0, 0, 0, 0), true},
		"unknown option to be dropped":   {with(60, 58, 0, 0x5e, 4, 0, 0, 0, 0), false},
		"option past the header":         {with(60, 58, 0, 1, 40, 0, 0, 0, 0), false},
		"atomic fragment":                {with(44, 58, 0, 0, 0, 0, 0, 0, 1), false},
		"authentication header":          {with(51, 58, 0, 0, 0, 0, 0, 0, 1), false},
		"routing header at its end":      {with(43, 58, 0, 0, 0, 0, 0, 0, 0), true},
		"routing header with more to go": {with(43, 58, 0, 0, 1, 0, 0, 0, 0), false},
		"header longer than the packet":  {with(60, 58, 200, 1, 4, 0, 0, 0, 0), false},
		"cut off":                        {plain[:len(plain)-1], false},
		"padded by Ethernet":             {append(slices.Clone(plain), 0, 0, 0, 0), true},
		"no IPv6":                        {append(append(slices.Clone(plain[:12]), 0x08, 0x00), plain[14:]...), false},
		"empty":                          {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, ok := parseControl(test.frame)
			if ok != test.want {
				t.Fatalf("accepted: %v", ok)
			}
			if ok && len(p.message) != 24 {
				t.Errorf("a message of %d octets", len(p.message))
			}
		})
	}
}

// Spec: RFC 4862, section 5.5.4, DER, LIF-R18
func TestLIF_R18_LifetimesRunWhileTentative(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	p := netip.MustParsePrefix("2001:db8::5/128")
	id := n.addConfig(AddressConfig{Prefix: p, PreferredLifetime: 100 * time.Millisecond, ValidLifetime: 500 * time.Millisecond})
	n.run(time.Second)
	n.wantErr(id, ErrAddressRemoved)
	n.addConfig(AddressConfig{Prefix: p, PreferredLifetime: 500 * time.Millisecond, ValidLifetime: time.Hour})
	n.run(time.Second)
	if as := n.core.Addresses(); as[len(as)-1].State != Deprecated {
		t.Errorf("%v, want deprecated", as[len(as)-1].State)
	}
}

// Spec: RFC 7527, section 4.1, must, EDAD-R06
func TestEDAD_R06_AcceptEndsEndlessProbing(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	a := netip.MustParseAddr("2001:db8::5")
	id := n.add("2001:db8::5/64")
	for range 12 {
		n.receives(n.probes[a])
		n.run(time.Second)
	}
	if _, ended := n.results[id]; ended {
		t.Fatal("DAD ended although every probe was looped back")
	}
	if !slices.Contains(lines(n.take()), "event dad_looped 2001:db8::5") {
		t.Error("no event says that the link loops")
	}
	accept := n.id()
	n.step(AcceptAddress{accept, a})
	n.wantErr(accept, nil)
	n.wantErr(id, nil)
	again := n.id()
	n.step(AcceptAddress{again, a})
	n.wantErr(again, ErrNotLooped)
	unknown := n.id()
	n.step(AcceptAddress{unknown, netip.MustParseAddr("2001:db8::6")})
	n.wantErr(unknown, ErrNoSuchAddress)
}

// Spec: RFC 4861, section 7.2.2, MUST, NDS-R07
// Spec: RFC 6583, section 7, REC, CACHE-R01
func TestNDS_R07_QueueKeepsTheNewestInOrder(t *testing.T) {
	n := newNode(t, CoreConfig{Limits: Limits{QueuePerNeighbor: 3, MaxQueued: 4}})
	n.up()
	n.take()
	for k := range 5 {
		n.step(Output{NextHop: peerLL, Src: ownLL, Packet: k})
	}
	other := netip.MustParseAddr("fe80::8")
	n.step(Output{NextHop: other, Src: ownLL, Packet: "x"})
	n.step(Output{NextHop: netip.MustParseAddr("fe80::7"), Src: ownLL, Packet: "no room in all"})
	var discarded, released []any
	collect := func() {
		for _, act := range n.take() {
			switch act := act.(type) {
			case Discard:
				discarded = append(discarded, act.Packets...)
			case Release:
				released = append(released, act.Packets...)
				if act.LinkAddr != peerMAC {
					t.Errorf("released to %v", act.LinkAddr)
				}
			}
		}
	}
	collect()
	n.hears(peerLL, ownLL, &nd.NeighborAdvert{Target: peerLL, Solicited: true, Override: true, TargetLinkAddr: peerMAC})
	collect()
	if !slices.Equal(released, []any{2, 3, 4}) || !slices.Equal(discarded, []any{0, 1, "no room in all"}) {
		t.Errorf("released %v, discarded %v", released, discarded)
	}
}

// Spec: RFC 4861, section 7.2.2, MUST, NDS-R09
func TestNDS_R09_UnansweredResolutionReturnsThePackets(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.step(Output{NextHop: peerLL, Src: ownLL, Packet: "p"})
	n.run(3 * time.Second)
	var returned []any
	for _, act := range n.take() {
		if u, ok := act.(Unreachable); ok {
			returned = append(returned, u.Packets...)
		}
	}
	if !slices.Equal(returned, []any{"p"}) {
		t.Errorf("returned %v", returned)
	}
}

// A holder set, not a count: sockets and addresses share a group, and each
// ends its own hold only (GRP-R07).
//
// Spec: derived, DER, GRP-R07
func TestGRP_R07_SocketAndAddressShareAGroup(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	group := nd.SolicitedNode(ownLL)
	socket := mld.Holder{Kind: mld.HolderSocket, ID: 7}
	n.step(JoinGroup{n.id(), group, socket, nil})
	n.wantErr(n.lastID, nil)
	n.step(JoinGroup{n.id(), group, socket, nil})
	n.wantErr(n.lastID, ErrGroupExists)
	n.step(LeaveGroup{n.id(), group, socket, nil})
	n.wantErr(n.lastID, nil)
	if !n.core.groups.Member(group) {
		t.Error("the socket's leave closed the group of the address")
	}
	n.step(LeaveGroup{n.id(), group, socket, nil})
	n.wantErr(n.lastID, ErrNoSuchGroup)
}

func TestRejectsImpossibleAddresses(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	for _, p := range []string{"::/128", "::1/128", "ff02::5/64", "::ffff:192.0.2.1/128", "192.0.2.1/24"} {
		n.addConfig(AddressConfig{Prefix: netip.MustParsePrefix(p)})
		if _, ok := n.results[n.lastID].(*InvalidArgumentError); !ok {
			t.Errorf("add %s: %v", p, n.results[n.lastID])
		}
	}
	for _, cfg := range []AddressConfig{
		{}, {Prefix: netip.MustParsePrefix("2001:db8::1/64"), ValidLifetime: time.Minute},
		{Prefix: netip.MustParsePrefix("2001:db8::1/64"), ValidLifetime: time.Minute, PreferredLifetime: time.Hour},
		{Prefix: netip.MustParsePrefix("2001:db8::1/64"), ValidLifetime: -1},
		{Prefix: netip.MustParsePrefix("2001:db8::1/64"), DAD: dad.Off + 1},
		{Prefix: netip.MustParsePrefix("2001:db8::1/64"), OnLink: netip.MustParsePrefix("ff02::/64")},
	} {
		n.addConfig(cfg)
		if _, ok := n.results[n.lastID].(*InvalidArgumentError); !ok {
			t.Errorf("add %+v: %v", cfg, n.results[n.lastID])
		}
	}
}

// Shutdown says goodbye: resets first, then leaves.
func TestShutdownRemovesEverythingInGoodOrder(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::5/64")
	pending := n.add("2001:db8::6/64")
	n.take()
	n.step(Shutdown{})
	n.wantErr(pending, ErrClosed)
	got := lines(n.take())
	inOrderLines(t, got, "abort 2001:db8::5", "disable 2001:db8::5", "event link_down")
	if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "MLD") && strings.Contains(s, "ff02::1:ff00:5") }) {
		t.Errorf("no leave in\n%s", strings.Join(got, "\n"))
	}
	if at, ok := n.core.Deadline(); ok {
		t.Errorf("a timer runs after the shutdown: %v", at)
	}
}

// Spec: RFC 4862, section 5.4.2, SHOULD, DAD-R18
func TestDAD_R18_DelayComesBackWithTheLink(t *testing.T) {
	n := newNode(t, CoreConfig{NoLinkLocal: true})
	n.random.point = 0.5
	probes := func() (count int) {
		for _, f := range sent(n.take()) {
			if strings.Contains(wire(f), "NS") {
				count++
			}
		}
		return count
	}
	n.up()
	first := n.add("2001:db8::5/64")
	if probes() != 0 {
		t.Error("the first packet was not delayed")
	}
	n.run(2 * time.Second)
	n.wantErr(first, nil)
	n.take()
	n.add("2001:db8::6/64")
	if probes() != 1 {
		t.Error("a later packet was delayed")
	}
	n.run(2 * time.Second)
	n.step(LinkDown{})
	n.take()
	n.step(LinkUp{})
	if probes() != 0 {
		t.Error("after link up, the first packet was not delayed")
	}
}

// A late caller gets the same actions as a punctual one, at the same times.
func TestLateAdvanceIsAsPunctual(t *testing.T) {
	late, punctual := newNode(t, CoreConfig{}), newNode(t, CoreConfig{})
	for _, n := range []*node{late, punctual} {
		n.step(LinkUp{})
		n.add("2001:db8::5/64")
		n.addConfig(AddressConfig{Prefix: netip.MustParsePrefix("2001:db8::6/64"), PreferredLifetime: 2 * time.Second, ValidLifetime: 3 * time.Second})
		n.step(Output{NextHop: peerLL, Src: ownLL, Packet: "p"})
	}
	punctual.run(time.Minute)
	late.now = late.now.Add(time.Minute)
	late.apply(late.core.Advance(late.now))
	times := func(n *node) (ts []string) {
		for _, act := range n.take() {
			if a, ok := act.(Notify); ok {
				ts = append(ts, a.Event.Time.Sub(n.start).String()+" "+eventLine(a.Event))
			}
		}
		return ts
	}
	if diff := cmp.Diff(times(punctual), times(late)); diff != "" {
		t.Errorf("(-punctual +late):\n%s", diff)
	}
}

// Frames for others are none of our business, even if a hub brings them.
//
// Spec: RFC 6085, section 3, MUST NOT, NDV-R13
func TestFramesForOthersAreIgnored(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::5/64")
	a := netip.MustParseAddr("2001:db8::5")
	solicit := &nd.NeighborSolicit{Target: a, SourceLinkAddr: peerMAC}
	otherMAC := ndFrame(peerMAC, peerLL, a, solicit)
	copy(otherMAC, []byte{2, 0, 0, 0, 0, 0x42})
	for name, frame := range map[string][]byte{
		"another link-layer address": otherMAC,
		"another unicast address":    ndFrame(peerMAC, peerLL, netip.MustParseAddr("2001:db8::42"), solicit),
		"a group that is not joined": ndFrame(peerMAC, peerLL, netip.MustParseAddr("ff02::1:ff00:42"), solicit),
	} {
		n.take()
		before := n.core.Counters().ControlNotForUs
		n.receives(frame)
		if frames := sent(n.take()); len(frames) != 0 || n.core.Counters().ControlNotForUs != before+1 {
			t.Errorf("%s: %d answers", name, len(frames))
		}
	}
	// RFC 6085: a group in a frame to the own link-layer address is received.
	direct := ndFrame(peerMAC, peerLL, nd.SolicitedNode(a), solicit)
	copy(direct, ownMAC[:])
	n.receives(direct)
	if len(sent(n.take())) != 1 {
		t.Error("a group in a unicast frame was ignored")
	}
}

func TestNothingIsHeardWhileDown(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.step(LinkDown{})
	n.isClaimed(ownLL.String())
	if got := n.core.Counters().ControlWhileDown; got != 1 {
		t.Errorf("%d frames counted while down, want 1", got)
	}
}

// Nothing is sent for an address that is gone.
func TestRemovedAddressIsNotDefended(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::ff:fe00:1/64") // shares the group of the link-local address
	if err := n.remove("2001:db8::ff:fe00:1"); err != nil {
		t.Fatal(err)
	}
	n.take()
	a := netip.MustParseAddr("2001:db8::ff:fe00:1")
	n.hears(netip.IPv6Unspecified(), nd.SolicitedNode(a), &nd.NeighborSolicit{Target: a})
	if frames := sent(n.take()); len(frames) != 0 {
		t.Errorf("answered: %s", wire(frames[0]))
	}
}

// Spec: RFC 3810, section 5.2.13, MUST, MLD-R03
func TestMLD_R03_ReportsComeFromAnAssignedLinkLocalAddress(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("fe80::5/64")
	source := func() string {
		t.Helper()
		n.take()
		n.step(JoinGroup{0, netip.MustParseAddr("ff05::77"), static, nil})
		frames := sent(n.take())
		n.step(LeaveGroup{0, netip.MustParseAddr("ff05::77"), static, nil})
		if len(frames) != 1 {
			t.Fatalf("%d frames", len(frames))
		}
		src, _, _ := strings.Cut(wire(frames[0]), " ")
		return src
	}
	for _, want := range []string{ownLL.String(), "fe80::5", "::"} {
		if got := source(); got != want {
			t.Errorf("the report comes from %s, want %s", got, want)
		}
		n.remove(want)
	}
}

// Spec: RFC 7048, section 3, SHOULD, NUD-R09
func TestNUD_R09_UnreachableNeighborIsWatched(t *testing.T) {
	p := Current()
	if err := p.Set("nud_exhausted", "unreachable"); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, CoreConfig{Profile: p})
	n.up()
	n.hears(peerLL, ownLL, &nd.NeighborSolicit{Target: ownLL, SourceLinkAddr: peerMAC}) // STALE
	solicits := 0
	for range 100 { // whenever the data path is asked to tell of the next use, there is one
		for _, act := range n.take() {
			if v, ok := act.(SetNeighborView); ok && (v.Neighbor.State == nd.Stale || v.Neighbor.State == nd.Unreachable) {
				n.step(NeighborUsed{v.Neighbor.Addr})
			}
			if s, ok := act.(*Send); ok && strings.Contains(wire(s.Frame), "NS fe80::9") {
				solicits++
			}
		}
		n.run(5 * time.Second)
	}
	// Three probes, then one about every minute for the rest of 500 s.
	if solicits < 3+6 || solicits > 3+12 {
		t.Errorf("%d solicitations of a neighbor that is in use and does not answer", solicits)
	}
}

func TestQueueHasRoomAgainAfterRelease(t *testing.T) {
	n := newNode(t, CoreConfig{Limits: Limits{QueuePerNeighbor: 2, MaxQueued: 2}})
	n.up()
	for range 3 {
		n.step(Output{NextHop: peerLL, Src: ownLL, Packet: "a"})
		n.step(Output{NextHop: peerLL, Src: ownLL, Packet: "b"})
		n.hears(peerLL, ownLL, &nd.NeighborAdvert{Target: peerLL, Solicited: true, TargetLinkAddr: peerMAC})
		n.step(DeleteNeighbor{0, peerLL})
		n.run(time.Second)
	}
	if lost := n.core.Counters().QueueDiscards; lost != 0 {
		t.Errorf("%d packets lost", lost)
	}
}

// Routes set by hand are in the table while the link is up, and only then.
func TestStaticRoutesFollowTheLink(t *testing.T) {
	n := newNode(t, CoreConfig{NoLinkLocal: true})
	via := RouteConfig{Prefix: netip.MustParsePrefix("2001:db8:1::/48"), Via: peerLL}
	onLink := RouteConfig{Prefix: netip.MustParsePrefix("2001:db8::/64")}
	for _, r := range []RouteConfig{via, onLink} {
		n.step(AddRoute{n.id(), r})
		n.wantErr(n.lastID, nil)
	}
	count := func(when string, want int) {
		t.Helper()
		if got := len(n.core.Routes()); got != want {
			t.Errorf("%s: %d routes, want %d", when, got, want)
		}
	}
	count("before the link is up", 0)
	n.step(LinkUp{})
	count("up", 2)
	n.step(LinkDown{})
	count("down", 0)
	n.step(RemoveRoute{n.id(), via})
	n.wantErr(n.lastID, nil)
	n.step(LinkUp{})
	count("up again", 1)
	n.step(AddRoute{n.id(), onLink})
	n.wantErr(n.lastID, ErrRouteExists)
	n.step(RemoveRoute{n.id(), via})
	n.wantErr(n.lastID, ErrNoSuchRoute)
}

// A prefix that an address states and one that is set by hand are one route
// with two owners.
func TestPrefixIsSharedByAddressAndStaticRoute(t *testing.T) {
	n := newNode(t, CoreConfig{NoLinkLocal: true})
	n.up()
	n.mustAdd("2001:db8::5/64")
	onLink := RouteConfig{Prefix: netip.MustParsePrefix("2001:db8::/64")}
	n.step(AddRoute{n.id(), onLink})
	if err := n.remove("2001:db8::5"); err != nil {
		t.Fatal(err)
	}
	if rs := n.core.Routes(); len(rs) != 1 || len(rs[0].Owners) != 1 {
		t.Errorf("after the address went: %v", rs)
	}
	n.step(RemoveRoute{n.id(), onLink})
	if rs := n.core.Routes(); len(rs) != 0 {
		t.Errorf("left: %v", rs)
	}
}

// What the bounds keep out is counted.
//
// Spec: RFC 6583, section 7, REC, CACHE-R01
func TestBoundsAreCounted(t *testing.T) {
	n := newRoutedNode(t, CoreConfig{Limits: Limits{MaxNeighbors: 4, MaxGroups: 4}})
	n.up()
	for k := range 20 {
		router := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(100 + k)})
		n.hearsRouter(router, routerAdvert(time.Hour))
		n.step(JoinGroup{0, netip.AddrFrom16([16]byte{0: 0xff, 1: 0x05, 15: byte(k)}), static, nil})
	}
	c := n.core.Counters()
	if c.NeighborsEvicted+c.NeighborsRefused == 0 || c.RoutersRefused == 0 || c.MembershipsRefused == 0 {
		t.Errorf("counters %+v", c)
	}
	if len(n.core.Neighbors()) > 4 || len(n.core.Groups()) > 2+4 {
		t.Errorf("%d neighbors and %d groups", len(n.core.Neighbors()), len(n.core.Groups()))
	}
	n.mustAdd("2001:db8::1:2:3/64") // there is room for its group
	if g := netip.MustParseAddr("ff02::1:ff02:3"); !n.core.groups.Member(g) {
		t.Error("an address was assigned without its group")
	}
}
