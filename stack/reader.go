package stack

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/nd"
)

// smallBatch and largeBatch are how many frames are read at once: what segments
// of MTU size are joined of, and what 64 KiB each take of memory.
const smallBatch, largeBatch = 64, 8

// read is the reader of an interface: data goes to the sockets at once, then
// control frames to the Core, or else to the loop with the time at which they
// were read.
func (i *Interface) read() {
	defer close(i.readDone)
	batch := smallBatch
	if i.link.Offload().TCPSegmentation {
		batch = largeBatch
	}
	frames := make([]Frame, batch)
	buffers := make([]*netstack.RxBuffer, batch)
	control := make([][]byte, 0, batch)
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
		control = control[:0]
		for k := range n {
			if i.receive(buffers[k], &frames[k]) {
				control = append(control, buffers[k].Frame(frames[k].Len))
			}
		}
		coalescer.Flush()
		if i.host.Overrun() {
			runtime.Gosched() // else it is read in vain what nobody has time to take
		}
		if len(control) > 0 && !i.loop.fromReader(now, control) {
			i.inbox.putFrames(now, control)
		}
		if err != nil {
			i.readFailed(err)
			return
		}
	}
}

// receive sorts one frame, and reports whether it is the Core's.
func (i *Interface) receive(b *netstack.RxBuffer, f *Frame) (control bool) {
	if f.Len < ethernetHeaderLen+ipv6HeaderLen {
		i.counters.notIPv6.Add(1)
		return false
	}
	header := f.Data[0][:ethernetHeaderLen]
	to := nd.LinkAddr(header[:6])
	switch {
	case header[12] != etherTypeIPv6>>8 || header[13] != etherTypeIPv6&0xff:
		i.counters.notIPv6.Add(1)
		return false
	case to != i.LinkAddr() && !to.IsMulticast():
		i.counters.otherHost.Add(1)
		return false
	}
	if kind := b.Kind(f.Len); kind == netstack.ND || kind == netstack.MLD {
		return true
	} else if i.listens(f.Data[0][ethernetHeaderLen:]) {
		i.deliver(kind, to, b, f)
	}
	return false
}

// deliver hands one packet to gVisor, unless it must not be.
func (i *Interface) deliver(kind netstack.Kind, to nd.LinkAddr, b *netstack.RxBuffer, f *Frame) {
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
