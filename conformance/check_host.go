package conformance

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// checkedHost is what is known of one host of a capture: a link-layer address
// that sends IPv6.
type checkedHost struct {
	c           *Check
	mac         nd.LinkAddr
	frames      int
	first, last time.Duration
	control     bool // it sent a message of Neighbor Discovery or MLD
	router      bool
	// fresh: the interface came up during the capture. began is when it did
	// so last, as far as can be seen.
	fresh bool
	began time.Duration

	addrs     map[netip.Addr]*checkedAddr
	groups    map[netip.Addr]*checkedGroup
	solicits  map[netip.Addr]solicited // whom it solicited last
	spokeTo   map[nd.LinkAddr]struct{} // in unicast: the capture shows it
	nonces    map[string]struct{}      // of its probes
	nonceRing [64]string               // the same, to forget the oldest
	nonceNext int                      //
	failed    []*checkedAddr           // duplicates whose group must be left
	unspec    time.Duration            // when a report came from ::; 0: never
	rs        struct {
		src   netip.Addr
		count int
		last  time.Duration
		gaps  [3]time.Duration
	}
	solicitsRouters bool

	departures []Departure
	byRule     map[rule]int
	more       int
	open       map[string]struct{}
}

// asked is who asked for what.
type asked struct{ from, target netip.Addr }

// askedAt is when, and whether once by unicast.
type askedAt struct {
	at      time.Duration
	unicast bool
}

// solicited is a neighbor that the host solicited.
type solicited struct {
	last  time.Duration
	frame int
}

func newCheckedHost(c *Check, mac nd.LinkAddr) *checkedHost {
	return &checkedHost{
		c: c, mac: mac, first: c.now,
		addrs: map[netip.Addr]*checkedAddr{}, groups: map[netip.Addr]*checkedGroup{}, solicits: map[netip.Addr]solicited{},
		spokeTo: map[nd.LinkAddr]struct{}{}, nonces: map[string]struct{}{}, byRule: map[rule]int{}, open: map[string]struct{}{},
	}
}

// departs notes a departure that the present frame shows.
func (h *checkedHost) departs(r rule, expected, observed string, args ...any) {
	if h.byRule[r]++; h.byRule[r] > maxDeparturesForRule || len(h.departures) == maxDepartures {
		h.more++
		return
	}
	h.departures = append(h.departures, Departure{
		At: h.c.now, Frame: h.c.number, Section: r.section, Requirement: r.requirement, Expected: expected, Observed: fmt.Sprintf(observed, args...),
	})
}

// cannot notes what cannot be judged.
func (h *checkedHost) cannot(why string) {
	if len(h.open) < maxOpen {
		h.open[why] = struct{}{}
	}
}

// alwaysOpen is what no capture shows.
func (h *checkedHost) alwaysOpen() (all []string) {
	if !h.control {
		return []string{"it sent nothing of Neighbor Discovery or MLD"}
	}
	if !h.fresh {
		all = append(all, "what it did when its interface came up: that was before the capture, or is not in it")
	} else {
		all = append(all, "the random delay before its first packet (RFC 4862, section 5.4.2): when the interface came up is not in the capture")
	}
	if h.c.v1 {
		all = append(all, "answers to queries: there is a querier of version 1, with which listeners speak for each other")
	}
	return all
}

// saw takes any IPv6 frame of the host.
func (h *checkedHost) saw(hd header) {
	h.frames++
	h.last = h.c.now
	if !hd.to.IsMulticast() && len(h.spokeTo) < maxCheckedAddresses {
		h.spokeTo[hd.to] = struct{}{}
	}
	h.groupMAC(hd)
}

var ruleGroupMAC = rule{"RFC 2464, section 7", "NDV-R14"}

// groupMAC: a group has one link-layer address. RFC 6085 allows a packet to a
// group in a frame to a unicast address.
func (h *checkedHost) groupMAC(hd header) {
	if hd.dst.IsMulticast() && hd.to.IsMulticast() && hd.to != nd.MulticastLinkAddr(hd.dst) {
		h.departs(ruleGroupMAC, "a frame to "+nd.MulticastLinkAddr(hd.dst).String()+" for the group "+hd.dst.String(), "a frame to %v", hd.to)
	}
}

// data takes what is not Neighbor Discovery and not MLD.
func (h *checkedHost) data(hd header) {
	if !isUnicast(hd.src) {
		return
	}
	// An address that it never spoke of in Neighbor Discovery may be somebody's
	// for whom it forwards.
	if a := h.addrs[hd.src]; a != nil {
		h.use(hd.src, a, usedForData)
	}
}

// sent takes a message of the host.
func (h *checkedHost) sent(m *message) {
	h.control = true
	h.form(m)
	h.start(m)
	switch m.kind {
	case "ra", "redirect":
		h.router = true
	case "ns":
		if m.isProbe() {
			h.probe(m)
		} else {
			h.solicit(m)
		}
	case "na":
		h.advert(m)
	case "rs":
		h.routerSolicit(m)
	case "report", "report1", "done":
		h.listens(m)
	}
	if isUnicast(m.src) {
		if a := h.addr(m.src); a != nil {
			how := usedForND
			if m.is("mld") {
				how = usedForMLD
			}
			h.use(m.src, a, how)
		}
	}
	h.leaves()
}

// start looks for signs that the interface came up: a probe for a link-local
// address.
func (h *checkedHost) start(m *message) {
	if !m.isProbe() || !m.target.IsLinkLocalUnicast() {
		return
	}
	if a := h.addrs[m.target]; a == nil || !a.running {
		h.fresh = h.fresh || h.frames == 1 || h.onlyUnspecified()
		h.began = h.c.now
		clear(h.solicits)
	}
}

// onlyUnspecified reports whether all that came of the host so far was without
// an address.
func (h *checkedHost) onlyUnspecified() bool { return len(h.addrs) == 0 }

// heard takes a message of somebody else that the host must have received.
func (h *checkedHost) heard(m *message) {
	switch m.kind {
	case "ns":
		if m.isProbe() {
			h.evidence(m)
		}
		h.asked(m)
	case "na":
		delete(h.solicits, m.target)
		h.evidence(m)
	case "query":
		h.queried(m)
	case "report1":
		if g := h.groups[parsed(m.one("group"))]; g != nil {
			g.othersToo = true
		}
	}
}

// addr returns what is known of an address of the host; nil if there is no
// room.
func (h *checkedHost) addr(addr netip.Addr) *checkedAddr {
	a := h.addrs[addr]
	if a == nil && len(h.addrs) < maxCheckedAddresses {
		a = &checkedAddr{}
		h.addrs[addr] = a
	}
	return a
}
