package rib

import (
	"net/netip"
	"slices"
)

// address is the record of an assigned address: all that Withdraw has to take
// back. fe80::/64 is not in it; every link-local address holds that.
type address struct {
	order   uint64 // 1 for the first to be assigned, and so on
	class   class
	anycast bool
	onLink  *route // stated with the address; nil: no statement
}

// assign makes an address that DAD has assigned visible, or changes its flags:
// first its local route, then the prefixes that it holds.
//
// Deviation: RFC 4861, section 5.1, has the link-local prefix on the Prefix
// List always. Here it is a route, which no address brings before it is
// assigned; without an assigned link-local address there is no source for a
// link-local destination anyway.
func (t *Table) assign(ev Assign) {
	addr := ev.Addr.WithZone("")
	if !isUnicast(addr) || ev.PrefixLen < 0 || ev.PrefixLen > 128 {
		return
	}
	owner := Owner{Kind: OwnerAddress, Addr: addr}
	old, again := t.addresses[addr.As16()]
	now := address{order: old.order, class: t.sources.classOf(addr, ev), anycast: ev.Anycast}
	if !again {
		t.assigned++
		now.order = t.assigned
	}

	if !again || old.anycast != now.anycast {
		t.locals = t.locals.with(t.edit, local{addr.As16(), now.anycast})
		t.snapshot = nil
	}
	t.replaceSource(addr, old, now)
	if !again {
		t.emit(Added{localRoute(single(addr))})
		if linkLocalPrefix.Contains(addr) {
			t.holdByAddress(linkLocalPrefix, owner)
		}
	}
	// An impossible prefix is no statement, and fe80::/64 needs none. The new
	// statement comes before the old one goes: a prefix that is in both stays.
	if p := ev.OnLink.Masked(); validatePrefix(p) == nil {
		now.onLink = t.holdByAddress(p, owner)
	}
	if old.onLink != nil {
		t.releaseByAddress(old.onLink, owner)
	}
	t.addresses[addr.As16()] = now
}

// withdraw takes back what assign brought, in this order: the candidate
// source, the local route, the prefixes.
func (t *Table) withdraw(addr netip.Addr) {
	addr = addr.WithZone("")
	old, ok := t.addresses[addr.As16()]
	if !ok || !addr.Is6() {
		return
	}
	owner := Owner{Kind: OwnerAddress, Addr: addr}
	delete(t.addresses, addr.As16())
	t.replaceSource(addr, old, address{anycast: true})
	t.locals = t.locals.without(t.edit, addr.As16())
	t.snapshot = nil
	t.emit(Removed{localRoute(single(addr))})
	if linkLocalPrefix.Contains(addr) {
		t.releaseByAddress(t.find(onLinkKey(linkLocalPrefix)), owner)
	}
	if old.onLink != nil {
		t.releaseByAddress(old.onLink, owner)
	}
}

// replaceSource keeps the candidate sources: an anycast address is none
// (RFC 6724, section 4).
func (t *Table) replaceSource(addr netip.Addr, old, now address) {
	a := bitsOf(addr)
	wasSource, isSource := old.order > 0 && !old.anycast, !now.anycast
	if wasSource && isSource && old.class == now.class {
		return
	}
	if wasSource {
		t.sources.remove(t.edit, old.class, a)
	}
	if isSource {
		t.sources.insert(t.edit, now.class, candidate{a, now.order})
	}
	t.snapshot = nil
}

func (t *Table) holdByAddress(p netip.Prefix, owner Owner) *route {
	r := t.find(onLinkKey(p))
	if r == nil {
		r = t.newRoute(onLinkKey(p))
	}
	r.addresses++
	t.publish(r, owner)
	return r
}

func (t *Table) releaseByAddress(r *route, owner Owner) {
	last := t.view(r, owner)
	r.addresses--
	t.unpublish(r, last)
}

// addressOwners returns for each route the addresses that hold it, in order.
func (t *Table) addressOwners() map[*route][]Owner {
	owners := make(map[*route][]Owner)
	linkLocal := t.find(onLinkKey(linkLocalPrefix))
	for a, rec := range t.addresses {
		owner := Owner{Kind: OwnerAddress, Addr: netip.AddrFrom16(a)}
		if linkLocalPrefix.Contains(owner.Addr) {
			owners[linkLocal] = append(owners[linkLocal], owner)
		}
		if rec.onLink != nil {
			owners[rec.onLink] = append(owners[rec.onLink], owner)
		}
	}
	for _, o := range owners {
		slices.SortFunc(o, Owner.compare)
	}
	return owners
}

func onLinkKey(p netip.Prefix) Key {
	return Key{Prefix: p, Origin: OnLink, Metric: OnLinkMetric}
}

func single(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, 128) }

// localRoute is the route of an assigned address, whose /128 is p.
func localRoute(p netip.Prefix) Route {
	return Route{
		Key:    Key{Prefix: p, Origin: Local, Metric: LocalMetric},
		Owners: []Owner{{Kind: OwnerAddress, Addr: p.Addr()}},
	}
}
