package control

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
)

// Connection is a TCP or UDP connection to a peer, through a tapstack process.
// One goroutine may read while another writes.
type Connection struct {
	client *Client
	conn   *net.UnixConn
	r      *bufio.Reader
	udp    bool
	id     string
}

// maxDatagram is what the length before a datagram can say.
const maxDatagram = math.MaxUint16

// Connect opens a connection. Close it after use.
func (c *Client) Connect(ctx context.Context, to Connect) (*Connection, error) {
	req, err := request(http.MethodPost, "/v1/connect", to)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", to.Network)
	x, err := c.do(ctx, req)
	if err != nil {
		return nil, err
	}
	return &Connection{client: c, conn: x.conn, r: x.r, udp: to.Network == "udp", id: x.resp.Header.Get(connectionHeader)}, nil
}

// Read reads what the peer sends: of UDP one datagram, of which what b has no
// room for is lost. The error after the end is io.EOF, also where Result has
// more to say.
func (c *Connection) Read(b []byte) (int, error) {
	if !c.udp {
		return c.r.Read(b)
	}
	var length [2]byte
	if _, err := io.ReadFull(c.r, length[:]); err != nil {
		return 0, err
	}
	size := int(binary.BigEndian.Uint16(length[:]))
	n, err := io.ReadFull(c.r, b[:min(size, len(b))])
	if err == nil {
		_, err = c.r.Discard(size - n)
	}
	return n, err
}

// Write sends b to the peer, to a UDP peer as one datagram.
func (c *Connection) Write(b []byte) (int, error) {
	if !c.udp {
		return c.conn.Write(b)
	}
	if len(b) > maxDatagram {
		return 0, fmt.Errorf("a datagram of %d octets: the most is %d", len(b), maxDatagram)
	}
	frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	if _, err := c.conn.Write(frame); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite ends the sending direction; a TCP peer sees the end of the stream.
func (c *Connection) CloseWrite() error { return c.conn.CloseWrite() }

// Result waits until both directions have ended. It returns nil if they ended in
// good order, else why not.
func (c *Connection) Result(ctx context.Context) error {
	_, err := get[struct{}](ctx, c.client, "/v1/connect", "", "id", c.id)
	return err
}

// Close ends the connection, at once if a direction is still open.
func (c *Connection) Close() error { return c.conn.Close() }
