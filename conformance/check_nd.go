package conformance

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

var (
	ruleNDHopLimit  = rule{"RFC 4861, section 7.1.1", "NDV-R01"}
	ruleNAForm      = rule{"RFC 4861, section 7.1.2", "NDV-R02"}
	ruleRSForm      = rule{"RFC 4861, section 6.1.1", "RS-R02"}
	ruleRSLinkAddr  = rule{"RFC 4861, section 4.1", "RS-R03"}
	ruleRSInterval  = rule{"RFC 4861, section 6.3.7", "RS-R01"}
	ruleRSCount     = rule{"RFC 4861, section 6.3.7", "RS-R01"}
	ruleRSEarly     = rule{"RFC 4429, section 3.2", "ODAD-R05"}
	ruleFlags       = rule{"RFC 4861, section 7.2.4", "NDV-R06"}
	ruleTLLAO       = rule{"RFC 4861, section 7.2.4", "NDV-R06"}
	ruleAnswer      = rule{"RFC 4861, section 7.2.4", "NDV-R06"}
	ruleDefence     = rule{"RFC 4862, section 5.4.3", "DAD-R37"}
	ruleSolicitForm = rule{"RFC 4861, section 7.2.2", "NDS-R05"}
	ruleSolicitRate = rule{"RFC 4861, section 7.2.2", "NUD-R06"}
	ruleRedirect    = rule{"RFC 4861, section 8.3", "RDR-R06"}
	ruleFragment    = rule{"RFC 6980, section 5", "FRG-R01"}
)

// form is what every message of a kind must have, whatever it says.
func (h *checkedHost) form(m *message) {
	if m.is("nd") {
		h.formND(m)
	}
	if bad := m.fields["malformed"]; len(bad) > 0 {
		h.departs(h.formRule(m), "a "+m.name()+" that can be read", "%s", bad[0])
	}
	if m.one("checksum") == "bad" {
		h.departs(h.formRule(m), "a right checksum in a "+m.name(), "a wrong one")
	}
	if code := m.one("code"); code != "" && code != "0" {
		h.departs(h.formRule(m), "code 0 in a "+m.name(), "code %s", code)
	}
	if r := m.one("reserved"); m.is("nd") && r != "" && r != "0" {
		h.departs(h.formRule(m), "zero in the reserved field of a "+m.name(), "%s", r)
	}
}

// formRule is where the validity of a message is written.
func (h *checkedHost) formRule(m *message) rule {
	switch m.kind {
	case "na":
		return ruleNAForm
	case "rs":
		return ruleRSForm
	case "report", "report1", "done", "query":
		return ruleMLDForm
	}
	return ruleNDHopLimit
}

func (h *checkedHost) formND(m *message) {
	if v := m.one("hoplimit"); v != "255" {
		h.departs(h.formRule(m), "hop limit 255 in a "+m.name(), "%s", v)
	}
	if (m.kind == "ns" || m.kind == "na") && m.target.IsMulticast() {
		h.departs(h.formRule(m), "a unicast address as target", "%v", m.target)
	}
	if len(m.fields["frag-id"]) > 0 {
		h.fragmented()
	}
	if m.kind == "redirect" && h.solicitsRouters && !h.router {
		h.departs(ruleRedirect, "no redirect by a host", "one, by a node that solicits routers")
	}
}

// fragmented: RFC 6980, section 5: "Nodes MUST NOT employ IPv6 fragmentation for
// sending any of the following Neighbor Discovery and SEcure Neighbor Discovery
// messages".
func (h *checkedHost) fragmented() {
	h.departs(ruleFragment, "no Fragment header in Neighbor Discovery", "one")
}

// advert takes an advertisement of the host.
func (h *checkedHost) advert(m *message) {
	if m.one("R") == "1" {
		h.router = true
	}
	group := m.dst.IsMulticast()
	if group && m.one("S") == "1" {
		h.departs(ruleFlags, "S=0 in an advertisement to "+m.dst.String(), "S=1")
	}
	if !isUnicast(m.target) || !m.sound {
		return
	}
	a := h.addr(m.target)
	if a == nil {
		return
	}
	if a.running && !a.ended(h.c) && a.failedBy == "" && m.one("O") == "1" {
		h.departs(ruleDefended, fmt.Sprintf("no answer for %v, which is tentative until %v (or O=0, if it is optimistic)", m.target, a.lastAt+h.c.retrans), "an advertisement of it with O=1")
	}
	if group && len(m.fields["tllao"]) == 0 {
		h.departs(ruleTLLAO, "a target link-layer address in an advertisement to a group", "none")
	}
	if l := m.one("tllao"); l != "" && a.linkAddr != "" && l != a.linkAddr {
		h.departs(ruleTLLAO, fmt.Sprintf("%s as target link-layer address of %v, as in its own solicitations", a.linkAddr, m.target), "%s", l)
	}
	if m.src != m.target {
		h.use(m.target, a, usedForND)
	}
	h.answers(m, a)
}

