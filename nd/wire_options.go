package nd

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"time"
)

// Option types (RFC 4861, section 4.6; RFC 3971, section 5.3.2;
// RFC 4191, section 2.3; RFC 8106, section 5; RFC 8910, section 2.3).
const (
	optSourceLinkAddr   = 1
	optTargetLinkAddr   = 2
	optPrefixInfo       = 3
	optRedirectedHeader = 4
	optMTU              = 5
	optNonce            = 14
	optRouteInfo        = 24
	optRecursiveDNS     = 25
	optDNSSearchList    = 31
	optCaptivePortal    = 37
)

// maxOption is the length of the longest option, in octets
// (RFC 4861, section 4.6).
const maxOption = 255 * 8

// options is the part of a message that holds its options.
type options []byte

// check verifies that the options fill o exactly. section has the validity
// rules of the message.
func (o options) check(section string) error {
	for len(o) > 0 {
		if len(o) < 2 {
			return &InvalidError{"RFC 4861, section 4.6", "an option runs past the end of the message"}
		}
		n := 8 * int(o[1])
		if n == 0 {
			return &InvalidError{section, "an option has length 0"}
		}
		if n > len(o) {
			return &InvalidError{"RFC 4861, section 4.6", "an option runs past the end of the message"}
		}
		o = o[n:]
	}
	return nil
}

// all yields the type of each option and what follows its length octet, which
// is 6 octets or 8 more, or 16 more … It must have passed check.
func (o options) all() iter.Seq2[uint8, []byte] {
	return func(yield func(uint8, []byte) bool) {
		for len(o) > 0 {
			n := 8 * int(o[1])
			if !yield(o[0], o[2:n:n]) {
				return
			}
			o = o[n:]
		}
	}
}

func (o options) has(kind uint8) bool {
	for k := range o.all() {
		if k == kind {
			return true
		}
	}
	return false
}

// linkAddr returns the address in the first option of this kind that holds an
// Ethernet address (RFC 2464, section 6) of one node.
func (o options) linkAddr(kind uint8) LinkAddr {
	for k, body := range o.all() {
		if k == kind && len(body) == 6 {
			if a := LinkAddr(body); !a.IsZero() && !a.IsMulticast() {
				return a
			}
		}
	}
	return LinkAddr{}
}

func appendLinkAddr(b []byte, kind uint8, a LinkAddr) []byte {
	if a.IsZero() {
		return b
	}
	return append(append(b, kind, 1), a[:]...)
}

// nonce returns the first nonce. Each option has room for the six octets that
// it needs at least (RFC 3971, section 5.3.2).
func (o options) nonce() Nonce {
	for k, body := range o.all() {
		if k == optNonce {
			return Nonce(body)
		}
	}
	return ""
}

func appendNonce(b []byte, n Nonce) []byte {
	if n == "" {
		return b
	}
	return appendRaw(b, RawOption{Type: optNonce, Body: []byte(n)})
}

// redirected returns the packet in the first Redirected Header option.
func (o options) redirected() []byte {
	for k, body := range o.all() {
		if k == optRedirectedHeader {
			return append([]byte{}, body[6:]...) // 6 reserved octets
		}
	}
	return nil
}

func appendRedirected(b, packet []byte) []byte {
	if packet == nil {
		return b
	}
	packet = packet[:min(len(packet), maxOption-8)]
	units := 1 + (len(packet)+7)/8
	b = append(b, optRedirectedHeader, byte(units), 0, 0, 0, 0, 0, 0)
	b = append(b, packet...)
	return append(b, make([]byte, 8*(units-1)-len(packet))...)
}

func appendRaw(b []byte, o RawOption) []byte {
	n := 2 + len(o.Body)
	if n%8 != 0 || n == 0 || n > maxOption {
		panic(fmt.Sprintf("nd: option %d cannot have %d octets", o.Type, n))
	}
	return append(append(b, o.Type, byte(n/8)), o.Body...)
}

