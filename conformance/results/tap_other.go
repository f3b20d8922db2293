//go:build !linux

package main

import (
	"context"
	"errors"

	"github.com/tapstack/tapstack/conformance"
)

// buildTap is for Linux: there is no target tap elsewhere.
func buildTap(context.Context, string) (conformance.Driver, error) {
	return nil, errors.ErrUnsupported
}
