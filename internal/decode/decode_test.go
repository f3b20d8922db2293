package decode

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/mld"
	"github.com/tapstack/tapstack/nd"
)

var (
	mac1 = nd.LinkAddr{2, 0, 0, 0, 0, 1}
	mac9 = nd.LinkAddr{2, 0, 0, 0, 0, 9}
	zero = netip.IPv6Unspecified()
	host = netip.MustParseAddr("2001:db8::5")
	ll1  = netip.MustParseAddr("fe80::1")
	ll9  = netip.MustParseAddr("fe80::9")
	mlds = netip.MustParseAddr("ff02::16")
)

// frame builds a frame around what follows the IPv6 header.
func frame(src, dst netip.Addr, hopLimit, next byte, payload []byte) []byte {
	b := append([]byte{}, make([]byte, ethernetLen+ipv6Len)...)
	to := mac9
	if dst.IsMulticast() {
		to = nd.MulticastLinkAddr(dst)
	}
	copy(b, to[:])
	copy(b[6:], mac1[:])
	binary.BigEndian.PutUint16(b[12:], typeIPv6)
	b[14] = 6 << 4
	binary.BigEndian.PutUint16(b[18:], uint16(len(payload)))
	b[20], b[21] = next, hopLimit
	s, d := src.As16(), dst.As16()
	copy(b[22:], s[:])
	copy(b[38:], d[:])
	return append(b, payload...)
}

func ndFrame(src, dst netip.Addr, m nd.Message) []byte {
	return frame(src, dst, 255, protoICMPv6, nd.Append(nil, src, dst, m))
}

func mldFrame(src, dst netip.Addr, m mld.Message) []byte {
	hopByHop := []byte{protoICMPv6, 0, 5, 2, 0, 0, 1, 0}
	return frame(src, dst, 1, protoHopByHop, mld.Append(hopByHop, src, dst, m)) // Append computes over its own part
}

