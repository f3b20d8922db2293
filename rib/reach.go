package rib

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// reach is what a snapshot knows of a gateway. Most gateways have none: what
// nothing was heard of, and for a host of type C, to which "unknown counts as
// reachable" (RFC 4191, section 3.2), all that have not failed.
type reach struct {
	state Reachability
	// turn numbers its last failure, and for a host of type A the last time
	// that it was selected, over all gateways; 0: neither, or it was reachable
	// since.
	turn uint64
}

// gateways are the next hops of the routes, and the targets of the redirects.
type gateways struct {
	uses  map[[16]byte]int
	turns uint64
	// reach is persistent, and nil while there is nothing to know. It is apart
	// from the routes, so that a gateway fails at once whatever the number of
	// its routes.
	reach *bart.Table[reach]
}

// IsGateway reports whether a route or a redirect leads to addr, that is
// whether Reach has a meaning for it.
func (t *Table) IsGateway(addr netip.Addr) bool {
	return addr.Is6() && t.gateways.uses[addr.As16()] > 0
}

func (t *Table) holdGateway(addr netip.Addr) { t.gateways.uses[addr.As16()]++ }

func (t *Table) releaseGateway(addr netip.Addr) {
	key := addr.As16()
	if t.gateways.uses[key]--; t.gateways.uses[key] > 0 {
		return
	}
	delete(t.gateways.uses, key)
	t.setReach(addr, reach{})
}

func (t *Table) reach(addr netip.Addr, state Reachability) {
	addr = addr.WithZone("")
	if state > ReachFailed || !t.IsGateway(addr) {
		return
	}
	now := t.reachOf(addr)
	now.state = state
	switch state {
	case ReachProbable:
		now.turn = 0
	case ReachFailed:
		t.gateways.turns++
		now.turn = t.gateways.turns
		t.unredirect(addr)
	}
	if !t.cfg.TypeA && state != ReachFailed {
		now = reach{}
	}
	if t.IsGateway(addr) { // still, after the redirects
		t.setReach(addr, now)
	}
}

// selected puts a router at the end of the round.
func (t *Table) selected(router netip.Addr) {
	router = router.WithZone("")
	now := t.reachOf(router)
	if !t.cfg.TypeA || !t.IsGateway(router) || now.state == ReachProbable {
		return
	}
	t.gateways.turns++
	now.turn = t.gateways.turns
	t.setReach(router, now)
}

func (t *Table) reachOf(addr netip.Addr) (now reach) {
	if t.gateways.reach != nil {
		now, _ = t.gateways.reach.Get(single(addr))
	}
	return now
}

func (t *Table) setReach(addr netip.Addr, now reach) {
	if t.reachOf(addr) == now {
		return
	}
	t.gateways.reach = with(t.gateways.reach, single(addr), now, now != reach{})
	t.snapshot = nil
}

// with returns table, which may be nil, with v at p, or without p. An empty
// table is nil: the data path has nothing to look up then.
func with[V any](table *bart.Table[V], p netip.Prefix, v V, in bool) *bart.Table[V] {
	if table == nil {
		table = new(bart.Table[V])
	}
	if in {
		return table.InsertPersist(p, v)
	}
	if table = table.DeletePersist(p); table.Size6() == 0 {
		return nil
	}
	return table
}

// Reachability is what Reach said last of a gateway.
func (t *Table) Reachability(addr netip.Addr) Reachability { return t.reachOf(addr).state }
