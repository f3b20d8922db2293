//go:build !linux

package conformance

import (
	"context"
	"errors"
	"fmt"
)

var errNoNamespaces = fmt.Errorf("a program is a host in a network namespace of Linux: %w", errors.ErrUnsupported)

func (*ExecDriver) introduce(context.Context) (hello, error) { return hello{}, errNoNamespaces }

// Open implements Driver.
func (*ExecDriver) Open(Setup) (Target, error) { return nil, errNoNamespaces }
