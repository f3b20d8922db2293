package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tapstack/tapstack/internal/netnstest"
	"github.com/tapstack/tapstack/nd"
)

// onDisk calls f with a directory on a file system of its own of 64 KiB, which
// nobody else sees.
func onDisk(t *testing.T, f func(dir string)) {
	t.Helper()
	netnstest.Require(t)
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread ends with the goroutine, and the mount
		// with the thread.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("tapstack", dir, "tmpfs", 0, "size=64k,mode=700")
		}
		if err != nil {
			t.Error(err)
			return
		}
		f(dir)
	}()
	<-done
}

func TestReadOnlyDirectory(t *testing.T) {
	onDisk(t, func(dir string) {
		first, err := Open(dir)
		if err == nil {
			err = first.SaveCounter("tap0", nd.DADCounter{Prefix: prefix(1), Counter: 1})
		}
		if err == nil {
			err = unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
		if err != nil {
			t.Error(err)
			return
		}
		s, err := Open(dir)
		if err != nil || !bytes.Equal(s.Secret(), first.Secret()) || len(s.Counters("tap0")) != 1 {
			t.Errorf("what is there can be read: %v", err)
			return
		}
		if err := s.SaveCounter("tap0", nd.DADCounter{Prefix: prefix(1), Counter: 2}); !errors.Is(err, syscall.EROFS) {
			t.Errorf("SaveCounter: %v, want %v", err, syscall.EROFS)
		}
		if _, err := Open(filepath.Join(dir, "new")); !errors.Is(err, syscall.EROFS) {
			t.Errorf("a new directory: %v, want %v", err, syscall.EROFS)
		}
	})
}

// On a full disk nothing is lost, and nothing half written.
func TestFullDisk(t *testing.T) {
	onDisk(t, func(dir string) {
		if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
			t.Error(err)
			return
		}
		s, err := Open(filepath.Join(dir, "b"))
		if err == nil {
			err = s.SaveCounter("tap0", nd.DADCounter{Prefix: prefix(1), Counter: 1})
		}
		if err != nil {
			t.Error(err)
			return
		}
		if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("filling the disk: %v", err)
			return
		}
		if err := s.SaveCounter("tap0", nd.DADCounter{Prefix: prefix(1), Counter: 2}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("SaveCounter: %v, want %v", err, syscall.ENOSPC)
		}
		again, err := Open(filepath.Join(dir, "b"))
		if err != nil || len(again.Counters("tap0")) != 1 || again.Counters("tap0")[0].Counter != 1 {
			t.Errorf("the counter of before: %v", err)
		}
		if _, err := Open(filepath.Join(dir, "a")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a new secret: %v, want %v", err, syscall.ENOSPC)
		}
		for _, name := range []string{"a", "b"} {
			left, err := filepath.Glob(filepath.Join(dir, name, temporaryPattern))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		}
	})
}
