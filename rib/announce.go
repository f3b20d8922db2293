package rib

import (
	"cmp"
	"net/netip"
	"slices"
)

// announcer is a router by the prefixes that it announced, immutable, the
// longest first.
type announcer struct{ prefixes []prefix }

// maxAnnouncedByOne bounds the prefixes of one router: they are searched one
// after the other.
const maxAnnouncedByOne = 64

// announce keeps which router advertised which prefix: "the host's
// characterization of each default router SHOULD include the prefixes it has
// announced" (RFC 8028, section 3.1).
func (t *Table) announce(router netip.Addr, p netip.Prefix) {
	if t.cfg.TypeA {
		return
	}
	if !isRouter(router) || validatePrefix(p) != nil {
		t.counters.AnnouncementsRefused++
		return
	}
	now := t.announcer(router)
	i, again := now.search(p)
	switch {
	case again:
		return
	case t.announced >= t.cfg.MaxAnnouncements || len(now.prefixes) >= maxAnnouncedByOne:
		t.counters.AnnouncementsRefused++
		return
	}
	t.announced++
	t.setAnnouncer(router, announcer{slices.Insert(slices.Clip(now.prefixes), i, prefixOf(p))})
}

func (t *Table) renounce(router netip.Addr, p netip.Prefix) {
	if !router.Is6() || !p.Addr().Is6() {
		return
	}
	now := t.announcer(router)
	i, ok := now.search(p)
	if !ok {
		return
	}
	t.announced--
	t.setAnnouncer(router, announcer{slices.Delete(slices.Clone(now.prefixes), i, i+1)})
}

func (t *Table) announcer(router netip.Addr) (a announcer) {
	if t.announcers != nil {
		a, _ = t.announcers.Get(single(router))
	}
	return a
}

func (t *Table) setAnnouncer(router netip.Addr, a announcer) {
	t.announcers = with(t.announcers, single(router), a, len(a.prefixes) > 0)
	t.snapshot = nil
}

func (a announcer) search(p netip.Prefix) (int, bool) {
	return slices.BinarySearchFunc(a.prefixes, prefixOf(p), func(x, y prefix) int {
		return cmp.Or(cmp.Compare(y.bits, x.bits), cmp.Compare(x.addr.hi, y.addr.hi), cmp.Compare(x.addr.lo, y.addr.lo))
	})
}

// announced returns the prefixes that router announced.
func (s *Snapshot) announced(router [16]byte) []prefix {
	if s.announcers == nil {
		return nil
	}
	a, _ := s.announcers.Lookup(netip.AddrFrom16(router))
	return a.prefixes
}

// covering returns how long the longest prefix of a router is that covers src;
// -1: there is none.
func covering(announced []prefix, src bits128) int {
	for _, p := range announced {
		if p.contains(src) {
			return p.bits
		}
	}
	return -1
}
