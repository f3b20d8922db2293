package stack

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

// Faults seen in other stacks while the complaints of 2003 were measured
// there. docs/history.md tells which stack has which.

// Two addresses share a group, and the one that goes does not cancel the
// repeat of the other's report (NetBSD stops the timer before it looks at the
// count).
func TestGoingAddressLeavesTheReportOfTheOtherAlone(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.random.point = 1
	n.up()
	n.add("2001:db8::beef:5/64")
	n.add("2001:db8::1:0:beef:5/64")
	n.take()
	n.isClaimed("2001:db8::beef:5")
	n.run(time.Second)
	reports := 0
	for _, f := range sent(n.take()) {
		s := wire(f)
		if strings.Contains(s, "TO_IN") {
			t.Errorf("left a group that the other address holds: %s", s)
		}
		if strings.Contains(s, "TO_EX ff02::1:ffef:5") {
			reports++
		}
	}
	if reports != 1 {
		t.Errorf("the report was repeated %d times, want once", reports)
	}
}

// An address added in MLDv1 mode is reported in MLDv1, and nothing else is
// reported anew (Linux forgets the mode whenever an address is added).
func TestMLDv1ModeOutlastsAnAddedAddress(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.receives(mldFrame(peerLL, nd.AllNodes, &mld.Query{Version: 1, MaxResponseDelay: time.Second}))
	n.run(10 * time.Second)
	n.take()
	n.mustAdd("2001:db8::5/64")
	for _, f := range sent(n.take()) {
		s := wire(f)
		if strings.Contains(s, "MLD") && s != ownLL.String()+" > ff02::1:ff00:5: MLDv1 report ff02::1:ff00:5" {
			t.Errorf("sent %s", s)
		}
	}
}

func mldFrame(src, dst netip.Addr, m mld.Message) []byte {
	b := mld.Append(nil, src, dst, m)
	f := appendHeaders(nil, peerMAC, nd.MulticastLinkAddr(dst), src, dst, protocolHopByHop, 1, len(routerAlert)+len(b))
	return append(append(f, routerAlert[:]...), b...)
}

// Messages that RFC 4861, section 7.1, has a host discard are no evidence
// (gVisor looks at tentative targets before it validates; lwIP takes options
// of length 0).
//
// Spec: RFC 4862, section 5.4.1, MUST, DAD-R26
func TestDAD_R26_InvalidMessagesAreNoEvidence(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::5")
	group := nd.SolicitedNode(a)
	unspecified := netip.IPv6Unspecified()
	// raw builds a message that nd would not: a checksum over what is there.
	raw := func(src, dst netip.Addr, hopLimit uint8, message []byte) []byte {
		f := appendHeaders(nil, peerMAC, nd.MulticastLinkAddr(group), src, dst, protocolICMPv6, hopLimit, len(message))
		sum := uint32(len(message)) + protocolICMPv6
		for _, b := range [][]byte{src.AsSlice(), dst.AsSlice(), message} {
			for k := 0; k < len(b); k += 2 {
				sum += uint32(b[k])<<8 | uint32(b[k+1])
			}
		}
		for sum>>16 != 0 {
			sum = sum&0xffff + sum>>16
		}
		message[2], message[3] = byte(^sum>>8), byte(^sum)
		return append(f, message...)
	}
	ns := func(options ...byte) []byte {
		return append(append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, a.AsSlice()...), options...)
	}
	na := func(flags byte, options ...byte) []byte {
		return append(append([]byte{136, 0, 0, 0, flags, 0, 0, 0}, a.AsSlice()...), options...)
	}
	code := func(m []byte) []byte { m[1] = 1; return m }
	const solicited = 0x40
	for name, test := range map[string]struct {
		frame    []byte
		evidence bool
	}{
		"solicitation":                     {raw(unspecified, group, 255, ns()), true},
		"solicitation, hop limit 254":      {raw(unspecified, group, 254, ns()), false},
		"solicitation, code 1":             {raw(unspecified, group, 255, code(ns())), false},
		"solicitation with SLLAO from ::":  {raw(unspecified, group, 255, ns(1, 1, 2, 0, 0, 0, 0, 9)), false},
		"solicitation to all nodes":        {raw(unspecified, nd.AllNodes, 255, ns()), false},
		"solicitation, option of length 0": {raw(unspecified, group, 255, ns(14, 0, 1, 2, 3, 4, 5, 6)), false},
		"solicitation too short":           {raw(unspecified, group, 255, ns()[:16]), false},
		"advertisement":                    {raw(peerLL, nd.AllNodes, 255, na(0)), true},
		"advertisement, hop limit 254":     {raw(peerLL, nd.AllNodes, 254, na(0)), false},
		"advertisement, S to a group":      {raw(peerLL, nd.AllNodes, 255, na(solicited)), false},
		"advertisement, option length 0":   {raw(peerLL, nd.AllNodes, 255, na(0, 2, 0, 1, 2, 3, 4, 5, 6)), false},
		"advertisement with SLLAO only":    {raw(peerLL, nd.AllNodes, 255, na(0, 1, 1, 2, 0, 0, 0, 0, 9)), true},
		"advertisement, reserved bits set": {raw(peerLL, nd.AllNodes, 255, na(0x1f)), true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, CoreConfig{Profile: RFC4862()})
			n.up()
			id := n.add("2001:db8::5/64")
			n.receives(test.frame)
			var dup *dad.DuplicateError
			if got := errors.As(n.results[id], &dup); got != test.evidence {
				t.Errorf("duplicate found: %v", got)
			}
		})
	}
}

