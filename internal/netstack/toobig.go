package netstack

import (
	"hash/maphash"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// receiveTooBig takes in a Packet Too Big message: message is its ICMPv6 part,
// local where it was sent to.
func (h *Host) receiveTooBig(local [16]byte, message []byte) {
	if h.obeyTooBig(local, be.Uint32(message[4:8]), message[icmpHeaderSize:]) {
		h.counters.inTooBigs.Add(1)
	} else {
		h.counters.inBadTooBigs.Add(1)
	}
}

// obeyTooBig lowers the estimate for a path, if a packet that this host has
// sent lately can have been too big for it. RFC 8201, section 4: "Nodes should
// appropriately validate the payload of ICMPv6 PTB messages to ensure these
// are received in response to transmitted traffic".
func (h *Host) obeyTooBig(local [16]byte, mtu uint32, quote []byte) bool {
	w, ok := parse(quote, maxPacket)
	if !ok || w.later || local != [16]byte(quote[8:24]) {
		return false
	}
	remote := [16]byte(quote[24:40])
	switch {
	case mtu < minMTU:
		// RFC 8201, section 4: "If a node receives a Packet Too Big message
		// reporting a next-hop MTU that is less than the IPv6 minimum link
		// MTU, it must discard it."
		//
		// Deviation: RFC 2460, section 5, wants a Fragment header in packets
		// to that destination; this is one behavior for all profiles.
		return false
	case int64(mtu) > int64(h.pathMTU(remote)), mtu >= h.mtu.Load():
		// The estimate never grows (RFC 8201, section 4).
		return false
	case w.end <= int(mtu):
		return false // the quoted packet fits
	}
	key, ok := flowOfQuote(quote)
	owner := h.flowOwner(key, ok)
	switch upper := quote[w.offset:]; {
	case w.proto == protoTCP && len(upper) >= 8:
		c, ok := owner.(*TCPConn)
		if !ok || !c.mayHaveSent(header.TCP(upper).SequenceNumber(), h.mtu.Load()) {
			return false
		}
	case w.proto == protoUDP && owner != nil:
	case w.proto == protoICMPv6 && len(upper) >= echoHeaderSize && h.echoes.sent(h, quote, upper):
	default:
		return false
	}
	h.paths.lower(remote, int(mtu))
	switch o := owner.(type) {
	case *TCPConn:
		if o.mustHear(mtu) {
			h.tellMTU(key, int(mtu))
		}
	case *UDPConn:
		// RFC 4443, section 3.2, has the upper layer told. What makes packets
		// of datagrams is this package, and the next one is cut to fit: an
		// error would end the reading of a program that has done no wrong.
	case *PingConn:
		o.fail(key, syscall.EMSGSIZE, true)
	}
	return true
}

// pathMTU is the largest packet for the path to dst.
func (h *Host) pathMTU(dst [16]byte) int {
	mtu := int(h.mtu.Load())
	if estimate, ok := h.paths.estimate(dst); ok {
		return min(mtu, estimate)
	}
	return mtu
}

// watchSequence notes what p, a TCP segment on its way out, takes of the
// sequence numbers.
func (h *Host) watchSequence(p *Packet, headers []byte, flow uint32) {
	size := p.buffer().Data().Size()
	if size == 0 {
		return
	}
	if c := h.conns.sender(h, headers, flow); c != nil {
		segment := header.TCP(headers[ipv6Size:])
		c.noteSent(segment.SequenceNumber(), size)
		c.noteData(segment)
	}
}

// noteSent notes a segment with data, on its way out. Segments of one
// connection come one at a time.
func (c *TCPConn) noteSent(seq uint32, size int) {
	was := c.sent.Load()
	end := uint32(was >> 32)
	if now := seq + uint32(size); was == 0 || int32(now-end) > 0 {
		end = now
	}
	c.sent.Store(uint64(end)<<32 | uint64(seq))
}

// mayHaveSent reports whether a segment at seq may be on its way: it lies below
// the end of what was sent, and above the latest segment less twice what the
// congestion window lets be on its way. gVisor does not tell what is
// acknowledged.
func (c *TCPConn) mayHaveSent(seq, mtu uint32) bool {
	sent := c.sent.Load()
	if sent == 0 {
		return false
	}
	var info tcpip.TCPInfoOption
	if err := c.ep.GetSockOpt(&info); err != nil {
		return false
	}
	const initialWindow = 10 // segments, RFC 6928
	end, latest := uint32(sent>>32), uint32(sent)
	lowest := latest - min(2*max(info.SndCwnd, initialWindow)*mtu, 1<<30)
	return int32(seq-lowest) >= 0 && int32(end-seq) > 0
}

// mustHear reports whether gVisor's connection is still to be told of mtu. It
// is told once.
func (c *TCPConn) mustHear(mtu uint32) bool {
	told := c.told.Load()
	return (told == 0 || mtu < told) && c.told.CompareAndSwap(told, mtu)
}

// echoMemory is how long an Echo Request or Reply is remembered, and
// echoSlots how many are at most.
const (
	echoMemory = 10 * time.Second
	echoSlots  = 256
)

// echoes are the Echo Requests and Replies of late that can have been too big
// for a path: a hash of each, and when it was sent.
type echoes [echoSlots]atomic.Uint64

// note remembers p if it is one of them, whole or a first fragment.
func (e *echoes) note(h *Host, p *Packet) {
	var room [128]byte
	packet := room[:p.head(room[:])]
	w, ok := parse(packet, maxPacket)
	if !ok || w.later || w.proto != protoICMPv6 || len(packet) < w.offset+echoHeaderSize {
		return
	}
	if upper := packet[w.offset:]; isEcho(upper) {
		sum := echoSum(h, packet, upper)
		e[sum%echoSlots].Store(sum&^(1<<32-1) | uint64(uint32(h.paths.elapsed()/time.Second)))
	}
}

// sent reports whether the quoted message was sent of late.
func (e *echoes) sent(h *Host, quote, upper []byte) bool {
	if !isEcho(upper) {
		return false
	}
	sum := echoSum(h, quote, upper)
	word := e[sum%echoSlots].Load()
	age := uint32(h.paths.elapsed()/time.Second) - uint32(word)
	return word != 0 && (word^sum)>>32 == 0 && age <= uint32(echoMemory/time.Second)
}

func isEcho(upper []byte) bool { return upper[0] == typeEchoRequest || upper[0] == typeEchoReply }

// echoSum is a keyed hash of what makes an Echo message: addresses, type,
// identifier and sequence number.
func echoSum(h *Host, packet, upper []byte) uint64 {
	var key [37]byte
	copy(key[0:32], packet[8:40])
	key[32] = upper[0]
	copy(key[33:37], upper[4:8])
	return maphash.Bytes(h.hashSeed, key[:])
}
