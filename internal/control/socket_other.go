//go:build !unix

package control

import "net"

// lockDir does nothing: there is no portable lock on a directory.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }

func listenPrivate(path string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// awaitHangup does nothing: there is no portable way to tell a connection that
// is closed from one that is closed in one direction.
func awaitHangup(net.Conn) bool { return false }
