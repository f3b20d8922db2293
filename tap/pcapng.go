package tap

import (
	"encoding/binary"
	"io"
	"time"

	"github.com/tapstack/tapstack/stack"
)

// Of the format pcapng (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3 and 3.5).
const (
	pcapngSectionHeader  = 0x0a0d0d0a
	pcapngInterface      = 1
	pcapngEnhancedPacket = 6
	pcapngByteOrder      = 0x1a2b3c4d

	pcapngOptionEnd            = 0
	pcapngOptionName           = 2 // if_name
	pcapngOptionFlags          = 2 // epb_flags
	pcapngOptionMACAddr        = 6 // if_MACaddr
	pcapngOptionTimeResolution = 9 // if_tsresol

	pcapngEthernet = 1 // LINKTYPE_ETHERNET

	pcapngInbound  = 1
	pcapngOutbound = 2
)

// pcapngWriter writes one section with one interface. Each block is one call
// of Write, so that what is in a file is whole. After an error it writes
// nothing more.
type pcapngWriter struct {
	w   io.Writer
	buf []byte
	err error
}

// newPcapngWriter writes the blocks that stand before the packets.
func newPcapngWriter(w io.Writer, name string, addr [6]byte) *pcapngWriter {
	p := &pcapngWriter{w: w}
	p.begin(pcapngSectionHeader)
	p.uint32(pcapngByteOrder)
	p.uint16(1) // major version
	p.uint16(0) // minor version
	p.uint32(0xffffffff)
	p.uint32(0xffffffff) // the length of the section is not known
	p.end()

	p.begin(pcapngInterface)
	p.uint16(pcapngEthernet)
	p.uint16(0) // reserved
	p.uint32(0) // no limit to the length of a packet
	p.option(pcapngOptionName, []byte(name))
	p.option(pcapngOptionMACAddr, addr[:])
	p.option(pcapngOptionTimeResolution, []byte{9}) // nanoseconds
	p.option(pcapngOptionEnd, nil)
	p.end()
	return p
}

// packet writes one frame, length octets of pieces, that crossed the
// interface at t, with its checksum complete.
func (p *pcapngWriter) packet(t time.Time, flags byte, pieces [][]byte, length int, o stack.FrameOffload) {
	ns := uint64(t.UnixNano())
	p.begin(pcapngEnhancedPacket)
	p.uint32(0) // the first interface
	p.uint32(uint32(ns >> 32))
	p.uint32(uint32(ns))
	p.uint32(uint32(length)) // octets recorded
	p.uint32(uint32(length)) // octets that there were
	start := len(p.buf)
	for _, b := range pieces {
		b = b[:min(len(b), length)]
		length -= len(b)
		p.buf = append(p.buf, b...)
	}
	completeChecksum(p.buf[start:], o)
	p.pad()
	p.option(pcapngOptionFlags, []byte{flags, 0, 0, 0})
	p.option(pcapngOptionEnd, nil)
	p.end()
}

// begin starts a block. Its length is filled in at its end.
func (p *pcapngWriter) begin(kind uint32) {
	p.buf = p.buf[:0]
	p.uint32(kind)
	p.uint32(0)
}

func (p *pcapngWriter) end() {
	length := uint32(len(p.buf) + 4)
	p.uint32(length)
	binary.LittleEndian.PutUint32(p.buf[4:], length)
	if p.err == nil {
		_, p.err = p.w.Write(p.buf)
	}
}

func (p *pcapngWriter) option(code uint16, value []byte) {
	p.uint16(code)
	p.uint16(uint16(len(value)))
	p.buf = append(p.buf, value...)
	p.pad()
}

func (p *pcapngWriter) pad() {
	for len(p.buf)%4 != 0 {
		p.buf = append(p.buf, 0)
	}
}

func (p *pcapngWriter) uint16(v uint16) { p.buf = binary.LittleEndian.AppendUint16(p.buf, v) }
func (p *pcapngWriter) uint32(v uint32) { p.buf = binary.LittleEndian.AppendUint32(p.buf, v) }
