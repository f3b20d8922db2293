package netstack

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	// nicID is the only NIC of a Host's gVisor stack.
	nicID tcpip.NICID = 1

	minMTU          = header.IPv6MinimumMTU
	maxPacket       = header.IPv6MinimumSize + header.IPv6MaximumPayloadSize
	defaultHopLimit = 64
	// defaultErrorRate is what RFC 4443, section 2.4 (f) proposes for a small
	// or medium size device.
	defaultErrorRate = 10
)

// Config says what a Host is. Output, Source and MTU must be set; the zero
// value of every other field is its default.
type Config struct {
	// Name is the interface's name: the zone of link-local addresses.
	Name string
	// MTU is the largest IPv6 packet that the link carries, in octets; 1280
	// at least. SetMTU lowers what is sent, not what is received.
	MTU int
	// GSOMaxSize is the largest IPv6 packet, in octets, that Output takes for
	// cutting into TCP segments (Offload.SegmentSize). 0: every packet fits
	// the MTU and has its checksum.
	GSOMaxSize int
	// HopLimit is the default hop limit of unicast packets; 0: 64.
	HopLimit uint8
	// Output takes every packet that leaves, from many goroutines at once. It
	// must not block, nor call the Host, save that it may deliver into another
	// one. The packet is borrowed for the call: see Packet.Keep.
	//
	// An error, best a syscall.Errno, is what the writer of a datagram gets;
	// it ends a TCP dial in progress, except for ENOBUFS and EAGAIN.
	Output func(p *Packet) error
	// Source chooses the source address for packets to dst, which has no zone. An error, best a
	// syscall.Errno, is what the caller of a socket gets.
	Source func(dst netip.Addr) (netip.Addr, error)
	// ErrorRate is how many ICMPv6 errors are sent per second at most, and
	// ErrorBurst how many at once (RFC 4443, section 2.4 (f)); 0: 10.
	ErrorRate, ErrorBurst int
	// NoUnreachables: send no Destination Unreachable messages (RFC 4443,
	// section 3.1, wants them switchable).
	NoUnreachables bool
	// MaxPathMTUs is how many path MTU estimates are kept at most, one for
	// each destination; 0: 4096. Of more, that which was lowered longest ago
	// is forgotten.
	MaxPathMTUs int
	// PathMTULifetime is how long after it was lowered an estimate is
	// forgotten, so that larger packets are tried again (RFC 8201, section
	// 5.3): 5 minutes at least; 0: 10 minutes.
	PathMTULifetime time.Duration
	// Now is the clock of the path MTU estimates; nil: time.Now.
	Now func() time.Time
	// Progress, if not nil, is told that the peer of a TCP connection has
	// acknowledged new data or sent new data in order: a proof that packets
	// from local to remote of this Packet.Flow arrive there (RFC 4861, section
	// 7.3.1). It is called only when somebody wants to know, see
	// Host.WantProgress, with locks held: it must neither block nor call the
	// Host.
	Progress func(local, remote [16]byte, flow uint32)
	// NoFlowLabel leaves the flow label at 0. Else it is a keyed hash of the
	// flow (RFC 8504, section 5.1; RFC 6437, section 3).
	NoFlowLabel bool
	// WithoutTCP leaves TCP out. gVisor's TCP keeps goroutines that sleep in a
	// way that testing/synctest does not know, so that a bubble with TCP in
	// it is never idle.
	WithoutTCP bool
}

