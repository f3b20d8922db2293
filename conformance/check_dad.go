package conformance

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// checkedAddr is an address that a host sent from, probed or claimed.
type checkedAddr struct {
	addr netip.Addr
	// The run of probes that came last.
	running         bool // it was not used yet since, or is a duplicate
	probes          int
	firstAt, lastAt time.Duration
	joinedFor       bool // its group was joined for this run
	optimistic      bool // it was used while it was tested, as RFC 4429 allows
	uncertain       bool // somebody spoke against it, and it may count or not
	failedAt        time.Duration
	failedBy        string // what spoke against it; empty: nothing
	leaveDue        bool
	// used is when it was used last after a test, or ever.
	used    bool
	usedAt  time.Duration
	everRun bool
	pending []question
	// linkAddr is the one that the host gives for it in solicitations.
	linkAddr string
}

// question is a solicitation that waits for its answer.
type question struct {
	at    time.Duration
	frame int
	from  netip.Addr
	mac   nd.LinkAddr
}

// open says what cannot be judged of the address.
func (a *checkedAddr) open() string {
	switch {
	case !a.everRun:
		return "its test is not in the capture: it may have been before, or be turned off (RFC 4862, section 5.1)"
	case a.uncertain:
		return "whether it is a duplicate: a message spoke against it that may count or not"
	case a.optimistic:
		return "whether it was used too early: it looks like an optimistic address (RFC 4429), which may be used while it is tested"
	}
	return ""
}

var (
	ruleProbeForm    = rule{"RFC 4862, section 5.4.2", "DAD-R15"}
	ruleProbeSpacing = rule{"RFC 4862, section 5.4.2", "DAD-R14"}
	ruleProbeCount   = rule{"RFC 4862, section 5.1", "DAD-R14"}
	ruleJoinFirst    = rule{"RFC 4862, section 5.4.2", "DAD-R22"}
	ruleTooEarly     = rule{"RFC 4862, section 5.4", "DAD-R16"}
	ruleDefended     = rule{"RFC 4862, section 5.4.3", "DAD-R27"}
	ruleSolicitEarly = rule{"RFC 4429, section 3.2", "ODAD-R06"}
	ruleDuplicate    = rule{"RFC 4862, section 5.4.5", "DAD-R39"}
	ruleLeave        = rule{"RFC 3810, section 6.1", "DAD-R46"}
	ruleNonce        = rule{"RFC 7527, section 4.1", "EDAD-R01"}
	ruleNonceAgain   = rule{"RFC 7527, section 4.1", "EDAD-R02"}
)

// probe takes a probe of the host (RFC 4862, section 5.4.2).
func (h *checkedHost) probe(m *message) {
	h.probeForm(m)
	if !isUnicast(m.target) {
		return
	}
	a := h.addr(m.target)
	if a == nil {
		return
	}
	a.addr = m.target
	now, retrans, slack := h.c.now, h.c.retrans, h.c.cfg.Slack
	group := h.groups[nd.SolicitedNode(m.target)]
	next := now >= a.lastAt+retrans-slack && now <= a.lastAt+h.c.longest*3/2+slack
	// The count is known if it is configured; what comes then is a new test.
	again := a.running && next && (h.c.cfg.DupAddrDetectTransmits == 0 || a.probes < h.c.cfg.DupAddrDetectTransmits)
	left := group != nil && group.leftAt >= a.failedAt
	if a.failedBy != "" && again && !left {
		a.probes++ // it goes on as if nothing had happened
		a.lastAt = now
		return
	}
	// A test that begins anew, because the interface went down or the address
	// was removed, reports the group again.
	anew := group != nil && group.reportedAt >= a.lastAt
	if a.running && a.failedBy == "" && now < a.lastAt+retrans-slack && !anew && !a.uncertain {
		h.departs(ruleProbeSpacing, fmt.Sprintf("%v or more between probes for %v", retrans, m.target), "%v after the one before", now-a.lastAt)
		again = true
	}
	if !again || a.failedBy != "" {
		*a = checkedAddr{addr: m.target, firstAt: now, usedAt: a.usedAt}
		a.joinedFor = group != nil && group.member && group.joinedAt >= now-time.Second-h.c.cfg.Slack
		h.joined(m.target, group)
	}
	a.running, a.everRun = true, true
	a.probes++
	a.lastAt = now
	a.pending = nil
}

// joined: RFC 4862, section 5.4.2: "the MLD report message is required in
// order to inform MLD-snooping switches". It is missed only if the interface
// came up within the capture: before, another address may have had the same
// group.
func (h *checkedHost) joined(addr netip.Addr, group *checkedGroup) {
	if h.fresh && (group == nil || !group.member) {
		h.departs(ruleJoinFirst, fmt.Sprintf("a report of %v before the first probe for %v", nd.SolicitedNode(addr), addr), "no report before this probe")
	}
}

