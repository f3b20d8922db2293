package tap

import (
	"encoding/binary"

	"github.com/tapstack/tapstack/stack"
)

// vnetHeaderLen is the length of struct virtio_net_hdr, which stands before
// each frame (virtio 1.2, section 5.1.6, without num_buffers).
const vnetHeaderLen = 10

// Flags and GSO types of the virtio-net header.
const (
	vnetNeedsChecksum = 1
	vnetDataValid     = 2

	vnetGSOTCPv6 = 4
	vnetGSOECN   = 0x80 // a flag beside the type
)

// vnetHeader is a virtio-net header as it crosses the device: in little
// endian, which is what Open asks the kernel for.
type vnetHeader [vnetHeaderLen]byte

// encode fills in what o says. That a received checksum is valid has no
// meaning for a frame that is sent.
func (h *vnetHeader) encode(o stack.FrameOffload) {
	*h = vnetHeader{}
	if o.NeedsChecksum {
		h[0] = vnetNeedsChecksum
		binary.LittleEndian.PutUint16(h[6:], o.ChecksumStart)
		binary.LittleEndian.PutUint16(h[8:], o.ChecksumOffset)
	}
	if o.SegmentSize != 0 {
		h[1] = vnetGSOTCPv6
		binary.LittleEndian.PutUint16(h[2:], o.HeaderLen)
		binary.LittleEndian.PutUint16(h[4:], o.SegmentSize)
	}
}

// decode is the inverse for the received frame that data holds in pieces.
func (h *vnetHeader) decode(data [][]byte, length int) stack.FrameOffload {
	var o stack.FrameOffload
	if h[0]&vnetNeedsChecksum != 0 {
		o.NeedsChecksum = true
		o.ChecksumStart = binary.LittleEndian.Uint16(h[6:])
		o.ChecksumOffset = binary.LittleEndian.Uint16(h[8:])
	}
	o.ChecksumValid = h[0]&vnetDataValid != 0
	if h[1]&^vnetGSOECN == vnetGSOTCPv6 {
		o.SegmentSize = binary.LittleEndian.Uint16(h[4:])
		o.HeaderLen = binary.LittleEndian.Uint16(h[2:])
		// The kernel's length is a hint: as much of the frame as it happens
		// to hold in one piece. The TCP header knows better.
		if dataOffset := int(o.ChecksumStart) + 12; o.NeedsChecksum && dataOffset < length {
			o.HeaderLen = o.ChecksumStart + uint16(octetAt(data, dataOffset)>>4)*4
		}
	}
	return o
}

// octetAt returns octet i of a frame in pieces, which has that many.
func octetAt(pieces [][]byte, i int) byte {
	for _, p := range pieces {
		if i < len(p) {
			return p[i]
		}
		i -= len(p)
	}
	return 0
}
