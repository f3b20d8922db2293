//go:build !race

package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// The kernel passes what every kernel passes: the way to it and back works,
// commands, tables, datagrams and echoes too.
func TestLinux(t *testing.T) {
	netnstest.Require(t, "sysctl")
	if testing.Short() {
		t.Skip("in real time")
	}
	t.Parallel()
	var cases []*Case
	for _, id := range []string{"DAD-01", "DAD-04a", "DAD-09", "DAD-17", "DAD-38", "DAD-39", "DAD-41", "DAD-43", "DAD-48", "DAD-61"} {
		some, err := Select(scenarios(t), id)
		if err != nil || len(some) != 1 {
			t.Fatalf("%s: %d cases, %v", id, len(some), err)
		}
		cases = append(cases, some...)
	}
	for _, r := range (Runner{Driver: LinuxDriver{}}).Run(context.Background(), cases) {
		if r.Verdict != Pass {
			var b strings.Builder
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			t.Error(b.String())
		}
	}
}

func TestLinux_CommandsOfIproute2(t *testing.T) {
	ns := newNames(HostLinkAddr)
	for line, want := range map[string]string{
		"up":                                "link set eth0 up",
		"add HOST.p1 valid=60 preferred=30": "addr add 2001:db8:1::ff:fe00:1/64 dev eth0 valid_lft 60 preferred_lft 30",
		"add HOST.p1/128 no-dad":            "addr add 2001:db8:1::ff:fe00:1/128 dev eth0 nodad",
		"del HOST.p1":                       "addr flush to 2001:db8:1::ff:fe00:1 dev eth0",
		"route-add P2 via TR1":              "route add 2001:db8:2::/64 via fe80::b1 dev eth0",
		"route-del P2":                      "route del 2001:db8:2::/64 dev eth0",
		"neighbor-add TN1 TN2":              "neigh replace fe80::a1 lladdr 02:00:00:00:01:02 dev eth0",
		"mtu 1400":                          "link set eth0 mtu 1400",
		"mac TN1":                           "link set eth0 address 02:00:00:00:01:01",
	} {
		words := strings.Fields(line)
		c, err := order{words[0], words[1:]}.command(ns)
		if err != nil {
			t.Fatal(err)
		}
		args, err := ipCommand(c)
		if diff := cmp.Diff(want, strings.Join(args, " ")); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", line, err, diff)
		}
	}
}

// What the kernel has no setting for is not applicable, and each setting is
// made once.
func TestLinux_Settings(t *testing.T) {
	lines, err := LinuxDriver{}.settings(Setup{Knobs: []Setting{{"iid", "stable"}, {"dad_transmits", "3"}, {"retrans_timer", "2s"}}})
	text := strings.Join(lines, "\n")
	for _, want := range []string{"eth0.stable_secret=", "eth0.dad_transmits=3", "retrans_time_ms=2000", "all.enhanced_dad=0", "eth0.accept_dad=2"} {
		if err != nil || strings.Count(text, want) != 1 {
			t.Errorf("not once %s: %v\n%s", want, err, text)
		}
	}
	if strings.Contains(text, "addr_gen_mode") {
		t.Errorf("identifiers are made twice:\n%s", text)
	}
	if _, err := (LinuxDriver{}).settings(Setup{Knobs: []Setting{{"loopback", "echoes"}}}); !errors.Is(err, ErrNotApplicable) {
		t.Errorf("a knob that the kernel does not have: %v", err)
	}
}
