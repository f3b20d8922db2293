package rib

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"

	"github.com/tapstack/tapstack/internal/timerq"
)

// Table is the routing information base of one interface. It is not safe for
// concurrent use; its snapshots are.
type Table struct {
	cfg Config
	now time.Time
	out []Action

	// prefixes is where the routes live. It is persistent: a change makes a
	// new one that shares all but the changed path with the old, which stays
	// valid for the snapshots that have it.
	prefixes  *bart.Fast[members]
	size      int     // routes that are not local
	locals    *locals // the local routes, which are apart: nil: none
	edit      uint64  // one more with each snapshot: see locals
	addresses map[[16]byte]address
	assigned  uint64 // how often an address was assigned so far
	sources   sources
	timers    timerq.Queue[timer]
	created   uint64 // how many routes came into being so far
	gateways  gateways

	announcers *bart.Table[announcer] // persistent; nil: none
	announced  int                    // prefixes of all announcers
	redirects  redirects

	counters Counters
	snapshot *Snapshot // nil: to be made when asked for
}

// timer is the lifetime of one owner's hold on a route.
type timer struct {
	route *route
	owner Owner
}

// New returns an empty table.
func New(cfg Config) *Table {
	setDefault(&cfg.MaxRoutes, 1<<20)
	setDefault(&cfg.MaxAnnouncements, 1024)
	setDefault(&cfg.MaxRedirects, 1024)
	setDefault(&cfg.RedirectLifetime, 10*time.Minute)
	return &Table{
		cfg:       cfg,
		prefixes:  new(bart.Fast[members]),
		addresses: make(map[[16]byte]address),
		sources:   sources{rfc3484: cfg.RFC3484, labels: cfg.labels()},
		gateways:  gateways{uses: make(map[[16]byte]int)},
		redirects: newRedirects(),
	}
}

func setDefault[N int | time.Duration](n *N, otherwise N) {
	if *n <= 0 {
		*n = otherwise
	}
}

// Step ends the lifetimes that are over at now, in time order, and applies ev.
// An earlier now than the latest counts as the latest.
func (t *Table) Step(now time.Time, ev Event) []Action {
	t.expire(now)
	switch ev := ev.(type) {
	case Assign:
		t.assign(ev)
	case Withdraw:
		t.withdraw(ev.Addr)
	case Add:
		t.add(ev)
	case Remove:
		t.remove(ev.Key, ev.Owner)
	case Reach:
		t.reach(ev.Addr, ev.State)
	case Select:
		t.selected(ev.Router)
	case Announce:
		t.announce(ev.Router, ev.Prefix)
	case Renounce:
		t.renounce(ev.Router, ev.Prefix)
	case Redirect:
		t.redirect(ev)
	case Unredirect:
		t.unredirect(ev.Target.WithZone(""))
	case FlushRedirects:
		t.endRedirects(t.redirects.all())
	}
	return t.take()
}

// Advance ends the lifetimes that are over at now, in time order.
func (t *Table) Advance(now time.Time) []Action {
	t.expire(now)
	return t.take()
}

// Deadline returns when the next lifetime ends.
func (t *Table) Deadline() (time.Time, bool) {
	at, ok := t.timers.Next()
	if end, any := t.redirects.ends.Next(); any && (!ok || end.Before(at)) {
		return end, true
	}
	return at, ok
}

// Counters returns the counters.
func (t *Table) Counters() Counters { return t.counters }

// Routes lists all routes with their owners, ordered by prefix (address, then
// the longest first), metric, preference (the highest first) and next hop; the
// redirects of an address after its routes, ordered by source.
func (t *Table) Routes() []Route {
	byAddress := t.addressOwners()
	routes := make([]Route, 0, t.size+len(t.addresses))
	for _, a := range slices.SortedFunc(maps.Keys(t.addresses), func(a, b [16]byte) int { return slices.Compare(a[:], b[:]) }) {
		routes = append(routes, localRoute(single(netip.AddrFrom16(a))))
	}
	for _, ms := range t.prefixes.AllSorted6() {
		for _, m := range ms {
			r := Route{Key: m.route.Key, Preference: m.preference, Owners: byAddress[m.route], Expires: t.expires(m.route)}
			for _, h := range m.route.holds {
				r.Owners = append(r.Owners, h.owner)
			}
			routes = append(routes, r)
		}
	}
	for _, k := range t.redirects.all() {
		routes = append(routes, t.redirects.view(k))
	}
	// The members of a prefix are in order already, and the redirects are; the
	// local route of an address stays before its others.
	slices.SortStableFunc(routes, func(a, b Route) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()))
	})
	return routes
}

// Snapshot returns an immutable view of the present state. It is cheap: the
// view shares everything with the table.
func (t *Table) Snapshot() *Snapshot {
	if t.snapshot == nil {
		t.edit++
		t.snapshot = &Snapshot{
			prefixes: t.prefixes, locals: t.locals, sources: t.sources, reach: t.gateways.reach,
			announcers: t.announcers, redirects: t.redirects.table,
			typeA: t.cfg.TypeA, onLinkAssumption: t.cfg.OnLinkAssumption,
		}
	}
	return t.snapshot
}