// Host is IPv6 and what is above it on one interface. All its methods may be
// called by many goroutines at once, except from within Config.Output.
type Host struct {
	cfg      Config
	stack    *stack.Stack
	network  stack.NetworkEndpoint
	mtu      atomic.Uint32
	hops     atomic.Uint32 // default hop limit
	hashSeed maphash.Seed  // of flow labels, which everybody sees, and of caches
	// fragmentSeed is that of fragmentIDs.
	fragmentSeed maphash.Seed
	counters     counters
	overrun      uint64 // the datagrams dropped when Overrun was called last
	out          gate   // to Config.Output
	// closedWindows is how many TCP connections offer no window.
	closedWindows atomic.Int32
	writing       atomic.Int32  // TCP connections in Write
	wantProgress  atomic.Uint32 // see WantProgress

	paths       pathMTUs
	echoes      echoes
	fragmentIDs fragmentIDs
	groupFrames groupFrames
	conns       connCache
	tells       sync.WaitGroup // goroutines in tellMTU

	mu     sync.RWMutex
	closed bool
	addrs  map[[16]byte]struct{}
	groups map[[16]byte]int // joins by JoinGroup
	flows  flowTable
}

// New makes a Host without addresses.
func New(cfg Config) (*Host, error) {
	if cfg.Output == nil || cfg.Source == nil {
		return nil, fmt.Errorf("netstack: Config.Output and Config.Source must be set")
	}
	if cfg.MTU < minMTU || cfg.MTU > maxPacket {
		return nil, fmt.Errorf("netstack: MTU %d is not within %d and %d", cfg.MTU, minMTU, maxPacket)
	}
	if cfg.GSOMaxSize != 0 && cfg.GSOMaxSize < cfg.MTU {
		return nil, fmt.Errorf("netstack: GSOMaxSize %d is less than the MTU", cfg.GSOMaxSize)
	}
	if cfg.HopLimit == 0 {
		cfg.HopLimit = defaultHopLimit
	}
	if cfg.ErrorRate == 0 {
		cfg.ErrorRate = defaultErrorRate
	}
	if cfg.ErrorBurst == 0 {
		cfg.ErrorBurst = defaultErrorRate
	}
	h := &Host{
		cfg:          cfg,
		hashSeed:     maphash.MakeSeed(),
		fragmentSeed: maphash.MakeSeed(),
		out:          makeGate(),
		addrs:        make(map[[16]byte]struct{}),
		groups:       make(map[[16]byte]int),
		flows:        makeFlowTable(),
	}
	h.mtu.Store(uint32(cfg.MTU))
	if err := h.paths.configure(&h.cfg, &h.counters.pathMTUsEvicted); err != nil {
		return nil, err
	}
	if err := h.start(); err != nil {
		return nil, fmt.Errorf("netstack: %w", err)
	}
	return h, nil
}

// start makes the gVisor stack: one NIC without link resolution, and with
// gVisor's own Neighbor Discovery, DAD, autoconfiguration and MLD off, which
// they are when ipv6.Options is empty.
func (h *Host) start() error {
	transports := []stack.TransportProtocolFactory{udp.NewProtocol, icmp.NewProtocol6}
	if !h.cfg.WithoutTCP {
		transports = append(transports, tcp.NewProtocol)
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv6.NewProtocolWithOptions(ipv6.Options{})},
		TransportProtocols: transports,
		HandleLocal:        true,
	})
	h.stack = s
	l := &link{host: h}
	if err := s.CreateNICWithOptions(nicID, l, stack.NICOptions{Name: h.cfg.Name, QDisc: l}); err != nil {
		s.Destroy()
		return errnoOf(err)
	}
	// Without gateways: the next hop is chosen below, for each packet. A
	// connected gVisor socket would keep an old gateway for life.
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv6EmptySubnet, NIC: nicID}})
	network, err := s.GetNetworkEndpoint(nicID, ipv6.ProtocolNumber)
	if err != nil {
		s.Destroy()
		return errnoOf(err)
	}
	h.network = network
	s.SetICMPLimit(like(s.ICMPLimit(), float64(h.cfg.ErrorRate)))
	s.SetICMPBurst(h.cfg.ErrorBurst)
	h.SetHopLimit(h.cfg.HopLimit)
	if !h.cfg.WithoutTCP {
		h.tuneTCP()
	}
	return nil
}

