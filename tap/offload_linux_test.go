package tap_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
	"golang.org/x/sys/unix"
)

const (
	etherTypeIPv6 = 0x86dd
	ipv6Len       = 40
)

// segment is a frame with a TCP segment over IPv6 whose checksum is partial.
func segment(to, from nd.LinkAddr, payload int) []byte {
	b := append(append([]byte(nil), to[:]...), from[:]...)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
	ip := make([]byte, ipv6Len)
	ip[0], ip[6], ip[7] = 0x60, unix.IPPROTO_TCP, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(20+payload))
	copy(ip[8:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 0x0a})
	copy(ip[24:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 0x0b})
	tcp := make([]byte, 20+payload)
	binary.BigEndian.PutUint16(tcp, 1000)
	binary.BigEndian.PutUint16(tcp[2:], 2000)
	tcp[12], tcp[13] = 5<<4, 0x10
	for i := range tcp[20:] {
		tcp[20+i] = byte(i * 7)
	}
	b = append(append(b, ip...), tcp...)
	binary.BigEndian.PutUint16(b[headerLen+ipv6Len+16:], pseudoHeaderSum(b))
	return b
}

// wholeSegment is how such a frame crosses a device.
var wholeSegment = stack.FrameOffload{
	NeedsChecksum: true, ChecksumStart: headerLen + ipv6Len, ChecksumOffset: 16,
	SegmentSize: 1428, HeaderLen: headerLen + ipv6Len + 20,
}

// vnet is what wholeSegment is in a virtio-net header of the kernel's packet
// sockets, which is in the byte order of the machine.
func vnet() []byte {
	b := []byte{unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV6}
	for _, v := range []uint16{wholeSegment.HeaderLen, wholeSegment.SegmentSize, wholeSegment.ChecksumStart, wholeSegment.ChecksumOffset} {
		b = binary.NativeEndian.AppendUint16(b, v)
	}
	return b
}

// largestPayload makes the largest frame that Linux gives a TAP whole, 65,535
// octets with the Ethernet header. It takes more.
const largestPayload = 65535 - headerLen - ipv6Len - 20

func TestDevice_WholeSegmentFromTheKernel(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	if got := (stack.Offload{TCPSegmentation: true, MaxSegment: 65535}); d.Offload() != got {
		t.Errorf("Offload = %+v, want %+v", d.Offload(), got)
	}
	k := kernelSide(t, ns, "tap0", etherTypeIPv6, true)
	for _, payload := range []int{1429, 30000, largestPayload} {
		want := segment(d.LinkAddr(), addrA, payload)
		k.send(append(vnet(), want...))
		r := room(1, headerLen+65535)
		if n, err := d.Read(r); n != 1 || err != nil {
			t.Fatalf("Read = %d, %v", n, err)
		}
		if got := r[0].Data[0][:r[0].Len]; !bytes.Equal(got, want) {
			t.Errorf("payload of %d: %d octets arrived, want the %d that were sent", payload, len(got), len(want))
		}
		if diff := cmp.Diff(wholeSegment, r[0].Offload); diff != "" {
			t.Errorf("payload of %d: offload (-want +got):\n%s", payload, diff)
		}
	}
}

