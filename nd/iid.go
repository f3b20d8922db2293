package nd

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// InterfaceID is the interface identifier of an address: its last octets.
type InterfaceID [8]byte

// EUI64 returns the Modified EUI-64 identifier of an Ethernet address: its
// universal/local bit is complemented (RFC 2464, section 4).
func EUI64(l LinkAddr) InterfaceID {
	return InterfaceID{l[0] ^ 0x02, l[1], l[2], 0xff, 0xfe, l[3], l[4], l[5]}
}

// StableIID returns the identifier of RFC 7217, section 5, for an interface in
// the subnet of prefix: the same arguments give the same identifier, and
// nobody without the secret can tell it from a random one. netIface names the
// interface; networkID, which may be empty, the network; dadCounter is the
// number of identifiers that were refused before this one.
//
// F is HMAC-SHA-256 with the secret as its key, over the prefix, its length,
// the two names, each after its length so that no two sets of arguments give
// the same octets, and the counter.
func StableIID(prefix netip.Prefix, netIface, networkID string, dadCounter uint32, secret []byte) InterfaceID {
	subnet := prefix.Masked().Addr().As16()
	b := append(subnet[:], byte(prefix.Bits()))
	for _, name := range []string{netIface, networkID} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(name)))
		b = append(b, name...)
	}
	b = binary.BigEndian.AppendUint32(b, dadCounter)
	f := hmac.New(sha256.New, secret)
	f.Write(b)
	rid := f.Sum(nil)
	// "taking as many bits from the RID value ... as necessary, starting from
	// the least significant bit"
	return InterfaceID(rid[len(rid)-len(InterfaceID{}):])
}

// randomIID returns the identifier of RFC 8981, section 3.3.1.
func randomIID(r Random) InterfaceID {
	var id InterfaceID
	n := copy(id[:], r.Nonce())
	copy(id[n:], r.Nonce())
	return id
}

// IsReserved reports whether id is the subnet-router anycast address's or that
// of a reserved subnet anycast address (RFC 5453, section 3).
func (id InterfaceID) IsReserved() bool {
	n := binary.BigEndian.Uint64(id[:])
	return n == 0 || n >= 0xfdff_ffff_ffff_ff80 && n <= 0xfdff_ffff_ffff_ffff
}

// on returns the address of id in a subnet; the prefix takes the place of the
// identifier's first bits.
func (id InterfaceID) on(prefix netip.Prefix) netip.Addr {
	a := prefix.Masked().Addr().As16()
	for i, b := range id {
		at := len(a) - len(id) + i
		free := min(max(8*(at+1)-prefix.Bits(), 0), 8) // bits of this octet that are not the prefix's
		a[at] |= b & byte(1<<free-1)
	}
	return netip.AddrFrom16(a)
}