func (t *Table) add(ev Add) {
	if Validate(ev) != nil {
		return
	}
	r := t.find(ev.Key)
	if r == nil {
		if r = t.fresh(ev.Key); r == nil {
			return
		}
	}
	i, again := r.search(ev.Owner)
	switch {
	case again:
		r.holds[i].preference = ev.Preference
	case len(r.holds) >= maxHolds:
		return
	default:
		r.holds = slices.Insert(r.holds, i, hold{ev.Owner, ev.Preference})
	}
	if ev.Lifetime > 0 {
		t.timers.Set(timer{r, ev.Owner}, t.now.Add(ev.Lifetime))
	} else {
		t.timers.Clear(timer{r, ev.Owner})
	}
	t.publish(r, ev.Owner)
}

// fresh returns a new route with nobody to hold it yet, or nil if the table
// is full.
func (t *Table) fresh(k Key) *route {
	ms, _ := t.prefixes.Get(k.Prefix)
	if t.size >= t.cfg.MaxRoutes || len(ms) >= maxPerPrefix {
		return nil
	}
	return t.newRoute(k)
}

func (t *Table) newRoute(k Key) *route {
	t.created++
	return &route{Key: k, order: t.created}
}

func (t *Table) remove(k Key, o Owner) {
	r := t.find(k)
	if r == nil {
		return
	}
	i, ok := r.search(o)
	if !ok {
		return
	}
	last := t.view(r, o)
	t.timers.Clear(timer{r, o})
	r.holds = slices.Delete(r.holds, i, i+1)
	t.unpublish(r, last)
}

// expire ends every lifetime that is over.
func (t *Table) expire(now time.Time) {
	if now.After(t.now) {
		t.now = now
	}
	for {
		end, redirected := t.redirects.ends.Next()
		until := t.now
		if redirected && end.Before(until) {
			until = end
		}
		due, at, ok := t.timers.PopDue(until)
		switch {
		case !ok && redirected && !end.After(t.now):
			t.popRedirect(t.now)
			continue
		case !ok:
			return
		}
		r := due.route
		last := t.view(r, due.owner)
		last.Expires = at
		i, _ := r.search(due.owner)
		r.holds = slices.Delete(r.holds, i, i+1)
		t.unpublish(r, last)
	}
}

// find returns the route with key k, or nil. Local routes have no record.
func (t *Table) find(k Key) *route {
	ms, _ := t.prefixes.Get(k.Prefix)
	for _, m := range ms {
		if m.route.Key == k {
			return m.route
		}
	}
	return nil
}

// publish puts r, which owner has come to hold, into the prefix table, and
// says so if it is new there.
func (t *Table) publish(r *route, owner Owner) {
	ms, _ := t.prefixes.Get(r.Prefix)
	m := r.member()
	i := slices.IndexFunc(ms, func(m member) bool { return m.route == r })
	if i >= 0 && ms[i] == m {
		return // nothing that a packet could notice
	}
	t.put(r.Prefix, ms.with(m))
	if i < 0 {
		t.size++
		if r.NextHop.IsValid() {
			t.holdGateway(r.NextHop)
		}
		t.emit(Added{t.view(r, owner)})
	}
}

// unpublish takes r out of the prefix table if its last owner is gone; last is
// what it was with that owner.
func (t *Table) unpublish(r *route, last Route) {
	if r.held() {
		t.publish(r, Owner{}) // its preference may be another now
		return
	}
	ms, _ := t.prefixes.Get(r.Prefix)
	t.put(r.Prefix, ms.without(r))
	t.size--
	if r.NextHop.IsValid() {
		t.releaseGateway(r.NextHop)
	}
	t.emit(Removed{last})
}

// put makes ms the routes of prefix p.
func (t *Table) put(p netip.Prefix, ms members) {
	if len(ms) == 0 {
		t.prefixes = t.prefixes.DeletePersist(p)
	} else {
		t.prefixes = t.prefixes.InsertPersist(p, ms)
	}
	t.snapshot = nil
}

// view is r as its only owner has it.
func (t *Table) view(r *route, only Owner) Route {
	return Route{Key: r.Key, Preference: r.preference(), Owners: []Owner{only}, Expires: t.expires(r)}
}

// expires returns when the last lifetime of r's owners ends; zero: one of them
// has none.
func (t *Table) expires(r *route) time.Time {
	var last time.Time
	if r.addresses > 0 {
		return last
	}
	for _, h := range r.holds {
		at, ok := t.timers.At(timer{r, h.owner})
		if !ok {
			return time.Time{}
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

func (t *Table) emit(a Action) { t.out = append(t.out, a) }

func (t *Table) take() []Action {
	out := t.out
	t.out = nil
	return out
}
