//go:build unix

package tap

import (
	"errors"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// pollReadable reports whether a read would find something at once.
func pollReadable(raw syscall.RawConn) (readable bool, err error) {
	controlErr := raw.Control(func(fd uintptr) {
		poll := [...]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			if _, err = unix.Poll(poll[:], 0); err != unix.EINTR {
				break
			}
		}
		readable = poll[0].Revents&unix.POLLIN != 0
	})
	if controlErr != nil {
		return false, controlErr
	}
	return readable, err
}

// readFD reads without waiting.
func readFD(fd uintptr, b []byte) (int, error) {
	for {
		if n, err := unix.Read(int(fd), b); err != unix.EINTR {
			return n, err
		}
	}
}

// causeOf says what is behind an error of Go's poller, which knows of a device
// that is gone only that it cannot be waited for: the system says the rest.
func causeOf(raw syscall.RawConn, err error) error {
	if errors.As(err, new(syscall.Errno)) {
		return err
	}
	raw.Control(func(fd uintptr) {
		if _, cause := readFD(fd, make([]byte, 1)); cause != nil && cause != unix.EAGAIN {
			err = cause
		}
	})
	return err
}

// closeOnExec keeps the file of a handle from the children of this process.
func closeOnExec(handle *water.Interface) error {
	c, ok := handle.ReadWriteCloser.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { unix.CloseOnExec(int(fd)) })
}
