package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/conformance/hostline"
	"github.com/tapstack/tapstack/nd"
)

// nic is the only one.
const nic tcpip.NICID = 1

// host is a gVisor stack with one interface.
type host struct {
	stack  *stack.Stack
	tables *tables
	routes *routes
	// sockets are those that join groups, by the number of the command.
	sockets map[int]tcpip.Endpoint
}

// Hello implements hostline.Host.
func (*host) Hello() hostline.Hello {
	return hostline.Hello{
		Name: "gVisor " + version(),
		Can: []conformance.Capability{
			conformance.CanUpDown, conformance.CanAddress, conformance.CanGroup, conformance.CanRoute, conformance.CanNeighbor,
			conformance.CanLinkAddr, conformance.CanMTU, conformance.CanEcho, conformance.CanSend, conformance.CanICMP,
			conformance.CanFragment, conformance.CanPathMTU, conformance.CanTCP, conformance.CanView, conformance.CanForget, conformance.CanMLDv2,
		},
		Profiles: []string{"rfc4862"},
	}
}

// version is that of the module that is linked.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == "gvisor.dev/gvisor" {
				return m.Version
			}
		}
	}
	return "of an unknown version"
}

// config is what the knobs of a setup stand for.
type config struct {
	ipv6 ipv6.Options
	nud  stack.NUDConfigurations
	mld  ipv6.MLDVersion // 0: the default
}

func defaults() (config, error) {
	seed := make([]byte, 16)
	if _, err := rand.Read(seed); err != nil {
		return config{}, err
	}
	c := config{
		ipv6: ipv6.Options{
			NDPConfigs:       ipv6.DefaultNDPConfigurations(),
			AutoGenLinkLocal: true,
			TempIIDSeed:      seed,
			MLD:              ipv6.MLDOptions{Enabled: true},
			DADConfigs:       stack.DefaultDADConfigurations(),
		},
		nud: stack.DefaultNUDConfigurations(),
	}
	c.ipv6.NDPConfigs.AutoGenTempGlobalAddresses = false
	return c, nil
}

// set sets one knob, or says that gVisor does not have it.
func (c *config) set(k conformance.Setting) error {
	switch k.Name + "=" + k.Value {
	// What gVisor always does.
	case "iid=eui64", "temp_addresses=off", "enhanced_dad=on", "redirects=off":
		return nil
	case "temp_addresses=on":
		c.ipv6.NDPConfigs.AutoGenTempGlobalAddresses = true
		return nil
	case "iid=stable":
		c.ipv6.NDPConfigs.AutoGenAddressConflictRetries = 3 // IDGEN_RETRIES
		secret := make([]byte, 16)
		c.ipv6.OpaqueIIDOpts = ipv6.OpaqueInterfaceIdentifierOptions{
			NICNameFromID: func(tcpip.NICID, string) string { return "tap0" }, SecretKey: secret,
		}
		_, err := rand.Read(secret)
		return err
	case "mld_version=1":
		c.mld = ipv6.MLDVersion1
		return nil
	case "mld_version=2":
		c.mld = ipv6.MLDVersion2
		return nil
	}
	switch k.Name {
	case "dad_transmits":
		n, err := strconv.ParseUint(k.Value, 10, 8)
		c.ipv6.DADConfigs.DupAddrDetectTransmits = uint8(n)
		return err
	case "retrans_timer":
		d, err := time.ParseDuration(k.Value)
		c.ipv6.DADConfigs.RetransmitTimer, c.nud.RetransmitTimer = d, d
		return err
	}
	return cannot("gVisor has no %s=%s", k.Name, k.Value)
}

func cannot(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, conformance.ErrNotApplicable)...)
}

// Setup implements hostline.Host.
func (h *host) Setup(s hostline.Setup) (nd.LinkAddr, error) {
	if s.Link != "tap" {
		return nd.LinkAddr{}, cannot("gVisor is put on a TAP here, not on a %s", s.Link)
	}
	c, err := defaults()
	if err != nil {
		return nd.LinkAddr{}, err
	}
	for _, k := range s.Knobs {
		if err := c.set(k); err != nil {
			return nd.LinkAddr{}, err
		}
	}
	fd, err := openTAP(s.Iface)
	if err != nil {
		return nd.LinkAddr{}, err
	}
	link, err := fdbased.New(&fdbased.Options{
		FDs: []int{fd}, MTU: 1500, EthernetHeader: true, Address: tcpip.LinkAddress(s.LinkAddr[:]),
	})
	if err != nil {
		return nd.LinkAddr{}, err
	}
	return s.LinkAddr, h.open(link, c)
}

// open makes the stack, with its interface down.
func (h *host) open(link stack.LinkEndpoint, c config) error {
	h.sockets = map[int]tcpip.Endpoint{}
	h.tables = newTables()
	h.routes = newRoutes(func(table []tcpip.Route) { h.stack.SetRouteTable(table) })
	c.ipv6.NDPDisp = &dispatcher{tables: h.tables, routes: h.routes}
	h.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv6.NewProtocolWithOptions(c.ipv6)},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol6},
		NUDConfigs:         c.nud,
		HandleLocal:        true,
	})
	if err := h.stack.CreateNICWithOptions(nic, link, stack.NICOptions{Name: "tap0", Disabled: true}); err != nil {
		return failure(err)
	}
	if c.mld == 0 {
		return nil
	}
	e, err := h.stack.GetNetworkEndpoint(nic, ipv6.ProtocolNumber)
	if err != nil {
		return failure(err)
	}
	m, ok := e.(ipv6.MLDEndpoint)
	if !ok {
		return cannot("gVisor has no choice of MLD's version")
	}
	m.SetMLDVersion(c.mld)
	return nil
}

