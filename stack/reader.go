package stack

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/nd"
)

// smallBatch and largeBatch are how many frames are read at once: what segments
// of MTU size are joined of, and what 64 KiB each take of memory.
const smallBatch, largeBatch = 64, 8

// read is the reader of an interface: data goes to the sockets at once,
// control frames to the loop with the time at which they were read.
func (i *Interface) read() {
	defer close(i.readDone)
	batch := smallBatch
	if i.link.Offload().TCPSegmentation {
		batch = largeBatch
	}
	frames := make([]Frame, batch)
	buffers := make([]*netstack.RxBuffer, batch)
	coalescer := i.host.NewCoalescer()
	for k := range buffers {
		buffers[k] = i.host.NewRxBuffer()
		buffers[k].CoalesceBy(coalescer)
		defer buffers[k].Release()
	}
	for {
		for k := range frames {
			frames[k] = Frame{Data: buffers[k].Pieces()}
		}
		n, err := i.link.Read(frames)
		now := time.Now()
		for k := range n {
			i.receive(now, buffers[k], &frames[k])
		}
		coalescer.Flush()
		if err != nil {
			i.readFailed(err)
			return
		}
	}
}

// receive sorts one frame.
func (i *Interface) receive(now time.Time, b *netstack.RxBuffer, f *Frame) {
	if f.Len < ethernetHeaderLen+ipv6HeaderLen {
		i.counters.notIPv6.Add(1)
		return
	}
	header := f.Data[0][:ethernetHeaderLen]
	to := nd.LinkAddr(header[:6])
	switch {
	case header[12] != etherTypeIPv6>>8 || header[13] != etherTypeIPv6&0xff:
		i.counters.notIPv6.Add(1)
		return
	case to != i.LinkAddr() && !to.IsMulticast():
		i.counters.otherHost.Add(1)
		return
	}
	kind := b.Kind(f.Len)
	switch kind {
	case netstack.ND, netstack.MLD:
		i.inbox.putFrame(now, b.Frame(f.Len))
		return
	}
	if !i.listens(f.Data[0][ethernetHeaderLen:]) {
		return
	}
	switch kind {
	case netstack.Data:
		if !i.usable.Load() { // RFC 4862, section 5.4.5
			i.counters.dataWhileDown.Add(1)
			return
		}
		if to.IsMulticast() && f.Data[0][ethernetHeaderLen+24] != 0xff {
			// Not for us alone: no error may answer it (RFC 4443, section
			// 2.4 (e)), and no host sends such a thing.
			i.counters.otherHost.Add(1)
			return
		}
		i.counters.dataIn.Add(1)
		b.Deliver(f.Len, f.Offload.NeedsChecksum || f.Offload.ChecksumValid)
	default:
		i.counters.refused.Add(1)
		b.Deliver(f.Len, false) // for the error that may be due
	}
}

// listens reports whether a packet that is not to a group, or is to one that is
// listened to, and from a source that is wanted (RFC 3810, section 4.2). ND and
// MLD are not asked about: "MLDv2 messages are not subject to source
// filtering".
func (i *Interface) listens(packet []byte) bool {
	if packet[24] != 0xff {
		return true
	}
	listened, wanted := i.groups.lookup([16]byte(packet[24:40]), netip.AddrFrom16([16]byte(packet[8:24])))
	switch {
	case !listened:
		i.counters.otherGroup.Add(1)
	case !wanted:
		i.counters.otherSource.Add(1)
	}
	return wanted
}

// readFailed takes the interface down when its link is gone.
func (i *Interface) readFailed(err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	i.log.Error("the link cannot be read any more", "error", err)
	i.inbox.putCommand(command{event: LinkDown{}})
}

func (i *Interface) readerEnded() bool {
	select {
	case <-i.readDone:
		return true
	default:
		return false
	}
}
