package netstack

import (
	"bytes"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// These tests are about what gVisor does, as it is used here.

// solo is one host with addrA, linkA and group, whose output is logged. It has
// no TCP, so that it may be in a synctest bubble.
func solo(t testing.TB, change ...func(*Config)) (*Host, *wire) {
	w := newWire(macA)
	cfg := Config{Name: "tap0", MTU: 1500, WithoutTCP: true, ErrorRate: 1e6, ErrorBurst: 1e6, Output: w.output,
		Source: func(dst netip.Addr) (netip.Addr, error) {
			if needsZone(dst) {
				return linkA, nil
			}
			return addrA, nil
		}}
	for _, c := range change {
		c(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	for _, a := range []netip.Addr{addrA, linkA} {
		if err := h.AddAddress(a); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.JoinGroup(group); err != nil {
		t.Fatal(err)
	}
	return h, w
}

// answers delivers packet and returns what is sent.
func (w *wire) answers(h *Host, packet []byte) (list [][]byte) {
	w.forget()
	h.DeliverBytes(packet)
	for _, f := range w.logged() {
		list = append(list, f.packet())
	}
	return list
}

// closedPort is a datagram for which there is no socket.
func closedPort(src, dst netip.Addr, data []byte) []byte {
	return ip(src, dst, 64, protoUDP, udpMessage(port(src, 1), port(dst, 2), data))
}

// wantError checks that the only answer is an ICMPv6 error about packet.
func wantError(t *testing.T, what string, got [][]byte, packet []byte, icmpType, code uint8, word uint32) {
	t.Helper()
	if len(got) != 1 {
		t.Errorf("%s: %d packets sent, want 1", what, len(got))
		return
	}
	src, _ := netip.AddrFromSlice(packet[24:40])
	dst, _ := netip.AddrFromSlice(packet[8:24])
	want := icmpPacket(src, dst, icmpType, code, word, packet[:min(len(packet), maxQuote)])
	copy(want[0:4], got[0]) // flow label
	if !bytes.Equal(got[0], want) {
		t.Errorf("%s: sent\n%x, want\n%x", what, got[0], want)
	}
}

// Spec: RFC 4443, section 3.1, SHOULD, ICM-R03
// Spec: RFC 4443, section 2.4 (c), MUST, ICM-R02
// Spec: RFC 4443, section 2.2, MUST, SAS-R14
func TestPortUnreachable(t *testing.T) {
	h, w := solo(t)
	for _, size := range []int{0, 100, 1280 - 96, 1280 - 95, 1400} {
		packet := closedPort(addrB, addrA, make([]byte, size))
		got := w.answers(h, packet)
		wantError(t, "closed port", got, packet, typeUnreachable, 4, 0)
		if len(got) == 1 && len(got[0]) > 1280 {
			t.Errorf("an error of %d octets", len(got[0]))
		}
	}
}

// Spec: RFC 4443, section 2.4 (e), MUST NOT, ICM-R01
func TestNoErrorAbout(t *testing.T) {
	h, w := solo(t)
	badOption := options(protoICMPv6, 0x9e, 0)
	for what, packet := range map[string][]byte{
		"an error":                        ip(addrB, addrA, 64, destOptions, badOption, icmpMessage(addrB, addrA, typeUnreachable, 0, 0, nil)),
		"an error of unknown type":        ip(addrB, addrA, 64, destOptions, badOption, icmpMessage(addrB, addrA, 100, 0, 0, nil)),
		"a Redirect":                      ip(addrB, addrA, 255, destOptions, badOption, icmpMessage(addrB, addrA, 137, 0, 0, make([]byte, 32))),
		"a packet to a group":             closedPort(addrB, group, nil),
		"a packet from ::":                closedPort(unspecified, addrA, nil),
		"a packet from a group":           closedPort(group, addrA, nil),
		"a packet for somebody else":      closedPort(addrB, router, nil),
		"a packet to a group, not ours":   ip(addrB, netip.MustParseAddr("ff02::9"), 64, destOptions, badOption, icmpMessage(addrB, group, typeEchoRequest, 0, 0, nil)),
		"a first fragment of an error":    ip(addrB, addrA, 64, fragment, fragmentHeader(protoICMPv6, 0, true, 9), icmpMessage(addrB, addrA, typeUnreachable, 0, 0, nil)),
		"an error to a group, bad option": ip(addrB, group, 64, destOptions, badOption, icmpMessage(addrB, group, typeUnreachable, 0, 0, nil)),
	} {
		if got := w.answers(h, packet); len(got) != 0 {
			t.Errorf("%s: sent %x", what, got[0])
		}
	}
}

// TestNoErrorAboutGroupFrames: no error about a packet that came in a frame to
// a link-layer group, though it is to one host; about the same in a frame to
// this host there is.
//
// Spec: RFC 4443, section 2.4 (e), MUST NOT, ICM-R01
func TestNoErrorAboutGroupFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := solo(t)
		c := listenUDP(t, h, port(unspecified, 7))
		rx := h.NewRxBuffer()
		udp := udpMessage(port(addrB, 1), port(addrA, 2), nil)
		for what, packet := range map[string][]byte{
			"closed port":        closedPort(addrB, addrA, nil),
			"a large packet":     closedPort(addrB, addrA, make([]byte, 1400)),
			"unknown header":     ip(addrB, addrA, 64, 200, udp),
			"no octet behind it": ip(addrB, addrA, 64, 200),
			"option":             ip(addrB, addrA, 64, destOptions, options(protoUDP, 0x9e, 0), udp),
			"incomplete header":  ip(addrB, addrA, 64, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoUDP)),
			"reassembly":         fragments(1, udpMessage(port(addrB, 1), port(addrA, 2), make([]byte, 3000)), 1000)[0],
		} {
			for _, toGroup := range []bool{true, false} {
				w.forget()
				frame := append(make([]byte, ethernetSize), packet...)
				if toGroup {
					frame[0] = 0x33
				}
				for len(frame) < 60 {
					frame = append(frame, 0)
				}
				withheld := h.Counters().OutErrorsWithheld
				fill(rx.Pieces(), frame)
				rx.Deliver(len(frame), false)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := w.logged(); (len(got) == 0) != toGroup {
					t.Errorf("%s, to a group %v: %d packets sent", what, toGroup, len(got))
				}
				if got := h.Counters().OutErrorsWithheld - withheld; (got == 1) != toGroup {
					t.Errorf("%s, to a group %v: %d counted", what, toGroup, got)
				}
			}
		}
		frame := append(make([]byte, ethernetSize), ip(addrB, addrA, 64, protoUDP, udpMessage(port(addrB, 1), port(addrA, 7), []byte("hello")))...)
		frame[0] = 0xff
		fill(rx.Pieces(), frame)
		rx.Deliver(len(frame), false)
		c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(make([]byte, 9)); n != 5 || err != nil {
			t.Errorf("its data is lost: %d, %v", n, err)
		}
		rx.Release()
	})
}

