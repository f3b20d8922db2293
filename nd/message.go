package nd

import (
	"encoding/hex"
	"net/netip"
	"time"
)

// Well-known groups (RFC 4291, section 2.7.1).
var (
	AllNodes   = netip.MustParseAddr("ff02::1")
	AllRouters = netip.MustParseAddr("ff02::2")
)

// SolicitedNode returns the solicited-node group of a
// (RFC 4291, section 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// Header is what a machine needs to know of the packet around a message.
type Header struct {
	Src, Dst netip.Addr // without zones
	From     LinkAddr   // the source of the Ethernet frame
}

// Message is one of *NeighborSolicit, *NeighborAdvert, *RouterSolicit,
// *RouterAdvert and *Redirect. A Message that Parse returned is valid by every
// rule of RFC 4861; machines need not check it again.
type Message interface{ isMessage() }

// Nonce is the value of a Nonce option (RFC 3971, section 5.3.2): 6 octets or
// more; empty when the option is absent.
type Nonce string

// String returns n in hexadecimal.
func (n Nonce) String() string { return hex.EncodeToString([]byte(n)) }

// NeighborSolicit is a Neighbor Solicitation (RFC 4861, section 4.3).
type NeighborSolicit struct {
	Target         netip.Addr
	SourceLinkAddr LinkAddr // Source Link-Layer Address option; zero: absent
	Nonce          Nonce    // Nonce option (RFC 7527); empty: absent
}

// NeighborAdvert is a Neighbor Advertisement (RFC 4861, section 4.4).
type NeighborAdvert struct {
	Target                      netip.Addr
	Router, Solicited, Override bool
	TargetLinkAddr              LinkAddr // Target Link-Layer Address option; zero: absent
}

// RouterSolicit is a Router Solicitation (RFC 4861, section 4.1).
type RouterSolicit struct {
	SourceLinkAddr LinkAddr // zero: absent
}

// RouterAdvert is a Router Advertisement (RFC 4861, section 4.2) with the
// options of RFC 4861, 4191, 8106 and 8910.
type RouterAdvert struct {
	CurHopLimit    uint8 // 0: unspecified
	Managed, Other bool
	Preference     Preference
	RouterLifetime time.Duration // whole seconds, 0 to 65,535
	ReachableTime  time.Duration // whole milliseconds, 0: unspecified
	RetransTimer   time.Duration // whole milliseconds, 0: unspecified
	SourceLinkAddr LinkAddr      // zero: absent
	MTU            uint32        // 0: absent
	Prefixes       []PrefixInformation
	Routes         []RouteInformation
	DNSServers     []RecursiveDNS
	DNSSearch      []DNSSearchList
	CaptivePortal  string      // Captive-Portal option, a URI; empty: absent
	Unknown        []RawOption // options that this package does not decode
}

// Infinity is the lifetime that never ends, 0xffffffff on the wire.
const Infinity time.Duration = 1<<63 - 1

// Preference is a default router or route preference (RFC 4191, section 2.1).
type Preference int8

// The zero value is Medium.
const (
	Low    Preference = -1
	Medium Preference = 0
	High   Preference = 1
)

// PrefixInformation is a Prefix Information option (RFC 4861, section 4.6.2).
type PrefixInformation struct {
	Prefix                           netip.Prefix // masked
	OnLink, Autonomous               bool
	ValidLifetime, PreferredLifetime time.Duration // whole seconds or Infinity
}

// RouteInformation is a Route Information option (RFC 4191, section 2.3).
type RouteInformation struct {
	Prefix     netip.Prefix // masked
	Preference Preference
	Lifetime   time.Duration // whole seconds or Infinity
}

// RecursiveDNS is a Recursive DNS Server option (RFC 8106, section 5.1).
type RecursiveDNS struct {
	Servers  []netip.Addr
	Lifetime time.Duration // whole seconds or Infinity
}

// DNSSearchList is a DNS Search List option (RFC 8106, section 5.2).
type DNSSearchList struct {
	Domains  []string
	Lifetime time.Duration // whole seconds or Infinity
}

// RawOption is an option kept as it came: its type and what follows the
// length octet.
type RawOption struct {
	Type uint8
	Body []byte
}

// Redirect is a Redirect (RFC 4861, section 4.5).
type Redirect struct {
	Target, Destination netip.Addr
	TargetLinkAddr      LinkAddr // zero: absent
	Redirected          []byte   // Redirected Header option: the packet, as far as it fits; nil: absent
}

func (*NeighborSolicit) isMessage() {}
func (*NeighborAdvert) isMessage()  {}
func (*RouterSolicit) isMessage()   {}
func (*RouterAdvert) isMessage()    {}
func (*Redirect) isMessage()        {}

// Random is the one source of chance of all machines. An oracle answers it
// from a script: each call is a choice that the host made.
type Random interface {
	// Between draws from the uniform distribution over [lo, hi].
	Between(lo, hi time.Duration) time.Duration
	// Nonce draws six unpredictable octets.
	Nonce() Nonce
}
