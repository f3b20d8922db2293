package nd

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// slaacAddr is an autoconfigured address. It is tentative or assigned: what is
// here does not differ.
type slaacAddr struct {
	addr   netip.Addr
	prefix *slaacPrefix
	kind   AutoconfKind
	seq    uint64
	// What RFC 8981, section 3.4, allows a temporary address at most, counted
	// from its creation; never for others.
	mostPreferred, mostValid time.Time
	preferred, valid         time.Time
	deprecated               bool
}

// form forms the stable address of p, or its link-local address, unless it has
// one or waits for the next attempt.
func (m *Autoconf) form(p *slaacPrefix, fromMulticast bool) {
	_, waits := m.timers.At(slaacTimer{prefix: p, kind: retry})
	if p.stable != nil || waits || p.stableAttempts.barred || !p.valid.After(m.now) {
		return
	}
	addr := m.identifier(p).on(p.prefix)
	if m.acceptable(addr) {
		p.stable = m.add(&slaacAddr{addr: addr, prefix: p, kind: p.kind, mostPreferred: never, mostValid: never}, fromMulticast)
		return
	}
	// RFC 4862, section 5.5.3 (d): what is in the list already, because it was
	// configured by hand, is not added again. RFC 7217, section 5: it is
	// handled like a duplicate.
	if m.cfg.Identifiers != HardwareIdentifiers {
		m.stableFailed(p)
	}
}

func (m *Autoconf) identifier(p *slaacPrefix) InterfaceID {
	switch m.cfg.Identifiers {
	case StableIdentifiers:
		return StableIID(p.prefix, m.cfg.NetIface, m.cfg.NetworkID, p.counter, m.cfg.Secret)
	case RandomIdentifiers:
		return randomIID(m.random)
	}
	return EUI64(m.cfg.LinkAddr)
}

// acceptable reports whether a can be formed: its identifier is not reserved,
// and no other address of the interface has it in the same subnet (RFC 7217,
// section 5, and RFC 8981, section 3.3.1).
func (m *Autoconf) acceptable(a netip.Addr) bool {
	b := a.As16()
	return isUnicast(a) && !InterfaceID(b[8:]).IsReserved() && m.addrs[a] == nil && !m.isClaimed(a)
}

// add enters a and asks for its test.
func (m *Autoconf) add(a *slaacAddr, fromMulticast bool) *slaacAddr {
	m.entered++
	a.seq = m.entered
	m.addrs[a.addr] = a
	m.limit(a)
	a.deprecated = !a.preferred.After(m.now)
	m.emit(AddAddress{
		Addr: a.addr, PrefixLen: a.prefix.prefix.Bits(), Kind: a.kind,
		Hardware:        a.kind != TemporaryAddress && m.cfg.Identifiers == HardwareIdentifiers,
		SameIdentifier:  m.sameIdentifier(a),
		FromMulticastRA: fromMulticast,
		Preferred:       m.left(a.preferred), Valid: m.left(a.valid),
	})
	return a
}

// sameIdentifier reports whether a has the identifier of the link-local address,
// in the bits that both have.
func (m *Autoconf) sameIdentifier(a *slaacAddr) bool {
	if m.linkLocal == nil || m.linkLocal.stable == nil {
		return false
	}
	x, y := a.addr.As16(), m.linkLocal.stable.addr.As16()
	differ := binary.BigEndian.Uint64(x[8:]) ^ binary.BigEndian.Uint64(y[8:])
	return differ&(1<<m.cfg.IdentifierBits-1) == 0
}

// limit gives a the lifetimes of its prefix as far as it may have them, and
// reports whether they are others than before.
func (m *Autoconf) limit(a *slaacAddr) (changed bool) {
	preferred := earliest(a.prefix.preferred, a.mostPreferred)
	valid := earliest(a.prefix.valid, a.mostValid)
	changed = m.left(preferred) != m.left(a.preferred) || m.left(valid) != m.left(a.valid)
	a.preferred, a.valid = preferred, valid
	m.setTimer(slaacTimer{a.prefix, a, deprecation}, preferred)
	m.setTimer(slaacTimer{a.prefix, a, invalidation}, valid)
	return changed
}

func (m *Autoconf) setLifetimes(a *slaacAddr) {
	if !m.limit(a) {
		return
	}
	m.emit(UpdateLifetimes{Addr: a.addr, Preferred: m.left(a.preferred), Valid: m.left(a.valid)})
	if a.preferred.After(m.now) {
		a.deprecated = false
	} else {
		m.deprecate(a)
	}
}

// deprecate is RFC 4862, section 5.5.4.
func (m *Autoconf) deprecate(a *slaacAddr) {
	if !a.deprecated {
		a.deprecated = true
		m.emit(DeprecateAddress{a.addr})
	}
}

func (m *Autoconf) remove(a *slaacAddr) {
	m.drop(a)
	m.emit(RemoveAddress{a.addr})
}

// drop deletes a without a word.
func (m *Autoconf) drop(a *slaacAddr) {
	p := a.prefix
	delete(m.addrs, a.addr)
	m.timers.Clear(slaacTimer{p, a, deprecation})
	m.timers.Clear(slaacTimer{p, a, invalidation})
	if p.stable == a {
		p.stable = nil
		return
	}
	p.temporaries = slices.DeleteFunc(p.temporaries, func(t *slaacAddr) bool { return t == a })
}

func (m *Autoconf) assigned(addr netip.Addr) {
	a := m.addrs[addr]
	if a == nil {
		return
	}
	p := a.prefix
	if a.kind == TemporaryAddress {
		p.temporaryAttempts.failed = 0
		return
	}
	p.stableAttempts.failed = 0
	// RFC 7217, section 6: what is worth keeping is "the DAD_Counter value
	// employed": one that grew in vain would only make the next address
	// another one.
	if m.cfg.Identifiers == StableIdentifiers && p.counter != m.counter(p.prefix) {
		c := DADCounter{p.prefix, p.counter}
		m.save(c)
		m.emit(SaveCounter(c))
	}
}

func (m *Autoconf) duplicate(addr netip.Addr) {
	a := m.addrs[addr]
	switch {
	case a == nil:
	case a.kind == TemporaryAddress:
		m.drop(a)
		m.temporaryFailed(a.prefix)
		m.replenish(a.prefix, false)
	default:
		m.drop(a)
		m.stableFailed(a.prefix)
	}
}

// stableFailed is RFC 7217, section 6. There is no next attempt with a
// link-layer address's identifier, which is always the same (RFC 4862, section
// 5.4.5), and no fall-back to identifiers of another kind.
func (m *Autoconf) stableFailed(p *slaacPrefix) {
	t := &p.stableAttempts
	t.failed++
	if m.cfg.Identifiers == HardwareIdentifiers || t.failed > idgenRetries {
		m.exhaust(p, t, p.kind)
		return
	}
	p.counter++
	m.timers.Set(slaacTimer{prefix: p, kind: retry}, m.now.Add(m.random.Between(0, idgenDelay)))
}

func (m *Autoconf) exhaust(p *slaacPrefix, t *attempts, kind AutoconfKind) {
	t.barred = true
	m.emit(IdentifiersExhausted{Prefix: p.prefix, Kind: kind})
}

func (m *Autoconf) removed(addr netip.Addr) {
	a := m.addrs[addr]
	if a == nil {
		return
	}
	if a.kind == TemporaryAddress {
		a.prefix.temporaryAttempts.barred = true
	} else {
		a.prefix.stableAttempts.barred = true
	}
	m.drop(a)
}
