package stack_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Tests against the Linux kernel, which is the neighbor on a TAP in a network
// namespace of its own.

// kernelNode is one node of ours whose link ends in the kernel.
type kernelNode struct {
	t         *testing.T
	ns        *netnstest.Namespace
	s         *stack.Stack
	i         *stack.Interface
	kernelMAC nd.LinkAddr
	kernelLL  netip.Addr
}

func newKernelNode(t *testing.T, cfg stack.InterfaceConfig) *kernelNode {
	netnstest.Require(t, "sysctl", "tcpdump", "ping")
	k := &kernelNode{t: t, ns: netnstest.New(t)}
	var dev *tap.Device
	k.ns.Do(t, func() {
		var err error
		if dev, err = tap.Open(tap.Config{Name: "tap0"}); err != nil {
			t.Fatal(err)
		}
		if err := dev.SetUp(); err != nil {
			t.Fatal(err)
		}
	})
	k.ns.Run(t, "sysctl", "-qw", "net.ipv6.conf.tap0.accept_dad=1")
	k.s, k.i = attach(t, dev, cfg)
	for _, field := range strings.Fields(k.ns.Run(t, "ip", "-o", "link", "show", "tap0")) {
		if mac, err := nd.ParseLinkAddr(field); err == nil && !mac.IsMulticast() {
			k.kernelMAC = mac
			break
		}
	}
	k.kernelLL = stack.LinkLocalAddr(k.kernelMAC)
	if err := k.i.WaitAddress(t.Context(), stack.LinkLocalAddr(k.i.LinkAddr())); err != nil {
		t.Fatal(err)
	}
	return k
}

// kernelHas gives the kernel an address that it uses at once.
func (k *kernelNode) kernelHas(prefix string) {
	k.t.Helper()
	k.ns.Run(k.t, "ip", "-6", "addr", "add", prefix, "dev", "tap0", "nodad")
	addr, _, _ := strings.Cut(prefix, "/")
	waitFor(k.t, "the kernel's route to its own address", func() bool { // which it makes some time later
		return strings.Contains(k.ns.Run(k.t, "ip", "-6", "route", "show", "table", "local"), addr)
	})
}

// pings fails unless the kernel's address answers us.
func (k *kernelNode) pings(dst netip.Addr, when string) {
	k.t.Helper()
	if err := ping(k.t, k.i, dst, []byte("data")); err != nil {
		k.t.Errorf("%s: pinging %v: %v", when, dst, err)
	}
}

// ping waits for the answer to one Echo Request.
func ping(t *testing.T, i *stack.Interface, dst netip.Addr, data []byte) error {
	t.Helper()
	p, err := i.NewPinger(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = p.Ping(ctx, dst, 1, data)
	return err
}

// isPinged fails unless we answer the kernel.
func (k *kernelNode) isPinged(dst, when string) {
	k.t.Helper()
	if out, err := k.ns.Command("ping", "-6", "-n", "-c", "1", "-W", "5", dst).CombinedOutput(); err != nil {
		k.t.Errorf("%s: the kernel pings %s: %v\n%s", when, dst, err, out)
	}
}

func (k *kernelNode) views() string {
	return fmt.Sprint(k.i.Addresses(), "\n", k.i.Routes(), "\n", k.i.Groups())
}

// capture runs tcpdump on the kernel's side. More options may be given to it.
func (k *kernelNode) capture(more ...string) (stop func() []captured) {
	k.t.Helper()
	return capture(k.t, k.ns, "tap0", more...).stop
}

// sniffer is a tcpdump that runs.
type sniffer struct {
	t     *testing.T
	file  string
	cmd   *exec.Cmd
	lines *bufio.Reader
	read  int // octets of the file
	seen  []captured
}

// capture runs tcpdump on an interface of a namespace. More options may be
// given to it.
func capture(t *testing.T, ns *netnstest.Namespace, name string, more ...string) *sniffer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "wire.pcap")
	options := []string{"-i", name, "-U", "-s", "0", "-B", "4096", "--immediate-mode", "-w", file}
	cmd := ns.Command("tcpdump", append(append(options, more...), "ip6")...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("tcpdump is needed for this test: %v", err)
	}
	t.Cleanup(func() { // if the test ends before stop
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("tcpdump: %v", err)
		}
		if strings.Contains(line, "listening on") {
			break
		}
	}
	return &sniffer{t: t, file: file, cmd: cmd, lines: lines}
}

