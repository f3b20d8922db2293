package tap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
	"golang.org/x/sys/unix"
)

func TestDevice_CarriesFrames(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		out := frame(nd.BroadcastLinkAddr, d.LinkAddr(), "from us, in pieces, and longer than the shortest frame")
		pieces := [][]byte{out[:1], {}, out[1:14], out[14:20], out[20:]}
		if n, err := d.Write([]stack.Frame{{Data: pieces}, {Data: [][]byte{out}}}); n != 2 || err != nil {
			t.Fatalf("Write = %d, %v, want 2, nil", n, err)
		}
		for range 2 {
			if got := k.receive(); !bytes.Equal(got, out) {
				t.Errorf("the kernel got %x, want %x", got, out)
			}
		}
		for i := range uint32(3) {
			k.send(numbered(d.LinkAddr(), addrA, i))
		}
		read := uint32(0)
		for read < 3 {
			r := room(2, 0)
			for i := range r {
				r[i].Data = [][]byte{make([]byte, 10), {}, make([]byte, 5), make([]byte, 100)}
			}
			n, err := d.Read(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r[:n] {
				got := bytes.Join(f.Data, nil)[:f.Len]
				if want := numbered(d.LinkAddr(), addrA, read); !bytes.Equal(got, want) {
					t.Errorf("frame %d = %x, want %x", read, got, want)
				}
				if f.Offload != (stack.FrameOffload{}) {
					t.Errorf("frame %d: offload %+v, want none", read, f.Offload)
				}
				read++
			}
		}
	})
}

// More pieces than package unix takes without allocating.
func TestDevice_ManyPieces(t *testing.T) {
	d := openUp(t, quietNamespace(t), tap.Config{})
	out := frame(nd.BroadcastLinkAddr, d.LinkAddr(), strings.Repeat("x", 500))
	var pieces [][]byte
	for i := range out {
		pieces = append(pieces, out[i:i+1])
	}
	if n, err := d.Write([]stack.Frame{{Data: pieces}}); n != 1 || err != nil {
		t.Errorf("Write in %d pieces = %d, %v", len(pieces), n, err)
	}
}

func TestDevice_ReadFillsABatch(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	k := kernelSide(t, ns, "tap0", testEtherType, false)
	for i := range uint32(5) {
		k.send(numbered(d.LinkAddr(), addrA, i))
	}
	for _, want := range []int{3, 2} {
		if n, err := d.Read(room(3, 100)); n != want || err != nil {
			t.Errorf("Read = %d, %v, want %d, nil", n, err, want)
		}
	}
}

func TestDevice_DropsAndCountsAFrameLongerThanItsRoom(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		k.send(frame(d.LinkAddr(), addrA, "one octet too long"))
		want := frame(d.LinkAddr(), addrA, "no octet too long")
		k.send(want)
		r := room(1, len(want))
		if n, err := d.Read(r); n != 1 || err != nil {
			t.Fatalf("Read = %d, %v, want 1, nil", n, err)
		}
		if got := r[0].Data[0][:r[0].Len]; !bytes.Equal(got, want) {
			t.Errorf("frame = %q, want %q", got, want)
		}
		if got := d.InDiscards(); got != 1 {
			t.Errorf("InDiscards = %d, want 1", got)
		}
	})
}

func TestDevice_CloseUnblocksRead(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		result := make(chan error, 1)
		startBlockedRead(t, ns, d, result)
		within(t, "Close", func() {
			if err := d.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if err := <-result; err != net.ErrClosed {
				t.Errorf("Read that Close unblocked: %v, want net.ErrClosed", err)
			}
		})
		if err := d.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if _, err := d.Read(room(1, 100)); err != net.ErrClosed {
			t.Errorf("Read after Close: %v, want net.ErrClosed", err)
		}
		f := []stack.Frame{{Data: [][]byte{frame(addrB, addrA, "")}}}
		if n, err := d.Write(f); n != 0 || err != net.ErrClosed {
			t.Errorf("Write after Close: %d, %v, want 0, net.ErrClosed", n, err)
		}
		if err := d.SetUp(); err != net.ErrClosed {
			t.Errorf("SetUp after Close: %v, want net.ErrClosed", err)
		}
		if !d.Drained() {
			t.Error("Drained after Close = false")
		}
	})
}

// startBlockedRead has a goroutine read one frame and then wait for another,
// and returns when it waits. result gets the error of the second Read.
func startBlockedRead(t *testing.T, ns *netnstest.Namespace, d *tap.Device, result chan<- error) {
	t.Helper()
	kernelSide(t, ns, "tap0", testEtherType, false).send(frame(d.LinkAddr(), addrA, "first"))
	first := make(chan struct{})
	go func() {
		r := room(1, 100)
		if n, err := d.Read(r); n != 1 || err != nil {
			t.Errorf("Read = %d, %v, want 1, nil", n, err)
		}
		close(first)
		_, err := d.Read(r)
		result <- err
	}()
	<-first
	within(t, "a second Read that finds nothing", func() {
		for !d.Drained() {
			runtime.Gosched()
		}
	})
}

