package stack

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/rib"
)

// These are the demands of the mail of 2003 with which this project began,
// KRE-1 to KRE-10, each on the Core alone.

// Spec: RFC 4862, section 5.4, MUST, KRE-1
func TestKRE_1_AddWaitsForDADAndReturnsItsResult(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()

	unique := n.add("2001:db8::1/64")
	n.run(time.Second - time.Nanosecond)
	if _, ended := n.results[unique]; ended {
		t.Error("the add ended before DAD did")
	}
	n.run(time.Nanosecond)
	n.wantErr(unique, nil)

	taken := n.add("2001:db8::5/64")
	n.run(300 * time.Millisecond)
	n.isClaimed("2001:db8::5")
	var dup *dad.DuplicateError
	if !errors.As(n.results[taken], &dup) {
		t.Fatalf("adding a duplicate ended with %v", n.results[taken])
	}
	want := &dad.DuplicateError{Addr: netip.MustParseAddr("2001:db8::5"), LinkAddr: peerMAC, From: peerMAC, Evidence: dad.FromAdvert}
	if diff := cmp.Diff(want, dup, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("DuplicateError (-want +got):\n%s", diff)
	}
}

// Spec: RFC 4862, section 5.4.5, MUST NOT, KRE-2
func TestKRE_2_DuplicateVanishesFromSight(t *testing.T) {
	for _, profile := range []Profile{RFC2462(), RFC4862(), Current()} {
		n := newNode(t, CoreConfig{Profile: profile})
		n.up()
		before := n.view()
		n.add("2001:db8::5/64")
		n.run(300 * time.Millisecond)
		n.isClaimed("2001:db8::5")
		n.run(time.Hour)
		if diff := cmp.Diff(before, n.view()); diff != "" {
			t.Errorf("the views changed (-before +after):\n%s", diff)
		}
		if _, ok := n.core.Deadline(); ok {
			t.Error("a timer runs for an address that is gone")
		}
		if got, counted := len(n.core.Failures()), n.core.Counters().Duplicates; got != 1 || counted != 1 {
			t.Errorf("%d failures in the history and %d counted, want 1", got, counted)
		}
	}
}

// Spec: RFC 4862, section 5.4, must, KRE-3
func TestKRE_3_NoRouteBecauseOfATentativeAddress(t *testing.T) {
	n := newNode(t, CoreConfig{NoLinkLocal: true})
	n.up()
	n.add("2001:db8::5/64")
	n.add("fe80::5/64")
	for range 9 {
		n.run(100 * time.Millisecond)
		if routes := n.core.Routes(); len(routes) != 0 {
			t.Fatalf("routes while tentative: %v", routes)
		}
	}
	for _, dst := range []string{"2001:db8::5", "2001:db8::6", "fe80::5", "fe80::6"} {
		if hop, ok := n.core.Snapshot().NextHop([16]byte{}, netip.MustParseAddr(dst).As16(), 0); ok {
			t.Errorf("%s has the next hop %v", dst, netip.AddrFrom16(hop.Addr))
		}
	}
}

// The owner of the duplicate can be reached as soon as DAD has failed, and
// even while it runs, if its prefix is on-link for another reason.
//
// Spec: RFC 4862, section 5.4, must, KRE-3
func TestKRE_3_OwnerOfTheDuplicateStaysReachable(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::1/64")
	owner := netip.MustParseAddr("2001:db8::5")
	reach := func(when string) {
		t.Helper()
		hop, ok := n.core.Snapshot().NextHop([16]byte{}, owner.As16(), 0)
		if !ok || hop.Local || netip.AddrFrom16(hop.Addr) != owner {
			t.Errorf("%s the owner is not an on-link neighbor: %+v %v", when, hop, ok)
		}
	}
	n.add("2001:db8::5/64")
	reach("while tentative")
	n.isClaimed("2001:db8::5")
	reach("after the failure")
}

