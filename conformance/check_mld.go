package conformance

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// checkedGroup is a group that a host told of.
type checkedGroup struct {
	member     bool
	joinedAt   time.Duration // when it became a member in the capture
	reportedAt time.Duration // when it said so last
	leftAt     time.Duration
	othersToo  bool // another host reported it: no leave of version 1 is due
	// query is a general query that is not answered yet.
	query    bool
	asked    time.Duration
	deadline time.Duration
	frame    int
}

var (
	ruleMLDForm    = rule{"RFC 3810, section 5", "MLD-R01"}
	ruleMLDSource  = rule{"RFC 3810, section 5.2.13", "MLD-R03"}
	ruleMLDGroup   = rule{"RFC 3810, section 6", "MLD-R02"}
	ruleMLDTo      = rule{"RFC 3810, section 5.2.14", "MLD2-R01"}
	ruleMLD1To     = rule{"RFC 2710, section 4", "MLD1-R01"}
	ruleMLDAnswer  = rule{"RFC 3810, section 6.2", "MLD2-R05"}
	ruleMLDVersion = rule{"RFC 3810, section 8.2.1", "MLD-R10"}
	ruleMLD1Length = rule{"RFC 2710, section 3.7", "MLD1-R06"}
)

// listens takes a report or a Done of the host.
func (h *checkedHost) listens(m *message) {
	h.formMLD(m)
	if !m.sound {
		return
	}
	h.version(m)
	h.reportSource(m)
	groups := slices.Concat(m.fields["group"])
	for _, text := range groups {
		g := parsed(text)
		if scope := scopeOf(g); g == allNodes || scope <= 1 {
			h.departs(ruleMLDGroup, "no report of ff02::1, or of a group of scope 0 or 1", "one of %v", g)
			continue
		}
		h.listensTo(g, m)
	}
}

// joinedLate notes that a group was joined for the addresses that are being
// tested, though not before their probes.
func (h *checkedHost) joinedLate(group netip.Addr) {
	for addr, a := range h.addrs {
		if a.running && nd.SolicitedNode(addr) == group {
			a.joinedFor = true
		}
	}
}

// version: a host begins with the version of its profile, and changes to the
// other one for a querier of version 1 alone. A querier before the capture
// counts only until the interface came up.
func (h *checkedHost) version(m *message) {
	switch first := m.kind == "report"; {
	case h.c.cfg.Profile == "rfc2462" && first:
		h.departs(ruleMLDVersion, "MLD of version 1 (RFC 2710)", "a report of version 2")
	case (h.c.cfg.Profile == "rfc4862" || h.c.cfg.Profile == "current") && !first && !h.c.v1 && h.fresh:
		h.departs(ruleMLDVersion, "MLD of version 2, while no querier of version 1 was heard", "a %s of version 1", m.name())
	}
}

func scopeOf(g netip.Addr) byte { return g.As16()[1] & 0xf }

func (h *checkedHost) formMLD(m *message) {
	if v := m.one("hoplimit"); v != "1" {
		h.departs(ruleMLDForm, "hop limit 1 in a "+m.name(), "%s", v)
	}
	if m.one("alert") != "0" {
		h.departs(ruleMLDForm, "a Router Alert for MLD in a "+m.name(), "none")
	}
	if !m.src.IsUnspecified() && !m.src.IsLinkLocalUnicast() {
		h.departs(ruleMLDSource, "a "+m.name()+" from a link-local address or ::", "from %v", m.src)
	}
	if m.kind != "report" && m.one("length") != "24" {
		h.departs(ruleMLD1Length, "24 octets in a "+m.name(), "%s", m.one("length"))
	}
	to, r := mldRouters, ruleMLDTo
	switch m.kind {
	case "report1":
		to, r = parsed(m.one("group")), ruleMLD1To
	case "done":
		to, r = allRouters, ruleMLD1To
	}
	if m.dst != to {
		h.departs(r, fmt.Sprintf("a %s to %v", m.name(), to), "to %v", m.dst)
	}
}

