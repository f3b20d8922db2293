//go:build unix

package control

import (
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockDir waits for the right to change what is in dir, among the processes
// that ask for it too.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
	}
	locked, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if now, err := os.Stat(dir); err != nil || !os.SameFile(now, locked) {
		f.Close()
		return nil, fs.ErrNotExist // removed, perhaps made anew, while we waited
	}
	return func() { f.Close() }, nil
}

// listenPrivate makes a socket that only this user can connect to, from its
// first moment on.
func listenPrivate(path string) (*net.UnixListener, error) {
	defer unix.Umask(unix.Umask(0o177))
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// awaitHangup waits until the other side has closed c altogether, and not just
// its sending direction; false: c was closed here.
func awaitHangup(c net.Conn) bool {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}}
		for {
			_, err := unix.Poll(p, 0)
			if err == unix.EINTR {
				continue
			}
			return err != nil || p[0].Revents != 0 // POLLHUP or POLLERR
		}
	})
	return err == nil
}
