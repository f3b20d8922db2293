package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapstack/tapstack/conformance"
)

const (
	redrawEvery = 100 * time.Millisecond
	tickEvery   = 500 * time.Millisecond
	// reportEvery is how often there is a line where nothing can be redrawn.
	reportEvery = 30 * time.Second
)

// progress shows how far runs have come: on a terminal in a block of lines that
// is drawn again and again, with what fails above it as it comes; elsewhere in
// a line now and then.
type progress struct {
	now    func() time.Time
	screen io.Writer // the terminal, or nil
	plain  io.Writer

	mu       sync.Mutex
	began    time.Time
	drawn    time.Time
	reported time.Time
	lines    int // that the block has on the screen
	targets  []*targetProgress
	stop     chan struct{}
	ended    sync.WaitGroup
}

// targetProgress is how far one target has come. Cases are called "DAD-09
// rfc4862" in it.
type targetProgress struct {
	name    string
	total   int
	began   time.Time                      // zero until its first case begins
	done    map[string]conformance.Verdict // the last one, of those that are tried again
	count   conformance.Count
	running map[string]time.Time
}

// newProgress shows progress on w.
func newProgress(w io.Writer) *progress {
	p := &progress{now: time.Now, screen: terminal(w), plain: w, stop: make(chan struct{})}
	if os.Getenv("TERM") == "dumb" {
		p.screen = nil
	}
	p.began = p.now()
	p.reported = p.began
	p.ended.Go(p.tick)
	return p
}

// watch has a run of so many cases tell p of itself.
func (p *progress) watch(r conformance.Runner, cases int) conformance.Runner {
	profiles := len(r.Profiles)
	if profiles == 0 {
		profiles = len(r.Driver.Profiles())
	}
	t := &targetProgress{
		name: r.Driver.Name(), total: cases * profiles,
		done: map[string]conformance.Verdict{}, count: conformance.Count{}, running: map[string]time.Time{},
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = append(p.targets, t)
	again := r.Driver.Slack() > 0
	r.Began = func(c *conformance.Case, profile string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if t.began.IsZero() {
			t.began = p.now()
		}
		t.running[c.ID+" "+profile] = p.now()
	}
	r.Progress = func(result conformance.Result) { p.result(t, result, again) }
	return r
}

// result takes note of a result. In real time it is tried again if it is bad.
func (p *progress) result(t *targetProgress, r conformance.Result, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := r.Case + " " + r.Profile
	delete(t.running, key)
	if before, ok := t.done[key]; ok {
		t.count[before]--
	}
	t.done[key] = r.Verdict
	t.count[r.Verdict]++
	if bad := r.Verdict == conformance.Fail || r.Verdict == conformance.Inconclusive; bad && !interrupted(r) && p.screen != nil {
		try := ""
		if again {
			try = fmt.Sprintf(" (try %d)", r.Tries)
		}
		p.erase()
		fmt.Fprintf(p.screen, "%s%s\n", r.Summary(), try)
		p.draw()
	} else if p.screen != nil && p.now().Sub(p.drawn) >= redrawEvery {
		p.erase()
		p.draw()
	}
}

// tick draws again so that the time goes on while no case ends.
func (p *progress) tick() {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.mu.Lock()
			p.refresh()
			p.mu.Unlock()
		}
	}
}

func (p *progress) refresh() {
	switch {
	case p.screen != nil:
		p.erase()
		p.draw()
	case p.now().Sub(p.reported) >= reportEvery:
		p.reported = p.now()
		for _, t := range p.targets {
			fmt.Fprintf(p.plain, "%s: %d of %d done, %s, after %v\n", t.name, len(t.done), t.total, t.count, p.elapsed())
		}
	}
}

// close ends the showing; nothing of the block is left.
func (p *progress) close() {
	close(p.stop)
	p.ended.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *progress) elapsed() time.Duration { return p.now().Sub(p.began).Round(time.Second) }

// erase takes the block from the screen.
func (p *progress) erase() {
	if p.lines > 0 {
		fmt.Fprintf(p.screen, "\x1b[%dA\r\x1b[J", p.lines)
		p.lines = 0
	}
}

// draw puts the block on the screen, with lines that are too long cut off by
// the terminal and not broken.
func (p *progress) draw() {
	block := p.block()
	fmt.Fprintf(p.screen, "\x1b[?7l%s\x1b[?7h", block)
	p.lines, p.drawn = strings.Count(block, "\n"), p.now()
}

func (p *progress) block() string {
	b := new(strings.Builder)
	width := 0
	for _, t := range p.targets {
		width = max(width, len(t.name))
	}
	for _, t := range p.targets {
		fmt.Fprintf(b, "%-*s %s %d/%d  %s\n", width, t.name, bar(len(t.done), t.total), len(t.done), t.total, t.count)
		if name, since, ok := t.longest(); ok {
			doing := "running"
			if len(t.done) == t.total {
				doing = "trying again"
			}
			fmt.Fprintf(b, "%-*s %s %s for %v\n", width, "", doing, name, p.now().Sub(since).Round(time.Second))
		}
	}
	fmt.Fprintf(b, "%v elapsed%s\n", p.elapsed(), p.left())
	return b.String()
}

// left is about how long it takes until the targets that have begun have
// played every case once.
func (p *progress) left() string {
	var left time.Duration
	waiting := ""
	for _, t := range p.targets {
		switch {
		case t.began.IsZero():
			waiting = ", without those that have not begun"
		case len(t.done) > 0:
			left += time.Duration(float64(p.now().Sub(t.began)) * float64(t.total-len(t.done)) / float64(len(t.done)))
		}
	}
	if left == 0 {
		return ""
	}
	return fmt.Sprintf(", about %v left%s", left.Round(time.Second), waiting)
}

// longest is the case that has been running for the longest time.
func (t *targetProgress) longest() (name string, since time.Time, ok bool) {
	var names []string
	for n := range t.running {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if !ok || t.running[n].Before(since) {
			name, since, ok = n, t.running[n], true
		}
	}
	return name, since, ok
}

func bar(done, total int) string {
	const width = 24
	n := width
	if total > 0 {
		n = width * done / total
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat("-", width-n) + "]"
}