// Flags of a Router Advertisement (RFC 4861, section 4.2) and of a Prefix
// Information option (RFC 4861, section 4.6.2).
const (
	flagManaged    = 0x80
	flagOther      = 0x40
	flagOnLink     = 0x80
	flagAutonomous = 0x40
)

func parseRouterAdvert(h Header, b []byte, opts options) (Message, error) {
	if !h.Src.IsLinkLocalUnicast() {
		return nil, &InvalidError{"RFC 4861, section 6.1.2", "source is not link-local"}
	}
	m := &RouterAdvert{
		CurHopLimit:    b[4],
		Managed:        b[5]&flagManaged != 0,
		Other:          b[5]&flagOther != 0,
		RouterLifetime: time.Duration(binary.BigEndian.Uint16(b[6:])) * time.Second,
		ReachableTime:  time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Millisecond,
		RetransTimer:   time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Millisecond,
		SourceLinkAddr: opts.linkAddr(optSourceLinkAddr),
	}
	// RFC 4191, section 2.2: the preference is ignored if the Router Lifetime
	// is zero, and the reserved value counts as medium.
	if m.RouterLifetime > 0 {
		m.Preference, _ = preference(b[5])
	}
	for kind, body := range opts.all() {
		m.addOption(kind, body)
	}
	return m, nil
}

// addOption takes over one option of a Router Advertisement, or ignores it.
func (m *RouterAdvert) addOption(kind uint8, body []byte) {
	switch kind {
	case optSourceLinkAddr:
		// Parsed already.
	case optMTU:
		if m.MTU == 0 && len(body) == 6 {
			m.MTU = binary.BigEndian.Uint32(body[2:])
		}
	case optPrefixInfo:
		if p, ok := parsePrefixInformation(body); ok {
			m.Prefixes = append(m.Prefixes, p)
		}
	case optRouteInfo:
		if r, ok := parseRouteInformation(body); ok {
			m.Routes = append(m.Routes, r)
		}
	case optRecursiveDNS:
		if d, ok := parseRecursiveDNS(body); ok {
			m.DNSServers = append(m.DNSServers, d)
		}
	case optDNSSearchList:
		if d, ok := parseDNSSearchList(body); ok {
			m.DNSSearch = append(m.DNSSearch, d)
		}
	case optCaptivePortal:
		uri := strings.TrimRight(string(body), "\x00")
		switch {
		case !isURI(uri):
			m.addUnknown(kind, body)
		case m.CaptivePortal == "":
			m.CaptivePortal = uri
		}
	default:
		m.addUnknown(kind, body)
	}
}

func (m *RouterAdvert) addUnknown(kind uint8, body []byte) {
	m.Unknown = append(m.Unknown, RawOption{Type: kind, Body: append([]byte{}, body...)})
}

func appendRouterAdvert(b []byte, m *RouterAdvert) []byte {
	flags := flagManaged*bit(m.Managed) | flagOther*bit(m.Other) | preferenceBits(m.Preference)
	b = append(b, typeRouterAdvert, 0, 0, 0, m.CurHopLimit, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(units(m.RouterLifetime, time.Second, 1<<16-1)))
	b = binary.BigEndian.AppendUint32(b, units(m.ReachableTime, time.Millisecond, 1<<32-1))
	b = binary.BigEndian.AppendUint32(b, units(m.RetransTimer, time.Millisecond, 1<<32-1))
	b = appendLinkAddr(b, optSourceLinkAddr, m.SourceLinkAddr)
	if m.MTU != 0 {
		b = binary.BigEndian.AppendUint32(append(b, optMTU, 1, 0, 0), m.MTU)
	}
	for _, p := range m.Prefixes {
		b = appendPrefixInformation(b, p)
	}
	for _, r := range m.Routes {
		b = appendRouteInformation(b, r)
	}
	for _, d := range m.DNSServers {
		b = appendRecursiveDNS(b, d)
	}
	for _, d := range m.DNSSearch {
		b = appendDNSSearchList(b, d)
	}
	b = appendCaptivePortal(b, m.CaptivePortal)
	for _, o := range m.Unknown {
		b = appendRaw(b, o)
	}
	return b
}

