package rib

import (
	"cmp"
	"math"
	"slices"
)

// route is what the table alone knows of one route: who holds it. Its Key and
// order never change, so that snapshots may point at it.
type route struct {
	Key
	order uint64 // 1 for the first route that came into being, and so on
	// addresses counts the assigned addresses that hold the route. Which ones
	// they are is in their own records, so an address cannot let go of what
	// it does not hold; a set of 100,000 of them here would be much larger.
	addresses int
	holds     []hold // of the other owners, ordered by owner
}

// hold is the hold of an owner that is no address.
type hold struct {
	owner      Owner
	preference Preference
}

// maxPerPrefix bounds the routes of one prefix, and maxHolds the owners of one
// route that are no addresses: both are copied or searched as a whole.
const (
	maxPerPrefix = 256
	maxHolds     = 256
)

func (r *route) held() bool { return r.addresses > 0 || len(r.holds) > 0 }

func (r *route) search(o Owner) (int, bool) {
	return slices.BinarySearchFunc(r.holds, o, func(h hold, o Owner) int { return h.owner.compare(o) })
}

// preference is the highest that an owner gives; an address gives Medium, 0.
func (r *route) preference() Preference {
	highest := Preference(math.MinInt8)
	if r.addresses > 0 {
		highest = 0
	}
	for _, h := range r.holds {
		highest = max(highest, h.preference)
	}
	return highest
}

func (r *route) member() member {
	m := member{origin: r.Origin, metric: r.Metric, preference: r.preference(), route: r}
	if r.NextHop.IsValid() {
		m.nextHop = r.NextHop.As16()
	}
	return m
}

func (o Owner) compare(p Owner) int {
	return cmp.Or(cmp.Compare(o.Kind, p.Kind), o.Addr.Compare(p.Addr), o.Prefix.Compare(p.Prefix))
}

// members are the routes of one prefix, the best first. They are immutable,
// and all that the data path sees of them is in here.
type members []member

type member struct {
	nextHop    [16]byte // if gateway
	origin     Origin
	preference Preference
	metric     uint32
	route      *route
}

func (m *member) gateway() bool { return m.origin == StaticOrigin || m.origin == RA }

// compare orders the routes of one prefix: metric, then preference (RFC 4191,
// section 3.2). What ties then is on-link, which has no next hop, before
// gateways, by their address.
func (m member) compare(o member) int {
	return cmp.Or(
		cmp.Compare(m.metric, o.metric),
		cmp.Compare(o.preference, m.preference),
		slices.Compare(m.nextHop[:], o.nextHop[:]),
		cmp.Compare(m.origin, o.origin),
	)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// with returns the members with m in place of the former state of its route.
func (ms members) with(m member) members {
	rest := ms.without(m.route)
	i, _ := slices.BinarySearchFunc(rest, m, member.compare)
	return slices.Insert(slices.Clip(rest), i, m)
}

// without returns the members without r.
func (ms members) without(r *route) members {
	rest := make(members, 0, len(ms))
	for _, m := range ms {
		if m.route != r {
			rest = append(rest, m)
		}
	}
	return rest
}
