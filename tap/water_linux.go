package tap

import (
	"fmt"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// openWaterHandle opens a TAP with water and keeps its faults in: an open that
// fails leaks its file; each open makes a TAP transient, or lasting, whatever
// it was; children of the process inherit the file.
func openWaterHandle(name string) (*water.Interface, error) {
	// What water would fail at fails here first, with a file that is closed.
	// An open that fails after all, since somebody else was quicker, leaks
	// one file.
	fd, _, err := attach(name, 0)
	if err != nil {
		return nil, err
	}
	request, _ := unix.NewIfreq("")
	err = unix.IoctlIfreq(fd, unix.TUNGETIFF, request)
	// Somebody may have left offloads on, which need the virtio-net header.
	unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0)
	unix.Close(fd)
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: TUNGETIFF: %w", name, err)
	}
	cfg := water.Config{DeviceType: water.TAP}
	cfg.Name = name
	cfg.Persist = request.Uint16()&unix.IFF_PERSIST != 0

	// No child may start before the file is marked close-on-exec.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	handle, err := water.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: %w", name, err)
	}
	if err := closeOnExec(handle); err != nil {
		handle.Close()
		return nil, fmt.Errorf("open TAP %s: close-on-exec: %w", name, err)
	}
	return handle, nil
}