// units is d in whole units, held to the range from 0 to most.
func units(d, unit time.Duration, most int64) uint32 {
	return uint32(max(0, min(int64(d/unit), most)))
}

// lifetime reads a field in which all ones mean infinity
// (RFC 4861, section 4.6.2).
func lifetime(b []byte) time.Duration {
	s := binary.BigEndian.Uint32(b)
	if s == 1<<32-1 {
		return Infinity
	}
	return time.Duration(s) * time.Second
}

// appendLifetime writes Infinity as all ones, and keeps a finite time from
// looking like it.
func appendLifetime(b []byte, d time.Duration) []byte {
	if d == Infinity {
		return binary.BigEndian.AppendUint32(b, 1<<32-1)
	}
	return binary.BigEndian.AppendUint32(b, units(d, time.Second, 1<<32-2))
}

// preference reads the bits that are in the same place in a Router
// Advertisement and in a Route Information option (RFC 4191, section 2.1). ok
// is false for the reserved value.
func preference(flags byte) (p Preference, ok bool) {
	switch flags >> 3 & 3 {
	case 0b01:
		return High, true
	case 0b11:
		return Low, true
	case 0b00:
		return Medium, true
	}
	return Medium, false
}

func preferenceBits(p Preference) byte { return byte(p) & 3 << 3 }

func parsePrefixInformation(body []byte) (PrefixInformation, bool) {
	if len(body) != 30 || body[0] > 128 {
		return PrefixInformation{}, false
	}
	return PrefixInformation{
		Prefix:            netip.PrefixFrom(addrAt(body, 14), int(body[0])).Masked(),
		OnLink:            body[1]&flagOnLink != 0,
		Autonomous:        body[1]&flagAutonomous != 0,
		ValidLifetime:     lifetime(body[2:]),
		PreferredLifetime: lifetime(body[6:]),
	}, true
}

func appendPrefixInformation(b []byte, p PrefixInformation) []byte {
	b = append(b, optPrefixInfo, 4, byte(p.Prefix.Bits()),
		flagOnLink*bit(p.OnLink)|flagAutonomous*bit(p.Autonomous))
	b = appendLifetime(b, p.ValidLifetime)
	b = appendLifetime(b, p.PreferredLifetime)
	b = append(b, 0, 0, 0, 0)
	return appendAddr(b, p.Prefix.Masked().Addr())
}

// parseRouteInformation reads an option that leaves out trailing octets of the
// prefix (RFC 4191, section 2.3).
func parseRouteInformation(body []byte) (RouteInformation, bool) {
	p, ok := preference(body[1])
	bits := int(body[0])
	if !ok || len(body) > 22 || bits > 8*(len(body)-6) {
		return RouteInformation{}, false
	}
	var prefix [16]byte
	copy(prefix[:], body[6:])
	return RouteInformation{
		Prefix:     netip.PrefixFrom(netip.AddrFrom16(prefix), bits).Masked(),
		Preference: p,
		Lifetime:   lifetime(body[2:]),
	}, true
}

func appendRouteInformation(b []byte, r RouteInformation) []byte {
	octets := (r.Prefix.Bits() + 63) / 64 * 8
	b = append(b, optRouteInfo, byte(1+octets/8), byte(r.Prefix.Bits()), preferenceBits(r.Preference))
	b = appendLifetime(b, r.Lifetime)
	prefix := r.Prefix.Masked().Addr().As16()
	return append(b, prefix[:octets]...)
}

