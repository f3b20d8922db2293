//go:build !linux

package host

import "errors"

// openGVisor says that gVisor has an endpoint for TAPs on Linux only.
func openGVisor(string) (Host, error) { return nil, errors.New("gVisor drives a TAP on Linux only") }
