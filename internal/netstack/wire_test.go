package netstack

import (
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tapstack/tapstack/nd"
)

var (
	addrA  = netip.MustParseAddr("2001:db8::a")
	addrA2 = netip.MustParseAddr("2001:db8::a2")
	addrB  = netip.MustParseAddr("2001:db8::b")
	linkA  = netip.MustParseAddr("fe80::a")
	linkB  = netip.MustParseAddr("fe80::b")
	group  = netip.MustParseAddr("ff02::1234")
	macA   = nd.LinkAddr{2, 0, 0, 0, 0, 0xa}
	macB   = nd.LinkAddr{2, 0, 0, 0, 0, 0xb}
)

// wireFrame is an Ethernet frame on a wire.
type wireFrame struct {
	data    []byte
	offload Offload
}

func (f wireFrame) packet() []byte { return f.data[ethernetSize:] }

// wire takes the output of one host and delivers it into the other, in a
// goroutine, as the interface of a real link does.
type wire struct {
	mac    nd.LinkAddr
	frames chan wireFrame
	to     *Host // nil: nobody there

	mu     sync.Mutex
	filter func(f wireFrame) bool // drops the frames for which it is false
	log    []wireFrame
	quiet  bool // nothing is logged
	sent   atomic.Int64
	err    atomic.Pointer[syscall.Errno]
	done   chan struct{}
}

func newWire(mac nd.LinkAddr) *wire {
	return &wire{mac: mac, frames: make(chan wireFrame, 1<<14), done: make(chan struct{})}
}

// output is a Config.Output.
func (w *wire) output(p *Packet) error {
	if errno := w.err.Load(); errno != nil {
		return *errno
	}
	p.PushEthernet(nd.LinkAddr{0xff}, w.mac)
	var pieces [32][]byte
	f := wireFrame{data: make([]byte, 0, p.Len()), offload: p.Offload()}
	for _, b := range p.AppendSlices(pieces[:0]) {
		f.data = append(f.data, b...)
	}
	w.sent.Add(1)
	w.mu.Lock()
	if !w.quiet {
		w.log = append(w.log, f)
	}
	keep := w.filter == nil || w.filter(f)
	w.mu.Unlock()
	if !keep {
		return nil
	}
	select {
	case w.frames <- f:
		return nil
	default:
		return syscall.ENOBUFS
	}
}

func (w *wire) setFilter(f func(wireFrame) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.filter = f
}

func (w *wire) setError(errno syscall.Errno) {
	if errno == 0 {
		w.err.Store(nil)
		return
	}
	w.err.Store(&errno)
}

// logged returns the frames sent so far, dropped or not.
func (w *wire) logged() []wireFrame {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]wireFrame(nil), w.log...)
}

func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = nil
}

// run delivers until the channel is closed.
func (w *wire) run() {
	defer close(w.done)
	if w.to == nil {
		for range w.frames {
		}
		return
	}
	rx := w.to.NewRxBuffer()
	defer rx.Release()
	joined := w.to.NewCoalescer()
	rx.CoalesceBy(joined)
	for f := range w.frames {
		n := fill(rx.Pieces(), f.data)
		if n < len(f.data) {
			panic("frame does not fit into RxBuffer")
		}
		rx.Deliver(n, f.offload.NeedsChecksum)
		if len(w.frames) == 0 {
			joined.Flush()
		}
	}
}

func fill(pieces [][]byte, data []byte) int {
	n := 0
	for _, p := range pieces {
		n += copy(p, data[n:])
	}
	return n
}

// pair is two hosts on one wire.
type pair struct {
	a, b   *Host
	ab, ba *wire // from a to b, from b to a
}

// newPair makes host a with addrA, addrA2 and linkA, and host b with addrB and
// linkB. It fails the test if goroutines are left at the end.
func newPair(t testing.TB, change ...func(*Config)) *pair {
	checkLeaks(t)
	p := &pair{ab: newWire(macA), ba: newWire(macB)}
	make := func(w *wire, global, link netip.Addr) *Host {
		cfg := Config{Name: "tap0", MTU: 1500, Output: w.output, Source: func(dst netip.Addr) (netip.Addr, error) {
			if needsZone(dst) {
				return link, nil
			}
			return global, nil
		}}
		for _, c := range change {
			c(&cfg)
		}
		h, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []netip.Addr{global, link} {
			if err := h.AddAddress(a); err != nil {
				t.Fatal(err)
			}
		}
		return h
	}
	p.a, p.b = make(p.ab, addrA, linkA), make(p.ba, addrB, linkB)
	if err := p.a.AddAddress(addrA2); err != nil {
		t.Fatal(err)
	}
	p.ab.to, p.ba.to = p.b, p.a
	go p.ab.run()
	go p.ba.run()
	t.Cleanup(func() {
		p.a.Close()
		p.b.Close()
		close(p.ab.frames)
		close(p.ba.frames)
		<-p.ab.done
		<-p.ba.done
	})
	return p
}

// checkLeaks fails the test if, after all that is registered later, there are
// more goroutines of this package or of gVisor than now.
func checkLeaks(t testing.TB) {
	before := len(ours())
	t.Cleanup(func() {
		var left []string
		eventually(t, "goroutines end", func() bool {
			left = ours()
			return len(left) <= before
		})
		if t.Failed() && len(left) > 0 {
			t.Log(strings.Join(left, "\n\n"))
		}
	})
}

// ours returns the stacks of the goroutines of this package and of gVisor, save
// the tests themselves.
func ours() []string {
	buf := make([]byte, 1<<20)
	var list []string
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if (strings.Contains(g, "netstack") || strings.Contains(g, "gvisor")) && !strings.Contains(g, "testing.tRunner(") &&
			!strings.Contains(g, "testing.runExample") {
			list = append(list, g)
		}
	}
	return list
}

// eventually polls until ok, for a time that only a failing test takes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("not within 10 s: %s", what)
}

func wantErrno(t testing.TB, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error = %v, want %v", err, want)
	}
}

func port(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }

var anyAddr netip.AddrPort
