package stack

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/tapstack/tapstack/rib"
)

// RouteConfig is a route set by hand. Without Via it states that Prefix is
// on-link.
type RouteConfig struct {
	Prefix netip.Prefix
	Via    netip.Addr
	Metric uint32 // 0: 512, or 256 for an on-link prefix
}

func (r RouteConfig) key() rib.Key {
	k := onLinkKey(r.Prefix)
	if r.Via.IsValid() {
		k.NextHop, k.Origin, k.Metric = r.Via, rib.StaticOrigin, rib.StaticMetric
	}
	if r.Metric != 0 {
		k.Metric = r.Metric
	}
	return k
}

func onLinkKey(p netip.Prefix) rib.Key {
	return rib.Key{Prefix: p, Origin: rib.OnLink, Metric: rib.OnLinkMetric}
}

// runRIB reports route changes; the new snapshot is published later.
func (c *Core) runRIB(actions []rib.Action) {
	for _, act := range actions {
		switch act := act.(type) {
		case rib.Added:
			c.notifyRoute(RouteAdded, act.Route)
			c.newGateway(act.Route)
		case rib.Removed:
			c.notifyRoute(RouteRemoved, act.Route)
		}
	}
	c.unpublished = true
}

func (c *Core) notifyRoute(t EventType, r rib.Route) {
	c.notify(Event{Type: t, Prefix: r.Prefix, NextHop: r.NextHop, State: r.Origin.String()})
}

// staticRoutes are the routes set by hand. They survive a link that goes down,
// though they are not in the table meanwhile.
type staticRoutes struct{ keys map[rib.Key]struct{} }

func (s *staticRoutes) sorted() []rib.Key {
	keys := make([]rib.Key, 0, len(s.keys))
	for k := range s.keys {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b rib.Key) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
			cmp.Compare(a.Metric, b.Metric), a.NextHop.Compare(b.NextHop))
	})
	return keys
}

func (c *Core) addRoute(r RouteConfig) error {
	add := rib.Add{Key: r.key(), Owner: rib.Owner{Kind: rib.OwnerStatic}}
	if err := rib.Validate(add); err != nil {
		return &InvalidArgumentError{"route " + r.Prefix.String(), err.Error()}
	}
	if _, exists := c.statics.keys[add.Key]; exists {
		return ErrRouteExists
	}
	if len(c.statics.keys) >= c.cfg.MaxRoutes {
		return ErrLimit
	}
	if c.statics.keys == nil {
		c.statics.keys = make(map[rib.Key]struct{})
	}
	c.statics.keys[add.Key] = struct{}{}
	if c.up && !c.disabled {
		c.runRIB(c.routes.Step(c.now, add))
	}
	return nil
}

// removeRoute takes back the one hold that addRoute took. Without a Metric it
// means the route with the default one.
func (c *Core) removeRoute(r RouteConfig) error {
	key := r.key()
	if _, exists := c.statics.keys[key]; !exists {
		return ErrNoSuchRoute
	}
	delete(c.statics.keys, key)
	if c.up && !c.disabled {
		c.runRIB(c.routes.Step(c.now, rib.Remove{Key: key, Owner: rib.Owner{Kind: rib.OwnerStatic}}))
	}
	return nil
}

// Routes lists the routes with their owners.
func (c *Core) Routes() []rib.Route { return c.routes.Routes() }

// Snapshot is what the data path reads: immutable, and safe to use from any
// goroutine.
func (c *Core) Snapshot() *rib.Snapshot { return c.routes.Snapshot() }

// Up reports whether the link is up.
func (c *Core) Up() bool { return c.up }

// IPv6Disabled reports whether the interface's own link-local address was a
// duplicate (RFC 4862, section 5.4.5).
func (c *Core) IPv6Disabled() bool { return c.disabled }

// Counters returns the counts so far, those of the machines among them.
func (c *Core) Counters() CoreCounters {
	all := c.counters
	neighbors, routers := c.neighbors.Counters(), c.routers.Counters()
	all.NeighborsEvicted, all.NeighborsRefused = neighbors.Evicted, neighbors.EntriesRefused
	all.ResolutionsRefused = neighbors.ResolutionsRefused
	all.RedirectsEvicted = c.routes.Counters().RedirectsEvicted
	all.RoutersRefused, all.PrefixesRefused, all.RoutesRefused = routers.RoutersRefused, routers.PrefixesRefused, routers.RoutesRefused
	c.countGroups(&all)
	return all
}
