package control

import (
	"context"
	"errors"
	"net/http"
	"syscall"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/stack"
)

// Exit codes of the command line, which every error carries.
const (
	ExitFailed    = 1
	ExitUsage     = 2
	ExitDuplicate = 3
	ExitNotFound  = 4
	ExitNoProcess = 5
	ExitExists    = 6
)

// Error is the body of every answer that is not a success.
type Error struct {
	Message string `json:"error"`
	Kind    string `json:"kind"`
	Exit    int    `json:"exit"`
}

func (e *Error) Error() string { return e.Message }

// kind is a class of errors, and how HTTP and the shell are told of it.
type kind struct {
	name   string
	status int
	exit   int
}

var (
	invalid   = kind{"invalid", http.StatusBadRequest, ExitUsage}
	notFound  = kind{"not_found", http.StatusNotFound, ExitNotFound}
	duplicate = kind{"duplicate", http.StatusConflict, ExitDuplicate}
	exists    = kind{"exists", http.StatusConflict, ExitExists}
	timeout   = kind{"timeout", http.StatusServiceUnavailable, ExitFailed}
	canceled  = kind{"canceled", http.StatusServiceUnavailable, ExitFailed}
	removed   = kind{"removed", http.StatusServiceUnavailable, ExitFailed}
	linkDown  = kind{"link_down", http.StatusServiceUnavailable, ExitFailed}
	disabled  = kind{"ipv6_disabled", http.StatusServiceUnavailable, ExitFailed}
	failed    = kind{"failed", http.StatusServiceUnavailable, ExitFailed}
)

// kinds sorts the errors of package stack; what is not in it is failed.
var kinds = []struct {
	err  error
	kind kind
}{
	{stack.ErrAddressExists, exists},
	{stack.ErrRouteExists, exists},
	{stack.ErrGroupExists, exists},
	{stack.ErrNoSuchAddress, notFound},
	{stack.ErrNoSuchRoute, notFound},
	{stack.ErrNoSuchGroup, notFound},
	{stack.ErrNoSuchNeighbor, notFound},
	{stack.ErrNoSuchInterface, notFound},
	{errNoSuchPath, notFound},
	{stack.ErrAddressRemoved, removed},
	{stack.ErrIPv6Disabled, disabled},
	{syscall.ENETDOWN, linkDown}, // stack.ErrLinkDown too
	{context.DeadlineExceeded, timeout},
	{context.Canceled, canceled},
}

// invalidError says that a request can never be right.
type invalidError struct{ error }

func kindOf(err error) kind {
	var (
		dup    *dad.DuplicateError
		bad    invalidError
		badArg *stack.InvalidArgumentError
	)
	switch {
	case errors.As(err, &dup):
		return duplicate
	case errors.As(err, &bad), errors.As(err, &badArg):
		return invalid
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	return failed
}

// errorOf is err as it goes over the socket.
func errorOf(err error) *Error {
	k := kindOf(err)
	return &Error{Message: err.Error(), Kind: k.name, Exit: k.exit}
}

// ExitCode is the exit code for any error of this package and package stack:
// what the other side said, or what the error means by itself.
func ExitCode(err error) int {
	var e *Error
	var none *NoProcessError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Exit
	case errors.As(err, &none):
		return ExitNoProcess
	}
	return kindOf(err).exit
}
