package forward

import (
	"net/netip"
	"testing"
)

func TestParseRule(t *testing.T) {
	for text, want := range map[string]Rule{
		"tcp:[2001:db8::5]:80=127.0.0.1:8080":      {netip.MustParseAddrPort("[2001:db8::5]:80"), "127.0.0.1:8080"},
		"tcp:[fe80::5%tap0]:80=localhost:1":        {netip.MustParseAddrPort("[fe80::5%tap0]:80"), "localhost:1"},
		"tcp::65535=example.com:65535":             {netip.MustParseAddrPort("[::]:65535"), "example.com:65535"},
		"tcp:[]:80=[::1]:80":                       {netip.MustParseAddrPort("[::]:80"), "[::1]:80"},
		"tcp:[::]:80=[fe80::1%eth0]:80":            {netip.MustParseAddrPort("[::]:80"), "[fe80::1%eth0]:80"},
		"tcp:[2001:0DB8:0::5]:0080=192.0.2.1:0081": {netip.MustParseAddrPort("[2001:db8::5]:80"), "192.0.2.1:0081"},
	} {
		got, err := ParseRule(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := ParseRule(got.String()); err != nil || again != got {
			t.Errorf("%s: as %v it is %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "tcp", "tcp:", "tcp:=", "udp::80=h:80", ":80=h:80", "tcp::80", "tcp::80=", "tcp::80=h", "tcp::80=:80", "tcp::80=h:", "tcp::80=h:0", "tcp::80=h:http", "tcp::80=h:65536", "tcp::80=::1:80",
		"tcp:80=h:80", "tcp:0=h:80", "tcp::0=h:80", "tcp::http=h:80", "tcp::-1=h:80", "tcp::65536=h:80", "tcp:2001:db8::5:80=h:80", "tcp:192.0.2.1:80=h:80", "tcp:[::ffff:192.0.2.1]:80=h:80",
		"tcp:[::1]:80=h:80", "tcp:[ff02::1]:80=h:80", "tcp:[::%tap0]:80=h:80", "tcp:name:80=h:80",
	} {
		if r, err := ParseRule(text); err == nil {
			t.Errorf("%q is taken for %+v", text, r)
		}
	}
}