// TestNoUnreachables: Destination Unreachable can be switched off, the other
// errors stay.
//
// Spec: RFC 4443, section 3.1, SHOULD, ICM-R03
func TestNoUnreachables(t *testing.T) {
	h, w := solo(t)
	h.cfg.NoUnreachables = true
	if got := w.answers(h, closedPort(addrB, addrA, nil)); len(got) != 0 || h.Counters().OutErrorsWithheld != 1 {
		t.Errorf("%d packets sent, %d counted", len(got), h.Counters().OutErrorsWithheld)
	}
	packet := ip(addrB, addrA, 64, 200)
	wantError(t, "unknown next header", w.answers(h, packet), packet, typeParamProblem, 1, 6)
}

// Spec: RFC 4443, section 2.4 (b), MUST, ICM-R05
func TestUnknownInformational(t *testing.T) {
	h, w := solo(t)
	for icmpType := 128; icmpType < 256; icmpType++ {
		if icmpType == typeEchoRequest {
			continue
		}
		if got := w.answers(h, icmpPacket(addrB, addrA, uint8(icmpType), 0, 0, make([]byte, 40))); len(got) != 0 {
			t.Errorf("type %d: sent %x", icmpType, got[0])
		}
	}
}

// Spec: RFC 4443, section 4.2, MUST, ICM-R06
// Spec: RFC 4443, section 2.2, MUST, SAS-R14
func TestEchoReply(t *testing.T) {
	h, w := solo(t)
	request := icmpPacket(addrB, addrA, typeEchoRequest, 0, 0x12345678, []byte("hello"))
	got := w.answers(h, request)
	want := icmpPacket(addrA, addrB, typeEchoReply, 0, 0x12345678, []byte("hello"))
	if len(got) != 1 {
		t.Fatalf("%d packets sent, want 1", len(got))
	}
	copy(want[0:4], got[0])
	if !bytes.Equal(got[0], want) {
		t.Errorf("sent\n%x, want\n%x", got[0], want)
	}
	if err := h.RemoveAddress(addrA, false); err != nil {
		t.Fatal(err)
	}
	if got := w.answers(h, request); len(got) != 0 {
		t.Errorf("for an address that is gone: sent %x", got[0])
	}
}

