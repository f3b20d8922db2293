// Package pcap reads and writes captures of Ethernet frames
// (draft-ietf-opsawg-pcap and -pcapng).
//
// A Reader takes files of pcap, with micro- or nanoseconds and of either byte
// order, and of pcapng. It takes any octets and keeps one frame at a time,
// whatever a file claims of itself. A Writer writes pcapng.
package pcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

const (
	magicMicro = 0xa1b2c3d4
	magicNano  = 0xa1b23c4d
	magicNG    = 0x0a0d0d0a

	linkEthernet = 1

	// maxFrame is the most that capture programs take of a frame, and
	// maxBlock what is around it with all its options.
	maxFrame = 1 << 18
	maxBlock = 1 << 20
	// maxInterfaces bounds what is kept of a section.
	maxInterfaces = 4096
)

// Frame is one frame of a capture.
type Frame struct {
	Number int       // from 1
	At     time.Time // zero if the capture does not say
	Data   []byte    // without check sequence; valid until the next call of Next
	// Length is how long it was on the wire; if Data is shorter the rest was
	// not captured.
	Length int
}

// Error says why a file cannot be read, and how far it could.
type Error struct {
	Frame  int // the last one that could be read
	Reason string
}

func (e *Error) Error() string {
	if e.Frame == 0 {
		return e.Reason
	}
	return fmt.Sprintf("after frame %d: %s", e.Frame, e.Reason)
}

// Reader reads the frames of one capture.
type Reader struct {
	in     *bufio.Reader
	order  binary.ByteOrder
	number int
	block  []byte // reused

	ng         bool
	nano       bool
	interfaces []device // of the section of a pcapng
}

// device is an interface of a pcapng.
type device struct {
	link    uint16
	snapLen uint32
	ticks   uint64 // in a second
	offset  int64  // in seconds
}

// NewReader reads the header. The error is an *Error, or one of r.
func NewReader(r io.Reader) (*Reader, error) {
	p := &Reader{in: bufio.NewReaderSize(r, 1<<16)}
	head, err := p.in.Peek(4)
	if err != nil {
		return nil, p.ended(err, "not a capture: it has %d octets", len(head))
	}
	switch big := binary.BigEndian.Uint32(head); {
	case big == magicNG:
		p.ng = true
		return p, nil
	case big>>16 == 0x1f8b:
		return nil, p.fail("not a capture but compressed by gzip: unpack it first")
	case big == magicMicro || big == magicNano:
		p.order = binary.BigEndian
	default:
		p.order = binary.LittleEndian
	}
	magic := p.order.Uint32(head)
	if magic != magicMicro && magic != magicNano {
		return nil, p.fail("not a capture: it begins with %#x, and neither pcap nor pcapng does", head)
	}
	p.nano = magic == magicNano
	header, err := p.take(24)
	if err != nil {
		return nil, p.ended(err, "truncated in its header")
	}
	return p, p.ethernet(p.order.Uint32(header[20:]) & 0xffff)
}

func (p *Reader) fail(format string, args ...any) error {
	return &Error{p.number, fmt.Sprintf(format, args...)}
}

// ended tells the end of a file in the wrong place from other errors.
func (p *Reader) ended(err error, format string, args ...any) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return p.fail(format, args...)
	}
	return err
}

// linkNames are the kinds of link that are met most among those that are not
// Ethernet.
var linkNames = map[uint32]string{0: "BSD loopback", 12: "raw IP", 101: "raw IP", 105: "IEEE 802.11", 113: "Linux cooked (tcpdump -i any)", 127: "IEEE 802.11 with radiotap", 276: "Linux cooked (tcpdump -i any)"}

func (p *Reader) ethernet(link uint32) error {
	if link == linkEthernet {
		return nil
	}
	name := ""
	if n := linkNames[link]; n != "" {
		name = ", " + n
	}
	return p.fail("not Ethernet: it is of link type %d%s", link, name)
}

// take reads n octets, which stay valid until it is called again.
func (p *Reader) take(n int) ([]byte, error) {
	if cap(p.block) < n {
		p.block = make([]byte, n)
	}
	b := p.block[:n]
	got, err := io.ReadFull(p.in, b)
	if err == io.EOF && got == 0 && n > 0 {
		return nil, io.EOF
	}
	return b, err
}

// Next returns the next frame. At the end of the capture the error is io.EOF,
// else an *Error or one of the underlying reader.
func (p *Reader) Next() (Frame, error) {
	if p.ng {
		return p.nextNG()
	}
	head, err := p.take(16)
	switch {
	case err == io.EOF:
		return Frame{}, io.EOF
	case err != nil:
		return Frame{}, p.ended(err, "truncated at frame %d", p.number+1)
	}
	sec, frac := p.order.Uint32(head), p.order.Uint32(head[4:])
	size, length := p.order.Uint32(head[8:]), p.order.Uint32(head[12:])
	if size > maxFrame || length > math.MaxInt32 {
		return Frame{}, p.fail("frame %d is said to have %d octets, which is more than %d: the file is damaged", p.number+1, size, maxFrame)
	}
	nanos := int64(frac) * 1000
	if p.nano {
		nanos = int64(frac)
	}
	data, err := p.take(int(size))
	if err != nil {
		return Frame{}, p.ended(err, "truncated at frame %d", p.number+1)
	}
	p.number++
	return Frame{p.number, time.Unix(int64(sec), nanos), data, int(length)}, nil
}

// Types of the blocks of a pcapng.
const (
	blockInterface = 1
	blockSimple    = 3
	blockEnhanced  = 6
)

