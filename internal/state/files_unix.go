//go:build unix

package state

import (
	"errors"
	"fmt"
	"io/fs"
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
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
	}
	return func() { f.Close() }, nil
}

// openFile opens a file and nothing that would take its time or leads
// elsewhere.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link: move it out of the way", path)
	}
	return f, err
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return checkAccess(dir, info, othersMayNotWrite, "chmod 700")
}

// checkAccess refuses a file that belongs to somebody else, or with which
// others may do what is forbidden.
func checkAccess(path string, info fs.FileInfo, forbidden fs.FileMode, remedy string) error {
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d, not to this user, uid %d: change its owner, or use another state directory", path, owner, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		may := "change"
		if mode&0o022 == 0 {
			may = "read"
		}
		return fmt.Errorf("%s has mode %#o, so that others may %s it: %s %s", path, mode, may, remedy, path)
	}
	return nil
}

// syncDir makes sure that the names in dir are on the disk.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
