package tap

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tapstack/tapstack/stack"
)

// wait has the device be empty for d, asked every 10 µs, and returns for how
// long it was polled.
func wait(p *busyPoll, start time.Time, d time.Duration) (polled time.Duration) {
	for polled < d {
		if again, _ := p.empty(start.Add(polled)); !again {
			break
		}
		polled += 10 * time.Microsecond
	}
	p.ready(start.Add(d))
	return min(polled, d)
}

func TestBusyPoll(t *testing.T) {
	const near, far = maxBusyPoll / 2, 10 * maxBusyPoll
	steps := []struct{ empty, polled time.Duration }{
		{far, 0},
		{far, 0},
		{near, 0},    // it would have paid
		{near, near}, // and does
		{near, near},
		{far, maxBusyPoll}, // for the last time
		{far, 0},
		{near, 0},
		{near, near},
	}
	p := newBusyPoll(Config{}, 2)
	now := time.Unix(1, 0)
	for i, s := range steps {
		if got := wait(&p, now, s.empty); got != s.polled {
			t.Errorf("step %d: empty for %v, of which it is polled for %v, want %v", i, s.empty, got, s.polled)
		}
		now = now.Add(s.empty + time.Millisecond)
	}
}

func TestBusyPoll_OnlyIfWanted(t *testing.T) {
	for _, c := range []struct {
		cfg        Config
		processors int
		want       time.Duration
	}{
		{Config{}, 2, maxBusyPoll / 2},
		{Config{}, 1, 0},
		{Config{NoBusyPoll: true}, 64, 0},
	} {
		p := newBusyPoll(c.cfg, c.processors)
		now := time.Unix(1, 0)
		var polled time.Duration
		for range 10 {
			polled = wait(&p, now, maxBusyPoll/2)
		}
		if polled != c.want {
			t.Errorf("%+v, %d processors: polled for %v, want %v", c.cfg, c.processors, polled, c.want)
		}
	}
}

func TestBusyPoll_OthersRunSoonAndSeldomAfter(t *testing.T) {
	p := busyPoll{pays: true}
	var yields []int
	for poll := 1; poll <= 3*pollsPerYield; poll++ {
		if _, yield := p.empty(time.Unix(1, 0)); yield {
			yields = append(yields, poll)
		}
	}
	want := []int{pollsBeforeYield, pollsBeforeYield + pollsPerYield, pollsBeforeYield + 2*pollsPerYield}
	if !slices.Equal(yields, want) {
		t.Errorf("others run after polls %v, want %v", yields, want)
	}
}

// TestLinuxDevice_PollsWhileFramesAreNear reads from a pipe into which another
// goroutine writes at its own pace.
func TestLinuxDevice_PollsWhileFramesAreNear(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	d := &linuxDevice{name: "pipe", file: r, raw: raw}
	d.readReady = d.readAll
	frames := []stack.Frame{{Data: [][]byte{make([]byte, 100)}}}
	becomes := func(pays bool, gap time.Duration) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			go func() {
				time.Sleep(gap)
				w.Write(make([]byte, 50))
			}()
			if n, err := d.read(frames); n != 1 || err != nil {
				t.Fatalf("read = %d, %v", n, err)
			}
			if d.poll.pays == pays {
				return
			}
		}
		t.Errorf("with frames %v apart it never came to: polling pays = %t", gap, pays)
	}
	becomes(true, 0)
	becomes(false, 5*time.Millisecond)
	becomes(true, 0)
}
