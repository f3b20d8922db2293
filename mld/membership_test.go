package mld

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// address is the holder that an address is.
func address(a string) Holder {
	return Holder{Kind: HolderAddress, Addr: netip.MustParseAddr(a)}
}

// Two addresses share a solicited-node group; it is left with the second.
//
// Spec: RFC 4861, section 7.2.1, MUST NOT, GRP-R03
// Spec: derived, DER, GRP-R05
func TestGRP_R03_LeftWithTheLastHolder(t *testing.T) {
	h := newHost(t, Config{}, latest)
	first, second := address("2001:db8::5"), address("2001:db8:1::5")
	h.want(0, Changes{change(OpJoin, group5, first)}, "+ff02::5", "fe80::1 > ff02::16 TO_EX ff02::5")
	h.want(0, Changes{change(OpJoin, group5, second)})
	h.settle()
	h.want(time.Minute, Changes{change(OpLeave, group5, first)})
	h.wantQuiet()
	if !h.Member(group5) {
		t.Fatal("left with the first holder")
	}
	h.want(time.Minute, Changes{change(OpLeave, group5, second)}, "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
	if h.Member(group5) || len(h.Groups()) != 0 {
		t.Fatal("still a member in the step of the leave")
	}
}

// Spec: derived, DER, GRP-R05
func TestGRP_R05_HoldsAreByName(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5, group5))
	h.step(0, join(group5)) // a second join is the same hold
	h.want(0, Changes{change(OpLeave, group5, socket2)})
	h.want(0, Changes{change(OpLeave, group6, socket1)})
	h.want(0, leave(group5), "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
	h.want(0, leave(group5)) // and a second leave is nothing
}

// Spec: derived, DER, GRP-R07
func TestGRP_R07_SocketDoesNotCloseTheGroupOfAnAddress(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, Changes{change(OpJoin, group5, address("fe80::5"))})
	h.step(0, join(group5))
	h.want(0, leave(group5))
	want := []Group{{Addr: group5, Filter: all, Holders: []Holder{address("fe80::5")}}}
	if diff := cmp.Diff(want, h.Groups(), compareAddrs); diff != "" {
		t.Fatal("(-want +got):\n", diff)
	}
}

// Spec: RFC 3810, section 6, must, GRP-R08
func TestGRP_R08_AllNodesOutlastsSockets(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.want(0, Changes{change(OpJoin, allNodes, Holder{Kind: HolderNode})}, "+ff02::1")
	h.want(0, join(allNodes))
	h.want(0, leave(allNodes))
	h.want(0, leave(allNodes))
	if !h.Member(allNodes) {
		t.Fatal("a socket left ff02::1 for the node")
	}
}

// What was never reported needs no leave.
//
// Spec: RFC 3810, section 6.1, must, GRP-R06
func TestGRP_R06_ListeningIsNotReported(t *testing.T) {
	for _, version := range []int{1, 2} {
		h := newHost(t, Config{Version: version}, latest)
		h.want(0, Changes{change(OpListen, group5, socket1)}, "+ff02::5")
		h.wantQuiet()
		if !h.Member(group5) {
			t.Fatal("not received")
		}
		h.want(0, queryV2(noAddr, time.Second))
		h.want(0, queryV2(group5, time.Second))
		h.wantQuiet()
		h.want(0, leave(group5), "-ff02::5")
		h.wantQuiet()
	}
}

// Spec: RFC 4862, section 5.4.2, SHOULD, DAD-R18
func TestJoinAfterListening(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, Changes{change(OpListen, group5, socket1)})
	h.want(time.Second, join(group5), "fe80::1 > ff02::16 TO_EX ff02::5")
	h.wantNext(2*time.Second, "fe80::1 > ff02::16 TO_EX ff02::5")
	h.want(3*time.Second, leave(group5), "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
}

// A node "MUST NOT leave" the group while an address maps to it, also one that
// only listens yet.
//
// Spec: RFC 4861, section 7.2.1, MUST NOT, GRP-R03
func TestListenerKeepsAReportedGroup(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5))
	h.settle()
	h.want(time.Minute, Changes{change(OpListen, group5, socket2)})
	h.want(time.Minute, leave(group5))
	h.want(time.Minute, Changes{change(OpJoin, group5, socket2)})
	h.want(time.Minute, Changes{change(OpLeave, group5, socket2)}, "-ff02::5", "fe80::1 > ff02::16 TO_IN ff02::5")
}

