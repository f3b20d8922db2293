package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Dir is the directory of the default control sockets: tapstack under
// $XDG_RUNTIME_DIR, or under /run for root.
func Dir() (string, error) {
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "tapstack"), nil
	}
	if os.Geteuid() == 0 {
		return "/run/tapstack", nil
	}
	return "", errors.New("no directory for control sockets: XDG_RUNTIME_DIR is not set")
}

const suffix = ".sock"

// SocketPath is the default control socket of the process that serves the TAP
// name.
func SocketPath(dir, name string) string { return filepath.Join(dir, name+suffix) }

// Running returns the names of the TAPs whose control sockets in dir answer,
// in order.
func Running(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && answers(filepath.Join(dir, e.Name())) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// answers reports whether a process listens on the socket.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	// A process whose queue of connections is full, or that this user may
	// not talk to, is there all the same.
	return err == nil || !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTSOCK)
}

// InUseError says that a process listens on the socket already.
type InUseError struct{ Path string }

func (e *InUseError) Error() string {
	return "the control socket " + e.Path + " is in use: another tapstack process serves it"
}

// Listener is a control socket. Close removes it, and its directory if Listen
// made it and nothing else is in it.
type Listener struct {
	*net.UnixListener
	path    string
	made    fs.FileInfo // the socket
	madeDir bool
}

// Listen makes the control socket path with mode 0600, and its directory with
// mode 0700 if it is not there. A socket that nobody listens on, left by a
// process that died, is replaced; one in use is an *InUseError; anything else
// at path is left alone.
func Listen(path string) (*Listener, error) {
	dir := filepath.Dir(path)
	for {
		madeDir, err := makeDir(dir)
		if err != nil {
			return nil, err
		}
		// Two processes that start, or one that starts and one that ends, must
		// not take each other's socket for a stale one.
		unlock, err := lockDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process has just removed it
		}
		if err != nil {
			return nil, fmt.Errorf("control socket %s: %w", path, err)
		}
		l, err := listenLocked(path)
		unlock()
		if err != nil {
			if madeDir {
				os.Remove(dir)
			}
			return nil, err
		}
		l.madeDir = madeDir
		return l, nil
	}
}

// makeDir makes dir for this user alone and reports whether it did not exist.
func makeDir(dir string) (made bool, err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return false, err
	}
	err = os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

func listenLocked(path string) (*Listener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("control socket %s: a file that is not a socket is in the way", path)
	case answers(path):
		return nil, &InUseError{path}
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, errors.Unwrap(err))
	}
	l.SetUnlinkOnClose(false)
	made, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &Listener{UnixListener: l, path: path, made: made}, nil
}

// Close ends the listener and removes what Listen made, unless it has been
// replaced since.
func (l *Listener) Close() error {
	dir := filepath.Dir(l.path)
	unlock, err := lockDir(dir)
	if err == nil {
		defer unlock()
	}
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
		os.Remove(l.path)
	}
	if l.madeDir {
		os.Remove(dir) // fails if another socket is in it
	}
	return l.UnixListener.Close()
}
