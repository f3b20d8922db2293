package mld

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

// Spec: RFC 3810, section 3, must, MLD2-R02
func TestValidate(t *testing.T) {
	ssm := netip.MustParseAddr("ff3e::1")
	for _, c := range []struct {
		name   string
		change Change
		rule   string // "": none
	}{
		{"join", change(OpJoin, group5, socket1), ""},
		{"include", Change{OpSet, group5, socket1, including(sourceA)}, ""},
		{"exclude link-local", Change{OpSet, group5, socket1, excluding(router)}, ""},
		{"nothing", Change{OpSet, group5, socket1, none}, ""},
		{"source-specific", Change{OpSet, ssm, socket1, including(sourceA)}, ""},
		{"source-specific, leave", change(OpLeave, ssm, socket1), ""},
		{"all of a group of another prefix", change(OpJoin, netip.MustParseAddr("ff3e:40:2001:db8::1"), socket1), ""},
		{"unicast", change(OpJoin, ownLL, socket1), "is not an IPv6 multicast address"},
		{"leave of unicast", change(OpLeave, ownLL, socket1), "is not an IPv6 multicast address"},
		{"no address", change(OpJoin, netip.Addr{}, socket1), "is not an IPv6 multicast address"},
		{"all of a source-specific group", change(OpJoin, ssm, socket1), "is source-specific and needs sources to include"},
		{"listen to a source-specific group", change(OpListen, ssm, socket1), "is source-specific and needs sources to include"},
		{"all but some of a source-specific group", Change{OpSet, ssm, socket1, excluding(sourceA)}, "is source-specific and needs sources to include"},
		{"source ::", Change{OpSet, group5, socket1, including(noAddr)}, "cannot have packets from ::, which is not an IPv6 unicast address"},
		{"source multicast", Change{OpSet, group5, socket1, excluding(sourceA, group6)}, "cannot have packets from ff05::6, which is not an IPv6 unicast address"},
		{"source with zone", Change{OpSet, group5, socket1, including(router.WithZone("tap0"))}, "cannot have packets from fe80::99%tap0, which is not an IPv6 unicast address"},
		{"source IPv4", Change{OpSet, group5, socket1, including(netip.MustParseAddr("192.0.2.1"))}, "cannot have packets from 192.0.2.1, which is not an IPv6 unicast address"},
		{"source IPv4-mapped", Change{OpSet, group5, socket1, including(netip.MustParseAddr("::ffff:192.0.2.1"))}, "cannot have packets from ::ffff:192.0.2.1, which is not an IPv6 unicast address"},
	} {
		err := c.change.Validate()
		var invalid *ChangeError
		switch {
		case c.rule == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.rule != "" && (!errors.As(err, &invalid) || invalid.Rule != c.rule || invalid.Group != c.change.Group):
			t.Errorf("%s: %v, want %q", c.name, err, c.rule)
		}
		// What is invalid changes nothing.
		h := newHost(t, Config{}, latest)
		h.step(0, Changes{c.change})
		if got := h.Counters().ChangesRefused == 1; got != (c.rule != "") || got && len(h.groups) != 0 {
			t.Errorf("%s: refused %v, %d groups", c.name, got, len(h.groups))
		}
	}
	if got, want := change(OpJoin, ownLL, socket1).Validate().Error(), "group fe80::1 is not an IPv6 multicast address"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// "An implementation MAY impose a limit on the size of source lists. When an
// operation causes the source list size limit to be exceeded, the service
// interface SHOULD return an error." Nothing is cut in silence.
//
// Spec: RFC 3810, section 4.2, MUST, MLD2-R02
func TestMaxSources(t *testing.T) {
	h := newHost(t, Config{MaxSources: 4}, latest)
	refused := uint64(0)
	try := func(c Change, want bool) {
		t.Helper()
		before := h.Groups()
		err := h.Check(c)
		h.step(0, Changes{c})
		var limit *LimitError
		if want != (err == nil) || err != nil && (!errors.As(err, &limit) || limit.Max != 4) {
			t.Fatalf("Check = %v", err)
		}
		if !want {
			refused++
			if after := h.Groups(); len(before) != len(after) || len(before) > 0 && !before[0].Filter.equal(after[0].Filter) {
				t.Fatal("a refused change changed something")
			}
		}
		if got := h.Counters().ChangesRefused; got != refused {
			t.Fatalf("ChangesRefused = %d, want %d", got, refused)
		}
	}
	to := func(h Holder, f Filter) Change { return Change{OpSet, group5, h, f} }
	try(to(socket1, including(addrsN(5)...)), false)
	try(to(socket1, including(slices.Repeat(addrsN(4), 2)...)), true) // each counts once
	try(to(socket2, excluding(addrsN(4)...)), true)
	try(to(socket2, excluding(addrN(9))), false)
	try(to(socket1, including(addrN(1))), true) // socket2 still names all
	try(to(socket2, excluding(addrsN(5)...)), false)
	try(to(socket2, excluding(addrN(5), addrN(6), addrN(7))), true)
	try(to(socket1, including(addrN(8), addrN(5))), true)
	try(to(socket1, including(addrN(8), addrN(9))), false)
	try(change(OpJoin, group5, address("fe80::1")), true) // without sources it is always possible
	try(change(OpLeave, group5, socket2), true)
	try(to(socket1, including(addrsN(4)...)), true)
}

// Spec: derived, DER, GRP-R05
func TestMaxHolders(t *testing.T) {
	h := newHost(t, Config{MaxHolders: 2}, latest)
	h.step(0, Changes{change(OpJoin, group5, socket1), change(OpJoin, group6, socket1), change(OpJoin, group6, socket2)})
	var limit *LimitError
	if err := h.Check(change(OpJoin, group6, socket2)); !errors.As(err, &limit) || *limit != (LimitError{"holders", 2}) || err.Error() != "more than 2 holders" {
		t.Fatalf("Check = %v", err)
	}
	if got := h.Counters().ChangesRefused; got != 1 || len(h.holds) != 2 {
		t.Fatalf("%d refused, %d holds", got, len(h.holds))
	}
	// Whoever is in may change its mind.
	h.want(0, set(socket1, including(sourceA)), "~ff02::5 IN 2001:db8::a", "fe80::1 > ff02::16 TO_IN ff02::5 2001:db8::a")
}
