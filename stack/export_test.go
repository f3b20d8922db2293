package stack

import "time"

// WithoutTCP lets an interface live in a synctest bubble.
func WithoutTCP(cfg InterfaceConfig) InterfaceConfig {
	cfg.withoutTCP = true
	return cfg
}

// Deadline is the next deadline of an interface's Core.
func Deadline(i *Interface) (at time.Time, ok bool) {
	i.look(func(c *Core) { at, ok = c.Deadline() })
	return at, ok
}

// HoldLoop keeps the loop of an interface from running, from after on until
// release is closed.
func HoldLoop(i *Interface, release <-chan struct{}, after time.Duration) {
	time.AfterFunc(after, func() { i.inbox.putCommand(command{look: func(*Core) { <-release }}) })
}

// Foreseeable makes the addresses of an interface those of its link-layer
// address, whatever its profile is otherwise.
func Foreseeable(cfg InterfaceConfig) InterfaceConfig {
	cfg.Profile.identifiers, cfg.Profile.noTemporary = hardwareIdentifiers, true
	return cfg
}
