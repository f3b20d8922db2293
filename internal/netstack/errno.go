package netstack

import (
	"errors"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// errnoOf is the one table from gVisor's errors to those of the system.
func errnoOf(err tcpip.Error) syscall.Errno {
	switch err.(type) {
	case *tcpip.ErrAborted, *tcpip.ErrConnectionAborted:
		return syscall.ECONNABORTED
	case *tcpip.ErrAddressFamilyNotSupported:
		return syscall.EAFNOSUPPORT
	case *tcpip.ErrAlreadyConnected:
		return syscall.EISCONN
	case *tcpip.ErrAlreadyConnecting:
		return syscall.EALREADY
	case *tcpip.ErrBadAddress, *tcpip.ErrBadLocalAddress, *tcpip.ErrNoPortAvailable:
		return syscall.EADDRNOTAVAIL
	case *tcpip.ErrBroadcastDisabled, *tcpip.ErrNotPermitted:
		return syscall.EACCES
	case *tcpip.ErrClosedForReceive, *tcpip.ErrNotConnected:
		return syscall.ENOTCONN
	case *tcpip.ErrClosedForSend:
		return syscall.EPIPE
	case *tcpip.ErrConnectStarted:
		return syscall.EINPROGRESS
	case *tcpip.ErrConnectionRefused:
		return syscall.ECONNREFUSED
	case *tcpip.ErrConnectionReset:
		return syscall.ECONNRESET
	case *tcpip.ErrDestinationRequired:
		return syscall.EDESTADDRREQ
	case *tcpip.ErrDuplicateAddress:
		return syscall.EEXIST
	case *tcpip.ErrHostDown:
		return syscall.EHOSTDOWN
	case *tcpip.ErrHostUnreachable:
		return syscall.EHOSTUNREACH
	case *tcpip.ErrMessageTooLong:
		return syscall.EMSGSIZE
	case *tcpip.ErrNetworkUnreachable:
		return syscall.ENETUNREACH
	case *tcpip.ErrNoBufferSpace:
		return syscall.ENOBUFS
	case *tcpip.ErrNoNet:
		return syscall.ENETDOWN
	case *tcpip.ErrPortInUse:
		return syscall.EADDRINUSE
	case *tcpip.ErrTimeout:
		return syscall.ETIMEDOUT
	case *tcpip.ErrUnknownProtocol:
		return syscall.EPROTONOSUPPORT
	case *tcpip.ErrNotSupported, *tcpip.ErrUnknownProtocolOption:
		return syscall.EOPNOTSUPP
	case *tcpip.ErrWouldBlock:
		return syscall.EAGAIN
	default:
		return syscall.EINVAL
	}
}

// tcpipError is the error of gVisor for which errnoOf gives errno, for those
// that a Config.Output may return.
func tcpipError(errno syscall.Errno) tcpip.Error {
	switch errno {
	case syscall.EACCES:
		return &tcpip.ErrNotPermitted{}
	case syscall.EADDRNOTAVAIL:
		return &tcpip.ErrBadLocalAddress{}
	case syscall.EHOSTDOWN:
		return &tcpip.ErrHostDown{}
	case syscall.EHOSTUNREACH:
		return &tcpip.ErrHostUnreachable{}
	case syscall.EMSGSIZE:
		return &tcpip.ErrMessageTooLong{}
	case syscall.ENETDOWN:
		return &tcpip.ErrNoNet{}
	case syscall.ENETUNREACH:
		return &tcpip.ErrNetworkUnreachable{}
	case syscall.ENOBUFS, syscall.EAGAIN:
		return &tcpip.ErrNoBufferSpace{}
	default:
		return &tcpip.ErrInvalidEndpointState{}
	}
}

// errnoFrom finds the syscall.Errno in an error of a Config function.
func errnoFrom(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EINVAL
}

// unreachableErrno is what the code of a Destination Unreachable message (RFC
// 4443, section 3.1) is for the user of a socket. known is false for a code that
// has no meaning yet.
func unreachableErrno(code uint8) (errno syscall.Errno, known bool) {
	switch code {
	case 0: // no route to destination
		return syscall.ENETUNREACH, true
	case 2, 3: // beyond scope of source address, address unreachable
		return syscall.EHOSTUNREACH, true
	case 4: // port unreachable
		return syscall.ECONNREFUSED, true
	case 1, 5, 6: // prohibited, source address failed policy, reject route
		return syscall.EACCES, true
	default:
		return syscall.EPROTO, false
	}
}
