package tap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

var (
	addrA = nd.LinkAddr{0x02, 0, 0, 0, 0, 0x0a}
	addrB = nd.LinkAddr{0x02, 0, 0, 0, 0, 0x0b}
	addrC = nd.LinkAddr{0x02, 0, 0, 0, 0, 0x0c}
	group = nd.LinkAddr{0x33, 0x33, 0, 0, 0, 0x01}
)

// testEtherType is for local experiments (IEEE 802).
const testEtherType = 0x88b5

// frame is an Ethernet frame of the experimental type.
func frame(to, from nd.LinkAddr, payload string) []byte {
	b := append(append([]byte(nil), to[:]...), from[:]...)
	b = binary.BigEndian.AppendUint16(b, testEtherType)
	return append(b, payload...)
}

// numbered is a frame whose payload is n.
func numbered(to, from nd.LinkAddr, n uint32) []byte {
	return binary.BigEndian.AppendUint32(frame(to, from, ""), n)
}

// send writes one frame and wants that to work.
func send(t testing.TB, l stack.Link, b []byte) {
	t.Helper()
	if n, err := l.Write([]stack.Frame{{Data: [][]byte{b}}}); n != 1 || err != nil {
		t.Fatalf("Write = %d, %v, want 1, nil", n, err)
	}
}

// room is room for n frames of size octets each.
func room(n, size int) []stack.Frame {
	frames := make([]stack.Frame, n)
	for i := range frames {
		frames[i].Data = [][]byte{make([]byte, size)}
	}
	return frames
}

// receive reads one frame.
func receive(t testing.TB, l stack.Link) []byte {
	t.Helper()
	r := room(1, 1<<16+headerLen)
	if n, err := l.Read(r); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v, want 1, nil", n, err)
	}
	return r[0].Data[0][:r[0].Len]
}

const headerLen = 14

// waiting reads what has arrived and nothing else.
func waiting(t testing.TB, l *tap.End) [][]byte {
	t.Helper()
	var all [][]byte
	for r := room(64, 2048); !l.Drained(); {
		done := make(chan int)
		go func() {
			n, _ := l.Read(r)
			done <- n
		}()
		synctest.Wait()
		select {
		case n := <-done:
			for _, f := range r[:n] {
				all = append(all, bytes.Clone(f.Data[0][:f.Len]))
			}
		default:
			// All is read, and Read waits for more: end it.
			l.Close()
			<-done
		}
	}
	return all
}

func TestPipe_CarriesFramesInOrder(t *testing.T) {
	a, b := tap.Pipe(addrA, addrB, 1500)
	for i := range uint32(100) {
		send(t, a, numbered(addrB, addrA, i))
	}
	for i := range uint32(100) {
		if got, want := receive(t, b), numbered(addrB, addrA, i); !bytes.Equal(got, want) {
			t.Fatalf("frame %d = %x, want %x", i, got, want)
		}
	}
	send(t, b, frame(addrA, addrB, "back"))
	if got, want := receive(t, a), frame(addrA, addrB, "back"); !bytes.Equal(got, want) {
		t.Fatalf("frame = %x, want %x", got, want)
	}
}

func TestPipe_CutsFramesAnywhere(t *testing.T) {
	a, b := tap.Pipe(addrA, addrB, 1500)
	want := frame(addrB, addrA, "in pieces")
	if _, err := a.Write([]stack.Frame{{Data: [][]byte{want[:1], nil, want[1:16], want[16:]}}}); err != nil {
		t.Fatal(err)
	}
	r := []stack.Frame{{Data: [][]byte{make([]byte, 3), make([]byte, 10), {}, make([]byte, 100)}}}
	if n, err := b.Read(r); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	got := bytes.Join(r[0].Data, nil)[:r[0].Len]
	if !bytes.Equal(got, want) {
		t.Errorf("frame = %x, want %x", got, want)
	}
}