// stop ends the capture and returns the packets. The last ones may be missing.
func (s *sniffer) stop() []captured {
	s.t.Helper()
	s.cmd.Process.Signal(os.Interrupt)
	io.Copy(io.Discard, s.lines)
	s.cmd.Wait()
	return s.packets()
}

// await returns the packets so far that match, as soon as there is one.
func (s *sniffer) await(what string, match func(captured) bool) (found []captured) {
	s.t.Helper()
	waitFor(s.t, what+" on the wire", func() bool {
		found = nil
		for _, c := range s.packets() {
			if match(c) {
				found = append(found, c)
			}
		}
		return len(found) > 0
	})
	return found
}

// captured is one packet, decoded by gopacket and not by us.
type captured struct {
	at       time.Time
	eth      *layers.Ethernet
	ip       *layers.IPv6
	icmpType uint8 // 0: no ICMPv6
	code     uint8
	payload  []byte // behind the ICMPv6 header's four octets
}

// packets returns those so far. The file is pcap in the machine's byte order
// with microseconds.
func (s *sniffer) packets() []captured {
	s.t.Helper()
	const fileHeader, recordHeader = 24, 16
	data, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.read == 0 {
		if len(data) < fileHeader {
			return nil // nothing is written yet
		}
		if binary.NativeEndian.Uint32(data) != 0xa1b2c3d4 {
			s.t.Fatal("not a pcap file")
		}
		s.read = fileHeader
	}
	for data = data[s.read:]; len(data) >= recordHeader; {
		seconds, micros := binary.NativeEndian.Uint32(data), binary.NativeEndian.Uint32(data[4:])
		n := int(binary.NativeEndian.Uint32(data[8:]))
		if len(data) < recordHeader+n {
			break // not all is written yet
		}
		p := gopacket.NewPacket(data[recordHeader:recordHeader+n], layers.LayerTypeEthernet, gopacket.Default)
		s.read += recordHeader + n
		data = data[recordHeader+n:]
		c := captured{at: time.Unix(int64(seconds), int64(micros)*1000)}
		c.eth, _ = p.LinkLayer().(*layers.Ethernet)
		c.ip, _ = p.NetworkLayer().(*layers.IPv6)
		if icmp, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
			c.icmpType, c.code, c.payload = icmp.TypeCode.Type(), icmp.TypeCode.Code(), icmp.Payload
		}
		if c.eth != nil && c.ip != nil {
			s.seen = append(s.seen, c)
		}
	}
	return s.seen
}

func (c captured) is(from nd.LinkAddr, icmpType uint8) bool {
	return c.eth.SrcMAC.String() == from.String() && c.icmpType == icmpType
}

