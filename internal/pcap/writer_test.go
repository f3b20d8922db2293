package pcap

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Wireshark's reader finds in the file what was put there.
func TestWriter_TsharkReadsIt(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("SKIPPED, NOT PASSED: tshark is not installed")
	}
	path := filepath.Join(t.TempDir(), "a.pcapng")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(file, "wire", [6]byte{2, 0, 0, 0, 0, 1})
	frame := append(make([]byte, 12), 0x86, 0xdd, 0x60)
	w.Packet(time.Unix(0, 1_500_000_001), Inbound, frame)
	w.Packet(time.Unix(2, 0), Outbound, frame[:14], "one", "two ☃")
	if err := errors.Join(w.Err(), file.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-r", path, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch",
		"-e", "frame.packet_flags_direction", "-e", "frame.len", "-e", "frame.comment").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "wire\t1.500000001\t0x00000001\t15\t\nwire\t2.000000000\t0x00000002\t14\tone,two ☃\n"
	if string(out) != want {
		t.Errorf("tshark reads\n%swant\n%s", out, want)
	}
}

type full struct{ left int }

var errFull = errors.New("no space")

func (f *full) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriter_StopsAtTheFirstError(t *testing.T) {
	f := &full{left: 2}
	w := NewWriter(f, "wire", [6]byte{})
	w.Packet(time.Unix(0, 0), Inbound, nil)
	w.Packet(time.Unix(0, 0), Inbound, nil)
	if !errors.Is(w.Err(), errFull) || f.left != -1 {
		t.Errorf("error %v after %d writes", w.Err(), 2-f.left)
	}
}

// What a Writer writes a Reader reads.
func TestWriter_ReaderReadsIt(t *testing.T) {
	var file bytes.Buffer
	w := NewWriter(&file, "wire", [6]byte{})
	at, frame := time.Unix(7, 123_456_789), []byte("an odd number of octets")
	w.Packet(at, Inbound, frame, "a comment")
	w.Packet(at, Outbound, nil)
	r, err := NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Next()
	if err != nil || !first.At.Equal(at) || !bytes.Equal(first.Data, frame) {
		t.Errorf("read %+v, %v", first, err)
	}
	if second, err := r.Next(); err != nil || second.Number != 2 || len(second.Data) != 0 {
		t.Errorf("read %+v, %v", second, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("error %v at the end", err)
	}
}