// Spec: RFC 4443, section 2.3, must, ICM-R08
func TestICMPv6Checksum(t *testing.T) {
	h, w := solo(t)
	request := icmpPacket(addrB, addrA, typeEchoRequest, 0, 1, []byte("hello"))
	request[len(request)-1]++
	if got := w.answers(h, request); len(got) != 0 {
		t.Errorf("sent %x", got[0])
	}
}

// Spec: RFC 8200, section 4, should, ICM-R07
// Spec: RFC 8200, section 4.5, must, FRG-R06
func TestParameterProblem(t *testing.T) {
	h, w := solo(t)
	udp := udpMessage(port(addrB, 1), port(addrA, 2), nil)
	for _, test := range []struct {
		what    string
		packet  []byte
		code    uint8
		pointer uint32
	}{
		{"unknown next header", ip(addrB, addrA, 64, 200, udp), 1, 6},
		{"unknown next header behind options", ip(addrB, addrA, 64, destOptions, options(200), udp), 1, ipv6Size},
		{"misplaced Hop-by-Hop header", ip(addrB, addrA, 64, destOptions, options(hopByHop), options(protoUDP), udp), 1, ipv6Size},
		{"unknown option", ip(addrB, addrA, 64, destOptions, options(protoUDP, 0x1e, 0, 0x9e, 0), udp), 2, ipv6Size + 4},
		{"Routing header with segments left", ip(addrB, addrA, 64, routing, routingHeader(protoUDP, 1), udp), 0, ipv6Size + 2},
		{"fragment that is no multiple of 8", ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 0, true, 1), append(udp, 1)), 0, 4},
		{"fragment beyond 65535", ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 65528, false, 1), udp), 0, ipv6Size + 2},
	} {
		wantError(t, test.what, w.answers(h, test.packet), test.packet, typeParamProblem, test.code, test.pointer)
	}
}

// fragments cuts a UDP datagram into fragments at offsets.
func fragments(id uint32, message []byte, cuts ...int) (list [][]byte) {
	from := 0
	for i, to := range append(cuts, len(message)) {
		list = append(list, ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, uint16(from), i < len(cuts), id), message[from:to]))
		from = to
	}
	return list
}

