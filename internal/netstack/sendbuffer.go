package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// This file is about how much data a connection has on its way at most. On a
// long path it takes much to use it. On a short one what is more than the
// caches of the processors hold is only copied more slowly, so there the
// connections that write at once share a budget.

const (
	// sendBudget is what connections that write at once share, and leastBuffer
	// what each has at least, in octets.
	sendBudget  = 2 << 20
	leastBuffer = 256 << 10
	// mostBuffer is what a connection over a long path has at most.
	mostBuffer = 8 << 20
	// countedMSS is what gVisor counts as one packet at an MTU of 1500.
	countedMSS = 1400
	// A path is long if longTripsFor waits in a row saw round trips of
	// longTrip: one may be that of a peer that was busy.
	longTrip     = 5 * time.Millisecond
	longTripsFor = 8
)

// sendBuffer is the state of one connection, under its writeMu.
type sendBuffer struct {
	size  int64 // that was set, or 0
	trips int   // how many waits in a row saw a long round trip
}

// tripTime notes a round-trip time, and reports whether the path is long: it
// was at several waits, and then is for good.
func (b *sendBuffer) tripTime(rtt time.Duration) (long bool) {
	switch {
	case b.trips >= longTripsFor:
	case rtt < longTrip:
		b.trips = 0
	default:
		b.trips++
	}
	return b.trips >= longTripsFor
}

// share sets the buffer to the connection's share of the budget.
func (c *TCPConn) share() {
	if c.buffer.trips >= longTripsFor || c.bufferSet.Load() {
		return
	}
	size := max(sendBudget/int64(max(1, c.host.writing.Load())), leastBuffer)
	// A little more or less is not worth it.
	if have := c.buffer.size; have == 0 || size < have/2 || size > have*2 {
		c.resize(size)
	}
}

// enlarge is called when the connection has as much on its way as it may.
func (c *TCPConn) enlarge() {
	if c.bufferSet.Load() {
		return
	}
	var info tcpip.TCPInfoOption
	if err := c.ep.GetSockOpt(&info); err != nil || info.RTT == 0 || !c.buffer.tripTime(info.RTT) {
		return
	}
	// gVisor's own tuning, which ends with the first resize.
	if size := min(2*countedMSS*int64(info.SndCwnd), mostBuffer); size > c.buffer.size {
		c.resize(size)
	}
}

func (c *TCPConn) resize(size int64) {
	c.buffer.size = size
	c.quietly(func() { c.ep.SocketOptions().SetSendBufferSize(size, true) })
}
