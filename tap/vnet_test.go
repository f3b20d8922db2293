package tap

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapstack/tapstack/stack"
)

// Fields as virtio 1.2, section 5.1.6, orders them: flags, gso_type, hdr_len,
// gso_size, csum_start, csum_offset.
func TestVnetHeader(t *testing.T) {
	tests := []struct {
		name    string
		offload stack.FrameOffload
		header  string
	}{
		{"nothing", stack.FrameOffload{}, "00 00 0000 0000 0000 0000"},
		{"partial checksum", stack.FrameOffload{NeedsChecksum: true, ChecksumStart: 54, ChecksumOffset: 6}, "01 00 0000 0000 3600 0600"},
		{"segments", stack.FrameOffload{NeedsChecksum: true, ChecksumStart: 54, ChecksumOffset: 16, SegmentSize: 1428, HeaderLen: 86}, "01 04 5600 9405 3600 1000"},
		{"checksum verified", stack.FrameOffload{ChecksumValid: true}, "02 00 0000 0000 0000 0000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := unhex(t, tt.header)
			got := wire.decode(nil, 0)
			if diff := cmp.Diff(tt.offload, got); diff != "" {
				t.Errorf("decode (-want +got):\n%s", diff)
			}
			if tt.offload.ChecksumValid {
				wire = vnetHeader{} // is not sent
			}
			h := vnetHeader{0xff, 0xff, 0xff}
			h.encode(tt.offload)
			if h != wire {
				t.Errorf("encode = %x, want %x", h, wire)
			}
		})
	}
}

func TestVnetHeader_LengthOfTheHeadersIsExact(t *testing.T) {
	h := unhex(t, "01 04 0001 9405 3600 1000") // hdr_len 256
	frame := make([]byte, 200)
	frame[54+12] = 8 << 4 // a TCP header of 32 octets
	for _, cut := range []int{0, 1, 54 + 12, 54 + 13, 200} {
		got := h.decode([][]byte{frame[:cut], frame[cut:]}, len(frame))
		if got.HeaderLen != 54+32 {
			t.Errorf("frame cut at %d: HeaderLen = %d, want %d", cut, got.HeaderLen, 54+32)
		}
	}
	if got := h.decode([][]byte{frame}, 54+12); got.HeaderLen != 256 {
		t.Errorf("frame that ends before the data offset: HeaderLen = %d, want the kernel's 256", got.HeaderLen)
	}
}

func TestVnetHeader_TypesOfSegments(t *testing.T) {
	for gso, want := range map[byte]uint16{0: 0, 1: 0, 3: 0, 4: 1000, 5: 0, 0x84: 1000, 0x81: 0} {
		h := vnetHeader{1: gso, 4: 1000 & 0xff, 5: 1000 >> 8}
		if got := h.decode(nil, 0).SegmentSize; got != want {
			t.Errorf("gso_type %#x: SegmentSize = %d, want %d", gso, got, want)
		}
	}
}

func unhex(t *testing.T, s string) (h vnetHeader) {
	t.Helper()
	var digits []byte
	for _, c := range []byte(s) {
		if c != ' ' {
			digits = append(digits, c)
		}
	}
	if n, err := hex.Decode(h[:], digits); n != len(h) || err != nil {
		t.Fatalf("%q: %d octets, %v", s, n, err)
	}
	return h
}