// The whole scenario of the mail of 2003.
func TestMailOf2003AgainstTheKernel(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]stack.Profile{"rfc2462": stack.RFC2462(), "rfc4862": stack.RFC4862(), "current": stack.Current()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKernelNode(t, stack.InterfaceConfig{Profile: profile})
			k.kernelHas("2001:db8::5/64")
			if err := k.i.AddAddress(t.Context(), onLink("2001:db8::1/64")); err != nil {
				t.Fatalf("a unique address: %v", err)
			}
			k.pings(k.kernelLL, "before")
			k.pings(netip.MustParseAddr("2001:db8::5"), "before")
			before := k.views()
			stop := k.capture()

			start := time.Now()
			err := k.i.AddAddress(t.Context(), onLink("2001:db8::5/64"))
			took := time.Since(start)
			var dup *dad.DuplicateError
			if !errors.As(err, &dup) || dup.LinkAddr != k.kernelMAC {
				t.Fatalf("the duplicate: %v, the kernel is %v", err, k.kernelMAC)
			}
			if took >= time.Second {
				t.Errorf("the duplicate was found after %v, not within RetransTimer", took)
			}
			if after := k.views(); after != before {
				t.Errorf("the views changed:\n%s\nbefore:\n%s", after, before)
			}
			k.pings(netip.MustParseAddr("2001:db8::5"), "after the failure") // no black hole
			k.pings(k.kernelLL, "after the failure")
			k.isPinged("2001:db8::1", "after the failure")
			if err := k.i.RemoveAddress(netip.MustParseAddr("2001:db8::5")); !errors.Is(err, stack.ErrNoSuchAddress) {
				t.Errorf("deleting the duplicate: %v", err)
			}
			k.pings(k.kernelLL, "after deleting the duplicate")
			time.Sleep(1100 * time.Millisecond) // the repeats of the leave are due within a second
			checkMailOnTheWire(t, stop(), k.i.LinkAddr(), k.kernelMAC)
		})
	}
}

// checkMailOnTheWire looks for report, probe, advertisement and leave.
func checkMailOnTheWire(t *testing.T, packets []captured, own, kernel nd.LinkAddr) {
	var report, probe, advert, leave time.Time
	group, duplicate := net.ParseIP("ff02::1:ff00:5"), net.ParseIP("2001:db8::5")
	about := func(c captured, ip net.IP) bool { return strings.Contains(string(c.payload), string(ip)) }
	for _, c := range packets {
		mine := c.eth.SrcMAC.String() == own.String()
		if mine && c.ip.SrcIP.Equal(duplicate) {
			t.Errorf("a packet from the duplicate: %v > %v type %d", c.ip.SrcIP, c.ip.DstIP, c.icmpType)
		}
		switch {
		case c.is(own, 143) && about(c, group), c.is(own, 131) && about(c, group), c.is(own, 132) && about(c, group):
			if advert.IsZero() {
				report = c.at
			} else if leave.IsZero() {
				leave = c.at
			}
			if c.ip.HopLimit != 1 {
				t.Errorf("an MLD message with hop limit %d", c.ip.HopLimit)
			}
		case c.is(own, 135) && about(c, duplicate) && c.ip.SrcIP.IsUnspecified():
			probe = c.at
			if c.ip.HopLimit != 255 || !c.ip.DstIP.Equal(group) {
				t.Errorf("a probe to %v with hop limit %d", c.ip.DstIP, c.ip.HopLimit)
			}
		case c.is(kernel, 136) && about(c, duplicate) && c.ip.DstIP.Equal(net.ParseIP("ff02::1")):
			advert = c.at
		}
	}
	if report.IsZero() || probe.IsZero() || advert.IsZero() || leave.IsZero() {
		t.Fatalf("missing on the wire: report %v, probe %v, advertisement %v, leave %v", report, probe, advert, leave)
	}
	if !report.Before(probe) {
		t.Error("the probe came before the report")
	}
	if d := leave.Sub(advert); d < 0 || d > 50*time.Millisecond {
		t.Errorf("the leave came %v after the advertisement", d)
	} else {
		t.Logf("leave %v after the advertisement", d)
	}
}

