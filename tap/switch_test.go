package tap_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
	"github.com/tapstack/tapstack/tap"
)

// numbers are the payloads of numbered frames.
func numbers(frames [][]byte) []uint32 {
	var all []uint32
	for _, f := range frames {
		all = append(all, binary.BigEndian.Uint32(f[headerLen:]))
	}
	return all
}

// upTo is 0 to n-1.
func upTo(n uint32) []uint32 {
	var all []uint32
	for i := range n {
		all = append(all, i)
	}
	return all
}

// through sends n multicasts through a switch with one listener and returns
// the numbers of those that arrived within an hour.
func through(t *testing.T, cfg tap.SwitchConfig, n uint32) (got []uint32) {
	synctest.Test(t, func(t *testing.T) {
		s := tap.NewSwitch(cfg)
		defer s.Close()
		a, b := s.Port(addrA), s.Port(addrB)
		for i := range n {
			send(t, a, numbered(group, addrA, i))
		}
		time.Sleep(time.Hour)
		got = numbers(waiting(t, b))
	})
	return got
}

func TestSwitch_Forwards(t *testing.T) {
	tests := []struct {
		name    string
		hairpin bool
		send    func(t *testing.T, a, b *tap.End)
		// Who hears the last frame, which a sends.
		a, b, c bool
	}{
		{name: "multicast", send: func(t *testing.T, a, _ *tap.End) {
			send(t, a, frame(group, addrA, ""))
		}, b: true, c: true},
		{name: "broadcast", send: func(t *testing.T, a, _ *tap.End) {
			send(t, a, frame(nd.BroadcastLinkAddr, addrA, ""))
		}, b: true, c: true},
		{name: "unknown address", send: func(t *testing.T, a, _ *tap.End) {
			send(t, a, frame(addrB, addrA, ""))
		}, b: true, c: true},
		{name: "known address", send: func(t *testing.T, a, b *tap.End) {
			send(t, b, frame(addrC, addrB, ""))
			send(t, a, frame(addrB, addrA, ""))
		}, b: true},
		{name: "known address of the same port", send: func(t *testing.T, a, _ *tap.End) {
			send(t, a, frame(addrA, addrA, ""))
		}},
		{name: "address that moved", send: func(t *testing.T, a, b *tap.End) {
			send(t, a, frame(group, addrC, ""))
			send(t, b, frame(group, addrC, ""))
			send(t, a, frame(addrC, addrA, ""))
		}, b: true},
		{name: "a group as source is not learned", send: func(t *testing.T, a, b *tap.End) {
			send(t, b, frame(addrC, group, ""))
			send(t, a, frame(group, addrA, ""))
		}, b: true, c: true},
		{name: "multicast with hairpin", hairpin: true, send: func(t *testing.T, a, _ *tap.End) {
			send(t, a, frame(group, addrA, ""))
		}, a: true, b: true, c: true},
		{name: "known address of the same port with hairpin", hairpin: true, send: func(t *testing.T, a, _ *tap.End) {
			send(t, a, frame(addrA, addrA, ""))
		}, a: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tap.NewSwitch(tap.SwitchConfig{Hairpin: tt.hairpin})
				defer s.Close()
				a, b, c := s.Port(addrA), s.Port(addrB), s.Port(addrC)
				tt.send(t, a, b)
				hears := func(l *tap.End) bool {
					all := waiting(t, l)
					return len(all) > 0 && nd.LinkAddr(all[len(all)-1][6:12]) == addrA
				}
				got := []bool{hears(a), hears(b), hears(c)}
				if want := []bool{tt.a, tt.b, tt.c}; !slices.Equal(got, want) {
					t.Errorf("heard at a, b, c: %v, want %v", got, want)
				}
			})
		})
	}
}

func TestSwitch_WithoutFaultsDeliversAtOnce(t *testing.T) {
	s := tap.NewSwitch(tap.SwitchConfig{})
	a, b := s.Port(addrA), s.Port(addrB)
	want := frame(addrB, addrA, "at once")
	send(t, a, want)
	if b.Drained() {
		t.Fatal("nothing has arrived")
	}
	if got := receive(t, b); !bytes.Equal(got, want) {
		t.Errorf("frame = %x, want %x", got, want)
	}
}

func TestSwitch_Loss(t *testing.T) {
	if got := through(t, tap.SwitchConfig{Loss: 1}, 100); len(got) != 0 {
		t.Errorf("with loss 1, %d of 100 arrived", len(got))
	}
	got := through(t, tap.SwitchConfig{Loss: 0.25}, 4000)
	if len(got) < 2900 || len(got) > 3100 {
		t.Errorf("with loss 0.25, %d of 4000 arrived", len(got))
	}
	if !slices.IsSorted(got) {
		t.Error("loss alone reorders")
	}
}

func TestSwitch_Duplicate(t *testing.T) {
	want := []uint32{0, 0, 1, 1, 2, 2}
	if diff := cmp.Diff(want, through(t, tap.SwitchConfig{Duplicate: 1}, 3)); diff != "" {
		t.Errorf("with duplication 1 (-want +got):\n%s", diff)
	}
	if got := through(t, tap.SwitchConfig{Duplicate: 0.5}, 2000); len(got) < 2900 || len(got) > 3100 {
		t.Errorf("with duplication 0.5, %d copies of 2000 arrived", len(got))
	}
}

