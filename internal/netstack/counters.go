package netstack

import "sync/atomic"

// Counters are what a Host has counted since New.
type Counters struct {
	// InControl are the ND and MLD packets that were handed to Deliver all the
	// same, and dropped.
	InControl uint64
	// InDiscards are the packets that Classify says to drop.
	InDiscards uint64
	// InIncompleteFirstFragments are first fragments without the whole header
	// chain (RFC 7112, section 5).
	InIncompleteFirstFragments uint64
	// InGroupEchos are Echo Requests to groups that were answered.
	InGroupEchos uint64
	// InErrors are the ICMPv6 errors for flows of this host, InBadErrors those
	// that are malformed or for no flow of this host.
	InErrors, InBadErrors uint64
	// InTooBigs are the Packet Too Big messages that were obeyed, InBadTooBigs
	// those that were not: below 1280, not below the MTU, or for no flow.
	InTooBigs, InBadTooBigs uint64
	// InQueueFull are small UDP datagrams that were dropped because many waited
	// to be read already.
	InQueueFull uint64
	// InACKsAllowed are TCP acknowledgments that gVisor would have thrown away
	// because the connection offered no window (RFC 9293, section 3.10.7.4).
	InACKsAllowed uint64
	// OutControl are ND and MLD messages that gVisor wanted to send. It is
	// always 0.
	OutControl uint64
	// OutErrorsLimited are ICMPv6 errors of this package that were not sent
	// because of the rate limit.
	OutErrorsLimited uint64
}

type counters struct {
	inControl, inDiscards, inIncomplete, inGroupEchos        atomic.Uint64
	inErrors, inBadErrors, inTooBigs, inBadTooBigs           atomic.Uint64
	inQueueFull, inACKsAllowed, outControl, outErrorsLimited atomic.Uint64
}

// Counters returns what was counted so far.
func (h *Host) Counters() Counters {
	c := &h.counters
	return Counters{
		InControl:                  c.inControl.Load(),
		InDiscards:                 c.inDiscards.Load(),
		InIncompleteFirstFragments: c.inIncomplete.Load(),
		InGroupEchos:               c.inGroupEchos.Load(),
		InErrors:                   c.inErrors.Load(),
		InBadErrors:                c.inBadErrors.Load(),
		InTooBigs:                  c.inTooBigs.Load(),
		InBadTooBigs:               c.inBadTooBigs.Load(),
		InQueueFull:                c.inQueueFull.Load(),
		InACKsAllowed:              c.inACKsAllowed.Load(),
		OutControl:                 c.outControl.Load(),
		OutErrorsLimited:           c.outErrorsLimited.Load(),
	}
}
