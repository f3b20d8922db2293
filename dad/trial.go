package dad

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Constants of RFC 4861, section 10.
const (
	maxRtrSolicitationDelay = time.Second
	maxMulticastSolicit     = 3
)

// trial is the test of one address.
type trial struct {
	state State // Delayed, Tentative or OptimisticState

	unsent int // probes of this round that are still to be sent
	sent   int // probes of all rounds that were sent
	echoes int // received solicitations that counted as echoes, without nonces

	nonces     nonces // of the probes sent
	looped     int    // probes that were looped back in this round
	everLooped bool   // a probe was looped back in any round: Accept applies
}

// start begins with an address.
func (m *Machine) start(ev Start) {
	addr := ev.Addr
	if !addr.Is6() || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
		panic(fmt.Sprintf("dad: %v is not an IPv6 unicast address without a zone", addr))
	}
	if ev.Mode > Off {
		panic(fmt.Sprintf("dad: unknown mode %d", ev.Mode))
	}
	if _, known := m.trials[addr.As16()]; known {
		return
	}
	group := nd.SolicitedNode(addr)

	// RFC 4862, section 5.4: no test of anycast addresses, nor with
	// DupAddrDetectTransmits of zero. The group is joined all the same
	// (RFC 4861, section 7.2.1).
	if ev.Mode == Off || ev.Anycast || m.cfg.DupAddrDetectTransmits == 0 {
		m.emit(Join{addr, group})
		m.assign(addr)
		return
	}

	t := &trial{state: Tentative, unsent: m.cfg.DupAddrDetectTransmits}
	m.trials[addr.As16()] = t
	switch {
	case ev.Mode == Optimistic:
		// RFC 4429, section 3.3: "The host SHOULD NOT delay before sending
		// Neighbor Solicitation messages."
		t.state = OptimisticState
		m.emit(Join{addr, group}, Assign{Addr: addr, Optimistic: true})
		m.probe(m.now, addr, t)
	case ev.First || ev.FromMulticastRA && !m.cfg.NoMulticastRADelay:
		t.state = Delayed
		m.delay(addr, group)
	default:
		m.emit(Join{addr, group})
		m.probe(m.now, addr, t)
	}
}

// delay begins the random delay before the first probe. The group is listened
// to meanwhile: "an interface MUST receive and process datagrams sent to the
// all-nodes multicast address or solicited-node multicast address of the
// tentative address during the delay period" (RFC 4862, section 5.4.2).
func (m *Machine) delay(addr, group netip.Addr) {
	if m.cfg.DelayProbeOnly {
		m.emit(Join{addr, group}) // RFC 2462, section 5.4.2
	} else {
		m.emit(Listen{addr, group}) // RFC 4862, section 5.4.2
	}
	m.timers.Set(addr, m.now.Add(m.random.Between(0, maxRtrSolicitationDelay)))
}

// expire goes on with the test of addr, whose timer fired at at.
func (m *Machine) expire(at time.Time, addr netip.Addr, t *trial) {
	switch {
	case t.state == Delayed:
		if !m.cfg.DelayProbeOnly {
			m.emit(Join{addr, nd.SolicitedNode(addr)})
		}
		t.state = Tentative
		m.probe(at, addr, t)
	case t.unsent > 0:
		m.probe(at, addr, t)
	case t.looped > 0:
		// RFC 7527, section 4.1: "the interface continues with another
		// MAX_MULTICAST_SOLICIT number of NS(DAD) messages transmitted
		// RetransTimer milliseconds apart."
		m.emit(Looped{Addr: addr, Probes: t.looped})
		t.looped = 0
		t.unsent = maxMulticastSolicit
		m.probe(at, addr, t)
	default:
		m.assign(addr)
	}
}

// probe sends the next probe of addr at at, and waits for RetransTimer.
func (m *Machine) probe(at time.Time, addr netip.Addr, t *trial) {
	p := Probe{Addr: addr, Group: nd.SolicitedNode(addr)}
	if !m.cfg.NoNonce {
		p.Nonce = m.random.Nonce()
		t.nonces.add(p.Nonce)
	}
	t.unsent--
	t.sent++
	m.emit(p)
	m.timers.Set(addr, at.Add(m.cfg.RetransTimer))
}

// assign ends the test of addr, if there is one, with success.
func (m *Machine) assign(addr netip.Addr) {
	m.timers.Clear(addr)
	m.trials[addr.As16()] = nil
	m.emit(Assign{Addr: addr})
}

// accept ends endless probing (RFC 7527, section 4.1: "The probing MAY be
// stopped via manual intervention").
func (m *Machine) accept(addr netip.Addr) {
	if t := m.trials[addr.As16()]; t != nil && t.everLooped {
		m.assign(addr)
	}
}

// sendFailed gives up: a probe that was never sent proves nothing. Before the
// first probe it can only speak of an earlier test of the same address.
func (m *Machine) sendFailed(addr netip.Addr) {
	if t := m.trials[addr.As16()]; t != nil && t.state != Delayed {
		m.forget(addr)
		m.emit(Fail{addr})
	}
}

func (m *Machine) stop(addr netip.Addr) {
	if _, known := m.trials[addr.As16()]; known {
		m.forget(addr)
	}
}

// forget is the one way out for an address that is not Absent: timer, nonces
// and record go, and its hold on the group.
func (m *Machine) forget(addr netip.Addr) {
	m.timers.Clear(addr)
	delete(m.trials, addr.As16())
	m.emit(Leave{addr, nd.SolicitedNode(addr)})
}
