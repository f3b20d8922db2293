//go:build !race

package conformance

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tapstack/tapstack/conformance/hosts/known"
	"github.com/tapstack/tapstack/internal/netnstest"
)

// sample are cases of all matters that do not take long, and that a kernel
// passes or fails whatever chance has it do.
func sample(t *testing.T, f *known.File) (cases []*Case) {
	const longest, of = 8 * time.Second, 2
	for k, c := range scenarios(t) {
		if e := f.Of(c.ID); k%of == 0 && c.Length() <= longest && (e == nil || e.Chance == "") {
			cases = append(cases, c)
		}
	}
	return cases
}

// Of a sample of the cases the kernel fails those that it is known to fail, and
// no other. A kernel of another version may do otherwise, which is told.
func TestLinux(t *testing.T) {
	netnstest.Require(t, "ip")
	if testing.Short() {
		t.Skip("in real time")
	}
	t.Parallel()
	f, err := known.Read("linux")
	if err != nil {
		t.Fatal(err)
	}
	complain := t.Errorf
	if release := kernelRelease(t); !strings.HasPrefix(release+".", f.Version+".") {
		t.Logf("this is %s; what is known is of %s", release, f.Version)
		complain = t.Logf
	}
	began := time.Now()
	results := Runner{Driver: LinuxDriver{}, Known: f.Cases()}.Run(context.Background(), sample(t, f))
	for _, r := range results {
		switch e := f.Of(r.Case); {
		case (r.Verdict == Fail || r.Verdict == Inconclusive) && e == nil:
			var b strings.Builder
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			complain("%s", &b)
		case r.Verdict == Pass && e != nil:
			complain("%s: it passes, and conformance/hosts/known/linux.txt says that it %s", r.Case, e.Host)
		}
	}
	t.Logf("of %d cases %s in %v", len(results), CountOf(results), time.Since(began).Round(time.Second))
}

// kernelRelease is the kernel's name and version.
func kernelRelease(t *testing.T) string {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// Of a host nothing is left when it is closed: its namespace was the only thing
// of it that could be left, and nothing holds it.
func TestLinux_LeavesNothing(t *testing.T) {
	netnstest.Require(t, "ip")
	files := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	var before int
	for k := range 3 {
		target, err := LinuxDriver{}.Open(Setup{LinkAddr: HostLinkAddr})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range [][]string{{"up"}, {"join", "ff1e::1"}, {"filter", "ff1e::2", "include", "FAR1", "by=2"}, {"add", "fe80::5", "anycast"}} {
			c, err := order{line[0], line[1:]}.command(newNames(HostLinkAddr))
			if err == nil {
				err = target.Do(c)
			}
			if err != nil {
				t.Fatalf("%v: %v", line, err)
			}
		}
		if err := target.Close(); err != nil {
			t.Fatal(err)
		}
		if k == 0 {
			before = files() // what the first has opened for good, the poller for one
		}
	}
	if after := files(); after != before {
		t.Errorf("%d files are open after one host, %d after three", before, after)
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
	lines, err := LinuxDriver{}.settings(Setup{Knobs: []Setting{{"iid", "stable"}, {"dad_transmits", "3"}, {"retrans_timer", "2s"}, {"enhanced_dad", "off"}}})
	text := strings.Join(lines, "\n")
	for _, want := range []string{"eth0.stable_secret=", "eth0.dad_transmits=3", "retrans_time_ms=2000", "all.enhanced_dad=0", "eth0.accept_dad=2", "rt_info_max_plen=128"} {
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

// A timer of the kernel is late by an eighth at most.
func TestLinux_Late(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		0: 4 * time.Millisecond, time.Second: 32 * time.Millisecond, 5 * time.Second: 256 * time.Millisecond, time.Minute: 2048 * time.Millisecond,
	} {
		if got := (LinuxDriver{}).Late(d); got != want {
			t.Errorf("a timer of %v may be %v late, not %v", d, got, want)
		}
	}
}
