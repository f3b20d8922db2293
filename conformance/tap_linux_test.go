//go:build !race

package conformance

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/internal/netnstest"
)

// buildTapstack builds the command.
func buildTapstack(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tapstack")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/tapstack").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// someOfEach is some cases of each group, in turn from its beginning to its end:
// none that takes longer than it says.
func someOfEach(all []*Case, ofGroup int, longest time.Duration) (some []*Case) {
	groups, _ := Groups(all)
	for _, g := range groups {
		fits := slices.DeleteFunc(slices.Clone(all), func(c *Case) bool {
			return c.Group != g || c.Length() > longest
		})
		for k := range min(ofGroup, len(fits)) {
			some = append(some, fits[k*len(fits)/min(ofGroup, len(fits))])
		}
	}
	return some
}

// A tapstack process on a TAP passes what the stack passes, in every profile:
// some cases of each group.
func TestTap(t *testing.T) {
	netnstest.Require(t)
	if testing.Short() {
		t.Skip("in real time")
	}
	t.Parallel()
	d := TapDriver{Executable: buildTapstack(t)}
	results := Runner{Driver: d}.Run(context.Background(), someOfEach(scenarios(t), 15, 12*time.Second))
	allPass(t, results)
}

// What the control interface cannot do is not applicable, and what has no
// effect is not asked for.
func TestTap_Groups(t *testing.T) {
	netnstest.Require(t)
	t.Parallel()
	d := TapDriver{Executable: buildTapstack(t)}
	target, err := d.Open(Setup{Profile: "current", LinkAddr: HostLinkAddr, Chance: Random})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		command string
		want    string // of the error
	}{
		{"up", ""},
		{"filter ff1e::101 include 2001:db8:f::1 2001:db8:f::2", ""},
		{"filter ff1e::101 include 2001:db8:f::1 2001:db8:f::2 2001:db8:f::3", ""},
		{"filter ff1e::101 include 2001:db8:f::2", ""},
		{"filter ff1e::101 include 2001:db8:f::2", ""},
		{"filter ff1e::101 include 2001:db8:f::1", "does not join and leave in one"},
		{"filter ff1e::101 exclude", "does not join and leave in one"},
		{"filter ff1e::101 exclude 2001:db8:f::1", "excludes no sources"},
		{"filter ff1e::101 include", ""},
		{"filter ff1e::101 include", ""},
		{"filter ff1e::101 exclude", ""},
		{"leave ff1e::101", ""},
		{"join ff1e::102", ""},
		{"join ff1e::103 by=2", "for one program alone"},
		{"send dst=fe80::a1 sport=5 dport=40000 size=8", "sends from no port of one's choice"},
	} {
		c, err := ParseCommand(step.command)
		if err != nil {
			t.Fatal(err)
		}
		err = target.Do(c)
		if step.want == "" && err != nil || step.want != "" && (!errors.Is(err, ErrNotApplicable) || !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%s: %v, want %q", c, err, step.want)
		}
	}
	v, err := target.View()
	if err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(v.Groups, func(a netip.Addr) bool { return !strings.HasPrefix(a.String(), "ff1e:") })
	if diff := cmp.Diff([]string{"ff1e::102"}, texts(got)); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	dir, ino := target.(*tapTarget).dir, inode(t, target.(*tapTarget).namespace)
	if err := target.Close(); err != nil {
		t.Error(err)
	}
	if left := users(t, ino); len(left) > 0 {
		t.Errorf("the namespace is still used: %q", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}

func texts(as []netip.Addr) (all []string) {
	for _, a := range as {
		all = append(all, a.String())
	}
	return all
}

// A process that cannot start says why; one that dies fails its case.
func TestTap_Fails(t *testing.T) {
	netnstest.Require(t)
	t.Parallel()
	s := Setup{Profile: "current", LinkAddr: HostLinkAddr, Chance: Random}
	if _, err := (TapDriver{}).Open(s); err == nil || !strings.Contains(err.Error(), "runs the command tapstack, and this program is another") {
		t.Errorf("of a program that is not tapstack: %v", err)
	}
	if _, err := (TapDriver{Executable: "/bin/false"}).Open(s); err == nil || !strings.Contains(err.Error(), "has ended (exit status 1)") {
		t.Errorf("of false: %v", err)
	}
	if _, err := (TapDriver{Executable: "/bin/echo"}).Open(s); err == nil || !strings.Contains(err.Error(), `does not say that it is ready: "run --down`) {
		t.Errorf("of echo: %v", err)
	}
	d := TapDriver{Executable: buildTapstack(t)}
	s.LinkAddr[0] = 1 // a group's
	if _, err := d.Open(s); err == nil || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "cannot be the address of a node") {
		t.Errorf("with a wrong flag: %v", err)
	}
	s.LinkAddr = HostLinkAddr
	target, err := d.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	target.(*tapTarget).process.cmd.Process.Kill()
	if _, _, err := target.Next(target.Now() + time.Second); err == nil || !strings.Contains(err.Error(), "has ended (signal: killed)") {
		t.Errorf("Next: %v", err)
	}
	up, _ := ParseCommand("up")
	var failed *HostError
	if err := target.Do(up); !errors.As(err, &failed) {
		t.Errorf("Do: %v", err)
	}
	if err := target.Close(); !errors.As(err, &failed) {
		t.Errorf("Close: %v", err)
	}
}

func TestTap_Knobs(t *testing.T) {
	for want, knobs := range map[string][]Setting{
		"--set iid=eui64 --set temp_addresses=off":                          nil,
		"--set iid=eui64 --set temp_addresses=off --set iid=stable":         {{"iid", "stable"}, {"loopback", "none"}},
		"--set iid=eui64 --set temp_addresses=off --set retrans_timer=50ms": {{"retrans_timer", "50ms"}},
		"not applicable": {{"loopback", "echoes"}},
	} {
		args, err := tapKnobs(Setup{Profile: "rfc4862", Knobs: knobs})
		got := strings.Join(args, " ")
		if errors.Is(err, ErrNotApplicable) {
			got = "not applicable"
		}
		if got != want {
			t.Errorf("%v: %s, %v, want %s", knobs, got, err, want)
		}
	}
}

// A run that is interrupted leaves no process and no directory; one that is
// killed leaves no process.
func TestTap_InterruptedRunLeavesNothing(t *testing.T) {
	netnstest.Require(t)
	t.Parallel()
	executable := buildTapstack(t)
	for _, signal := range []os.Signal{os.Interrupt, os.Kill} {
		dir, err := os.MkdirTemp("", "") // t.TempDir is too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		cmd := exec.Command(executable, "conform", "run", "--target", "tap", "--case", "lif", "--parallel", "8")
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "hosts run", func() bool { return len(commandLines(t, executable)) > 4 })
		cmd.Process.Signal(signal)
		err = cmd.Wait()
		if signal == os.Interrupt {
			if cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("interrupted, it ends with %v", err)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("interrupted, it leaves %v, %v", left, err)
			}
			if left := commandLines(t, executable); len(left) > 0 {
				t.Errorf("interrupted, it leaves %q", left)
			}
		}
		eventually(t, "hosts end", func() bool { return len(commandLines(t, executable)) == 0 })
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to it that %s", what)
		}
	}
}