func TestLine(t *testing.T) {
	group := nd.SolicitedNode(host)
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	dadProbe := ndFrame(zero, group, &nd.NeighborSolicit{Target: host, Nonce: "\x01\x02\x03\x04\x05\xab"})
	for _, c := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"DAD probe", dadProbe,
			"02:00:00:00:00:01 > 33:33:ff:00:00:05  :: > ff02::1:ff00:5  neighbor solicitation for 2001:db8::5 (DAD probe) nonce=0102030405ab"},
		{"resolution", ndFrame(ll1, group, &nd.NeighborSolicit{Target: host, SourceLinkAddr: mac1}),
			"02:00:00:00:00:01 > 33:33:ff:00:00:05  fe80::1 > ff02::1:ff00:5  neighbor solicitation for 2001:db8::5 from 02:00:00:00:00:01"},
		{"advertisement", ndFrame(host, nd.AllNodes, &nd.NeighborAdvert{Target: host, Override: true, TargetLinkAddr: mac1}),
			"02:00:00:00:00:01 > 33:33:00:00:00:01  2001:db8::5 > ff02::1  neighbor advertisement of 2001:db8::5 at 02:00:00:00:00:01 override"},
		{"router solicitation", ndFrame(ll1, nd.AllRouters, &nd.RouterSolicit{SourceLinkAddr: mac1}),
			"02:00:00:00:00:01 > 33:33:00:00:00:02  fe80::1 > ff02::2  router solicitation from 02:00:00:00:00:01"},
		{"router advertisement", ndFrame(ll1, nd.AllNodes, &nd.RouterAdvert{RouterLifetime: 30 * time.Minute, MTU: 1400,
			Prefixes: []nd.PrefixInformation{{Prefix: netip.MustParsePrefix("2001:db8::/64"), OnLink: true, Autonomous: true, ValidLifetime: time.Hour, PreferredLifetime: time.Hour}}}),
			"02:00:00:00:00:01 > 33:33:00:00:00:01  fe80::1 > ff02::1  router advertisement lifetime=30m0s mtu=1400 prefix=2001:db8::/64,on-link,autonomous"},
		{"redirect", ndFrame(ll1, ll9, &nd.Redirect{Target: ll9, Destination: host}),
			"02:00:00:00:00:01 > 02:00:00:00:00:09  fe80::1 > fe80::9  redirect for 2001:db8::5 to fe80::9"},
		{"a hop limit that shows a router", frame(zero, group, 64, protoICMPv6, dadProbe[54:]),
			"02:00:00:00:00:01 > 33:33:ff:00:00:05  :: > ff02::1:ff00:5  neighbor solicitation, to be ignored: "},
		{"join and leave", mldFrame(zero, mlds, &mld.ReportV2{Records: []mld.Record{
			{Type: mld.ChangeToExcludeMode, Group: group}, {Type: mld.ChangeToIncludeMode, Group: nd.SolicitedNode(ll9)},
			{Type: mld.AllowNewSources, Group: group, Sources: []netip.Addr{host}}}}),
			"02:00:00:00:00:01 > 33:33:00:00:00:16  :: > ff02::16  MLDv2 report: join ff02::1:ff00:5 (TO_EX); leave ff02::1:ff00:9 (TO_IN); ALLOW ff02::1:ff00:5 [2001:db8::5]"},
		{"query", mldFrame(ll1, nd.AllNodes, &mld.Query{Version: 2, MaxResponseDelay: 10 * time.Second, Group: zero}),
			"02:00:00:00:00:01 > 33:33:00:00:00:01  fe80::1 > ff02::1  MLDv2 query, answer within 10s"},
		{"MLDv1 done", mldFrame(ll1, nd.AllRouters, &mld.DoneV1{Group: group}),
			"02:00:00:00:00:01 > 33:33:00:00:00:02  fe80::1 > ff02::2  MLDv1 done: leave ff02::1:ff00:5"},
		{"echo request", frame(ll1, ll9, 64, protoICMPv6, unhex("8000 0000 0001 0002 aabb")),
			"02:00:00:00:00:01 > 02:00:00:00:00:09  fe80::1 > fe80::9  echo request id=1 seq=2, 2 octets"},
		{"packet too big", frame(ll1, ll9, 64, protoICMPv6, unhex("0200 0000 00000500")),
			"02:00:00:00:00:01 > 02:00:00:00:00:09  fe80::1 > fe80::9  packet too big, MTU 1280"},
		{"unreachable", frame(ll1, ll9, 64, protoICMPv6, unhex("0103 0000 00000000")),
			"02:00:00:00:00:01 > 02:00:00:00:00:09  fe80::1 > fe80::9  destination unreachable, code 3"},
		{"UDP", frame(ll1, ll9, 64, protoUDP, unhex("0007 0009 000a 0000 aabb")),
			"02:00:00:00:00:01 > 02:00:00:00:00:09  fe80::1 > fe80::9  UDP 7 > 9, 2 octets"},
		{"TCP", frame(ll1, ll9, 64, protoTCP, unhex("1000 0050 00000000 00000000 5012 0000 0000 0000 aa")),
			"02:00:00:00:00:01 > 02:00:00:00:00:09  fe80::1 > fe80::9  TCP 4096 > 80 SYN ACK, 1 octets"},
		{"fragment", frame(ll1, ll9, 64, protoFragment, unhex("11 00 0009 00000001 aabb")),
			"02:00:00:00:00:01 > 02:00:00:00:00:09  fe80::1 > fe80::9  fragment at 8 of packet 0x00000001, 2 octets"},
		{"IPv4", append(unhex("ffffffffffff 020000000001 0800"), 1, 2),
			"02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff  ethertype 0x0800, 2 octets"},
		{"cut off", dadProbe[:60],
			"02:00:00:00:00:01 > 33:33:ff:00:00:05  :: > ff02::1:ff00:5  malformed: 6 octets of 32"},
		{"no frame", nil, "malformed: a frame of 0 octets"},
	} {
		got := Line(c.frame)
		if strings.HasSuffix(c.want, ": ") && strings.HasPrefix(got, c.want) {
			continue // the rest is the parser's words
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// Whatever the octets, a line is one line.
func FuzzLine(f *testing.F) {
	f.Add(ndFrame(zero, nd.SolicitedNode(host), &nd.NeighborSolicit{Target: host}))
	f.Add(mldFrame(zero, mlds, &mld.ReportV2{Records: []mld.Record{{Type: mld.ChangeToExcludeMode, Group: nd.SolicitedNode(host)}}}))
	f.Add(frame(ll1, ll9, 64, protoTCP, make([]byte, 20)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := Line(b); s == "" || strings.Contains(s, "\n") {
			t.Errorf("Line(%x) = %q", b, s)
		}
	})
}
