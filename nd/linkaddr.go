package nd

import (
	"encoding/hex"
	"fmt"
	"net/netip"
)

// LinkAddr is an Ethernet address. The zero value means "none": it is never
// the address of a node, and an option that carries it is ignored.
type LinkAddr [6]byte

// BroadcastLinkAddr is ff:ff:ff:ff:ff:ff.
var BroadcastLinkAddr = LinkAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ParseLinkAddr parses six two-digit hexadecimal octets parted by colons.
func ParseLinkAddr(s string) (LinkAddr, error) {
	var a LinkAddr
	if len(s) != 17 {
		return LinkAddr{}, fmt.Errorf("%q is not a link-layer address like 02:00:00:00:00:01", s)
	}
	for i := range a {
		if _, err := hex.Decode(a[i:i+1], []byte(s[3*i:3*i+2])); err != nil || i > 0 && s[3*i-1] != ':' {
			return LinkAddr{}, fmt.Errorf("%q is not a link-layer address like 02:00:00:00:00:01", s)
		}
	}
	return a, nil
}

// String returns a in lower-case hexadecimal, its octets parted by colons.
func (a LinkAddr) String() string {
	b := make([]byte, 0, 17)
	for i, o := range a {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, []byte{o})
	}
	return string(b)
}

// AppendText implements encoding.TextAppender.
func (a LinkAddr) AppendText(b []byte) ([]byte, error) { return append(b, a.String()...), nil }

// MarshalText implements encoding.TextMarshaler.
func (a LinkAddr) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *LinkAddr) UnmarshalText(b []byte) (err error) {
	*a, err = ParseLinkAddr(string(b))
	return err
}

// IsMulticast reports whether a is a group address, the broadcast address
// among them.
func (a LinkAddr) IsMulticast() bool { return a[0]&1 != 0 }

// IsZero reports whether a is the zero value, "none".
func (a LinkAddr) IsZero() bool { return a == LinkAddr{} }

// MulticastLinkAddr is the Ethernet address of an IPv6 group
// (RFC 2464, section 7).
func MulticastLinkAddr(group netip.Addr) LinkAddr {
	g := group.As16()
	return LinkAddr{0x33, 0x33, g[12], g[13], g[14], g[15]}
}
