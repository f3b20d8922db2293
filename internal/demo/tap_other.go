//go:build !linux

package demo

import (
	"context"
	"errors"
	"io"
)

// TAP is the story with the kernel as the other host, which is only known how
// to set up on Linux.
func TAP(context.Context, io.Writer, io.Writer) error {
	return errors.New("the demo on a TAP needs Linux; without --tap it runs anywhere")
}
