package nd

import "time"

// replenish forms a temporary address for p if none is preferred for longer
// than it takes to replace it (RFC 8981, sections 3.4 and 3.5). If the
// lifetimes of p are too short for that, the next advertisement has to be
// waited for. This is also why none is formed in response to an option that
// deprecates.
func (m *Autoconf) replenish(p *slaacPrefix, fromMulticast bool) {
	if !m.cfg.Temporary || m.now.Before(m.regenerateAt(p)) {
		return
	}
	for !p.temporaryAttempts.barred && m.left(p.preferred) > m.cfg.regenAdvance() {
		if 1+len(p.temporaries) >= m.cfg.MaxAddressesPerPrefix { // one is the stable address's
			m.counters.AddressesRefused++
			return
		}
		addr := randomIID(m.random).on(p.prefix)
		if !m.acceptable(addr) {
			m.temporaryFailed(p)
			continue
		}
		desync := m.random.Between(0, m.cfg.maxDesync())
		a := m.add(&slaacAddr{
			addr: addr, prefix: p, kind: TemporaryAddress,
			mostPreferred: m.now.Add(m.cfg.TempPreferredLifetime - desync),
			mostValid:     m.now.Add(m.cfg.TempValidLifetime),
		}, fromMulticast)
		p.temporaries = append(p.temporaries, a)
		m.setRegeneration(p)
		return
	}
}

// regenerateAt is when the newest temporary address of p needs a successor:
// REGEN_ADVANCE before it is deprecated (RFC 8981, section 3.5).
func (m *Autoconf) regenerateAt(p *slaacPrefix) time.Time {
	if len(p.temporaries) == 0 {
		return m.now
	}
	newest := p.temporaries[len(p.temporaries)-1]
	return newest.preferred.Add(-m.cfg.regenAdvance())
}

func (m *Autoconf) setRegeneration(p *slaacPrefix) {
	m.setTimer(slaacTimer{prefix: p, kind: regeneration}, m.regenerateAt(p))
}

// temporaryFailed is RFC 8981, section 3.4, step 7.
func (m *Autoconf) temporaryFailed(p *slaacPrefix) {
	t := &p.temporaryAttempts
	t.failed++
	if t.failed > tempIdgenRetries {
		m.exhaust(p, t, TemporaryAddress)
	}
}
