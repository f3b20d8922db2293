package node

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
)

// BulkArgs says how to move data.
type BulkArgs struct {
	Out   bool // from the host to its peer
	Conns int
	For   time.Duration
}

// chunk is what is read and written at once: enough that its cost counts for
// no host.
const chunk = 256 << 10

// warmUp is the share of a measurement before it counts.
const warmUp = 5

// Bulk moves data over TCP and returns octets per second.
func (n *Node) Bulk(args BulkArgs, rate *float64) error {
	port := chargenPort
	if args.Out {
		port = discardPort
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range args.Conns {
		c, err := n.host.DialTCP(netip.AddrPortFrom(host.Peer, port))
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	var octets atomic.Int64
	for _, c := range conns {
		move := c.Read
		if args.Out {
			move = c.Write
		}
		go func() {
			for buf := make([]byte, chunk); ; {
				k, err := move(buf)
				octets.Add(int64(k))
				if err != nil {
					return
				}
			}
		}()
	}
	*rate = perSecond(args.For, octets.Load)
	return nil
}

// patience is how much longer it is waited for a count that does not grow.
const patience = 2 * time.Second

// perSecond lets a while pass, and returns by how much the count grew in most
// of it.
func perSecond(d time.Duration, count func() int64) float64 {
	time.Sleep(d / warmUp)
	before, began := count(), time.Now()
	time.Sleep(d - d/warmUp)
	grown := count() - before
	for grown == 0 && time.Since(began) < d+patience {
		time.Sleep(time.Millisecond)
		grown = count() - before
	}
	return float64(grown) / time.Since(began).Seconds()
}

// ExchangeArgs says how to ask and answer.
type ExchangeArgs struct {
	UDP bool
	For time.Duration
}

// lossTimeout is when a datagram is taken to be lost.
const lossTimeout = time.Second

// Exchange sends an octet and waits for it to come back, again and again, and
// returns how often in a second.
func (n *Node) Exchange(args ExchangeArgs, rate *float64) error {
	dial := n.host.DialTCP
	if args.UDP {
		dial = n.host.DialUDP
	}
	c, err := dial(netip.AddrPortFrom(host.Peer, echoPort))
	if err != nil {
		return err
	}
	var exchanges atomic.Int64
	done := make(chan error, 1)
	go func() { done <- exchange(c, &exchanges) }()
	*rate = perSecond(args.For, exchanges.Load)
	c.Close()
	if err := <-done; *rate == 0 {
		return err
	}
	return nil
}

// exchange runs until the connection is closed.
func exchange(c net.Conn, exchanges *atomic.Int64) error {
	for buf := []byte{0}; ; exchanges.Add(1) {
		if exchanges.Load()%1000 == 0 {
			c.SetReadDeadline(time.Now().Add(lossTimeout))
		}
		if _, err := c.Write(buf); err != nil {
			return err
		}
		_, err := c.Read(buf)
		if err == nil {
			continue
		}
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			return err
		}
		c.SetReadDeadline(time.Now().Add(lossTimeout))
	}
}

// Send sends datagrams of one octet to the other node's discard port for a
// while, as fast as it can.
func (n *Node) Send(d time.Duration, _ *struct{}) error {
	to := host.Peer
	h := n.host
	if h == nil {
		to, h = host.Own, peer()
	}
	c, err := h.DialUDP(netip.AddrPortFrom(to, discardPort))
	if err != nil {
		return err
	}
	defer c.Close()
	for until := time.Now().Add(d); time.Now().Before(until); {
		for range 64 {
			c.Write([]byte{0}) // what the queue below refuses was offered
		}
	}
	return nil
}

// Receive counts the datagrams that a socket on the discard port reads, per
// second.
func (n *Node) Receive(d time.Duration, rate *float64) error {
	c, err := n.host.ListenUDP(discardPort)
	if err != nil {
		return err
	}
	var datagrams atomic.Int64
	var reader sync.WaitGroup
	reader.Go(func() {
		for buf := make([]byte, 2048); ; datagrams.Add(1) {
			if _, _, err := c.ReadFrom(buf); err != nil {
				return
			}
		}
	})
	*rate = perSecond(d, datagrams.Load)
	err = c.Close()
	reader.Wait()
	return err
}

// peer is the kernel of this process's namespace as a host.
func peer() host.Host {
	h, err := host.Open(host.Kernel, host.DeviceName)
	if err != nil {
		panic(err) // the kernel needs no opening
	}
	return h
}

// FloodArgs says what a flood of Neighbor Solicitations is.
type FloodArgs struct {
	Sources int
	Rate    int // per second; 0: as fast as can be
	Device  string
	For     time.Duration
}

// FloodReply is what came of it, per second.
type FloodReply struct{ Sent, Answered float64 }

// ProcessArgs is a command that prints "ready": Argv, or a host of this
// program on a TAP.
type ProcessArgs struct {
	Argv   []string
	Host   string
	Device string // of Host
}

// Started is a process that is ready.
type Started struct {
	ID    int
	Ready time.Duration // from its start
}

// IdleArgs says which process to watch, and for how long.
type IdleArgs struct {
	ID  int
	For time.Duration
}

// IdleReply is what the process takes.
type IdleReply struct {
	CPU float64 // in percent of one
	RSS float64 // in octets
}
