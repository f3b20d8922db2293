package forward

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Join carries octets both ways between two connections until both have ended,
// and closes them. The end of what one sends is passed on, while the other
// still sends. What goes wrong in one direction ends both at once, with a reset
// where there is one, and is the error.
func Join(a, b net.Conn) error {
	var once sync.Once
	var first error
	carry := func(dst, src net.Conn) {
		_, err := io.Copy(dst, src)
		if err == nil {
			err = closeWrite(dst)
		}
		if err != nil {
			once.Do(func() {
				first = err
				Abort(a)
				Abort(b)
			})
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { carry(a, b) })
	carry(b, a)
	wg.Wait()
	if first != nil {
		return first
	}
	return errors.Join(a.Close(), b.Close())
}

// closeWrite passes on the end of a stream.
func closeWrite(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection has no directions that end by themselves")
	}
	return half.CloseWrite()
}

// Abort closes a connection at once. The peer of a TCP connection sees a reset.
func Abort(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // it may be closed already
	}
	_ = c.Close()
}
