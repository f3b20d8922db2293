package stack_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// sourceSets are sets of addresses, in the order in which they are added; a
// "-" in front says that the address is deprecated.
var sourceSets = []struct {
	name  string
	addrs []string
}{
	{"link-local alone", []string{"fe80::1/64"}},
	{"a global one", []string{"fe80::1/64", "2001:db8:1::1/64"}},
	{"unique local and global", []string{"fe80::1/64", "fd00:1::1/64", "2001:db8:1::1/64"}},
	{"two unique local ones and global", []string{"fe80::1/64", "fd00:1::1/64", "fd99::1/64", "2001:db8:1::1/64"}},
	{"unique local alone", []string{"fe80::1/64", "fd00:1::1/64"}},
	{"site-local and unique local", []string{"fe80::1/64", "fec0::1/64", "fd00:1::1/64"}},
	{"site-local and global", []string{"fe80::1/64", "fec0::1/64", "2001:db8:1::1/64"}},
	{"6to4 and global", []string{"fe80::1/64", "2002:c000:201:1::1/64", "2001:db8:1::1/64"}},
	{"6to4 and unique local", []string{"fe80::1/64", "2002:c000:201:1::1/64", "fd00:1::1/64"}},
	{"Teredo and global", []string{"fe80::1/64", "2001:0:4136::1/64", "2001:db8:1::1/64"}},
	{"6bone and global", []string{"fe80::1/64", "3ffe:1::1/64", "2001:db8:1::1/64"}},
	{"ORCHID and global", []string{"fe80::1/64", "2001:10::1/28", "2001:db8:1::1/64"}},
	{"two prefixes", []string{"fe80::1/64", "2001:db8:1::1/64", "2001:db8:2::1/64"}},
	{"three providers", []string{"fe80::1/64", "2001:db8:1::1/64", "2a00:1::1/64", "2400:1::1/64"}},
	{"one deprecated", []string{"fe80::1/64", "-2001:db8:1::1/64", "2001:db8:2::1/64"}},
	{"global deprecated, unique local preferred", []string{"fe80::1/64", "-2001:db8:1::1/64", "fd00:1::1/64"}},
	{"all deprecated", []string{"-fe80::1/64", "-2001:db8:1::1/64", "-2001:db8:2::1/64"}},
	{"link-local deprecated", []string{"-fe80::1/64", "2001:db8:1::1/64"}},
	{"two link-local ones, one deprecated", []string{"-fe80::1/64", "fe80::2/64", "2001:db8:1::1/64"}},
	{"prefix lengths 64 and 128", []string{"fe80::1/64", "2001:db8:1::8/128", "2001:db8:1::1/64"}},
	{"prefix lengths 48 and 64", []string{"fe80::1/64", "2001:db8:1::1/48", "2001:db8:1:2::1/64"}},
	{"a prefix twice", []string{"fe80::1/64", "2001:db8:1::1/64", "2001:db8:1::ff01/64"}},
}

// sourceDestinations are what each set is asked for.
var sourceDestinations = []string{
	"2001:db8:1::9", "2001:db8:1::ff09", "2001:db8:1:2::9", "2001:db8:2::9", "2a00:1:2::9", "2606::9",
	"fd00:1::9", "fd00:2::9", "fd99::9", "fec0::9", "2002:c000:201:1::9", "2002:c633:6401::9", "2001:0:4136::9", "3ffe:1::9",
	"2001:10::9", "::192.0.2.9", "fe80::9", "ff01::5", "ff02::5", "ff05::5", "ff08::5", "ff0e::5",
}

// sourceDifferences are where Linux chooses otherwise, and why.
//
// Linux knows ORCHIDs (RFC 4843), which are no addresses of interfaces: they
// have a label of their own, 7, and a rule before the eighth prefers one to an
// ORCHID and anything else to anything else. RFC 6724 has neither. Its section
// 2.1 gives 2001:10::/28 the label of ::/0; and of section 5, rule 8: "If
// CommonPrefixLen(SA, D) > CommonPrefixLen(SB, D), then prefer SA."
var sourceDifferences = []struct {
	set          string
	destinations []string
}{
	{"Teredo and global", []string{"2001:10::9"}}, // rule 6: the labels of ::/0 match
	{"ORCHID and global", []string{ // rules 6 and 8 make no difference: the first
		"2a00:1:2::9", "2606::9", "fd00:1::9", "fd00:2::9", "fd99::9", "fec0::9", "2002:c000:201:1::9", "2002:c633:6401::9",
		"3ffe:1::9", "::192.0.2.9", "ff05::5", "ff08::5", "ff0e::5",
	}},
	{"ORCHID and global", []string{"2001:0:4136::9"}}, // rule 8: 27 bits in common, not 20
}

