package dad

import (
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// Mode says how an address is to be tested.
type Mode uint8

const (
	// Normal is RFC 4862, section 5.4: the address is assigned after it
	// proved unique.
	Normal Mode = iota
	// Optimistic is RFC 4429: the address is usable while it is tested.
	Optimistic
	// Off assigns without a test.
	Off
)

// Event is an input of Machine.
type Event interface{ isEvent() }

type (
	// Start begins with an address that the machine does not know yet; for
	// one that it knows, it is ignored.
	Start struct {
		Addr netip.Addr
		Mode Mode
		// Anycast addresses are assigned without a test
		// (RFC 4862, section 5.4).
		Anycast bool
		// First says that nothing was sent on the interface since it was
		// (re)initialised, so that a random delay is due
		// (RFC 4862, section 5.4.2).
		First bool
		// FromMulticastRA says that the address stems from a Router
		// Advertisement sent to a group (RFC 4862, section 5.4.2).
		FromMulticastRA bool
	}
	// Stop ends what the machine does with an address, in any state.
	Stop struct{ Addr netip.Addr }
	// Accept ends endless probing on a link that loops frames back: the
	// address is assigned (RFC 7527, section 4.1). It is ignored unless a
	// probe of this address was looped back.
	Accept struct{ Addr netip.Addr }
	// Solicit is a received Neighbor Solicitation.
	Solicit struct {
		nd.Header
		*nd.NeighborSolicit
	}
	// Advert is a received Neighbor Advertisement.
	Advert struct {
		nd.Header
		*nd.NeighborAdvert
	}
	// SendFailed says that the last probe of Addr could not be sent.
	SendFailed struct{ Addr netip.Addr }
	// SetRetransTimer changes RetransTimer for deadlines that are set from
	// now on (RFC 4861, section 6.3.4).
	SetRetransTimer struct{ RetransTimer time.Duration }
	// SetLinkAddr changes the interface's link-layer address.
	SetLinkAddr struct{ LinkAddr nd.LinkAddr }
)

func (Start) isEvent()           {}
func (Stop) isEvent()            {}
func (Accept) isEvent()          {}
func (Solicit) isEvent()         {}
func (Advert) isEvent()          {}
func (SendFailed) isEvent()      {}
func (SetRetransTimer) isEvent() {}
func (SetLinkAddr) isEvent()     {}

// Action is an output of Machine.
type Action interface{ isAction() }

type (
	// Listen opens the receive filter of Addr's solicited-node group without
	// a report: it comes before Join where the report is delayed.
	Listen struct{ Addr, Group netip.Addr }
	// Join joins Addr's solicited-node group and reports it. It comes before
	// the first Probe.
	Join struct{ Addr, Group netip.Addr }
	// Leave gives up Addr's hold on the group, after Listen or Join.
	Leave struct{ Addr, Group netip.Addr }
	// Probe sends a Neighbor Solicitation for Addr from the unspecified
	// address to Group; Nonce is empty without Enhanced DAD.
	Probe struct {
		Addr, Group netip.Addr
		Nonce       nd.Nonce
	}
	// Assign says that Addr is assigned; with Optimistic set, that it is
	// usable while the test goes on, and a second Assign ends the test.
	Assign struct {
		Addr       netip.Addr
		Optimistic bool
	}
	// Reject says that Addr is a duplicate. The machine has forgotten it;
	// Leave came before.
	Reject struct{ Duplicate *DuplicateError }
	// Fail says that a probe of Addr could not be sent. The machine has
	// forgotten the address; Leave came before.
	Fail struct{ Addr netip.Addr }
	// Looped says that a round of probes of Addr was looped back, Probes
	// times in all, and that another round begins (RFC 7527, section 4.1).
	Looped struct {
		Addr   netip.Addr
		Probes int
	}
)

func (Listen) isAction() {}
func (Join) isAction()   {}
func (Leave) isAction()  {}
func (Probe) isAction()  {}
func (Assign) isAction() {}
func (Reject) isAction() {}
func (Fail) isAction()   {}
func (Looped) isAction() {}

// State is what the machine makes of an address.
type State uint8

const (
	Absent    State = iota // not known, or a duplicate
	Delayed                // before the first probe
	Tentative              // probed
	OptimisticState
	Assigned
)

// Evidence says which message gave a duplicate away.
type Evidence uint8

const (
	FromAdvert  Evidence = iota + 1 // a Neighbor Advertisement
	FromSolicit                     // a Neighbor Solicitation from the unspecified address
)

// String returns the message's name.
func (e Evidence) String() string {
	switch e {
	case FromAdvert:
		return "neighbor advertisement"
	case FromSolicit:
		return "neighbor solicitation"
	}
	return "unknown"
}

// DuplicateError says that another node uses or claims an address.
type DuplicateError struct {
	Addr netip.Addr
	// LinkAddr is the other node's: the advertisement's Target Link-Layer
	// Address if present, else the source of the frame.
	LinkAddr nd.LinkAddr
	// From is the source of the frame.
	From     nd.LinkAddr
	Evidence Evidence
}

func (e *DuplicateError) Error() string {
	return "duplicate address: in use by " + e.LinkAddr.String() + " (" + e.Evidence.String() + ")"
}

// Loopback says whether the link hands a node's own multicasts back to it
// (RFC 4862, appendix A).
type Loopback uint8

const (
	// LoopbackNone: never, as on a TAP.
	LoopbackNone Loopback = iota
	// LoopbackEchoes: always, as on a bridge port in hairpin mode.
	LoopbackEchoes
	// LoopbackUnknown: perhaps; only a frame with the own link-layer address
	// as its source can be an echo.
	LoopbackUnknown
)

// Config parametrises a Machine. The zero value is RFC 4862 with RFC 7527.
type Config struct {
	// LinkAddr is the interface's own, for LoopbackUnknown.
	LinkAddr nd.LinkAddr
	Loopback Loopback
	// DupAddrDetectTransmits is the number of probes; 0 means 1, the default
	// of RFC 4862, section 5.1; NoTransmits turns the test off.
	DupAddrDetectTransmits int
	// RetransTimer parts the probes; 0 means 1 s.
	RetransTimer time.Duration
	// DelayProbeOnly is RFC 2462, section 5.4.2: the start-up delay holds
	// back the probe; the join is reported at once.
	DelayProbeOnly bool
	// NoMulticastRADelay is RFC 2462: an address from a Router Advertisement
	// sent to a group gets no delay of its own.
	NoMulticastRADelay bool
	// AcceptUnicastDst is RFC 2462: a Neighbor Solicitation or Advertisement
	// sent to the tentative address itself is evidence.
	AcceptUnicastDst bool
	// NoNonce turns Enhanced DAD (RFC 7527) off.
	NoNonce bool
}

// NoTransmits as DupAddrDetectTransmits turns DAD off.
const NoTransmits = -1
