package stack_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/stack"
)

// Groups on a link with a snooping switch and a querier, both of them the Linux
// bridge. The kernel in a second namespace is another host there.

// snoopedNode is a node of ours at a port of a snooping bridge.
type snoopedNode struct {
	*kernelNode
	far *netnstest.Namespace // with the interface veth1
}

// newSnoopedNode returns once the bridge snoops and queries: it stops to flood
// all groups a while after it began. What it learns it forgets after 3 s unless
// queries, one a second, are answered.
func newSnoopedNode(t *testing.T, version int) *snoopedNode {
	netnstest.Require(t, "bridge")
	n := &snoopedNode{newKernelNode(t, quick), netnstest.New(t)}
	n.ns.Run(t, "ip", "link", "add", "br0", "type", "bridge",
		"mcast_snooping", "1", "mcast_mld_version", fmt.Sprint(version),
		"mcast_query_interval", "100", "mcast_startup_query_interval", "50", "mcast_query_response_interval", "50",
		"mcast_last_member_interval", "20", "mcast_membership_interval", "300")
	// The bridge floods for a query response interval after it was made a querier.
	n.ns.Run(t, "ip", "link", "set", "br0", "type", "bridge", "mcast_querier", "1")
	n.ns.Run(t, "sysctl", "-qw", "net.ipv6.conf.br0.accept_dad=0")
	n.ns.Run(t, "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", n.far.Name())
	for _, port := range []string{"tap0", "veth0"} {
		n.ns.Run(t, "ip", "link", "set", port, "master", "br0", "up")
	}
	n.far.Run(t, "ip", "link", "set", "veth1", "up")
	for _, a := range []string{"2001:db8::9/64", source1 + "/64", source2 + "/64"} {
		n.far.Run(t, "ip", "-6", "addr", "add", a, "dev", "veth1", "nodad")
	}
	n.ns.Run(t, "ip", "link", "set", "br0", "up")
	from := newSender(t, n.far, source1, 1)
	waitFor(t, "the bridge to keep groups from us that we have not joined", func() bool {
		before := n.i.Counters().OtherGroup
		from.says("ff05::9999", 9)
		time.Sleep(300 * time.Millisecond)
		return n.i.Counters().OtherGroup == before && n.i.Counters().MLDQueriesIn > 1
	})
	if got := n.i.Status().MLDVersion; got != version {
		t.Errorf("MLD version %d, the querier's is %d", got, version)
	}
	return n
}

// sender is a socket of the kernel's.
type sender struct {
	t *testing.T
	c *net.UDPConn
}

func newSender(t *testing.T, ns *netnstest.Namespace, source string, hopLimit int) *sender {
	t.Helper()
	s := &sender{t: t}
	ns.Do(t, func() {
		var err error
		if s.c, err = net.ListenUDP("udp6", &net.UDPAddr{IP: net.ParseIP(source)}); err != nil {
			t.Fatal(err)
		}
		raw, err := s.c.SyscallConn()
		must(t, err)
		must(t, raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopLimit)
		}))
		must(t, err)
	})
	t.Cleanup(func() { s.c.Close() })
	return s
}

// says sends a datagram with the sender's address in it.
func (s *sender) says(group string, port int) {
	s.t.Helper()
	text := s.c.LocalAddr().(*net.UDPAddr).IP.String()
	if _, err := s.c.WriteTo([]byte(text), &net.UDPAddr{IP: net.ParseIP(group), Port: port}); err != nil {
		s.t.Fatal(err)
	}
}

// listensTo collects what c receives from now on.
func listensTo(c *stack.PacketConn) (got chan string) {
	got = make(chan string, 1000)
	go func() {
		for b := make([]byte, 100); ; {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				close(got)
				return
			}
			got <- string(b[:n])
		}
	}()
	return got
}

// arrives reports whether what s says to the group reaches our link.
func (n *snoopedNode) arrives(s *sender, group string, port int) bool {
	before := n.i.Counters()
	s.says(group, port)
	time.Sleep(50 * time.Millisecond)
	after := n.i.Counters()
	return after.DataIn+after.OtherGroup+after.OtherSource != before.DataIn+before.OtherGroup+before.OtherSource
}

