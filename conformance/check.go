package conformance

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Departure is what a host did that an RFC does not allow, or did not do that
// it asks for.
type Departure struct {
	At time.Duration `json:"at_ns"`
	// Frame is the number of the frame that shows it, from 1, in the order in
	// which they were given.
	Frame       int    `json:"frame"`
	Section     string `json:"section"`
	Requirement string `json:"requirement"` // of docs/requirements.txt
	Expected    string `json:"expected"`
	Observed    string `json:"observed"`
}

func (d Departure) String() string {
	return fmt.Sprintf("%v frame %d: %s, %s: expected %s; observed %s", d.At, d.Frame, d.Section, d.Requirement, d.Expected, d.Observed)
}

// rule is what a departure departs from.
type rule struct{ section, requirement string }

// CheckConfig says what is known of the hosts of a capture. The zero value
// knows nothing and has no patience.
type CheckConfig struct {
	// Profile is the one that the hosts are to follow. Without one they are
	// judged by what all profiles have in common.
	Profile string
	// RetransTimer is the one that is configured; 0: a second. What Router
	// Advertisements say comes before it.
	RetransTimer time.Duration
	// DupAddrDetectTransmits is how many probes are configured. 0: that is not
	// known, and their number is not judged.
	DupAddrDetectTransmits int
	// Slack is how far the times of a capture may be off, or a host late.
	Slack time.Duration
}

// What an outsider can make grow is bounded: a capture can hold anything.
const (
	maxCheckedHosts      = 1024
	maxCheckedAddresses  = 1024 // of a host; and groups, and neighbors
	maxAskers            = 1 << 14
	maxPending           = 8   // solicitations for an address that wait for an answer
	maxDepartures        = 256 // of a host
	maxDeparturesForRule = 8   // of a host
	maxOpen              = 64  // what cannot be judged, of a host
)

// Check judges the hosts of a capture by what they send. It does not know what
// a host was told to do, nor what happened before the capture, and is silent
// where that would be needed. Nothing but its arguments decides what it says.
type Check struct {
	cfg    CheckConfig
	now    time.Duration
	number int
	hosts  map[nd.LinkAddr]*checkedHost
	order  []*checkedHost
	// The values of RetransTimer that may be in force are between these: what
	// a probe waits for, at least and at most.
	retrans, longest time.Duration
	advertisedTimer  bool
	v1               bool              // a query of version 1 was seen
	askers           map[asked]askedAt // who solicited whom last
	forgotAskers     bool
	strangers        int // hosts that found no room
	tagged, cut      int // frames
}

// NewCheck returns a Check that has seen nothing.
func NewCheck(cfg CheckConfig) *Check {
	c := &Check{cfg: cfg, hosts: map[nd.LinkAddr]*checkedHost{}, askers: map[asked]askedAt{}, retrans: cfg.RetransTimer}
	if c.retrans == 0 {
		c.retrans = time.Second
	}
	c.longest = c.retrans
	return c
}

// HostReport is what a capture says of one host.
type HostReport struct {
	LinkAddr  string        `json:"link_addr"`
	Addresses []string      `json:"addresses"` // that it sent from or claimed, as far as there is room
	Router    bool          `json:"router"`
	Frames    int           `json:"frames"` // that it sent
	First     time.Duration `json:"first_ns"`
	Last      time.Duration `json:"last_ns"`
	// Verdict is Fail if it departed, NotApplicable if it sent nothing that
	// any rule is about, else Pass: nothing that was seen departs.
	Verdict    Verdict     `json:"verdict"`
	Departures []Departure `json:"departures"`
	// More is how many departures were left out.
	More int `json:"more_departures"`
	// Open is what cannot be judged from the capture, and why.
	Open []string `json:"open"`
}

// header is what every IPv6 frame has.
type header struct {
	from, to nd.LinkAddr
	src, dst netip.Addr
}

const etherTypeVLAN = 0x8100

// Saw takes the next frame of the capture: an Ethernet frame without its check
// sequence, and when it was seen, counted from any moment. whole is false if
// the capture has only the beginning of the frame.
func (c *Check) Saw(at time.Duration, frame []byte, whole bool) {
	c.number++
	c.now = max(c.now, at)
	if !whole {
		c.cut++
	}
	if len(frame) < ethernetLen {
		return
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeVLAN:
		c.tagged++
		return
	case etherTypeIPv6:
	default:
		return
	}
	if len(frame) < ethernetLen+ipv6Len || frame[ethernetLen]>>4 != 6 {
		return
	}
	h := header{
		to: nd.LinkAddr(frame[:6]), from: nd.LinkAddr(frame[6:12]),
		src: netip.AddrFrom16([16]byte(frame[22:38])), dst: netip.AddrFrom16([16]byte(frame[38:54])),
	}
	host := c.host(h.from)
	if host == nil {
		return
	}
	host.saw(h)
	p := (*packet)(nil)
	if isControl(frame) {
		p = dissect(frame)
	}
	if p != nil && p.kind == "fragment" && isNDFragment(frame) {
		host.fragmented()
	}
	if p == nil || !(p.is("nd") || p.is("mld") || p.kind == "query") {
		host.data(h)
		return
	}
	if !whole {
		host.cannot("a message of Neighbor Discovery or MLD was not captured as a whole: capture whole frames (tcpdump -s 0)")
		return
	}
	m := message{header: h, packet: p}
	m.read()
	host.sent(&m)
	c.spread(host, &m)
}

// isControl tells at a glance what may be ICMPv6.
func isControl(frame []byte) bool {
	switch frame[ethernetLen+6] {
	case protoICMPv6, protoHopByHop, protoDestOpts, protoFragment, protoRouting:
		return true
	}
	return false
}

