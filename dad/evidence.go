package dad

import (
	"net/netip"
	"slices"

	"github.com/tapstack/tapstack/nd"
)

// advert judges a Neighbor Advertisement (RFC 4862, section 5.4.4): whatever
// its flags, "If the target address is tentative, the tentative address is not
// unique." One for an assigned address is left to its defence.
func (m *Machine) advert(ev Advert) {
	t := m.trials[ev.Target.As16()]
	if t == nil || m.discards(ev.Header, ev.Target, t) {
		return
	}
	linkAddr := ev.TargetLinkAddr
	if linkAddr.IsZero() {
		linkAddr = ev.From
	}
	m.reject(&DuplicateError{Addr: ev.Target, LinkAddr: linkAddr, From: ev.From, Evidence: FromAdvert})
}

// solicit judges a Neighbor Solicitation (RFC 4862, section 5.4.3). It is
// never answered here.
func (m *Machine) solicit(ev Solicit) {
	t := m.trials[ev.Target.As16()]
	if t == nil || m.discards(ev.Header, ev.Target, t) {
		return
	}
	// "If the target address is tentative, and the source address is a unicast
	// address, the solicitation's sender is performing address resolution on
	// the target; the solicitation should be silently ignored."
	if !ev.Src.IsUnspecified() {
		return
	}
	if m.isOwn(ev, t) {
		return
	}
	m.reject(&DuplicateError{Addr: ev.Target, LinkAddr: ev.From, From: ev.From, Evidence: FromSolicit})
}

// discards reports whether a message with Target addr is no evidence because
// it was sent to the tentative address itself. RFC 4862, section 5.4: the
// packets to be silently discarded "include Neighbor Solicitation and
// Advertisement messages that have the tentative (i.e., unicast) address as the
// IP destination address and contain the tentative address in the Target
// Address field." RFC 2462 has no such rule. An optimistic address receives
// packets (RFC 4429, section 3.3), these too.
func (m *Machine) discards(h nd.Header, addr netip.Addr, t *trial) bool {
	return h.Dst == addr && t.state != OptimisticState && !m.cfg.AcceptUnicastDst
}

// isOwn reports whether a solicitation from the unspecified address may be a
// probe of t that the link looped back, and keeps count of those.
func (m *Machine) isOwn(ev Solicit, t *trial) bool {
	if m.cfg.NoNonce {
		return m.isExpected(ev.From, t)
	}
	// RFC 7527, section 4.2. Every probe of ours carries a nonce, so that a
	// solicitation without one is another node's, which the RFC does not say.
	if !t.nonces.heard(ev.Nonce) {
		return false
	}
	t.looped++
	t.everLooped = true
	return true
}

// isExpected decides by number, as RFC 4862, section 5.4.3, and appendix A do:
// two nodes with one link-layer address send identical probes, and only "if one
// receives more solicitations than were sent, the tentative address is a
// duplicate". None is expected before the first probe. A frame is never
// dropped only because its source is our own link-layer address.
func (m *Machine) isExpected(from nd.LinkAddr, t *trial) bool {
	switch {
	case m.cfg.Loopback == LoopbackNone:
		return false
	case m.cfg.Loopback == LoopbackUnknown && from != m.cfg.LinkAddr:
		return false
	}
	t.echoes++
	return t.echoes <= t.sent
}

// reject ends a test with failure (RFC 4862, section 5.4.5).
func (m *Machine) reject(e *DuplicateError) {
	m.forget(e.Addr)
	m.emit(Reject{e})
}

// maxNonces bounds the nonces kept for one address, since a link that loops
// probes back for ever makes new rounds for ever (RFC 7527, section 4.1).
//
// Deviation: RFC 7527, section 4.1, stores the nonce of each probe and names no
// end to it. Here one is forgotten after 64 others, by when its probe can no
// longer come back: a bridged network of seven bridges, each of which may hold
// a frame for 1 s, delivers within 7.5 s with the default parameters of
// IEEE 802.1D, while 64 probes take about a minute by default. The nonce that
// was sent or heard longest ago goes first, so that a probe that circulates on
// and on stays known. Were a forgotten one heard after all, the address would be
// rejected, which errs to the safe side.
const maxNonces = 64

// nonces are those of the probes sent, the one sent or heard last at the end.
type nonces []nd.Nonce

func (s *nonces) add(n nd.Nonce) {
	if len(*s) == maxNonces {
		*s = slices.Delete(*s, 0, 1)
	}
	*s = append(*s, n)
}

// heard reports whether n is among s, and moves it to the end.
func (s nonces) heard(n nd.Nonce) bool {
	i := slices.Index(s, n)
	if i < 0 {
		return false
	}
	copy(s[i:], s[i+1:])
	s[len(s)-1] = n
	return true
}
