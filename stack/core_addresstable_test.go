package stack

import (
	"net/netip"
	"slices"
	"testing"
)

// Configured addresses come back in their order, each once, and those that were
// removed are forgotten.
func TestConfiguredAddresses(t *testing.T) {
	var s configuredAddresses
	prefix := func(k int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 14: byte(k >> 8), 15: byte(k)}), 64)
	}
	absent := func() (ks []int) {
		table := newAddressTable()
		for _, r := range s.absent(&table) {
			a := r.Prefix.Addr().As16()
			ks = append(ks, int(a[14])<<8|int(a[15]))
		}
		return ks
	}
	for _, k := range []int{5, 1, 3, 5, 2} { // 5 is configured anew
		s.add(AddRequest{AddressConfig: AddressConfig{Prefix: prefix(k)}})
	}
	s.remove(prefix(3).Addr())
	s.remove(prefix(4).Addr())
	if got, want := absent(), []int{1, 5, 2}; !slices.Equal(got, want) {
		t.Errorf("absent %v, want %v", got, want)
	}
	if s.has(prefix(3).Addr()) || !s.has(prefix(5).Addr()) {
		t.Error("3 is configured, or 5 is not")
	}
	for k := range 10_000 {
		s.add(AddRequest{AddressConfig: AddressConfig{Prefix: prefix(100 + k)}})
		s.remove(prefix(100 + k).Addr())
	}
	if n := len(s.order); n > 2*len(s.byAddr)+1 {
		t.Errorf("%d entries for %d addresses", n, len(s.byAddr))
	}
	if got, want := absent(), []int{1, 5, 2}; !slices.Equal(got, want) {
		t.Errorf("absent %v after others came and went, want %v", got, want)
	}
}
