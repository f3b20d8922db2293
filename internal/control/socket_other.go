//go:build !unix

package control

import "net"

// lockDir does nothing: there is no portable lock on a directory.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }

func listenPrivate(path string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}
