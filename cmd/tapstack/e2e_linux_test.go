package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/internal/decode"
	"github.com/tapstack/tapstack/internal/netnstest"
)

// The tests of this file run the command for real: on a TAP in a network
// namespace of its own, with the Linux kernel as the other node on the link.

// fast makes DAD short; the random delay of the first message stays.
var fast = []string{"--set", "retrans_timer=50ms"}

// place is a namespace, a runtime directory and a state directory for processes.
type place struct {
	t     *testing.T
	ns    *netnstest.Namespace
	run   string
	state string // made by the first process that needs it
	env   []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	netnstest.Require(t)
	t.Parallel()
	run, err := os.MkdirTemp("", "tapstack") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	return &place{t: t, ns: netnstest.New(t), run: run, state: filepath.Join(t.TempDir(), "state")}
}

// kernel makes the TAP name before any process does, and gives the kernel's
// side the address.
func (p *place) kernel(name, address string) {
	p.t.Helper()
	p.ns.Run(p.t, "ip", "tuntap", "add", "dev", name, "mode", "tap")
	p.ns.Run(p.t, "ip", "link", "set", name, "address", "02:00:00:00:00:09", "up")
	p.ns.Run(p.t, "ip", "-6", "addr", "add", address, "dev", name, "nodad")
}

// command is a command line of ours. A host has EUI-64 identifiers, so that a
// test knows its addresses, unless its command line says otherwise.
func (p *place) command(args ...string) *exec.Cmd {
	if len(args) > 0 && args[0] == "run" {
		for flag, value := range map[string]string{"--iid": "eui64", "--state-dir": p.state} {
			if !slices.Contains(args, flag) {
				args = append(slices.Clone(args), flag, value)
			}
		}
	}
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := p.ns.Command(self, args...)
	cmd.Env = append(os.Environ(), mainVariable+"=1", "XDG_RUNTIME_DIR="+p.run)
	cmd.Env = append(cmd.Env, p.env...)
	return cmd
}

// result is what a command that has ended leaves.
type result struct {
	Code           int
	Stdout, Stderr string
}

func (p *place) do(stdin string, args ...string) result {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want runs a command line and compares all of its result.
func (p *place) want(line string, want result) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.do("", strings.Split(line, " ")...)); diff != "" {
		p.t.Errorf("tapstack %s (-want +got):\n%s", line, diff)
	}
}

// wantCode runs a command line that fails, with one line on stderr.
func (p *place) wantCode(line string, code int) {
	p.t.Helper()
	got := p.do("", strings.Split(line, " ")...)
	if got.Code != code || !isLine(got.Stderr) {
		p.t.Errorf("tapstack %s: %+v, want exit code %d and one line", line, got, code)
	}
}

func (p *place) output(line string) string {
	p.t.Helper()
	got := p.do("", strings.Split(line, " ")...)
	if got.Code != 0 || got.Stderr != "" {
		p.t.Fatalf("tapstack %s: %+v", line, got)
	}
	return got.Stdout
}

// process is a command that runs.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	lines          chan string // of stdout
	stdout, stderr lockedBuffer
	ended          chan struct{}
}

func (p *place) start(cmd *exec.Cmd) *process {
	p.t.Helper()
	s := &process{t: p.t, cmd: cmd, lines: make(chan string, 10000), ended: make(chan struct{})}
	cmd.Stderr = &s.stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		r := bufio.NewScanner(io.TeeReader(stdout, &s.stdout))
		for r.Scan() {
			s.lines <- r.Text()
		}
		close(s.lines)
		_ = cmd.Wait() // exit reads the state
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-s.ended
	})
	return s
}

// serve starts `run` and waits until it is ready.
func (p *place) serve(args ...string) *process {
	p.t.Helper()
	return p.serveCommand(p.command(slices.Concat([]string{"run"}, fast, args)...))
}

func (p *place) serveCommand(cmd *exec.Cmd) *process {
	p.t.Helper()
	s := p.start(cmd)
	if line := <-s.lines; line != "ready" {
		<-s.ended
		p.t.Fatalf("first line %q, stderr %s, want ready", line, &s.stderr)
	}
	return s
}

// exit waits for the end, after sig if that is not 0.
func (s *process) exit(sig syscall.Signal) int {
	s.t.Helper()
	if sig != 0 {
		if err := s.cmd.Process.Signal(sig); err != nil {
			s.t.Fatal(err)
		}
	}
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		s.t.Fatalf("the process does not end; stderr %s", &s.stderr)
	}
	return s.cmd.ProcessState.ExitCode()
}

