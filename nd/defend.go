package nd

import (
	"container/list"
	"net/netip"
)

// ownAddr is an address that is assigned to this interface.
type ownAddr struct {
	Defend
	// source is the address's place among the sources of its scope; nil if it
	// is none.
	source *list.Element
	// delayed has the advertisements of an anycast address that wait, by
	// whom they answer.
	delayed map[netip.Addr]*delayedAdvert
	// announcement is nil if nothing is announced.
	announcement *announcement
}

// assigned holds the interface's addresses.
type assigned struct {
	addrs map[[16]byte]*ownAddr
	// Those that may be the source of a solicitation, in the order in which
	// they came.
	linkLocal, global list.List
	delayed           int // in all
}

func (s *assigned) has(a netip.Addr) bool { return s.addrs[a.As16()] != nil }

func (s *assigned) sources(a netip.Addr) *list.List {
	if a.IsLinkLocalUnicast() {
		return &s.linkLocal
	}
	return &s.global
}

// source returns the source of a solicitation of target (RFC 4861, section
// 7.2.2): that of the packet which prompted it if it is assigned here, else
// another address, one of the target's scope if there is one. An optimistic
// address is never used (RFC 4429, section 3.2), an anycast address only as
// the packet's.
func (s *assigned) source(prompt, target netip.Addr) (netip.Addr, bool) {
	if own := s.addrs[prompt.As16()]; own != nil && !own.Optimistic {
		return prompt, true
	}
	lists := [...]*list.List{&s.global, &s.linkLocal}
	if target.IsLinkLocalUnicast() {
		lists[0], lists[1] = lists[1], lists[0]
	}
	for _, l := range lists {
		if front := l.Front(); front != nil {
			return front.Value.(*ownAddr).Addr, true
		}
	}
	return netip.Addr{}, false
}

func (n *Neighbors) defend(ev Defend) {
	if !isUnicast(ev.Addr) {
		return
	}
	if e := n.cache.entries[ev.Addr.As16()]; e != nil {
		n.remove(e, false) // this node is no neighbor of itself
	}
	s := &n.assigned
	own := s.addrs[ev.Addr.As16()]
	if own == nil {
		own = &ownAddr{}
		s.addrs[ev.Addr.As16()] = own
	}
	own.Defend = ev
	switch {
	case ev.Anycast || ev.Optimistic:
		n.dropSource(own)
	case own.source == nil:
		own.source = s.sources(ev.Addr).PushBack(own)
	}
}

func (n *Neighbors) yield(a netip.Addr) {
	own := n.assigned.addrs[a.As16()]
	if own == nil {
		return
	}
	delete(n.assigned.addrs, a.As16())
	for _, d := range own.delayed {
		n.timers.Clear(d)
	}
	n.assigned.delayed -= len(own.delayed)
	if own.announcement != nil {
		n.timers.Clear(own.announcement)
	}
	n.dropSource(own)
}

// dropSource takes own out of the sources that every solicitation may have.
// Resolutions that no address can go on with fail.
func (n *Neighbors) dropSource(own *ownAddr) {
	s := &n.assigned
	if own.source != nil {
		s.sources(own.Addr).Remove(own.source)
		own.source = nil
	}
	if s.linkLocal.Len()+s.global.Len() > 0 {
		return
	}
	for _, r := range []rank{answering, resolving} {
		for place := n.cache.ranks[r].Front(); place != nil; {
			e := place.Value.(*entry)
			place = place.Next()
			if _, ok := s.source(e.prompt, e.Addr); !ok {
				n.counters.NoSource++
				n.remove(e, false)
			}
		}
	}
}

// solicited is RFC 4861, section 7.2.3.
func (n *Neighbors) solicited(ev Solicited) {
	own := n.assigned.addrs[ev.Target.As16()]
	switch {
	case own == nil:
		n.counters.SolicitsNotOurs++
	case ev.Src.IsUnspecified():
		// Duplicate Address Detection of another node. RFC 4429, section 3.3:
		// an optimistic address is not defended, it is given up.
		if !own.Optimistic {
			n.answer(own, nil, ev.Src, LinkAddr{})
		}
	case n.assigned.has(ev.Src):
		// Another node uses an address of this one, or a solicitation of our
		// own came back from before its target was ours. To answer would be
		// to write to ourselves, and to believe its link-layer address would
		// make us a neighbor of ourselves.
		n.counters.SolicitsFromOwn++
	case isUnicast(ev.Src):
		a := ev.SourceLinkAddr
		if a == n.cfg.LinkAddr {
			a = LinkAddr{} // it is ours: a packet to it would go nowhere
		}
		var e *entry
		if a.IsZero() {
			e = n.cache.entries[ev.Src.As16()]
		} else {
			e = n.learn(ev.Src, a, own.Addr)
		}
		n.answer(own, e, ev.Src, a)
	}
}