// Deleting any one of several addresses never takes fe80::/64, the shared /64
// or the shared group from the others; link-local works after every step.
func TestDeletingOneOfSeveralAgainstTheKernel(t *testing.T) {
	t.Parallel()
	k := newKernelNode(t, stack.InterfaceConfig{})
	k.kernelHas("2001:db8::5/64")
	addrs := []string{"fe80::beef:7", "2001:db8::beef:7", "2001:db8::1:0:beef:7"} // one group, two in one prefix
	add := func(a string) {
		t.Helper()
		if err := k.i.AddAddress(t.Context(), onLink(a+"/64")); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range addrs {
		add(a)
	}
	for gone, a := range addrs {
		if err := k.i.RemoveAddress(netip.MustParseAddr(a)); err != nil {
			t.Fatal(err)
		}
		k.ns.Run(t, "ip", "-6", "neigh", "flush", "dev", "tap0") // so that the kernel must solicit the group
		k.pings(k.kernelLL, "without "+a)
		k.pings(netip.MustParseAddr("2001:db8::5"), "without "+a)
		for other, b := range addrs {
			if other != gone {
				k.isPinged(zoned(b), "without "+a)
			}
		}
		add(a)
	}
	if err := k.i.RemoveAddress(stack.LinkLocalAddr(k.i.LinkAddr())); err != nil {
		t.Fatal(err)
	}
	k.pings(k.kernelLL, "without the interface's own link-local address")
}

func zoned(a string) string {
	if strings.HasPrefix(a, "fe80") {
		return a + "%tap0"
	}
	return a
}

// TCP both ways with the kernel, through the virtio-net header.
func TestBulkTCPWithTheKernel(t *testing.T) {
	k := newKernelNode(t, quick)
	k.kernelHas("2001:db8::5/64")
	if err := k.i.AddAddress(t.Context(), instantly("2001:db8::1/64")); err != nil {
		t.Fatal(err)
	}
	var kernelListener net.Listener
	k.ns.Do(t, func() {
		var err error
		if kernelListener, err = net.Listen("tcp6", "[2001:db8::5]:9"); err != nil {
			t.Fatal(err)
		}
	})
	defer kernelListener.Close()
	const size = 64 << 20
	received := make(chan int64, 1)
	go func() {
		c, err := kernelListener.Accept()
		if err != nil {
			received <- -1
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		received <- n
		io.CopyN(c, zeros{}, size)
	}()
	c, err := k.s.DialContext(t.Context(), "tcp", "[2001:db8::5]:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	start := time.Now()
	if _, err := io.CopyN(c, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n := <-received; n != size {
		t.Fatalf("the kernel received %d octets of %d", n, size)
	}
	out := time.Since(start)
	start = time.Now()
	if n, err := io.Copy(io.Discard, c); n != size {
		t.Fatalf("received %d octets of %d: %v", n, size, err)
	}
	t.Logf("64 MiB out in %v, in in %v", out, time.Since(start))
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// packetSocket sends raw frames from a namespace.
func packetSocket(t *testing.T, ns *netnstest.Namespace, ifname string) (send func(frame []byte)) {
	var fd, index int
	ns.Do(t, func() {
		ifi, err := net.InterfaceByName(ifname)
		if err != nil {
			t.Fatal(err)
		}
		index = ifi.Index
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { unix.Close(fd) })
	return func(frame []byte) {
		t.Helper()
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
			t.Fatal(err)
		}
	}
}

// A datagram with a wrong checksum that is bridged in from a veth is dropped,
// whole and in fragments; one from the kernel itself, whose checksum is only
// begun, is accepted.
func TestChecksumsAcrossABridge(t *testing.T) {
	t.Parallel()
	k := newKernelNode(t, quick)
	far := netnstest.New(t)
	k.ns.Run(t, "ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	k.ns.Run(t, "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", far.Name())
	for _, port := range []string{"tap0", "veth0"} {
		k.ns.Run(t, "ip", "link", "set", port, "master", "br0", "up")
	}
	k.ns.Run(t, "ip", "link", "set", "br0", "up")
	k.ns.Run(t, "ip", "-6", "addr", "add", "2001:db8::5/64", "dev", "br0", "nodad")
	far.Run(t, "ip", "link", "set", "veth1", "up")
	if err := k.i.AddAddress(t.Context(), instantly("2001:db8::1/64")); err != nil {
		t.Fatal(err)
	}
	c, err := k.s.ListenPacket("udp", "[2001:db8::1]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	receive := func() string {
		b := make([]byte, 2000)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _, err := c.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:min(n, 8)])
	}
	send := packetSocket(t, far, "veth1")
	from := netip.MustParseAddrPort("[2001:db8::9]:9")
	to := netip.MustParseAddrPort("[2001:db8::1]:7")
	wrong := udpDatagram(from, to, []byte("wrong...and the rest"), 1)
	right := udpDatagram(from, to, []byte("right...and the rest"), 0)
	// The frames cross the bridge in order: when the last has come, the wrong
	// ones are either delivered or dropped.
	send(ipv6Frame(k.i.LinkAddr(), from.Addr(), to.Addr(), 17, wrong))
	for _, f := range fragments(wrong) {
		send(ipv6Frame(k.i.LinkAddr(), from.Addr(), to.Addr(), 44, f))
	}
	for _, f := range fragments(right) {
		send(ipv6Frame(k.i.LinkAddr(), from.Addr(), to.Addr(), 44, f))
	}
	send(ipv6Frame(k.i.LinkAddr(), from.Addr(), to.Addr(), 17, right))
	for _, want := range []string{"right...", "right..."} {
		if got := receive(); got != want {
			t.Errorf("received %q, want %q", got, want)
		}
	}
	k.ns.Do(t, func() {
		kernel, err := net.Dial("udp6", to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer kernel.Close()
		if _, err := kernel.Write([]byte("partial.")); err != nil {
			t.Fatal(err)
		}
	})
	if got := receive(); got != "partial." {
		t.Errorf("from the kernel: %q", got)
	}
}

func ipv6Frame(to nd.LinkAddr, src, dst netip.Addr, next byte, payload []byte) []byte {
	f := append(append([]byte{}, to[:]...), 2, 0, 0, 0, 0, 0x77, 0x86, 0xdd, 0x60, 0, 0, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(len(payload)))
	f = append(f, next, 64)
	f = append(append(f, src.AsSlice()...), dst.AsSlice()...)
	return append(f, payload...)
}

// udpDatagram builds a datagram whose checksum is off by wrong.
func udpDatagram(from, to netip.AddrPort, data []byte, wrong uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	b = append(append(b, 0, 0), data...)
	pseudo := append(append(from.Addr().AsSlice(), to.Addr().AsSlice()...), 0, 0, 0, byte(len(b)), 0, 0, 0, 17)
	binary.BigEndian.PutUint16(b[6:], ^onesSum(append(pseudo, b...))+wrong)
	return b
}

func onesSum(b []byte) uint16 {
	var sum uint32
	for k := 0; k < len(b); k += 2 {
		sum += uint32(b[k]) << 8
		if k+1 < len(b) {
			sum += uint32(b[k+1])
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// fragments cuts a datagram in two; each call has an identification of its own.
func fragments(b []byte) [][]byte {
	identification++
	header := func(offset, more byte) []byte { return []byte{17, 0, 0, offset | more, 0, 0, 0, identification} }
	return [][]byte{append(header(0, 1), b[:16]...), append(header(16, 0), b[16:]...)}
}

var identification byte

// A Packet Too Big of 1000 changes nothing: TCP goes on with full segments
// and without fragments.
func TestPacketTooBigOf1000ChangesNothing(t *testing.T) {
	t.Parallel()
	k := newKernelNode(t, quick)
	k.kernelHas("2001:db8::5/64")
	if err := k.i.AddAddress(t.Context(), instantly("2001:db8::1/64")); err != nil {
		t.Fatal(err)
	}
	listener, err := k.s.Listen("tcp", "[2001:db8::1]:7")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var kernel net.Conn
	k.ns.Do(t, func() {
		if kernel, err = net.Dial("tcp6", "[2001:db8::1]:7"); err != nil {
			t.Fatal(err)
		}
	})
	defer kernel.Close()
	c, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	kernelPort := kernel.LocalAddr().(*net.TCPAddr).Port
	quoted := binary.BigEndian.AppendUint16([]byte{0, 7}, uint16(kernelPort))
	quoted = append(quoted, make([]byte, 16)...)
	packet := ipv6Frame(k.i.LinkAddr(), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::5"), 6, quoted)[14:]
	message := append([]byte{2, 0, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff}, packet...)
	src, dst := netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("2001:db8::1")
	pseudo := append(append(src.AsSlice(), dst.AsSlice()...), 0, 0, 0, byte(len(message)), 0, 0, 0, 58)
	binary.BigEndian.PutUint16(message[2:], ^onesSum(append(pseudo, message...)))
	stop := k.capture()
	packetSocket(t, k.ns, "tap0")(ipv6Frame(k.i.LinkAddr(), src, dst, 58, message))
	waitFor(t, "the Packet Too Big to be counted", func() bool { return k.i.Counters().BadTooBigsIn > 0 })
	const size = 1 << 20
	go io.CopyN(c, zeros{}, size)
	kernel.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := io.CopyN(io.Discard, kernel, size); err != nil {
		t.Fatalf("%d octets: %v", n, err)
	}
	largest := 0
	for _, p := range stop() {
		if p.eth.SrcMAC.String() != k.i.LinkAddr().String() {
			continue
		}
		if p.ip.NextHeader == layers.IPProtocolIPv6Fragment {
			t.Fatal("TCP was fragmented")
		}
		largest = max(largest, int(p.ip.Length))
	}
	if largest <= 1280 {
		t.Errorf("the largest packet after it has %d octets", largest)
	}
}

// waitFor polls a condition that another goroutine brings about.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// DAD of one address adds at most 5 ms to what the RFC asks for.
func TestDADTakesNoLongerThanTheRFCAsks(t *testing.T) {
	k := newKernelNode(t, stack.InterfaceConfig{})
	best := time.Hour
	for n := range 3 {
		start := time.Now()
		if err := k.i.AddAddress(t.Context(), onLink(fmt.Sprintf("2001:db8::%d/64", n+1))); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	t.Logf("DAD took %v at best", best)
	if best < time.Second {
		t.Errorf("DAD took %v, less than RetransTimer", best)
	}
}

// The kernel's side of the TAP goes down: the probe cannot be sent, the caller
// is told and nothing stays.
func TestKernelSideDown(t *testing.T) {
	t.Parallel()
	k := newKernelNode(t, stack.InterfaceConfig{})
	before := k.views()
	k.ns.Run(t, "ip", "link", "set", "tap0", "down")
	if err := k.i.AddAddress(t.Context(), onLink("2001:db8::5/64")); !errors.Is(err, syscall.ENETDOWN) {
		t.Errorf("adding while the kernel's side is down: %v", err)
	}
	if after := k.views(); after != before {
		t.Errorf("views after the failure:\n%s\nbefore:\n%s", after, before)
	}
	k.ns.Run(t, "ip", "link", "set", "tap0", "up")
	if err := k.i.AddAddress(t.Context(), onLink("2001:db8::5/64")); err != nil {
		t.Errorf("after the kernel's side came up: %v", err)
	}
}

// Close gives every file descriptor back. It does not run beside other tests,
// whose descriptors would count.
func TestCloseLeavesNoFileDescriptor(t *testing.T) {
	netnstest.Require(t)
	ns := netnstest.New(t)
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	cycle := func() {
		var dev *tap.Device
		ns.Do(t, func() {
			var err error
			if dev, err = tap.Open(tap.Config{Name: "tap0"}); err != nil {
				t.Fatal(err)
			}
		})
		s, err := stack.New(stack.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Attach("tap0", dev, quick); err != nil {
			t.Fatal(err)
		}
		l, err := s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cycle() // the runtime's own come with the first
	before := count()
	for range 5 {
		cycle()
	}
	if after := count(); after != before {
		t.Errorf("%d file descriptors, %d before", after, before)
	}
}