// Spec: RFC 8200, section 5, must, FRG-R07
// Spec: RFC 5722, section 4, MUST, FRG-R03
// Spec: RFC 6946, section 4, MUST, FRG-R04
func TestReassembly(t *testing.T) {
	h, w := solo(t)
	c := listenUDP(t, h, port(unspecified, 2))
	data := make([]byte, 3000)
	for i := range data {
		data[i] = byte(i)
	}
	message := udpMessage(port(addrB, 1), port(addrA, 2), data)
	parts := fragments(1, message, 1000, 2000)
	overlap := ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 992, true, 1), message[992:2000])
	extra := ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 3008, true, 1), message[:8])
	lastAgain := ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 2000, false, 1), message[2000:3000])
	head := ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 0, true, 1), message[:1008])
	inside := ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 1200, true, 1), message[1200:1400])
	atomic := ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 0, false, 1), udpMessage(port(addrB, 1), port(addrA, 2), []byte("atomic")))
	for i, test := range []struct {
		what    string
		packets [][]byte
		want    []string
	}{
		{"in order", [][]byte{parts[0], parts[1], parts[2]}, []string{string(data)}},
		{"out of order", [][]byte{parts[2], parts[0], parts[1]}, []string{string(data)}},
		{"with a repeat", [][]byte{parts[0], parts[0], parts[1], parts[2]}, []string{string(data)}},
		{"with an overlap", [][]byte{parts[0], overlap, parts[1], parts[2]}, nil},
		{"with an overlap first", [][]byte{parts[2], overlap, parts[1], parts[0]}, nil},
		{"with a longer first fragment", [][]byte{parts[1], head, parts[0], parts[2]}, nil},
		{"with a part of a fragment", [][]byte{parts[0], parts[1], inside, parts[2]}, nil},
		{"with a fragment beyond the end", [][]byte{parts[0], parts[2], extra, parts[1]}, nil},
		{"with another last fragment", [][]byte{parts[0], parts[2], lastAgain, parts[1]}, nil},
		{"with the first again after it is whole", [][]byte{parts[0], parts[1], parts[2], parts[0]}, []string{string(data)}},
		{"an atomic fragment between", [][]byte{parts[0], atomic, parts[1], parts[2]}, []string{"atomic", string(data)}},
	} {
		var got []string
		for _, packet := range test.packets {
			// Each case is a datagram of its own.
			packet = bytes.Clone(packet)
			be.PutUint32(packet[ipv6Size+4:], uint32(i))
			if sent := w.answers(h, packet); len(sent) != 0 {
				t.Errorf("%s: sent %x", test.what, sent[0])
			}
		}
		buf := make([]byte, 5000)
		for {
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			n, err := c.Read(buf)
			if os.IsTimeout(err) {
				break
			}
			got = append(got, string(buf[:n]))
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: %d datagrams, want %d", test.what, len(got), len(test.want))
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%s: datagram %d differs", test.what, i)
			}
		}
	}
}

// Spec: RFC 8200, section 4.5, must, FRG-R05
func TestReassemblyTimeout(t *testing.T) {
	for _, first := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h, w := solo(t)
			parts := fragments(1, udpMessage(port(addrB, 1), port(addrA, 2), make([]byte, 3000)), 1000, 2000)
			start := time.Now()
			if first {
				h.DeliverBytes(parts[0])
			}
			h.DeliverBytes(parts[1])
			time.Sleep(59 * time.Second)
			if got := w.logged(); len(got) != 0 {
				t.Errorf("after 59 s: sent %x", got[0].packet())
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			got := w.logged()
			if !first {
				if len(got) != 0 {
					t.Errorf("without the first fragment: sent %x", got[0].packet())
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%v later: %d packets sent, want 1", time.Since(start), len(got))
			}
			wantError(t, "timeout", [][]byte{got[0].packet()}, parts[0], typeTimeExceeded, 1, 0)
		})
	}
}

