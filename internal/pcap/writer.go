package pcap

import (
	"encoding/binary"
	"io"
	"time"
)

// Of draft-ietf-opsawg-pcapng, sections 4.1 to 4.3 and 3.5.
const (
	byteOrder = 0x1a2b3c4d

	optionEnd            = 0
	optionComment        = 1 // of any block
	optionName           = 2 // if_name
	optionFlags          = 2 // epb_flags
	optionMACAddr        = 6 // if_MACaddr
	optionTimeResolution = 9 // if_tsresol

	// maxComment keeps a comment below what the length of an option can say.
	maxComment = 1 << 15
)

// Direction is how a frame crossed the interface.
type Direction byte

const (
	Inbound  Direction = 1
	Outbound Direction = 2
)

// Writer writes Ethernet frames as a pcapng that tcpdump and Wireshark read, with
// the direction of each and what there is to say of it: one section with one
// interface. Each block is one call of
// Write, so that what is in a file is whole. After an error it writes nothing
// more.
type Writer struct {
	w   io.Writer
	buf []byte
	err error
}

// NewWriter writes the blocks that stand before the packets. addr is the
// Ethernet address of the interface; zero: it has none, or several.
func NewWriter(w io.Writer, name string, addr [6]byte) *Writer {
	p := &Writer{w: w}
	p.begin(magicNG)
	p.uint32(byteOrder)
	p.uint16(1) // major version
	p.uint16(0) // minor version
	p.uint32(0xffffffff)
	p.uint32(0xffffffff) // the length of the section is not known
	p.end()

	p.begin(blockInterface)
	p.uint16(linkEthernet)
	p.uint16(0) // reserved
	p.uint32(0) // no limit to the length of a packet
	p.option(optionName, []byte(name))
	if addr != [6]byte{} {
		p.option(optionMACAddr, addr[:])
	}
	p.option(optionTimeResolution, []byte{9}) // nanoseconds
	p.option(optionEnd, nil)
	p.end()
	return p
}

// Packet writes one frame, without its check sequence, that crossed the
// interface at t. A comment is cut off at 32 KiB.
func (p *Writer) Packet(t time.Time, d Direction, frame []byte, comments ...string) {
	ns := uint64(t.UnixNano())
	p.begin(blockEnhanced)
	p.uint32(0) // the first interface
	p.uint32(uint32(ns >> 32))
	p.uint32(uint32(ns))
	p.uint32(uint32(len(frame))) // octets recorded
	p.uint32(uint32(len(frame))) // octets that there were
	p.buf = append(p.buf, frame...)
	p.pad()
	for _, c := range comments {
		p.option(optionComment, []byte(c[:min(len(c), maxComment)]))
	}
	p.option(optionFlags, []byte{byte(d), 0, 0, 0})
	p.option(optionEnd, nil)
	p.end()
}

// Err is the first error of writing.
func (p *Writer) Err() error { return p.err }

// begin starts a block. Its length is filled in at its end.
func (p *Writer) begin(kind uint32) {
	p.buf = p.buf[:0]
	p.uint32(kind)
	p.uint32(0)
}

func (p *Writer) end() {
	length := uint32(len(p.buf) + 4)
	p.uint32(length)
	binary.LittleEndian.PutUint32(p.buf[4:], length)
	if p.err == nil {
		_, p.err = p.w.Write(p.buf)
	}
}

func (p *Writer) option(code uint16, value []byte) {
	p.uint16(code)
	p.uint16(uint16(len(value)))
	p.buf = append(p.buf, value...)
	p.pad()
}

func (p *Writer) pad() {
	for len(p.buf)%4 != 0 {
		p.buf = append(p.buf, 0)
	}
}

func (p *Writer) uint16(v uint16) { p.buf = binary.LittleEndian.AppendUint16(p.buf, v) }
func (p *Writer) uint32(v uint32) { p.buf = binary.LittleEndian.AppendUint32(p.buf, v) }
