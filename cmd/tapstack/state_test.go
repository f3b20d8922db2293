package main

import (
	"os"
	"strings"
	"testing"
)

// Without --state-dir the directory is root's own, or where the XDG Base
// Directory Specification has it.
func TestStateDir_Default(t *testing.T) {
	for _, c := range []struct{ xdg, home, want string }{
		{"/xdg", "/home/u", "/xdg/tapstack"},
		{"", "/home/u", "/home/u/.local/state/tapstack"},
		{"relative", "/home/u", "/home/u/.local/state/tapstack"},
		{"", "", ""},
		{"", "relative", ""},
	} {
		t.Setenv("XDG_STATE_HOME", c.xdg)
		t.Setenv("HOME", c.home)
		if os.Geteuid() == 0 {
			c.want = "/var/lib/tapstack"
		}
		dir, err := defaultStateDir()
		if dir != c.want || (err == nil) != (c.want != "") {
			t.Errorf("XDG_STATE_HOME=%q HOME=%q: %q, %v, want %q", c.xdg, c.home, dir, err, c.want)
		}
	}
}

// What the default directory lacks is one line that names both ways out.
func TestStateDir_ErrorNamesTheWaysOut(t *testing.T) {
	for _, flag := range []string{"--state-dir", "--iid eui64"} {
		if err := stateError(os.ErrPermission); !strings.Contains(err.Error(), flag) || exitCode(err) != 1 {
			t.Errorf("%v, exit code %d", err, exitCode(err))
		}
	}
}
