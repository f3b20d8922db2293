package mld

import (
	"fmt"
	"net/netip"
	"slices"
)

// ChangeError says why a Change can never be made.
type ChangeError struct {
	Group netip.Addr
	Rule  string // what the change does not fulfil
}

func (e *ChangeError) Error() string { return "group " + e.Group.String() + " " + e.Rule }

// LimitError says which bound of the Config a Change would exceed.
type LimitError struct {
	What string // "groups", "holders" or "sources of one group"
	Max  int
}

func (e *LimitError) Error() string { return fmt.Sprintf("more than %d %s", e.Max, e.What) }

// Validate reports what can never be right about a change, as a *ChangeError:
// a group that is not multicast, a source that is not unicast, a
// source-specific group (RFC 4607, section 1) without sources to listen to,
// which a host is to refuse (RFC 4604).
func (c Change) Validate() error {
	switch {
	case !isGroup(c.Group):
		return &ChangeError{c.Group, "is not an IPv6 multicast address"}
	case c.ends():
		return nil
	case c.filter().Mode == Exclude && isSourceSpecific(c.Group):
		return &ChangeError{c.Group, "is source-specific and needs sources to include"}
	}
	for _, s := range c.filter().Sources {
		if !isSource(s) {
			return &ChangeError{c.Group, "cannot have packets from " + s.String() + ", which is not an IPv6 unicast address"}
		}
	}
	return nil
}

// Check returns the error with which Step would ignore the change now: what
// Validate finds, or a *LimitError. "If system resource limits are reached
// [...] an error MUST be returned to the application which requested the
// operation." (RFC 3810, section 4.2)
func (m *Machine) Check(c Change) error {
	if err := c.Validate(); err != nil || c.ends() {
		return err
	}
	g := m.groups[c.Group.As16()]
	old, held := m.holds[hold{g, c.Holder}]
	switch {
	case g == nil && len(m.groups) >= m.cfg.MaxGroups:
		return &LimitError{"groups", m.cfg.MaxGroups}
	case !held && len(m.holds) >= m.cfg.MaxHolders:
		return &LimitError{"holders", m.cfg.MaxHolders}
	case len(c.filter().Sources) > 0 && g.sourcesWith(old, c.filter().Normal()) > m.cfg.MaxSources:
		return &LimitError{"sources of one group", m.cfg.MaxSources}
	}
	return nil
}

// sourcesWith is how many sources the filters of g, which may be nil, name if
// f takes the place of old, which is nil if it names none.
func (g *group) sourcesWith(old *Filter, f Filter) int {
	if g == nil {
		return len(f.Sources)
	}
	n := len(g.tally)
	for _, s := range f.Sources {
		if _, ok := g.tally[s]; !ok {
			n++
		}
	}
	if old == nil {
		return n
	}
	for _, s := range old.Sources {
		_, stays := slices.BinarySearchFunc(f.Sources, s, netip.Addr.Compare)
		if t := g.tally[s]; !stays && t.include+t.exclude == 1 {
			n--
		}
	}
	return n
}

// isSourceSpecific reports whether a is of ff3x::/32 (RFC 4607, section 1).
func isSourceSpecific(a netip.Addr) bool {
	b := a.As16()
	return b[0] == 0xff && b[1]>>4 == 3 && b[2] == 0 && b[3] == 0
}
