package stack

import (
	"errors"
	"net/netip"
	"syscall"
)

// Errors of operations on an Interface, wrapped in *OpError. A duplicate is a
// *dad.DuplicateError instead.
var (
	ErrAddressExists   = errors.New("the address exists already")
	ErrNoSuchAddress   = errors.New("no such address")
	ErrAddressRemoved  = errors.New("the address was removed before its test ended")
	ErrNotLooped       = errors.New("no probe of the address was looped back")
	ErrLinkDown        = wrapErrno("the link is down", syscall.ENETDOWN)
	ErrIPv6Disabled    = wrapErrno("IPv6 is disabled on the interface: its link-local address is a duplicate", syscall.ENETDOWN)
	ErrTentative       = wrapErrno("the address is tentative", syscall.EADDRNOTAVAIL)
	ErrClosed          = errors.New("the stack is closed")
	ErrNoSuchRoute     = errors.New("no such route")
	ErrRouteExists     = errors.New("the route exists already")
	ErrNoSuchGroup     = errors.New("no such group membership")
	ErrGroupExists     = errors.New("the group is joined already")
	ErrNoSuchNeighbor  = errors.New("no such neighbor")
	ErrNoSuchInterface = errors.New("no such interface")
	ErrLimit           = errors.New("the configured limit is reached")
)

// OpError says which operation failed, on what, and why.
type OpError struct {
	Op        string // "add", "remove", ...
	Interface string
	Addr      netip.Addr // zero: the operation has none
	Object    string     // what it is about where that is not an address: a prefix
	Err       error
}

func (e *OpError) Error() string {
	s := e.Op
	switch {
	case e.Addr.IsValid():
		s += " " + e.Addr.String()
	case e.Object != "":
		s += " " + e.Object
	}
	if e.Interface != "" {
		s += " on " + e.Interface
	}
	return s + ": " + e.Err.Error()
}

func (e *OpError) Unwrap() error { return e.Err }

// InvalidArgumentError says that a value can never be right, whatever the
// state.
type InvalidArgumentError struct{ Argument, Reason string }

func (e *InvalidArgumentError) Error() string { return e.Argument + " " + e.Reason }

// errnoError is an error of our own that a caller may also compare to an errno.
type errnoError struct {
	text  string
	errno syscall.Errno
}

func wrapErrno(text string, errno syscall.Errno) error { return &errnoError{text, errno} }

func (e *errnoError) Error() string { return e.text }
func (e *errnoError) Unwrap() error { return e.errno }