func (p *Reader) nextNG() (Frame, error) {
	for {
		kind, body, err := p.nextBlock()
		if err != nil {
			return Frame{}, err
		}
		switch kind {
		case blockInterface:
			if err := p.addInterface(body); err != nil {
				return Frame{}, err
			}
		case blockEnhanced:
			return p.enhanced(body)
		case blockSimple:
			return p.simple(body)
		}
	}
}

// nextBlock reads a block and returns what is between its two lengths. A
// section header is dealt with here: it gives the byte order.
func (p *Reader) nextBlock() (kind uint32, body []byte, err error) {
	head, err := p.take(8)
	if err == io.EOF {
		return 0, nil, io.EOF
	}
	if err != nil {
		return 0, nil, p.ended(err, "truncated after frame %d", p.number)
	}
	section := binary.BigEndian.Uint32(head) == magicNG
	if section {
		magic, err := p.in.Peek(4)
		if err != nil {
			return 0, nil, p.ended(err, "truncated after frame %d", p.number)
		}
		p.order, p.interfaces = binary.LittleEndian, nil
		if binary.BigEndian.Uint32(magic) == 0x1a2b3c4d {
			p.order = binary.BigEndian
		}
		if p.order.Uint32(magic) != 0x1a2b3c4d {
			return 0, nil, p.fail("not a capture: the section header of a pcapng has byte-order magic %#x", magic)
		}
	}
	kind, size := p.order.Uint32(head), p.order.Uint32(head[4:])
	if size < 12 || size%4 != 0 || size > maxBlock {
		return 0, nil, p.fail("a block of %d octets: the file is damaged", size)
	}
	body, err = p.take(int(size) - 8)
	if err != nil {
		return 0, nil, p.ended(err, "truncated at frame %d", p.number+1)
	}
	end := len(body) - 4
	if p.order.Uint32(body[end:]) != size {
		return 0, nil, p.fail("the two lengths of a block differ: the file is damaged")
	}
	return kind, body[:end], nil
}

func (p *Reader) addInterface(b []byte) error {
	if len(b) < 8 || len(p.interfaces) == maxInterfaces {
		return p.fail("a description of interface %d that cannot be read: the file is damaged", len(p.interfaces))
	}
	d := device{link: p.order.Uint16(b), snapLen: p.order.Uint32(b[4:]), ticks: 1e6}
	for o := b[8:]; len(o) >= 4; {
		code, size := p.order.Uint16(o), int(p.order.Uint16(o[2:]))
		padded := (size + 3) &^ 3
		if code == 0 || len(o) < 4+padded {
			break
		}
		switch value := o[4 : 4+size]; {
		case code == 9 && size == 1: // if_tsresol
			d.ticks = resolution(value[0])
		case code == 14 && size == 8: // if_tsoffset
			d.offset = int64(p.order.Uint64(value))
		}
		o = o[4+padded:]
	}
	if d.ticks == 0 {
		return p.fail("interface %d has a clock finer than nanoseconds", len(p.interfaces))
	}
	p.interfaces = append(p.interfaces, d)
	return nil
}

// resolution is how many ticks of a clock are a second; 0: more than 10^9.
func resolution(v byte) uint64 {
	if v&0x80 != 0 {
		if v&0x7f > 30 {
			return 0
		}
		return 1 << (v & 0x7f)
	}
	n := uint64(1)
	for range v {
		if n *= 10; n > 1e9 {
			return 0
		}
	}
	return n
}

// device returns an interface by its number, if it is one of Ethernet.
func (p *Reader) device(id uint32) (device, error) {
	if uint64(id) >= uint64(len(p.interfaces)) {
		return device{}, p.fail("frame %d is of interface %d, which is not described: the file is damaged", p.number+1, id)
	}
	d := p.interfaces[id]
	return d, p.ethernet(uint32(d.link))
}

func (p *Reader) enhanced(b []byte) (Frame, error) {
	if len(b) < 20 {
		return Frame{}, p.fail("frame %d is no whole block: the file is damaged", p.number+1)
	}
	d, err := p.device(p.order.Uint32(b))
	if err != nil {
		return Frame{}, err
	}
	size, length := p.order.Uint32(b[12:]), p.order.Uint32(b[16:])
	if uint64(size) > uint64(len(b)-20) || length > math.MaxInt32 {
		return Frame{}, p.fail("frame %d is longer than its block: the file is damaged", p.number+1)
	}
	ticks := uint64(p.order.Uint32(b[4:]))<<32 | uint64(p.order.Uint32(b[8:]))
	at := time.Unix(int64(ticks/d.ticks)+d.offset, int64(ticks%d.ticks*1e9/d.ticks))
	p.number++
	return Frame{p.number, at, b[20 : 20+size], int(length)}, nil
}

func (p *Reader) simple(b []byte) (Frame, error) {
	if len(b) < 4 {
		return Frame{}, p.fail("frame %d is no whole block: the file is damaged", p.number+1)
	}
	d, err := p.device(0)
	if err != nil {
		return Frame{}, err
	}
	length := p.order.Uint32(b)
	if length > math.MaxInt32 {
		return Frame{}, p.fail("frame %d is longer than its block: the file is damaged", p.number+1)
	}
	size := min(int(length), len(b)-4)
	if d.snapLen > 0 {
		size = min(size, int(min(d.snapLen, maxBlock)))
	}
	p.number++
	return Frame{Number: p.number, Data: b[4 : 4+size], Length: int(length)}, nil
}
