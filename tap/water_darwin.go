package tap

import (
	"fmt"
	"syscall"

	"github.com/songgao/water"
)

// openWaterHandle opens a TAP of the third-party driver tuntaposx: macOS has
// none of its own. Water leaks a file when this fails.
func openWaterHandle(name string) (*water.Interface, error) {
	cfg := water.Config{DeviceType: water.TAP}
	cfg.Name = name
	cfg.Driver = water.MacOSDriverTunTapOSX

	// No child may start before the file is marked close-on-exec.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	handle, err := water.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: %w: macOS needs the driver tuntaposx and a name like tap0", name, err)
	}
	if err := closeOnExec(handle); err != nil {
		handle.Close()
		return nil, fmt.Errorf("open TAP %s: close-on-exec: %w", name, err)
	}
	return handle, nil
}
