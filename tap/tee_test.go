package tap_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// recorded is a packet of a pcapng file.
type recorded struct {
	at    time.Time
	flags uint32
	data  []byte
}

// readPcapng reads the blocks as draft-ietf-opsawg-pcapng, section 4, defines
// them, and is strict about what the writer has to keep: it returns the
// interface's options and the packets.
func readPcapng(t *testing.T, file []byte) (options map[uint16][]byte, packets []recorded) {
	t.Helper()
	u32 := binary.LittleEndian.Uint32
	for n := 0; len(file) > 0; n++ {
		kind, length := u32(file), int(u32(file[4:]))
		if length%4 != 0 || length > len(file) || int(u32(file[length-4:])) != length {
			t.Fatalf("block %d, kind %#x: its lengths are wrong: %x", n, kind, file[:min(len(file), 64)])
		}
		body := file[8 : length-4]
		file = file[length:]
		switch kind {
		case 0x0a0d0d0a:
			if want := "4d3c2b1a" + "01000000" + "ffffffffffffffff"; n != 0 || hex.EncodeToString(body) != want {
				t.Errorf("block %d is a section header %x, want %s", n, body, want)
			}
		case 1:
			if want := "01000000" + "00000000"; n != 1 || hex.EncodeToString(body[:8]) != want {
				t.Errorf("block %d is an interface %x, want %s", n, body[:8], want)
			}
			options = readOptions(t, body[8:])
		case 6:
			captured, original := u32(body[12:]), u32(body[16:])
			if n < 2 || u32(body) != 0 || captured != original {
				t.Errorf("block %d is a packet of interface %d with %d of %d octets", n, u32(body), captured, original)
			}
			flags := readOptions(t, body[20+(captured+3)/4*4:])[2]
			packets = append(packets, recorded{
				at:    time.Unix(0, int64(u32(body[4:]))<<32|int64(u32(body[8:]))),
				flags: u32(flags),
				data:  body[20 : 20+captured],
			})
		default:
			t.Errorf("block %d is of kind %#x", n, kind)
		}
	}
	return options, packets
}

func readOptions(t *testing.T, b []byte) map[uint16][]byte {
	t.Helper()
	options := map[uint16][]byte{}
	for {
		code, length := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if code == 0 {
			if len(b) != 4 {
				t.Errorf("%d octets after the last option", len(b)-4)
			}
			return options
		}
		options[code] = b[4 : 4+length]
		b = b[4+(length+3)/4*4:]
	}
}

func TestTee_RecordsBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		x, y := tap.Pipe(addrA, addrB, 1500)
		l := tap.Tee(x, &file)
		start := time.Now()
		var want [][]byte
		for i := range 5 { // of all lengths modulo 4
			out := frame(addrB, addrA, strings.Repeat("o", 2*i))
			if _, err := l.Write([]stack.Frame{{Data: [][]byte{out[:7], out[7:]}}}); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, y); !bytes.Equal(got, out) {
				t.Errorf("the peer got %x, want %x", got, out)
			}
			time.Sleep(1500 * time.Nanosecond)
			in := frame(addrA, addrB, strings.Repeat("i", 2*i+1))
			send(t, y, in)
			if got := receive(t, l); !bytes.Equal(got, in) {
				t.Errorf("Read = %x, want %x", got, in)
			}
			time.Sleep(1500 * time.Nanosecond)
			want = append(want, out, in)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		y.Close()

		options, got := readPcapng(t, file.Bytes())
		wantOptions := map[uint16][]byte{2: []byte(addrA.String()), 6: addrA[:], 9: {9}}
		if diff := cmp.Diff(wantOptions, options); diff != "" {
			t.Errorf("name, address, resolution (-want +got):\n%s", diff)
		}
		if len(got) != len(want) {
			t.Fatalf("%d packets, want %d", len(got), len(want))
		}
		for n, p := range got {
			if !bytes.Equal(p.data, want[n]) {
				t.Errorf("packet %d = %x, want %x", n, p.data, want[n])
			}
			if direction := uint32(2 - n%2); p.flags != direction {
				t.Errorf("packet %d: flags %#x, want %#x", n, p.flags, direction)
			}
			if at := start.Add(time.Duration(n) * 1500 * time.Nanosecond); !p.at.Equal(at) {
				t.Errorf("packet %d at %v, want %v", n, p.at, at)
			}
		}
	})
}