func TestSwitch_DelayKeepsOrder(t *testing.T) {
	cfg := tap.SwitchConfig{MinDelay: time.Millisecond, MaxDelay: time.Second}
	if diff := cmp.Diff(upTo(1000), through(t, cfg, 1000)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSwitch_DelayIsInItsRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shortest, longest = 20 * time.Millisecond, 50 * time.Millisecond
		s := tap.NewSwitch(tap.SwitchConfig{MinDelay: shortest, MaxDelay: longest})
		defer s.Close()
		a, b := s.Port(addrA), s.Port(addrB)
		least, most := time.Hour, time.Duration(0)
		for range 500 {
			start := time.Now()
			send(t, a, frame(group, addrA, ""))
			receive(t, b)
			took := time.Since(start)
			least, most = min(least, took), max(most, took)
		}
		if least < shortest || least > shortest+time.Millisecond || most > longest || most < longest-time.Millisecond {
			t.Errorf("delays from %v to %v, want all of %v to %v", least, most, shortest, longest)
		}
	})
}

func TestSwitch_FixedDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tap.NewSwitch(tap.SwitchConfig{MinDelay: 30 * time.Millisecond})
		defer s.Close()
		a, b := s.Port(addrA), s.Port(addrB)
		start := time.Now()
		for i := range uint32(3) {
			send(t, a, numbered(group, addrA, i))
			time.Sleep(10 * time.Millisecond)
		}
		for i := range 3 {
			receive(t, b)
			if got, want := time.Since(start), time.Duration(30+10*i)*time.Millisecond; got != want {
				t.Errorf("frame %d after %v, want %v", i, got, want)
			}
		}
	})
}

func TestSwitch_Reorder(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		got := through(t, tap.SwitchConfig{Reorder: 0.1, MinDelay: delay}, 1000)
		held, newest := 0, uint32(0)
		for _, n := range got {
			if n < newest {
				held++
			}
			newest = max(newest, n)
		}
		if held < 50 || held > 150 {
			t.Errorf("delay %v: %d of 1000 frames arrived behind a later one, want about 100", delay, held)
		}
		slices.Sort(got)
		if diff := cmp.Diff(upTo(1000), got); diff != "" {
			t.Errorf("delay %v: reordering loses or duplicates (-want +got):\n%s", delay, diff)
		}
	}
}

func TestSwitch_SeedDecides(t *testing.T) {
	cfg := tap.SwitchConfig{
		Seed: 7, Loss: 0.2, Duplicate: 0.2, Reorder: 0.2,
		MinDelay: time.Millisecond, MaxDelay: time.Second, Hairpin: true,
	}
	first := through(t, cfg, 500)
	if diff := cmp.Diff(first, through(t, cfg, 500)); diff != "" {
		t.Errorf("the same seed gave another run (-first +second):\n%s", diff)
	}
	cfg.Seed = 8
	if cmp.Equal(first, through(t, cfg, 500)) {
		t.Error("another seed gave the same run")
	}
}

func TestSwitch_AFaultDoesNotDisturbTheOthers(t *testing.T) {
	lost := through(t, tap.SwitchConfig{Seed: 3, Loss: 0.3}, 500)
	twice := through(t, tap.SwitchConfig{Seed: 3, Loss: 0.3, Duplicate: 0.3}, 500)
	if diff := cmp.Diff(lost, slices.Compact(twice)); diff != "" {
		t.Errorf("duplication changed which frames are lost (-without +with):\n%s", diff)
	}
}

func TestSwitch_ClosedPortIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tap.NewSwitch(tap.SwitchConfig{})
		defer s.Close()
		a, b := s.Port(addrA), s.Port(addrB)
		send(t, b, frame(group, addrB, "")) // the switch learns b
		b.Close()
		moved := s.Port(addrB)
		send(t, a, frame(addrB, addrA, "to the new place"))
		if got := len(waiting(t, moved)); got != 1 {
			t.Errorf("%d frames reached the new port, want 1: it is flooded again", got)
		}
	})
}

func TestSwitch_Close(t *testing.T) {
	// The bubble fails the test if a goroutine is left.
	synctest.Test(t, func(t *testing.T) {
		s := tap.NewSwitch(tap.SwitchConfig{MinDelay: time.Second})
		a, b := s.Port(addrA), s.Port(addrB)
		send(t, a, frame(addrB, addrA, "never arrives"))
		result := make(chan error)
		go func() {
			_, err := b.Read(room(1, 100))
			result <- err
		}()
		synctest.Wait()
		s.Close()
		if err := <-result; err != net.ErrClosed {
			t.Errorf("Read at a port of a closed switch: %v, want net.ErrClosed", err)
		}
		if _, err := a.Write([]stack.Frame{{Data: [][]byte{frame(addrB, addrA, "")}}}); err != net.ErrClosed {
			t.Errorf("Write at a port of a closed switch: %v, want net.ErrClosed", err)
		}
		if _, err := s.Port(addrC).Read(room(1, 100)); err != net.ErrClosed {
			t.Errorf("Read at a new port of a closed switch: %v, want net.ErrClosed", err)
		}
		a.Close()
		s.Close()
	})
}
