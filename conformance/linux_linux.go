package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tapstack/tapstack/nd"
)

// LinuxDriver makes hosts of this machine's kernel, each in a network
// namespace, at the other end of a veth pair. It needs root and ip(8) of
// iproute2.
type LinuxDriver struct{}

// Name implements Driver.
func (LinuxDriver) Name() string { return "linux" }

// Can implements Driver.
func (LinuxDriver) Can() []Capability {
	return []Capability{
		CanUpDown, CanAddress, CanAnycast, CanOptimist, CanGroup, CanFilter, CanRoute, CanNeighbor, CanLinkAddr, CanMTU, CanEcho, CanSend, CanView,
		CanForget, CanLifetimes, CanMLDv2, CanICMP, CanFragment, CanPathMTU, CanTCP,
	}
}

// Profiles implements Driver: the kernel does not say which RFCs it follows,
// but solicits by RFC 7559 and knows the routes of RFC 4191.
func (LinuxDriver) Profiles() []string { return []string{"current"} }

// Slack implements Driver.
func (LinuxDriver) Slack() time.Duration { return 250 * time.Millisecond }

// Late implements Coarse, for the kernel's wheel of timers: from 63 ticks on, a
// timer goes off with the next of every 8th tick, from 504 on of every 64th,
// and so on. The ticks are taken to be as long as they usually are.
func (LinuxDriver) Late(d time.Duration) time.Duration {
	const tick = 4 * time.Millisecond
	every := tick
	for level := 63 * tick; d >= level; level *= 8 {
		every *= 8
	}
	return every
}

// Parallel implements Driver: namespaces wait most of the time, but they share
// one lock of the kernel.
func (LinuxDriver) Parallel() int { return 32 }

// kernelKnobs are the settings of the kernel's interface that knobs stand for,
// and the value for each of the knob's; without values, the knob's own.
var kernelKnobs = map[string]struct {
	name   string
	values map[string]string
}{
	"dad_transmits":  {"dad_transmits", nil},
	"dad_ll_failure": {"accept_dad", map[string]string{"hardware": "2", "continue": "1"}},
	"enhanced_dad":   {"enhanced_dad", map[string]string{"on": "1", "off": "0"}},
	"iid":            {"addr_gen_mode", map[string]string{"eui64": "0", "stable": "2", "random": "3"}},
	"temp_addresses": {"use_tempaddr", map[string]string{"on": "2", "off": "0"}},
	"mld_version":    {"force_mld_version", map[string]string{"1": "1", "2": "2"}},
	"redirects":      {"accept_redirects", map[string]string{"on": "1", "off": "0"}},
	"router_type":    {"accept_ra_rt_info_max_plen", map[string]string{"A": "0", "C": "128"}},
	"optimistic_dad": {"optimistic_dad", map[string]string{"on": "1", "off": "0"}},
	"gratuitous_na":  {"ndisc_notify", map[string]string{"on": "1", "off": "0"}},
}

// kernelDefaults make the kernel do what it can do and does not by itself: to
// end IPv6 where the link-local address is a duplicate, and to heed routes in
// Router Advertisements.
var kernelDefaults = []Setting{{"iid", "eui64"}, {"temp_addresses", "off"}, {"dad_ll_failure", "hardware"}, {"router_type", "C"}}

// settings set the kernel up, each as it is written for sysctl(8).
func (LinuxDriver) settings(s Setup) (lines []string, err error) {
	for _, k := range append(slices.Clone(kernelDefaults), s.Knobs...) {
		// Each is set once: for each way to make identifiers that it is told,
		// the kernel makes one.
		if k != last(k.Name, s.Knobs, k) {
			continue
		}
		if k.Name == "retrans_timer" {
			d, err := time.ParseDuration(k.Value)
			if err != nil {
				return nil, err
			}
			lines = append(lines, fmt.Sprintf("net.ipv6.neigh.eth0.retrans_time_ms=%d", d.Milliseconds()))
			continue
		}
		kernel, ok := kernelKnobs[k.Name]
		value := k.Value
		if kernel.values != nil {
			value, ok = kernel.values[k.Value]
		}
		if !ok {
			return nil, cannot("the kernel has no setting for", k.Name+"="+k.Value)
		}
		if k == (Setting{"iid", "stable"}) { // which a secret brings with it
			kernel.name, value = "stable_secret", "2001:db8:5ec:2e7::1"
		}
		lines = append(lines, "net.ipv6.conf.eth0."+kernel.name+"="+value)
		if k.Name == "enhanced_dad" { // it is on if it is for all or for one
			lines = append(lines, "net.ipv6.conf.all.enhanced_dad="+value)
		}
	}
	return lines, nil
}

