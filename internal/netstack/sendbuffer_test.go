package netstack

import (
	"testing"
	"time"
)

// TestSendBudget: connections that write at once share the budget, and one
// that writes alone has all of it. What the user sets stays.
func TestSendBudget(t *testing.T) {
	p := newPair(t)
	const many = 64
	var blocked []*TCPConn
	for range many {
		c, _ := p.connect(t, addrA, addrB)
		blocked = append(blocked, c)
		go c.Write(make([]byte, 64<<20)) // nobody reads it
	}
	set, _ := p.connect(t, addrA, addrB)
	if err := set.SetWriteBuffer(3 << 20); err != nil {
		t.Fatal(err)
	}
	go set.Write(make([]byte, 64<<20))
	for p.a.writing.Load() < many+1 {
		time.Sleep(time.Millisecond)
	}
	size := func(c *TCPConn) int64 { return c.ep.SocketOptions().GetSendBufferSize() }
	last, _ := p.connect(t, addrA, addrB)
	if _, err := last.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if got := size(last); got != leastBuffer {
		t.Errorf("the last of many has %d octets, want %d", got, leastBuffer)
	}
	if got := size(set); got != 3<<20 {
		t.Errorf("the one that was set has %d octets, want %d", got, 3<<20)
	}
	for _, c := range append(blocked, set) {
		c.Close()
	}
	for p.a.writing.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := last.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if got := size(last); got != sendBudget {
		t.Errorf("the only one has %d octets, want %d", got, sendBudget)
	}
}

// TestTripTime: a path is long when the round trips of several waits in a row
// were, and then stays so.
func TestTripTime(t *testing.T) {
	var b sendBuffer
	for round := range 2 {
		for k := range longTripsFor - 1 {
			if b.tripTime(longTrip) {
				t.Fatalf("round %d: long after %d", round, k+1)
			}
		}
		if round == 0 && b.tripTime(longTrip-1) {
			t.Fatal("long after a short one")
		}
	}
	if !b.tripTime(longTrip) {
		t.Errorf("short after %d long ones", longTripsFor)
	}
	if !b.tripTime(0) {
		t.Error("short again")
	}
}

// TestSendBufferGrows: on a long path a connection may have more on its way
// than its share.
func TestSendBufferGrows(t *testing.T) {
	p := newPair(t)
	c, server := p.connect(t, addrA, addrB)
	c.buffer.trips = longTripsFor
	c.resize(leastBuffer)
	go c.Write(make([]byte, 16<<20))
	p.receive(t, server, 16<<20)
	if got := c.ep.SocketOptions().GetSendBufferSize(); got <= leastBuffer || got > mostBuffer {
		t.Errorf("%d octets, want more than %d and not more than %d", got, leastBuffer, mostBuffer)
	}
}

// receive reads n octets.
func (p *pair) receive(t *testing.T, c *TCPConn, n int) {
	t.Helper()
	for buf := make([]byte, 1<<20); n > 0; {
		k, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		n -= k
	}
}
