//go:build !linux && !darwin && !windows

package tap

import (
	"fmt"

	"github.com/songgao/water"
)

// openWaterHandle fails: water knows no TAP of this system.
func openWaterHandle(name string) (*water.Interface, error) {
	handle, err := water.New(water.Config{DeviceType: water.TAP})
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: %w", name, err)
	}
	return handle, nil
}