// probeForm: RFC 4862, section 5.4.2, and RFC 4861, section 4.3.
func (h *checkedHost) probeForm(m *message) {
	if !isUnicast(m.target) {
		return // told already
	}
	if want := nd.SolicitedNode(m.target); m.dst != want {
		h.departs(ruleProbeForm, fmt.Sprintf("a probe for %v to %v", m.target, want), "to %v", m.dst)
	}
	if l := m.fields["sllao"]; len(l) > 0 {
		h.departs(ruleProbeForm, "a probe without source link-layer address", "%s", l[0])
	}
	nonce := m.one("nonce")
	if nonce == "" && len(m.fields["nonce"]) == 0 {
		if h.c.cfg.Profile == "current" {
			h.departs(ruleNonce, "a Nonce option in a probe", "none")
		}
		return
	}
	if len(nonce) < 12 {
		h.departs(ruleNonce, "a nonce of at least 6 octets", "%d octets", len(nonce)/2)
	}
	if _, again := h.nonces[nonce]; again {
		h.departs(ruleNonceAgain, "a nonce of its own in each probe", "%s again", nonce)
		return
	}
	delete(h.nonces, h.nonceRing[h.nonceNext])
	h.nonceRing[h.nonceNext] = nonce
	h.nonceNext = (h.nonceNext + 1) % len(h.nonceRing)
	h.nonces[nonce] = struct{}{}
}

// ended says whether the test is over, as far as the last probe goes: the host
// may use the address.
func (a *checkedAddr) ended(c *Check) bool { return c.now >= a.lastAt+c.retrans-c.cfg.Slack }

// evidence takes a message of another node that may make an address of the
// host a duplicate (RFC 4862, sections 5.4.3 and 5.4.4).
func (h *checkedHost) evidence(m *message) {
	a := h.addrs[m.target]
	if a == nil || !a.running || a.failedBy != "" {
		return
	}
	if _, own := h.nonces[m.one("nonce")]; own && m.kind == "ns" {
		return // looped back (RFC 7527, section 4.2)
	}
	c := h.c
	end := a.lastAt + c.retrans
	switch {
	case c.now > end+c.cfg.Slack && !c.advertisedTimer:
		return // it defends the address, or not
	case c.now >= end-c.cfg.Slack, m.dst == m.target, !m.to.IsMulticast():
		a.uncertain = true
		return
	}
	a.failedAt = c.now
	a.failedBy = fmt.Sprintf("frame %d, a neighbor solicitation from :: by %v", c.number, m.from)
	if m.kind == "na" {
		a.failedBy = fmt.Sprintf("frame %d, a neighbor advertisement by %v", c.number, m.from)
	}
	if a.leaveDue = a.joinedFor && !a.uncertain; a.leaveDue && len(h.failed) < maxCheckedAddresses {
		h.failed = append(h.failed, a)
	}
}

// How an address is used.
const (
	usedForData = iota
	usedForND
	usedForMLD
)

// use takes that the host sent from an address, or claimed it.
func (h *checkedHost) use(addr netip.Addr, a *checkedAddr, how int) {
	a.addr = addr
	c := h.c
	defer func() { a.usedAt = c.now }()
	switch {
	case a.uncertain:
	case a.failedBy != "":
		if c.now > a.failedAt+c.cfg.Slack {
			h.departs(ruleDuplicate, fmt.Sprintf("no use of %v, which is a duplicate since %s", addr, a.failedBy), "%s", [...]string{
				"a packet from it", "Neighbor Discovery from it", "an MLD message from it"}[how])
		}
		return
	case a.running && !a.ended(c):
		h.early(addr, a, how)
		return
	}
	if n := c.cfg.DupAddrDetectTransmits; a.running && !a.optimistic && !a.uncertain && a.probes < n && how != usedForMLD {
		h.departs(ruleProbeCount, fmt.Sprintf("DupAddrDetectTransmits probes (%d) for %v before it is used", n, addr), "%d", a.probes)
	}
	if a.everRun {
		a.used, a.running = true, false
	}
	h.unanswered(addr, a)
	h.silent(addr, a)
	if addr.IsLinkLocalUnicast() {
		h.fromNowhere(addr, a)
	}
}

// early judges the use of an address while it is tested. A packet from it may
// be that of an optimistic address, whose test is like any other.
func (h *checkedHost) early(addr netip.Addr, a *checkedAddr, how int) {
	if how == usedForMLD && !a.optimistic && a.addr.IsLinkLocalUnicast() {
		h.departs(ruleTooEarly, fmt.Sprintf("no use of %v until %v, %v after its last probe", addr, a.lastAt+h.c.retrans, h.c.retrans), "an MLD message from it")
		return
	}
	a.optimistic = true
}

// leaves: who no longer listens to a group says so at once. A duplicate has no
// group. It is judged once the host spoke of something else, for it may have
// gone down, or turned IPv6 off.
func (h *checkedHost) leaves() {
	if len(h.failed) == 0 {
		return
	}
	h.failed = slices.DeleteFunc(h.failed, func(a *checkedAddr) bool {
		if !a.leaveDue || a.failedBy == "" {
			return true
		}
		if h.c.now <= a.failedAt+time.Second+h.c.retrans+h.c.cfg.Slack {
			return false
		}
		group := nd.SolicitedNode(a.addr)
		if h.shares(a, group) || h.began > a.failedAt {
			return true
		}
		h.departs(ruleLeave, fmt.Sprintf("a leave of %v after %v became a duplicate by %s", group, a.addr, a.failedBy), "none, and the host went on")
		return true
	})
}

// shares reports whether another address of the host has the group.
func (h *checkedHost) shares(of *checkedAddr, group netip.Addr) bool {
	for addr, a := range h.addrs {
		if a != of && nd.SolicitedNode(addr) == group {
			return true
		}
	}
	return false
}
