package stack_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/tap"
)

// newNarrow makes a network in which link b is narrow, and a Linux host is on
// the far side of it, 2001:db8:c::9, whose own link is as wide as ours: neither
// end knows of the narrow link.
func newNarrow(t *testing.T, device tap.Config, mtu int) (r *routed, far *netnstest.Namespace) {
	t.Helper()
	r = newRoutedBy(t, device, patient, 1)
	mustAddRoute(t, r.i, "::/0", ll1)
	r.routers[0].Script(t,
		fmt.Sprintf("ip link set eth1 mtu %d", mtu),
		"ip -6 route add 2001:db8:c::/64 via 2001:db8:b::9",
	)
	r.host.Run(t, "ip", "link", "set", "eth0", "mtu", fmt.Sprint(mtu))
	r.host.Forward(t)
	c := netnstest.NewLink(t)
	c.Join(t, r.host, "eth1", "02:00:00:00:03:01")
	r.host.AddAddress(t, "eth1", "2001:db8:c::1/64")
	far = netnstest.NewNode(t)
	c.Join(t, far, "eth0", "02:00:00:00:03:09")
	far.AddAddress(t, "eth0", "2001:db8:c::9/64")
	far.Run(t, "ip", "-6", "route", "add", "default", "via", "2001:db8:c::1")
	return r, far
}

var farHost = netip.MustParseAddr("2001:db8:c::9")

// What is larger than the path arrives, whoever sends it: the first packets
// are lost perhaps, and after the first Packet Too Big none is larger.
//
// Spec: RFC 8201, section 4, must, PMT-R02
// Spec: RFC 8201, section 5.2, must, PMT-R05
func TestPathWithANarrowLink(t *testing.T) {
	t.Parallel()
	for _, mtu := range []int{1300, 1280} {
		for name, first := range map[string]func(t *testing.T, r *routed, far *netnstest.Namespace){
			"ping": pingsFar, "UDP": udpToFar, "TCP": tcpWithFar,
		} {
			t.Run(fmt.Sprintf("%d, %s first", mtu, name), func(t *testing.T) {
				t.Parallel()
				// Without offload, so that the capture has what a wire has.
				r, far := newNarrow(t, tap.Config{Name: "tap0", NoOffload: true}, mtu)
				first(t, r, far)
				if r.i.Counters().TooBigsIn == 0 {
					t.Fatal("no Packet Too Big")
				}
				if way, err := r.i.Route(farHost, netip.Addr{}); err != nil || way.PathMTU != mtu {
					t.Errorf("the route is %+v, %v; want a path MTU of %d", way, err, mtu)
				}
				wire := capture(t, r.a.Namespace, "tap0")
				pingsFar(t, r, far)
				udpToFar(t, r, far)
				tcpWithFar(t, r, far)
				largest := 0
				for _, c := range wire.await("a packet to the far host", func(c captured) bool {
					return c.eth.SrcMAC.String() == r.i.LinkAddr().String() && c.ip.DstIP.Equal(farHost.AsSlice())
				}) {
					largest = max(largest, 40+int(c.ip.Length))
				}
				if largest > mtu || largest < mtu-8 {
					t.Errorf("the largest packet after the first Packet Too Big has %d octets, want nearly %d", largest, mtu)
				}
			})
		}
	}
}

// The same with offload: TCP hands whole segments to the device.
func TestPathWithANarrowLink_Offload(t *testing.T) {
	t.Parallel()
	r, far := newNarrow(t, tap.Config{Name: "tap0"}, 1300)
	tcpWithFar(t, r, far)
	if r.i.Counters().TooBigsIn == 0 {
		t.Error("no Packet Too Big")
	}
}

func pingsFar(t *testing.T, r *routed, _ *netnstest.Namespace) {
	t.Helper()
	p, err := r.i.NewPinger(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sequence := uint16(0)
	waitFor(t, "an answer to a large Echo Request", func() bool {
		sequence++
		answer, err := p.Ping(within(t, time.Second), farHost, sequence, make([]byte, 3000))
		return err == nil && answer.Bytes == 3000
	})
}

// udpToFar sends datagrams that the path is too narrow for.
func udpToFar(t *testing.T, r *routed, far *netnstest.Namespace) {
	t.Helper()
	c := dialEcho(t, r.s, far, "udp", "[2001:db8:c::9]:0")
	for _, size := range []int{1400, 4000} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		got := make([]byte, 8192)
		waitFor(t, fmt.Sprintf("a datagram of %d octets", size), func() bool {
			if _, err := c.Write(data); err != nil {
				t.Fatal(err)
			}
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := c.Read(got)
			return err == nil && bytes.Equal(got[:n], data)
		})
	}
}

