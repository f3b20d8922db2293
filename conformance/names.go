package conformance

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/tapstack/tapstack/nd"
)

// HostLinkAddr is the link-layer address of a host that can be given one.
var HostLinkAddr = nd.LinkAddr{2, 0, 0, 0, 0, 1}

// Groups that have names in scenarios.
var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
	mldRouters = netip.MustParseAddr("ff02::16")
	linkLocals = netip.MustParsePrefix("fe80::/64")
)

// node is a neighbor that the tester plays, or a node beyond a router.
type node struct {
	name     string // "TN1"
	linkAddr nd.LinkAddr
	iid      uint64
	router   bool
	far      bool
}

var nodeName = regexp.MustCompile(`^(TN|TR|FAR)([1-9])$`)

// nodeByName returns the node of the conventions in the documentation.
func nodeByName(name string) (node, bool) {
	m := nodeName.FindStringSubmatch(name)
	if m == nil {
		return node{}, false
	}
	n := m[2][0] - '0'
	switch m[1] {
	case "TN":
		return node{name: name, linkAddr: nd.LinkAddr{2, 0, 0, 0, 1, n}, iid: 0xa0 + uint64(n)}, true
	case "TR":
		return node{name: name, linkAddr: nd.LinkAddr{2, 0, 0, 0, 2, n}, iid: 0xb0 + uint64(n), router: true}, true
	}
	router, _ := nodeByName("TR1")
	return node{name: name, linkAddr: router.linkAddr, iid: uint64(n), far: true}, true
}

// in returns the node's address in a prefix of 64 bits.
func (n node) in(p netip.Prefix) netip.Addr { return withIID(p, n.iid) }

// linkLocal returns the node's link-local address; that of a node beyond a
// router is its global one.
func (n node) linkLocal() netip.Addr {
	if n.far {
		return n.in(netip.MustParsePrefix("2001:db8:f::/64"))
	}
	return n.in(linkLocals)
}

// owns reports whether a is one of the addresses that the node has.
func (n node) owns(a netip.Addr) bool {
	if n.far {
		return a == n.linkLocal()
	}
	b := a.As16()
	if binary.BigEndian.Uint64(b[8:]) != n.iid {
		return false
	}
	for k := range 10 {
		if p := numberedPrefix(byte(k)); p.Contains(a) {
			return true
		}
	}
	return false
}

// numberedPrefix is fe80::/64 for 0, and P1 to P9.
func numberedPrefix(n byte) netip.Prefix {
	if n == 0 {
		return linkLocals
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, n}), 64)
}

func withIID(p netip.Prefix, iid uint64) netip.Addr {
	b := p.Addr().As16()
	binary.BigEndian.PutUint64(b[8:], iid)
	return netip.AddrFrom16(b)
}

// names resolves what a scenario writes instead of addresses.
type names struct {
	host nd.LinkAddr
	// vars are the values of let and of captures, in the form that fields
	// have. An unknown one is an error, or, while a scenario is only read,
	// anything.
	vars    map[string]string
	reading bool
	// target is what "sn" without an argument is made of.
	target netip.Addr
}

func newNames(host nd.LinkAddr) *names { return &names{host: host, vars: map[string]string{}} }

var groupNames = map[string]netip.Addr{"all-nodes": allNodes, "all-routers": allRouters, "mld-routers": mldRouters}

// addr resolves an address.
func (ns *names) addr(s string) (netip.Addr, error) {
	if name, ok := strings.CutPrefix(s, "$"); ok {
		v, ok := ns.vars[name]
		if !ok && ns.reading {
			return netip.IPv6Unspecified(), nil
		}
		if !ok {
			return netip.Addr{}, fmt.Errorf("$%s has no value yet", name)
		}
		return netip.ParseAddr(v)
	}
	if a, ok := groupNames[s]; ok {
		return a, nil
	}
	if s == "sn" && ns.target.IsValid() {
		return nd.SolicitedNode(ns.target), nil
	}
	if f, arg, ok := call(s); ok {
		return ns.apply(f, arg)
	}
	name, part, _ := strings.Cut(s, ".")
	if p, ok := subnet(part); ok || part == "" {
		if name == "HOST" {
			iid := nd.EUI64(ns.host)
			return withIID(p, binary.BigEndian.Uint64(iid[:])), nil
		}
		if n, ok := nodeByName(name); ok {
			if part == "" {
				return n.linkLocal(), nil
			}
			return n.in(p), nil
		}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is no address and no name of one", s)
	}
	return a, nil
}