// askedWithin is how long after a solicitation its answer may come: the asker
// may have to be found first (RFC 4861, section 7.2.4), and an anycast address
// answers late.
const askedWithin = 5 * time.Second

// answers takes the solicitations that an advertisement answers.
func (h *checkedHost) answers(m *message, a *checkedAddr) {
	kept := a.pending[:0]
	for _, q := range a.pending {
		if q.from != m.dst && !(q.from.IsUnspecified() && m.dst.IsMulticast()) {
			kept = append(kept, q)
		}
	}
	a.pending = kept
	if m.dst.IsMulticast() {
		return
	}
	q, was := h.c.askers[asked{m.dst, m.target}]
	recent := was && h.c.now <= q.at+askedWithin+h.c.cfg.Slack
	switch {
	case recent && m.one("S") == "0":
		h.departs(ruleFlags, fmt.Sprintf("S=1 in the answer to %v", m.dst), "S=0")
	case !recent && m.one("S") == "1" && h.c.now > askedWithin+h.c.cfg.Slack && !h.c.forgotAskers && h.spokenToBy(m.to):
		h.departs(ruleFlags, fmt.Sprintf("S=1 only in an answer to a solicitation by %v", m.dst), "an advertisement of %v with S=1, for which nobody asked", m.target)
	case recent && len(m.fields["tllao"]) == 0 && !q.unicast:
		h.departs(ruleTLLAO, "a target link-layer address in the answer to a solicitation that came by multicast", "none")
	}
}

// spokenToBy reports whether the capture shows what a node sends to the host: one
// from a port of a switch shows only some of it.
func (h *checkedHost) spokenToBy(l nd.LinkAddr) bool {
	other := h.c.hosts[l]
	if other == nil {
		return false
	}
	_, ok := other.spokeTo[h.mac]
	return ok
}

// solicitedBy notes who asked for what, whichever link-layer address the question
// went to: a node may have several.
func (c *Check) solicitedBy(m *message) {
	if !isUnicast(m.src) {
		return
	}
	if len(c.askers) >= maxAskers {
		clear(c.askers)
		c.forgotAskers = true
	}
	key := asked{m.src, m.target}
	c.askers[key] = askedAt{c.now, c.askers[key].unicast || !m.dst.IsMulticast()}
}

// asked takes a solicitation that the host must have received.
func (h *checkedHost) asked(m *message) {
	c := h.c
	a := h.addrs[m.target]
	if a == nil || !a.used || a.running || a.failedBy != "" || a.uncertain || len(a.pending) == maxPending {
		return
	}
	if probe := m.isProbe(); !probe && len(m.fields["sllao"]) == 0 || h.addrs[m.src] != nil {
		return // it may not know where to answer
	}
	a.pending = append(a.pending, question{c.now, c.number, m.src, m.from})
}

// unanswered judges the solicitations for an address that the host still has:
// it just used it. They were answered if the capture shows what the host sends
// to whoever asked.
func (h *checkedHost) unanswered(addr netip.Addr, a *checkedAddr) {
	kept := a.pending[:0]
	for _, q := range a.pending {
		if h.c.now <= q.at+2*time.Second+h.c.cfg.Slack {
			kept = append(kept, q)
			continue
		}
		_, seen := h.spokeTo[q.mac]
		switch {
		case q.from.IsUnspecified():
			h.departs(ruleDefence, fmt.Sprintf("an advertisement of %v to all nodes, for the probe of %v in frame %d", addr, q.mac, q.frame), "none, and the host uses the address")
		case seen:
			h.departs(ruleAnswer, fmt.Sprintf("an answer to the solicitation for %v by %v in frame %d", addr, q.from, q.frame), "none, and the host uses the address")
		}
	}
	a.pending = kept
}

