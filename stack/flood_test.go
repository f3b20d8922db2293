package stack

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/nd"
)

// floodLink loses nothing: who floods waits for the interface to read.
type floodLink struct {
	in     chan []byte
	closed chan struct{}
	once   sync.Once
	onSend func(frame []byte)
}

func (l *floodLink) Read(frames []Frame) (int, error) {
	select {
	case frame := <-l.in:
		frames[0].Len = 0
		for _, piece := range frames[0].Data {
			frames[0].Len += copy(piece, frame[frames[0].Len:])
		}
		return 1, nil
	case <-l.closed:
		return 0, net.ErrClosed
	}
}

func (l *floodLink) Write(frames []Frame) (int, error) {
	for _, f := range frames {
		var frame []byte
		for _, piece := range f.Data {
			frame = append(frame, piece...)
		}
		l.onSend(frame)
	}
	return len(frames), nil
}

func (l *floodLink) Drained() bool         { return len(l.in) == 0 }
func (l *floodLink) LinkAddr() nd.LinkAddr { return ownMAC }
func (l *floodLink) MTU() int              { return 1500 }
func (l *floodLink) Offload() Offload      { return Offload{} }
func (l *floodLink) Close() error          { l.once.Do(func() { close(l.closed) }); return nil }

// floodFrame is the k-th frame of a flood: all kinds of Neighbor Discovery,
// from ever new nodes, about ever new nodes, and about an address of ours.
func floodFrame(k uint32, own netip.Addr) []byte {
	b := peerLL.As16()
	binary.BigEndian.PutUint32(b[11:], k)
	src, mac := netip.AddrFrom16(b), nd.LinkAddr{2, 9}
	binary.BigEndian.PutUint32(mac[2:], k)
	b[0], b[1] = 0x20, 0x01
	other := netip.AddrFrom16(b)
	switch k % 5 {
	case 0:
		return ndFrame(mac, src, nd.SolicitedNode(own), &nd.NeighborSolicit{Target: own, SourceLinkAddr: mac})
	case 1:
		return ndFrame(mac, src, nd.AllNodes, &nd.NeighborAdvert{Target: src, Override: true, Router: true, TargetLinkAddr: mac})
	case 2:
		prefix := netip.PrefixFrom(other, 64).Masked()
		return ndFrame(mac, src, nd.AllNodes, &nd.RouterAdvert{
			RouterLifetime: time.Hour, SourceLinkAddr: mac,
			Prefixes: []nd.PrefixInformation{{Prefix: prefix, OnLink: true, Autonomous: true, ValidLifetime: time.Hour, PreferredLifetime: time.Hour}},
			Routes:   []nd.RouteInformation{{Prefix: prefix, Lifetime: time.Hour}},
		})
	case 3:
		return ndFrame(mac, src, own, &nd.Redirect{Target: src, Destination: other, TargetLinkAddr: mac})
	}
	return ndFrame(mac, netip.IPv6Unspecified(), nd.SolicitedNode(own), &nd.NeighborSolicit{Target: other})
}

// While everybody on the link floods the interface with all that Neighbor
// Discovery has, a duplicate is found, a unique address is assigned when the
// time comes, an assigned one is defended, and memory stays bounded.
//
// Spec: RFC 6583, section 7.1, REC, CACHE-R02
// Spec: derived, DER, CACHE-R05
func TestCACHE_R05_FloodDelaysNeitherDADNorDefence(t *testing.T) {
	taken, free, own := netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("2001:db8::6"), netip.MustParseAddr("2001:db8::1")
	const asker = "fe80::7777"
	l := &floodLink{in: make(chan []byte), closed: make(chan struct{})}
	answered := make(chan time.Time, 100)
	var i *Interface
	// overflow returns when the inbox has lost frames since, for as long as the
	// loop does not run.
	overflow := func() {
		for lost := i.inbox.lostFrames(); i.inbox.lostFrames() == lost; {
			runtime.Gosched()
		}
	}
	l.onSend = func(frame []byte) {
		p, ok := parseControl(frame)
		if !ok {
			return
		}
		m, err := nd.Parse(nd.Header{Src: p.src, Dst: p.dst, From: p.from}, p.hopLimit, p.message)
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *nd.NeighborSolicit:
			if m.Target == taken { // its owner defends it, when there is no room left
				overflow()
				l.in <- ndFrame(peerMAC, peerLL, nd.AllNodes, claim(taken))
				l.in <- nil // it is in the inbox, or lost
			}
		case *nd.NeighborAdvert:
			if p.dst.String() == asker {
				answered <- time.Now()
			}
		}
	}
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	i, err = s.Attach("tap0", l, Foreseeable(InterfaceConfig{Limits: Limits{MaxNeighbors: 1 << 12}}))
	if err != nil {
		t.Fatal(err)
	}
	add := func(a netip.Addr) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return i.AddAddress(ctx, AddressConfig{Prefix: netip.PrefixFrom(a, 64)})
	}
	if err := add(own); err != nil {
		t.Fatal(err)
	}

	stop, flooding := make(chan struct{}), sync.WaitGroup{}
	var sent uint32
	// While an answer is waited for the flood asks nothing of our address: the
	// room for that is bounded too.
	var aboutOthers atomic.Bool
	flooding.Go(func() {
		for {
			if sent%5 == 0 && aboutOthers.Load() {
				sent++
			}
			select {
			case l.in <- floodFrame(sent, own):
				sent++
			case <-stop:
				return
			}
		}
	})
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i.Counters().ControlFramesIn < 10_000 { // the flood gets going
		runtime.Gosched()
	}
	before := memory()
	began := time.Now()
	if err := add(free); err != nil {
		t.Errorf("a unique address: %v", err)
	}
	if took := time.Since(began); took < time.Second || took > 10*time.Second {
		t.Errorf("DAD took %v", took)
	}
	var dup *dad.DuplicateError
	if err := add(taken); !errors.As(err, &dup) || dup.LinkAddr != peerMAC {
		t.Errorf("a duplicate: %v", err)
	}
	aboutOthers.Store(true)
	for range 20 {
		released := make(chan struct{})
		i.inbox.putCommand(command{look: func(*Core) { <-released }})
		overflow()
		asked := time.Now()
		l.in <- ndFrame(peerMAC, netip.MustParseAddr(asker), nd.SolicitedNode(own), &nd.NeighborSolicit{Target: own, SourceLinkAddr: peerMAC})
		l.in <- nil
		close(released)
		select {
		case at := <-answered:
			if d := at.Sub(asked); d > 5*time.Second { // a slow machine is given time
				t.Errorf("the address was defended after %v", d)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the address was not defended: %+v", i.Counters())
		}
	}
	close(stop)
	flooding.Wait()
	if after := memory(); after > before+32<<20 {
		t.Errorf("the heap grew from %d to %d octets", before, after)
	}
	c := i.Counters()
	if ns := i.Neighbors(); len(ns) > 1<<12 || c.NeighborsEvicted == 0 || c.RoutersRefused == 0 || c.RedirectsRefused == 0 {
		t.Errorf("%d neighbors, %d evicted, %d routers refused, %d redirects refused", len(ns), c.NeighborsEvicted, c.RoutersRefused, c.RedirectsRefused)
	}
	t.Logf("%d frames of the flood were read, %d lost before the loop", sent, c.FramesLost)
}
