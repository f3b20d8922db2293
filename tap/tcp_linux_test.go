package tap_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// TCP flags.
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
)

// handTCP is one TCP connection to the kernel, by hand: enough to see that
// whole segments mean to the kernel's sockets what they mean to us.
type handTCP struct {
	t            testing.TB
	d            *tap.Device
	kernel       nd.LinkAddr
	local        netip.Addr
	remote       netip.Addr
	seq, ack     uint32
	wholeArrived int // segments longer than the MTU
}

// send sends one segment, whose checksum the kernel is to complete.
func (c *handTCP) send(flags byte, options, payload []byte) {
	c.t.Helper()
	b := append(append([]byte(nil), c.kernel[:]...), make([]byte, 6+2+ipv6Len+20)...)
	local := c.d.LinkAddr()
	copy(b[6:], local[:])
	binary.BigEndian.PutUint16(b[12:], etherTypeIPv6)
	ip := b[headerLen:]
	ip[0], ip[6], ip[7] = 0x60, 6, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(20+len(options)+len(payload)))
	copy(ip[8:], c.local.AsSlice())
	copy(ip[24:], c.remote.AsSlice())
	segment := ip[ipv6Len:]
	binary.BigEndian.PutUint16(segment, 1000)
	binary.BigEndian.PutUint16(segment[2:], 2000)
	binary.BigEndian.PutUint32(segment[4:], c.seq)
	binary.BigEndian.PutUint32(segment[8:], c.ack)
	segment[12], segment[13] = byte(5+len(options)/4)<<4, flags
	binary.BigEndian.PutUint16(segment[14:], 0xffff)
	binary.BigEndian.PutUint16(segment[16:], pseudoHeaderSum(b))
	f := stack.Frame{Data: [][]byte{b, options, payload}, Offload: stack.FrameOffload{
		NeedsChecksum: true, ChecksumStart: headerLen + ipv6Len, ChecksumOffset: 16,
	}}
	if len(payload) > 1440 {
		f.Offload.SegmentSize = 1440
		f.Offload.HeaderLen = uint16(len(b) + len(options))
	}
	if n, err := c.d.Write([]stack.Frame{f}); n != 1 || err != nil {
		c.t.Fatalf("Write = %d, %v", n, err)
	}
	c.seq += uint32(len(payload))
	if flags&(syn|fin) != 0 {
		c.seq++
	}
}

// receive reads the next segment of the connection that is in order.
func (c *handTCP) receive() (flags byte, payload []byte) {
	c.t.Helper()
	for {
		r := room(1, headerLen+65535)
		if n, err := c.d.Read(r); n != 1 || err != nil {
			c.t.Fatalf("Read = %d, %v", n, err)
		}
		b, o := r[0].Data[0][:r[0].Len], r[0].Offload
		if b[headerLen+6] != 6 {
			continue // ND or MLD
		}
		segment := b[headerLen+ipv6Len:]
		payload = segment[segment[12]>>4*4:]
		if whole := len(b) > headerLen+c.d.MTU(); whole != (o.SegmentSize != 0) {
			c.t.Fatalf("a frame of %d octets with offload %+v", len(b), o)
		} else if whole {
			c.wholeArrived++
			if int(o.HeaderLen) != len(b)-len(payload) || !o.NeedsChecksum {
				c.t.Errorf("a segment with %d octets of header has offload %+v", len(b)-len(payload), o)
			}
		}
		seq := binary.BigEndian.Uint32(segment[4:])
		flags = segment[13]
		if flags&syn != 0 {
			c.ack = seq + 1
			return flags, payload
		}
		if seq == c.ack {
			c.ack += uint32(len(payload))
			return flags, payload
		}
	}
}

func TestDevice_TCPWithTheKernel(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	c := &handTCP{
		t: t, d: d, kernel: linkAddrOf(t, ns, "tap0"), seq: 1,
		local: netip.MustParseAddr("2001:db8::2"), remote: netip.MustParseAddr("2001:db8::1"),
	}
	kernelSpeaksIPv6(t, ns)
	ns.Run(t, "ip", "neigh", "add", c.local.String(), "lladdr", d.LinkAddr().String(), "dev", "tap0")
	var listener net.Listener
	ns.Do(t, func() {
		var err error
		if listener, err = net.Listen("tcp", "[2001:db8::1]:2000"); err != nil {
			t.Fatal(err)
		}
	})
	defer listener.Close()

	question := bytes.Repeat([]byte("question"), 5000) // 40,000 octets, in one segment
	answer := bytes.Repeat([]byte("answer"), 100_000)  // 600,000 octets
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		got := make([]byte, len(question))
		if _, err := io.ReadFull(conn, got); err != nil {
			served <- err
			return
		}
		if !bytes.Equal(got, question) {
			t.Error("the kernel's socket read another question")
		}
		_, err = conn.Write(answer)
		served <- err
	}()

	within(t, "the connection", func() {
		c.send(syn, []byte{2, 4, 1440 >> 8, 1440 & 0xff, 3, 3, 4, 1}, nil) // MSS and window scale
		if flags, _ := c.receive(); flags != syn|ack {
			t.Errorf("flags %#x, want SYN, ACK", flags)
			return
		}
		c.send(ack, nil, nil)
		c.send(ack|psh, nil, question)
		var got []byte
		for len(got) < len(answer) {
			_, payload := c.receive()
			got = append(got, payload...)
			if len(payload) > 0 {
				c.send(ack, nil, nil)
			}
		}
		if !bytes.Equal(got, answer) {
			t.Error("another answer arrived")
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		c.send(rst|ack, nil, nil)
	})
	if c.wholeArrived == 0 {
		t.Error("the kernel cut all segments")
	}
	t.Logf("%d segments longer than the MTU arrived", c.wholeArrived)
}
