package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
)

// ICMPv6 types.
const (
	typeEchoRequest    = 128
	typeEchoReply      = 129
	typeNeighborAdvert = 136
)

// Ping sends n Echo Requests to the host, each when the one before is
// answered, and returns the round trips in microseconds.
func (*Node) Ping(n int, trips *[]float64) error {
	s, err := openICMP(typeEchoReply)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.Connect(s, &unix.SockaddrInet6{Addr: host.Own.As16()}); err != nil {
		return err
	}
	request := make([]byte, 64)
	request[0] = typeEchoRequest
	*trips, err = roundTrips(n, s, s, func(k int) []byte {
		binary.BigEndian.PutUint16(request[6:], uint16(k))
		return request
	}, func(k int, reply []byte) bool {
		return len(reply) == len(request) && binary.BigEndian.Uint16(reply[6:]) == uint16(k)
	})
	return err
}

// Solicit does the same with Neighbor Solicitations for the host's address.
func (*Node) Solicit(n int, trips *[]float64) error {
	in, err := openICMP(typeNeighborAdvert)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := openDevice(host.DeviceName)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	frame := solicitation(host.Peer, host.PeerLinkAddr)
	target := host.Own.As16()
	*trips, err = roundTrips(n, out, in, func(int) []byte { return frame }, func(_ int, reply []byte) bool {
		return len(reply) >= 24 && [16]byte(reply[8:24]) == target
	})
	return err
}

// roundTrips writes a request and reads until its answer came, n times.
func roundTrips(n, out, in int, request func(int) []byte, answers func(int, []byte) bool) ([]float64, error) {
	trips := make([]float64, 0, n)
	buf := make([]byte, 2048)
	for k := range n {
		began := time.Now()
		if _, err := unix.Write(out, request(k)); err != nil {
			return nil, os.NewSyscallError("write", err)
		}
		for {
			got, err := unix.Read(in, buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if errors.Is(err, unix.EAGAIN) {
				break // lost: it is in no percentile
			}
			if err != nil {
				return nil, os.NewSyscallError("read", err)
			}
			if answers(k, buf[:got]) {
				trips = append(trips, float64(time.Since(began))/float64(time.Microsecond))
				break
			}
		}
	}
	if len(trips) < n/2 {
		return nil, fmt.Errorf("%d of %d requests were not answered", n-len(trips), n)
	}
	return trips, nil
}

// openICMP opens a raw socket for one type of ICMPv6 messages.
func openICMP(kind int) (int, error) {
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	var filter unix.ICMPv6Filter
	for k := range filter.Data {
		filter.Data[k] = ^uint32(0)
	}
	filter.Data[kind/32] &^= 1 << (kind % 32)
	err = errors.Join(
		unix.SetsockoptICMPv6Filter(s, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter),
		unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}),
	)
	if err != nil {
		unix.Close(s)
		return -1, err
	}
	return s, nil
}

// openDevice opens a socket that sends frames on an interface.
func openDevice(name string) (int, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return -1, err
	}
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(s, &unix.SockaddrLinklayer{Ifindex: device.Index}); err != nil {
		unix.Close(s)
		return -1, os.NewSyscallError("bind", err)
	}
	return s, nil
}

// Flood sends solicitations for a while, and counts the answers.
func (n *Node) Flood(args FloodArgs, reply *FloodReply) error {
	s, err := openDevice(args.Device)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	frames := make([][]byte, args.Sources)
	for k := range frames {
		frames[k] = solicitation(source(k))
	}
	var sent atomic.Int64
	var stop atomic.Bool
	var sender sync.WaitGroup
	sender.Go(func() {
		began := time.Now()
		for k := 0; !stop.Load(); k++ {
			if args.Rate > 0 && k%pace == 0 {
				time.Sleep(time.Duration(k)*time.Second/time.Duration(args.Rate) - time.Since(began))
			}
			if _, err := unix.Write(s, frames[k%len(frames)]); err == nil {
				sent.Add(1)
			}
		}
	})
	began := time.Now()
	reply.Answered = perSecond(args.For, func() int64 {
		var packets int64
		err = errors.Join(err, n.Packets(struct{}{}, &packets))
		return packets
	})
	reply.Sent = float64(sent.Load()) / time.Since(began).Seconds()
	stop.Store(true)
	sender.Wait()
	return err
}

// pace is how many solicitations are sent in one go.
const pace = 64

// source is the k-th node that solicits.
func source(k int) (netip.Addr, [6]byte) {
	if k == 0 {
		return host.Peer, host.PeerLinkAddr
	}
	a, l := host.Peer.As16(), [6]byte{2, 1}
	binary.BigEndian.PutUint32(a[8:], uint32(k))
	binary.BigEndian.PutUint32(l[2:], uint32(k))
	return netip.AddrFrom16(a), l
}

// solicitation is the frame of a Neighbor Solicitation for the host's address
// (RFC 4861, section 4.3), as for address resolution.
func solicitation(from netip.Addr, l [6]byte) []byte {
	target := host.Own.As16()
	group := [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]}
	src := from.As16()
	message := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target[:]...)
	message = append(append(message, 1, 1), l[:]...)
	pseudo := append(append(src[:], group[:]...), 0, 0, 0, byte(len(message)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(message[2:], ^onesSum(append(pseudo, message...)))

	frame := append([]byte{0x33, 0x33}, group[12:]...)
	frame = append(append(frame, l[:]...), 0x86, 0xdd)
	frame = append(frame, 0x60, 0, 0, 0, 0, byte(len(message)), unix.IPPROTO_ICMPV6, 255)
	frame = append(append(frame, src[:]...), group[:]...)
	return append(frame, message...)
}

// onesSum is the one's complement sum of RFC 1071 of an even number of octets.
func onesSum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// Packets is how many packets have arrived on the interface so far.
func (*Node) Packets(_ struct{}, count *int64) error {
	table, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		name, columns, _ := strings.Cut(strings.TrimSpace(line), ":")
		if fields := strings.Fields(columns); name == host.DeviceName && len(fields) > 1 {
			*count, err = strconv.ParseInt(fields[1], 10, 64)
			return err
		}
	}
	return fmt.Errorf("/proc/self/net/dev does not list %s", host.DeviceName)
}
