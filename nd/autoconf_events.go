package nd

import (
	"net/netip"
	"time"
)

// AutoconfEvent is an input of Autoconf.
type AutoconfEvent interface{ isAutoconfEvent() }

type (
	// AutoconfUp says that the interface begins to work: its link-local
	// address is formed (RFC 4862, section 5.3) unless NoLinkLocal says that
	// this time another takes its place, which an operator configured after
	// it was a duplicate (RFC 4862, section 5.4.5). A second one changes
	// nothing.
	AutoconfUp struct{ NoLinkLocal bool }
	// AutoconfLinkAddr says that the interface has another link-layer address.
	// HardwareIdentifiers are made of it from now on; addresses that there are
	// stay. One that no node can have is ignored.
	AutoconfLinkAddr struct{ LinkAddr LinkAddr }
	// AutoconfDown says that the interface works no more, or that its link may
	// be another one when it does again. Every address is removed, and all is
	// forgotten save the claims and the DAD counters. After a short loss of
	// the link its owner may well say nothing, and test the addresses anew.
	AutoconfDown struct{}
	// AutoconfPrefix is a Prefix Information option of a valid Router
	// Advertisement. FromMulticast says that the advertisement was sent to a
	// group.
	AutoconfPrefix struct {
		PrefixInformation
		FromMulticast bool
	}
	// AddressAssigned says that Addr has passed Duplicate Address Detection.
	AddressAssigned struct{ Addr netip.Addr }
	// AddressDuplicate says that Addr has not: its owner has removed it.
	AddressDuplicate struct{ Addr netip.Addr }
	// AddressRemoved says that somebody else has removed Addr. No address of
	// its kind is formed again for its prefix until AutoconfDown.
	AddressRemoved struct{ Addr netip.Addr }
	// AddressClaimed says that Addr is configured by other means. It is never
	// formed, and if it was formed before, it is left to the claim.
	AddressClaimed struct{ Addr netip.Addr }
	// AddressReleased ends the claim of Addr.
	AddressReleased struct{ Addr netip.Addr }
)

func (AutoconfUp) isAutoconfEvent()       {}
func (AutoconfLinkAddr) isAutoconfEvent() {}
func (AutoconfDown) isAutoconfEvent()     {}
func (AutoconfPrefix) isAutoconfEvent()   {}
func (AddressAssigned) isAutoconfEvent()  {}
func (AddressDuplicate) isAutoconfEvent() {}
func (AddressRemoved) isAutoconfEvent()   {}
func (AddressClaimed) isAutoconfEvent()   {}
func (AddressReleased) isAutoconfEvent()  {}

// AutoconfAction is an output of Autoconf.
type AutoconfAction interface{ isAutoconfAction() }

type (
	// AddAddress asks for Duplicate Address Detection of Addr and, if it is
	// unique, its assignment; AddressAssigned or AddressDuplicate tells how it
	// ended.
	AddAddress struct {
		Addr      netip.Addr
		PrefixLen int
		Kind      AutoconfKind
		// Hardware says that the identifier was made of the link-layer address
		// (RFC 4862, section 5.4.5, has IPv6 disabled if such a link-local
		// address is a duplicate).
		Hardware bool
		// SameIdentifier says that the identifier is that of the link-local
		// address, which was formed here too and is no duplicate so far
		// (RFC 2462, section 5.4, lets one test do for both).
		SameIdentifier bool
		// FromMulticastRA says that a multicast advertisement made this and
		// other hosts form an address at the same moment, so that the first
		// solicitation has to be delayed (RFC 4862, section 5.4.2).
		FromMulticastRA bool
		// Preferred and Valid run from now on, also while the address is
		// tested. Infinity is possible; a zero Preferred means that the
		// address begins deprecated.
		Preferred, Valid time.Duration
	}
	// UpdateLifetimes says that the lifetimes of Addr are other ones from now
	// on. With Preferred above zero Addr is preferred, also if it was
	// deprecated before.
	UpdateLifetimes struct {
		Addr             netip.Addr
		Preferred, Valid time.Duration
	}
	// DeprecateAddress says that the preferred lifetime of Addr has ended
	// (RFC 4862, section 5.5.4).
	DeprecateAddress struct{ Addr netip.Addr }
	// RemoveAddress says that the valid lifetime of Addr has ended, or that
	// the interface is down.
	RemoveAddress struct{ Addr netip.Addr }
	// IdentifiersExhausted says that every address of this kind that was tried
	// for Prefix is a duplicate, and that no other is tried until
	// AutoconfDown. It is worth a line in the log (RFC 8981, section 3.4).
	IdentifiersExhausted struct {
		Prefix netip.Prefix
		Kind   AutoconfKind
	}
	// SaveCounter asks to keep the DAD_Counter of a prefix for a later
	// AutoconfConfig.Counters (RFC 7217, section 6).
	SaveCounter DADCounter
)

func (AddAddress) isAutoconfAction()           {}
func (UpdateLifetimes) isAutoconfAction()      {}
func (DeprecateAddress) isAutoconfAction()     {}
func (RemoveAddress) isAutoconfAction()        {}
func (IdentifiersExhausted) isAutoconfAction() {}
func (SaveCounter) isAutoconfAction()          {}

// AutoconfKind is a kind of autoconfigured address.
type AutoconfKind uint8

const (
	LinkLocalAddress AutoconfKind = iota
	StableAddress
	TemporaryAddress // RFC 8981
)

// String returns "link-local", "stable" or "temporary".
func (k AutoconfKind) String() string {
	return [...]string{"link-local", "stable", "temporary"}[k]
}

// DADCounter is the DAD_Counter of RFC 7217 for the addresses of a prefix.
type DADCounter struct {
	Prefix  netip.Prefix
	Counter uint32
}