// openTAP attaches to a TAP that is there.
func openTAP(name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return -1, errors.Join(fmt.Errorf("attach to %s: %w", name, err), unix.Close(fd))
	}
	return fd, nil
}

// failure is an error of gVisor, or nil.
func failure(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.String())
}

// Do implements hostline.Host.
func (h *host) Do(c conformance.Command) error {
	addr := address(c.Addr)
	switch c.Op {
	case "up":
		return failure(h.stack.EnableNIC(nic))
	case "down":
		return failure(h.stack.DisableNIC(nic))
	case "add":
		return h.add(c)
	case "del":
		h.routes.remove(c.Addr)
		return failure(h.stack.RemoveAddress(nic, addr))
	case "join", "leave":
		return h.group(c)
	case "route-add":
		h.routes.add(commanded{c.Prefix, c.Via}, c.Prefix, c.Via, byHand)
		return nil
	case "route-del":
		if !h.routes.remove(commanded{c.Prefix, c.Via}) {
			return errors.New("there is no such route")
		}
		return nil
	case "neighbor-add":
		return failure(h.stack.AddStaticNeighbor(nic, ipv6.ProtocolNumber, addr, tcpip.LinkAddress(c.LinkAddr[:])))
	case "neighbor-del":
		return failure(h.stack.RemoveNeighbor(nic, ipv6.ProtocolNumber, addr))
	case "flush":
		return h.flush()
	case "mac":
		return failure(h.stack.SetNICAddress(nic, tcpip.LinkAddress(c.LinkAddr[:])))
	case "mtu":
		return failure(h.stack.SetNICMTU(nic, uint32(c.Size)))
	case "send":
		return h.send(c)
	}
	return cannot("gVisor has no %s", c.Op)
}

// commanded is the owner of a route that a command added.
type commanded struct {
	prefix netip.Prefix
	via    netip.Addr
}

// add adds an address, and the route to its prefix.
func (h *host) add(c conformance.Command) error {
	if c.Mode != "" || c.Valid != 0 || c.Preferred != 0 {
		return cannot("an address of gVisor has no such choice, and its owner ends its lifetimes")
	}
	a := c.Prefix.Addr()
	err := h.stack.AddProtocolAddress(nic, tcpip.ProtocolAddress{
		Protocol:          ipv6.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(a), PrefixLen: c.Prefix.Bits()},
	}, stack.AddressProperties{Disp: h.tables.watch(a)})
	if err == nil && !a.IsLinkLocalUnicast() && c.Prefix.Bits() < 128 {
		h.routes.add(a, c.Prefix.Masked(), netip.Addr{}, byHand)
	}
	return failure(err)
}

// flush forgets the neighbors, but those that were entered by hand.
func (h *host) flush() error {
	neighbors, err := h.stack.Neighbors(nic, ipv6.ProtocolNumber)
	for _, n := range neighbors {
		if n.State != stack.Static && err == nil {
			err = h.stack.RemoveNeighbor(nic, ipv6.ProtocolNumber, n.Addr)
		}
	}
	return failure(err)
}

// group has a socket join a group or leave it.
func (h *host) group(c conformance.Command) error {
	s := h.sockets[c.Socket]
	if s == nil {
		var err tcpip.Error
		if s, err = h.stack.NewEndpoint(udp.ProtocolNumber, ipv6.ProtocolNumber, new(waiter.Queue)); err != nil {
			return failure(err)
		}
		h.sockets[c.Socket] = s
	}
	h.tables.joined(c.Addr)
	m := tcpip.MembershipOption{NIC: nic, MulticastAddr: address(c.Addr)}
	if c.Op == "join" {
		return failure(s.SetSockOpt((*tcpip.AddMembershipOption)(&m)))
	}
	return failure(s.SetSockOpt((*tcpip.RemoveMembershipOption)(&m)))
}

// send sends a datagram of a program.
func (h *host) send(c conformance.Command) error {
	s, err := h.stack.NewEndpoint(udp.ProtocolNumber, ipv6.ProtocolNumber, new(waiter.Queue))
	if err != nil {
		return failure(err)
	}
	defer s.Close()
	local := tcpip.FullAddress{NIC: nic, Addr: address(c.Src), Port: c.SrcPort}
	if err := s.Bind(local); err != nil {
		return failure(err)
	}
	remote := tcpip.FullAddress{NIC: nic, Addr: address(c.Addr), Port: c.DstPort}
	_, err = s.Write(bytes.NewReader(make([]byte, c.Size)), tcpip.WriteOptions{To: &remote})
	return failure(err)
}

// address is an address of gVisor; none of none.
func address(a netip.Addr) tcpip.Address {
	if !a.IsValid() {
		return tcpip.Address{}
	}
	return tcpip.AddrFrom16(a.As16())
}

// addr is the other way.
func addr(a tcpip.Address) netip.Addr {
	if a.BitLen() == 0 {
		return netip.Addr{}
	}
	return netip.AddrFrom16(a.As16())
}
