package nd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// ICMPv6 types (RFC 4861, section 4).
const (
	typeRouterSolicit   = 133
	typeRouterAdvert    = 134
	typeNeighborSolicit = 135
	typeNeighborAdvert  = 136
	typeRedirect        = 137
)

// Flags in the fifth octet of a Neighbor Advertisement
// (RFC 4861, section 4.4).
const (
	flagRouter    = 0x80
	flagSolicited = 0x40
	flagOverride  = 0x20
)

// ErrType says that an ICMPv6 message is of a type that is not Neighbor
// Discovery's: Parse has looked at nothing else.
var ErrType = errors.New("not a Neighbor Discovery message")

// InvalidError says which rule a message breaks. A node discards such a
// message silently.
type InvalidError struct {
	Section string // that has the rule, for example "RFC 4861, section 7.1.1"
	Rule    string // what is wrong, one of a fixed set of texts
}

func (e *InvalidError) Error() string {
	return "invalid Neighbor Discovery message: " + e.Rule + " (" + e.Section + ")"
}

// layout is what Parse must know of a type before it can look for options.
type layout struct {
	section string // of the validity rules
	length  int    // of the part before the options, in octets
}

// layouts are the types that Parse knows, by type.
var layouts = [...]layout{
	typeRouterSolicit:   {"RFC 4861, section 6.1.1", 8},
	typeRouterAdvert:    {"RFC 4861, section 6.1.2", 16},
	typeNeighborSolicit: {"RFC 4861, section 7.1.1", 24},
	typeNeighborAdvert:  {"RFC 4861, section 7.1.2", 24},
	typeRedirect:        {"RFC 4861, section 8.1", 40},
}

// Parse decodes the ICMPv6 message b, which came in a packet with the given
// header and hop limit, and verifies it: its checksum, and every validity rule
// of RFC 4861 that the message alone can break. Left to the caller is whether a
// Redirect comes from the current first hop of its destination
// (RFC 4861, section 8.1), and whether this node is one that handles the type.
//
// The error is ErrType or an *InvalidError. Parse does not keep b.
//
// Reserved fields, unknown options, and options that do not belong to the
// message are ignored (RFC 4861, section 9). So is a known option with a
// length that its definition does not allow, and a link-layer address option
// that holds no address of one node: all zero, or a group's. A captive portal
// that is no URI is like an unknown option. Of an option that a message can have
// once, the first that is not ignored counts.
func Parse(h Header, hopLimit uint8, b []byte) (Message, error) {
	return new(Parser).Parse(h, hopLimit, b)
}

// Parser is Parse for those who look at one message at a time. The most frequent
// one, a *NeighborSolicit, it parses into the same memory again and again: it
// is valid until the next call.
type Parser struct{ solicit NeighborSolicit }

// Parse is the function Parse.
func (p *Parser) Parse(h Header, hopLimit uint8, b []byte) (Message, error) {
	if len(b) < 4 {
		return nil, &InvalidError{"RFC 4443, section 2.1", "message is shorter than an ICMPv6 header"}
	}
	if b[0] < typeRouterSolicit || b[0] > typeRedirect {
		return nil, ErrType
	}
	l := layouts[b[0]]
	if err := checkHeader(l, h, hopLimit, b); err != nil {
		return nil, err
	}
	opts := options(b[l.length:])
	if err := opts.check(l.section); err != nil {
		return nil, err
	}
	switch b[0] {
	case typeRouterSolicit:
		return parseRouterSolicit(h, opts)
	case typeRouterAdvert:
		return parseRouterAdvert(h, b, opts)
	case typeNeighborSolicit:
		return p.parseNeighborSolicit(h, b, opts)
	case typeNeighborAdvert:
		return parseNeighborAdvert(h, b, opts)
	default:
		return parseRedirect(h, b, opts)
	}
}

// checkHeader verifies what is the same for each type.
func checkHeader(l layout, h Header, hopLimit uint8, b []byte) error {
	switch {
	case !h.Src.Is6() || !h.Dst.Is6():
		return &InvalidError{"RFC 8200, section 3", "address is not an IPv6 address"}
	case hopLimit != 255:
		return &InvalidError{l.section, "hop limit is not 255"}
	case onesSum(h.Src, h.Dst, b) != 0xffff:
		return &InvalidError{l.section, "checksum is wrong"}
	case b[1] != 0:
		return &InvalidError{l.section, "code is not 0"}
	case len(b) < l.length:
		return &InvalidError{l.section, "message is too short"}
	// The next two are no rules of RFC 4861, but a packet from such an
	// address must not exist, and the address must not enter a cache.
	case h.Src.IsMulticast():
		return &InvalidError{"RFC 4291, section 2.7", "source is a multicast address"}
	case h.Src.IsLoopback():
		return &InvalidError{"RFC 4291, section 2.5.3", "source is the loopback address"}
	}
	return nil
}

func parseRouterSolicit(h Header, opts options) (Message, error) {
	if h.Src.IsUnspecified() && opts.has(optSourceLinkAddr) {
		return nil, &InvalidError{"RFC 4861, section 6.1.1", "source is unspecified, but has a link-layer address"}
	}
	return &RouterSolicit{SourceLinkAddr: opts.linkAddr(optSourceLinkAddr)}, nil
}