func TestTee_IsTheLink(t *testing.T) {
	x, y := tap.Pipe(addrA, addrB, 1400)
	l := tap.Tee(x, io.Discard)
	if l.LinkAddr() != addrA || l.MTU() != 1400 || l.Offload() != (stack.Offload{}) {
		t.Errorf("LinkAddr, MTU, Offload = %v, %d, %+v", l.LinkAddr(), l.MTU(), l.Offload())
	}
	if !l.Drained() {
		t.Error("Drained = false on a quiet link")
	}
	send(t, y, frame(addrA, addrB, ""))
	if l.Drained() {
		t.Error("Drained = true while a frame waits")
	}
	l.Close()
	if _, err := x.Read(room(1, 100)); err == nil {
		t.Error("Close did not close the link")
	}
}

// udp is a UDP packet over IPv6 with a complete checksum.
func udp(t *testing.T, payload []byte) []byte {
	t.Helper()
	ip := &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
		SrcIP: []byte("\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0a"),
		DstIP: []byte("\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0b"),
	}
	u := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	eth := &layers.Ethernet{SrcMAC: addrA[:], DstMAC: addrB[:], EthernetType: layers.EthernetTypeIPv6}
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, opts, eth, ip, u, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// offloadLink is a link that takes anything.
type offloadLink struct{ stack.Link }

func (offloadLink) Write(frames []stack.Frame) (int, error) { return len(frames), nil }

func TestTee_CompletesChecksums(t *testing.T) {
	x, _ := tap.Pipe(addrA, addrB, 1500)
	for _, payload := range []string{"", "odd", "even", strings.Repeat("\xff\xfe", 30000)} {
		var file bytes.Buffer
		want := udp(t, []byte(payload))
		sent := slices.Clone(want)
		const field = headerLen + 40 + 6
		binary.BigEndian.PutUint16(sent[field:], pseudoHeaderSum(want))
		before := slices.Clone(sent)
		l := tap.Tee(offloadLink{x}, &file)
		f := stack.Frame{Data: [][]byte{sent[:33], sent[33:]}, Offload: stack.FrameOffload{
			NeedsChecksum: true, ChecksumStart: headerLen + 40, ChecksumOffset: 6,
		}}
		if _, err := l.Write([]stack.Frame{f}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sent, before) {
			t.Error("the tee changed the frame itself")
		}
		if _, got := readPcapng(t, file.Bytes()); !bytes.Equal(got[0].data, want) {
			t.Errorf("payload of %d octets: recorded checksum %x, want %x", len(payload), got[0].data[field:field+2], want[field:field+2])
		}
	}
}