// What is sent to a group reaches us while we have joined it, however long, and
// only then.
func TestSnoopingBridgeForwardsWhatIsJoined(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("MLDv", version), func(t *testing.T) {
			t.Parallel()
			n := newSnoopedNode(t, version)
			from := newSender(t, n.far, source1, 1)
			c := listenPacket(t, n.s, ":5000")
			got := listensTo(c)
			if n.arrives(from, groupA, 5000) {
				t.Error("the bridge forwards a group that is not joined")
			}
			must(t, c.JoinGroup(netip.MustParseAddr(groupA)))
			for range 2 {
				waitFor(t, "a datagram to the group", func() bool {
					from.says(groupA, 5000)
					select {
					case text := <-got:
						return text == source1
					case <-time.After(100 * time.Millisecond):
						return false
					}
				})
				if mdb := n.ns.Run(t, "bridge", "mdb", "show", "dev", "br0"); !strings.Contains(mdb, "port tap0 grp "+groupA) {
					t.Errorf("the bridge does not know that we joined:\n%s", mdb)
				}
				time.Sleep(4 * time.Second) // longer than the bridge remembers without answers
			}
			must(t, c.LeaveGroup(netip.MustParseAddr(groupA)))
			waitFor(t, "the bridge to stop forwarding", func() bool { return !n.arrives(from, groupA, 5000) })
		})
	}
}

// The bridge forwards the sources that were asked for.
func TestSnoopingBridgeForwardsSourcesThatAreJoined(t *testing.T) {
	t.Parallel()
	n := newSnoopedNode(t, 2)
	one, two := newSender(t, n.far, source1, 1), newSender(t, n.far, source2, 1)
	c := listenPacket(t, n.s, ":5000")
	group := netip.MustParseAddr(groupSSM)
	must(t, c.JoinGroup(group, addrs(source1)...))
	waitFor(t, "the first source", func() bool { return n.arrives(one, groupSSM, 5000) })
	waitFor(t, "the second source to be kept from us", func() bool { return !n.arrives(two, groupSSM, 5000) })
	must(t, c.JoinGroup(group, addrs(source2)...))
	waitFor(t, "the second source", func() bool { return n.arrives(two, groupSSM, 5000) })
	must(t, c.LeaveGroup(group, addrs(source1)...))
	waitFor(t, "the first source to be kept from us", func() bool { return !n.arrives(one, groupSSM, 5000) })
	if !n.arrives(two, groupSSM, 5000) {
		t.Error("the second source went with the first")
	}
}

// Duplicates are found in both directions through a bridge that forwards only
// what is joined, also long after the address was assigned.
func TestDADThroughASnoopingBridge(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("MLDv", version), func(t *testing.T) {
			t.Parallel()
			n := newSnoopedNode(t, version)
			must(t, n.i.AddAddress(t.Context(), onLink("2001:db8::1/64")))
			time.Sleep(4 * time.Second)
			err := n.i.AddAddress(t.Context(), onLink("2001:db8::9/64"))
			if dup := (*dad.DuplicateError)(nil); !errors.As(err, &dup) {
				t.Errorf("the kernel's address: %v", err)
			}
			if from := newSender(t, n.far, source1, 1); n.arrives(from, groupB, 9) {
				t.Error("the bridge forwards what is not joined")
			}
			n.far.Run(t, "ip", "-6", "addr", "add", "2001:db8::1/64", "dev", "veth1")
			waitFor(t, "the kernel to find that we have the address", func() bool {
				return strings.Contains(n.far.Run(t, "ip", "-6", "addr", "show", "dev", "veth1"), "2001:db8::1/64 scope global dadfailed")
			})
		})
	}
}

