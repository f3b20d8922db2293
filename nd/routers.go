package nd

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/internal/timerq"
)

// RouterConfig parametrises Routers. The zero value is RFC 4861.
//
// The bounds protect from floods: what is known never gives way to what is
// new, which is refused and counted. Refused or not, an advertisement's
// parameters count, and its autonomous prefixes go to autoconfiguration, which
// has bounds of its own.
type RouterConfig struct {
	MaxRtrSolicitations     int           // 0 means 3
	RtrSolicitationInterval time.Duration // 0 means 4 s
	MaxRtrSolicitationDelay time.Duration // 0 means 1 s

	// Backoff is RFC 7559: solicitations go on, less and less often, until an
	// advertisement brings a default route. Otherwise there are
	// MaxRtrSolicitations at most.
	Backoff bool

	// LinkMTU is the MTU in use before a router advertises another; 0 means
	// 1,500.
	LinkMTU int
	// MaxMTU is the largest that a router can set: the link type's default in
	// RFC 2461, its maximum in RFC 4861; 0 means LinkMTU.
	MaxMTU int

	// Preferences makes the host one of type C in RFC 4191: the default
	// router preference and Route Information options count. Otherwise, type
	// A, it ignores both.
	Preferences bool

	// StickyFlags is RFC 2462, section 5.5.3: once the flag M or O was
	// advertised it counts as set until Disable, and M implies O (section
	// 5.2). Otherwise both are as they were advertised last.
	StickyFlags bool

	// MaxRouters bounds the Default Router List, and apart from it the routers
	// that are not on it but are remembered for what else they advertise; 0
	// means 16, and 2 is the least (RFC 4861, section 6.3.4). A router that
	// leaves the list when there are too many of the others is forgotten
	// altogether.
	MaxRouters int
	// MaxPrefixes bounds the prefixes that are announced, and the holds on
	// on-link ones, of one router and of all; MaxRoutes the routes to more
	// specific prefixes. 0 means 32 of one router and 256 of all.
	MaxPrefixesPerRouter, MaxPrefixes int
	MaxRoutesPerRouter, MaxRoutes     int
	// MaxDNS bounds the name servers, and the search domains, of one router;
	// 0 means 16.
	MaxDNS int
	// MaxUnknown bounds the octets of other options that are kept of one
	// router; 0 means 1,024.
	MaxUnknown int
}

const (
	defaultLinkMTU = 1500 // RFC 2464, section 2
	minLinkMTU     = 1280 // RFC 8200, section 5
	// minRouters is how many a host must retain (RFC 4861, section 6.3.4).
	minRouters = 2
)

func (c RouterConfig) withDefaults() RouterConfig {
	setDefault(&c.MaxRtrSolicitations, 3)
	setDefault(&c.RtrSolicitationInterval, 4*time.Second)
	setDefault(&c.MaxRtrSolicitationDelay, time.Second)
	setDefault(&c.LinkMTU, defaultLinkMTU)
	setDefault(&c.MaxMTU, c.LinkMTU)
	setDefault(&c.MaxRouters, 16)
	setDefault(&c.MaxPrefixesPerRouter, 32)
	setDefault(&c.MaxPrefixes, 256)
	setDefault(&c.MaxRoutesPerRouter, 32)
	setDefault(&c.MaxRoutes, 256)
	setDefault(&c.MaxDNS, 16)
	setDefault(&c.MaxUnknown, 1<<10)
	c.MaxRouters = max(c.MaxRouters, minRouters)
	return c
}

// RouterCounters count what Routers did and refused, since its start.
type RouterCounters struct {
	Solicits uint64
	Adverts  uint64
	// AdvertsIgnored came while the interface was disabled.
	AdvertsIgnored uint64
	// RoutersRefused counts advertisements of routers for which there was no
	// room, and routers forgotten because there was none.
	RoutersRefused uint64
	// PrefixesRefused, RoutesRefused, DNSRefused and UnknownRefused count what
	// there was no room for, each time that it was advertised.
	PrefixesRefused, RoutesRefused, DNSRefused, UnknownRefused uint64
	// MTUsRefused were smaller than 1,280 or too large for the link.
	MTUsRefused uint64
}

