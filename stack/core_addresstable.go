package stack

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// addressPhase is how far an address has come. Only enabled addresses exist
// outside the Core and dad.
type addressPhase uint8

const (
	addressWaiting addressPhase = iota // for the link, for IPv6, or for a retry
	addressTesting
	addressOptimistic
	addressAssigned
)

// address is one record of the address table.
type address struct {
	cfg             AddressConfig
	origin          AddressOrigin
	state           addressPhase
	deprecated      bool
	hardware        bool // its identifier was made of the link-layer address
	sameIID         bool // it has the identifier of the link-local address
	fromMulticastRA bool // RFC 4862, section 5.4.2: its first probe is delayed
	kept            bool // it was assigned once, so it runs DAD again at link up
	request         RequestID
	seq             uint64
	ends            *lifetimes // nil: neither ends, as with nearly all of very many
}

// lifetimes are when those of an address end; zero: never.
type lifetimes struct{ preferred, valid time.Time }

func (a *address) addr() netip.Addr { return a.cfg.Prefix.Addr() }

func (a *address) enabled() bool { return a.state >= addressOptimistic }

func (a *address) isLinkLocal() bool { return a.addr().IsLinkLocalUnicast() }

func (a *address) view() Address {
	v := Address{
		Prefix: a.cfg.Prefix, Origin: a.origin, Anycast: a.cfg.Anycast,
	}
	if a.ends != nil {
		v.PreferredUntil, v.ValidUntil = a.ends.preferred, a.ends.valid
	}
	switch {
	case a.state == addressOptimistic:
		v.State = Optimistic
	case a.state == addressAssigned && a.deprecated:
		v.State = Deprecated
	case a.state == addressAssigned:
		v.State = Preferred
	}
	return v
}

// addressTable is the addresses of the interface in the order of their adding.
type addressTable struct {
	byAddr map[[16]byte]*address
	byID   map[RequestID]*address // those with a pending add; nil: none
	seq    uint64
}

func newAddressTable() addressTable {
	return addressTable{byAddr: make(map[[16]byte]*address)}
}

func (t *addressTable) get(a netip.Addr) (*address, bool) {
	r, ok := t.byAddr[a.As16()]
	return r, ok
}

func (t *addressTable) insert(a *address) {
	t.seq++
	a.seq = t.seq
	t.byAddr[a.addr().As16()] = a
	if a.request != 0 {
		if t.byID == nil {
			t.byID = make(map[RequestID]*address)
		}
		t.byID[a.request] = a
	}
}

// settle says that the add with this number is pending no more.
func (t *addressTable) settle(id RequestID) {
	if delete(t.byID, id); len(t.byID) == 0 {
		t.byID = nil // there may have been very many
	}
}

func (t *addressTable) delete(a *address) { delete(t.byAddr, a.addr().As16()) }

// inOrder lists every record; the caller may delete while it goes through.
func (t *addressTable) inOrder() []*address {
	all := make([]*address, 0, len(t.byAddr))
	for _, a := range t.byAddr {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *address) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// waitingAfter lists first, if it is not nil, then the others that wait: the
// link-local ones, then the rest.
func (t *addressTable) waitingAfter(first *address) []*address {
	waiting := slices.DeleteFunc(t.inOrder(), func(a *address) bool { return a.state != addressWaiting })
	place := func(a *address) int {
		switch {
		case a == first:
			return 0
		case a.isLinkLocal():
			return 1
		}
		return 2
	}
	slices.SortStableFunc(waiting, func(a, b *address) int { return cmp.Compare(place(a), place(b)) })
	return waiting
}

// configuredAddresses are those that the configuration names: they come back
// at each link up, whatever came of them before.
type configuredAddresses struct {
	order  []AddRequest     // the zero AddRequest: was removed
	byAddr map[[16]byte]int // in order
}

func (s *configuredAddresses) add(r AddRequest) {
	if s.byAddr == nil {
		s.byAddr = make(map[[16]byte]int)
	}
	s.remove(r.Prefix.Addr())
	r.ID = 0
	s.byAddr[r.Prefix.Addr().As16()] = len(s.order)
	s.order = append(s.order, r)
}

func (s *configuredAddresses) has(a netip.Addr) bool {
	_, ok := s.byAddr[a.As16()]
	return ok
}

func (s *configuredAddresses) remove(a netip.Addr) {
	if k, ok := s.byAddr[a.As16()]; ok {
		delete(s.byAddr, a.As16())
		s.order[k] = AddRequest{}
		s.tidy()
	}
}

// tidy takes out what was removed once it is more than what was not.
func (s *configuredAddresses) tidy() {
	if len(s.order) <= 2*len(s.byAddr) {
		return
	}
	s.order = slices.DeleteFunc(s.order, func(r AddRequest) bool { return !r.Prefix.IsValid() })
	for k, r := range s.order {
		s.byAddr[r.Prefix.Addr().As16()] = k
	}
}

// absent lists those that the table does not hold.
func (s *configuredAddresses) absent(t *addressTable) (rs []AddRequest) {
	for _, r := range s.order {
		if !r.Prefix.IsValid() {
			continue
		}
		if _, ok := t.get(r.Prefix.Addr()); !ok {
			rs = append(rs, r)
		}
	}
	return rs
}