// A multicast router, smcroute, sends a group from another link to ours.
func TestRoutedGroup(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "smcrouted")
	n := newSnoopedNode(t, 2)
	away := netnstest.New(t)
	n.ns.Run(t, "ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", away.Name())
	n.ns.Run(t, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.up0.accept_dad=0")
	n.ns.Run(t, "ip", "link", "set", "up0", "up")
	away.Run(t, "ip", "link", "set", "up1", "up")
	away.Run(t, "ip", "-6", "addr", "add", "2001:db8:77::7/64", "dev", "up1", "nodad")
	dir := t.TempDir()
	config := filepath.Join(dir, "smcroute.conf")
	must(t, os.WriteFile(config, []byte("mgroup from up0 group "+groupA+"\nmroute from up0 group "+groupA+" to br0\n"), 0o600))
	smcrouted := n.ns.Command("smcrouted", "-n", "-f", config, "-P", filepath.Join(dir, "pid"), "-u", filepath.Join(dir, "socket"))
	must(t, smcrouted.Start())
	t.Cleanup(func() {
		smcrouted.Process.Signal(syscall.SIGTERM)
		smcrouted.Wait()
	})
	from := newSender(t, away, "2001:db8:77::7", 5)
	c := listenPacket(t, n.s, ":5000")
	got := listensTo(c)
	must(t, c.JoinGroup(netip.MustParseAddr(groupA)))
	waitFor(t, "a datagram from the other link", func() bool {
		from.says(groupA, 5000)
		select {
		case text := <-got:
			return text == "2001:db8:77::7"
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})
	must(t, c.LeaveGroup(netip.MustParseAddr(groupA)))
	waitFor(t, "the datagrams to end", func() bool { return !n.arrives(from, groupA, 5000) })
}

// 10,000 addresses that are added in one call: their groups are reported in as
// few packets as they fit in, all before the first probe.
//
// Spec: derived, DER, MLD-R12
func TestMLD_R12_TenThousandAddressesOnTheWire(t *testing.T) {
	const addresses, perReport = 10_000, 72
	k := newKernelNode(t, quick)
	time.Sleep(1100 * time.Millisecond)            // the first reports are repeated
	stop := k.capture("-s", "2000", "-B", "65536") // room for a burst
	for _, err := range k.i.AddAddresses(t.Context(), manyAddresses(addresses)) {
		must(t, err)
	}
	time.Sleep(1100 * time.Millisecond)
	reports, records, before := 0, map[string]bool{}, 0
	probed := false
	for _, p := range stop() {
		switch {
		case p.is(k.i.LinkAddr(), 143):
			reports++
			for b := p.payload[4:]; len(b) >= 20; b = b[20:] {
				records[net.IP(b[4:20]).String()] = true
			}
			if !probed {
				before++
			}
		case p.is(k.i.LinkAddr(), 135):
			probed = true
		}
	}
	fits := (addresses + perReport - 1) / perReport
	if before != fits || reports > 2*fits+1 || len(records) != addresses {
		t.Errorf("%d reports before the first probe, %d in all, about %d groups; want %d, at most twice as many, %d",
			before, reports, len(records), fits, addresses)
	}
	t.Logf("%d reports before the first probe, %d in all", before, reports)
}

// A querier asks a host with 10,000 groups: all are reported within the time
// that it gives, in as few packets as they fit in.
//
// Spec: RFC 3810, section 6.3, REC, MLD2-R06
func TestMLD2_R06_TenThousandGroupsAnswerInTime(t *testing.T) {
	const groups, perReport, window = 10_000, 72, 2 * time.Second
	k := newKernelNode(t, quick)
	c := listenPacket(t, k.s, ":5000")
	for n := range groups {
		must(t, c.JoinGroup(netip.AddrFrom16([16]byte{0: 0xff, 1: 5, 14: byte(n >> 8), 15: byte(n)})))
	}
	time.Sleep(1100 * time.Millisecond)
	stop := k.capture("-s", "2000", "-B", "65536")
	query := mldQueryFrame(netip.MustParseAddr("fe80::77"), netip.MustParseAddr("ff02::1"), window)
	packetSocket(t, k.ns, "tap0")(query)
	time.Sleep(window + 500*time.Millisecond)
	var asked time.Time
	var answers []time.Time
	records := map[string]bool{}
	for _, p := range stop() {
		switch {
		case p.icmpType == 130:
			asked = p.at
		case p.is(k.i.LinkAddr(), 143):
			answers = append(answers, p.at)
			for b := p.payload[4:]; len(b) >= 20; b = b[20:] {
				records[net.IP(b[4:20]).String()] = true
			}
		}
	}
	if len(records) < groups || len(answers) > groups/perReport+2 {
		t.Fatalf("%d groups are reported in %d packets", len(records), len(answers))
	}
	slices.SortFunc(answers, time.Time.Compare)
	if last := answers[len(answers)-1].Sub(asked); last > window+50*time.Millisecond {
		t.Errorf("the last answer came after %v", last)
	}
	t.Logf("%d packets, from %v to %v after the query", len(answers), answers[0].Sub(asked), answers[len(answers)-1].Sub(asked))
}

// What no querier sends is answered by nothing and counted by what is wrong
// with it; a flood of good queries has few answers.
func TestHostileQueriesOnTheWire(t *testing.T) {
	t.Parallel()
	k := newKernelNode(t, quick)
	must(t, k.i.JoinGroup(netip.MustParseAddr(groupA)))
	time.Sleep(1100 * time.Millisecond)
	send := packetSocket(t, k.ns, "tap0")
	const ip, options, icmp = 14, 14 + 40, 14 + 48
	before := k.i.Counters()
	stop := k.capture()
	for what, spoil := range map[string]func([]byte) []byte{
		"hop limit":    func(f []byte) []byte { f[ip+7] = 255; return f },
		"checksum":     func(f []byte) []byte { f[icmp+2] ^= 1; return f },
		"router alert": func(f []byte) []byte { f[options+2] = 1; return f },
		"length": func(f []byte) []byte {
			f[ip+5] -= 2
			return withChecksum(f[:len(f)-2])
		},
		"source": func(f []byte) []byte { copy(f[ip+8:], net.ParseIP(source1)); return withChecksum(f) },
	} {
		send(spoil(mldQueryFrame(netip.MustParseAddr("fe80::77"), netip.MustParseAddr("ff02::1"), time.Second)))
		waitFor(t, "a query without its "+what+" to be counted", func() bool {
			c := k.i.Counters()
			return map[string]bool{
				"hop limit": c.MLDBadHopLimit == before.MLDBadHopLimit+1, "checksum": c.MLDBadChecksum == before.MLDBadChecksum+1,
				"router alert": c.MLDNoRouterAlert == before.MLDNoRouterAlert+1, "length": c.MLDBadLength == before.MLDBadLength+1,
				"source": c.MLDBadSource == before.MLDBadSource+1,
			}[what]
		})
	}
	time.Sleep(1100 * time.Millisecond)
	reports := func() (n int) {
		for _, p := range stop() {
			if p.is(k.i.LinkAddr(), 143) {
				n++
			}
		}
		return n
	}
	if n := reports(); n != 0 {
		t.Errorf("%d reports answer queries that are no good", n)
	}
	stop = k.capture()
	good := mldQueryFrame(netip.MustParseAddr("fe80::77"), netip.MustParseAddr("ff02::1"), time.Second)
	const waves, wave = 20, 200 // the TAP's queue has room for one
	for n := range waves {
		for range wave {
			send(good)
		}
		waitFor(t, "the flood to be counted", func() bool {
			c := k.i.Counters()
			return c.MLDQueriesIn-before.MLDQueriesIn+c.FramesLost >= uint64(n+1)*wave
		})
	}
	time.Sleep(1100 * time.Millisecond)
	// One for each delay that ended during the flood, the shortest of those
	// that were drawn (RFC 3810, section 6.2, rule 2).
	if n := reports(); n < 1 || n > waves*wave/50 {
		t.Errorf("%d answers to a flood of %d queries", n, waves*wave)
	}
}

// withChecksum gives a frame with MLD behind a Router Alert its checksum.
func withChecksum(f []byte) []byte {
	const ip, icmp = 14, 14 + 48
	f[icmp+2], f[icmp+3] = 0, 0
	pseudo := append(append([]byte{}, f[ip+8:ip+40]...), 0, 0, 0, byte(len(f)-icmp), 0, 0, 0, 58)
	binary.BigEndian.PutUint16(f[icmp+2:], ^onesSum(append(pseudo, f[icmp:]...)))
	return f
}