// Drained, step by step: see its contract at stack.Link.
func TestDevice_Drained(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		want := func(step string, want bool) {
			t.Helper()
			if got := d.Drained(); got != want {
				t.Errorf("%s: Drained = %v, want %v", step, got, want)
			}
		}
		want("nothing ever arrived", true)
		k.send(numbered(d.LinkAddr(), addrA, 1))
		k.send(numbered(d.LinkAddr(), addrA, 2))
		want("two wait", false)
		receive(t, d)
		want("one was read, one waits", false)
		receive(t, d)
		want("both were read, the reader is still at work", false)
		result := make(chan error, 1)
		startBlockedRead(t, ns, d, result)
		want("the reader waits for more", true)
		k.send(numbered(d.LinkAddr(), addrA, 3))
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		want("the reader has the third", false)
	})
}

// A batch that ends because nothing is left does not say that the reader is
// done with it.
func TestDevice_DrainedAfterABatch(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	k := kernelSide(t, ns, "tap0", testEtherType, false)
	k.send(numbered(d.LinkAddr(), addrA, 1))
	if n, err := d.Read(room(8, 100)); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if d.Drained() {
		t.Error("Drained while the reader is at work on a batch")
	}
}

// Many frames, and a watcher that asks Drained before it looks how far
// the reader is: true must never be said of a frame that is not done with.
func TestDevice_DrainedNeverLies(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		const frames = 300
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		var mu sync.Mutex
		done := 0
		go func() {
			r := room(8, 100)
			for {
				n, err := d.Read(r)
				if err != nil {
					return
				}
				runtime.Gosched()
				mu.Lock()
				done += n
				mu.Unlock()
			}
		}()
		for sent := 1; sent <= frames; sent++ {
			k.send(numbered(d.LinkAddr(), addrA, uint32(sent)))
			if sent%3 != 0 {
				continue
			}
			within(t, "Drained", func() {
				for !d.Drained() {
					runtime.Gosched()
				}
			})
			mu.Lock()
			got := done
			mu.Unlock()
			if got != sent {
				t.Fatalf("Drained with %d of %d frames done with", got, sent)
			}
		}
	})
}

func TestDevice_WriteWhileTheKernelsEndIsDown(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		ns.Run(t, "ip", "link", "set", "tap0", "down")
		f := []stack.Frame{{Data: [][]byte{frame(addrB, addrA, "")}}}
		n, err := d.Write(f)
		if n != 0 || !errors.Is(err, unix.ENETDOWN) || !strings.Contains(err.Error(), "ip link set tap0 up") {
			t.Errorf("Write = %d, %v, want ENETDOWN and what to do", n, err)
		}
		if err := d.SetUp(); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Write(f); n != 1 || err != nil {
			t.Errorf("Write = %d, %v, want 1, nil", n, err)
		}
	})
}

func TestDevice_WriteOfSomeFrames(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		good := stack.Frame{Data: [][]byte{frame(addrB, addrA, "")}}
		for _, bad := range []stack.Frame{{Data: [][]byte{make([]byte, 13)}}, {}} {
			n, err := d.Write([]stack.Frame{good, good, bad, good})
			if n != 2 || err == nil {
				t.Errorf("Write with a bad third frame = %d, %v, want 2 and an error", n, err)
			}
		}
	})
}

func TestDevice_ReadAfterTheInterfaceWasDeleted(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		result := make(chan error, 1)
		startBlockedRead(t, ns, d, result)
		ns.Run(t, "ip", "link", "del", "tap0")
		within(t, "Read of a deleted interface", func() {
			if err := <-result; !errors.Is(err, unix.EBADFD) || !strings.Contains(err.Error(), "tap0: the interface was deleted") {
				t.Errorf("Read: %v, want that the interface was deleted", err)
			}
		})
	})
}

// A reader that was not waiting when the interface went is told the same: the
// poller knows of the loss before the reader asks it.
func TestDevice_ReadLongAfterTheInterfaceWasDeleted(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		ns.Run(t, "ip", "link", "del", "tap0")
		for range 3 {
			_, err := d.Read(room(1, 2000))
			if !errors.Is(err, unix.EBADFD) || !strings.Contains(err.Error(), "tap0: the interface was deleted") {
				t.Errorf("Read: %v, want that the interface was deleted", err)
			}
		}
	})
}

func TestDevice_ManyWriters(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		const writers, each = 4, 50
		d := openUp(t, ns, cfg)
		k := kernelSide(t, ns, "tap0", testEtherType, false)
		var wg sync.WaitGroup
		for w := range uint32(writers) {
			wg.Go(func() {
				for i := range uint32(each) {
					b := numbered(nd.BroadcastLinkAddr, addrA, w<<16|i)
					if n, err := d.Write([]stack.Frame{{Data: [][]byte{b[:5], b[5:]}}}); n != 1 || err != nil {
						t.Errorf("Write = %d, %v", n, err)
					}
				}
			})
		}
		next := make([]uint32, writers)
		for range writers * each {
			n := binary.BigEndian.Uint32(k.receive()[headerLen:])
			if n>>16 >= writers || n&0xffff != next[n>>16] {
				t.Fatalf("frame %#x, want the next of %v", n, next)
			}
			next[n>>16]++
		}
		wg.Wait()
	})
}