// addrs resolves an address, or A*N: A and the N-1 addresses after it.
func (ns *names) addrs(s string) ([]netip.Addr, error) {
	first, times, several := strings.Cut(s, "*")
	n, err := 1, error(nil)
	if several {
		if n, err = strconv.Atoi(times); err != nil || n < 1 || n > 10000 {
			return nil, fmt.Errorf("%q: write ADDRESS*N for N addresses in a row", s)
		}
	}
	a, err := ns.addr(first)
	if err != nil {
		return nil, err
	}
	as := make([]netip.Addr, n)
	for i := range as {
		as[i] = a
		a = a.Next()
	}
	return as, nil
}

// subnet returns the prefix that p1 to p9 stand for in the name of an address;
// nothing stands for the link-local one.
func subnet(part string) (netip.Prefix, bool) {
	if part == "" {
		return linkLocals, true
	}
	if len(part) == 2 && part[0] == 'p' && part[1] >= '1' && part[1] <= '9' {
		return numberedPrefix(part[1] - '0'), true
	}
	return netip.Prefix{}, false
}

// call takes f(arg) apart.
func call(s string) (f, arg string, ok bool) {
	f, arg, ok = strings.Cut(s, "(")
	if !ok || !strings.HasSuffix(arg, ")") {
		return "", "", false
	}
	return f, strings.TrimSuffix(arg, ")"), true
}

// apply makes an address of an address.
func (ns *names) apply(f, arg string) (netip.Addr, error) {
	a, err := ns.addr(arg)
	if err != nil {
		return a, err
	}
	b := a.As16()
	switch f {
	case "sn":
		return nd.SolicitedNode(a), nil
	case "twin": // another address of the same solicited-node group
		b[9] ^= 0x40
	case "near": // an address of another group
		b[15] ^= 0x80
	default:
		return a, fmt.Errorf("no function %s(): there are sn(), twin() and near()", f)
	}
	return netip.AddrFrom16(b), nil
}

// linkAddr resolves an Ethernet address: of a node or the host, or that of a
// group.
func (ns *names) linkAddr(s string) (nd.LinkAddr, error) {
	if name, ok := strings.CutPrefix(s, "$"); ok {
		v, ok := ns.vars[name]
		if !ok && ns.reading {
			return nd.LinkAddr{}, nil
		}
		if !ok {
			return nd.LinkAddr{}, fmt.Errorf("$%s has no value yet", name)
		}
		s = v
	}
	if f, arg, ok := call(s); ok && f == "mac" {
		a, err := ns.addr(arg)
		if err == nil && !a.IsMulticast() {
			err = fmt.Errorf("%s is no group: mac() is the Ethernet address of a group", a)
		}
		if err != nil {
			return nd.LinkAddr{}, err
		}
		return nd.MulticastLinkAddr(a), nil
	}
	name := strings.TrimSuffix(s, ".mac")
	if name == "HOST" {
		return ns.host, nil
	}
	if n, ok := nodeByName(name); ok {
		return n.linkAddr, nil
	}
	return nd.ParseLinkAddr(s)
}

// prefix resolves a prefix: P1 to P9, or one written out, whose host bits may
// be set.
func (ns *names) prefix(s string) (netip.Prefix, error) {
	name, length, cut := strings.Cut(s, "/")
	if !cut && len(name) == 2 && name[0] == 'P' {
		if p, ok := subnet("p" + name[1:]); ok {
			return p, nil
		}
	}
	a, err := ns.addr(name)
	if err != nil {
		return netip.Prefix{}, err
	}
	bits := 64
	if cut {
		if _, err := fmt.Sscanf(length, "%d", &bits); err != nil || bits < 0 || bits > 128 {
			return netip.Prefix{}, fmt.Errorf("%q is no prefix length", length)
		}
	}
	return netip.PrefixFrom(a, bits), nil
}