// last returns the last setting of a knob.
func last(name string, knobs []Setting, otherwise Setting) Setting {
	for _, k := range knobs {
		if k.Name == name {
			otherwise = k
		}
	}
	return otherwise
}

// Open implements Driver.
func (d LinuxDriver) Open(s Setup) (Target, error) {
	settings, err := d.settings(s)
	if err != nil {
		return nil, err
	}
	n, err := newNamespace()
	if err != nil {
		return nil, err
	}
	t := &linuxTarget{namespace: n, linkAddr: s.LinkAddr}
	if err := t.build(settings); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return t, nil
}

// build makes the link and the tester's end of it.
func (t *linuxTarget) build(settings []string) error {
	port, err := t.host("veth", t.linkAddr)
	if err != nil {
		return err
	}
	t.wire = newWire(port)
	if err := t.sysctl(settings...); err != nil {
		return errors.Join(err, t.wire.close())
	}
	if t.programs, err = newPrograms(t.namespace, "eth0"); err != nil {
		return errors.Join(err, t.wire.close())
	}
	return nil
}

// linuxTarget is a kernel in a namespace.
type linuxTarget struct {
	*wire
	namespace
	*programs
	linkAddr nd.LinkAddr
}

// LinkAddr implements Target.
func (t *linuxTarget) LinkAddr() nd.LinkAddr { return t.linkAddr }

// Close implements Target.
func (t *linuxTarget) Close() error {
	return errors.Join(t.wire.close(), t.programs.close(), t.namespace.close())
}

// Do implements Target.
func (t *linuxTarget) Do(c Command) error {
	switch {
	case c.Op == "send":
		return t.datagram(c)
	case c.Op == "join", c.Op == "leave", c.Op == "filter":
		return t.group(c)
	case c.Mode == "anycast":
		return t.addAnycast(c.Prefix.Addr())
	case c.Op == "del" && t.hasAnycast(c.Addr):
		return t.delAnycast(c.Addr)
	case c.Mode == "optimistic": // which the kernel refuses otherwise
		if err := t.sysctl("net.ipv6.conf.eth0.optimistic_dad=1"); err != nil {
			return err
		}
	}
	args, err := ipCommand(c)
	if err != nil {
		return err
	}
	return t.ip(append([]string{"-6"}, args...)...)
}

// ipCommand is a command for ip(8).
func ipCommand(c Command) (args []string, err error) {
	via := func(args ...string) []string {
		if c.Via.IsValid() {
			args = append(args, "via", c.Via.String())
		}
		return append(args, "dev", "eth0")
	}
	switch c.Op {
	case "up", "down":
		return []string{"link", "set", "eth0", c.Op}, nil
	case "add":
		return ipAdd(c)
	case "del":
		// The length must be that of the add; the kernel takes any if there is
		// but one such address.
		return []string{"addr", "flush", "to", c.Addr.String(), "dev", "eth0"}, nil
	case "route-add":
		return via("route", "add", c.Prefix.String()), nil
	case "route-del":
		return via("route", "del", c.Prefix.String()), nil
	case "neighbor-add":
		return []string{"neigh", "replace", c.Addr.String(), "lladdr", c.LinkAddr.String(), "dev", "eth0"}, nil
	case "neighbor-del":
		return []string{"neigh", "del", c.Addr.String(), "dev", "eth0"}, nil
	case "flush":
		return []string{"neigh", "flush", "dev", "eth0"}, nil
	case "mac":
		return []string{"link", "set", "eth0", "address", c.LinkAddr.String()}, nil
	case "mtu":
		return []string{"link", "set", "eth0", "mtu", fmt.Sprint(c.Size)}, nil
	}
	return nil, cannot("iproute2 has no", c.Op)
}

