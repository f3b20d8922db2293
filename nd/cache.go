package nd

import (
	"container/list"
	"net/netip"
	"time"
)

// entry is one entry of the Neighbor Cache. At most one timer is armed for it;
// what it is for follows from the state:
//
//	INCOMPLETE   the next solicitation, or failure
//	REACHABLE    ReachableTime may have passed
//	STALE        none
//	DELAY        the first probe
//	PROBE        the next probe, or failure
//	UNREACHABLE  the next solicitation; none if no packet uses the entry
//	static       none
type entry struct {
	Neighbor

	// prompt is the source that solicitations have if they can.
	prompt netip.Addr
	// sent counts the solicitations in this state.
	sent int
	// quietUntil is when the neighbor may be solicited again.
	quietUntil time.Time
	// reachableUntil is when ReachableTime has passed since the last
	// confirmation. The timer may be earlier.
	reachableUntil time.Time
	// answer waits for the neighbor's link-layer address.
	answer *ownAddr

	// probing says that an INCOMPLETE entry is the probe of a router: no packet
	// waits for it, and it is solicited a single time unless an answer does.
	probing bool
	// wanted says that traffic of this node has used the entry, so that it is
	// more than what somebody else claims.
	wanted bool
	// busy says that a packet has used the entry since the last solicitation
	// in UNREACHABLE.
	busy bool

	rank  rank
	place *list.Element // in the list of rank
}

// rank says how easily an entry gives way to a new one (RFC 6583, section 7.1),
// those of the lowest rank first, and in a rank the one that was used least
// recently.
type rank int

const (
	// Entries that only what others sent brought about. They give way to each
	// other, never the others to them.
	answering rank = iota // INCOMPLETE, to answer a solicitation
	hearsay               // has an address that others claim
	// Entries that traffic of this node has used.
	dead       // UNREACHABLE, no router
	resolving  // INCOMPLETE
	idle       // STALE, no router
	idleRouter // STALE or UNREACHABLE; the last MaxIdleRouters are kept
	// Entries that are in use, and static entries, never give way.
	kept
)

// currentRank returns how easily e gives way.
//
// An advertisement that nobody asked for can make an entry REACHABLE or a
// router's. That alone does not protect it, else a flood of solicitations and
// advertisements from invented addresses could fill the cache for good.
func (e *entry) currentRank() rank {
	switch {
	case e.State == Static:
		return kept
	case e.State == Incomplete && e.wanted:
		return resolving
	case e.State == Incomplete:
		return answering
	case !e.wanted:
		return hearsay
	case e.State != Stale && e.State != Unreachable:
		return kept
	case e.IsRouter:
		return idleRouter
	case e.State == Unreachable:
		return dead
	}
	return idle
}

// cache holds the entries, and those that can give way in the order in which
// they do.
type cache struct {
	entries        map[[16]byte]*entry
	ranks          [kept]list.List
	maxIdleRouters int
}

// touch makes e the most recently used of its rank.
func (c *cache) touch(e *entry) {
	if r := e.currentRank(); e.place == nil || r != e.rank {
		c.unplace(e)
		e.rank = r
		if r < kept {
			e.place = c.ranks[r].PushBack(e)
		}
	} else {
		c.ranks[r].MoveToBack(e.place)
	}
}

func (c *cache) unplace(e *entry) {
	if e.place != nil {
		c.ranks[e.rank].Remove(e.place)
		e.place = nil
	}
}

// victim returns the entry that gives way first among these ranks, or nil.
func (c *cache) victim(ranks ...rank) *entry {
	for _, r := range ranks {
		if r == idleRouter && c.ranks[r].Len() <= c.maxIdleRouters {
			continue
		}
		if front := c.ranks[r].Front(); front != nil {
			return front.Value.(*entry)
		}
	}
	return nil
}

func (c *cache) incomplete() int { return c.ranks[answering].Len() + c.ranks[resolving].Len() }