// Routers is the host side of router discovery on one interface: it solicits
// routers (RFC 4861, section 6.3.7; RFC 7559), and keeps the Default Router
// List, the Prefix List and the rest of what they advertise until it ends
// (RFC 4861, sections 6.3.4 and 6.3.5; RFC 4191).
//
// Whatever is learned is held by the router that advertised it, so that no
// router ends what another one said. Choosing among the routes is left to
// package rib, and what a prefix means for addresses to autoconfiguration.
//
// Every method must be called from one goroutine at a time.
type Routers struct {
	cfg      RouterConfig // LinkMTU and MaxMTU change
	random   Random
	now      time.Time
	out      []RouterAction
	counters RouterCounters
	timers   timerq.Queue[routersTimer]

	enabled  bool
	source   SetSource
	solicits solicitation
	params   SetParameters // as they are now; zero: never advertised
	flags    Managed

	routers map[netip.Addr]*router
	// Of all routers together.
	defaults int
	held     tally
	seq      uint64 // of the last lease
}

// routersTimer is what can be due: a solicitTimer or a *lease.
type routersTimer interface{ fire(r *Routers) }

// NewRouters returns a machine that knows no router and is not enabled.
func NewRouters(cfg RouterConfig, random Random) *Routers {
	cfg = cfg.withDefaults()
	return &Routers{
		cfg:     cfg,
		random:  random,
		source:  SetSource{Addr: netip.IPv6Unspecified()},
		params:  SetParameters{MTU: cfg.LinkMTU},
		routers: make(map[netip.Addr]*router),
	}
}

// Step does what is due at or before now, in time order, and then applies ev.
// A now that is earlier than one seen before counts as the latest seen.
func (r *Routers) Step(now time.Time, ev RouterEvent) []RouterAction {
	r.fireDue(now)
	switch ev := ev.(type) {
	case Enable:
		r.enabled = true
		r.beginSoliciting(ev.Delayed)
	case Disable:
		r.disable()
	case SetSource:
		r.setSource(ev)
	case Advert:
		r.advert(ev)
	case NotRouter:
		r.notRouter(ev.Addr)
	case Forget:
		if rt := r.routers[ev.Addr]; rt != nil {
			r.forget(rt)
		}
	case SetLinkMTU:
		r.cfg.LinkMTU, r.cfg.MaxMTU, r.params.MTU = ev.MTU, ev.MTU, ev.MTU
	}
	return r.take()
}

// Advance does what is due at or before now.
func (r *Routers) Advance(now time.Time) []RouterAction {
	r.fireDue(now)
	return r.take()
}

// Deadline returns when Advance has to be called next.
func (r *Routers) Deadline() (t time.Time, ok bool) { return r.timers.Next() }

// Counters returns the counters.
func (r *Routers) Counters() RouterCounters { return r.counters }

func (r *Routers) fireDue(now time.Time) {
	if now.Before(r.now) {
		now = r.now
	}
	for {
		t, at, ok := r.timers.PopDue(now)
		if !ok {
			break
		}
		r.now = at
		t.fire(r)
	}
	r.now = now
}

func (r *Routers) emit(a RouterAction) { r.out = append(r.out, a) }

func (r *Routers) take() []RouterAction {
	out := r.out
	r.out = nil
	return out
}

func (r *Routers) disable() {
	r.stopSoliciting()
	for _, rt := range r.sorted() {
		r.forget(rt)
	}
	r.enabled = false
	r.source = SetSource{Addr: netip.IPv6Unspecified()}
	r.solicits = solicitation{}
	r.params = SetParameters{MTU: r.cfg.LinkMTU}
	r.flags = Managed{}
}

func (r *Routers) setSource(ev SetSource) {
	if !r.enabled {
		return
	}
	if !isUnicast(ev.Addr) {
		// RFC 4861, section 4.1: the Source Link-Layer Address option "MUST
		// NOT be included if the Source Address is the unspecified address".
		ev = SetSource{Addr: netip.IPv6Unspecified()}
	}
	r.source = ev
}

// sorted returns the routers, ordered by address.
func (r *Routers) sorted() []*router {
	all := make([]*router, 0, len(r.routers))
	for _, rt := range r.routers {
		all = append(all, rt)
	}
	slices.SortFunc(all, func(a, b *router) int { return a.info.Addr.Compare(b.info.Addr) })
	return all
}