func linuxDiffers(set, destination string) bool {
	for _, d := range sourceDifferences {
		if d.set == set && slices.Contains(d.destinations, destination) {
			return true
		}
	}
	return false
}

// For every set and destination the stack and Linux choose the same source,
// save where the table says why not.
//
// Spec: RFC 6724, section 5, must, SAS-R04
// Spec: RFC 6724, section 5, must, SAS-R05
// Spec: RFC 6724, section 5, must, SAS-R06
// Spec: RFC 6724, section 5, must, SAS-R10
// Spec: RFC 6724, section 5, must, SAS-R12
func TestSourceSelectionIsThatOfLinux(t *testing.T) {
	t.Parallel()
	netnstest.Require(t, "sysctl")
	_, nodes := linkWith(t, 1)
	linux := nodes[0]
	// No address but those of the sets.
	linux.Run(t, "sysctl", "-qw", "net.ipv6.conf.eth0.addr_gen_mode=1")
	for _, set := range sourceSets {
		t.Run(set.name, func(t *testing.T) {
			ours := stackWith(t, set.addrs)
			linuxHas(t, linux, set.addrs)
			destinations := sourceDestinations
			for _, a := range set.addrs { // rule 1
				addr, _, _ := strings.Cut(strings.TrimPrefix(a, "-"), "/")
				destinations = append(destinations, addr)
			}
			theirs := linuxSources(t, linux, destinations)
			for _, dst := range destinations {
				own := "none"
				if r, err := ours.Route(netip.MustParseAddr(dst), netip.Addr{}); err == nil {
					own = r.Source.WithZone("").String()
				}
				if differs := own != theirs[dst]; differs != linuxDiffers(set.name, dst) {
					t.Errorf("to %s: %s, Linux: %s", dst, own, theirs[dst])
				}
			}
		})
	}
}

// stackWith makes an interface with these addresses and a default route.
func stackWith(t *testing.T, addrs []string) *stack.Interface {
	t.Helper()
	cfg := patient
	cfg.NoLinkLocal, cfg.NoRouters = true, true
	end, _ := tap.Pipe(macA, macB, 1500)
	_, i := attach(t, end, cfg)
	for _, a := range addrs {
		add := instantly(strings.TrimPrefix(a, "-"))
		if strings.HasPrefix(a, "-") {
			add.PreferredLifetime = -1
		}
		mustAdd(t, i, add)
	}
	mustAddRoute(t, i, "::/0", "fe80::ff")
	return i
}

// linuxHas gives a Linux host these addresses, and the same default route. The
// first is added last: of what the rules leave equal, Linux takes the address
// that came last, and the stack the one that came first. RFC 6724, section 5:
// "If the eight rules fail to choose a single address, the tiebreaker is
// implementation-specific."
func linuxHas(t *testing.T, linux *netnstest.Namespace, addrs []string) {
	t.Helper()
	linux.Run(t, "ip", "-6", "addr", "flush", "dev", "eth0")
	for _, a := range slices.Backward(addrs) {
		linux.AddAddress(t, "eth0", strings.TrimPrefix(a, "-"))
		if prefix, deprecated := strings.CutPrefix(a, "-"); deprecated {
			linux.Run(t, "ip", "-6", "addr", "change", prefix, "dev", "eth0", "preferred_lft", "0")
		}
	}
	linux.Run(t, "ip", "-6", "route", "replace", "default", "via", "fe80::ff", "dev", "eth0")
}

// linuxSources asks Linux for the source to each destination.
func linuxSources(t *testing.T, linux *netnstest.Namespace, destinations []string) map[string]string {
	t.Helper()
	var script []string
	for _, dst := range destinations {
		script = append(script, fmt.Sprintf("echo %s $(ip -o -6 route get %s oif eth0 2>&1)", dst, dst))
	}
	sources := map[string]string{}
	for line := range strings.Lines(linux.Script(t, script...)) {
		fields := strings.Fields(line)
		sources[fields[0]] = "none"
		for k, field := range fields[:len(fields)-1] {
			if field == "src" {
				sources[fields[0]] = fields[k+1]
			}
		}
	}
	return sources
}
