package main

import (
	"context"
	"path/filepath"

	"github.com/tapstack/tapstack/conformance"
)

// buildTap builds tapstack and returns the driver of its processes.
func buildTap(ctx context.Context, dir string) (conformance.Driver, error) {
	program := filepath.Join(dir, "tapstack")
	return conformance.TapDriver{Executable: program}, build(ctx, program, "./cmd/tapstack")
}