func (p *Parser) parseNeighborSolicit(h Header, b []byte, opts options) (Message, error) {
	const section = "RFC 4861, section 7.1.1"
	m := &p.solicit
	*m = NeighborSolicit{Target: addrAt(b, 8)}
	switch {
	case m.Target.IsMulticast():
		return nil, &InvalidError{section, "target is a multicast address"}
	case h.Src.IsUnspecified() && h.Dst.WithZone("") != SolicitedNode(h.Dst):
		return nil, &InvalidError{section, "source is unspecified, but destination is not a solicited-node group"}
	// An option is in the message whatever it holds, so one that would be
	// ignored for its value breaks this rule too.
	case h.Src.IsUnspecified() && opts.has(optSourceLinkAddr):
		return nil, &InvalidError{section, "source is unspecified, but has a link-layer address"}
	}
	m.SourceLinkAddr = opts.linkAddr(optSourceLinkAddr)
	m.Nonce = opts.nonce()
	return m, nil
}

func parseNeighborAdvert(h Header, b []byte, opts options) (Message, error) {
	const section = "RFC 4861, section 7.1.2"
	m := &NeighborAdvert{
		Target:    addrAt(b, 8),
		Router:    b[4]&flagRouter != 0,
		Solicited: b[4]&flagSolicited != 0,
		Override:  b[4]&flagOverride != 0,
	}
	switch {
	case m.Target.IsMulticast():
		return nil, &InvalidError{section, "target is a multicast address"}
	case h.Dst.IsMulticast() && m.Solicited:
		return nil, &InvalidError{section, "destination is multicast, but Solicited is set"}
	}
	m.TargetLinkAddr = opts.linkAddr(optTargetLinkAddr)
	return m, nil
}

func parseRedirect(h Header, b []byte, opts options) (Message, error) {
	const section = "RFC 4861, section 8.1"
	m := &Redirect{Target: addrAt(b, 8), Destination: addrAt(b, 24)}
	switch {
	case !h.Src.IsLinkLocalUnicast():
		return nil, &InvalidError{section, "source is not link-local"}
	case m.Destination.IsMulticast():
		return nil, &InvalidError{section, "redirected destination is a multicast address"}
	case !m.Target.IsLinkLocalUnicast() && m.Target != m.Destination:
		return nil, &InvalidError{section, "target is neither link-local nor the redirected destination"}
	}
	m.TargetLinkAddr = opts.linkAddr(optTargetLinkAddr)
	m.Redirected = opts.redirected()
	return m, nil
}

// Append appends m as an ICMPv6 message, with the checksum that it has between
// src and dst, and returns the extended slice. Options come in the order of
// m's fields. Times are cut to their field's unit and to the range that it can
// hold, Redirected to the longest that an option can hold. Append panics if m
// has a value that no message can carry, such as a nonce that does not fill
// its option: one of 6, 14, 22 … octets does.
func Append(b []byte, src, dst netip.Addr, m Message) []byte {
	start := len(b)
	switch m := m.(type) {
	case *RouterSolicit:
		b = append(b, typeRouterSolicit, 0, 0, 0, 0, 0, 0, 0)
		b = appendLinkAddr(b, optSourceLinkAddr, m.SourceLinkAddr)
	case *RouterAdvert:
		b = appendRouterAdvert(b, m)
	case *NeighborSolicit:
		b = append(b, typeNeighborSolicit, 0, 0, 0, 0, 0, 0, 0)
		b = appendAddr(b, m.Target)
		b = appendLinkAddr(b, optSourceLinkAddr, m.SourceLinkAddr)
		b = appendNonce(b, m.Nonce)
	case *NeighborAdvert:
		b = append(b, typeNeighborAdvert, 0, 0, 0,
			flagRouter*bit(m.Router)|flagSolicited*bit(m.Solicited)|flagOverride*bit(m.Override), 0, 0, 0)
		b = appendAddr(b, m.Target)
		b = appendLinkAddr(b, optTargetLinkAddr, m.TargetLinkAddr)
	case *Redirect:
		b = append(b, typeRedirect, 0, 0, 0, 0, 0, 0, 0)
		b = appendAddr(b, m.Target)
		b = appendAddr(b, m.Destination)
		b = appendLinkAddr(b, optTargetLinkAddr, m.TargetLinkAddr)
		b = appendRedirected(b, m.Redirected)
	default:
		panic(fmt.Sprintf("nd: Append of a %T", m))
	}
	checksum.Put(b[start+2:], ^onesSum(src, dst, b[start:]))
	return b
}

// onesSum is the one's complement sum over the pseudo-header and the message b
// (RFC 8200, section 8.1). Over a message with a right checksum it is 0xffff.
func onesSum(src, dst netip.Addr, b []byte) uint16 {
	const nextHeader = 58 // ICMPv6
	var pseudo [40]byte
	s, d := src.As16(), dst.As16()
	copy(pseudo[:], s[:])
	copy(pseudo[16:], d[:])
	binary.BigEndian.PutUint32(pseudo[32:], uint32(len(b)))
	pseudo[39] = nextHeader
	return checksum.Checksum(b, checksum.Checksum(pseudo[:], 0))
}

func addrAt(b []byte, offset int) netip.Addr { return netip.AddrFrom16([16]byte(b[offset:])) }

func appendAddr(b []byte, a netip.Addr) []byte {
	o := a.As16()
	return append(b, o[:]...)
}

func bit(set bool) byte {
	if set {
		return 1
	}
	return 0
}
