//go:build unix

package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Files that others could read or change, or that are no files, are refused
// with a line that says what to do.
func TestAccess(t *testing.T) {
	chmod := func(mode os.FileMode) func(string) error {
		return func(path string) error { return os.Chmod(path, mode) }
	}
	replace := func(with func(path string) error) func(string) error {
		return func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return with(path)
		}
	}
	for _, c := range []struct {
		name, file string
		spoil      func(path string) error
		want       string
	}{
		{"readable secret", secretFile, chmod(0o640), "has mode 0640, so that others may read it: chmod 600 "},
		{"secret for all", secretFile, chmod(0o604), "has mode 0604, so that others may read it: chmod 600 "},
		{"writable secret", secretFile, chmod(0o620), "has mode 0620, so that others may change it: chmod 600 "},
		{"writable counters", countersFile, chmod(0o602), "has mode 0602, so that others may change it: chmod 600 "},
		{"readable counters", countersFile, chmod(0o644), ""},
		{"writable directory", ".", chmod(0o770), "has mode 0770, so that others may change it: chmod 700 "},
		{"readable directory", ".", chmod(0o755), ""},
		{"secret is a directory", secretFile, replace(func(path string) error { return os.Mkdir(path, 0o700) }), "is not a file: move it out of the way"},
		{"secret is a pipe", secretFile, replace(func(path string) error { return unix.Mkfifo(path, 0o600) }), "is not a file: move it out of the way"},
		{"secret is a link", secretFile, replace(func(path string) error { return os.Symlink(countersFile, path) }), "is a symbolic link: move it out of the way"},
		{"counters are a link", countersFile, replace(func(path string) error { return os.Symlink(secretFile, path) }), "is a symbolic link: move it out of the way"},
		{"secret of somebody else", secretFile, func(path string) error { return os.Chown(path, 12345, -1) }, "belongs to uid 12345, not to this user, uid "},
		{"directory of somebody else", ".", func(path string) error { return os.Chown(path, 12345, -1) }, "belongs to uid 12345, not to this user, uid "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newDir(t)
			open(t, dir)
			if err := os.WriteFile(filepath.Join(dir, countersFile), []byte("[]"), 0o600); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, c.file)
			if err := c.spoil(path); err != nil {
				if os.Geteuid() != 0 && os.IsPermission(err) {
					t.Skip("only root can give a file away")
				}
				t.Fatal(err)
			}
			_, err := Open(dir)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), path+" "+c.want)):
				t.Errorf("%v, want %s %s", err, path, c.want)
			}
		})
	}
}

// A directory that cannot be made is an error that names it.
func TestDirectoryThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "tapstack"), "/proc/tapstack"} {
		if _, err := Open(dir); err == nil || !strings.HasPrefix(err.Error(), "state directory: ") || !strings.Contains(err.Error(), dir) && !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
