package node

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Possible says why no Pair can be started here.
func Possible() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("network namespaces and TAPs need root, this is uid %d", uid)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("iproute2 is not installed: %w", err)
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// startAlone starts a process in a network namespace of its own.
func startAlone(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	return cmd.Start()
}

// startInside starts a process in the network namespace of another.
func startInside(pid int) func(*exec.Cmd) error {
	return func(cmd *exec.Cmd) error {
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			return err
		}
		defer ns.Close()
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // for good: the thread ends with this goroutine
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				done <- os.NewSyscallError("setns", err)
				return
			}
			done <- cmd.Start()
		}()
		return <-done
	}
}