// Taking over a group in the same Changes is no news, whatever the order.
func TestChangesAreMadeTogether(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5))
	h.settle()
	h.want(time.Minute, Changes{change(OpLeave, group5, socket1), change(OpJoin, group5, socket2)})
	h.want(time.Minute, Changes{change(OpLeave, group5, socket2), change(OpListen, group5, socket1)})
	h.want(time.Minute, Changes{change(OpJoin, group6, socket1), change(OpLeave, group6, socket1)})
	h.wantQuiet()
	h.want(time.Minute, Changes{change(OpJoin, group6, socket1), change(OpLeave, group5, socket1)},
		"+ff05::6", "-ff02::5", "fe80::1 > ff02::16 TO_EX ff05::6, TO_IN ff02::5")
}

func TestGroupsAreInOrder(t *testing.T) {
	h := newHost(t, Config{}, latest)
	node := Holder{Kind: HolderNode}
	h.step(0, Changes{
		change(OpJoin, group6, socket2), change(OpJoin, group6, address("fe80::7")), change(OpJoin, group6, socket1),
		change(OpListen, group5, address("fe80::5")), change(OpJoin, allNodes, node), change(OpJoin, group6, address("fe80::6")),
	})
	want := []Group{
		{Addr: allNodes, Filter: all, Holders: []Holder{node}},
		{Addr: group5, Filter: all, Holders: []Holder{address("fe80::5")}},
		{Addr: group6, Filter: all, Holders: []Holder{address("fe80::6"), address("fe80::7"), socket1, socket2}},
	}
	if diff := cmp.Diff(want, h.Groups(), compareAddrs); diff != "" {
		t.Fatal("(-want +got):\n", diff)
	}
	// The caller may append to what it got.
	groups := h.Groups()
	_ = append(groups[0].Holders, socket2)
	if groups[1].Holders[0] != address("fe80::5") {
		t.Fatal("the holders of two groups share room")
	}
}

func TestMaxGroups(t *testing.T) {
	h := newHost(t, Config{MaxGroups: 2}, latest)
	h.step(0, join(group5))
	h.want(0, Changes{change(OpJoin, group5, socket2)})
	h.want(0, join(group6))                                       // a third hold
	h.want(0, Changes{change(OpJoin, group5, address("fe80::"))}) // likewise
	h.want(0, join(group5))                                       // a hold that exists
	if got := h.Counters().ChangesRefused; got != 2 {
		t.Fatalf("ChangesRefused = %d, want 2", got)
	}
	h.step(0, leave(group5))
	h.step(0, Changes{change(OpLeave, group5, socket2)})
	h.want(0, join(group6, netip.MustParseAddr("ff02::7")), // the leave of group5 is still pending
		"+ff05::6", "fe80::1 > ff02::16 TO_EX ff05::6")
	h.settle()
	h.want(time.Minute, join(netip.MustParseAddr("ff02::7")), "+ff02::7", "fe80::1 > ff02::16 TO_EX ff02::7")
}

func TestNoGroupIsRefused(t *testing.T) {
	h := newHost(t, Config{}, latest)
	h.step(0, join(group5))
	h.settle()
	for i, a := range []netip.Addr{{}, noAddr, ownLL, netip.MustParseAddr("224.0.0.1"),
		netip.MustParseAddr("::ffff:224.0.0.1"), group5.WithZone("tap0")} {
		h.want(time.Minute, join(a))
		h.want(time.Minute, leave(a))
		if h.isHeldBy(a, socket1) || h.Member(a) {
			t.Errorf("member of %v", a)
		}
		if got := h.Counters().ChangesRefused; got != uint64(2*i+2) {
			t.Errorf("%v: ChangesRefused = %d", a, got)
		}
	}
}

func TestHolderString(t *testing.T) {
	for want, h := range map[string]Holder{
		"node": {Kind: HolderNode}, "address fe80::1": address("fe80::1"),
		"socket 7": {Kind: HolderSocket, ID: 7}, "static": {Kind: HolderStatic}, "unknown": {},
	} {
		if got := fmt.Sprint(h); got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
	}
}