func TestPipe_ReadFillsABatch(t *testing.T) {
	a, b := tap.Pipe(addrA, addrB, 1500)
	for i := range uint32(5) {
		send(t, a, numbered(addrB, addrA, i))
	}
	if n, err := b.Read(room(3, 100)); n != 3 || err != nil {
		t.Errorf("Read with room for 3 of 5 = %d, %v", n, err)
	}
	if n, err := b.Read(room(3, 100)); n != 2 || err != nil {
		t.Errorf("Read with room for 3 of 2 = %d, %v", n, err)
	}
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("Read without room = %d, %v, want 0, nil at once", n, err)
	}
}

func TestPipe_DropsAndCountsAFrameLongerThanItsRoom(t *testing.T) {
	a, b := tap.Pipe(addrA, addrB, 1500)
	send(t, a, frame(addrB, addrA, "seven o"))
	send(t, a, frame(addrB, addrA, "six oc"))
	r := room(2, headerLen+6)
	n, err := b.Read(r)
	if n != 1 || err != nil || r[0].Len != headerLen+6 {
		t.Errorf("Read = %d, %v, length %d, want the second frame", n, err, r[0].Len)
	}
	if got := b.InDiscards(); got != 1 {
		t.Errorf("InDiscards = %d, want 1", got)
	}
}

func TestPipe_HoldsABoundedNumberOfFrames(t *testing.T) {
	const bound = 4096
	a, b := tap.Pipe(addrA, addrB, 1500)
	for i := range uint32(bound + 10) {
		send(t, a, numbered(addrB, addrA, i))
	}
	if got := b.InDiscards(); got != 10 {
		t.Errorf("InDiscards = %d, want 10", got)
	}
	for i := range uint32(bound) {
		if got := receive(t, b); !bytes.Equal(got, numbered(addrB, addrA, i)) {
			t.Fatalf("frame %d = %x: the newest are to be dropped, not the oldest", i, got)
		}
	}
	if n := len(receiveAfterClose(b)); n != 0 {
		t.Errorf("%d frames more than the bound", n)
	}
}

func receiveAfterClose(l stack.Link) []stack.Frame {
	l.Close()
	r := room(1, 2048)
	n, _ := l.Read(r)
	return r[:n]
}

// The ring is used up to its bound many times over.
func TestPipe_QueueWrapsAround(t *testing.T) {
	a, b := tap.Pipe(addrA, addrB, 1500)
	var sent, read uint32
	for round := range 2000 {
		for range 1 + round%13 {
			send(t, a, numbered(addrB, addrA, sent))
			sent++
		}
		r := room(1+round%11, 100)
		n, err := b.Read(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r[:n] {
			if got := f.Data[0][:f.Len]; !bytes.Equal(got, numbered(addrB, addrA, read)) {
				t.Fatalf("frame %d = %x", read, got)
			}
			read++
		}
	}
}

func TestPipe_RefusesWhatALinkRefuses(t *testing.T) {
	a, _ := tap.Pipe(addrA, addrB, 1280)
	long := make([]byte, headerLen+1281)
	tests := []struct {
		name  string
		frame stack.Frame
		want  error
	}{
		{"longer than the MTU", stack.Frame{Data: [][]byte{long}}, syscall.EMSGSIZE},
		{"as long as the MTU", stack.Frame{Data: [][]byte{long[1:]}}, nil},
		{"shorter than a header", stack.Frame{Data: [][]byte{long[:13]}}, syscall.EINVAL},
		{"empty", stack.Frame{}, syscall.EINVAL},
	}
	for _, tt := range tests {
		n, err := a.Write([]stack.Frame{{Data: [][]byte{long[:20]}}, tt.frame})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if want := map[bool]int{true: 2, false: 1}[tt.want == nil]; n != want {
			t.Errorf("%s: n = %d, want %d", tt.name, n, want)
		}
	}
	for _, o := range []stack.FrameOffload{{NeedsChecksum: true}, {SegmentSize: 1000}} {
		if _, err := a.Write([]stack.Frame{{Data: [][]byte{long[:100]}, Offload: o}}); err == nil {
			t.Errorf("Write with %+v on a link without offload succeeded", o)
		}
	}
}

func TestPipe_FailWrites(t *testing.T) {
	a, b := tap.Pipe(addrA, addrB, 1500)
	a.FailWrites(syscall.ENETDOWN)
	f := []stack.Frame{{Data: [][]byte{frame(addrB, addrA, "lost")}}}
	if n, err := a.Write(f); n != 0 || err != syscall.ENETDOWN {
		t.Errorf("Write = %d, %v, want 0, ENETDOWN", n, err)
	}
	send(t, b, frame(addrA, addrB, "the other way works"))
	a.FailWrites(nil)
	send(t, a, frame(addrB, addrA, "again"))
	if got, want := receive(t, b), frame(addrB, addrA, "again"); !bytes.Equal(got, want) {
		t.Errorf("frame = %x, want %x", got, want)
	}
}

func TestPipe_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := tap.Pipe(addrA, addrB, 1500)
		result := make(chan error, 1)
		go func() {
			_, err := a.Read(room(1, 100))
			result <- err
		}()
		synctest.Wait() // Read waits
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := <-result; err != net.ErrClosed {
			t.Errorf("Read that Close unblocked: %v, want net.ErrClosed", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if _, err := a.Read(room(1, 100)); err != net.ErrClosed {
			t.Errorf("Read after Close: %v, want net.ErrClosed", err)
		}
		if _, err := a.Write([]stack.Frame{{Data: [][]byte{frame(addrB, addrA, "")}}}); err != net.ErrClosed {
			t.Errorf("Write after Close: %v, want net.ErrClosed", err)
		}
		send(t, b, frame(addrA, addrB, "nobody listens"))
		b.Close()
	})
}

