package nd

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/internal/timerq"
)

// NeighborConfig parametrises Neighbors. The zero value is RFC 4861, section
// 10, save LinkAddr, which a machine that sends needs.
type NeighborConfig struct {
	// LinkAddr is the interface's own, which solicitations and
	// advertisements carry.
	LinkAddr LinkAddr

	MaxMulticastSolicit int           // solicitations in INCOMPLETE; 0 means 3
	MaxUnicastSolicit   int           // solicitations in PROBE; 0 means 3
	RetransTimer        time.Duration // between solicitations; 0 means 1 s
	BaseReachableTime   time.Duration // ReachableTime is half to one and a half of it; 0 means 30 s
	DelayFirstProbeTime time.Duration // in DELAY; 0 means 5 s
	MaxAnycastDelayTime time.Duration // before an anycast advertisement; 0 means 1 s

	// MaxNeighborAdvertisement is how many unsolicited advertisements an
	// Announce makes; 0 means 3.
	MaxNeighborAdvertisement int

	// KeepUnreachable is RFC 7048: an entry that does not answer its probes
	// becomes UNREACHABLE, and is solicited by multicast with longer and
	// longer pauses while packets use it. Otherwise it is deleted.
	KeepUnreachable bool
	// PlainAdvertForAssigned is RFC 2461: an advertisement of an address that
	// is assigned here is one for an unknown neighbor, and there is no
	// Conflict.
	PlainAdvertForAssigned bool

	// MaxEntries bounds the cache; 0 means 65,536.
	MaxEntries int
	// MaxIncomplete bounds the entries in INCOMPLETE; 0 means 4,096.
	MaxIncomplete int
	// MaxResolveRate is the number of resolutions that may begin in a second,
	// after a burst of MaxIncomplete; 0 means 1,000.
	MaxResolveRate int
	// MaxHearsayRate is the number of entries of nodes that only others' word
	// is known of, which may displace each other in a second when the cache is
	// full, after a burst of as many; 0 means 1,000. Their solicitations are
	// answered all the same.
	MaxHearsayRate int
	// MaxDelayedAdverts bounds the anycast advertisements that wait for their
	// random delay; 0 means 1,024. Those beyond it are not delayed.
	MaxDelayedAdverts int
	// MaxProbedRouters bounds the routers that are probed in a minute; 0 means
	// 256.
	MaxProbedRouters int
	// MaxIdleRouters is the number of routers that no packet uses whose
	// entries never give way to others; 0 means 64. A neighbor is a router by
	// its own word, so that without a bound it could fill the cache for good.
	MaxIdleRouters int
}

// Random factors of ReachableTime (RFC 4861, section 10), in halves, and how
// long a drawn one is used (RFC 4861, section 6.3.4: "at least every few
// hours").
const (
	minRandomHalves = 1
	maxRandomHalves = 3
	redrawReachable = 2 * time.Hour
)

// Of UNREACHABLE (RFC 7048, sections 3 and 4).
const (
	maxRetransTimer = 60 * time.Second
	backoffMultiple = 3
)

