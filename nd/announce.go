package nd

import (
	"net/netip"
	"slices"
	"time"
)

// announceGap parts the advertisements of different addresses that a new
// link-layer address calls for. RFC 4861, section 7.2.6, wants "a small delay
// between the sending of each". It is the same each time: what is to be avoided
// is a burst of this node alone, not that of many nodes at one moment.
const announceGap = 10 * time.Millisecond

// announcement is a series of unsolicited advertisements of an own address. It
// is kept until the series could not be too early for the next one.
type announcement struct {
	own      *ownAddr
	dst      netip.Addr
	override bool
	sent     int
	last     time.Time     // when the last one was sent; zero: never
	pause    time.Duration // between two, if it is longer than RetransTimer
}

// announce begins a series of unsolicited advertisements of own in place of the
// one that is under way, but no sooner than from: RFC 4861, section 7.2.6:
// "These advertisements MUST be separated by at least RetransTimer seconds."
func (n *Neighbors) announce(own *ownAddr, s announcement, from time.Time) {
	a := own.announcement
	if a == nil {
		a = &announcement{own: own}
		own.announcement = a
	}
	a.dst, a.override, a.pause, a.sent = s.dst, s.override, s.pause, 0
	if next := a.last.Add(n.cfg.RetransTimer); !a.last.IsZero() && from.Before(next) {
		from = next
	}
	if from.After(n.now) {
		n.timers.Set(a, from)
	} else {
		a.fire(n)
	}
}

func (a *announcement) fire(n *Neighbors) {
	if a.sent == n.cfg.MaxNeighborAdvertisement {
		a.own.announcement = nil
		return
	}
	n.advertise(a.own, a.dst, LinkAddr{}, a.override)
	a.sent++
	a.last = n.now
	n.timers.Set(a, n.now.Add(max(a.pause, n.cfg.RetransTimer)))
}

// setLinkAddr tells all nodes of a new link-layer address (RFC 4861, section
// 7.2.6). When there are so many addresses that a round takes longer than
// RetransTimer, the next one waits for its end.
func (n *Neighbors) setLinkAddr(a LinkAddr) {
	if a.IsZero() || a.IsMulticast() || a == n.cfg.LinkAddr {
		return
	}
	n.cfg.LinkAddr = a
	var all []*ownAddr
	for _, own := range n.assigned.addrs {
		if !own.Anycast {
			all = append(all, own)
		}
	}
	slices.SortFunc(all, func(a, b *ownAddr) int { return a.Addr.Compare(b.Addr) })
	s := announcement{dst: AllNodes, override: true, pause: time.Duration(len(all)) * announceGap}
	for i, own := range all {
		n.announce(own, s, n.now.Add(time.Duration(i)*announceGap))
	}
}