// TestReassemblyPatience: the last fragment may be late, but not by more than
// 60 s after the first that came; and nothing is sent about fragments that
// overlapped.
//
// Spec: RFC 8200, section 4.5, must, FRG-R05
// Spec: RFC 5722, section 4, MUST, FRG-R03
func TestReassemblyPatience(t *testing.T) {
	for _, test := range []struct {
		name    string
		wait    time.Duration
		overlap bool
		whole   bool
		errors  int
	}{
		{"in time", 59 * time.Second, false, true, 0},
		{"late", 61 * time.Second, false, false, 1},
		{"overlap", 61 * time.Second, true, false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, w := solo(t)
			c := listenUDP(t, h, port(unspecified, 2))
			message := udpMessage(port(addrB, 1), port(addrA, 2), make([]byte, 3000))
			parts := fragments(1, message, 1000, 2000)
			h.DeliverBytes(parts[0])
			time.Sleep(30 * time.Second)
			h.DeliverBytes(parts[1])
			if test.overlap {
				h.DeliverBytes(ip(addrB, addrA, 64, fragment, fragmentHeader(protoUDP, 992, true, 1), message[992:2000]))
			}
			time.Sleep(test.wait - 30*time.Second)
			h.DeliverBytes(parts[2])
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			c.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := c.Read(nil); (err == nil) != test.whole {
				t.Errorf("%s: %v", test.name, err)
			}
			if got := len(w.logged()); got != test.errors {
				t.Errorf("%s: %d packets sent, want %d", test.name, got, test.errors)
			}
		})
	}
}

// TestReassemblyFlood: fragments of datagrams that never become whole do not
// keep others from it.
//
// Spec: RFC 8200, section 5, must, FRG-R07
func TestReassemblyFlood(t *testing.T) {
	h, _ := solo(t)
	c := listenUDP(t, h, port(unspecified, 2))
	message := udpMessage(port(addrB, 1), port(addrA, 2), make([]byte, 3000))
	for id := range uint32(10_000) {
		h.DeliverBytes(fragments(id+10, message, 1000, 2000)[id%3])
	}
	for _, packet := range fragments(1, message, 1000, 2000) {
		h.DeliverBytes(packet)
	}
	if n, err := c.Read(make([]byte, 4000)); n != 3000 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}

// TestTentativeIsSilent: an address that is not assigned does not exist here,
// so nothing that is sent to it is answered.
//
// Spec: RFC 4862, section 5.4, DER, ICM-R10
func TestTentativeIsSilent(t *testing.T) {
	h, w := solo(t)
	tentative := addrA2
	udp := udpMessage(port(addrB, 1), port(tentative, 2), nil)
	for what, packet := range map[string][]byte{
		"closed port":       closedPort(addrB, tentative, nil),
		"Echo Request":      icmpPacket(addrB, tentative, typeEchoRequest, 0, 1, nil),
		"next header":       ip(addrB, tentative, 64, 200, udp),
		"option":            ip(addrB, tentative, 64, destOptions, options(protoUDP, 0x9e, 0), udp),
		"Routing header":    ip(addrB, tentative, 64, routing, routingHeader(protoUDP, 1), udp),
		"fragment length":   ip(addrB, tentative, 64, fragment, fragmentHeader(protoUDP, 0, true, 1), append(udp, 1)),
		"incomplete header": ip(addrB, tentative, 64, fragment, fragmentHeader(destOptions, 0, true, 1), options(protoUDP)),
	} {
		if got := w.answers(h, packet); len(got) != 0 {
			t.Errorf("%s: sent %x", what, got[0])
		}
	}
}

// Spec: RFC 4291, section 2.5.3, must, RTE-R05
func TestLoopbackFromWire(t *testing.T) {
	h, w := solo(t)
	for _, packet := range [][]byte{
		closedPort(netip.IPv6Loopback(), addrA, nil),
		closedPort(addrB, netip.IPv6Loopback(), nil),
	} {
		before := h.Counters().InDiscards
		if got := w.answers(h, packet); len(got) != 0 || h.Counters().InDiscards != before+1 {
			t.Errorf("%x: %d answers, %d discards", packet, len(got), h.Counters().InDiscards-before)
		}
	}
}