// Spec: RFC 4861, section 7.2.1, MUST, KRE-4
func TestKRE_4_GroupIsLeftInTheStepThatFindsTheDuplicate(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.add("2001:db8::5/64")
	n.run(300 * time.Millisecond)
	n.take()
	n.isClaimed("2001:db8::5")
	got := lines(n.take())
	leave := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "send") })
	done := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "done") })
	if leave < 0 || done < leave || !strings.Contains(got[leave], "ff02::1:ff00:5") {
		t.Errorf("the leave does not come first:\n%s", strings.Join(got, "\n"))
	}
	if n.core.groups.Member(nd.SolicitedNode(netip.MustParseAddr("2001:db8::5"))) {
		t.Error("still a member")
	}
	n.take()
	n.run(time.Hour)
	for _, f := range sent(n.take()) {
		if s := wire(f); !strings.Contains(s, "ff02::1:ff00:5") || strings.Contains(s, "NS") {
			t.Errorf("sent after the failure: %s", s)
		}
	}
}

// Spec: RFC 4861, section 6.3.5, DER, KRE-5
func TestKRE_5_DeletingAnAddressReleasesItsOwnReferencesOnly(t *testing.T) {
	linkLocal := netip.MustParsePrefix("fe80::/64")
	shared := netip.MustParsePrefix("2001:db8::/64")
	has := func(n *node, p netip.Prefix) bool {
		return slices.ContainsFunc(n.core.Routes(), func(r rib.Route) bool { return r.Prefix == p })
	}
	n := newNode(t, CoreConfig{})
	n.up()
	addrs := []string{"fe80::beef:5", "2001:db8::beef:5", "2001:db8::1:0:beef:5", "2001:db8:1::beef:5"} // one group for all
	for _, a := range addrs {
		n.mustAdd(a + "/64")
	}
	if err := n.remove(ownLL.String()); err != nil {
		t.Fatal(err)
	}
	if !has(n, linkLocal) {
		t.Error("deleting one link-local address took fe80::/64 from the other")
	}
	if err := n.remove("2001:db8::beef:5"); err != nil {
		t.Fatal(err)
	}
	if !has(n, shared) {
		t.Error("deleting one address took the shared /64 from the other")
	}
	if err := n.remove("2001:db8::1:0:beef:5"); err != nil {
		t.Fatal(err)
	}
	if has(n, shared) {
		t.Error("the /64 outlived its last owner")
	}
	if !n.core.groups.Member(netip.MustParseAddr("ff02::1:ffef:5")) {
		t.Error("the shared group was left while two addresses hold it")
	}
	// A duplicate that shares all of it takes nothing along.
	before := n.view()
	n.add("fe80::1:0:beef:5/64")
	n.isClaimed("fe80::1:0:beef:5")
	if diff := cmp.Diff(before, n.view()); diff != "" {
		t.Errorf("a duplicate changed what others hold (-before +after):\n%s", diff)
	}
	if err := n.remove("fe80::1:0:beef:5"); !errors.Is(err, ErrNoSuchAddress) {
		t.Errorf("deleting a duplicate: %v", err)
	}
	if diff := cmp.Diff(before, n.view()); diff != "" {
		t.Errorf("deleting a duplicate changed something (-before +after):\n%s", diff)
	}
}

// KRE-6: cancel, removal and link down each end the wait, with an error of
// their own and the full clean-up.
//
// Spec: derived, DER, KRE-6
func TestKRE_6_WaitEndsWithItsOwnErrorAndNothingStays(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(n *node, id RequestID)
		want error
	}{
		"removed":   {func(n *node, _ RequestID) { n.remove("2001:db8::5") }, ErrAddressRemoved},
		"cancelled": {func(n *node, id RequestID) { n.step(CancelAdds{[]RequestID{id}}) }, ErrAddressRemoved},
		"link down": {func(n *node, _ RequestID) { n.step(LinkDown{}); n.step(LinkUp{}) }, ErrLinkDown},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, CoreConfig{})
			n.up()
			before := n.view()
			id := n.add("2001:db8::5/64")
			n.run(300 * time.Millisecond)
			test.end(n, id)
			n.wantErr(id, test.want)
			n.run(10 * time.Second)
			if diff := cmp.Diff(before, n.view()); diff != "" {
				t.Errorf("something stayed (-before +after):\n%s", diff)
			}
		})
	}
	n := newNode(t, CoreConfig{})
	id := n.add("2001:db8::5/64")
	n.wantErr(id, ErrLinkDown)
}