// Drained, step by step: see its contract at stack.Link.
func TestPipe_Drained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := tap.Pipe(addrA, addrB, 1500)
		want := func(step string, want bool) {
			t.Helper()
			if got := b.Drained(); got != want {
				t.Errorf("%s: Drained = %v, want %v", step, got, want)
			}
		}
		want("nothing ever arrived", true)
		send(t, a, frame(addrB, addrA, "1"))
		send(t, a, frame(addrB, addrA, "2"))
		want("two wait", false)
		receive(t, b)
		want("one was read, one waits", false)
		receive(t, b)
		want("both were read, the reader is still at work", false)

		got := make(chan []byte)
		go func() { got <- receive(t, b) }()
		synctest.Wait()
		want("the reader waits for more", true)
		send(t, a, frame(addrB, addrA, "3"))
		want("the reader was woken and has not run", false)
		<-got
		want("the reader has the third", false)
		b.Close()
		want("closed", true)
		a.Close()
	})
}

func TestPipe_ManyWriters(t *testing.T) {
	const writers, each = 8, 200
	a, b := tap.Pipe(addrA, addrB, 1500)
	var wg sync.WaitGroup
	for w := range uint32(writers) {
		wg.Go(func() {
			for i := range uint32(each) {
				send(t, a, numbered(addrB, addrA, w<<16|i))
			}
		})
	}
	next := make([]uint32, writers)
	for range writers * each {
		n := binary.BigEndian.Uint32(receive(t, b)[headerLen:])
		if w := n >> 16; n&0xffff != next[w] {
			t.Fatalf("writer %d: frame %d, want %d", w, n&0xffff, next[w])
		} else {
			next[w]++
		}
	}
	wg.Wait()
}

func BenchmarkPipe(b *testing.B) {
	x, y := tap.Pipe(addrA, addrB, 1500)
	out := []stack.Frame{{Data: [][]byte{make([]byte, headerLen+1500)}}}
	in := room(1, 2048)
	b.ReportAllocs()
	b.SetBytes(headerLen + 1500)
	for b.Loop() {
		if _, err := x.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := y.Read(in); err != nil {
			b.Fatal(err)
		}
	}
}
