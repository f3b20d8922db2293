package netstack

import (
	"hash/maphash"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const fragmentHeaderSize = header.IPv6FragmentHeaderSize

// exceedsPath reports whether p, or each packet that it is to be cut into, is
// larger than the estimate for its path, which it returns. Without estimates
// it costs one atomic load.
func (h *Host) exceedsPath(p *Packet, headers []byte) (mtu int, ok bool) {
	if h.paths.count.Load() == 0 {
		return 0, false
	}
	pkt := p.buffer()
	size := pkt.Size() - len(pkt.LinkHeader().Slice())
	if p.cutByLink() {
		size -= max(0, pkt.Data().Size()-int(pkt.GSOOptions.MSS))
	}
	if size <= minMTU {
		return 0, false
	}
	mtu, ok = h.paths.estimate([16]byte(headers[24:40]))
	return mtu, ok && size > mtu
}

// cutByLink reports whether p is a TCP segment that the link can cut into
// smaller ones.
func (p *Packet) cutByLink() bool {
	gso := &p.buffer().GSOOptions
	return gso.Type == stack.GSOTCPv6 && gso.NeedsCsum
}

// fitPath sends p, which is larger than mtu, in parts that are not. RFC 8201,
// section 5.4: TCP "should not send segments that would result in packets
// larger than the PMTU". gVisor, which asks for the MTU of the link when a
// connection begins, learns it here; the packets that it has made before leave
// in fragments, as section 5.5 proposes.
func (h *Host) fitPath(p *Packet, headers []byte, mtu int) tcpip.Error {
	if headers[6] == protoTCP {
		h.counters.outSegmentsTooBig.Add(1)
		if pkt := p.buffer(); p.cutByLink() {
			pkt.GSOOptions.MSS = uint16(mtu - len(pkt.NetworkHeader().Slice()) - len(pkt.TransportHeader().Slice()))
			return h.emit(p)
		}
		c := h.conns.sender(h, headers, p.Flow())
		if c != nil && c.mustHear(uint32(mtu)) && h.out.enter() {
			// Not from here: gVisor holds the lock of the connection.
			h.tells.Go(func() { h.tellMTU(c.key, mtu) })
			h.out.leave()
		}
	}
	return h.fragment(p, headers, mtu)
}

// fragment sends p in fragments of mtu octets at most (RFC 8200, section 4.5).
// If it is a fragment, these are fragments of the same packet.
func (h *Host) fragment(p *Packet, headers []byte, mtu int) tcpip.Error {
	h.counters.outFragmented.Add(1)
	kept, last := perFragment(headers)
	next, start := headers[last], kept
	var offset int
	var more uint16
	var id uint32
	if next == fragment {
		old := header.IPv6Fragment(headers[kept:])
		next, offset, id = old[0], int(old.FragmentOffset())*extensionUnit, old.ID()
		if old.More() {
			more = 1
		}
		start += fragmentHeaderSize
	} else {
		id = h.fragmentIDs.next(h, headers)
	}
	pkt := p.buffer()
	rest := pkt.ToBuffer()
	defer rest.Release()
	rest.TrimFront(int64(len(pkt.LinkHeader().Slice()) + start))
	for room := mtu - kept - fragmentHeaderSize; ; {
		size := int(rest.Size())
		field := uint16(offset) | more
		if size > room {
			size = room &^ (extensionUnit - 1)
			field = uint16(offset) | 1
		}
		piece := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: ethernetSize + kept + fragmentHeaderSize})
		piece.NetworkProtocolNumber, piece.Hash = header.IPv6ProtocolNumber, pkt.Hash
		piece.Data().ReadFrom(&rest, size)
		ip := piece.NetworkHeader().Push(kept + fragmentHeaderSize)
		copy(ip, headers[:kept])
		ip[last] = fragment
		be.PutUint16(ip[4:6], uint16(kept-ipv6Size+fragmentHeaderSize+size))
		ip[kept], ip[kept+1] = next, 0
		be.PutUint16(ip[kept+2:], field)
		be.PutUint32(ip[kept+4:], id)
		err := h.emit((*Packet)(piece))
		piece.DecRef()
		if err != nil || rest.Size() == 0 {
			return err
		}
		offset += size
	}
}

// perFragment returns the size of the headers that each fragment has, and
// where the last of them says what is next: the IPv6 header and "all headers up
// to and including the Routing header if present, else the Hop-by-Hop Options
// header if present" (RFC 8200, section 4.5).
func perFragment(headers []byte) (size, last int) {
	size, last = ipv6Size, 6
	at, from := ipv6Size, 6
	for next := headers[6]; at+extensionUnit <= len(headers) && (next == hopByHop || next == destOptions || next == routing); {
		this := next
		next, from = headers[at], at
		at += extensionUnit * (1 + int(headers[at+1]))
		if this != destOptions {
			size, last = at, from
		}
	}
	return size, last
}

// fragmentIDs count the packets that were fragmented here. Each counter is that
// of many pairs of addresses, which have a keyed hash added to it: nobody can
// tell the next Identification of a pair from those of another, and a pair has
// all values before one comes again (RFC 7739, section 5.3).
type fragmentIDs [64]atomic.Uint32

func (ids *fragmentIDs) next(h *Host, headers []byte) uint32 {
	sum := maphash.Bytes(h.fragmentSeed, headers[8:40])
	return uint32(sum>>32) + ids[uint32(sum)%uint32(len(ids))].Add(1)
}