// KRE-7: never two machines for one address.
//
// Spec: derived, DER, KRE-7
func TestKRE_7_SecondAddFailsAtOnce(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	first := n.add("2001:db8::5/64")
	n.wantErr(n.add("2001:db8::5/64"), ErrAddressExists) // tentative
	n.wantErr(n.add("2001:db8::5/128"), ErrAddressExists)
	n.run(time.Second)
	n.wantErr(first, nil)
	n.wantErr(n.add("2001:db8::5/64"), ErrAddressExists) // assigned
}

// KRE-8: nothing is remembered of an earlier failure.
//
// Spec: derived, DER, KRE-8
func TestKRE_8_AddAfterAFailureStartsFromNothing(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	run := func() []string {
		n.take()
		id := n.add("2001:db8::5/64")
		n.run(300 * time.Millisecond)
		n.isClaimed("2001:db8::5")
		if n.results[id] == nil {
			t.Fatal("the duplicate was not found")
		}
		n.run(5 * time.Second)
		return lines(n.take())
	}
	first := run()
	if diff := cmp.Diff(first, run()); diff != "" {
		t.Errorf("the second attempt differs (-first +second):\n%s", diff)
	}
	id := n.add("2001:db8::5/64") // the owner has gone
	n.run(time.Second)
	n.wantErr(id, nil)
}

// KRE-9: assigned, then routes; and on removal the reverse.
//
// Spec: derived, DER, KRE-9
func TestKRE_9_OrderOfAssignmentAndRemoval(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.add("2001:db8::5/64")
	n.take()
	n.run(time.Second)
	inOrder(t, n.take(), "enable 2001:db8::5", "event route_added 2001:db8::5/128 local",
		"event route_added 2001:db8::/64 on-link", "event address_assigned 2001:db8::5 2001:db8::5/64 preferred", "done <nil>")
	if err := n.remove("2001:db8::5"); err != nil {
		t.Fatal(err)
	}
	inOrder(t, n.take(), "abort 2001:db8::5", "event route_removed 2001:db8::5/128 local", "disable 2001:db8::5",
		"event group_left ff02::1:ff00:5", "event address_removed 2001:db8::5 2001:db8::5/64", "done <nil>")
}

// inOrder fails unless want is a subsequence of what the actions say.
func inOrder(t *testing.T, actions []CoreAction, want ...string) {
	t.Helper()
	inOrderLines(t, lines(actions), want...)
}

func inOrderLines(t *testing.T, all []string, want ...string) {
	t.Helper()
	rest := all
	for _, w := range want {
		k := slices.Index(rest, w)
		if k < 0 {
			t.Fatalf("%q is missing or out of order in:\n%s", w, strings.Join(all, "\n"))
		}
		rest = rest[k+1:]
	}
}

// KRE-10: expiry and re-initialisation release as deletion does.
//
// Spec: derived, DER, KRE-10
func TestKRE_10_ExpiryAndReinitialisationReleaseTheirOwnOnly(t *testing.T) {
	n := newNode(t, CoreConfig{})
	n.up()
	n.mustAdd("2001:db8::beef:5/64")
	before := n.view()
	id := n.addConfig(AddressConfig{
		Prefix: netip.MustParsePrefix("2001:db8::1:0:beef:5/64"), OnLink: netip.MustParsePrefix("2001:db8::/64"),
		PreferredLifetime: 30 * time.Second, ValidLifetime: time.Minute,
	})
	n.run(10 * time.Second)
	n.wantErr(id, nil)
	n.run(time.Minute)
	if diff := cmp.Diff(before, n.view()); diff != "" {
		t.Errorf("expiry took more than its own (-before +after):\n%s", diff)
	}
	n.step(LinkDown{})
	if routes := n.core.Routes(); len(routes) != 0 || len(n.enabled) != 0 {
		t.Errorf("after link down: routes %v, enabled %v", routes, n.enabled)
	}
	n.step(LinkUp{})
	n.run(10 * time.Second)
	if diff := cmp.Diff(before, n.view()); diff != "" {
		t.Errorf("down and up lost something (-before +after):\n%s", diff)
	}
}