// answer answers a solicitation from src, an anycast address's after a delay
// (RFC 4861, section 7.2.4). a is the link-layer address that src gave itself,
// for the case that the cache has no room for it: defence needs no entry. e is
// the entry of src, or nil if there is none.
func (n *Neighbors) answer(own *ownAddr, e *entry, src netip.Addr, a LinkAddr) {
	if !own.Anycast {
		n.sendAdvert(own, e, src, a)
		return
	}
	if own.delayed[src] != nil {
		return // it answers this solicitation too
	}
	if n.assigned.delayed >= n.cfg.MaxDelayedAdverts {
		n.sendAdvert(own, e, src, a)
		return
	}
	d := &delayedAdvert{own: own, to: src, linkAddr: a}
	if own.delayed == nil {
		own.delayed = make(map[netip.Addr]*delayedAdvert)
	}
	own.delayed[src] = d
	n.assigned.delayed++
	n.timers.Set(d, n.now.Add(n.random.Between(0, n.cfg.MaxAnycastDelayTime)))
}

// delayedAdvert is the answer to a solicitation of an anycast address.
type delayedAdvert struct {
	own      *ownAddr
	to       netip.Addr
	linkAddr LinkAddr
}

func (d *delayedAdvert) fire(n *Neighbors) {
	delete(d.own.delayed, d.to)
	n.assigned.delayed--
	n.sendAdvert(d.own, n.cache.entries[d.to.As16()], d.to, d.linkAddr)
}

// sendAdvert sends the answer to a solicitation from to, whose entry is e, if it
// is known where to, which may be a; else it finds that out first (RFC 4861,
// section 7.2.4).
//
// Deviation: RFC 4861, section 7.3.3, has the first packet to a STALE neighbor
// begin DELAY. An advertisement does not: otherwise everybody who asks would be
// probed, and a flood of solicitations from invented addresses would both fill
// the cache with entries in use and be answered threefold.
func (n *Neighbors) sendAdvert(own *ownAddr, e *entry, to netip.Addr, a LinkAddr) {
	if to.IsUnspecified() {
		n.advertise(own, AllNodes, LinkAddr{}, true)
		return
	}
	if e != nil && e.State != Incomplete {
		n.advertise(own, to, e.LinkAddr, true)
		return
	}
	if !a.IsZero() {
		n.advertise(own, to, a, true)
		return
	}
	if e == nil {
		e = n.startResolution(to, own.Addr, false)
	}
	if e == nil || e.answer != nil {
		n.counters.AdvertsDropped++
	}
	if e != nil {
		e.answer = own
	}
}

// sendAnswer sends the answer that waited for e's link-layer address, if its
// address is still ours.
func (n *Neighbors) sendAnswer(e *entry) {
	own := e.answer
	e.answer = nil
	if own != nil && n.assigned.addrs[own.Addr.As16()] == own {
		n.advertise(own, e.Addr, e.LinkAddr, true)
	}
}

// advertise sends an advertisement of own, solicited (RFC 4861, section 7.2.4)
// unless it goes to a group. It always has the Target Link-Layer Address
// option, which may be left out only if the solicitation came by unicast. Of an
// anycast address it never overrides, nor of an optimistic one: RFC 4429,
// section 3.3, and RFC 9131, section 6.1.2: "If the address is in the Optimistic
// state, then the Override flag MUST NOT be set."
func (n *Neighbors) advertise(own *ownAddr, dst netip.Addr, to LinkAddr, override bool) {
	src := own.Addr
	if own.Anycast {
		// An anycast address was not to be a source (RFC 3513, section 2.6),
		// so it is one only if there is no other.
		if other, ok := n.assigned.source(netip.Addr{}, dst); ok {
			src = other
		}
	}
	s := n.newAdvert()
	*s.Message.(*NeighborAdvert) = NeighborAdvert{
		Target:         own.Addr,
		Solicited:      !dst.IsMulticast(),
		Override:       override && !own.Anycast && !own.Optimistic,
		TargetLinkAddr: n.cfg.LinkAddr,
	}
	s.Src, s.Dst, s.To = src, dst, to
	n.emit(s)
}

// newAdvert returns a Send for an advertisement, one that was recycled if there
// is one: a flood of solicitations is to leave no garbage.
func (n *Neighbors) newAdvert() *Send {
	last := len(n.adverts) - 1
	if last < 0 {
		return &Send{Message: new(NeighborAdvert)}
	}
	s := n.adverts[last]
	n.adverts = n.adverts[:last]
	return s
}

func (n *Neighbors) recycleAdvert(act Action) {
	s, ok := act.(*Send)
	if !ok || len(n.adverts) == maxRecycled {
		return
	}
	if _, ok := s.Message.(*NeighborAdvert); ok {
		n.adverts = append(n.adverts, s)
	}
}

// advertisedOwn says that somebody advertises an address that is assigned here
// (RFC 4862, section 5.4.4). Nothing is made of it for an anycast address,
// which others have too, and for an optimistic one, which package dad tests.
func (n *Neighbors) advertisedOwn(own *ownAddr, ev Advertised) {
	if own.Anycast || own.Optimistic || n.cfg.PlainAdvertForAssigned {
		return
	}
	c := Conflict{Addr: own.Addr, LinkAddr: ev.TargetLinkAddr, From: ev.From}
	if c.LinkAddr.IsZero() {
		c.LinkAddr = ev.From
	}
	n.emit(c)
}
