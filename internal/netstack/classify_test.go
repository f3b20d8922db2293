package netstack

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
)

var (
	solicitedA  = netip.MustParseAddr("ff02::1:ff00:a")
	unspecified = netip.IPv6Unspecified()
)

// Spec: RFC 6980, section 5, MUST, FRG-R02
func TestClassify(t *testing.T) {
	ns := neighborSolicit(addrB, addrA, addrA)
	query := icmpMessage(linkB, linkA, 130, 0, 0, make([]byte, 16))
	echo := icmpMessage(addrB, addrA, typeEchoRequest, 0, 0, nil)
	tooBig := icmpMessage(addrB, addrA, typeTooBig, 0, 1400, make([]byte, 48))
	datagram := udpMessage(port(addrB, 1), port(addrA, 2), nil)
	tests := []struct {
		name   string
		packet []byte
		want   Kind
	}{
		{"TCP", ip(addrB, addrA, 64, protoTCP, make([]byte, 20)), Data},
		{"UDP", ip(addrB, addrA, 64, protoUDP, datagram), Data},
		{"Echo Request", ip(addrB, addrA, 64, protoICMPv6, echo), Data},
		{"Packet Too Big", ip(addrB, addrA, 64, protoICMPv6, tooBig), Data},
		{"ICMPv6 without a type", ip(addrB, addrA, 64, protoICMPv6), Data},
		{"unknown protocol", ip(addrB, addrA, 64, 200, ns), Data},
		{"no next header", ip(addrB, addrA, 64, noNext), Data},

		{"ND", ip(addrB, addrA, 255, protoICMPv6, ns), ND},
		{"ND from ::", ip(unspecified, solicitedA, 255, protoICMPv6, neighborSolicit(unspecified, solicitedA, addrA)), ND},
		{"ND behind options", ip(addrB, addrA, 255, destOptions, options(protoICMPv6), ns), ND},
		{"ND behind an unknown option to skip", ip(addrB, addrA, 255, destOptions, options(protoICMPv6, 0x1e, 1, 0), ns), ND},
		{"ND behind Router Alert", ip(addrB, addrA, 255, hopByHop, options(protoICMPv6, 5, 2, 0, 0), ns), ND},
		{"ND behind a finished Routing header", ip(addrB, addrA, 255, routing, routingHeader(protoICMPv6, 0), ns), ND},
		{"ND behind an experimental header", ip(addrB, addrA, 255, experiment, []byte{protoICMPv6, 0, 0, 0, 0, 0, 0, 0}, ns), ND},
		{"ND behind all of them", ip(addrB, addrA, 255, hopByHop, options(routing), routingHeader(destOptions, 0), options(protoICMPv6), ns), ND},
		{"MLD", ip(linkB, linkA, 1, hopByHop, options(protoICMPv6, 5, 2, 0, 0), query), MLD},
		{"MLD without Router Alert", ip(linkB, linkA, 1, protoICMPv6, query), MLD},

		{"ND behind an option to discard", ip(addrB, addrA, 255, destOptions, options(protoICMPv6, 0x5e, 0), ns), Data},
		{"ND behind an option to report", ip(addrB, addrA, 255, destOptions, options(protoICMPv6, 0x9e, 0), ns), Data},
		{"ND behind a Routing header with segments left", ip(addrB, addrA, 255, routing, routingHeader(protoICMPv6, 1), ns), Data},
		{"ND behind a misplaced Hop-by-Hop header", ip(addrB, addrA, 255, destOptions, options(hopByHop), options(protoICMPv6), ns), Data},

		{"UDP fragment", ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 0, true, 1), datagram), Data},
		{"later fragment", ip(addrB, addrA, 64, fragment, fragmentHeader(protoICMPv6, 8, true, 1), ns), Data},
		{"atomic Echo Request", ip(addrB, addrA, 64, fragment, fragmentHeader(protoICMPv6, 0, false, 1), echo), Data},
		{"atomic ND", ip(addrB, addrA, 255, fragment, fragmentHeader(protoICMPv6, 0, false, 1), ns), Drop},
		{"fragmented ND", ip(addrB, addrA, 255, fragment, fragmentHeader(protoICMPv6, 0, true, 1), ns), Drop},
		{"fragmented ND behind options", ip(addrB, addrA, 255, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoICMPv6), ns), Drop},
		{"fragmented ND behind refused options", ip(addrB, addrA, 255, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoICMPv6, 0x5e, 0), ns), Drop},
		{"fragmented error", ip(addrB, addrA, 64, fragment, fragmentHeader(protoICMPv6, 0, true, 1), tooBig), Drop},
		{"fragmented error behind Hop-by-Hop", ip(addrB, addrA, 64, fragment, fragmentHeader(hopByHop, 0, true, 1), options(protoICMPv6), tooBig), Drop},
		{"fragmented MLD", ip(linkB, linkA, 1, fragment, fragmentHeader(protoICMPv6, 0, true, 1), query), Drop},
		{"first fragment without the upper header", ip(addrB, addrA, 64, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoICMPv6)), Drop},
		{"first fragment with half an extension header", ip(addrB, addrA, 64, fragment, fragmentHeader(destOptions, 0, true, 1), []byte{protoICMPv6, 3, 1, 4, 0, 0, 0, 0}), Drop},
		{"first fragment with half a TCP header", ip(addrB, addrA, 64, fragment, fragmentHeader(protoTCP, 0, true, 1), make([]byte, 16)), Drop},

		{"empty", nil, Drop},
		{"short", make([]byte, 39), Drop},
		{"IPv4", append([]byte{0x45}, make([]byte, 60)...), Drop},
		{"IPv4 with TCP", append([]byte{0x45, 0, 0, 0, 0, 20, protoTCP}, make([]byte, 60)...), Drop},
		{"cut", ip(addrB, addrA, 255, protoICMPv6, ns)[:60], Drop},
		{"extension header beyond the packet", ip(addrB, addrA, 255, destOptions, []byte{protoICMPv6, 1, 0, 0, 0, 0, 0, 0}), Drop},
		{"option beyond its header", ip(addrB, addrA, 255, destOptions, []byte{protoICMPv6, 0, 1, 2, 0, 0, 0x1e, 1}, ns), Drop},
		{"source multicast", ip(group, addrA, 64, protoUDP, datagram), Drop},
		{"source loopback", ip(netip.IPv6Loopback(), addrA, 64, protoUDP, datagram), Drop},
		{"source IPv4-mapped", ip(netip.MustParseAddr("::ffff:1.2.3.4"), addrA, 64, protoUDP, datagram), Drop},
		{"destination unspecified", ip(addrB, unspecified, 64, protoUDP, datagram), Drop},
		{"destination loopback", ip(addrB, netip.IPv6Loopback(), 64, protoICMPv6, echo), Drop},
		{"destination IPv4-mapped", ip(addrB, netip.MustParseAddr("::ffff:1.2.3.4"), 64, protoUDP, datagram), Drop},
	}
	for _, test := range tests {
		if got := Classify(test.packet); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		if n := testing.AllocsPerRun(10, func() { Classify(test.packet) }); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

func TestClassifyEveryICMPv6Type(t *testing.T) {
	for icmpType := 0; icmpType < 256; icmpType++ {
		want := Data
		switch {
		case slices.Contains([]int{133, 134, 135, 136, 137}, icmpType):
			want = ND
		case slices.Contains([]int{130, 131, 132, 143}, icmpType):
			want = MLD
		}
		if got := Classify(icmpPacket(addrB, addrA, uint8(icmpType), 0, 0, nil)); got != want {
			t.Errorf("type %d: %v, want %v", icmpType, got, want)
		}
	}
}

// TestClassifyPrefix: a walk over the first part of a packet says the same as
// over the whole, or that the part is too short.
func TestClassifyPrefix(t *testing.T) {
	whole := ip(addrB, addrA, 255, hopByHop, options(routing), routingHeader(destOptions, 0), options(protoICMPv6, 0x1e, 1, 0),
		neighborSolicit(addrB, addrA, addrA))
	want, ok := parse(whole, len(whole))
	if !ok {
		t.Fatal("not parsed")
	}
	for n := ipv6Size; n <= len(whole); n++ {
		w, ok := parse(whole[:n], len(whole))
		if w.short == ok || ok && w != want || !ok && n > want.offset {
			t.Errorf("%d octets: %+v, %v", n, w, ok)
		}
	}
}

// FuzzClassify: nothing that a host is given makes it send ND or MLD, and what
// is not Data does not reach gVisor.
func FuzzClassify(f *testing.F) {
	ns := neighborSolicit(addrB, addrA, addrA)
	for _, seed := range [][]byte{
		ip(addrB, addrA, 255, protoICMPv6, ns),
		ip(addrB, addrA, 255, hopByHop, options(routing), routingHeader(destOptions, 0), options(protoICMPv6, 0x1e, 1, 0), ns),
		ip(addrB, addrA, 255, fragment, fragmentHeader(protoICMPv6, 0, true, 1), ns),
		ip(addrB, addrA, 255, experiment, []byte{protoICMPv6, 0, 0, 0, 0, 0, 0, 0}, ns),
		ip(addrB, addrA, 255, destOptions, options(protoICMPv6, 0x9e, 0), ns),
		ip(addrB, addrA, 64, protoUDP, udpMessage(port(addrB, 1), port(addrA, 2), nil)),
		icmpPacket(addrB, group, typeEchoRequest, 0, 0, []byte("hello")),
		icmpPacket(addrB, addrA, typeTooBig, 0, 1280, ip(addrA, addrB, 64, protoTCP, make([]byte, 20))),
	} {
		f.Add(seed)
	}
	var sent atomic.Int64
	h, err := New(Config{MTU: 1500, WithoutTCP: true, Source: func(netip.Addr) (netip.Addr, error) { return addrA, nil },
		Output: func(p *Packet) error {
			sent.Add(1)
			return nil
		}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { h.Close() })
	if err := h.AddAddress(addrA); err != nil {
		f.Fatal(err)
	}
	if err := h.JoinGroup(group); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		kind := Classify(packet)
		before := h.Counters()
		h.DeliverBytes(packet)
		rx := h.NewRxBuffer()
		if frame := append(make([]byte, ethernetSize), packet...); fill(rx.Pieces(), frame) == len(frame) {
			if got := rx.Kind(len(frame)); got != kind {
				t.Errorf("RxBuffer says %v, Classify %v: %x", got, kind, packet)
			}
			rx.Deliver(len(frame), false)
		}
		rx.Release()
		after := h.Counters()
		if after.OutControl != before.OutControl {
			t.Errorf("gVisor sent ND or MLD: %x", packet)
		}
		if received := h.controlReceived(); received != 0 {
			t.Errorf("gVisor received ND or MLD: %x", packet)
		}
	})
}

// controlReceived is how many ND and MLD messages gVisor took for valid ones
// or threw away as invalid.
func (h *Host) controlReceived() uint64 {
	s := h.stack.Stats().ICMP.V6.PacketsReceived
	return s.RouterSolicit.Value() + s.RouterAdvert.Value() + s.NeighborSolicit.Value() + s.NeighborAdvert.Value() +
		s.RedirectMsg.Value() + s.MulticastListenerQuery.Value() + s.MulticastListenerReport.Value() +
		s.MulticastListenerDone.Value() + s.MulticastListenerReportV2.Value()
}
