package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/stack"
)

// mainVariable makes the test binary the command.
const mainVariable = "TAPSTACK_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		main()
		return
	}
	os.Unsetenv("TAPSTACK_CONTROL")
	os.Exit(m.Run())
}

// command runs the command line in this process, with no other process to be
// found.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	var out, errs bytes.Buffer
	code = execute(context.Background(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// A command line that can never be right ends with exit code 2 and one line on
// stderr, before anything is looked for or touched.
func TestUsageErrors(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("2001:db8::1\nnowhere\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"frob", "--frob", "-z", "help frob", "addr frob", "addr show frob", "addr show --frob", "completion frob", "version frob", "demo frob", "demo --frob", "man frob",
		"addr add", "addr add nowhere", "addr add 192.0.2.1", "addr add ::ffff:192.0.2.1", "addr add ::", "addr add ::1/128", "addr add ff02::1", "addr add ff02::1/64",
		"addr add 2001:db8::1/129", "addr add 2001:db8::1/-1", "addr add 2001:db8::1/", "addr add 2001:db8::1/x", "addr add 2001:db8::1 2001:db8::2",
		"addr add 2001:db8::1 --dad sometimes", "addr add 2001:db8::1 --timeout x", "addr add 2001:db8::1 --timeout -1s", "addr add 2001:db8::1 --valid 0",
		"addr add 2001:db8::1 --valid 1.5s", "addr add 2001:db8::1 --valid -1", "addr add 2001:db8::1 --valid 60 --preferred 61", "addr add 2001:db8::1 --valid 60 --preferred forever",
		"addr add 2001:db8::1 dev", "addr add 2001:db8::1 dev tap0 dev tap0", "addr add 2001:db8::1 dev tap0 --dev tap1", "addr add fe80::1%tap0 --dev tap1",
		"addr add -f " + bad, "addr add -f - 2001:db8::1",
		"addr del", "addr del x", "addr del 2001:db8::1/129", "addr accept", "addr accept x", "addr failures x",
		"route add", "route add x", "route add 2001:db8::1/64", "route add default via", "route add default via x", "route add default via 192.0.2.1", "route add default metric x",
		"route add default --metric -1", "route del", "route get", "route get x", "route get 2001:db8::1 from x", "route show x",
		"neigh add", "neigh add fe80::1", "neigh add fe80::1 lladdr", "neigh add fe80::1 lladdr x", "neigh add fe80::1 lladdr 33:33:00:00:00:01", "neigh add fe80::1 02:00:00:00:00:01 lladdr 02:00:00:00:00:01",
		"neigh add fe80::1 lladdr 00:00:00:00:00:00", "neigh del", "neigh del x", "neigh flush x",
		"maddr join", "maddr join x", "maddr join 2001:db8::1", "maddr leave", "maddr join ff02::1234 --source x", "maddr join ff02::1234 --source", "maddr leave ff02::1234%tap0 --source fe80::9%tap1",
		"link set", "link set tap0", "link set tap0 sideways", "link set tap0 up down", "link set tap0 mtu", "link set tap0 mtu x", "link set tap0 mtu 1279", "link set up",
		"monitor x", "monitor --since x", "monitor --since -1",
		"ping", "ping x", "ping 192.0.2.1", "ping -c 0 fe80::1", "ping -c -1 fe80::1", "ping -i 0 fe80::1", "ping -i x fe80::1", "ping -I x fe80::1", "ping fe80::1 fe80::2",
		"conform frob", "conform run x", "conform run --target x", "conform run --case x", "conform run --case [", "conform run --profile x", "conform run --parallel -1", "conform run --longest x",
		"conform list x", "conform list --case x", "conform explain", "conform explain x",
		"run", "run x", "run --tap tap0 x", "run --tap tap0 --mac x", "run --tap tap0 --mac 33:33:00:00:00:01", "run --tap tap0 --mtu 1279", "run --tap tap0 --mtu x",
		"run --tap tap0 --addr x", "run --tap tap0 --addr ::1", "run --tap tap0 --route x", "run --tap tap0 --route 2001:db8::1/64", "run --tap tap0 --route default,fe80::1", "run --tap tap0 --route default,via\tx",
		"run --tap tap0 --profile rfc1", "run --tap tap0 --set x", "run --tap tap0 --set x=1", "run --tap tap0 --set dad_transmits=x", "run --tap tap0 --dad-transmits x", "run --tap tap0 --dad-transmits -1",
		"run --tap tap0 --services time", "run --tap tap0 --backend x", "run --tap tap0 --offload x", "run --tap tap0 --log-format x", "run --tap tap0 --addr fe80::1%tap1",
	} {
		code, stdout, stderr := command(t, strings.Split(line, " ")...)
		if code != control.ExitUsage || stdout != "" || !isLine(stderr) {
			t.Errorf("tapstack %s: exit code %d, stdout %q, stderr %q, want 2 and one line on stderr", line, code, stdout, stderr)
		}
	}
}

// isLine reports whether s is one line of ours.
func isLine(s string) bool {
	return strings.HasPrefix(s, "tapstack: ") && strings.Count(s, "\n") == 1 && strings.HasSuffix(s, "\n")
}

// Without a process every other command ends with exit code 5.
func TestNoProcess(t *testing.T) {
	for _, line := range []string{
		"addr", "addr show -j", "addr failures", "addr add 2001:db8::1/64", "addr add fe80::1%tap0 --valid forever --preferred 0", "addr add 2001:db8::1 dev tap0", "addr del 2001:db8::1", "addr accept 2001:db8::1",
		"route", "route show", "route add default via fe80::1", "route del default", "route get ff02::1 from fe80::1 -j", "neigh", "neigh add fe80::1 lladdr 02:00:00:00:00:01",
		"neigh add fe80::1 02:00:00:00:00:01", "neigh del fe80::1", "neigh flush", "maddr", "maddr join ff02::1234", "maddr leave ff02::1234", "maddr join ff35::8000:1 --source 2001:db8::9 --source fe80::9%tap0", "link", "link set tap0 up mtu 1280", "link set down --dev tap0",
		"monitor", "monitor --since 0", "ping -c 1 fe80::1%tap0", "addr --dev tap0", "addr --control /nowhere/tap0.sock",
	} {
		code, stdout, stderr := command(t, strings.Split(line, " ")...)
		if line == "ping -c 1 fe80::1%tap0" {
			stdout = "" // its headline may be out
		}
		if code != control.ExitNoProcess || stdout != "" || !isLine(stderr) || !strings.Contains(stderr, "no tapstack process answers") {
			t.Errorf("tapstack %s: exit code %d, stdout %q, stderr %q, want 5 and one line on stderr", line, code, stdout, stderr)
		}
	}
}

// visit calls f for every command.
func visit(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		visit(sub, f)
	}
}

func TestHelp_EveryCommandHasExamplesThatParse(t *testing.T) {
	visit(newRoot(), func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s: no short help or no example", c.CommandPath())
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			_, args, ok := strings.Cut(strings.Split(line, "  #")[0], "tapstack ")
			if !ok {
				t.Errorf("%s: example %q", c.CommandPath(), line)
				continue
			}
			if i := strings.LastIndex(args, "tapstack "); i >= 0 {
				args = args[i+len("tapstack "):]
			}
			args, _, _ = strings.Cut(args, " | ")
			root := newRoot()
			sub, rest, err := root.Find(strings.Fields(args))
			if err == nil {
				err = sub.ParseFlags(rest)
			}
			if err != nil {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
			}
		}
		path := strings.Fields(c.CommandPath())[1:]
		for _, args := range [][]string{append(path, "--help"), append([]string{"help"}, path...)} {
			code, stdout, stderr := command(t, args...)
			if code != 0 || stderr != "" || !strings.Contains(stdout, "Usage:") {
				t.Errorf("%v: exit code %d, stderr %q, stdout %q", args, code, stderr, stdout)
			}
		}
	})
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, stdout, stderr := command(t, "completion", shell)
		if code != 0 || !strings.Contains(stdout, "tapstack") {
			t.Errorf("%s: exit code %d, stderr %q", shell, code, stderr)
		}
	}
	code, stdout, _ := command(t, "__complete", "addr", "add", "2001:db8::1", "--dad", "")
	if code != 0 || !strings.Contains(stdout, "optimistic\n") {
		t.Errorf("completing --dad: exit code %d, %q", code, stdout)
	}
}

