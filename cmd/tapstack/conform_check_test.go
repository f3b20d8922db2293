package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapstack/tapstack/conformance"
)

// probeFrame is an Ethernet frame with a solicitation for 2001:db8::5 from ::, which
// is a probe, with the hop limit and checksum that are given.
func probeFrame(hopLimit byte, checksum uint16) []byte {
	f := []byte{0x33, 0x33, 0xff, 0, 0, 5, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, hopLimit}
	f = append(f, make([]byte, 16)...)
	f = append(f, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 5)
	f = append(f, 135, 0, byte(checksum>>8), byte(checksum), 0, 0, 0, 0)
	return append(f, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5)
}

// captureOf is a file of pcap.
func captureOf(t *testing.T, frames ...[]byte) string {
	var b []byte
	for _, w := range []uint32{0xa1b2c3d4, 4<<16 | 2, 0, 0, 65535, 1} {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	for i, f := range frames {
		for _, w := range []uint32{1000 + uint32(i), 0, uint32(len(f)), uint32(len(f))} {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		b = append(b, f...)
	}
	name := filepath.Join(t.TempDir(), "capture.pcap")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// right is the checksum of probeFrame.
const right = 0x4ce5

func TestConformCheck(t *testing.T) {
	good := captureOf(t, probeFrame(255, right))
	code, stdout, stderr := command(t, "conform", "check", good)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "0 of 1 hosts depart, in 1 frames") {
		t.Errorf("a right probe: exit code %d, stderr %q, stdout %q", code, stderr, stdout)
	}
	bad := captureOf(t, probeFrame(255, right), probeFrame(64, right))
	code, stdout, stderr = command(t, "conform", "check", bad, "--host", "02:00:00:00:00:01")
	if code != 1 || stderr != "" || !strings.Contains(stdout, "frame 2 at 1s\n    section   RFC 4861, section 7.1.1 (NDV-R01)\n    expected  hop limit 255 in a neighbor solicitation\n    observed  64\n") {
		t.Errorf("a wrong probe: exit code %d, stderr %q, stdout %q", code, stderr, stdout)
	}
	code, stdout, _ = command(t, "conform", "check", bad, "-j")
	var c conformance.Capture
	if err := json.Unmarshal([]byte(stdout), &c); err != nil || code != 1 || len(c.Hosts) != 1 || len(c.Hosts[0].Departures) != 1 || c.Hosts[0].Departures[0].At != time.Second {
		t.Errorf("-j: exit code %d, %v, %s", code, err, stdout)
	}
}

// What cannot be done is told in one line, with exit code 2.
func TestConformCheck_WrongUse(t *testing.T) {
	good := captureOf(t, probeFrame(255, right))
	file, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	if err := os.WriteFile(cut, bytes.TrimSuffix(file, []byte{5}), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"no such file":                         {"/nowhere.pcap"},
		"not a capture":                        {"conform_check_test.go"},
		"cut.pcap: truncated at frame 1":       {cut},
		"is neither a link-layer address":      {good, "--host", "host"},
		"not in this capture: there are 02:00": {good, "--host", "2001:db8::99"},
		"is none of rfc2462":                   {good, "--profile", "rfc1"},
		"are not negative":                     {good, "--slack=-1s"},
	} {
		code, stdout, stderr := command(t, append([]string{"conform", "check"}, args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") > 2 {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q; want %q", args, code, stdout, stderr, want)
		}
	}
}
