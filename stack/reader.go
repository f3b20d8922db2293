package stack

import (
	"errors"
	"net"
	"time"

	"github.com/tapstack/tapstack/internal/netstack"
	"github.com/tapstack/tapstack/nd"
)

// read is the reader of an interface: data goes to the sockets at once,
// control frames to the loop with the time at which they were read.
func (i *Interface) read() {
	defer close(i.readDone)
	const batch = 8
	var frames [batch]Frame
	var buffers [batch]*netstack.RxBuffer
	for k := range buffers {
		buffers[k] = i.host.NewRxBuffer()
		defer buffers[k].Release()
	}
	for {
		for k := range frames {
			frames[k] = Frame{Data: buffers[k].Pieces()}
		}
		n, err := i.link.Read(frames[:])
		now := time.Now()
		for k := range n {
			i.receive(now, buffers[k], &frames[k])
		}
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
	switch b.Kind(f.Len) {
	case netstack.ND, netstack.MLD:
		i.inbox.putFrame(now, b.Frame(f.Len))
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
