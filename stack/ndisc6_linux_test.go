package stack_test

import (
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// Flags of a Neighbor Advertisement (RFC 4861, section 4.4).
const (
	flagSolicited = 0x40
	flagOverride  = 0x20
)

// ndisc6 asks for each kind of address: an assigned one is advertised once, an
// anycast address within a second and so that others may override it, and a
// tentative one not at all.
//
// Spec: RFC 4862, section 5.4.3, MUST NOT, DAD-R27
func TestNdisc6AsksForOurAddresses(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "ndisc6", "ping", "sysctl", "tcpdump")
	l, nodes := linkWith(t, 1)
	nodes[0].AddAddress(t, "eth0", "2001:db8::9/64")
	profile := stack.Current()
	if err := profile.Set("retrans_timer", "1h"); err != nil { // what is tested stays tentative
		t.Fatal(err)
	}
	_, i := attachTo(t, l, stack.InterfaceConfig{Profile: profile, NoLinkLocal: true, NoRouters: true})
	anycast := instantly("2001:db8::aaaa/64")
	anycast.Anycast = true
	mustAdd(t, i, instantly("fe80::a/64"), instantly("2001:db8::a/64"), anycast)
	if err := i.StartAddress(onLink("2001:db8::7e/64")); err != nil {
		t.Fatal(err)
	}
	wire := capture(t, l.Namespace, "tap0")
	ask := func(addr string) (answers []string) {
		t.Helper()
		out, err := nodes[0].Command("ndisc6", "-q", "-n", "-m", "-r", "1", "-w", "2000", addr, "eth0").CombinedOutput()
		for line := range strings.Lines(string(out)) {
			answers = append(answers, strings.ToLower(strings.TrimSpace(line)))
		}
		if noAnswer := (*exec.ExitError)(nil); err != nil && !errors.As(err, &noAnswer) {
			t.Fatal(err)
		}
		return answers
	}
	own := []string{i.LinkAddr().String()}
	for _, addr := range []string{"fe80::a", "2001:db8::a"} {
		if diff := cmp.Diff(own, ask(addr)); diff != "" {
			t.Errorf("answers to a solicitation of %s (-want +got):\n%s", addr, diff)
		}
		checkAdvert(t, wire, i.LinkAddr(), netip.MustParseAddr(addr), flagSolicited|flagOverride)
	}
	// ndisc6 believes only what comes from the address that it asked for, but
	// an anycast address is no source. The kernel takes the answer.
	ask("2001:db8::aaaa")
	checkAdvert(t, wire, i.LinkAddr(), netip.MustParseAddr("2001:db8::aaaa"), flagSolicited)
	nodes[0].Script(t, "ping -6 -n -c 1 -W 2 2001:db8::aaaa || true")
	if out := nodes[0].Run(t, "ip", "-6", "neigh", "show", "2001:db8::aaaa", "dev", "eth0"); !strings.Contains(out, own[0]) {
		t.Errorf("the kernel's neighbor is %q, want %s", out, own[0])
	}
	for _, addr := range []string{"2001:db8::7e", "2001:db8::77"} {
		if got := ask(addr); slices.Contains(got, own[0]) {
			t.Errorf("a solicitation of %s, which is not assigned, is answered: %v", addr, got)
		}
	}
	if a, ok := addressIn(i, "2001:db8::7e/128"); !ok || a.State != stack.Tentative {
		t.Errorf("the tentative address: %v", a)
	}
}

// checkAdvert looks for the solicitation of target and its answer.
func checkAdvert(t *testing.T, wire *sniffer, own nd.LinkAddr, target netip.Addr, flags byte) {
	t.Helper()
	about := func(c captured) bool {
		return len(c.payload) >= 20 && string(c.payload[4:20]) == string(target.AsSlice())
	}
	adverts := wire.await("an advertisement of "+target.String(), func(c captured) bool { return c.is(own, 136) && about(c) })
	solicits := wire.await("a solicitation of "+target.String(), func(c captured) bool { return c.icmpType == 135 && about(c) })
	if len(adverts) != 1 || len(solicits) != 1 {
		t.Fatalf("%d advertisements for %d solicitations of %v", len(adverts), len(solicits), target)
	}
	if got := adverts[0].payload[0]; got != flags {
		t.Errorf("%v is advertised with flags %#x, want %#x", target, got, flags)
	}
	if adverts[0].ip.HopLimit != 255 {
		t.Errorf("an advertisement with hop limit %d", adverts[0].ip.HopLimit)
	}
	// MAX_ANYCAST_DELAY_TIME, and half a second for a slow machine.
	if d := adverts[0].at.Sub(solicits[0].at); d > 1500*time.Millisecond {
		t.Errorf("%v is advertised after %v", target, d)
	}
}

// A host answers no Router Solicitation.
//
// Spec: RFC 4861, section 6.1.1, MUST, RS-R10
func TestRdisc6GetsNoAnswerFromAHost(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "rdisc6", "sysctl", "tcpdump")
	l, nodes := linkWith(t, 1)
	_, i := attachTo(t, l, patient)
	wire := capture(t, l.Namespace, "tap0")
	out, err := nodes[0].Command("rdisc6", "-n", "-m", "-r", "1", "-w", "2000", "eth0").CombinedOutput()
	if err == nil || strings.Contains(string(out), "from") {
		t.Errorf("rdisc6 got an answer:\n%s", out)
	}
	wire.await("the Router Solicitation", func(c captured) bool { return c.icmpType == 133 && c.eth.SrcMAC.String() == mac1 })
	if err := ping(t, i, netip.MustParseAddr(ll1), nil); err != nil { // which comes after an answer
		t.Fatal(err)
	}
	reply := func(c captured) bool { return c.icmpType == 129 }
	wire.await("the Echo Reply", reply)
	for _, c := range wire.await("any packet", func(captured) bool { return true }) {
		if c.is(i.LinkAddr(), 134) {
			t.Errorf("a Router Advertisement of a host: %v > %v", c.ip.SrcIP, c.ip.DstIP)
		}
	}
}
