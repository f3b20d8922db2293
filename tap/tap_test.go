package tap_test

import (
	"testing"

	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/tap"
)

func TestLinkAddrFor(t *testing.T) {
	// An address that changed with a new version would change the stable
	// addresses of every host that relies on it.
	if got, want := tap.LinkAddrFor("tap0").String(), "f2:a1:26:16:5c:7c"; got != want {
		t.Errorf("LinkAddrFor(tap0) = %s, want %s", got, want)
	}
	seen := map[nd.LinkAddr]string{}
	for _, name := range []string{"", "tap0", "tap1", "tap10", "TAP0", "br0", "a name of fifteen"} {
		a := tap.LinkAddrFor(name)
		if a.IsMulticast() || a[0]&2 == 0 {
			t.Errorf("LinkAddrFor(%q) = %v, want unicast and locally administered", name, a)
		}
		if other, ok := seen[a]; ok {
			t.Errorf("%q and %q share %v", name, other, a)
		}
		seen[a] = name
	}
}

func TestBackend_Text(t *testing.T) {
	for _, want := range []tap.Backend{tap.Auto, tap.Linux, tap.Water} {
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got tap.Backend
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Errorf("%s came back as %v, %v", text, got, err)
		}
	}
	b := tap.Water
	if err := b.UnmarshalText([]byte("pcap")); err == nil || b != tap.Water {
		t.Errorf("pcap: %v, error %v, want an error and no change", b, err)
	}
	if got, want := tap.Backend(9).String(), "Backend(9)"; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
}

func TestOpen_UnknownBackend(t *testing.T) {
	if _, err := tap.Open(tap.Config{Backend: 9}); err == nil {
		t.Error("Open with backend 9 succeeded")
	}
}
