package stack

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"github.com/tapstack/tapstack/internal/netstack"
)

// PingReply is the answer to one Echo Request.
type PingReply struct {
	From     netip.Addr
	HopLimit int
	Bytes    int // of data
	RTT      time.Duration
}

// Pinger sends Echo Requests from one interface. It is for one goroutine.
type Pinger struct {
	i    *Interface
	conn *netstack.PingConn
}

// NewPinger opens an ICMPv6 echo socket; src, if valid, is the source address,
// which must be assigned. Close it after use.
func (i *Interface) NewPinger(src netip.Addr) (*Pinger, error) {
	bare, err := i.own(src)
	if err != nil {
		return nil, i.opError("ping from", src, err)
	}
	conn, err := i.host.ListenPing(bare)
	if err != nil {
		return nil, i.opError("ping from", src, err)
	}
	return &Pinger{i, conn}, nil
}

// Ping sends one Echo Request with sequence number seq and waits for its
// answer. The error is ctx's, or an *OpError over the errno that an ICMPv6
// error or the routing table gave.
func (p *Pinger) Ping(ctx context.Context, dst netip.Addr, seq uint16, data []byte) (PingReply, error) {
	dst, err := p.i.own(dst)
	if err != nil {
		return PingReply{}, p.i.opError("ping", dst, err)
	}
	stop := context.AfterFunc(ctx, func() { p.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		p.conn.SetReadDeadline(time.Time{})
	}()
	sent := time.Now()
	if err := p.conn.Send(dst, seq, 0, data); err != nil {
		return PingReply{}, p.i.opError("ping", dst, err)
	}
	buffer := make([]byte, len(data)+1)
	for {
		r, err := p.conn.Receive(buffer)
		switch {
		case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
			return PingReply{}, ctx.Err()
		case err != nil:
			return PingReply{}, p.i.opError("ping", dst, err)
		case r.Sequence == seq:
			return PingReply{From: r.From, HopLimit: int(r.HopLimit), Bytes: r.N, RTT: time.Since(sent)}, nil
		}
	}
}

// Close closes the socket.
func (p *Pinger) Close() error { return p.conn.Close() }
