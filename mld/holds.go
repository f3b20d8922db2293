package mld

import "net/netip"

// Holds reports whether h holds group.
func (m *Machine) Holds(a netip.Addr, h Holder) bool {
	if !isGroup(a) {
		return false
	}
	g, ok := m.groups[a.As16()]
	if !ok {
		return false
	}
	_, ok = m.holds[hold{g, h}]
	return ok
}
