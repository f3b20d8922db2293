package main

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/nd"
)

// tables are what gVisor tells of its addresses, and does not keep in a form
// that can be asked for.
type tables struct {
	mu         sync.Mutex
	addresses  map[netip.Addr]conformance.Entry
	duplicates []netip.Addr
	// groups are those that the host may be in.
	groups []netip.Addr
}

func newTables() *tables {
	return &tables{addresses: map[netip.Addr]conformance.Entry{}, groups: []netip.Addr{netip.IPv6LinkLocalAllNodes()}}
}

func (t *tables) joined(group netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.groups, group) {
		t.groups = append(t.groups, group)
	}
}

// watch returns what is told of an address.
func (t *tables) watch(a netip.Addr) stack.AddressDispatcher {
	t.joined(nd.SolicitedNode(a))
	return &watcher{t, a}
}

// watcher implements stack.AddressDispatcher.
type watcher struct {
	tables *tables
	addr   netip.Addr
}

func (w *watcher) OnChanged(l stack.AddressLifetimes, s stack.AddressAssignmentState) {
	t := w.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s == stack.AddressDisabled:
		delete(t.addresses, w.addr)
	case s == stack.AddressTentative:
		t.addresses[w.addr] = conformance.Entry{State: "tentative"}
		t.duplicates = slices.DeleteFunc(t.duplicates, func(d netip.Addr) bool { return d == w.addr })
	case l.Deprecated:
		t.addresses[w.addr] = conformance.Entry{State: "deprecated"}
	default:
		t.addresses[w.addr] = conformance.Entry{State: "preferred"}
	}
}

func (w *watcher) OnRemoved(why stack.AddressRemovalReason) {
	t := w.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.addresses, w.addr)
	if why == stack.AddressRemovalDADFailed {
		t.duplicates = append(t.duplicates, w.addr)
	}
}

// show adds the addresses to a view, and returns the groups to look for. The
// stack calls the watchers with its own locks held, and is not called here.
func (t *tables) show(v *conformance.View) (groups []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.Copy(v.Addresses, t.addresses)
	v.Duplicates = slices.Clone(t.duplicates)
	return slices.Clone(t.groups)
}

// View implements hostline.Host.
func (h *host) View() (conformance.View, error) {
	v := conformance.View{
		Addresses: map[netip.Addr]conformance.Entry{}, Neighbors: map[netip.Addr]conformance.Entry{}, Routes: h.routes.view(),
	}
	for _, g := range h.tables.show(&v) {
		in, err := h.stack.IsInGroup(nic, address(g))
		if err != nil {
			return v, failure(err)
		}
		if in {
			v.Groups = append(v.Groups, g)
		}
	}
	neighbors, err := h.stack.Neighbors(nic, ipv6.ProtocolNumber)
	for _, n := range neighbors {
		if n.State == stack.Unreachable { // which is what gVisor keeps of one that is gone
			continue
		}
		e := conformance.Entry{State: strings.ToLower(n.State.String())}
		copy(e.LinkAddr[:], n.LinkAddr)
		v.Neighbors[addr(n.Addr)] = e
	}
	return v, failure(err)
}

// dispatcher hears of Neighbor Discovery: it implements ipv6.NDPDispatcher. Its
// methods may not call into the stack, so the routing table is written by a
// goroutine of its own, one change after the other.
type dispatcher struct {
	tables *tables
	routes *routes
	once   sync.Once
	later  chan func()
}

// change has the routing table changed soon.
func (d *dispatcher) change(f func()) {
	d.once.Do(func() {
		d.later = make(chan func(), 1024)
		go func() {
			for f := range d.later {
				f()
			}
		}()
	})
	d.later <- f
}

// discovered is the owner of a route that a router advertised.
type discovered struct {
	prefix netip.Prefix
	router netip.Addr
}

func prefixOf(s tcpip.Subnet) netip.Prefix { return netip.PrefixFrom(addr(s.ID()), s.Prefix()) }

func (d *dispatcher) OnOffLinkRouteUpdated(_ tcpip.NICID, to tcpip.Subnet, router tcpip.Address, p header.NDPRoutePreference) {
	o := discovered{prefixOf(to), addr(router)}
	d.change(func() { d.routes.add(o, o.prefix, o.router, ranks[p]) })
}

func (d *dispatcher) OnOffLinkRouteInvalidated(_ tcpip.NICID, to tcpip.Subnet, router tcpip.Address) {
	o := discovered{prefixOf(to), addr(router)}
	d.change(func() { d.routes.remove(o) })
}

func (d *dispatcher) OnOnLinkPrefixDiscovered(_ tcpip.NICID, to tcpip.Subnet) {
	o := discovered{prefix: prefixOf(to)}
	d.change(func() { d.routes.add(o, o.prefix, netip.Addr{}, byHand) })
}

func (d *dispatcher) OnOnLinkPrefixInvalidated(_ tcpip.NICID, to tcpip.Subnet) {
	o := discovered{prefix: prefixOf(to)}
	d.change(func() { d.routes.remove(o) })
}

func (d *dispatcher) OnAutoGenAddress(_ tcpip.NICID, a tcpip.AddressWithPrefix) stack.AddressDispatcher {
	return d.tables.watch(addr(a.Address))
}

// The rest is told to the watcher of the address, or is of no use to a host
// without programs.

func (*dispatcher) OnDuplicateAddressDetectionResult(tcpip.NICID, tcpip.Address, stack.DADResult) {}

func (*dispatcher) OnAutoGenAddressDeprecated(tcpip.NICID, tcpip.AddressWithPrefix) {}

func (*dispatcher) OnAutoGenAddressInvalidated(tcpip.NICID, tcpip.AddressWithPrefix) {}

func (*dispatcher) OnRecursiveDNSServerOption(tcpip.NICID, []tcpip.Address, time.Duration) {}

func (*dispatcher) OnDNSSearchListOption(tcpip.NICID, []string, time.Duration) {}

func (*dispatcher) OnDHCPv6Configuration(tcpip.NICID, ipv6.DHCPv6ConfigurationFromNDPRA) {}