// isNDFragment reports whether a fragment begins a message of Neighbor
// Discovery, with no other extension header.
func isNDFragment(frame []byte) bool {
	b := frame[ethernetLen+ipv6Len:]
	return frame[ethernetLen+6] == protoFragment && len(b) > 8 && b[0] == protoICMPv6 && binary.BigEndian.Uint16(b[2:])&^7 == 0 && b[8] >= typeRS && b[8] <= typeRedirect
}

// message is one of Neighbor Discovery or MLD.
type message struct {
	header
	*packet
	target netip.Addr
	sound  bool // a receiver must take it
}

// read works out what most rules ask of a message.
func (m *message) read() {
	m.target = parsed(m.one("target"))
	plain := len(m.fields["malformed"]) == 0 && m.one("checksum") == "ok" && m.one("code") == "0" && len(m.fields["frag-id"]) == 0 && len(m.fields["dstopts"]) == 0
	switch {
	case m.is("nd"):
		m.sound = plain && m.one("hoplimit") == "255" && len(m.fields["hbh"]) == 0
	default:
		m.sound = plain && m.one("hoplimit") == "1" && m.one("alert") == "0"
	}
	if m.dst.IsMulticast() && m.to != nd.MulticastLinkAddr(m.dst) {
		m.sound = false
	}
	switch m.kind {
	case "ns":
		m.sound = m.sound && isUnicast(m.target)
		if m.src.IsUnspecified() {
			m.sound = m.sound && m.dst == nd.SolicitedNode(m.target) && len(m.fields["sllao"]) == 0
		}
	case "na":
		m.sound = m.sound && isUnicast(m.target) && !(m.dst.IsMulticast() && m.one("S") == "1")
	case "ra", "query":
		m.sound = m.sound && m.src.IsLinkLocalUnicast()
	}
}

// kindNames are the kinds of messages in words.
var kindNames = map[string]string{
	"ns": "neighbor solicitation", "na": "neighbor advertisement", "rs": "router solicitation", "ra": "router advertisement", "redirect": "redirect",
	"query": "query", "report": "report", "report1": "report of version 1", "done": "done",
}

func (m *message) name() string { return kindNames[m.kind] }

// parsed is an address, or the zero one.
func parsed(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

func isUnicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast()
}

// isProbe says whether a solicitation is one of DAD.
func (m *message) isProbe() bool { return m.kind == "ns" && m.src.IsUnspecified() }

// host returns what is known of the sender of a frame; nil if it is no host or
// there is no room.
func (c *Check) host(a nd.LinkAddr) *checkedHost {
	if a.IsMulticast() || a.IsZero() {
		return nil
	}
	if h := c.hosts[a]; h != nil {
		return h
	}
	if len(c.hosts) == maxCheckedHosts {
		c.strangers++
		return nil
	}
	h := newCheckedHost(c, a)
	c.hosts[a] = h
	c.order = append(c.order, h)
	return h
}

// spread tells the other hosts of a message that they must take.
func (c *Check) spread(from *checkedHost, m *message) {
	if !m.sound {
		return
	}
	switch m.kind {
	case "ns":
		c.solicitedBy(m)
	case "ra":
		c.advertised(m)
	case "query":
		c.v1 = c.v1 || m.one("length") == "24"
	}
	if !m.to.IsMulticast() {
		if h := c.hosts[m.to]; h != nil && h != from {
			h.heard(m)
		}
		return
	}
	for _, h := range c.order {
		if h != from {
			h.heard(m)
		}
	}
}

// advertised takes the RetransTimer of a Router Advertisement. Which hosts
// heed it is not known: from then on both count.
func (c *Check) advertised(m *message) {
	var ms int64
	fmt.Sscan(m.one("retrans"), &ms)
	if ms == 0 {
		return
	}
	c.advertisedTimer = true
	d := time.Duration(ms) * time.Millisecond
	c.retrans, c.longest = min(c.retrans, d), max(c.longest, d)
}

// Hosts returns what the capture says of each host, in the order in which they
// were seen first.
func (c *Check) Hosts() []HostReport {
	reports := make([]HostReport, 0, len(c.order))
	for _, h := range c.order {
		reports = append(reports, h.report())
	}
	return reports
}

// Notes tells what of the capture was not looked at.
func (c *Check) Notes() (notes []string) {
	if c.tagged > 0 {
		notes = append(notes, fmt.Sprintf("%d frames of VLANs were not looked at", c.tagged))
	}
	if c.strangers > 0 {
		notes = append(notes, fmt.Sprintf("%d frames were not looked at: there is room for %d hosts", c.strangers, maxCheckedHosts))
	}
	if c.cut > 0 {
		notes = append(notes, fmt.Sprintf("%d frames are only there in part", c.cut))
	}
	return notes
}

func (h *checkedHost) report() HostReport {
	r := HostReport{
		LinkAddr: h.mac.String(), Router: h.router, Frames: h.frames, First: h.first, Last: h.last, Verdict: Pass,
		Departures: h.departures, More: h.more, Open: slices.Sorted(maps.Keys(h.open)), Addresses: []string{},
	}
	for _, a := range slices.SortedFunc(maps.Keys(h.addrs), netip.Addr.Compare) {
		r.Addresses = append(r.Addresses, a.String())
		if s := h.addrs[a].open(); s != "" {
			r.Open = append(r.Open, fmt.Sprintf("%v: %s", a, s))
		}
	}
	r.Open = append(r.Open, h.alwaysOpen()...)
	switch {
	case len(h.departures) > 0:
		r.Verdict = Fail
	case !h.control:
		r.Verdict = NotApplicable
	}
	if r.Departures == nil {
		r.Departures = []Departure{}
	}
	return r
}
