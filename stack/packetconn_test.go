package stack_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tapstack/tapstack/dad"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// Several readers of a socket on every interface share what comes, from all
// interfaces, and lose nothing of it; those that wait are woken by it, by a
// deadline and by Close.
func TestPacketConn_ReadersShareWhatComes(t *testing.T) {
	const interfaces, each, readers = 3, 200, 4
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := s.ListenPacket("udp", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	peers := make([]*stack.Stack, interfaces)
	for k := range peers {
		a, b := tap.Pipe(macA, macB, 1500)
		own := stack.AddressConfig{Prefix: netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::1/64", k+1)), DAD: dad.Off}
		own.OnLink = own.Prefix.Masked()
		i, err := s.Attach(fmt.Sprintf("tap%d", k), a, stack.InterfaceConfig{})
		if err != nil {
			t.Fatal(err)
		}
		p, pi := attach(t, b, stack.InterfaceConfig{})
		other := own
		other.Prefix = netip.PrefixFrom(own.Prefix.Addr().Next(), 64)
		if err := errors.Join(i.AddAddress(t.Context(), own), pi.AddAddress(t.Context(), other)); err != nil {
			t.Fatal(err)
		}
		peers[k] = p
	}

	var mu sync.Mutex
	got := make(map[string]int)
	all := make(chan struct{})
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			buf := make([]byte, 100)
			for {
				n, _, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("read: %v", err)
					}
					return
				}
				mu.Lock()
				got[string(buf[:n])]++
				if len(got) == interfaces*each {
					close(all)
				}
				mu.Unlock()
			}
		})
	}
	for k, p := range peers {
		go func() {
			w, err := p.DialContext(context.Background(), "udp", fmt.Sprintf("[2001:db8:%d::1]:5000", k+1))
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			for n := range each {
				fmt.Fprintf(w, "%d from %d", n, k)
				if n == 0 {
					time.Sleep(50 * time.Millisecond) // until the neighbor is resolved
				}
			}
		}()
	}
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		mu.Lock()
		t.Errorf("%d of %d datagrams were read", len(got), interfaces*each)
		mu.Unlock()
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	reading.Wait()
}

func TestPacketConn_DeadlineWakesEachReader(t *testing.T) {
	s, err := stack.New(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := s.ListenPacket("udp", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var reading sync.WaitGroup
	for range 3 {
		reading.Go(func() {
			if _, _, err := c.ReadFromUDPAddrPort(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v", err)
			}
		})
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	reading.Wait()
}
