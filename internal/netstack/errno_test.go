package netstack

import (
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// TestErrno: every error of gVisor that a socket can meet has its errno.
func TestErrno(t *testing.T) {
	for _, test := range []struct {
		err  tcpip.Error
		want syscall.Errno
	}{
		{&tcpip.ErrAborted{}, syscall.ECONNABORTED},
		{&tcpip.ErrAddressFamilyNotSupported{}, syscall.EAFNOSUPPORT},
		{&tcpip.ErrAlreadyBound{}, syscall.EINVAL},
		{&tcpip.ErrAlreadyConnected{}, syscall.EISCONN},
		{&tcpip.ErrAlreadyConnecting{}, syscall.EALREADY},
		{&tcpip.ErrBadAddress{}, syscall.EADDRNOTAVAIL},
		{&tcpip.ErrBadLocalAddress{}, syscall.EADDRNOTAVAIL},
		{&tcpip.ErrBroadcastDisabled{}, syscall.EACCES},
		{&tcpip.ErrClosedForReceive{}, syscall.ENOTCONN},
		{&tcpip.ErrClosedForSend{}, syscall.EPIPE},
		{&tcpip.ErrConnectStarted{}, syscall.EINPROGRESS},
		{&tcpip.ErrConnectionAborted{}, syscall.ECONNABORTED},
		{&tcpip.ErrConnectionRefused{}, syscall.ECONNREFUSED},
		{&tcpip.ErrConnectionReset{}, syscall.ECONNRESET},
		{&tcpip.ErrDestinationRequired{}, syscall.EDESTADDRREQ},
		{&tcpip.ErrDuplicateAddress{}, syscall.EEXIST},
		{&tcpip.ErrHostDown{}, syscall.EHOSTDOWN},
		{&tcpip.ErrHostUnreachable{}, syscall.EHOSTUNREACH},
		{&tcpip.ErrInvalidEndpointState{}, syscall.EINVAL},
		{&tcpip.ErrMessageTooLong{}, syscall.EMSGSIZE},
		{&tcpip.ErrNetworkUnreachable{}, syscall.ENETUNREACH},
		{&tcpip.ErrNoBufferSpace{}, syscall.ENOBUFS},
		{&tcpip.ErrNoNet{}, syscall.ENETDOWN},
		{&tcpip.ErrNoPortAvailable{}, syscall.EADDRNOTAVAIL},
		{&tcpip.ErrNotConnected{}, syscall.ENOTCONN},
		{&tcpip.ErrNotPermitted{}, syscall.EACCES},
		{&tcpip.ErrNotSupported{}, syscall.EOPNOTSUPP},
		{&tcpip.ErrPortInUse{}, syscall.EADDRINUSE},
		{&tcpip.ErrTimeout{}, syscall.ETIMEDOUT},
		{&tcpip.ErrUnknownProtocol{}, syscall.EPROTONOSUPPORT},
		{&tcpip.ErrWouldBlock{}, syscall.EAGAIN},
	} {
		if got := errnoOf(test.err); got != test.want {
			t.Errorf("%T: %v, want %v", test.err, got, test.want)
		}
	}
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EADDRNOTAVAIL, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
		syscall.EINVAL, syscall.EMSGSIZE, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.ENOBUFS} {
		if got := errnoOf(tcpipError(errno)); got != errno {
			t.Errorf("%v comes back as %v", errno, got)
		}
	}
}