// like gives v the type of sample: rate.Limit, without importing its package.
func like[T ~float64](sample T, v float64) T { return T(v) }

// Close ends every socket (TCP connections with a reset), stops gVisor and
// returns when no goroutine of the Host is left. Afterwards Config.Output is
// not called any more and what is delivered is dropped.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	all := h.flows.all()
	h.mu.Unlock()
	for _, e := range all {
		e.shut()
	}
	h.stack.Destroy()
	h.out.shut()
	h.tells.Wait()
	return nil
}

// AddAddress makes a an address of this host, from now on: packets to it are
// taken and sockets may use it. It sends nothing. EEXIST if it is one already,
// EINVAL if it is not an IPv6 unicast address.
func (h *Host) AddAddress(a netip.Addr) error {
	a = a.WithZone("")
	if !isUnicast(a) {
		return fmt.Errorf("netstack: add %v: %w", a, syscall.EINVAL)
	}
	key := a.As16()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fmt.Errorf("netstack: add %v: %w", a, net.ErrClosed)
	}
	if _, ok := h.addrs[key]; ok {
		return fmt.Errorf("netstack: add %v: %w", a, syscall.EEXIST)
	}
	err := h.stack.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
		Protocol:          ipv6.ProtocolNumber,
		AddressWithPrefix: tcpip.AddrFrom16(key).WithPrefix(),
	}, stack.AddressProperties{
		// With no primary address gVisor's own source selection is empty: an
		// oversight fails instead of using a wrong source.
		PEB: stack.NeverPrimaryEndpoint,
	})
	if err != nil {
		return fmt.Errorf("netstack: add %v: %w", a, errnoOf(err))
	}
	h.addrs[key] = struct{}{}
	return nil
}

// RemoveAddress takes a away. With abort its TCP connections are reset first
// (a RST leaves, their users see ECONNABORTED). Without, no packet leaves: its
// connections are silent until a is added again, when they go on, or until
// AbortConnections. Listeners and UDP sockets stay in any case. EADDRNOTAVAIL
// if a is not an address of this host.
func (h *Host) RemoveAddress(a netip.Addr, abort bool) error {
	a = a.WithZone("")
	if !h.HasAddress(a.As16()) {
		return fmt.Errorf("netstack: remove %v: %w", a, syscall.EADDRNOTAVAIL)
	}
	if abort {
		h.AbortConnections(a)
	}
	key := a.As16()
	h.mu.Lock()
	delete(h.addrs, key)
	err := h.stack.RemoveAddress(nicID, tcpip.AddrFrom16(key))
	h.mu.Unlock()
	if err != nil {
		return fmt.Errorf("netstack: remove %v: %w", a, errnoOf(err))
	}
	if abort {
		// What came to be between the two: no packet leaves for these.
		h.AbortConnections(a)
	}
	return nil
}

// AbortConnections ends every TCP connection whose local address is a. While a
// is an address of this host a RST leaves for each, else nothing does.
func (h *Host) AbortConnections(a netip.Addr) {
	h.mu.RLock()
	conns := h.flows.connections(a.As16())
	h.mu.RUnlock()
	for _, c := range conns {
		c.abort()
	}
}

// HasAddress reports whether a is an address of this host.
func (h *Host) HasAddress(a [16]byte) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	_, ok := h.addrs[a]
	return ok
}

// JoinGroup makes the host take packets to group until LeaveGroup was called
// as often. It sends nothing. The all-nodes group and the solicited-node groups
// of its addresses are always joined.
func (h *Host) JoinGroup(group netip.Addr) error {
	group = group.WithZone("")
	if !group.Is6() || !group.IsMulticast() {
		return fmt.Errorf("netstack: join %v: %w", group, syscall.EINVAL)
	}
	key := group.As16()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fmt.Errorf("netstack: join %v: %w", group, net.ErrClosed)
	}
	if err := h.stack.JoinGroup(ipv6.ProtocolNumber, nicID, tcpip.AddrFrom16(key)); err != nil {
		return fmt.Errorf("netstack: join %v: %w", group, errnoOf(err))
	}
	h.groups[key]++
	return nil
}

