package pcap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

var (
	began  = time.Unix(1058903839, 123456000).UTC()
	sample = [][]byte{bytes.Repeat([]byte{1}, 60), bytes.Repeat([]byte{2}, 61), bytes.Repeat([]byte{3}, 1514)}
)

// linkCooked is what tcpdump -i any writes.
const linkCooked = 113

var little = binary.LittleEndian

func words(b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = little.AppendUint32(b, w)
	}
	return b
}

// writePcap makes a capture with at most 1000 octets of each frame.
func writePcap(link uint32) []byte {
	b := words(nil, magicMicro, 4<<16|2, 0, 0, 1000, link)
	for i, f := range sample {
		at := began.Add(time.Duration(i) * time.Millisecond)
		kept := f[:min(len(f), 1000)]
		b = words(b, uint32(at.Unix()), uint32(at.Nanosecond()/1000), uint32(len(kept)), uint32(len(f)))
		b = append(b, kept...)
	}
	return b
}

func block(b []byte, kind uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	size := uint32(len(body) + 12)
	return words(append(words(b, kind, size), body...), size)
}

// writePcapng makes the same, with nanoseconds, and a block of statistics that
// nobody need know.
func writePcapng(link uint32) []byte {
	b := block(nil, magicNG, words(nil, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff))
	b = block(b, blockInterface, words(nil, link, 1000, 1<<16|9, 9, 0))
	for i, f := range sample {
		at := uint64(began.Add(time.Duration(i) * time.Millisecond).UnixNano())
		kept := f[:min(len(f), 1000)]
		b = block(b, blockEnhanced, append(words(nil, 0, uint32(at>>32), uint32(at), uint32(len(kept)), uint32(len(f))), kept...))
	}
	return block(b, 5, words(nil, 0, 0, 0))
}

// bigEndian is a pcap of one frame in the other byte order, with nanoseconds.
func bigEndian() []byte {
	b := binary.BigEndian.AppendUint32(nil, magicNano)
	b = append(b, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, linkEthernet)
	for _, v := range []uint32{7, 8, 3, 60} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return append(b, 1, 2, 3)
}

func readAll(file []byte) (frames []Frame, err error) {
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		f, err := r.Next()
		if err == io.EOF {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		f.Data = bytes.Clone(f.Data)
		frames = append(frames, f)
	}
}

func TestRead(t *testing.T) {
	for name, file := range map[string][]byte{"pcap": writePcap(linkEthernet), "pcapng": writePcapng(linkEthernet)} {
		frames, err := readAll(file)
		if err != nil || len(frames) != len(sample) {
			t.Fatalf("%s: %d frames, error %v", name, len(frames), err)
		}
		for i, f := range frames {
			want := sample[i][:min(1000, len(sample[i]))]
			if f.Number != i+1 || !bytes.Equal(f.Data, want) || f.Length != len(sample[i]) || !f.At.Equal(began.Add(time.Duration(i)*time.Millisecond)) {
				t.Errorf("%s: frame %d: number %d, %d octets of %d, at %v", name, i+1, f.Number, len(f.Data), f.Length, f.At)
			}
		}
	}
	frames, err := readAll(bigEndian())
	if err != nil || len(frames) != 1 || !frames[0].At.Equal(time.Unix(7, 8)) || frames[0].Length != 60 {
		t.Errorf("big-endian: %+v, error %v", frames, err)
	}
}

// What cannot be read is told in a line that says what and where.
func TestBadFiles(t *testing.T) {
	pcap, ng := writePcap(linkEthernet), writePcapng(linkEthernet)
	huge := bytes.Clone(pcap)
	binary.LittleEndian.PutUint32(huge[24+8:], 1<<31)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":     {nil, "not a capture: it has 0 octets"},
		"text":      {[]byte("case DAD-01 A probe"), "not a capture: it begins with"},
		"gzip":      {[]byte{0x1f, 0x8b, 8, 0}, "unpack it first"},
		"header":    {pcap[:20], "truncated in its header"},
		"truncated": {pcap[:len(pcap)-1], "after frame 2: truncated at frame 3"},
		"ng":        {ng[:len(ng)-25], "truncated at frame 3"},
		"size":      {huge, "frame 1 is said to have 2147483648 octets"},
		"cooked":    {writePcap(linkCooked), "not Ethernet: it is of link type 113, Linux cooked"},
		"ng cooked": {writePcapng(linkCooked), "not Ethernet: it is of link type 113, Linux cooked"},
	} {
		_, err := readAll(c.file)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// An error of the underlying reader is no fault of the file.
func TestReadError(t *testing.T) {
	broken := errors.New("the disk")
	r, err := NewReader(io.MultiReader(bytes.NewReader(writePcap(linkEthernet)), errReader{broken}))
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// Whatever a file says, reading ends, and no more is kept than one block.
func FuzzReader(f *testing.F) {
	f.Add(writePcap(linkEthernet))
	f.Add(writePcapng(linkEthernet))
	f.Add(bigEndian())
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		for n := 0; err == nil; n++ {
			var frame Frame
			if frame, err = r.Next(); len(frame.Data) > maxBlock || n > len(file) {
				t.Fatalf("frame %d of %d octets from a file of %d", n, len(frame.Data), len(file))
			}
		}
		if r != nil && (cap(r.block) > maxBlock || len(r.interfaces) > maxInterfaces) {
			t.Fatalf("it keeps %d octets and %d interfaces", cap(r.block), len(r.interfaces))
		}
	})
}
