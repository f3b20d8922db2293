package conformance

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// programs are the sockets of a host that join groups, by their number in the
// case, and what each of them is in.
type programs struct {
	namespace namespace
	iface     int // the index of the interface
	sockets   map[int]int
	member    map[membership]bool
	// anycast is the socket of each anycast address: to the kernel, it is a
	// socket that has one.
	anycast map[netip.Addr]int
}

type membership struct {
	socket int
	group  netip.Addr
}

func newPrograms(n namespace, iface string) (*programs, error) {
	p := &programs{namespace: n, sockets: map[int]int{}, member: map[membership]bool{}, anycast: map[netip.Addr]int{}}
	return p, n.do(func() error {
		i, err := net.InterfaceByName(iface)
		if err == nil {
			p.iface = i.Index
		}
		return err
	})
}

// open opens a socket inside.
func (p *programs) open() (fd int, err error) {
	err = p.namespace.do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	return fd, err
}

func (p *programs) close() (err error) {
	for _, fd := range p.sockets {
		err = errors.Join(err, unix.Close(fd))
	}
	for _, fd := range p.anycast {
		err = errors.Join(err, unix.Close(fd))
	}
	return err
}

// group carries out join, leave and filter.
func (p *programs) group(c Command) error {
	fd, ok := p.sockets[c.Socket]
	if !ok {
		var err error
		if fd, err = p.open(); err != nil {
			return err
		}
		p.sockets[c.Socket] = fd
	}
	m := membership{c.Socket, c.Addr}
	switch {
	case c.Op == "join":
		p.member[m] = true
		return p.set(fd, unix.IPV6_JOIN_GROUP, c.Addr)
	case c.Op == "leave", c.Mode == "include" && len(c.Sources) == 0:
		if c.Op == "filter" && !p.member[m] {
			return nil
		}
		delete(p.member, m)
		return p.set(fd, unix.IPV6_LEAVE_GROUP, c.Addr)
	}
	if !p.member[m] {
		if err := p.enter(fd, c); err != nil {
			return err
		}
		p.member[m] = true
	}
	return p.filter(fd, c)
}

// enter makes a socket a member, which it must be for a filter, with one that
// is nearest to it. What the kernel says of that it says a few milliseconds
// later, of the whole filter.
func (p *programs) enter(fd int, c Command) error {
	if c.Mode == "exclude" {
		return p.set(fd, unix.IPV6_JOIN_GROUP, c.Addr)
	}
	request := slices.Concat(p.request(c.Addr), sockaddr(c.Sources[0])) // struct group_source_req
	return setOption(fd, unix.MCAST_JOIN_SOURCE_GROUP, request)
}

// filter sets the whole filter of a member.
func (p *programs) filter(fd int, c Command) error {
	mode := uint32(unix.MCAST_INCLUDE)
	if c.Mode == "exclude" {
		mode = unix.MCAST_EXCLUDE
	}
	request := p.request(c.Addr) // struct group_filter
	request = binary.NativeEndian.AppendUint32(request, mode)
	request = binary.NativeEndian.AppendUint32(request, uint32(len(c.Sources)))
	for _, s := range c.Sources {
		request = append(request, sockaddr(s)...)
	}
	err := setOption(fd, unix.MCAST_MSFILTER, request)
	if errors.Is(err, unix.ENOBUFS) {
		return cannot("the kernel takes no more sources than net.ipv6.mld_max_msf says, which is for the whole machine")
	}
	return err
}

// request is what struct group_source_req and struct group_filter begin with:
// an index, and an address that is aligned to a word.
func (p *programs) request(group netip.Addr) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, uint32(p.iface)), append(make([]byte, strconv.IntSize/8-4), sockaddr(group)...)...)
}

// sockaddr is an address as a struct sockaddr_storage.
func sockaddr(a netip.Addr) []byte {
	const size, atAddr = 128, 8
	b := make([]byte, size)
	binary.NativeEndian.PutUint16(b, unix.AF_INET6)
	octets := a.As16()
	copy(b[atAddr:], octets[:])
	return b
}

func setOption(fd, option int, value []byte) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptString(fd, unix.IPPROTO_IPV6, option, string(value)))
}

// set is an option whose value is an address on the interface.
func (p *programs) set(fd, option int, a netip.Addr) error {
	m := &unix.IPv6Mreq{Multiaddr: a.As16(), Interface: uint32(p.iface)}
	return os.NewSyscallError("setsockopt", unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, option, m))
}

// addAnycast has a socket take an anycast address.
func (p *programs) addAnycast(a netip.Addr) error {
	fd, err := p.open()
	if err != nil {
		return err
	}
	if err := p.set(fd, unix.IPV6_JOIN_ANYCAST, a); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	p.anycast[a] = fd
	return nil
}

func (p *programs) hasAnycast(a netip.Addr) bool {
	_, ok := p.anycast[a]
	return ok
}

// delAnycast ends what addAnycast began.
func (p *programs) delAnycast(a netip.Addr) error {
	fd := p.anycast[a]
	delete(p.anycast, a)
	return unix.Close(fd)
}