// pseudoHeaderSum is what a sender leaves in the checksum field for the
// device: the sum over the pseudo-header (RFC 8200, section 8.1), not inverted.
func pseudoHeaderSum(frame []byte) uint16 {
	ip := frame[headerLen:]
	sum := uint32(ip[6]) + uint32(binary.BigEndian.Uint16(ip[4:]))
	for i := 8; i < 40; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func TestTee_ChecksumOutsideTheFrame(t *testing.T) {
	x, _ := tap.Pipe(addrA, addrB, 1500)
	var file bytes.Buffer
	l := tap.Tee(offloadLink{x}, &file)
	want := frame(addrB, addrA, "short")
	o := stack.FrameOffload{NeedsChecksum: true, ChecksumStart: uint16(len(want)) - 1, ChecksumOffset: 0}
	if _, err := l.Write([]stack.Frame{{Data: [][]byte{want}, Offload: o}}); err != nil {
		t.Fatal(err)
	}
	if _, got := readPcapng(t, file.Bytes()); !bytes.Equal(got[0].data, want) {
		t.Errorf("recorded %x, want %x", got[0].data, want)
	}
}

func TestTee_RecordsAFrameThatTheLinkRefuses(t *testing.T) {
	x, _ := tap.Pipe(addrA, addrB, 1500)
	x.FailWrites(errors.New("no carrier"))
	var file bytes.Buffer
	l := tap.Tee(x, &file)
	if n, err := l.Write([]stack.Frame{{Data: [][]byte{frame(addrB, addrA, "")}}}); n != 0 || err == nil {
		t.Errorf("Write = %d, %v, want the link's error", n, err)
	}
	if _, got := readPcapng(t, file.Bytes()); len(got) != 1 {
		t.Errorf("%d packets recorded, want 1", len(got))
	}
}

// fullDisk takes so many calls of Write and then no more.
type fullDisk struct{ left, calls int }

var errFull = errors.New("disk full")

func (d *fullDisk) Write(b []byte) (int, error) {
	d.calls++
	if d.left--; d.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestTee_GoesOnWhenTheRecordFails(t *testing.T) {
	x, y := tap.Pipe(addrA, addrB, 1500)
	disk := &fullDisk{left: 3} // two headers and one packet
	l := tap.Tee(x, disk)
	for range 5 {
		send(t, l, frame(addrB, addrA, ""))
		receive(t, y)
	}
	if err := l.Close(); !errors.Is(err, errFull) {
		t.Errorf("Close: %v, want %v", err, errFull)
	}
	if disk.calls != 4 {
		t.Errorf("%d calls of Write, want 4: none after the error", disk.calls)
	}
}

func TestTee_ManyGoroutines(t *testing.T) {
	const writers, each = 8, 100
	var file bytes.Buffer
	x, y := tap.Pipe(addrA, addrB, 1500)
	l := tap.Tee(x, &file)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range uint32(each) {
				send(t, l, numbered(addrB, addrA, i))
			}
		})
	}
	wg.Go(func() {
		for range each {
			receive(t, l)
		}
	})
	for i := range uint32(each) {
		send(t, y, numbered(addrA, addrB, i))
	}
	wg.Wait()
	_, got := readPcapng(t, file.Bytes())
	if len(got) != (writers+1)*each {
		t.Errorf("%d packets, want %d", len(got), (writers+1)*each)
	}
	if !slices.IsSortedFunc(got, func(a, b recorded) int { return a.at.Compare(b.at) }) {
		t.Error("the packets are not in the order of time")
	}
}

func TestTee_TsharkReadsIt(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("SKIPPED, NOT PASSED: tshark is not installed")
	}
	path := filepath.Join(t.TempDir(), "link.pcapng")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	x, y := tap.Pipe(addrA, addrB, 1500)
	l := tap.Tee(x, file)
	send(t, l, udp(t, []byte("question")))
	send(t, y, udp(t, []byte("the answer")))
	receive(t, l)
	if err := errors.Join(l.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tshark, "-r", path, "-o", "udp.check_checksum:TRUE", "-T", "fields",
		"-e", "frame.interface_name", "-e", "frame.packet_flags_direction", "-e", "udp.checksum.status", "-e", "udp.payload")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, out)
	}
	name := addrA.String()
	want := name + "\t0x00000002\t1\t7175657374696f6e\n" + name + "\t0x00000001\t1\t74686520616e73776572\n"
	if string(out) != want {
		t.Errorf("tshark says\n%swant\n%s", out, want)
	}
}

func BenchmarkTee(b *testing.B) {
	x, _ := tap.Pipe(addrA, addrB, 1500)
	l := tap.Tee(offloadLink{x}, io.Discard)
	out := []stack.Frame{{Data: [][]byte{make([]byte, headerLen+1500)}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Write(out); err != nil {
			b.Fatal(err)
		}
	}
}
