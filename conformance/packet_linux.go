package conformance

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace of Linux. It has no name: it is gone with
// what was opened in it, whatever becomes of this process.
type namespace struct{ inside *os.File }

// threadNamespace is that of the calling thread.
const threadNamespace = "/proc/thread-self/ns/net"

func newNamespace() (n namespace, err error) {
	err = elsewhere(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a network namespace cannot be made, which takes root: %w", err)
		}
		n.inside, err = os.Open(threadNamespace)
		return err
	})
	return n, err
}

func (n namespace) close() error { return n.inside.Close() }

// do calls f with its thread inside: sockets that f opens stay there, and
// programs that it starts.
func (n namespace) do(f func() error) error {
	return elsewhere(func() error {
		if err := unix.Setns(int(n.inside.Fd()), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

// elsewhere calls f, which may leave its thread in another namespace. A thread
// that cannot come back ends, so that nobody else finds himself there.
func elsewhere(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(threadNamespace)
		if err != nil {
			result <- err
			return
		}
		defer home.Close()
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// run runs a program inside and returns what it prints.
func (n namespace) run(name string, args ...string) (out []byte, err error) {
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	err = n.do(func() (err error) {
		out, err = cmd.Output()
		return err
	})
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, err
}

// ip runs ip(8) inside.
func (n namespace) ip(args ...string) error {
	_, err := n.run("ip", args...)
	return err
}

// sysctl makes settings, which are written as for sysctl(8).
func (n namespace) sysctl(settings ...string) error {
	return n.do(func() error {
		for _, s := range settings {
			name, value, _ := strings.Cut(s, "=")
			// The tables of the calling thread's namespace are shown.
			if err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0); err != nil {
				return fmt.Errorf("the setting %s: %w", s, err)
			}
		}
		return nil
	})
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

// fillChecksums has the kernel fill in the checksums of what an interface
// sends. Of a veth pair it leaves that to whoever takes the packet out.
func (n namespace) fillChecksums(iface string) error {
	return n.do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		// A struct ethtool_value, and the struct ifreq that points to it.
		off := [2]uint32{unix.ETHTOOL_STXCSUM, 0}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data *[2]uint32
			_    [16]byte
		}{data: &off}
		copy(request.name[:unix.IFNAMSIZ-1], iface)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return fmt.Errorf("checksum offload of %s: %w", iface, errno)
		}
		return nil
	})
}
