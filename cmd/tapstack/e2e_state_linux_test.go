package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/nd"
)

// linkLocal waits for the link-local address.
func (p *place) linkLocal() netip.Addr {
	p.t.Helper()
	for range 1000 {
		var all []control.Address
		if err := json.Unmarshal([]byte(p.output("addr show -j")), &all); err != nil {
			p.t.Fatal(err)
		}
		for _, a := range all {
			if a.Origin == "link-local" && a.State == "preferred" {
				return a.Address
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatal("no link-local address is assigned")
	return netip.Addr{}
}

// life runs a host until it has a link-local address, and returns that.
func (p *place) life(args ...string) netip.Addr {
	p.t.Helper()
	s := p.serve(append([]string{"--tap", "tap0", "--mac", "02:00:00:00:00:01"}, args...)...)
	a := p.linkLocal()
	if code := s.exit(syscall.SIGTERM); code != 0 {
		p.t.Errorf("exit code %d, stderr %s", code, &s.stderr)
	}
	return a
}

// Stable identifiers are the same after a restart, others with another secret,
// and have nothing of the link-layer address.
//
// Spec: RFC 7217, section 5, SHOULD, IID-R05
func TestE2E_StableIdentifiersSurviveARestart(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	eui64 := netip.MustParseAddr("fe80::ff:fe00:1")
	if a := p.life("--iid", "eui64"); a != eui64 {
		t.Errorf("with eui64: %v, want %v", a, eui64)
	}
	if _, err := os.Stat(p.state); err == nil {
		t.Error("a state directory is made for nothing")
	}
	first := p.life("--iid", "stable")
	if again := p.life("--iid", "stable"); again != first || first == eui64 {
		t.Errorf("with stable: %v, then %v", first, again)
	}
	if other := p.life("--iid", "stable", "--state-dir", filepath.Join(t.TempDir(), "other")); other == first {
		t.Errorf("with another secret: %v again", other)
	}
	if r := p.life("--iid", "random"); r == first || r == eui64 {
		t.Errorf("with random: %v", r)
	}
	info, err := os.Stat(filepath.Join(p.state, "secret"))
	if err != nil || info.Mode() != 0o600 || info.Size() != 32 {
		t.Errorf("the secret: %v, %v", info, err)
	}
}

// A DAD counter is kept, and used again.
//
// Spec: RFC 7217, section 6, MAY, IID-R10
func TestE2E_DADCounterSurvivesARestart(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	first := p.life("--iid", "stable")
	p.ns.Run(t, "ip", "-6", "addr", "add", first.String()+"/64", "dev", "tap0", "nodad")
	// The kernel may need a moment to answer on a TAP that has just come to life.
	second := p.life("--iid", "stable", "--dad-transmits", "3")
	if second == first {
		t.Fatalf("%v is a duplicate", second)
	}
	p.ns.Run(t, "ip", "-6", "addr", "del", first.String()+"/64", "dev", "tap0")
	if third := p.life("--iid", "stable"); third != second {
		t.Errorf("after a restart %v, want %v", third, second)
	}
	b, err := os.ReadFile(filepath.Join(p.state, "counters.json"))
	if want := `[{"interface":"tap0","prefix":"fe80::/64","counter":1}]` + "\n"; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

// A counter that cannot be kept is a warning, and the host goes on.
func TestE2E_CounterThatCannotBeKept(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	s := p.serve("--tap", "tap0", "--iid", "stable")
	first := p.linkLocal()
	p.want("link set tap0 down", result{})
	if err := os.RemoveAll(p.state); err != nil {
		t.Fatal(err)
	}
	p.ns.Run(t, "ip", "-6", "addr", "add", first.String()+"/64", "dev", "tap0", "nodad")
	p.want("link set tap0 up", result{})
	if second := p.linkLocal(); second == first {
		t.Errorf("%v is a duplicate", second)
	}
	if log := s.stderr.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "a DAD counter is not kept") || !strings.Contains(log, p.state) {
		t.Errorf("log: %s", log)
	}
	if code := s.exit(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Trouble with the state directory is one line and exit code 1, and leaves
// nothing running or made.
func TestE2E_StateDirectoryTrouble(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.life("--iid", "stable")
	secret := filepath.Join(p.state, "secret")
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	p.want("run --tap tap0 --iid stable", result{Code: 1,
		Stderr: "tapstack: " + secret + " has mode 0644, so that others may read it: chmod 600 " + secret + "\n"})
	p.want("run --tap tap0 --iid stable --state-dir "+secret, result{Code: 1,
		Stderr: "tapstack: state directory: mkdir " + secret + ": not a directory\n"})
	if err := os.WriteFile(filepath.Join(p.state, "counters.json"), []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	p.wantCode("run --tap tap1 --iid stable", 1)
	if links := p.links(); strings.Contains(links, "tap1") || len(p.files()) > 0 {
		t.Errorf("left behind: links %s and files %v", links, p.files())
	}
	p.life("--iid", "eui64") // needs no state
}

// Several processes share the directory, with identifiers of their own.
func TestE2E_ProcessesShareTheStateDirectory(t *testing.T) {
	p := newPlace(t)
	// The same link-layer address: the difference is the interface's name.
	for _, name := range []string{"tap0", "tap1"} {
		p.serve("--tap", name, "--iid", "stable", "--mac", "02:00:00:00:00:01", "--no-ra")
	}
	var shown [2]string
	for k, name := range []string{"tap0", "tap1"} {
		shown[k], _, _ = strings.Cut(p.output("addr show dev "+name), "/")
	}
	if shown[0] == shown[1] || !strings.HasPrefix(shown[0], "fe80::") || !strings.HasPrefix(shown[1], "fe80::") {
		t.Errorf("link-local addresses %v", shown)
	}
}

// Without root a host keeps its state in the user's home, or says what it
// needs.
func TestE2E_StateOfAUser(t *testing.T) {
	p := newPlace(t)
	const user = 65534
	tun := p.openTAP("tap0")
	p.ns.Run(t, "ip", "link", "set", "tap0", "up")
	home, program := filepath.Join(p.run, "home"), filepath.Join(p.run, "tapstack.test")
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(program, self, 0o755)
	}
	if err == nil {
		err = os.Mkdir(home, 0o700)
	}
	if err == nil {
		err = os.Chown(home, user, user)
	}
	if err == nil {
		err = os.Chmod(p.run, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	command := func(env ...string) *exec.Cmd {
		cmd := p.ns.Command(program, "run", "--fd", "3", "--iid", "stable")
		// ip(8) needs root to enter the namespace.
		cmd.Args = append(append([]string{}, cmd.Args[:4]...), append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, cmd.Args[4:]...)...)
		cmd.ExtraFiles = []*os.File{tun}
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), mainVariable + "=1", "XDG_RUNTIME_DIR=" + home}, env...)
		return cmd
	}
	var stderr bytes.Buffer
	cmd := command()
	cmd.Stderr = &stderr
	want := "tapstack: no directory for the secret of stable interface identifiers: neither XDG_STATE_HOME nor HOME is set;" +
		" name a state directory with --state-dir, or need none with --iid eui64\n"
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || stderr.String() != want {
		t.Errorf("without HOME: %v, stderr %q, want %q", err, &stderr, want)
	}
	stderr.Reset()
	cmd = command("HOME=/proc")
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || !isLine(stderr.String()) || !strings.Contains(stderr.String(), "/proc/.local") || !strings.Contains(stderr.String(), "--iid eui64") {
		t.Errorf("with a HOME in which nothing can be made: %v, stderr %q", err, &stderr)
	}
	s := p.serveCommand(command("HOME=" + home))
	if code := s.exit(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d, stderr %s", code, &s.stderr)
	}
	var made []string
	for _, f := range p.files() {
		if strings.Contains(f, "/.local/state/tapstack") {
			made = append(made, f)
		}
	}
	if diff := cmp.Diff([]string{"/home/.local/state/tapstack drwx------", "/home/.local/state/tapstack/secret -rw-------"}, made); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// The link-layer address can be changed, and what was made of it stays.
func TestE2E_LinkAddressChanges(t *testing.T) {
	p := newPlace(t)
	p.serve("--tap", "tap0", "--mac", "02:00:00:00:00:01")
	p.settle()
	before := p.output("addr show")
	p.want("link set tap0 address 02:00:00:00:00:05", result{})
	var links []control.Link
	want := nd.LinkAddr{2, 0, 0, 0, 0, 5}
	if err := json.Unmarshal([]byte(p.output("link show -j")), &links); err != nil || len(links) != 1 || links[0].LinkAddress != want {
		t.Errorf("link show -j: %v, %v", links, err)
	}
	p.want("addr show", result{Stdout: before})
}
