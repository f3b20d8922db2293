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
	// those that were not: below 1280, above the present estimate, or not about
	// a packet that this host can have sent and that was too big.
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
	// OutErrorsLimited are ICMPv6 errors that were not sent because of the rate
	// limit.
	OutErrorsLimited uint64
	// OutErrorsWithheld are ICMPv6 errors that were not sent because of
	// Config.NoUnreachables, or because the packet in question came to a
	// link-layer group.
	OutErrorsWithheld uint64
	// OutFragmented are packets, fragments among them, that were cut to fit a
	// path MTU. OutSegmentsTooBig are TCP packets that were too big for one.
	OutFragmented, OutSegmentsTooBig uint64
	// PathMTUsEvicted are path MTU estimates that were forgotten before their
	// time because there were too many.
	PathMTUsEvicted uint64
}

type counters struct {
	inControl, inDiscards, inIncomplete, inGroupEchos        atomic.Uint64
	inErrors, inBadErrors, inTooBigs, inBadTooBigs           atomic.Uint64
	inQueueFull, inACKsAllowed, outControl, outErrorsLimited atomic.Uint64
	outErrorsWithheld, outFragmented, outSegmentsTooBig      atomic.Uint64
	pathMTUsEvicted                                          atomic.Uint64
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
		OutErrorsLimited:           c.outErrorsLimited.Load() + h.stack.Stats().ICMP.V6.PacketsSent.RateLimited.Value(),
		OutErrorsWithheld:          c.outErrorsWithheld.Load(),
		OutFragmented:              c.outFragmented.Load(),
		OutSegmentsTooBig:          c.outSegmentsTooBig.Load(),
		PathMTUsEvicted:            c.pathMTUsEvicted.Load(),
	}
}
