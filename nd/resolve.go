package nd

import (
	"net/netip"
	"time"
)

// resolve begins to resolve a (RFC 4861, section 7.2.2), or uses the address
// that the cache has already. src is the source of the packet that waits.
func (n *Neighbors) resolve(a, src netip.Addr) {
	e := n.cache.entries[a.As16()]
	switch {
	case e == nil:
		if n.startResolution(a, src, true) == nil {
			n.emit(Unresolved{a})
		}
	case e.State == Incomplete:
		e.wanted, e.probing = true, false
		n.cache.touch(e)
	default:
		n.use(e)
		n.emit(Resolved{a, e.LinkAddr})
	}
}

// startResolution makes an INCOMPLETE entry and solicits it. It returns nil if
// that cannot be: a is no neighbor, no address may be the source, or a bound is
// reached. wanted says that traffic of this node needs it.
func (n *Neighbors) startResolution(a, src netip.Addr, wanted bool) *entry {
	if !isUnicast(a) || n.assigned.has(a) {
		return nil
	}
	// RFC 4429, section 3.2: for a packet from an optimistic address the node
	// "MUST NOT perform Address Resolution", whatever other address it has.
	own := n.assigned.addrs[src.As16()]
	if _, ok := n.assigned.source(src, a); !ok || own != nil && own.Optimistic {
		n.counters.NoSource++
		return nil
	}
	if !n.mayResolve(wanted) {
		n.counters.ResolutionsRefused++
		return nil
	}
	if !n.makeRoom(Incomplete, wanted) {
		return nil
	}
	n.resolveBudget = n.resolveBudget.Add(n.resolveInterval())
	e := n.add(Neighbor{Addr: a, State: Incomplete}, src, wanted)
	if e.quietUntil.After(n.now) {
		// An entry of this neighbor was deleted just now. Its last
		// solicitation counts for this one.
		e.sent = 1
		n.timers.Set(e, e.quietUntil)
		return e
	}
	n.solicit(e)
	return e
}

func (n *Neighbors) resolveInterval() time.Duration {
	return max(1, time.Second/time.Duration(n.cfg.MaxResolveRate))
}

// mayResolve reports whether a resolution may begin now (RFC 6583, section
// 7.2). Those that only answer others get half of what there is, so that they
// cannot use it up.
func (n *Neighbors) mayResolve(wanted bool) bool {
	if n.resolveBudget.Before(n.now) {
		n.resolveBudget = n.now
	}
	burst, quiet := n.cfg.MaxIncomplete, n.cfg.MaxEntries
	if !wanted {
		burst, quiet = (burst+1)/2, (quiet+1)/2
	}
	used := int(n.resolveBudget.Sub(n.now) / n.resolveInterval())
	return used < burst && n.quiet.Len() < quiet
}

// solicit sends a solicitation to the neighbor, arms the timer for what follows
// it, and returns true, if an address may be its source; an INCOMPLETE entry
// for which there is none was removed by dropSource. The caller sees to it that
// the neighbor may be solicited now: RFC 4861, section 7.3.3: "A node MUST NOT
// send Neighbor Solicitations to the same neighbor more frequently than once
// every RetransTimer milliseconds."
func (n *Neighbors) solicit(e *entry) bool {
	src, ok := n.assigned.source(e.prompt, e.Addr)
	if !ok {
		return false
	}
	s := &Send{Src: src, Dst: SolicitedNode(e.Addr)}
	if e.State == Probe {
		s.Dst, s.To = e.Addr, e.LinkAddr
	}
	s.Message = &NeighborSolicit{Target: e.Addr, SourceLinkAddr: n.cfg.LinkAddr}
	n.emit(s)
	e.sent++
	e.quietUntil = n.now.Add(n.cfg.RetransTimer)
	pause := n.cfg.RetransTimer
	if e.State == Unreachable {
		pause = n.backoff(e.sent)
	}
	n.timers.Set(e, n.now.Add(pause))
	return true
}

// backoff is the pause after this many solicitations in UNREACHABLE
// (RFC 7048, section 3).
func (n *Neighbors) backoff(sent int) time.Duration {
	pause := n.cfg.RetransTimer
	for range sent {
		if pause *= backoffMultiple; pause > maxRetransTimer {
			return max(maxRetransTimer, n.cfg.RetransTimer)
		}
	}
	return pause
}

// fire is the state machine's column "timeout" (RFC 4861, appendix C;
// RFC 7048, section 3).
func (e *entry) fire(n *Neighbors) {
	switch e.State {
	case Incomplete:
		once := e.probing && e.answer == nil
		if e.sent < n.cfg.MaxMulticastSolicit && !once {
			n.solicit(e)
		} else {
			n.remove(e, true)
		}
	case Reachable:
		if n.now.Before(e.reachableUntil) {
			n.timers.Set(e, e.reachableUntil)
		} else {
			n.update(e, Stale, e.LinkAddr, e.IsRouter)
		}
	case Delay:
		n.probe(e)
	case Probe:
		// RFC 7048, section 3: "it MUST switch to multicast Neighbor
		// Solicitations within 60 seconds of the initial retransmission".
		late := n.cfg.KeepUnreachable && n.now.Sub(e.Since) > maxRetransTimer
		switch {
		case e.sent < n.cfg.MaxUnicastSolicit && !late:
			n.probe(e)
		case n.cfg.KeepUnreachable:
			n.update(e, Unreachable, e.LinkAddr, e.IsRouter)
			n.solicit(e)
		default:
			n.remove(e, true)
		}
	case Unreachable:
		// RFC 7048, section 3: "If there is no IPv6 packet sent using the
		// UNREACHABLE NCE, then it is RECOMMENDED to stop the retransmits".
		if e.busy {
			e.busy = false
			n.solicit(e)
		}
	}
}

