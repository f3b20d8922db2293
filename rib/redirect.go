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

// redirects are the exceptions to the routes that routers told of: what
// RFC 4861, section 8.3, keeps in the Destination Cache.
type redirects struct {
	byKey    map[redirectKey]redirect
	byTarget map[netip.Addr]map[redirectKey]struct{}
	ends     timerq.Queue[redirectKey] // all have the same lifetime: the oldest first

	// table is for the data path: persistent, by destination; nil: there are
	// none.
	table *bart.Table[exceptions]
}

// redirectKey is the pair of addresses that a redirect is for. A zero src is
// any.
type redirectKey struct{ src, dst netip.Addr }

type redirect struct{ target, from netip.Addr }

// exceptions are the redirects of one destination, by source: a /128, or ::/0
// for any.
type exceptions struct{ bySource *bart.Table[[16]byte] }

func newRedirects() redirects {
	return redirects{
		byKey:    make(map[redirectKey]redirect),
		byTarget: make(map[netip.Addr]map[redirectKey]struct{}),
	}
}

func (k redirectKey) compare(o redirectKey) int {
	return cmp.Or(k.dst.Compare(o.dst), k.src.Compare(o.src))
}

func (k redirectKey) sources() netip.Prefix {
	if !k.src.IsValid() {
		return everything
	}
	return single(k.src)
}

// redirect makes the subsequent packets go to the target (RFC 4861,
// section 8.3). "The node SHOULD NOT use an NCE created by a Redirect to send
// packets if that NCE is in the UNREACHABLE state" (RFC 7048, section 3).
func (t *Table) redirect(ev Redirect) {
	k, now := redirectKey{ev.Src, ev.Dst}, redirect{ev.Target, ev.From}
	if ValidateRedirect(ev) != nil || t.reachOf(ev.Target).state == ReachFailed {
		t.counters.RedirectsRefused++
		return
	}
	end := t.now.Add(t.cfg.RedirectLifetime)
	old, again := t.redirects.byKey[k]
	if again && old == now {
		t.redirects.ends.Set(k, end)
		return
	}
	t.holdGateway(now.target) // first, so that what is known of it stays
	switch {
	case again:
		t.endRedirects([]redirectKey{k})
	case len(t.redirects.byKey) >= t.cfg.MaxRedirects:
		t.popRedirect(end) // none ends later
		t.counters.RedirectsEvicted++
	}
	t.redirects.insert(k, now)
	t.redirects.ends.Set(k, end)
	t.snapshot = nil
	t.emit(Added{t.redirects.view(k)})
}

// unredirect ends the redirects that lead to target.
func (t *Table) unredirect(target netip.Addr) {
	keys := make([]redirectKey, 0, len(t.redirects.byTarget[target]))
	for k := range t.redirects.byTarget[target] {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, redirectKey.compare)
	t.endRedirects(keys)
}

func (t *Table) endRedirects(keys []redirectKey) {
	for _, k := range keys {
		last := t.redirects.view(k)
		t.redirects.ends.Clear(k)
		t.dropRedirect(k, last)
	}
}

// popRedirect ends the oldest redirect if its lifetime is over at now.
func (t *Table) popRedirect(now time.Time) {
	if k, at, ok := t.redirects.ends.PopDue(now); ok {
		last := t.redirects.view(k)
		last.Expires = at
		t.dropRedirect(k, last)
	}
}

func (t *Table) dropRedirect(k redirectKey, last Route) {
	target := t.redirects.delete(k)
	t.releaseGateway(target)
	t.snapshot = nil
	t.emit(Removed{last})
}

func (r *redirects) insert(k redirectKey, d redirect) {
	r.byKey[k] = d
	if r.byTarget[d.target] == nil {
		r.byTarget[d.target] = make(map[redirectKey]struct{})
	}
	r.byTarget[d.target][k] = struct{}{}
	bySource := with(r.of(k.dst), k.sources(), d.target.As16(), true)
	r.table = with(r.table, single(k.dst), exceptions{bySource}, true)
}

func (r *redirects) delete(k redirectKey) (target netip.Addr) {
	target = r.byKey[k].target
	delete(r.byKey, k)
	delete(r.byTarget[target], k)
	if len(r.byTarget[target]) == 0 {
		delete(r.byTarget, target)
	}
	bySource := with(r.of(k.dst), k.sources(), [16]byte{}, false)
	r.table = with(r.table, single(k.dst), exceptions{bySource}, bySource != nil)
	return target
}

// of returns the redirects of dst by source, nil if there are none.
func (r *redirects) of(dst netip.Addr) *bart.Table[[16]byte] {
	if r.table == nil {
		return nil
	}
	e, _ := r.table.Get(single(dst))
	return e.bySource
}

// all returns the keys of all redirects, in order.
func (r *redirects) all() []redirectKey {
	return slices.SortedFunc(maps.Keys(r.byKey), redirectKey.compare)
}

// view is the redirect of k as Routes lists it.
func (r *redirects) view(k redirectKey) Route {
	d := r.byKey[k]
	v := Route{Key: Key{Prefix: single(k.dst), Origin: Redirected}, Src: k.src}
	if d.target != k.dst {
		v.NextHop = d.target
	}
	if d.from.IsValid() {
		v.Owners = []Owner{{Kind: OwnerRouter, Addr: d.from}}
	}
	v.Expires, _ = r.ends.At(k)
	return v
}

// redirected returns where a redirect sends packets from src to dst: one for
// this source, else one for any. dst is no own address: that is not sent away.
func (s *Snapshot) redirected(src, dst [16]byte) (target [16]byte, ok bool) {
	e, ok := s.redirects.Lookup(netip.AddrFrom16(dst))
	if !ok {
		return target, false
	}
	target, ok = e.bySource.Lookup(netip.AddrFrom16(src))
	return target, ok
}