// parseRecursiveDNS reads an option with at least one server, all of them
// unicast (RFC 8106, section 5.3.1).
func parseRecursiveDNS(body []byte) (RecursiveDNS, bool) {
	if len(body) < 22 || (len(body)-6)%16 != 0 {
		return RecursiveDNS{}, false
	}
	d := RecursiveDNS{Lifetime: lifetime(body[2:])}
	for i := 6; i < len(body); i += 16 {
		a := addrAt(body, i)
		if a.IsMulticast() || a.IsUnspecified() {
			return RecursiveDNS{}, false
		}
		d.Servers = append(d.Servers, a)
	}
	return d, true
}

func appendRecursiveDNS(b []byte, d RecursiveDNS) []byte {
	body := appendLifetime([]byte{0, 0}, d.Lifetime)
	for _, a := range d.Servers {
		body = appendAddr(body, a)
	}
	return appendRaw(b, RawOption{Type: optRecursiveDNS, Body: body})
}

// parseDNSSearchList reads an option with at least one domain
// (RFC 8106, section 5.2).
func parseDNSSearchList(body []byte) (DNSSearchList, bool) {
	d := DNSSearchList{Lifetime: lifetime(body[2:])}
	for rest := body[6:]; len(rest) > 0; {
		name, n, ok := parseDomain(rest)
		if !ok {
			return DNSSearchList{}, false
		}
		rest = rest[n:]
		if name == "" { // the padding has begun
			for _, o := range rest {
				if o != 0 {
					return DNSSearchList{}, false
				}
			}
			break
		}
		d.Domains = append(d.Domains, name)
	}
	return d, len(d.Domains) > 0
}

// parseDomain reads one domain name in the uncompressed form of RFC 1035,
// section 3.1, and tells how many octets it takes. A label must consist of
// letters, digits, hyphens and underscores: anything else would change its
// meaning in a program that reads the name as text.
func parseDomain(b []byte) (name string, n int, ok bool) {
	for n < len(b) {
		length := int(b[n])
		n++
		if length == 0 {
			return name, n, true
		}
		// RFC 1035, section 2.3.4: a name has 255 octets at most, and the
		// last of them is zero.
		if n+length > min(len(b), 254) {
			return "", 0, false
		}
		label := b[n : n+length]
		if !isLabel(label) {
			return "", 0, false
		}
		if name != "" {
			name += "."
		}
		name += string(label)
		n += length
	}
	return "", 0, false
}

func isLabel(b []byte) bool {
	for _, o := range b {
		switch {
		case 'a' <= o && o <= 'z', 'A' <= o && o <= 'Z', '0' <= o && o <= '9', o == '-', o == '_':
		default:
			return false
		}
	}
	return len(b) > 0 && len(b) <= 63
}

func appendDNSSearchList(b []byte, d DNSSearchList) []byte {
	body := appendLifetime([]byte{0, 0}, d.Lifetime)
	for _, name := range d.Domains {
		body = appendDomain(body, name)
	}
	for len(body)%8 != 6 {
		body = append(body, 0)
	}
	return appendRaw(b, RawOption{Type: optDNSSearchList, Body: body})
}

func appendDomain(b []byte, name string) []byte {
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel([]byte(label)) {
			panic(fmt.Sprintf("nd: %q is not a domain name", name))
		}
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// maxURI is the length of the longest URI, in octets (RFC 8910, section 2).
const maxURI = 255

// isURI reports whether s can be the URI of a captive portal. Its syntax is for
// those who use it to check; here it need only be text without blanks, as every
// URI is (RFC 3986, section 2), so that it can be shown and written in one line.
func isURI(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxURI
}

// appendCaptivePortal pads the URI with zeros (RFC 8910, section 2.3).
func appendCaptivePortal(b []byte, uri string) []byte {
	if uri == "" {
		return b
	}
	if !isURI(uri) {
		panic(fmt.Sprintf("nd: %q is not a URI", uri))
	}
	body := []byte(uri)
	for len(body)%8 != 6 {
		body = append(body, 0)
	}
	return appendRaw(b, RawOption{Type: optCaptivePortal, Body: body})
}
