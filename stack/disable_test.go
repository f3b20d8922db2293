package stack

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// A duplicate of the link-local address that was formed from the hardware
// address.
func disabled(t *testing.T, profile Profile) *node {
	n := newRoutedNode(t, CoreConfig{Profile: profile})
	n.step(AddAddresses{[]AddRequest{{AddressConfig: AddressConfig{Prefix: netip.MustParsePrefix("2001:db8::2/64")}, Configured: true}}})
	n.step(LinkUp{})
	n.run(500 * time.Millisecond)
	n.take()
	n.isClaimed(ownLL.String())
	return n
}

// Spec: RFC 4862, section 5.4.5, SHOULD, DAD-R42
// Spec: RFC 2462, section 5.4.5, SHOULD, DAD-R41
func TestDAD_R42_DuplicateHardwareLinkLocalDisablesIPv6(t *testing.T) {
	for _, profile := range []Profile{RFC2462(), RFC4862(), Current()} {
		n := disabled(t, profile)
		if !n.core.IPv6Disabled() {
			t.Fatal("IPv6 is not disabled")
		}
		frames := sent(n.take())
		if len(frames) != 1 || !strings.Contains(wire(frames[0]), "MLD") {
			t.Errorf("the step sent %v, want one leave", frames)
		}
		// Nothing leaves, not even the leave's repeat, and nothing is heard.
		n.hears(peerLL, nd.SolicitedNode(netip.MustParseAddr("2001:db8::2")), &nd.NeighborSolicit{Target: netip.MustParseAddr("2001:db8::2"), SourceLinkAddr: peerMAC})
		n.step(Output{NextHop: peerLL, Src: ownLL, Packet: "data"})
		n.hearsRouter(peerLL, routerAdvert(time.Hour, prefixOption(2*time.Hour, time.Hour)))
		n.run(time.Hour)
		if frames := sent(n.take()); len(frames) != 0 {
			t.Errorf("sent while disabled: %s", wire(frames[0]))
		}
		// The others stay listed, as tentative.
		as := n.core.Addresses()
		if len(as) != 1 || as[0].State != Tentative || as[0].Prefix.Addr() != netip.MustParseAddr("2001:db8::2") {
			t.Errorf("addresses while disabled: %v", as)
		}
		n.wantErr(n.add("2001:db8::7/64"), ErrIPv6Disabled)
		if !errors.Is(ErrIPv6Disabled, syscall.ENETDOWN) {
			t.Error("ErrIPv6Disabled is not ENETDOWN")
		}
	}
}

// Spec: RFC 4862, section 5.4, should, DAD-R44
func TestDAD_R44_NewLinkLocalAddressRecovers(t *testing.T) {
	n := disabled(t, Current())
	n.take()
	id := n.add("fe80::1:2:3:4/64")
	if n.core.IPv6Disabled() {
		t.Error("still disabled")
	}
	n.run(3 * time.Second)
	n.wantErr(id, nil)
	for _, a := range n.core.Addresses() {
		if a.State != Preferred {
			t.Errorf("%v is %v after the recovery", a.Prefix, a.State)
		}
	}
	n.take()
	n.hears(peerLL, nd.SolicitedNode(netip.MustParseAddr("2001:db8::2")), &nd.NeighborSolicit{Target: netip.MustParseAddr("2001:db8::2"), SourceLinkAddr: peerMAC})
	if frames := sent(n.take()); len(frames) != 1 {
		t.Errorf("an assigned address is not defended after the recovery: %d frames", len(frames))
	}
}

// Re-initialisation ends the disabled state too, and tests the hardware
// address again.
//
// Spec: RFC 4862, section 5.4, should, DAD-R44
func TestDAD_R44_LinkDownAndUpRecovers(t *testing.T) {
	n := disabled(t, Current())
	n.step(LinkDown{})
	n.step(LinkUp{})
	n.run(3 * time.Second)
	if n.core.IPv6Disabled() || !n.enabled[ownLL] {
		t.Errorf("disabled %v, enabled %v", n.core.IPv6Disabled(), n.enabled)
	}
}