func TestManual(t *testing.T) {
	code, page, stderr := command(t, "man")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	visit(newRoot(), func(c *cobra.Command) {
		if c.HasParent() && !c.Hidden && c.Name() != "help" && !strings.Contains(page, "\n.SS tapstack "+roff(commandName(c))) {
			t.Errorf("the manual has nothing on %s", c.CommandPath())
		}
	})
	for line := range strings.Lines(page) {
		macro, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(line, ".") && !strings.Contains(" .TH .SH .SS .PP .TP .B .I .nf .fi ", " "+macro+" ") || strings.HasPrefix(line, "'") {
			t.Errorf("the manual has the request %q", line)
		}
	}
	if groff, err := exec.LookPath("groff"); err == nil {
		cmd := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z")
		cmd.Stdin = strings.NewReader(page)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("groff: %v\n%s", err, out)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := command(t, "version")
	for _, name := range []string{"tapstack ", "go ", "gvisor "} {
		if code != 0 || !strings.Contains(stdout, name) {
			t.Errorf("exit code %d, %q has no %q", code, stdout, name)
		}
	}
	if code, stdout, _ := command(t, "version", "-j"); code != 0 || !strings.HasPrefix(stdout, `{"tapstack":"`) {
		t.Errorf("-j: exit code %d, %q", code, stdout)
	}
}

func TestRun_SetHelpListsTheKnobs(t *testing.T) {
	code, stdout, stderr := command(t, "run", "--set", "help")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, k := range stack.Knobs() {
		if !strings.Contains(stdout, k.Name+"=") || !strings.Contains(stdout, k.RFC) {
			t.Errorf("nothing on %s", k.Name)
		}
	}
}

// parseRun parses a command line of run.
func parseRun(t *testing.T, args ...string) (*settings, error) {
	t.Helper()
	f := new(runFlags)
	cmd := newRunCommand(f)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if f.config != "" {
		if err := readConfig(cmd, f.config); err != nil {
			return nil, err
		}
	}
	return f.parse(cmd)
}

func TestRun_ConfigFileMeansTheSameAsFlags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	text := `# a host
tap = tap0
  mac=02:00:00:00:00:01	# ours
addr 2001:db8::1/64
addr = 2001:db8::2

route default,via fe80::9
profile	rfc4862
set dad_transmits=3
services = echo,discard
keep-going
up = false
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	fromFile, err := parseRun(t, "--config", path, "--profile", "rfc2462")
	if err != nil {
		t.Fatal(err)
	}
	fromFlags, err := parseRun(t, "--tap", "tap0", "--mac", "02:00:00:00:00:01", "--addr", "2001:db8::1/64", "--addr", "2001:db8::2", "--route", "default,via fe80::9",
		"--profile", "rfc2462", "--set", "dad_transmits=3", "--services", "echo,discard", "--keep-going", "--up=false")
	if err != nil {
		t.Fatal(err)
	}
	fromFile.config = ""
	if diff := cmp.Diff(fromFlags, fromFile, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("(-flags +file):\n%s", diff)
	}
}

func TestRun_ConfigFileErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	for text, want := range map[string]string{
		"frob = 1\n":            path + `:1: there is no key "frob"`,
		"tap=tap0\nconfig = x":  path + `:2: there is no key "config"`,
		"tap=tap0\n\nmtu = big": path + `:3: invalid argument "big" for "--mtu"`,
		"tap":                   path + `:1: tap needs a value`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := parseRun(t, "--config", path)
		if err == nil || !strings.HasPrefix(err.Error(), want) || exitCode(err) != control.ExitUsage {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := parseRun(t, "--config", path+"?"); exitCode(err) != control.ExitFailed {
		t.Errorf("a file that is not there: %v", err)
	}
}

// --set is stronger than --dad-transmits, and both than the profile.
func TestRun_OrderOfProfileKnobs(t *testing.T) {
	s, err := parseRun(t, "--tap", "tap0", "--set", "dad_transmits=5", "--dad-transmits", "7", "--profile", "rfc4862")
	if err != nil {
		t.Fatal(err)
	}
	want := stack.RFC4862()
	if err := want.Set("dad_transmits", "5"); err != nil {
		t.Fatal(err)
	}
	if s.iface.Profile != want {
		t.Errorf("got %+v, want %+v", s.iface.Profile, want)
	}
}
