// Package node runs a host and its peer as processes of their own, joined by
// an Ethernet link of their own in network namespaces of their own, so that
// what is measured of one host does not depend on another. Nothing is left
// behind when they end.
package node

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
)

// variable makes a process of this program a Node, or a host that does nothing.
const (
	variable = "TAPSTACK_BENCH_NODE"
	roleNode = "node"
)

// Main is the whole of a process that Start has started, and does not return
// in it. In any other it does nothing.
func Main() {
	role := os.Getenv(variable)
	if role == "" {
		return
	}
	if role != roleNode {
		idle(role)
	}
	server := rpc.NewServer()
	if err := server.Register(new(Node)); err != nil {
		panic(err)
	}
	server.ServeConn(stdio{os.Stdin, os.Stdout}) // until the parent goes
	os.Exit(0)
}

// idle is a host of this name on the TAP that the command line names. It says
// that it is ready, and does nothing until it is killed.
func idle(name string) {
	if _, err := host.Open(name, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

type stdio struct {
	io.ReadCloser
	io.WriteCloser
}

func (s stdio) Close() error { return errors.Join(s.ReadCloser.Close(), s.WriteCloser.Close()) }

// Node is one process: a host, or the peer of one, which is the kernel. Its
// methods are called from the parent.
type Node struct {
	host      host.Host
	profile   *os.File
	processes []*exec.Cmd
}

// Open makes it the host of this name.
func (n *Node) Open(name string, _ *struct{}) (err error) {
	n.host, err = host.Open(name, host.DeviceName)
	return err
}

// Script runs shell commands in the process's namespace, up to the first that
// fails.
func (n *Node) Script(lines []string, output *string) error {
	cmd := exec.Command("sh", "-e")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	*output = string(out)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// StartProfile writes a CPU profile to a file until StopProfile.
func (n *Node) StartProfile(file string, _ *struct{}) (err error) {
	if n.profile, err = os.Create(file); err != nil {
		return err
	}
	return pprof.StartCPUProfile(n.profile)
}

// StopProfile ends it.
func (n *Node) StopProfile(struct{}, *struct{}) error {
	pprof.StopCPUProfile()
	return n.profile.Close()
}

// Process is a Node in another process.
type Process struct {
	*rpc.Client
	cmd *exec.Cmd
}

// command prepares a process; start is how it is started.
func command(start func(*exec.Cmd) error) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), variable+"="+roleNode)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := start(cmd); err != nil {
		return nil, err
	}
	return &Process{rpc.NewClient(stdio{out, in}), cmd}, nil
}

// Call calls a method of the Node.
func (p *Process) Call(method string, args, reply any) error {
	if err := p.Client.Call("Node."+method, args, reply); err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(method), err)
	}
	return nil
}

// Script runs shell commands in the process's namespace.
func (p *Process) Script(lines ...string) (out string, err error) {
	return out, p.Call("Script", lines, &out)
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Close ends the process.
func (p *Process) Close() error {
	return errors.Join(p.Client.Close(), p.cmd.Wait())
}

// Pair is a host and its peer.
type Pair struct {
	Name       string
	Host, Peer *Process
	profiles   string
}

// quiet keeps the kernel from saying anything of its own accord on the link.
var quiet = []string{
	"for f in accept_dad dad_transmits router_solicitations accept_ra; do echo 0 >/proc/sys/net/ipv6/conf/default/$f; done",
	"echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode",
	"ip link set lo up",
}

// Start starts the host of this name and its peer. If profiles is not empty,
// Profile writes CPU profiles of the host to this directory.
func Start(name, profiles string) (p *Pair, err error) {
	p = &Pair{Name: name, profiles: profiles}
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	if p.Host, err = command(startAlone); err != nil {
		return p, err
	}
	if _, err = p.Host.Script(quiet...); err != nil {
		return p, err
	}
	if err = p.link(); err != nil {
		return p, err
	}
	return p, p.Peer.Call("Serve", struct{}{}, nil)
}

// link starts the peer and joins the two: by a TAP, whose kernel's end is the
// peer's, or by a pair of virtual Ethernet interfaces.
func (p *Pair) link() (err error) {
	if p.Name != host.Kernel {
		if err := p.Host.Call("Open", p.Name, nil); err != nil {
			return err
		}
		if p.Peer, err = command(startInside(p.Host.PID())); err != nil {
			return err
		}
		_, err = p.Peer.Script("ip link set tap0 address 02:00:00:00:00:01", "ip -6 addr add 2001:db8::1/64 dev tap0 nodad")
		return err
	}
	if p.Peer, err = command(startAlone); err != nil {
		return err
	}
	_, err = p.Peer.Script(append(quiet,
		fmt.Sprintf("ip link add tap0 address 02:00:00:00:00:01 type veth peer name tap0 address 02:00:00:00:00:02 netns %d", p.Host.PID()),
		"ip link set tap0 up", "ip -6 addr add 2001:db8::1/64 dev tap0 nodad")...)
	if err != nil {
		return err
	}
	if _, err = p.Host.Script("ip link set tap0 up", "ip -6 addr add 2001:db8::2/64 dev tap0 nodad"); err != nil {
		return err
	}
	return p.Host.Call("Open", p.Name, nil)
}

// Measure calls a method of the host, within Profile.
func (p *Pair) Measure(title, method string, args, reply any) error {
	return p.Profile(title, func() error { return p.Host.Call(method, args, reply) })
}

// Profile calls f and profiles the host meanwhile, if profiles are wanted.
func (p *Pair) Profile(title string, f func() error) error {
	if p.profiles == "" {
		return f()
	}
	file, err := profileFile(p.profiles, p.Name+" "+title)
	if err != nil {
		return err
	}
	if err := p.Host.Call("StartProfile", file, nil); err != nil {
		return err
	}
	return errors.Join(f(), p.Host.Call("StopProfile", struct{}{}, nil))
}

// Profile calls f and profiles this process meanwhile, if dir is not empty.
func Profile(dir, title string, f func() error) error {
	if dir == "" {
		return f()
	}
	file, err := profileFile(dir, title)
	if err != nil {
		return err
	}
	var n Node
	if err := n.StartProfile(file, nil); err != nil {
		return err
	}
	return errors.Join(f(), n.StopProfile(struct{}{}, nil))
}

func profileFile(dir, title string) (string, error) {
	name := strings.NewReplacer(" × ", "-", " ", "-", ",", "").Replace(title)
	return filepath.Abs(filepath.Join(dir, name+".pprof"))
}

// Close ends both processes, and what they have made goes with them.
func (p *Pair) Close() error {
	var errs [2]error
	var wait sync.WaitGroup
	for k, process := range []*Process{p.Host, p.Peer} {
		if process != nil {
			wait.Go(func() { errs[k] = process.Close() })
		}
	}
	wait.Wait()
	return errors.Join(errs[:]...)
}
