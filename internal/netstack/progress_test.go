package netstack

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// hints counts what Config.Progress of host a is told, and checks of whom.
type hints struct {
	n    atomic.Int64
	flow atomic.Uint32 // of the last
}

func (h *hints) in(t testing.TB) func(*Config) {
	return func(c *Config) {
		c.Progress = func(local, remote [16]byte, flow uint32) {
			if remote == addrB.As16() {
				h.n.Add(1)
				h.flow.Store(flow)
			}
			if local != addrA.As16() && local != addrB.As16() {
				t.Errorf("progress from %x", local)
			}
			if remote != addrB.As16() && remote != addrA.As16() {
				t.Errorf("progress at %x", remote)
			}
		}
	}
}

// settled returns the count when nothing is on its way any more.
func (h *hints) settled(t testing.TB, p *pair) int64 {
	t.Helper()
	eventually(t, "silence", p.quiet)
	return h.n.Load()
}

// TestProgress: what proves that the peer is reached, once for each time that
// somebody wants to know.
//
// Spec: RFC 4861, section 7.3.1, SHOULD, NUD-R03
func TestProgress(t *testing.T) {
	var got hints
	p := newPair(t, got.in(t))
	want := int64(0)
	check := func(what string, more int64) {
		t.Helper()
		want += more
		if n := got.settled(t, p); n != want {
			t.Errorf("%s: told %d times, want %d", what, n-want+more, more)
			want = n
		}
	}
	client, server := p.connect(t, addrA, addrB)
	p.send(t, client, server, 4<<20)
	exchange(t, server, client)
	check("nobody asks", 0)

	p.a.WantProgress(1)
	check("nothing is sent", 0)
	p.ab.forget()
	exchange(t, server, client)
	check("data came", 1)
	for _, f := range p.ab.logged() {
		if label := be.Uint32(f.packet()) & 0xfffff; label != got.flow.Load()&0xfffff {
			t.Errorf("progress of flow %x, but its packets have the label %x", got.flow.Load(), label)
		}
	}
	exchange(t, server, client)
	p.send(t, client, server, 100e3)
	check("told already", 0)

	p.a.WantProgress(2)
	exchange(t, client, server)
	check("a little was acknowledged", 1)

	p.a.WantProgress(3)
	p.send(t, client, server, 4<<20)
	check("much was acknowledged", 1)

	p.a.WantProgress(4)
	one, _ := p.connect(t, addrA, addrB)
	check("a handshake", 1)
	l, err := p.a.ListenTCP(anyAddr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.b.DialTCP(context.Background(), anyAddr, port(addrA, l.AddrPort().Port())); err != nil {
		t.Fatal(err)
	}
	check("a handshake from the peer", 1)

	p.a.WantProgress(10)
	_, reset := p.connect(t, addrA, addrB)
	check("another handshake", 1)
	p.a.WantProgress(11)
	reset.SetLinger(0)
	reset.Close()
	check("a reset", 0)

	p.a.WantProgress(5)
	p.ba.setFilter(func(wireFrame) bool { return false })
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	client.SetWriteBuffer(1 << 16)
	client.CloseWrite()
	one.CloseRead()
	one.Close()
	check("the user alone did something", 0)
	p.a.WantProgress(0)
	p.ba.setFilter(nil)
}

// TestProgressForged: what somebody can send who does not see the connection,
// or does again, proves nothing.
//
// Spec: RFC 4861, section 7.3.1, SHOULD, NUD-R03
func TestProgressForged(t *testing.T) {
	var got hints
	p := newPair(t, got.in(t))
	client, server := p.connect(t, addrA, addrB)
	exchange(t, server, client)
	exchange(t, client, server)
	eventually(t, "silence", p.quiet)
	frames := p.ba.logged()
	old := frames[len(frames)-1].packet() // acknowledges all
	var data []byte
	for _, f := range frames {
		if header.TCP(f.packet()[ipv6Size:]).Flags().Contains(header.TCPFlagPsh) {
			data = f.packet()
		}
	}
	if data == nil {
		t.Fatal("no segment with data")
	}
	p.a.WantProgress(1)
	p.ba.setFilter(func(wireFrame) bool { return false })
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	// with changes a segment and mends its checksum.
	with := func(packet []byte, change func(header.TCP)) []byte {
		packet = bytes.Clone(packet)
		segment := header.TCP(packet[ipv6Size:])
		change(segment)
		segment.SetChecksum(0)
		segment.SetChecksum(sum(addrB, addrA, protoTCP, segment))
		return packet
	}
	ack := with(old, func(s header.TCP) { s.SetAckNumber(s.AckNumber() + 5) })
	damaged := bytes.Clone(ack)
	damaged[len(damaged)-1] ^= 1
	for what, packet := range map[string][]byte{
		"the last acknowledgment again": old,
		"old data again":                data,
		"a wrong checksum":              damaged,
		"a wrong sequence number":       with(ack, func(s header.TCP) { s.SetSequenceNumber(s.SequenceNumber() + 1) }),
		"of what is not sent":           with(ack, func(s header.TCP) { s.SetAckNumber(s.AckNumber() + 1) }),
		"of long ago":                   with(ack, func(s header.TCP) { s.SetAckNumber(s.AckNumber() - 5000) }),
		"of another port":               with(ack, func(s header.TCP) { s.SetSourcePort(s.SourcePort() ^ 1) }),
		"data far ahead":                with(data, func(s header.TCP) { s.SetSequenceNumber(s.SequenceNumber() + 1<<30) }),
		"data a little ahead":           with(data, func(s header.TCP) { s.SetSequenceNumber(s.SequenceNumber() + 100) }),
		"a reset far ahead": with(old, func(s header.TCP) {
			s.SetSequenceNumber(s.SequenceNumber() + 1<<30)
			s.SetFlags(uint8(header.TCPFlagRst))
		}),
		"half a header": ip(addrB, addrA, 64, protoTCP, old[ipv6Size:ipv6Size+10]),
	} {
		p.a.DeliverBytes(packet)
		time.Sleep(5 * time.Millisecond) // gVisor takes it in elsewhere
		if got.n.Load() != 0 {
			t.Errorf("%s proves something", what)
			got.n.Store(0)
			p.a.WantProgress(p.a.wantProgress.Load() + 1)
		}
	}
	p.a.DeliverBytes(ack)
	if got.n.Load() != 1 {
		t.Error("the acknowledgment proves nothing")
	}
	p.a.WantProgress(p.a.wantProgress.Load() + 1)
	p.a.DeliverBytes(ack)
	if got.n.Load() != 1 {
		t.Error("it proves something later too")
	}
}

// TestProgressWithout: somebody may want to know without a Config.Progress.
func TestProgressWithout(t *testing.T) {
	p := newPair(t)
	p.a.WantProgress(1)
	client, server := p.connect(t, addrA, addrB)
	exchange(t, client, server)
	exchange(t, server, client)
}