// LeaveGroup undoes one JoinGroup. EADDRNOTAVAIL if there is none to undo.
func (h *Host) LeaveGroup(group netip.Addr) error {
	group = group.WithZone("")
	key := group.As16()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.groups[key] == 0 {
		return fmt.Errorf("netstack: leave %v: %w", group, syscall.EADDRNOTAVAIL)
	}
	if h.groups[key]--; h.groups[key] == 0 {
		delete(h.groups, key)
	}
	if err := h.stack.LeaveGroup(ipv6.ProtocolNumber, nicID, tcpip.AddrFrom16(key)); err != nil {
		return fmt.Errorf("netstack: leave %v: %w", group, errnoOf(err))
	}
	return nil
}

// inGroup reports whether packets to group are taken.
func (h *Host) inGroup(group [16]byte) bool {
	in, err := h.stack.IsInGroup(nicID, tcpip.AddrFrom16(group))
	return err == nil && in
}

// SetHopLimit sets the default hop limit of unicast packets. 0 is ignored:
// in a Router Advertisement it means "unspecified".
func (h *Host) SetHopLimit(n uint8) {
	if n == 0 {
		return
	}
	h.hops.Store(uint32(n))
	option := tcpip.DefaultTTLOption(n)
	h.stack.SetNetworkProtocolOption(ipv6.ProtocolNumber, &option)
}

func (h *Host) hopLimit() uint8 { return uint8(h.hops.Load()) }

// SetMTU sets the largest IPv6 packet that is sent: 1280 at least, Config.MTU
// at most, else EINVAL. When it falls, established TCP connections are told.
// Path MTU estimates that are not below it are forgotten.
func (h *Host) SetMTU(mtu int) error {
	if mtu < minMTU || mtu > h.cfg.MTU {
		return fmt.Errorf("netstack: MTU %d: %w", mtu, syscall.EINVAL)
	}
	old := int(h.mtu.Swap(uint32(mtu)))
	h.paths.keepBelow(mtu)
	if mtu >= old {
		return nil
	}
	h.mu.RLock()
	keys := h.flows.tcpKeys()
	h.mu.RUnlock()
	for _, k := range keys {
		h.tellMTU(k, mtu)
	}
	return nil
}

// source asks Config.Source, and checks its answer.
func (h *Host) source(dst netip.Addr) (netip.Addr, error) {
	src, err := h.cfg.Source(dst)
	if err != nil {
		return src, errnoFrom(err)
	}
	src = src.WithZone("")
	if !isUnicast(src) {
		return src, syscall.EADDRNOTAVAIL
	}
	return src, nil
}

// zoned returns a with the interface's name as its zone if its scope is the
// link or the interface.
func (h *Host) zoned(a netip.Addr) netip.Addr {
	if needsZone(a) {
		return a.WithZone(h.cfg.Name)
	}
	return a
}

// unzoned checks an address that the caller of a socket gave and removes its
// zone, which must be none or the interface's name.
func (h *Host) unzoned(a netip.Addr) (netip.Addr, error) {
	switch {
	case !a.IsValid():
		return netip.IPv6Unspecified(), nil
	case !a.Is6() || a.Is4In6():
		return a, syscall.EAFNOSUPPORT
	case a.Zone() != "" && a.Zone() != h.cfg.Name:
		return a, syscall.EADDRNOTAVAIL
	}
	return a.WithZone(""), nil
}

func needsZone(a netip.Addr) bool {
	return a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsInterfaceLocalMulticast()
}

// isUnicast reports whether a may be an address of a host.
func isUnicast(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

var be = binary.BigEndian
