//go:build !unix

package tap

import (
	"errors"
	"syscall"
)

// No handle of this system is a syscall.Conn, so nobody calls these.

func pollReadable(syscall.RawConn) (bool, error) { return false, errors.ErrUnsupported }

func causeOf(_ syscall.RawConn, err error) error { return err }

func readFD(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
