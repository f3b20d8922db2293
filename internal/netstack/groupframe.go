package netstack

import (
	"hash/maphash"
	"sync/atomic"
)

// groupFrames are the packets to one host that came in frames to a link-layer
// group: no ICMPv6 error is sent about these (RFC 4443, section 2.4 (e.4) and
// (e.5)). gVisor does not know the frame. So a hash of the first part of each
// is kept, which is found again in the error, at once or, if it is about
// reassembly, a minute later.
type groupFrames [64]atomic.Uint32

// groupFramePart is what is compared: the IPv6 header and, of a fragment, the
// Fragment header.
const groupFramePart = ipv6Size + fragmentHeaderSize

func (g *groupFrames) slot(h *Host, part []byte) (*atomic.Uint32, uint32) {
	sum := maphash.Bytes(h.hashSeed, part)
	return &g[sum%uint64(len(g))], uint32(sum>>32) | 1
}

// note remembers a packet, of which the first part is given.
func (g *groupFrames) note(h *Host, packet []byte) {
	size := min(len(packet), ipv6Size+int(be.Uint16(packet[4:6])), groupFramePart)
	slot, sum := g.slot(h, packet[:size])
	slot.Store(sum)
}

// quotedIn reports whether p, an ICMPv6 error on its way out, is about such a
// packet.
func (g *groupFrames) quotedIn(h *Host, p *Packet) bool {
	const start = ipv6Size + icmpHeaderSize
	var room [start + groupFramePart]byte
	n := p.head(room[:])
	if n <= start {
		return false
	}
	slot, sum := g.slot(h, room[start:n])
	return slot.CompareAndSwap(sum, 0)
}