func TestDevice_WithoutOffloadTheKernelCutsSegments(t *testing.T) {
	for _, v := range variants[1:] {
		t.Run(v.name, func(t *testing.T) {
			ns := quietNamespace(t)
			// Whoever had this TAP before left offload on.
			ns.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
			other := rawTAP(t, ns, unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
			if err := unix.IoctlSetInt(other, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO6); err != nil {
				t.Fatal(err)
			}
			unix.Close(other)
			d := openUp(t, ns, v.cfg)
			if d.Offload() != (stack.Offload{}) {
				t.Errorf("Offload = %+v, want none", d.Offload())
			}
			k := kernelSide(t, ns, "tap0", etherTypeIPv6, true)
			k.send(append(vnet(), segment(d.LinkAddr(), addrA, 5000)...))
			for _, want := range []int{1428, 1428, 1428, 5000 - 3*1428} {
				got := receive(t, d)
				if len(got) != headerLen+ipv6Len+20+want {
					t.Errorf("frame of %d octets, want a segment of %d", len(got), want)
				}
				if !checksumIsRight(got) {
					t.Error("the checksum is not complete")
				}
			}
			f := segment(nd.BroadcastLinkAddr, d.LinkAddr(), 100)
			for _, o := range []stack.FrameOffload{wholeSegment, {NeedsChecksum: true, ChecksumStart: 54, ChecksumOffset: 16}} {
				if n, err := d.Write([]stack.Frame{{Data: [][]byte{f}, Offload: o}}); n != 0 || err == nil {
					t.Errorf("Write with %+v = %d, %v, want an error", o, n, err)
				}
			}
		})
	}
}

// Whoever has a TAP next, without the virtio-net header, gets whole frames.
func TestDevice_LeavesNoOffloadBehind(t *testing.T) {
	ns := quietNamespace(t)
	ns.Run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
	openUp(t, ns, tap.Config{}).Close()
	fd := rawTAP(t, ns, unix.IFF_TAP|unix.IFF_NO_PI)
	defer unix.Close(fd)
	k := kernelSide(t, ns, "tap0", etherTypeIPv6, true)
	k.send(append(vnet(), segment(addrB, addrA, 1429)...))
	b := make([]byte, 1<<16)
	if n, err := unix.Read(fd, b); err != nil || n != headerLen+ipv6Len+20+1428 || !checksumIsRight(b[:n]) {
		t.Errorf("read %d octets, %v, want the first of two segments with its checksum", n, err)
	}
}

// checksumIsRight verifies the transport checksum (RFC 8200, section 8.1).
func checksumIsRight(frame []byte) bool {
	sum := uint32(pseudoHeaderSum(frame))
	for b := frame[headerLen+ipv6Len:]; len(b) > 0; b = b[min(2, len(b)):] {
		sum += uint32(b[0]) << 8
		if len(b) > 1 {
			sum += uint32(b[1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}

func TestDevice_WholeSegmentToTheKernel(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	k := kernelSide(t, ns, "tap0", etherTypeIPv6, true)
	for _, payload := range []int{1429, 30000, 65535 - ipv6Len - 20} {
		want := segment(nd.BroadcastLinkAddr, d.LinkAddr(), payload)
		pieces := [][]byte{want[:headerLen+ipv6Len+20]}
		for rest := want[headerLen+ipv6Len+20:]; len(rest) > 0; rest = rest[min(4096, len(rest)):] {
			pieces = append(pieces, rest[:min(4096, len(rest))])
		}
		if n, err := d.Write([]stack.Frame{{Data: pieces, Offload: wholeSegment}}); n != 1 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		got := k.receive()
		if !bytes.Equal(got[10:], want) {
			t.Errorf("payload of %d: %d octets arrived, want the %d that were sent", payload, len(got)-10, len(want))
		}
		header := got[:10]
		binary.NativeEndian.PutUint16(header[2:], wholeSegment.HeaderLen) // a hint
		if !bytes.Equal(header, vnet()) {
			t.Errorf("payload of %d: virtio-net header %x, want %x", payload, header, vnet())
		}
	}
}

// What the kernel's own sockets send over the TAP.
func TestDevice_KernelLeavesChecksumsToUs(t *testing.T) {
	eachVariant(t, func(t *testing.T, ns *netnstest.Namespace, cfg tap.Config) {
		d := openUp(t, ns, cfg)
		kernelSpeaksIPv6(t, ns)
		ns.Run(t, "ip", "neigh", "add", "2001:db8::2", "lladdr", d.LinkAddr().String(), "dev", "tap0")
		ns.Do(t, func() {
			c, err := net.Dial("udp", "[2001:db8::2]:2000")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("datagram")); err != nil {
				t.Fatal(err)
			}
		})
		r := room(1, 1<<16)
		for {
			if n, err := d.Read(r); n != 1 || err != nil {
				t.Fatalf("Read = %d, %v", n, err)
			}
			if r[0].Data[0][headerLen+6] == unix.IPPROTO_UDP { // and not MLD or ND
				break
			}
		}
		got := r[0].Data[0][:r[0].Len]
		if partial := d.Offload().TCPSegmentation; !partial {
			if r[0].Offload != (stack.FrameOffload{}) || !checksumIsRight(got) {
				t.Errorf("offload %+v, checksum right: %v", r[0].Offload, checksumIsRight(got))
			}
			return
		}
		want := stack.FrameOffload{NeedsChecksum: true, ChecksumStart: headerLen + ipv6Len, ChecksumOffset: 6}
		if diff := cmp.Diff(want, r[0].Offload); diff != "" {
			t.Errorf("offload (-want +got):\n%s", diff)
		}
		if sum := binary.BigEndian.Uint16(got[headerLen+ipv6Len+6:]); sum != pseudoHeaderSum(got) {
			t.Errorf("checksum field %#x, want the pseudo-header's sum %#x", sum, pseudoHeaderSum(got))
		}
	})
}

// A partial checksum of ours is complete, or known to be good, to the
// kernel's sockets.
func TestDevice_KernelTakesAPartialChecksum(t *testing.T) {
	ns := quietNamespace(t)
	d := openUp(t, ns, tap.Config{})
	kernelSpeaksIPv6(t, ns)
	var c net.PacketConn
	ns.Do(t, func() {
		var err error
		if c, err = net.ListenPacket("udp", "[2001:db8::1]:2000"); err != nil {
			t.Fatal(err)
		}
	})
	defer c.Close()
	kernel := linkAddrOf(t, ns, "tap0")
	b := udp(t, []byte("datagram"))
	copy(b, kernel[:])
	copy(b[headerLen+8:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 2})
	copy(b[headerLen+24:], []byte{0x20, 0x01, 0x0d, 0xb8, 15: 1})
	binary.BigEndian.PutUint16(b[headerLen+ipv6Len+6:], pseudoHeaderSum(b))
	o := stack.FrameOffload{NeedsChecksum: true, ChecksumStart: headerLen + ipv6Len, ChecksumOffset: 6}
	// Without the flag the checksum is wrong: that one must not arrive.
	if n, err := d.Write([]stack.Frame{{Data: [][]byte{b}}, {Data: [][]byte{b}, Offload: o}}); n != 2 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, 100)
	n, _, err := c.ReadFrom(got)
	if err != nil || string(got[:n]) != "datagram" {
		t.Fatalf("the kernel's socket read %q, %v", got[:n], err)
	}
	if errs := udpChecksumErrors(t, ns); errs != "1" {
		t.Errorf("the kernel counts %s checksum errors, want 1, for the frame without the flag", errs)
	}
}
