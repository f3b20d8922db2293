package nd

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// The example of the RFC.
//
// Spec: RFC 2464, section 4, must, IID-R01
func TestIID_R01_EUI64(t *testing.T) {
	got := EUI64(link("34:56:78:9a:bc:de"))
	if want := "365678fffe9abcde"; hex.EncodeToString(got[:]) != want {
		t.Errorf("got %x, want %s", got, want)
	}
	if got := EUI64(link("02:00:00:00:00:01")); got[0] != 0 {
		t.Errorf("the universal/local bit is not complemented but set: %x", got)
	}
}

// The expected values were computed with another implementation of HMAC.
//
// Spec: RFC 7217, section 5, MUST, IID-R04
func TestIID_R04_StableIIDIsTheEndOfHMACSHA256(t *testing.T) {
	prefix, secret := netip.MustParsePrefix("2001:db8:1:2::/64"), []byte("0123456789abcdef")
	for counter, want := range []string{"98db0c9975baea08", "904c49e5ca033e9f"} {
		got := StableIID(prefix, "tap0", "office", uint32(counter), secret)
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("counter %d: got %x, want %s", counter, got, want)
		}
	}
	// The prefix counts, not an address in it.
	if a, b := StableIID(prefix, "i", "", 0, secret), StableIID(netip.MustParsePrefix("2001:db8:1:2::9/64"), "i", "", 0, secret); a != b {
		t.Errorf("%x and %x for one prefix", a, b)
	}
}

// Arguments that differ anywhere give other identifiers, also if their
// concatenation is the same.
//
// Spec: RFC 7217, section 5, MUST, IID-R04
func TestIID_R04_EveryArgumentCounts(t *testing.T) {
	type args struct {
		prefix     netip.Prefix
		net, id    string
		dadCounter uint32
		secret     string
	}
	draw := func(t *rapid.T, name string) args {
		return args{
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 7: rapid.Byte().Draw(t, name)}), 64),
			rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 3, -1).Draw(t, name), rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 3, -1).Draw(t, name),
			rapid.Uint32Range(0, 3).Draw(t, name), rapid.SampledFrom([]string{"0123456789abcdef", "fedcba9876543210"}).Draw(t, name),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		x := StableIID(a.prefix, a.net, a.id, a.dadCounter, []byte(a.secret))
		y := StableIID(b.prefix, b.net, b.id, b.dadCounter, []byte(b.secret))
		if (x == y) != (a == b) {
			t.Fatalf("%+v gives %x, %+v gives %x", a, x, b, y)
		}
	})
}

// Spec: RFC 5453, section 2, MUST NOT, IID-R06
func TestIID_R06_ReservedIdentifiers(t *testing.T) {
	for id, want := range map[string]bool{
		"0000000000000000": true,
		"0000000000000001": false,
		"fdffffffffffff7f": false,
		"fdffffffffffff80": true,
		"fdffffffffffffff": true,
		"fe00000000000000": false,
		"02005efffe005213": false,
	} {
		b, err := hex.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		if got := InterfaceID(b).IsReserved(); got != want {
			t.Errorf("%s reserved: %v", id, got)
		}
	}
}

// Spec: RFC 4862, section 5.5.3, should, IID-R07
func TestIID_R07_AnIdentifierFillsWhatThePrefixLeaves(t *testing.T) {
	id := InterfaceID{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0xff}
	for prefix, want := range map[string]string{
		"2001:db8::/64":            "2001:db8::1122:3344:5566:77ff",
		"2001:db8:0:0:aaaa::/80":   "2001:db8::aaaa:3344:5566:77ff",
		"2001:db8:0:0:aaaa::/76":   "2001:db8::aaa2:3344:5566:77ff",
		"2001:db8::8/125":          "2001:db8::f",
		"2001:db8::bbbb:8000/113":  "2001:db8::bbbb:f7ff",
		"2001:db8:0:0:cccc::1/127": "2001:db8::cccc:0:0:1",
	} {
		if got := id.on(netip.MustParsePrefix(prefix)); got != addr(want) {
			t.Errorf("on %s: got %v, want %s", prefix, got, want)
		}
	}
}