func ipAdd(c Command) ([]string, error) {
	args := []string{"addr", "add", c.Prefix.String(), "dev", "eth0"}
	switch c.Mode {
	case "optimistic":
		args = append(args, "optimistic")
	case "no-dad":
		args = append(args, "nodad")
	case "":
	default:
		return nil, cannot("iproute2 has no add", c.Mode)
	}
	if c.Valid != 0 {
		args = append(args, "valid_lft", fmt.Sprint(int(c.Valid.Seconds())))
	}
	if c.Preferred != 0 {
		args = append(args, "preferred_lft", fmt.Sprint(int(c.Preferred.Seconds())))
	}
	return args, nil
}

// datagram sends what a program would.
func (t *linuxTarget) datagram(c Command) error {
	zone := func(a netip.Addr) netip.Addr {
		if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() {
			return a.WithZone("eth0")
		}
		return a
	}
	src := netip.IPv6Unspecified()
	if c.Src.IsValid() {
		src = zone(c.Src)
	}
	return t.do(func() error {
		conn, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, c.SrcPort)))
		if err != nil {
			return err
		}
		_, err = conn.WriteToUDPAddrPort(make([]byte, c.Size), netip.AddrPortFrom(zone(c.Addr), c.DstPort))
		return errors.Join(err, conn.Close())
	})
}

// View implements Target.
func (t *linuxTarget) View() (View, error) {
	v := View{Addresses: map[netip.Addr]Entry{}, Neighbors: map[netip.Addr]Entry{}}
	return v, errors.Join(t.addresses(&v), t.routes(&v), t.groups(&v), t.neighbors(&v))
}

// show reads the JSON of an ip command.
func (t *linuxTarget) show(into any, args ...string) error {
	out, err := t.run("ip", append([]string{"-j", "-6"}, args...)...)
	if err != nil || len(out) == 0 {
		return err
	}
	return json.Unmarshal(out, into)
}

func (t *linuxTarget) addresses(v *View) error {
	var links []struct {
		AddrInfo []struct {
			Local                                        netip.Addr
			Tentative, Optimistic, Deprecated, DADFailed bool
		} `json:"addr_info"`
	}
	err := t.show(&links, "addr", "show", "dev", "eth0")
	for _, l := range links {
		for _, a := range l.AddrInfo {
			switch {
			case !a.Local.IsValid():
			case a.DADFailed:
				v.Duplicates = append(v.Duplicates, a.Local)
			case a.Optimistic:
				v.Addresses[a.Local] = Entry{State: "optimistic"}
			case a.Tentative:
				v.Addresses[a.Local] = Entry{State: "tentative"}
			case a.Deprecated:
				v.Addresses[a.Local] = Entry{State: "deprecated"}
			default:
				v.Addresses[a.Local] = Entry{State: "preferred"}
			}
		}
	}
	return err
}

func (t *linuxTarget) routes(v *View) error {
	var routes []struct {
		Dst     string
		Gateway netip.Addr
	}
	err := t.show(&routes, "route", "show", "dev", "eth0")
	for _, r := range routes {
		if r.Dst == "default" {
			r.Dst = "::/0"
		}
		p, bad := netip.ParsePrefix(r.Dst)
		if bad != nil {
			a, worse := netip.ParseAddr(r.Dst)
			if worse != nil {
				continue
			}
			p = netip.PrefixFrom(a, 128)
		}
		v.Routes = append(v.Routes, Route{p, r.Gateway})
	}
	return err
}

func (t *linuxTarget) groups(v *View) error {
	var links []struct {
		Maddr []struct{ Address netip.Addr }
	}
	err := t.show(&links, "maddr", "show", "dev", "eth0")
	for _, l := range links {
		for _, m := range l.Maddr {
			v.Groups = append(v.Groups, m.Address)
		}
	}
	return err
}

func (t *linuxTarget) neighbors(v *View) error {
	var neighbors []struct {
		Dst    netip.Addr
		LLAddr string
		Router any // its presence says that it is one
		State  []string
	}
	err := t.show(&neighbors, "neigh", "show", "dev", "eth0")
	for _, n := range neighbors {
		e := Entry{State: strings.ToLower(strings.Join(n.State, "+")), Router: n.Router != nil}
		if slices.Contains(n.State, "PERMANENT") {
			e.State = "static"
		}
		if n.LLAddr != "" {
			l, bad := nd.ParseLinkAddr(n.LLAddr)
			err = errors.Join(err, bad)
			e.LinkAddr = l
		}
		if e.State != "failed" { // which is what the kernel keeps of one that is gone
			v.Neighbors[n.Dst] = e
		}
	}
	return err
}
