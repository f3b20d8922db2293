package services

import (
	"io"
	"math/rand/v2"
	"net"
)

func echoStream(c net.Conn)           { _, _ = io.Copy(c, c) }
func echoDatagram(b []byte) []byte    { return b }
func discardStream(c net.Conn)        { _, _ = io.Copy(io.Discard, c) }
func discardDatagram(b []byte) []byte { return nil }

// chargenStream sends lines until the peer closes the connection. What the
// peer sends is thrown away (RFC 864), and its end is the end of the lines.
func chargenStream(c net.Conn) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	}()
	for {
		if _, err := c.Write(pattern); err != nil {
			break
		}
	}
	c.Close()
	<-ended
}

// chargenDatagram answers with 0 to 512 characters (RFC 864).
func chargenDatagram([]byte) []byte { return pattern[:rand.IntN(513)] }

// The pattern of RFC 864: lines of 72 printing characters of the 95 there are,
// each line beginning one character later than the line before.
const (
	firstChar  = ' '
	chars      = 95
	lineLength = 72
)

var pattern = func() []byte {
	var p []byte
	for line := range chars {
		for i := range lineLength {
			p = append(p, byte(firstChar+(line+i)%chars))
		}
		p = append(p, '\r', '\n')
	}
	return p
}()
