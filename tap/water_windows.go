package tap

import (
	"fmt"

	"github.com/songgao/water"
)

// openWaterHandle opens an adapter of the driver tap-windows6, which OpenVPN
// installs. An empty name is the first of them.
func openWaterHandle(name string) (*water.Interface, error) {
	cfg := water.Config{DeviceType: water.TAP}
	cfg.ComponentID = "tap0901"
	cfg.InterfaceName = name
	handle, err := water.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: %w: Windows needs the driver tap-windows6 and an adapter of that name", name, err)
	}
	return handle, nil
}
