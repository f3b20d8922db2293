package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shortDir is a directory whose path has room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tapstack")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, path string) *Listener {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// leaveStale makes what a process that was killed leaves behind.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestListen_ModesAndCleanUp(t *testing.T) {
	root := shortDir(t)
	l := listen(t, filepath.Join(root, "run", "tapstack", "tap0.sock"))
	for path, want := range map[string]fs.FileMode{"run/tapstack": fs.ModeDir | 0o700, "run/tapstack/tap0.sock": fs.ModeSocket | 0o600} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if diff := cmp.Diff([]string(nil), entries(t, filepath.Join(root, "run"))); diff != "" {
		t.Errorf("left after Close (-want +got):\n%s", diff)
	}
}

func TestListen_LeavesADirectoryThatItFound(t *testing.T) {
	dir := shortDir(t)
	if err := listen(t, filepath.Join(dir, "tap0.sock")).Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), entries(t, dir)); diff != "" {
		t.Errorf("left after Close (-want +got):\n%s", diff)
	}
}

func TestListen_ReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "tap0.sock")
	leaveStale(t, path)
	listen(t, path)
	if !answers(path) {
		t.Error("the socket does not answer")
	}
}

func TestListen_RefusesALiveSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "tap0.sock")
	listen(t, path)
	_, err := Listen(path)
	var inUse *InUseError
	if !errors.As(err, &inUse) {
		t.Errorf("Listen: %v, want an InUseError", err)
	}
	if !answers(path) {
		t.Error("the first socket does not answer any more")
	}
}

func TestListen_LeavesOtherFilesAlone(t *testing.T) {
	path := filepath.Join(shortDir(t), "tap0.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(path); err == nil {
		l.Close()
		t.Error("Listen took the place of a file")
	}
	if b, err := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

func TestListen_PathTooLong(t *testing.T) {
	dir := filepath.Join(shortDir(t), "d")
	if _, err := Listen(filepath.Join(dir, string(make([]byte, 200)))); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory stays: %v", err)
	}
}

// Close removes its own socket, not one that took its place.
func TestClose_LeavesASuccessor(t *testing.T) {
	path := filepath.Join(shortDir(t), "tap0.sock")
	l := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if !answers(path) {
		t.Error("the successor's socket is gone")
	}
}

// Of many that start at once over a stale socket, one gets it; while they come
// and go, nobody takes a live one for stale.
func TestListen_Race(t *testing.T) {
	dir := filepath.Join(shortDir(t), "d")
	path := filepath.Join(dir, "tap0.sock")
	var mu sync.Mutex
	held := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 30 {
				l, err := Listen(path)
				var inUse *InUseError
				if errors.As(err, &inUse) {
					continue
				}
				if err != nil {
					t.Errorf("Listen: %v", err)
					return
				}
				mu.Lock()
				if held++; held > 1 {
					t.Error("two hold the socket")
				}
				mu.Unlock()
				mu.Lock()
				held--
				mu.Unlock()
				if err := l.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestRunning(t *testing.T) {
	dir := shortDir(t)
	if got := Running(filepath.Join(dir, "none")); got != nil {
		t.Errorf("without a directory: %v", got)
	}
	listen(t, SocketPath(dir, "tap1"))
	listen(t, SocketPath(dir, "tap0"))
	leaveStale(t, SocketPath(dir, "tap2"))
	for _, name := range []string{"tap3.sock", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"tap0", "tap1"}, Running(dir)); diff != "" {
		t.Errorf("Running (-want +got):\n%s", diff)
	}
}

func TestDir(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	if d, err := Dir(); d != "/run/user/7/tapstack" || err != nil {
		t.Errorf("Dir() = %q, %v", d, err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	d, err := Dir()
	if os.Geteuid() == 0 && (d != "/run/tapstack" || err != nil) {
		t.Errorf("Dir() of root = %q, %v", d, err)
	}
	if os.Geteuid() != 0 && err == nil {
		t.Errorf("Dir() without XDG_RUNTIME_DIR = %q, want an error", d)
	}
}

func TestClient_NoProcess(t *testing.T) {
	path := filepath.Join(shortDir(t), "tap0.sock")
	for _, stale := range []bool{false, true} {
		if stale {
			leaveStale(t, path)
		}
		_, err := NewClient(path).Version(t.Context())
		var none *NoProcessError
		if !errors.As(err, &none) || ExitCode(err) != ExitNoProcess {
			t.Errorf("stale %v: %v, want a NoProcessError", stale, err)
		}
	}
}