// Spec: RFC 4862, section 5.4.5, MAY, DAD-R43
func TestDAD_R43_OtherLinkLocalDuplicateGoesOn(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	id := n.add("fe80::5/64")
	n.isClaimed("fe80::5")
	var dup *dad.DuplicateError
	if !errors.As(n.results[id], &dup) {
		t.Errorf("ended with %v", n.results[id])
	}
	if n.core.IPv6Disabled() {
		t.Error("a manual link-local duplicate disabled IPv6")
	}
}

// Spec: RFC 4862, section 5.4.5, must, DAD-R45
func TestDAD_R45_GlobalDuplicateAffectsOnlyItself(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	other := n.add("2001:db8::2/64")
	n.add("2001:db8::5/64")
	n.isClaimed("2001:db8::5")
	n.run(time.Second)
	n.wantErr(other, nil)
	if n.core.IPv6Disabled() || !n.enabled[ownLL] {
		t.Error("a global duplicate disabled more than itself")
	}
}

// Spec: RFC 4862, section 5.3, must, DAD-R47
func TestDAD_R47_LinkUpTestsEveryAddressAgain(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::2/64")
	n.hears(peerLL, nd.SolicitedNode(ownLL), &nd.NeighborSolicit{Target: ownLL, SourceLinkAddr: peerMAC})
	n.step(LinkDown{})
	for _, a := range n.core.Addresses() {
		if a.State != Tentative {
			t.Errorf("%v is %v while the link is down", a.Prefix, a.State)
		}
	}
	if ns := n.core.Neighbors(); len(ns) != 0 {
		t.Errorf("neighbors while the link is down: %v", ns)
	}
	n.take()
	n.step(LinkUp{})
	n.run(3 * time.Second)
	got := lines(n.take())
	for _, want := range []string{
		"send :: > ff02::1:ff00:1: NS " + ownLL.String(), "send :: > ff02::1:ff00:2: NS 2001:db8::2",
		"event address_assigned 2001:db8::2 2001:db8::2/64 preferred",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, strings.Join(got, "\n"))
		}
	}
	// The groups are joined anew: NetBSD sends no report here.
	if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "MLD") && strings.Contains(s, "ff02::1:ff00:2") }) {
		t.Error("no report after link up")
	}
	// An address that has become a duplicate meanwhile vanishes, and its
	// connections end.
	n.step(LinkDown{})
	n.step(LinkUp{})
	n.run(600 * time.Millisecond)
	n.take()
	n.isClaimed("2001:db8::2")
	inOrder(t, n.take(), "event address_duplicate 2001:db8::2 2001:db8::2/64 02:00:00:00:00:09", "abort 2001:db8::2")
}

// A probe that cannot be sent never leaves a half-alive address (gVisor's
// panics on the next advertisement), and the caller is told.
func TestRefusedProbeEndsTheAdd(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	before := n.view()
	id := n.add("2001:db8::5/64")
	n.step(ProbeFailed{Addr: netip.MustParseAddr("2001:db8::5"), Err: syscall.EIO})
	n.wantErr(id, syscall.EIO)
	n.run(time.Minute)
	if n.view() != before {
		t.Errorf("something stayed:\n%s", n.view())
	}
	n.isClaimed("2001:db8::5")
	n.hears(netip.IPv6Unspecified(), nd.SolicitedNode(netip.MustParseAddr("2001:db8::5")), &nd.NeighborSolicit{Target: netip.MustParseAddr("2001:db8::5")})
}

// The interface's own address has nobody to be told: it is tried again until
// the link takes the probe.
func TestRefusedProbeOfTheLinkLocalAddressIsRetried(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.step(LinkUp{})
	for range 5 {
		n.run(500 * time.Millisecond)
		n.step(ProbeFailed{Addr: ownLL, Err: syscall.EIO})
		if n.enabled[ownLL] {
			t.Fatal("assigned without a probe")
		}
	}
	n.run(5 * time.Second)
	if !n.enabled[ownLL] {
		t.Error("not assigned after the link recovered")
	}
}
