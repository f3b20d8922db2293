package stack

import "github.com/tapstack/tapstack/nd"

// Link is one Ethernet link. Read is called by one goroutine, Write by many at
// once, the one that reads among them, so that Write must not wait for Read;
// Close may be called at any time, more than once, and unblocks both.
type Link interface {
	// Read fills frames[0:n] with what has arrived and blocks until that is
	// at least one frame. It writes into the pieces of each frame's Data in
	// order and sets Len and Offload; a frame longer than its pieces is
	// dropped and counted by the device. After Close the error is
	// net.ErrClosed.
	Read(frames []Frame) (n int, err error)
	// Write sends the frames in order. It does not keep them. n counts those
	// that were sent, err is why frames[n] was not.
	Write(frames []Frame) (n int, err error)
	// Drained reports that every frame that had arrived at the time of the
	// call was returned by Read, and that Read was called again since, which
	// says that its caller is done with them. The interface's loop asks
	// before it lets a DAD success timer win over a frame that nobody has
	// read. A device that cannot know says true.
	Drained() bool
	// LinkAddr is the Ethernet address that this end of the link uses.
	LinkAddr() nd.LinkAddr
	// MTU is the largest IPv6 packet that the link carries, in octets.
	MTU() int
	// Offload says what the device takes over.
	Offload() Offload
	Close() error
}

// Frame is one Ethernet frame without its check sequence, in pieces.
type Frame struct {
	// Data is the frame, cut anywhere. For Write it is the frame and nothing
	// else; for Read it is room.
	Data [][]byte
	// Len is the number of octets that Read filled in.
	Len     int
	Offload FrameOffload
}

// FrameOffload is what the virtio-net header says of one frame.
type FrameOffload struct {
	// NeedsChecksum: the transport checksum field holds only the
	// pseudo-header's sum; whoever puts the frame on a wire completes it over
	// all from ChecksumStart on, at ChecksumStart+ChecksumOffset. Within one
	// machine the data is as the sender meant it.
	NeedsChecksum  bool
	ChecksumStart  uint16 // from the start of the frame
	ChecksumOffset uint16
	// ChecksumValid: the device has verified the transport checksum (Read).
	ChecksumValid bool
	// SegmentSize, if not 0, is the payload of each TCP segment into which
	// this frame is to be cut (TCP over IPv6), after HeaderLen octets of
	// Ethernet, IPv6 and TCP header.
	SegmentSize uint16
	HeaderLen   uint16
}

// Offload says what a device takes over from the stack.
type Offload struct {
	// TCPSegmentation: the device takes and delivers TCP segments of up to
	// MaxSegment octets of IPv6 packet, and partial checksums with them.
	TCPSegmentation bool
	MaxSegment      int
}
