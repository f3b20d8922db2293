package nd

import (
	"encoding/json"
	"testing"
)

func TestLinkAddrText(t *testing.T) {
	a := LinkAddr{0x02, 0, 0, 0xab, 0xcd, 0x0f}
	const text = "02:00:00:ab:cd:0f"
	if got := a.String(); got != text {
		t.Errorf("String() = %q", got)
	}
	for _, s := range []string{text, "02:00:00:AB:CD:0F"} {
		if got, err := ParseLinkAddr(s); got != a || err != nil {
			t.Errorf("ParseLinkAddr(%q) = %v, %v", s, got, err)
		}
	}
	b, err := json.Marshal(map[LinkAddr]LinkAddr{a: a})
	if want := `{"` + text + `":"` + text + `"}`; string(b) != want || err != nil {
		t.Errorf("JSON %s, %v", b, err)
	}
	var m map[LinkAddr]LinkAddr
	if err := json.Unmarshal(b, &m); err != nil || m[a] != a {
		t.Errorf("from JSON %v, %v", m, err)
	}
}

func TestParseLinkAddrRefuses(t *testing.T) {
	for _, s := range []string{
		"", "02", "02:00:00:00:00", "02:00:00:00:00:0", "02:00:00:00:00:001", "02:00:00:00:00:0g",
		"02-00-00-00-00-01", "02:00:00:00:00-01", "0200:00:00:00:001", " 2:00:00:00:00:01",
	} {
		if a, err := ParseLinkAddr(s); err == nil || !a.IsZero() {
			t.Errorf("ParseLinkAddr(%q) = %v, %v", s, a, err)
		}
	}
}

func TestLinkAddrKinds(t *testing.T) {
	for _, c := range []struct {
		a               LinkAddr
		multicast, zero bool
	}{
		{LinkAddr{}, false, true},
		{LinkAddr{5: 1}, false, false},
		{LinkAddr{0x02, 5: 1}, false, false},
		{LinkAddr{0x33, 0x33}, true, false},
		{BroadcastLinkAddr, true, false},
	} {
		if c.a.IsMulticast() != c.multicast || c.a.IsZero() != c.zero {
			t.Errorf("%v: multicast %v, zero %v", c.a, c.a.IsMulticast(), c.a.IsZero())
		}
	}
}

// Spec: RFC 2464, section 7, must, NDV-R14
func TestNDV_R14_MulticastLinkAddr(t *testing.T) {
	for group, want := range map[string]string{
		"ff02::1":              "33:33:00:00:00:01",
		"ff02::1:ff28:9c5a":    "33:33:ff:28:9c:5a",
		"ff05::1234:dead:beef": "33:33:de:ad:be:ef",
	} {
		if got := MulticastLinkAddr(addr(group)).String(); got != want {
			t.Errorf("%s: %s, want %s", group, got, want)
		}
	}
}

// The example of RFC 4291, section 2.7.1.
//
// Spec: RFC 4291, section 2.7.1, must, GRP-R02
func TestSolicitedNode(t *testing.T) {
	if got := SolicitedNode(addr("4037::1:800:200e:8c6c")); got != addr("ff02::1:ff0e:8c6c") {
		t.Error(got)
	}
}

func TestNonceString(t *testing.T) {
	if got := Nonce("\x00\xff\x10abc").String(); got != "00ff10616263" {
		t.Error(got)
	}
}