// probe sends a unicast solicitation, from DELAY or PROBE. Without an address
// that may be its source the entry stays usable, but unverified.
func (n *Neighbors) probe(e *entry) {
	if _, ok := n.assigned.source(e.prompt, e.Addr); !ok {
		n.update(e, Stale, e.LinkAddr, e.IsRouter)
		return
	}
	n.update(e, Probe, e.LinkAddr, e.IsRouter)
	n.solicit(e)
}

// use says that a packet is sent to the neighbor (RFC 4861, section 7.3.3).
func (n *Neighbors) use(e *entry) {
	e.wanted = true
	n.cache.touch(e)
	switch e.State {
	case Stale:
		n.update(e, Delay, e.LinkAddr, e.IsRouter)
		at := n.now.Add(n.cfg.DelayFirstProbeTime)
		if at.Before(e.quietUntil) {
			at = e.quietUntil
		}
		n.timers.Set(e, at)
	case Unreachable:
		if _, armed := n.timers.At(e); armed {
			e.busy = true
		} else {
			n.solicit(e) // the pause is over
		}
	}
}

// confirm is advice of an upper layer (RFC 4861, section 7.3.1). It has no
// effect on an INCOMPLETE entry (RFC 4861, section 7.3.3).
func (n *Neighbors) confirm(a netip.Addr) {
	e := n.cache.entries[a.As16()]
	if e == nil || e.State == Incomplete || e.State == Static {
		return
	}
	e.wanted = true
	n.reached(e, e.LinkAddr, e.IsRouter)
}

// reached makes e REACHABLE from now on.
func (n *Neighbors) reached(e *entry, a LinkAddr, isRouter bool) {
	n.update(e, Reachable, a, isRouter)
	e.reachableUntil = n.now.Add(n.drawReachableTime())
	// A timer that is armed already is not moved back: confirmations come
	// often, and it sets itself anew when it finds that it is early.
	if at, armed := n.timers.At(e); !armed || at.After(e.reachableUntil) {
		n.timers.Set(e, e.reachableUntil)
	}
}

// advertised is RFC 4861, section 7.2.5.
func (n *Neighbors) advertised(ev Advertised) {
	if own := n.assigned.addrs[ev.Target.As16()]; own != nil {
		n.advertisedOwn(own, ev)
		return
	}
	// RFC 4861, section 7.2.5: "If no entry exists, the advertisement SHOULD
	// be silently discarded." So is one with our own link-layer address: a
	// packet to it would go nowhere.
	e := n.cache.entries[ev.Target.As16()]
	if e == nil || e.State == Static || ev.TargetLinkAddr == n.cfg.LinkAddr && !ev.TargetLinkAddr.IsZero() {
		return
	}
	state, a := e.State, e.LinkAddr
	differs := !ev.TargetLinkAddr.IsZero() && ev.TargetLinkAddr != e.LinkAddr
	switch {
	case state == Incomplete && ev.TargetLinkAddr.IsZero():
		return
	case state == Incomplete:
		state, a = Stale, ev.TargetLinkAddr
	case differs && !ev.Override:
		if state == Reachable {
			n.update(e, Stale, a, e.IsRouter)
		}
		return
	case differs:
		state, a = Stale, ev.TargetLinkAddr
	}
	if ev.Solicited {
		n.reached(e, a, ev.Router)
	} else {
		n.update(e, state, a, ev.Router)
	}
}

// learn takes over the link-layer address that a solicitation's source gives
// itself (RFC 4861, section 7.2.3). prompt is the address that it asked for:
// it is the one by which the neighbor knows this node. It returns the entry of
// src, or nil if there is none.
func (n *Neighbors) learn(src netip.Addr, a LinkAddr, prompt netip.Addr) *entry {
	e := n.cache.entries[src.As16()]
	switch {
	case e == nil:
		if n.makeRoom(Stale, false) {
			return n.add(Neighbor{Addr: src, LinkAddr: a, State: Stale}, prompt, false)
		}
	case e.State != Static && a != e.LinkAddr:
		n.update(e, Stale, a, e.IsRouter)
	}
	return e
}

// heard takes over what a Router Advertisement (RFC 4861, section 6.3.4) or a
// Redirect (section 8.3) says of a node. Without a link-layer address it makes
// no entry, but an entry becomes a router's all the same.
func (n *Neighbors) heard(ev Heard) {
	if !isUnicast(ev.Addr) || n.assigned.has(ev.Addr) {
		return
	}
	if a := ev.LinkAddr; !a.IsZero() && !a.IsMulticast() && a != n.cfg.LinkAddr {
		n.learn(ev.Addr, a, netip.Addr{})
	}
	e := n.cache.entries[ev.Addr.As16()]
	if e != nil && ev.Router && !e.IsRouter {
		e.IsRouter = true
		n.cache.touch(e)
		n.emit(Changed{e.Neighbor})
	}
}
