package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/tapstack/tapstack/internal/control"
	"github.com/tapstack/tapstack/internal/state"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// identity opens the state directory if the profile needs one.
func (h *host) identity() (stack.Identity, error) {
	if !h.settings.iface.Profile.NeedsSecret() {
		return stack.Identity{}, nil
	}
	dir := h.stateDir
	if dir == "" {
		var err error
		if dir, err = defaultStateDir(); err != nil {
			return stack.Identity{}, stateError(err)
		}
	}
	store, err := state.Open(dir)
	if err != nil {
		if h.stateDir == "" {
			err = stateError(err)
		}
		return stack.Identity{}, err
	}
	return stack.Identity{
		Secret: store.Secret(), NetIface: h.name, Counters: store.Counters(h.name),
		SaveCounter: func(c nd.DADCounter) {
			if err := store.SaveCounter(h.name, c); err != nil {
				h.log.Warn("a DAD counter is not kept: after a restart a duplicate is tried again", "prefix", c.Prefix.String(), "error", err)
			}
		},
	}, nil
}

// stateError says what helps where no directory was asked for.
func stateError(err error) error {
	return exitError{control.ExitFailed, err.Error() + "; name a state directory with --state-dir, or need none with --iid eui64"}
}

// defaultStateDir is where state is kept without --state-dir.
func defaultStateDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/tapstack", nil
	}
	// The XDG Base Directory Specification has relative paths ignored.
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "tapstack"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "", errors.New("no directory for the secret of stable interface identifiers: neither XDG_STATE_HOME nor HOME is set")
	}
	return filepath.Join(home, ".local", "state", "tapstack"), nil
}
