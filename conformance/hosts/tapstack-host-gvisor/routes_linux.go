package main

import (
	"net/netip"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/tapstack/tapstack/conformance"
)

// rank is what puts routes to one prefix in order.
type rank int

const (
	byHand rank = iota // and prefixes that are on the link
	high
	medium
	low
)

var ranks = map[header.NDPRoutePreference]rank{
	header.HighRoutePreference: high, header.MediumRoutePreference: medium, header.LowRoutePreference: low,
}

// route is a row of the routing table. Its owner removes it.
type route struct {
	owner  any
	prefix netip.Prefix
	via    netip.Addr
	rank   rank
}

// routes is the routing table. gVisor takes the first route of those with the
// longest prefix.
type routes struct {
	install func([]tcpip.Route)
	mu      sync.Mutex
	rows    []route
}

func newRoutes(install func([]tcpip.Route)) *routes { return &routes{install: install} }

// add adds a route in the place of the one that owner had.
func (r *routes) add(owner any, p netip.Prefix, via netip.Addr, k rank) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := route{owner, p, via, k}
	if at := r.find(owner); at >= 0 {
		r.rows[at] = row
	} else {
		r.rows = append(r.rows, row)
	}
	r.update()
}

// remove removes the route of owner and reports whether there was one.
func (r *routes) remove(owner any) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.find(owner)
	if at >= 0 {
		r.rows = slices.Delete(r.rows, at, at+1)
		r.update()
	}
	return at >= 0
}

func (r *routes) find(owner any) int {
	return slices.IndexFunc(r.rows, func(row route) bool { return row.owner == owner })
}

// update has the stack know the table. It is called with the lock held.
func (r *routes) update() {
	slices.SortStableFunc(r.rows, func(a, b route) int { return int(a.rank - b.rank) })
	var table []tcpip.Route
	for _, row := range r.rows {
		p := tcpip.AddressWithPrefix{Address: address(row.prefix.Addr()), PrefixLen: row.prefix.Bits()}
		table = append(table, tcpip.Route{Destination: p.Subnet(), Gateway: address(row.via), NIC: nic})
	}
	r.install(table)
}

func (r *routes) view() (all []conformance.Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range r.rows {
		all = append(all, conformance.Route{Prefix: row.prefix, Via: row.via})
	}
	return all
}