// solicit takes a solicitation of the host that is no probe (RFC 4861, sections
// 7.2.2 and 7.3.3).
func (h *checkedHost) solicit(m *message) {
	if !isUnicast(m.target) {
		return
	}
	if a := h.addrs[m.src]; a != nil && a.running && !a.ended(h.c) && a.failedBy == "" && !a.uncertain {
		h.departs(ruleSolicitEarly, fmt.Sprintf("no solicitation from %v, which is tentative until %v", m.src, a.lastAt+h.c.retrans), "one for %v", m.target)
	}
	if m.dst.IsMulticast() {
		if want := nd.SolicitedNode(m.target); m.dst != want {
			h.departs(ruleSolicitForm, fmt.Sprintf("a solicitation for %v to %v", m.target, want), "to %v", m.dst)
		}
		if len(m.fields["sllao"]) == 0 {
			h.departs(ruleSolicitForm, "a source link-layer address in a solicitation to a group", "none")
		}
	} else if m.dst != m.target {
		h.departs(ruleSolicitForm, fmt.Sprintf("a solicitation for %v to it or its solicited-node group", m.target), "to %v", m.dst)
	}
	if a := h.addr(m.src); a != nil && m.one("sllao") != "" {
		a.linkAddr = m.one("sllao")
	}
	last, before := h.solicits[m.target]
	if gap := h.c.now - last.last; before && gap < h.c.retrans-h.c.cfg.Slack {
		h.departs(ruleSolicitRate, fmt.Sprintf("%v or more between solicitations of %v", h.c.retrans, m.target), "%v after frame %d", gap, last.frame)
	}
	if len(h.solicits) >= maxCheckedAddresses {
		clear(h.solicits)
	}
	h.solicits[m.target] = solicited{h.c.now, h.c.number}
}

// routerSolicit takes a Router Solicitation (RFC 4861, sections 4.1 and 6.3.7;
// RFC 7559, section 2).
func (h *checkedHost) routerSolicit(m *message) {
	if m.dst != allRouters {
		h.departs(ruleRSForm, "a Router Solicitation to ff02::2", "to %v", m.dst)
	}
	switch a := h.addrs[m.src]; {
	case len(m.fields["sllao"]) == 0 && isUnicast(m.src) && a != nil && a.used && !a.running && a.failedBy == "":
		h.departs(ruleRSLinkAddr, fmt.Sprintf("a source link-layer address in a Router Solicitation from %v", m.src), "none")
	case len(m.fields["sllao"]) == 0:
	case m.src.IsUnspecified():
		h.departs(ruleRSLinkAddr, "no source link-layer address in a Router Solicitation from ::", "%s", m.one("sllao"))
	case a != nil && a.running && !a.ended(h.c) && a.failedBy == "" && !a.uncertain:
		h.departs(ruleRSEarly, fmt.Sprintf("no source link-layer address in a Router Solicitation from %v, which is tentative until %v", m.src, a.lastAt+h.c.retrans), "%s", m.one("sllao"))
	}
	h.routerSolicits(m)
}

// routerSolicits judges when Router Solicitations come. When the interface came
// up anew they begin anew; that shows in tests of the address from which they
// are.
func (h *checkedHost) routerSolicits(m *message) {
	r, now := &h.rs, h.c.now
	h.solicitsRouters = true
	a := h.addrs[m.src]
	if a == nil || !a.everRun || r.src != m.src || a.lastAt >= r.last {
		r.src, r.count, r.last = m.src, 1, now
		return
	}
	gap := now - r.last
	if gap < leastRSGap-h.c.cfg.Slack {
		h.departs(ruleRSInterval, "4s between Router Solicitations (from 3.6s, by RFC 7559)", "%v", gap)
	}
	r.gaps[r.count%len(r.gaps)] = gap
	old := h.c.cfg.Profile == "rfc2462" || h.c.cfg.Profile == "rfc4862"
	if old && r.count >= 3 {
		h.departs(ruleRSCount, "three Router Solicitations", "the fourth, %v after the one before", gap)
	} else if r.count >= 3 && max(r.gaps[0], r.gaps[1], r.gaps[2]) < leastRSGap*3/2 {
		h.departs(ruleRSCount, "three Router Solicitations, or longer and longer pauses between them (RFC 7559)", "the fourth, %v after the one before", gap)
	}
	r.count++
	r.last = now
}

// leastRSGap is RTR_SOLICITATION_INTERVAL less the tenth that RFC 7559 draws.
const leastRSGap = 3600 * time.Millisecond