// An advertisement to the tentative address itself: evidence by RFC 2462,
// dropped by RFC 4862 (Linux, gVisor and lwIP ignore it always).
//
// Spec: RFC 4862, section 5.4, should, DAD-R25
func TestDAD_R25_AdvertisementToTheTentativeAddress(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::5")
	for name, test := range map[string]struct {
		profile  Profile
		evidence bool
	}{"rfc2462": {RFC2462(), true}, "rfc4862": {RFC4862(), false}, "current": {Current(), false}} {
		n := newNode(t, CoreConfig{Profile: test.profile})
		n.up()
		id := n.add("2001:db8::5/64")
		n.hears(peerLL, a, claim(a))
		if got := n.results[id] != nil; got != test.evidence {
			t.Errorf("%s: duplicate found: %v", name, got)
		}
	}
}

// A lost optimistic address is out of use before the leave is sent: nothing
// can leave with it as its source (over lwIP a socket goes on sending).
//
// Spec: RFC 4429, section 3.3, must, ODAD-R11
func TestODAD_R11_LostOptimisticAddressIsWithdrawnFirst(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	p := netip.MustParsePrefix("2001:db8::5/64")
	id := n.addConfig(AddressConfig{Prefix: p, DAD: dad.Optimistic})
	if !n.enabled[p.Addr()] {
		t.Fatal("an optimistic address is not usable at once")
	}
	if _, ended := n.results[id]; ended {
		t.Error("the add of an optimistic address did not wait for the end of DAD")
	}
	n.take()
	n.isClaimed("2001:db8::5")
	got := lines(n.take())
	disable := slices.Index(got, "disable 2001:db8::5")
	leave := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "send") })
	if disable != slices.IndexFunc(got, func(s string) bool { return !strings.HasPrefix(s, "event") }) || leave < disable {
		t.Errorf("not withdrawn first:\n%s", strings.Join(got, "\n"))
	}
	// On success it becomes preferred and stays in use.
	id = n.addConfig(AddressConfig{Prefix: p, DAD: dad.Optimistic})
	n.run(time.Second)
	n.wantErr(id, nil)
	if as := n.core.Addresses(); as[len(as)-1].State != Preferred {
		t.Errorf("%v after DAD", as[len(as)-1].State)
	}
}

// A negative preferred lifetime is over from the start; a valid lifetime that
// is given runs its time (smoltcp deletes at once).
func TestDeprecatedFromTheStart(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.addConfig(AddressConfig{Prefix: netip.MustParsePrefix("2001:db8::5/64"), PreferredLifetime: -1, ValidLifetime: time.Hour})
	n.run(time.Minute)
	if as := n.core.Addresses(); as[len(as)-1].State != Deprecated {
		t.Errorf("%v, want deprecated", as[len(as)-1].State)
	}
	n.run(time.Hour)
	if as := n.core.Addresses(); len(as) != 1 {
		t.Errorf("after its valid lifetime: %v", as)
	}
}