func (c NeighborConfig) withDefaults() NeighborConfig {
	setDefault(&c.MaxMulticastSolicit, 3)
	setDefault(&c.MaxUnicastSolicit, 3)
	setDefault(&c.RetransTimer, time.Second)
	setDefault(&c.BaseReachableTime, 30*time.Second)
	setDefault(&c.DelayFirstProbeTime, 5*time.Second)
	setDefault(&c.MaxAnycastDelayTime, time.Second)
	setDefault(&c.MaxNeighborAdvertisement, 3)
	setDefault(&c.MaxEntries, 1<<16)
	setDefault(&c.MaxIncomplete, 1<<12)
	setDefault(&c.MaxResolveRate, 1000)
	setDefault(&c.MaxHearsayRate, 1000)
	setDefault(&c.MaxDelayedAdverts, 1<<10)
	setDefault(&c.MaxProbedRouters, 1<<8)
	setDefault(&c.MaxIdleRouters, 1<<6)
	return c
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// NeighborCounters count what Neighbors did not do, since its start.
type NeighborCounters struct {
	// SolicitsNotOurs were for an address that is not defended here.
	SolicitsNotOurs uint64
	// SolicitsFromOwn had an address that is defended here as their source.
	SolicitsFromOwn uint64
	// Evicted entries gave way to others.
	Evicted uint64
	// EntriesRefused were not made because no entry could give way.
	EntriesRefused uint64
	// ResolutionsRefused would have begun too soon after others.
	ResolutionsRefused uint64
	// NoSource counts resolutions that did not begin, or ended, because no
	// address may be their source.
	NoSource uint64
	// AdvertsDropped were to answer a neighbor whose link-layer address could
	// not be found out, or gave way to a later answer to it.
	AdvertsDropped uint64
	// ProbesRefused were of routers beyond MaxProbedRouters.
	ProbesRefused uint64
}

// Neighbors is the Neighbor Cache of one interface: address resolution
// (RFC 4861, section 7.2), Neighbor Unreachability Detection (section 7.3), and
// the advertisements that defend the interface's own addresses.
//
// Every method must be called from one goroutine at a time.
type Neighbors struct {
	cfg      NeighborConfig // LinkAddr, RetransTimer and BaseReachableTime change
	random   Random
	now      time.Time
	out      []Action
	spare    []Action // empty, for out
	adverts  []*Send  // recycled, for newAdvert
	counters NeighborCounters
	timers   timerq.Queue[timer]

	cache    cache
	assigned assigned

	// quiet has the addresses without an entry that must not be solicited
	// yet, so that an entry that was deleted and is made again obeys
	// RFC 4861, section 7.3.3. It wakes nobody.
	quiet timerq.Queue[netip.Addr]
	// probed has the routers that must not be probed yet (RFC 4191, section
	// 3.5). It wakes nobody either.
	probed timerq.Queue[netip.Addr]
	// resolveBudget is the time to which resolutions have used up their rate.
	resolveBudget time.Time
	// hearsayBudget is the same for entries that displace others on hearsay.
	hearsayBudget time.Time

	reachableTime time.Duration
	redrawAt      time.Time
}

// timer is what can be due: an *entry, a *delayedAdvert or an *announcement.
type timer interface{ fire(n *Neighbors) }

// NewNeighbors returns a machine with an empty cache and no addresses.
func NewNeighbors(cfg NeighborConfig, r Random) *Neighbors {
	cfg = cfg.withDefaults()
	return &Neighbors{
		cfg:      cfg,
		random:   r,
		cache:    cache{entries: make(map[[16]byte]*entry), maxIdleRouters: cfg.MaxIdleRouters},
		assigned: assigned{addrs: make(map[[16]byte]*ownAddr)},
	}
}

// Step does what is due at or before now, in time order, and then applies ev.
// A now that is earlier than one seen before counts as the latest seen.
//
// An address in ev that is not the unicast address of a neighbor is ignored;
// as that of a Resolve it is Unresolved at once.
func (n *Neighbors) Step(now time.Time, ev Event) []Action {
	n.fireDue(now)
	switch ev := ev.(type) {
	case Resolve:
		n.resolve(ev.Addr, ev.Src)
	case Used:
		if e := n.cache.entries[ev.Addr.As16()]; e != nil {
			n.use(e)
		}
	case Confirm:
		n.confirm(ev.Addr)
	case Solicited:
		n.solicited(ev)
	case Advertised:
		n.advertised(ev)
	case Heard:
		n.heard(ev)
	case Defend:
		n.defend(ev)
	case Yield:
		n.yield(ev.Addr)
	case Announce:
		if own := n.assigned.addrs[ev.Addr.As16()]; own != nil && ev.Dst.IsMulticast() {
			n.announce(own, announcement{dst: ev.Dst, override: ev.Override}, n.now)
		}
	case SetLinkAddr:
		n.setLinkAddr(ev.LinkAddr)
	case ProbeRouter:
		n.probeRouter(ev.Addr)
	case SetStatic:
		n.setStatic(ev)
	case Delete:
		if e := n.cache.entries[ev.Addr.As16()]; e != nil {
			n.remove(e, false)
		}
	case Flush:
		n.flush(ev.Static)
	case SetTimers:
		n.setTimers(ev)
	}
	return n.take()
}

// Advance does what is due at or before now.
func (n *Neighbors) Advance(now time.Time) []Action {
	n.fireDue(now)
	return n.take()
}

// AdvanceSome is Advance that stops after most timers. What is left is still
// due: see Deadline.
func (n *Neighbors) AdvanceSome(now time.Time, most int) []Action {
	n.fireSome(now, most)
	return n.take()
}

// Deadline returns when Advance has to be called next.
func (n *Neighbors) Deadline() (t time.Time, ok bool) { return n.timers.Next() }

// Entries returns the cache, ordered by address.
func (n *Neighbors) Entries() []Neighbor {
	all := make([]Neighbor, 0, len(n.cache.entries))
	for _, e := range n.cache.entries {
		all = append(all, e.Neighbor)
	}
	slices.SortFunc(all, func(a, b Neighbor) int { return a.Addr.Compare(b.Addr) })
	return all
}

// Lookup returns the entry of a.
func (n *Neighbors) Lookup(a netip.Addr) (Neighbor, bool) {
	e, ok := n.cache.entries[a.As16()]
	if !ok {
		return Neighbor{}, false
	}
	return e.Neighbor, true
}

// Counters returns the counters.
func (n *Neighbors) Counters() NeighborCounters { return n.counters }

func (n *Neighbors) fireDue(now time.Time) { n.fireSome(now, math.MaxInt) }

func (n *Neighbors) fireSome(now time.Time, most int) {
	if now.Before(n.now) {
		now = n.now
	}
	for range most {
		t, at, ok := n.timers.PopDue(now)
		if !ok {
			break
		}
		n.now = at
		t.fire(n)
	}
	if at, ok := n.timers.Next(); ok && !at.After(now) {
		return
	}
	n.now = now
	for _, q := range []*timerq.Queue[netip.Addr]{&n.quiet, &n.probed} {
		for ok := true; ok; {
			_, _, ok = q.PopDue(now)
		}
	}
}

func (n *Neighbors) emit(a Action) { n.out = append(n.out, a) }

func (n *Neighbors) take() []Action {
	out := n.out
	n.out, n.spare = n.spare, nil
	return out
}

// Recycle takes back what Step or Advance returned, for them to use again. The
// caller is done with it.
func (n *Neighbors) Recycle(actions []Action) {
	for _, act := range actions {
		n.recycleAdvert(act)
	}
	if c := cap(actions); 0 < c && c <= maxRecycled {
		clear(actions)
		n.spare = actions[:0]
	}
}

// maxRecycled is how long a list of actions is kept at most.
const maxRecycled = 64

// setTimers takes over what a Router Advertisement says
// (RFC 4861, section 6.3.4). It holds for deadlines that are set from now on.
func (n *Neighbors) setTimers(ev SetTimers) {
	if ev.RetransTimer > 0 {
		n.cfg.RetransTimer = ev.RetransTimer
	}
	if ev.ReachableTime > 0 && ev.ReachableTime != n.cfg.BaseReachableTime {
		n.cfg.BaseReachableTime = ev.ReachableTime
		n.redrawAt = n.now
	}
}

// drawReachableTime returns ReachableTime, which is drawn anew after a change
// and every two hours (RFC 4861, section 6.3.4), but only when it is needed: an
// idle cache draws nothing.
func (n *Neighbors) drawReachableTime() time.Duration {
	if !n.now.Before(n.redrawAt) {
		half := n.cfg.BaseReachableTime / 2
		n.reachableTime = n.random.Between(minRandomHalves*half, maxRandomHalves*half)
		n.redrawAt = n.now.Add(redrawReachable)
	}
	return n.reachableTime
}

// isUnicast reports whether a can be the address of one node on the link.
func isUnicast(a netip.Addr) bool {
	return a.Is6() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}
