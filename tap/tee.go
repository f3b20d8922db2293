package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tapstack/tapstack/internal/pcap"
	"github.com/tapstack/tapstack/stack"
)

// Tee returns a link that does what link does and records each frame to w as
// pcapng, one call of w.Write per frame. Received frames are recorded as Read
// returns them. Sent frames are recorded before link has them, so that no
// answer stands before its question; one that link then refuses is recorded
// too.
//
// A frame that the device or the peer has yet to cut into segments is one
// frame in the record. A checksum that is yet to be completed is complete in
// the record.
//
// Close closes link and not w. Its error says too if w failed, after which
// nothing more was recorded; the link itself goes on.
func Tee(link stack.Link, w io.Writer) stack.Link {
	name := link.LinkAddr().String()
	if n, ok := link.(interface{ Name() string }); ok {
		name = n.Name()
	}
	return &tee{Link: link, file: pcap.NewWriter(w, name, link.LinkAddr())}
}

type tee struct {
	stack.Link
	mu    sync.Mutex // guards file and the order of time in it
	file  *pcap.Writer
	frame []byte // room for one
}

func (t *tee) Read(frames []stack.Frame) (int, error) {
	n, err := t.Link.Read(frames)
	for i := range frames[:n] {
		t.record(&frames[i], frames[i].Len, pcap.Inbound)
	}
	return n, err
}

func (t *tee) Write(frames []stack.Frame) (int, error) {
	for i := range frames {
		length := 0
		for _, p := range frames[i].Data {
			length += len(p)
		}
		t.record(&frames[i], length, pcap.Outbound)
	}
	return t.Link.Write(frames)
}

func (t *tee) Close() error {
	err := t.Link.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	if failed := t.file.Err(); failed != nil {
		err = errors.Join(err, fmt.Errorf("record the link's frames: %w", failed))
	}
	return err
}

func (t *tee) record(f *stack.Frame, length int, d pcap.Direction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frame = t.frame[:0]
	for _, b := range f.Data {
		b = b[:min(len(b), length)]
		length -= len(b)
		t.frame = append(t.frame, b...)
	}
	completeChecksum(t.frame, f.Offload)
	t.file.Packet(time.Now(), d, t.frame)
}

// completeChecksum does what o says is left to do. The field holds the sum of
// the pseudo-header, so the sum over everything includes it.
func completeChecksum(frame []byte, o stack.FrameOffload) {
	start, field := int(o.ChecksumStart), int(o.ChecksumStart)+int(o.ChecksumOffset)
	if !o.NeedsChecksum || field+2 > len(frame) {
		return
	}
	var sum uint32
	rest := frame[start:]
	for ; len(rest) >= 2; rest = rest[2:] {
		sum += uint32(binary.BigEndian.Uint16(rest))
	}
	if len(rest) == 1 {
		sum += uint32(rest[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	checksum := ^uint16(sum)
	// A UDP checksum of zero would mean that there is none (RFC 8200,
	// section 8.1); for the others both spellings of zero are the same.
	if checksum == 0 {
		checksum = 0xffff
	}
	binary.BigEndian.PutUint16(frame[field:], checksum)
}