// files lists what is below the runtime directory.
func (p *place) files() (all []string) {
	p.t.Helper()
	err := filepath.Walk(p.run, func(path string, info os.FileInfo, err error) error {
		if path != p.run {
			all = append(all, strings.TrimPrefix(path, p.run)+" "+info.Mode().String())
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// oneSpace makes columns independent of their widths.
func oneSpace(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

func (p *place) links() string {
	p.t.Helper()
	return p.ns.Run(p.t, "ip", "-br", "link")
}

// The whole life of a host whose timers are those of the RFC.
//
// Spec: RFC 4862, section 5.4, MUST, KRE-1
// Spec: RFC 4862, section 5.4.5, MUST NOT, KRE-2
func TestE2E_Life(t *testing.T) {
	p := newPlace(t)
	before := p.links()
	s := p.serveCommand(p.command("run", "--tap", "tap0", "--mac", "02:00:00:00:00:01"))
	if diff := cmp.Diff([]string{"/tapstack drwx------", "/tapstack/tap0.sock Srw-------"}, p.files()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	p.ns.Run(t, "ip", "link", "set", "tap0", "address", "02:00:00:00:00:09")
	p.ns.Run(t, "ip", "-6", "addr", "add", "2001:db8::9/64", "dev", "tap0", "nodad")
	start := time.Now()
	p.want("addr add 2001:db8::5/64", result{})
	if took := time.Since(start); took < time.Second {
		t.Errorf("DAD took %v, less than RetransTimer", took)
	}
	p.settle()
	show := "fe80::ff:fe00:1/64  dev tap0  preferred  link-local  preferred forever  valid forever\n" +
		"2001:db8::5/64      dev tap0  preferred  manual      preferred forever  valid forever\n"
	p.want("addr show", result{Stdout: show})

	views := []string{"addr show -j", "route show -j", "maddr show -j", "addr show", "route", "maddr"}
	var then []string
	for _, v := range views {
		then = append(then, p.output(v))
	}
	p.want("addr add 2001:db8::9/64", result{Code: 3,
		Stderr: "tapstack: add 2001:db8::9 on tap0: duplicate address: in use by 02:00:00:00:00:09 (neighbor advertisement)\n"})
	for i, v := range views {
		p.want(v, result{Stdout: then[i]})
	}
	if f := p.output("addr failures"); !strings.Contains(f, "2001:db8::9  dev tap0  in use by 02:00:00:00:00:09  neighbor advertisement\n") {
		t.Errorf("addr failures: %s", f)
	}

	p.want("addr add 2001:db8::5/64", result{Code: 6, Stderr: "tapstack: add 2001:db8::5 on tap0: the address exists already\n"})
	p.want("addr del 2001:db8::77", result{Code: 4, Stderr: "tapstack: remove 2001:db8::77 on tap0: no such address\n"})
	p.want("addr del 2001:db8::5/64", result{})
	p.want("addr show", result{Stdout: strings.SplitAfter(show, "\n")[0]})

	if code := s.exit(syscall.SIGTERM); code != 0 || s.stdout.String() != "ready\n" {
		t.Errorf("exit code %d, stdout %q, stderr %s", code, &s.stdout, &s.stderr)
	}
	if after := p.links(); after != before || len(p.files()) > 0 {
		t.Errorf("left behind: links %s and files %v", after, p.files())
	}
	p.wantCode("addr show", 5)
}

func TestE2E_DuplicateAtStart(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	args := append([]string{"run", "--tap", "tap0", "--addr", "2001:db8::5/64", "--addr", "2001:db8::9/64"}, fast...)
	s := p.serveCommand(p.command(args...))
	line := "tapstack: add 2001:db8::9 on tap0: duplicate address: in use by 02:00:00:00:00:09 (neighbor advertisement)\n"
	if code := s.exit(0); code != 3 || !strings.Contains(s.stderr.String(), line) || s.stdout.String() != "ready\n" {
		t.Errorf("exit code %d, stdout %q, stderr %s", code, &s.stdout, &s.stderr)
	}
	if links := p.links(); !strings.Contains(links, "tap0") {
		t.Errorf("the TAP that was there is gone: %s", links)
	}
	s = p.serve("--tap", "tap0", "--addr", "2001:db8::5/64", "--addr", "2001:db8::9/64", "--keep-going")
	p.settle()
	if show := p.output("addr show"); !strings.Contains(show, "2001:db8::5/64") || strings.Contains(show, "2001:db8::9") {
		t.Errorf("addr show: %s", show)
	}
	if code := s.exit(syscall.SIGINT); code != 0 || !strings.Contains(s.stderr.String(), line) {
		t.Errorf("exit code %d, stderr %s", code, &s.stderr)
	}
}

func TestE2E_SecondProcessIsRefused(t *testing.T) {
	p := newPlace(t)
	p.serve("--tap", "tap0")
	p.wantCode("run --tap tap0", 1)
	socket := filepath.Join(p.run, "tapstack/tap0.sock")
	p.want("run --tap tap1 --control "+socket, result{Code: 1,
		Stderr: "tapstack: the control socket " + socket + " is in use: another tapstack process serves it\n"})
	if links := p.links(); strings.Contains(links, "tap1") {
		t.Errorf("the TAP of the refused process stays: %s", links)
	}
	p.output("addr show")
}

func TestE2E_StaleSocketIsReplaced(t *testing.T) {
	p := newPlace(t)
	s := p.serve("--tap", "tap0")
	s.exit(syscall.SIGKILL)
	if len(p.files()) != 2 {
		t.Errorf("a killed process should leave its socket: %v", p.files())
	}
	p.wantCode("addr show", 5)
	p.serve("--tap", "tap0")
	p.output("addr show")
}

func TestE2E_SeveralProcesses(t *testing.T) {
	p := newPlace(t)
	p.serve("--tap", "tap0", "--addr", "2001:db8::a/64")
	p.serve("--tap", "tap1", "--addr", "2001:db8::b/64")
	p.want("addr show", result{Code: 2,
		Stderr: "tapstack: several tapstack processes run, for tap0, tap1: pick one with --dev NAME (see tapstack addr show --help)\n"})
	for _, line := range []string{"addr show --dev tap1", "addr show dev tap1", "addr --dev tap1", "addr show --control " + filepath.Join(p.run, "tapstack/tap1.sock")} {
		if show := p.output(line); !strings.Contains(show, "2001:db8::b") || strings.Contains(show, "2001:db8::a") {
			t.Errorf("%s: %s", line, show)
		}
	}
	p.want("addr add fe80::7%tap1", result{})
	p.want("addr show --dev tap2", result{Code: 4, Stderr: "tapstack: no tapstack process serves tap2: running for tap0, tap1\n"})
	p.env = []string{"TAPSTACK_CONTROL=" + filepath.Join(p.run, "tapstack/tap0.sock")}
	if show := p.output("addr show"); !strings.Contains(show, "2001:db8::a") {
		t.Errorf("with TAPSTACK_CONTROL: %s", show)
	}
	p.want("addr show --dev tap1", result{Code: 4, Stderr: "tapstack: interface tap1: no such interface\n"})
}

func TestE2E_InterruptedAndTimedOutAdds(t *testing.T) {
	p := newPlace(t)
	p.serve("--tap", "tap0", "--set", "retrans_timer=1h", "--set", "dad_transmits=2")
	before := p.output("addr show -j")
	p.want("addr add 2001:db8::5/64 --timeout 200ms", result{Code: 1,
		Stderr: "tapstack: add 2001:db8::5 on tap0: timed out before DAD ended; the address was taken away again\n"})
	p.want("addr show -j", result{Stdout: before})
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		s := p.start(p.command("addr", "add", "2001:db8::5/64"))
		p.awaitAddress("2001:db8::5")
		if code := s.exit(sig); code != 1 ||
			s.stderr.String() != "tapstack: add 2001:db8::5 on tap0: canceled before DAD ended; the address was taken away again\n" {
			t.Errorf("exit code %d, stderr %s", code, &s.stderr)
		}
		p.want("addr show -j", result{Stdout: before})
	}
	s := p.start(p.command("addr", "add", "2001:db8::5/64"))
	p.awaitAddress("2001:db8::5")
	p.want("addr del 2001:db8::5", result{})
	if code := s.exit(0); code != 1 || s.stderr.String() != "tapstack: add 2001:db8::5 on tap0: the address was removed before its test ended\n" {
		t.Errorf("exit code %d, stderr %s", code, &s.stderr)
	}
	p.want("addr add 2001:db8::5/64 --no-wait", result{})
	p.want("addr add 2001:db8::5/64 --no-wait", result{Code: 6, Stderr: "tapstack: add 2001:db8::5 on tap0: the address exists already\n"})
}

// settle waits until no address is in DAD any more. The link-local one begins
// first, but the random delay before it may be the longest.
func (p *place) settle() {
	p.t.Helper()
	for range 500 {
		if !strings.Contains(p.output("addr show"), "tentative") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatal("DAD does not end")
}

func (p *place) awaitAddress(a string) {
	p.t.Helper()
	for range 500 {
		if strings.Contains(p.output("addr show"), a+"/") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.t.Fatalf("%s does not appear", a)
}

func TestE2E_AddFile(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.serve("--tap", "tap0")
	got := p.do("2001:db8::a1/64\n\n# the kernel's\n2001:db8::9/64 # twice\n2001:db8::a2\n2001:db8::a1\n", "addr", "add", "-f", "-")
	want := result{Code: 3, Stderr: "tapstack: add 2001:db8::9 on tap0: duplicate address: in use by 02:00:00:00:00:09 (neighbor advertisement)\n" +
		"tapstack: add 2001:db8::a1 on tap0: the address exists already\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if show := p.output("addr show"); !strings.Contains(show, "2001:db8::a1/64") || !strings.Contains(show, "2001:db8::a2/128") {
		t.Errorf("addr show: %s", show)
	}
	file := filepath.Join(p.run, "list")
	if err := os.WriteFile(file, []byte("2001:db8::a1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.wantCode("addr add -f "+file, 6)
	if got := p.do("2001:db8::a1\n2001:db8::9\n2001:db8::a1\n", "addr", "add", "-f", "-"); got.Code != 3 || strings.Count(got.Stderr, "\n") != 3 {
		t.Errorf("a duplicate among others: %+v, want exit code 3 and three lines", got)
	}
	if err := os.WriteFile(file, []byte("2001:db8::b1\n::1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.want("addr add -f "+file, result{Code: 2, Stderr: "tapstack: " + file + ":2: address ::1: the loopback address cannot be assigned to a TAP (see tapstack addr add --help)\n"})
	if show := p.output("addr show"); strings.Contains(show, "2001:db8::b1") {
		t.Errorf("a file with an error was begun: %s", show)
	}
}

func TestE2E_AddFlags(t *testing.T) {
	p := newPlace(t)
	p.serve("--tap", "tap0", "--mac", "02:00:00:00:00:01", "--set", "retrans_timer=1h")
	p.want("addr add 2001:db8:1::5/64 --dad off --noprefixroute --valid 1h --preferred 0", result{})
	p.want("addr add 2001:db8:2::5/64 --anycast", result{})
	p.want("addr add 2001:db8:3::5/64 --dad optimistic --no-wait", result{})
	show := regexp.MustCompile(`\b3[56]\d\ds`).ReplaceAllString(p.output("addr show"), "1h")
	want := "fe80::ff:fe00:1/64  dev tap0  tentative   link-local  preferred forever  valid forever\n" +
		"2001:db8:1::5/64    dev tap0  deprecated  manual      preferred 0s       valid 1h\n" +
		"2001:db8:2::5/64    dev tap0  preferred   manual      preferred forever  valid forever\n" +
		"2001:db8:3::5/64    dev tap0  optimistic  manual      preferred forever  valid forever\n"
	if diff := cmp.Diff(want, show); diff != "" {
		t.Errorf("addr show (-want +got):\n%s", diff)
	}
	routes := p.output("route show")
	if strings.Contains(routes, "2001:db8:1::/64") || !strings.Contains(routes, "2001:db8:2::/64") {
		t.Errorf("routes:\n%s", routes)
	}
}

func TestE2E_RoutesNeighborsGroupsAndLink(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.serve("--tap", "tap0", "--mac", "02:00:00:00:00:01", "--route", "2001:db8:7::/48,via fe80::9")
	p.want("addr add 2001:db8::5/64", result{})

	p.settle()
	before := p.output("route")
	if !strings.Contains(before, "2001:db8:7::/48  via fe80::9  dev tap0  origin static   metric 512  pref medium  held by static\n") {
		t.Errorf("route: %s", before)
	}
	p.want("route add default via fe80::9 metric 5", result{})
	p.wantCode("route add default via fe80::9 metric 5", 6)
	p.want("route get 2001:db8:1::1", result{Stdout: "2001:db8:1::1 via fe80::9 dev tap0 src 2001:db8::5 neighbor none\n"})
	p.want("route get 2001:db8::9 from 2001:db8::5 -j", result{
		Stdout: `{"destination":"2001:db8::9","next_hop":"2001:db8::9","source":"2001:db8::5","interface":"tap0","neighbor":"none"}` + "\n"})
	p.wantCode("route del default via fe80::9", 4)
	p.want("route del default via fe80::9 --metric 5", result{})
	p.want("route", result{Stdout: before})
	p.wantCode("route get 2001:db8:1::1", 4)

	p.want("neigh add fe80::7 lladdr 02:00:00:00:00:07", result{})
	if n := p.output("neigh"); !strings.HasPrefix(n, "fe80::7  dev tap0  lladdr 02:00:00:00:00:07  static  since ") {
		t.Errorf("neigh: %s", n)
	}
	p.want("neigh del fe80::7", result{})
	p.want("neigh del fe80::7", result{Code: 4, Stderr: "tapstack: delete neighbor fe80::7 on tap0: no such neighbor\n"})
	p.want("neigh show -j", result{Stdout: "[]\n"})
	p.want("neigh flush", result{})

	groups := p.output("maddr")
	p.want("maddr join ff02::4242", result{})
	p.wantCode("maddr join ff02::4242", 6)
	if g := p.output("maddr"); !strings.Contains(oneSpace(g), "ff02::4242 dev tap0 exclude held by static\n") {
		t.Errorf("maddr: %s", g)
	}
	p.want("maddr leave ff02::4242", result{})
	p.wantCode("maddr leave ff02::4242", 4)
	p.wantCode("maddr join ff35::8000:1", 2)
	p.want("maddr join ff35::8000:1 --source 2001:db8::99 --source 2001:db8::98", result{})
	p.want("maddr join ff35::8000:1 --source fe80::98%tap0", result{})
	p.wantCode("maddr join ff35::8000:1 --source 2001:db8::99", 6)
	if g := p.output("maddr"); !strings.Contains(oneSpace(g), "ff35::8000:1 dev tap0 include 2001:db8::98, 2001:db8::99, fe80::98 held by static\n") {
		t.Errorf("maddr: %s", g)
	}
	p.want("maddr leave ff35::8000:1 --source 2001:db8::98 --source fe80::98", result{})
	p.wantCode("maddr leave ff35::8000:1 --source 2001:db8::98", 4)
	ssm := `{"interface":"tap0","group":"ff35::8000:1","mode":"include","sources":["2001:db8::99"],"holders":["static"]}`
	if g := p.output("maddr show -j"); !strings.Contains(g, ssm) {
		t.Errorf("maddr show -j: %s, want among them %s", g, ssm)
	}
	p.want("maddr leave ff35::8000:1 --source 2001:db8::99", result{})
	p.want("maddr", result{Stdout: groups})

	p.want("link set tap0 down", result{})
	if l := p.output("link"); !strings.HasPrefix(l, "1: tap0: down, mtu 1500, lladdr 02:00:00:00:00:01, MLDv2\n") {
		t.Errorf("link: %s", l)
	}
	p.wantCode("addr add 2001:db8::6", 1)
	p.want("link set tap0 up mtu 1400", result{})
	p.want("link set tap0 mtu 2000", result{Code: 2, Stderr: "tapstack: " +
		"set MTU on tap0: MTU is not between 1280 (RFC 8200, section 5) and that of the link (see tapstack link set --help)\n"})
	p.wantCode("link set tap1 up", 4)
	p.awaitAddress("2001:db8::5") // it was added: it runs DAD again
	var links []control.Link
	if err := json.Unmarshal([]byte(p.output("link show -j")), &links); err != nil || len(links) != 1 || !links[0].Up || links[0].MTU != 1400 {
		t.Errorf("link show -j: %v, %v", links, err)
	}
}

// A label makes the address a source that the default table would not choose.
//
// Spec: RFC 6724, section 2.1, SHOULD, SAS-R13
func TestE2E_AddressLabels(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.serve("--tap", "tap0", "--mac", "02:00:00:00:00:01", "--route", "default,via fe80::9",
		"--addr", "2001:db8::5/64", "--addr", "fd00::5/64", "--addrlabel", "2a00::/16=13")
	p.settle()
	p.want("route get 2a00::1", result{Stdout: "2a00::1 via fe80::9 dev tap0 src fd00::5 neighbor none\n"})
	p.want("route get 2a01::1", result{Stdout: "2a01::1 via fe80::9 dev tap0 src 2001:db8::5 neighbor none\n"})
}

func TestE2E_Ping(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.serve("--tap", "tap0")
	p.want("addr add 2001:db8::5/64", result{})
	got := p.do("", "ping", "-c", "3", "-i", "0.05", "2001:db8::9")
	want := "PING 2001:db8::9 (2001:db8::9) 56 data bytes\n" +
		"64 bytes from 2001:db8::9: icmp_seq=1 ttl=64 time=T ms\n" +
		"64 bytes from 2001:db8::9: icmp_seq=2 ttl=64 time=T ms\n" +
		"64 bytes from 2001:db8::9: icmp_seq=3 ttl=64 time=T ms\n" +
		"\n--- 2001:db8::9 ping statistics ---\n" +
		"3 packets transmitted, 3 received, 0% packet loss, time Tms\n" +
		"rtt min/avg/max/mdev = T/T/T/T ms\n"
	got.Stdout = regexp.MustCompile(`\d+\.\d{3}|\d+ms`).ReplaceAllStringFunc(got.Stdout, func(s string) string {
		if strings.HasSuffix(s, "ms") {
			return "Tms"
		}
		return "T"
	})
	if diff := cmp.Diff(result{Stdout: want}, got); diff != "" {
		t.Errorf("ping (-want +got):\n%s", diff)
	}
	got = p.do("", "ping", "-c", "1", "2001:db8::77")
	if got.Code != 1 || got.Stderr != "tapstack: ping 2001:db8::77: no reply\n" ||
		!strings.Contains(got.Stdout, "icmp_seq=1 ping 2001:db8::77 on tap0: no route to host\n") ||
		!strings.Contains(got.Stdout, "1 packets transmitted, 0 received, 100% packet loss") {
		t.Errorf("ping of nobody: %+v", got)
	}
	got = p.do("", "ping", "-I", "2001:db8::77", "2001:db8::9")
	if got.Code != 4 || got.Stderr != "tapstack: ping from 2001:db8::77 on tap0: no such address\n" {
		t.Errorf("ping from an address of somebody else: %+v", got)
	}
	s := p.start(p.command("ping", "-I", "2001:db8::5", "2001:db8::9"))
	<-s.lines
	<-s.lines
	if code := s.exit(syscall.SIGINT); code != 0 || !strings.Contains(s.stdout.String(), "1 packets transmitted, 1 received") {
		t.Errorf("interrupted: exit code %d, %s%s", code, &s.stdout, &s.stderr)
	}
}

func TestE2E_Monitor(t *testing.T) {
	p := newPlace(t)
	s := p.serve("--tap", "tap0")
	m := p.start(p.command("monitor", "--since", "0"))
	if first := <-m.lines; !strings.HasPrefix(first, `{"seq":1,"time":"`) || !strings.HasSuffix(first, `Z","type":"link_up","interface":"tap0"}`) {
		t.Errorf("first event %s", first)
	}
	p.want("addr add 2001:db8::5", result{})
	for line := range m.lines {
		if strings.Contains(line, `"type":"address_assigned"`) && strings.Contains(line, `"address":"2001:db8::5"`) {
			break
		}
	}
	other := p.start(p.command("monitor"))
	if code := m.exit(syscall.SIGINT); code != 0 || m.stderr.String() != "" {
		t.Errorf("interrupted: exit code %d, %s", code, &m.stderr)
	}
	for range 100 { // until it is connected, which its first event shows
		p.want("maddr join ff02::99", result{})
		p.want("maddr leave ff02::99", result{})
		if len(other.lines) > 0 {
			break
		}
	}
	s.exit(syscall.SIGTERM)
	if code := other.exit(0); code != 5 || !isLine(other.stderr.String()) {
		t.Errorf("after the end of the process: exit code %d, %s", code, &other.stderr)
	}
}

// dial connects from the kernel's side.
func (p *place) dial(network, address string) net.Conn {
	p.t.Helper()
	var c net.Conn
	var err error
	p.ns.Do(p.t, func() { c, err = net.Dial(network, address) })
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func TestE2E_Services(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.serve("--tap", "tap0", "--services", "echo,discard,chargen")
	// Two addresses that source selection could confuse: an answer must come
	// from the one that was asked.
	p.want("addr add 2001:db8::8/64", result{})
	p.want("addr add 2001:db8:1::5/128", result{})
	p.ns.Run(t, "ip", "-6", "route", "add", "2001:db8:1::5", "dev", "tap0")
	for _, host := range []string{"2001:db8::8", "2001:db8:1::5"} {
		for _, network := range []string{"tcp", "udp"} {
			c := p.dial(network, "["+host+"]:7")
			buf := make([]byte, 100)
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != "hello" {
				t.Errorf("echo of %s by %s: %q, %v", host, network, buf[:n], err)
			}
		}
	}
	c := p.dial("tcp", "[2001:db8::8]:19")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || len(line) != 74 {
		t.Errorf("chargen: %q, %v", line, err)
	}
	c = p.dial("tcp", "[2001:db8::8]:9")
	if _, err := c.Write(make([]byte, 100000)); err != nil {
		t.Errorf("discard: %v", err)
	}
}

func TestE2E_Record(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(p.run, "tap0.pcapng")
	s := p.serve("--tap", "tap0", "--pcap", file)
	p.want("addr add 2001:db8::5", result{})
	if code := s.exit(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d, %s", code, &s.stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, frame := range pcapngFrames(t, b) {
		if strings.Contains(decode.Line(frame), "neighbor solicitation for 2001:db8::5 (DAD probe)") {
			return
		}
	}
	t.Errorf("no probe among the %d octets recorded", len(b))
}

// pcapngFrames returns the frames of a pcapng file of this machine's byte
// order: those in its Enhanced Packet Blocks.
func pcapngFrames(t *testing.T, b []byte) (frames [][]byte) {
	t.Helper()
	const enhancedPacket = 6
	for len(b) >= 12 {
		kind, length := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
		if length < 12 || int(length) > len(b) {
			t.Fatalf("a block of %d octets, with %d left", length, len(b))
		}
		if kind == enhancedPacket {
			frames = append(frames, b[28:][:binary.NativeEndian.Uint32(b[20:])])
		}
		b = b[length:]
	}
	return frames
}

// openTAP makes a TAP, which lives until the test ends.
func (p *place) openTAP(name string) (tun *os.File) {
	p.t.Helper()
	request, err := unix.NewIfreq(name)
	if err != nil {
		p.t.Fatal(err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	p.ns.Do(p.t, func() {
		if tun, err = os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err == nil {
			err = unix.IoctlIfreq(int(tun.Fd()), unix.TUNSETIFF, request)
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { tun.Close() })
	return tun
}

// A TAP that another program opened, as a service manager would.
func TestE2E_InheritedFD(t *testing.T) {
	p := newPlace(t)
	tun := p.openTAP("tap5")
	give := func(args ...string) *exec.Cmd {
		cmd := p.command(append(args, fast...)...)
		cmd.ExtraFiles = []*os.File{tun}
		return cmd
	}
	for _, args := range [][]string{{"run", "--fd", "3"}, {"run", "--fd", "3", "--tap", "tap5"}} {
		s := p.serveCommand(give(args...))
		p.want("addr add 2001:db8::5 dev tap5", result{})
		if code := s.exit(syscall.SIGTERM); code != 0 || len(p.files()) > 0 {
			t.Errorf("%v: exit code %d, files %v, stderr %s", args, code, p.files(), s.stderr.String())
		}
	}
	s := p.start(give("run", "--fd", "3", "--tap", "tap6"))
	if code := s.exit(0); code != 1 || s.stderr.String() != "tapstack: file descriptor 3 is the TAP tap5, not tap6\n" {
		t.Errorf("the wrong TAP: exit code %d, stderr %s", code, s.stderr.String())
	}
	p.wantCode("run --fd 0", 1)
}

func TestE2E_ServiceManagerIsTold(t *testing.T) {
	p := newPlace(t)
	path := filepath.Join(p.run, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p.env = []string{"NOTIFY_SOCKET=" + path}
	s := p.serve("--tap", "tap0")
	s.exit(syscall.SIGTERM)
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		buf := make([]byte, 100)
		if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := l.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("notification %q, %v, want %s", buf[:n], err, want)
		}
	}
}

func TestE2E_DeletedTAPEndsTheProcess(t *testing.T) {
	p := newPlace(t)
	s := p.serve("--tap", "tap0")
	p.ns.Run(t, "ip", "link", "del", "tap0")
	if code := s.exit(0); code != 1 || !strings.Contains(s.stderr.String(), "tapstack: read from TAP tap0: the interface was deleted") {
		t.Errorf("exit code %d, stderr %s", code, &s.stderr)
	}
	if len(p.files()) > 0 {
		t.Errorf("left behind: %v", p.files())
	}
}

// Without privileges, run says what to do, and leaves nothing.
func TestE2E_WithoutPrivileges(t *testing.T) {
	p := newPlace(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// In a user namespace of its own, a process has no privileges in the
	// network namespace that it was born in.
	cmd := p.ns.Command("unshare", "-U", self, "run", "--tap", "tap0")
	cmd.Env = append(os.Environ(), mainVariable+"=1", "XDG_RUNTIME_DIR="+p.run)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || !isLine(stderr.String()) || !strings.Contains(stderr.String(), "operation not permitted: this needs root or CAP_NET_ADMIN") {
		t.Errorf("%v, stderr %q", err, &stderr)
	}
	if len(p.files()) > 0 {
		t.Errorf("left behind: %v", p.files())
	}
}

// openTerminal returns a terminal and the end that sees what is written to it.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, screen.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if errno != 0 {
		t.Fatal(errno)
	}
	return screen, os.NewFile(fd, "terminal")
}

// On a terminal `addr add -f` shows how far it is, and wipes that at the end.
func TestE2E_ProgressOnATerminal(t *testing.T) {
	p := newPlace(t)
	p.kernel("tap0", "2001:db8::9/64")
	p.serve("--tap", "tap0")
	screen, terminal := openTerminal(t)
	cmd := p.command("addr", "add", "-f", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader("2001:db8::a1\n2001:db8::9\n2001:db8::a2\n"), terminal
	err := cmd.Run()
	terminal.Close()
	if cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("addr add -f: %v", err)
	}
	shown, err := io.ReadAll(screen)
	if !errors.Is(err, unix.EIO) { // the terminal is closed
		t.Fatal(err)
	}
	text := string(shown)
	last := strings.LastIndex(text, "\r\x1b[K")
	if !strings.Contains(text, "\r1 of 3 done") || last < 0 ||
		!strings.HasPrefix(text[last:], "\r\x1b[Ktapstack: add 2001:db8::9 on tap0: duplicate address") {
		t.Errorf("the terminal shows %q", text)
	}
}

func TestE2E_BackendsAndOffload(t *testing.T) {
	for _, flags := range [][]string{{"--offload", "off"}, {"--backend", "linux"}, {"--backend", "water", "--mtu", "1400", "-v", "--log-format", "json"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			p := newPlace(t)
			p.kernel("tap0", "2001:db8::9/64")
			s := p.serve(append(flags, "--tap", "tap0", "--services", "echo")...)
			p.want("addr add 2001:db8::5/64", result{})
			c := p.dial("tcp", "[2001:db8::5]:7").(*net.TCPConn)
			sent := bytes.Repeat([]byte("0123456789"), 50000)
			go func() {
				c.Write(sent)
				c.CloseWrite()
			}()
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d octets came back, %v", len(got), err)
			}
			if code := s.exit(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d, %s", code, s.stderr.String())
			}
			for line := range strings.Lines(s.stderr.String()) {
				if !json.Valid([]byte(line)) && slices.Contains(flags, "json") {
					t.Errorf("log line %q", line)
				}
			}
		})
	}
}

// With --up=false the kernel's side stays down, and nothing can be sent.
func TestE2E_UpIsLeftAlone(t *testing.T) {
	p := newPlace(t)
	p.serve("--tap", "tap0", "--up=false")
	if links := p.links(); !strings.Contains(links, "<BROADCAST,MULTICAST>") {
		t.Errorf("links %s", links)
	}
	p.wantCode("addr add 2001:db8::5/64", 1)
}

// With --down the host is silent until it is brought up; then it tests the
// addresses of --addr.
func TestE2E_DownUntilItIsBroughtUp(t *testing.T) {
	p := newPlace(t)
	p.serve("--tap", "tap0", "--down", "--addr", "2001:db8::5/64", "--mac", "02:00:00:00:00:01")
	p.want("addr show", result{Stdout: "2001:db8::5/64  dev tap0  tentative  manual  preferred forever  valid forever\n"})
	if show := p.output("link show"); !strings.Contains(show, "tap0: down,") || strings.Contains(p.output("maddr"), "ff02") {
		t.Errorf("link show: %s", show)
	}
	p.want("link set tap0 up", result{})
	p.settle()
	if show := p.output("addr show"); strings.Count(show, "  preferred  ") != 2 {
		t.Errorf("addr show: %s", show)
	}
}
