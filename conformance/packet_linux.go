package conformance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace of Linux with a name of its own.
type namespace struct{ name string }

var namespaces atomic.Int64

func newNamespace() (namespace, error) {
	n := namespace{fmt.Sprintf("tapstack-conform-%d-%d", os.Getpid(), namespaces.Add(1))}
	return n, run("ip", "netns", "add", n.name)
}

func (n namespace) close() error { return run("ip", "netns", "del", n.name) }

// shell runs command lines inside, up to the first that fails.
func (n namespace) shell(lines ...string) error {
	return run("ip", "netns", "exec", n.name, "sh", "-ec", strings.Join(lines, "\n"))
}

// output returns what a command inside prints.
func (n namespace) output(args ...string) ([]byte, error) {
	cmd := exec.Command("ip", append([]string{"netns", "exec", n.name}, args...)...)
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// do calls f with its thread inside: sockets that f opens stay there.
func (n namespace) do(f func() error) error {
	inside, err := os.Open(filepath.Join("/run/netns", n.name))
	if err != nil {
		return err
	}
	defer inside.Close()
	result := make(chan error)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, so that
		// nobody else finds itself inside.
		runtime.LockOSThread()
		if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("setns to %s: %w", n.name, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// packetSocket opens an interface of the namespace for frames as they are.
func (n namespace) packetSocket(iface string) (f *os.File, err error) {
	err = n.do(func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, all)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		f = os.NewFile(uintptr(fd), "packet socket of "+iface)
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}))
	})
	if err != nil && f != nil {
		f.Close()
	}
	return f, err
}