// makeRoom makes room for an entry of state s, and reports whether there is
// some. An entry that is not wanted by traffic of this node displaces none that
// is.
func (n *Neighbors) makeRoom(s NeighborState, wanted bool) bool {
	c := &n.cache
	any, incomplete := []rank{answering, hearsay}, []rank{answering}
	if wanted {
		any, incomplete = []rank{answering, hearsay, dead, resolving, idle, idleRouter}, []rank{answering, resolving}
	}
	var victim *entry
	switch {
	case s == Incomplete && c.incomplete() >= n.cfg.MaxIncomplete:
		victim = c.victim(incomplete...)
	case len(c.entries) >= n.cfg.MaxEntries:
		victim = c.victim(any...)
	default:
		return true
	}
	if victim == nil || !wanted && s != Incomplete && !n.mayDisplace() {
		n.counters.EntriesRefused++
		return false
	}
	n.counters.Evicted++
	n.remove(victim, false)
	return true
}

// mayDisplace reports whether hearsay may displace an entry now, and counts it.
//
// Deviation: RFC 4861, section 7.2.3, has every solicitation with a link-layer
// address make an entry: "If an entry does not already exist, the node SHOULD
// create a new one". In a flood from more nodes than the cache has room for each
// would displace the one of another that is of no more use.
func (n *Neighbors) mayDisplace() bool {
	if n.hearsayBudget.Before(n.now) {
		n.hearsayBudget = n.now
	}
	if n.hearsayBudget.Sub(n.now) >= time.Second {
		return false
	}
	n.hearsayBudget = n.hearsayBudget.Add(max(1, time.Second/time.Duration(n.cfg.MaxHearsayRate)))
	return true
}

// add makes an entry, for which there must be room.
func (n *Neighbors) add(nb Neighbor, prompt netip.Addr, wanted bool) *entry {
	nb.Since = n.now
	e := &entry{Neighbor: nb, prompt: prompt, wanted: wanted}
	if at, ok := n.quiet.At(nb.Addr); ok {
		n.quiet.Clear(nb.Addr)
		e.quietUntil = at
	}
	n.cache.entries[nb.Addr.As16()] = e
	n.cache.touch(e)
	n.emit(Changed{e.Neighbor})
	return e
}

// update gives e a state, a link-layer address and an IsRouter flag. If one of
// them is new it says so; if e had no address before, whatever waits for one is
// sent.
func (n *Neighbors) update(e *entry, s NeighborState, a LinkAddr, isRouter bool) {
	before := e.Neighbor
	if s != e.State {
		n.timers.Clear(e)
		e.State, e.Since = s, n.now
		e.sent, e.busy = 0, false
	}
	e.LinkAddr, e.IsRouter = a, isRouter
	n.cache.touch(e)
	if e.Neighbor != before {
		n.emit(Changed{e.Neighbor})
	}
	if before.State == Incomplete {
		packets := e.wanted && !e.probing
		n.emit(Resolved{e.Addr, a})
		n.sendAnswer(e)
		if packets {
			n.use(e) // those that were waiting
		}
	}
}

// remove deletes e. If it was being resolved, that has come to nothing. failed
// says that the neighbor did not answer.
func (n *Neighbors) remove(e *entry, failed bool) {
	n.timers.Clear(e)
	n.cache.unplace(e)
	delete(n.cache.entries, e.Addr.As16())
	if e.quietUntil.After(n.now) {
		n.quiet.Set(e.Addr, e.quietUntil)
	}
	n.emit(Removed{Addr: e.Addr, Failed: failed})
	if e.State == Incomplete {
		if e.answer != nil {
			n.counters.AdvertsDropped++
		}
		n.emit(Unresolved{e.Addr})
	}
}

func (n *Neighbors) setStatic(ev SetStatic) {
	if !isUnicast(ev.Addr) || n.assigned.has(ev.Addr) || ev.LinkAddr.IsZero() || ev.LinkAddr.IsMulticast() {
		return
	}
	if e := n.cache.entries[ev.Addr.As16()]; e != nil {
		n.update(e, Static, ev.LinkAddr, e.IsRouter)
	} else if n.makeRoom(Static, true) {
		n.add(Neighbor{Addr: ev.Addr, LinkAddr: ev.LinkAddr, State: Static}, netip.Addr{}, true)
	}
}

func (n *Neighbors) flush(static bool) {
	for _, nb := range n.Entries() {
		if static || nb.State != Static {
			n.remove(n.cache.entries[nb.Addr.As16()], false)
		}
	}
}
