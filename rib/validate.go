package rib

import (
	"errors"
	"fmt"
	"net/netip"
)

// What makes a route impossible. Validate wraps one of them.
var (
	ErrPrefix     = errors.New("rib: no prefix for a route")
	ErrNextHop    = errors.New("rib: no next hop for such a route")
	ErrOrigin     = errors.New("rib: no route can be added with this origin")
	ErrOwner      = errors.New("rib: no owner for such a route")
	ErrPreference = errors.New("rib: unknown preference")
	ErrLifetime   = errors.New("rib: negative lifetime")
)

// ErrRedirect is what ValidateRedirect wraps.
var ErrRedirect = errors.New("rib: no redirect")

var (
	linkLocalUnicast = netip.MustParsePrefix("fe80::/10")
	linkLocalPrefix  = netip.MustParsePrefix("fe80::/64")
)

// Validate says why a Table would ignore ev: nil, or an error that is one of
// ErrPrefix, ErrNextHop, ErrOrigin, ErrOwner, ErrPreference and ErrLifetime.
//
// Every gateway that is a unicast address will do. That it is a neighbor need
// not follow from the table: naming it by hand says so, and its on-link prefix
// may well come later than the route.
func Validate(ev Add) error {
	if err := validatePrefix(ev.Prefix); err != nil {
		return err
	}
	if err := validateOrigin(ev.Key, ev.Owner); err != nil {
		return err
	}
	switch {
	case ev.Preference < -1 || ev.Preference > 1:
		return fmt.Errorf("%w %d", ErrPreference, ev.Preference)
	case ev.Lifetime < 0:
		return fmt.Errorf("%w %v", ErrLifetime, ev.Lifetime)
	}
	return nil
}

// ValidateRedirect says why a Table would ignore ev, whatever it knows: nil, or
// an error that is ErrRedirect. The target needs no on-link prefix: "Part of
// the semantics of the Redirect message is that the Target Address is on-link"
// (RFC 4861, section 8.1).
func ValidateRedirect(ev Redirect) error {
	bad := func(a netip.Addr, why string) error { return fmt.Errorf("%w: %v %s", ErrRedirect, a, why) }
	switch {
	case !isUnicast(ev.Dst) || ev.Dst.IsLoopback():
		return bad(ev.Dst, "is no unicast destination")
	case ev.Target != ev.Dst && !isRouter(ev.Target):
		return bad(ev.Target, "is neither the destination nor the address of a router")
	case ev.Target != ev.Dst && ev.Dst.IsLinkLocalUnicast():
		return bad(ev.Dst, "is link-local: no router leads there")
	case ev.Src.IsValid() && !isUnicast(ev.Src):
		return bad(ev.Src, "is no unicast source")
	case ev.From.IsValid() && !isRouter(ev.From):
		return bad(ev.From, "is not the address of a router")
	}
	return nil
}

// validatePrefix refuses what only the interface itself can bring: groups, the
// loopback address, and everything link-local. An advertised fe80::/64 is
// ignored by RFC 4861, section 6.3.4.
func validatePrefix(p netip.Prefix) error {
	bad := func(why string) error { return fmt.Errorf("%w: %v %s", ErrPrefix, p, why) }
	within := func(all netip.Prefix) bool { return p.Bits() >= all.Bits() && all.Contains(p.Addr()) }
	addr := p.Addr()
	switch {
	case !p.IsValid() || !addr.Is6():
		return bad("is not an IPv6 prefix")
	case p != p.Masked():
		return bad("has bits set behind its length")
	case addr.Is4In6():
		return bad("is IPv4-mapped")
	case addr.IsMulticast():
		return bad("is multicast")
	case p.IsSingleIP() && addr.IsUnspecified():
		return bad("is the unspecified address")
	case p.IsSingleIP() && addr.IsLoopback():
		return bad("is the loopback address")
	case within(linkLocalUnicast):
		return bad("is link-local: that is the interface's own")
	}
	return nil
}

// validateOrigin holds origin, next hop and owner together. An address is no
// owner here: RFC 5942, section 4(1), lets it bring no prefix but the one that
// was stated with it, and that comes with Assign.
func validateOrigin(k Key, o Owner) error {
	switch k.Origin {
	case OnLink:
		if k.NextHop != (netip.Addr{}) {
			return fmt.Errorf("%w: %v is on-link", ErrNextHop, k.Prefix)
		}
	case StaticOrigin, RA:
		if !isUnicast(k.NextHop) || k.NextHop.IsLoopback() {
			return fmt.Errorf("%w: %v is not the unicast address of a gateway", ErrNextHop, k.NextHop)
		}
	default:
		return fmt.Errorf("%w: %v", ErrOrigin, k.Origin)
	}

	switch {
	case o.Kind == OwnerStatic && o == Owner{Kind: OwnerStatic} && k.Origin != RA:
		return nil
	case o.Kind == OwnerRouter && k.Origin == OnLink && isRouter(o.Addr):
		return nil
	case o.Kind == OwnerRouter && k.Origin == RA && isRouter(o.Addr):
		// RFC 4191, section 2.3: the next hop is the router that advertised.
		if k.NextHop != o.Addr {
			return fmt.Errorf("%w: %v is not the router %v", ErrNextHop, k.NextHop, o.Addr)
		}
		return nil
	}
	return fmt.Errorf("%w: %v", ErrOwner, o)
}

// isRouter reports whether a can be the source of a Router Advertisement
// (RFC 4861, section 6.1.2).
func isRouter(a netip.Addr) bool {
	return isUnicast(a) && a.IsLinkLocalUnicast()
}

// isUnicast reports whether a is an IPv6 unicast address without a zone: the
// interface is the zone.
func isUnicast(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.Zone() == "" && !a.IsMulticast() && !a.IsUnspecified()
}
