package nd

import (
	"net/netip"
	"time"
)

// never is the end of an infinite lifetime. It is later than any other by more
// than a time.Duration can hold, so that the time until then is Infinity.
var never = time.Unix(1<<40, 0)

// slaacPrefix is a prefix that addresses are formed for.
//
// Its lifetimes are those of its stable address, also if it has none, and
// temporary addresses have the lower of these and their own. To hold the
// two-hour rule against the prefix alone comes to the same as to hold it
// against each address.
type slaacPrefix struct {
	prefix           netip.Prefix
	kind             AutoconfKind // of its stable address
	seq              uint64
	preferred, valid time.Time
	// expired prefixes are kept if an identifier was exhausted, which holds
	// for as long as the interface is attached to the link.
	expired bool

	stable      *slaacAddr // nil: none
	counter     uint32     // DAD_Counter
	temporaries []*slaacAddr
	// What came of the forming of addresses.
	stableAttempts, temporaryAttempts attempts
}

// attempts is the outcome of forming addresses of one kind for one prefix.
type attempts struct {
	failed int  // one after the other
	barred bool // no more attempts
}

func (m *Autoconf) newPrefix(prefix netip.Prefix, kind AutoconfKind) *slaacPrefix {
	m.entered++
	return &slaacPrefix{prefix: prefix, kind: kind, seq: m.entered, counter: m.counter(prefix)}
}

// advertised is RFC 4862, section 5.5.3.
func (m *Autoconf) advertised(ev AutoconfPrefix) {
	prefix := ev.Prefix.Masked()
	switch {
	case !ev.Autonomous: // (a)
		return
	case !prefix.IsValid() || !prefix.Addr().Is6() || prefix.Addr().IsMulticast():
		return
	case ev.PreferredLifetime < 0 || ev.ValidLifetime < 0:
		return
	case prefix.Addr().IsLinkLocalUnicast(): // (b)
		return
	case ev.PreferredLifetime > ev.ValidLifetime: // (c)
		m.counters.LifetimesReversed++
		return
	case prefix.Bits()+m.cfg.IdentifierBits != 128: // (d)
		m.counters.PrefixesOfOddLength++
		return
	}
	p := m.prefixes[prefix]
	switch {
	case p != nil && !p.expired:
		m.refresh(p, ev.PrefixInformation)
	case ev.ValidLifetime == 0 || m.elsewhere(prefix):
		return
	default:
		if p = m.enter(prefix); p == nil {
			return
		}
		p.preferred, p.valid = m.until(ev.PreferredLifetime), m.until(ev.ValidLifetime)
	}
	m.setTimer(slaacTimer{prefix: p, kind: expiry}, p.valid)
	m.spread(p)
	if ev.ValidLifetime > 0 && !m.elsewhere(prefix) {
		m.form(p, ev.FromMulticast)
	}
	m.replenish(p, ev.FromMulticast)
}

// elsewhere reports whether another than this machine has configured an
// address with this prefix, where that matters (RFC 2462, section 5.5.3 (d)).
func (m *Autoconf) elsewhere(prefix netip.Prefix) bool {
	return m.cfg.MatchAnyAddress && m.claimed[prefix] > 0
}

// enter makes room for a prefix, or returns nil.
func (m *Autoconf) enter(prefix netip.Prefix) *slaacPrefix {
	if p := m.prefixes[prefix]; p != nil {
		p.expired = false
		return p
	}
	if len(m.prefixes) >= m.cfg.MaxPrefixes && !m.evict() {
		m.counters.PrefixesRefused++
		return nil
	}
	p := m.newPrefix(prefix, StableAddress)
	m.prefixes[prefix] = p
	return p
}

// evict deletes the oldest expired prefix.
func (m *Autoconf) evict() bool {
	var oldest *slaacPrefix
	for _, p := range m.prefixes {
		if p.expired && (oldest == nil || p.seq < oldest.seq) {
			oldest = p
		}
	}
	if oldest == nil {
		return false
	}
	delete(m.prefixes, oldest.prefix)
	return true
}

// refresh is RFC 4862, section 5.5.3 (e). No advertisement is authenticated.
func (m *Autoconf) refresh(p *slaacPrefix, pio PrefixInformation) {
	remaining := m.left(p.valid)
	switch {
	case pio.ValidLifetime > twoHours || pio.ValidLifetime > remaining: // 1)
		p.valid = m.until(pio.ValidLifetime)
	case remaining <= twoHours: // 2)
		if m.cfg.PreferredOnlyWithValid {
			return // RFC 2462: "ignore the prefix"
		}
	default: // 3)
		p.valid = m.now.Add(twoHours)
	}
	// "Note that the preferred lifetime of the corresponding address is always
	// reset to the Preferred Lifetime in the received Prefix Information
	// option, regardless of whether the valid lifetime is also reset or
	// ignored."
	p.preferred = m.until(pio.PreferredLifetime)
}

// spread gives the addresses of p its lifetimes.
func (m *Autoconf) spread(p *slaacPrefix) {
	if p.stable != nil {
		m.setLifetimes(p.stable)
	}
	for _, a := range p.temporaries {
		m.setLifetimes(a)
	}
	m.setRegeneration(p)
}

// expire ends the valid lifetime of p. Its addresses end by themselves, at the
// same moment at the latest.
func (m *Autoconf) expire(p *slaacPrefix) {
	m.timers.Clear(slaacTimer{prefix: p, kind: retry})
	p.expired = true
	if !p.stableAttempts.barred && !p.temporaryAttempts.barred {
		delete(m.prefixes, p.prefix)
	}
}

func (m *Autoconf) until(d time.Duration) time.Time {
	if d == Infinity {
		return never
	}
	return m.now.Add(d)
}

func (m *Autoconf) left(t time.Time) time.Duration { return max(t.Sub(m.now), 0) }

func (m *Autoconf) setTimer(t slaacTimer, at time.Time) {
	if at.Equal(never) || !at.After(m.now) {
		m.timers.Clear(t)
		return
	}
	m.timers.Set(t, at)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