// tcpWithFar sends bulk data there and back.
func tcpWithFar(t *testing.T, r *routed, far *netnstest.Namespace) {
	t.Helper()
	const size = 1 << 20
	c := dialEcho(t, r.s, far, "tcp", "[2001:db8:c::9]:0")
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyN(c, zeros{}, size)
		sent <- err
	}()
	if n, err := io.CopyN(io.Discard, c, size); err != nil {
		t.Fatalf("%d octets came back: %v", n, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// A Packet Too Big that quotes no packet of ours, or does not make it smaller,
// changes nothing, whoever sends it.
//
// Spec: RFC 8201, section 4, must, PMT-R01
// Spec: RFC 8201, section 4, must, PMT-R02
func TestForgedPacketsTooBig(t *testing.T) {
	t.Parallel()
	r := newRoutedBy(t, tap.Config{Name: "tap0", NoOffload: true}, patient, 1)
	mustAddRoute(t, r.i, "::/0", ll1)
	own, router := netip.MustParseAddr("2001:db8:a::5"), netip.MustParseAddr("2001:db8:a::1")
	udp := r.dialEcho(t, "udp")
	tcp := r.dialEcho(t, "tcp")
	port := func(c net.Conn) uint16 { return netip.MustParseAddrPort(c.LocalAddr().String()).Port() }
	send := packetSocket(t, r.routers[0], "eth0")
	wire := capture(t, r.a.Namespace, "tap0")
	quote := func(dst netip.Addr, next byte, from, to uint16, size int) []byte {
		ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)
		return ipv6Frame(r.i.LinkAddr(), own, dst, next, append(ports, make([]byte, size-44)...))[14:]
	}
	for _, forged := range []struct {
		what   string
		mtu    uint32
		wrong  uint16 // by how much the checksum is
		quoted []byte
	}{
		{"about a datagram of another socket", 1300, 0, quote(routedHost, 17, port(udp)+1, 7, 1400)},
		{"about a datagram to another host", 1300, 0, quote(netip.MustParseAddr("2001:db8:b::8"), 17, port(udp), 7, 1400)},
		{"about another connection", 1300, 0, quote(routedHost, 6, port(tcp)+1, 7, 1400)},
		{"about an Echo Request of nobody", 1300, 0, quote(routedHost, 58, 0x8000, 0, 1400)},
		{"that is larger than the link", 9000, 0, quote(routedHost, 17, port(udp), 7, 1400)},
		{"that is too small", 1000, 0, quote(routedHost, 17, port(udp), 7, 1400)},
		{"of nothing", 0, 0, quote(routedHost, 17, port(udp), 7, 1400)},
		{"with a wrong checksum", 1300, 1, quote(routedHost, 17, port(udp), 7, 1400)},
		{"that is cut short", 1300, 0, quote(routedHost, 17, port(udp), 7, 1400)[:30]},
	} {
		before := r.i.Counters()
		message := binary.BigEndian.AppendUint32([]byte{2, 0, 0, 0}, forged.mtu)
		message = append(message, forged.quoted[:min(len(forged.quoted), 1232)]...)
		pseudo := append(append(router.AsSlice(), own.AsSlice()...), 0, 0, byte(len(message)>>8), byte(len(message)), 0, 0, 0, 58)
		binary.BigEndian.PutUint16(message[2:], ^onesSum(append(pseudo, message...))+forged.wrong)
		send(ipv6Frame(r.i.LinkAddr(), router, own, 58, message))
		waitFor(t, "the Packet Too Big "+forged.what+" to be refused", func() bool {
			after := r.i.Counters()
			return after.BadTooBigsIn+after.BadErrorsIn > before.BadTooBigsIn+before.BadErrorsIn
		})
		if after := r.i.Counters(); after.TooBigsIn != before.TooBigsIn {
			t.Errorf("a Packet Too Big %s is obeyed", forged.what)
		}
	}
	if got := asks(t, udp, string(make([]byte, 1400))); len(got) == 0 {
		t.Error("no echo")
	}
	if err := ping(t, r.i, routedHost, make([]byte, 1400)); err != nil {
		t.Error(err)
	}
	go io.CopyN(tcp, zeros{}, 1<<16)
	if _, err := io.CopyN(io.Discard, tcp, 1<<16); err != nil {
		t.Error(err)
	}
	sizes := map[string]int{}
	for _, c := range wire.await("packets to the host", func(c captured) bool {
		return c.eth.SrcMAC.String() == r.i.LinkAddr().String() && c.ip.DstIP.Equal(routedHost.AsSlice())
	}) {
		next := c.ip.NextHeader.String()
		sizes[next] = max(sizes[next], 40+int(c.ip.Length))
	}
	if sizes["UDP"] != 1448 || sizes["ICMPv6"] != 1448 || sizes["TCP"] < 1400 {
		t.Errorf("the largest packets are %v", sizes)
	}
	if sizes["IPv6Fragment"] != 0 {
		t.Error("packets were fragmented")
	}
}