// listensTo takes what a message says of one group.
func (h *checkedHost) listensTo(addr netip.Addr, m *message) {
	text := addr.String()
	g := h.groups[addr]
	if g == nil {
		if len(h.groups) == maxCheckedAddresses {
			return
		}
		g = &checkedGroup{}
		h.groups[addr] = g
	}
	now := h.c.now
	if slices.Contains(m.fields["leave"], text) {
		g.member, g.query, g.leftAt = false, false, now
		for _, a := range h.failed {
			if nd.SolicitedNode(a.addr) == addr {
				a.leaveDue = false
			}
		}
		return
	}
	if !slices.ContainsFunc(m.fields["record"], func(r string) bool { return strings.Contains(r, text) && !strings.HasPrefix(r, "block") }) && m.kind == "report" {
		return
	}
	if g.query && now > g.deadline+h.c.cfg.Slack && slices.Contains(m.fields["member"], text) && m.kind == "report" {
		h.departs(ruleMLDAnswer, fmt.Sprintf("%v reported by %v, for the query in frame %d", addr, g.deadline, g.frame), "reported %v later", now-g.deadline)
	}
	g.query = false
	if !g.member {
		g.member, g.joinedAt = true, now
		h.joinedLate(addr)
	}
	g.reportedAt = now
}

// reportSource: RFC 3810, section 5.2.13, has a report come from :: only while
// there is no link-local address. Whether there is one shows when it is used
// again.
func (h *checkedHost) reportSource(m *message) {
	if m.src.IsUnspecified() {
		h.unspec = h.c.now
	}
}

// queried takes a query that the host must have received. Only general ones of
// version 2 are judged.
func (h *checkedHost) queried(m *message) {
	if h.c.v1 || m.dst != allNodes || m.one("group") != "::" {
		for _, g := range h.groups {
			g.query = g.query && !h.c.v1
		}
		return
	}
	var length int
	if fmt.Sscan(m.one("length"), &length); length < 28 {
		return // of no version (RFC 3810, section 8.1)
	}
	delay := max(maxResponse(m), time.Millisecond) // a delay of 0 is none
	for _, g := range h.groups {
		if g.member && !g.query {
			g.query, g.asked, g.deadline, g.frame = true, h.c.now, h.c.now+delay, h.c.number
		}
	}
}

// maxResponse is the Maximum Response Delay (RFC 3810, section 5.1.3).
func maxResponse(m *message) time.Duration {
	var code int64
	fmt.Sscan(m.one("maxresp"), &code)
	if code >= 1<<15 {
		code = (code&0xfff | 0x1000) << (code>>12&7 + 3)
	}
	return time.Duration(code) * time.Millisecond
}

// silent judges the groups of an address that the host just used, and so still
// has: its query was to be answered.
func (h *checkedHost) silent(addr netip.Addr, a *checkedAddr) {
	g := h.groups[nd.SolicitedNode(addr)]
	if g == nil || !g.query || h.c.now <= g.deadline+h.c.cfg.Slack || a.lastAt >= g.asked {
		return
	}
	g.query = false
	h.departs(ruleMLDAnswer, fmt.Sprintf("%v reported by %v, for the query in frame %d", nd.SolicitedNode(addr), g.deadline, g.frame), "nothing, and the host uses %v", addr)
}

// fromNowhere judges a report from :: by the link-local address that the host
// had before, and has now.
func (h *checkedHost) fromNowhere(addr netip.Addr, a *checkedAddr) {
	if h.unspec > 0 && addr.IsLinkLocalUnicast() && a.used && a.usedAt < h.unspec && a.lastAt < h.unspec && h.began < h.unspec && a.usedAt > a.lastAt {
		h.departs(ruleMLDSource, fmt.Sprintf("a report from %v", addr), "one from :: at %v, and the host had the address before and after", h.unspec)
	}
	h.unspec = 0
}
