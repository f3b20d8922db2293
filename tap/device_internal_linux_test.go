package tap

import (
	"io"
	"net"
	"os"
	"testing"

	"github.com/tapstack/tapstack/stack"
)

// blockable is a device over the writing end of a pipe: what a TAP seldom is,
// a pipe is soon, namely full.
func blockable(t *testing.T) (*linuxDevice, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	d := &linuxDevice{name: "pipe", file: w, raw: raw}
	d.writers.New = func() any { return newWriter(d) }
	return d, r
}

// more is more frames than a pipe holds.
func more() []stack.Frame {
	frames := make([]stack.Frame, 100)
	for i := range frames {
		frames[i].Data = [][]byte{make([]byte, 4096)}
	}
	return frames
}

func TestLinuxDevice_WriteWaitsForRoom(t *testing.T) {
	d, r := blockable(t)
	read := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, r)
		read <- n
	}()
	if n, err := d.write(more()); n != 100 || err != nil {
		t.Errorf("write = %d, %v, want 100, nil", n, err)
	}
	d.close()
	if n := <-read; n != 100*4096 {
		t.Errorf("%d octets arrived, want %d", n, 100*4096)
	}
}

func TestLinuxDevice_CloseUnblocksWrite(t *testing.T) {
	d, r := blockable(t)
	type result struct {
		n   int
		err error
	}
	done := make(chan result)
	go func() {
		n, err := d.write(more())
		done <- result{n, err}
	}()
	// When the first frames can be read, write is at work. Whether it waits
	// already makes no difference to what it must return.
	if _, err := io.ReadFull(r, make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	d.close()
	if got := <-done; got.n == 100 || got.err != net.ErrClosed {
		t.Errorf("write = %d, %v, want fewer than 100, net.ErrClosed", got.n, got.err)
	}
}
