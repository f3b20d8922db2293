package conformance

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

// built makes the frames of one stimulus.
func built(t testing.TB, line string) [][]byte {
	t.Helper()
	words := strings.Fields(line)
	n, _ := nodeByName(words[0])
	var fields []field
	for _, w := range words[2:] {
		fields = append(fields, parseField(w))
	}
	frames, err := build(newNames(HostLinkAddr), n, words[1], fields, []byte("a packet of the host"))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return frames
}

// Without a word that makes it wrong, a message is one that a host must take,
// and says what its words say.
func TestBuild_MessagesAreValid(t *testing.T) {
	host := netip.MustParseAddr("fe80::ff:fe00:1")
	tn1, tr1 := netip.MustParseAddr("fe80::a1"), netip.MustParseAddr("fe80::b1")
	mac1 := nd.LinkAddr{2, 0, 0, 0, 1, 1}
	router := nd.LinkAddr{2, 0, 0, 0, 2, 1}
	for line, want := range map[string]nd.Message{
		"TN1 ns":                           &nd.NeighborSolicit{Target: host, SourceLinkAddr: mac1},
		"TN1 ns src=::":                    &nd.NeighborSolicit{Target: host},
		"TN1 ns src=:: nonce=010203040506": &nd.NeighborSolicit{Target: host, Nonce: "\x01\x02\x03\x04\x05\x06"},
		"TN1 na":                           &nd.NeighborAdvert{Target: tn1, Solicited: true, Override: true, TargetLinkAddr: mac1},
		"TR1 na dst=all-nodes no-tllao":    &nd.NeighborAdvert{Target: tr1, Router: true, Override: true},
		"TR1 rs":                           &nd.RouterSolicit{SourceLinkAddr: router},
		"TR1 redirect target=TN1 destination=FAR1 tllao=TN1": &nd.Redirect{
			Target: tn1, Destination: netip.MustParseAddr("2001:db8:f::1"), TargetLinkAddr: mac1,
		},
	} {
		if diff := cmp.Diff(want, parseND(t, line), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
	ra, ok := parseND(t, "TR1 ra lifetime=900 M=1 pref=high mtu=1400 prefix=P1 valid=inf preferred=20 A=0 prefix=P2 L=0 route=2001:db8:9::/48 lifetime=60 pref=low rdnss=TR1 lifetime=5").(*nd.RouterAdvert)
	if !ok || ra.RouterLifetime != 15*time.Minute || !ra.Managed || ra.MTU != 1400 || len(ra.Prefixes) != 2 || len(ra.Routes) != 1 || len(ra.DNSServers) != 1 {
		t.Fatalf("%+v", ra)
	}
	if p := ra.Prefixes[0]; p.ValidLifetime != nd.Infinity || p.PreferredLifetime != 20*time.Second || p.Autonomous || !p.OnLink {
		t.Errorf("first prefix %+v", p)
	}
	if p := ra.Prefixes[1]; p.Prefix != netip.MustParsePrefix("2001:db8:2::/64") || !p.Autonomous || p.OnLink {
		t.Errorf("second prefix %+v", p)
	}
	if r := ra.Routes[0]; r.Prefix != netip.MustParsePrefix("2001:db8:9::/48") || r.Lifetime != time.Minute {
		t.Errorf("route %+v", r)
	}
}

func parseND(t *testing.T, line string) nd.Message {
	t.Helper()
	f := built(t, line)[0]
	p := dissect(f)
	h := nd.Header{Src: netip.MustParseAddr(p.one("src")), Dst: netip.MustParseAddr(p.one("dst")), From: nd.LinkAddr(f[6:12])}
	m, err := nd.Parse(h, f[ethernetLen+7], f[ethernetLen+ipv6Len:])
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return m
}

func TestBuild_MLDIsValid(t *testing.T) {
	group, a, b := netip.MustParseAddr("ff02::1:ff00:1"), netip.MustParseAddr("fe80::a1"), netip.MustParseAddr("fe80::a2")
	for line, want := range map[string]mld.Message{
		"TR1 report record=block(sn(HOST),TN1,TN2) record=to_ex(sn(HOST))": &mld.ReportV2{Records: []mld.Record{
			{Type: mld.BlockOldSources, Group: group, Sources: []netip.Addr{a, b}}, {Type: mld.ChangeToExcludeMode, Group: group},
		}},
		"TR1 report1 group=sn(HOST)": &mld.ReportV1{Group: group},
		"TR1 done group=sn(HOST)":    &mld.DoneV1{Group: group},
	} {
		if diff := cmp.Diff(want, parseMLD(t, line), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
	for line, want := range map[string]mld.Query{
		"TR1 query":                            {Version: 2, Group: netip.IPv6Unspecified(), MaxResponseDelay: 10 * time.Second},
		"TR1 query version=1 maxresp=500":      {Version: 1, Group: netip.IPv6Unspecified(), MaxResponseDelay: 500 * time.Millisecond},
		"TR1 query group=sn(HOST) sources=TN1": {Version: 2, Group: group, Sources: []netip.Addr{a}, MaxResponseDelay: 10 * time.Second},
	} {
		got, ok := parseMLD(t, line).(*mld.Query)
		if !ok || got.Version != want.Version || got.Group != want.Group || got.MaxResponseDelay != want.MaxResponseDelay || !slices.Equal(got.Sources, want.Sources) {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}

func parseMLD(t *testing.T, line string) mld.Message {
	t.Helper()
	f := built(t, line)[0]
	p := dissect(f)
	h := mld.Header{
		Src: netip.MustParseAddr(p.one("src")), Dst: netip.MustParseAddr(p.one("dst")), HopLimit: f[ethernetLen+7], RouterAlert: p.one("alert") == "0",
	}
	m, err := mld.Parse(h, f[ethernetLen+ipv6Len+8:])
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return m
}

// What is built is read as it was meant, and by somebody else's decoder too.
func TestDissect_ReadsWhatIsBuilt(t *testing.T) {
	for line, want := range map[string]string{
		"TN1 ns src=::":                           "ns src=:: dst=ff02::1:ff00:1 target=fe80::ff:fe00:1 length=24 options=0 ethdst=33:33:ff:00:00:01 checksum=ok hoplimit=255",
		"TN1 ns length=16":                        "ns length=16 malformed=a message of 16 octets",
		"TN1 ns checksum=bad":                     "ns checksum=bad",
		"TN1 na R=1 S=0 O=0 reserved=5":           "na R=1 S=0 O=0 reserved=5 tllao=02:00:00:00:01:01",
		"TN1 ns option=0e00000000000000":          "ns malformed=an option is cut off or has no length",
		"TN1 echo dst=HOST.p1 seq=3 data=abcd":    "echo src=2001:db8:1::a1 id=119 seq=3 size=2 data=abcd",
		"TR1 toobig mtu=1280":                     "toobig mtu=1280 quote-size=20",
		"TR1 parameter-problem pointer=40 code=1": "parameter-problem pointer=40 code=1",
		"TN1 udp dport=7 size=3":                  "udp sport=40000 dport=7 size=3 checksum=ok",
		"TN1 tcp flags=SYN+ACK dport=7":           "tcp flags=SYN+ACK dport=7 checksum=ok",
		"TN1 ipv6 next=59":                        "ipv6 proto=59 plen=0",
		"TN1 echo hbh=0502000a dstopts=8000":      "echo hbh=0502000a0100 dstopts=800001020000 proto=58 next=0 alert=10",
		"TN1 echo atomic frag-id=5":               "echo frag-id=5 frag-offset=0 frag-more=0",
		"TN1 echo ipversion=5":                    "other malformed=no IPv6 header",
		"TN1 query":                               "query alert=0 hoplimit=1",
	} {
		p := dissect(built(t, line)[0])
		words := strings.SplitN(want, " ", 2)
		if p.kind != words[0] {
			t.Errorf("%s is a %s, want %s", line, p.kind, want)
		}
		rest := words[1]
		for rest != "" {
			name, value, _ := strings.Cut(rest, "=")
			if name == "malformed" {
				rest = ""
			} else {
				value, rest, _ = strings.Cut(value, " ")
			}
			if got := p.one(name); got != value {
				t.Errorf("%s: %s=%s, want %s", line, name, got, value)
			}
		}
	}
}

// The pieces of a packet make the packet again.
func TestBuild_Pieces(t *testing.T) {
	frames := built(t, "TN1 echo size=100 pieces=40 frag-id=9")
	var data []byte
	for k, f := range frames {
		p := dissect(f)
		if p.kind != "fragment" || p.one("frag-id") != "9" || (p.one("frag-more") == "1") != (k < 2) {
			t.Errorf("piece %d: %v", k, p.fields)
		}
		data = append(data, f[ethernetLen+ipv6Len+8:]...)
	}
	whole := built(t, "TN1 echo size=100")[0][ethernetLen+ipv6Len:]
	if len(frames) != 3 || hex.EncodeToString(data) != hex.EncodeToString(whole) {
		t.Errorf("%d pieces, which make\n%x\nwant\n%x", len(frames), data, whole)
	}
	two := built(t, "TN1 echo size=100 piece=64.. piece=0..64")
	if len(two) != 2 || dissect(two[0]).one("frag-offset") != "64" || dissect(two[0]).one("frag-more") != "0" || dissect(two[1]).one("frag-more") != "1" {
		t.Errorf("two pieces: %v, %v", dissect(two[0]).fields, dissect(two[1]).fields)
	}
}

// Somebody else's decoder agrees on headers and checksums.
func TestBuild_AgreesWithGopacket(t *testing.T) {
	for _, line := range []string{"TN1 ns", "TR1 ra prefix=P1", "TN1 echo", "TN1 udp", "TN1 tcp flags=SYN", "TR1 query"} {
		f := built(t, line)[0]
		p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
		ip, ok := p.NetworkLayer().(*layers.IPv6)
		if !ok || p.ErrorLayer() != nil {
			t.Errorf("%s: %v", line, p)
			continue
		}
		d := dissect(f)
		if d.one("src") != ip.SrcIP.String() || d.one("dst") != ip.DstIP.String() || d.one("checksum") != "ok" {
			t.Errorf("%s: %v, gopacket says %v", line, d.fields, ip)
		}
	}
}

func FuzzDissect(f *testing.F) {
	for _, line := range []string{"TN1 ns", "TR1 ra prefix=P1", "TN1 echo pieces=8", "TN1 tcp", "TR1 report record=to_ex(sn(HOST),TN1)", "TR1 query", "TR1 toobig"} {
		f.Add(built(f, line)[0])
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if p := dissect(frame); p.kind == "" {
			t.Error("no kind")
		}
	})
}
