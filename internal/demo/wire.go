package demo

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/tapstack/tapstack/internal/decode"
	"github.com/tapstack/tapstack/nd"
	"github.com/tapstack/tapstack/stack"
)

// wire remembers which frames were sent, when, and by whom.
type wire struct {
	mu     sync.Mutex
	frames []sent
}

type sent struct {
	at   time.Time
	by   string
	text string
}

// tap returns link with its frames remembered: those written as sent by
// writer, and, unless reader is empty, those read as sent by reader.
func (w *wire) tap(link stack.Link, writer, reader string) stack.Link {
	return &tapped{link, w, writer, reader}
}

type tapped struct {
	stack.Link
	wire           *wire
	writer, reader string
}

func (t *tapped) Write(frames []stack.Frame) (int, error) {
	// Before the link has them, so that no answer stands before its question.
	for _, f := range frames {
		t.wire.record(t.writer, f.Data, -1)
	}
	return t.Link.Write(frames)
}

func (t *tapped) Read(frames []stack.Frame) (int, error) {
	n, err := t.Link.Read(frames)
	if t.reader != "" {
		for _, f := range frames[:n] {
			t.wire.record(t.reader, f.Data, f.Len)
		}
	}
	return n, err
}

// record keeps a frame of n octets; -1: of as many as its pieces have.
func (w *wire) record(by string, pieces [][]byte, n int) {
	var b []byte
	for _, p := range pieces {
		b = append(b, p...)
	}
	if n >= 0 {
		b = b[:n]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, sent{time.Now(), by, decode.Line(b)})
}

func (w *wire) length() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.frames)
}

// shown is a frame as it is told of.
type shown struct {
	at            time.Time
	by            string
	ends, message string
}

// about returns the frames that are about the address a, from frame number
// from on, without repeats.
func (w *wire) about(from int, a netip.Addr) (frames []shown) {
	w.mu.Lock()
	defer w.mu.Unlock()
	address, group := a.String(), nd.SolicitedNode(a).String()
	seen := make(map[string]bool)
	for _, f := range w.frames[from:] {
		text := strings.SplitN(f.text, "  ", 2)
		about := strings.Contains(f.text, address) || strings.Contains(f.text, group)
		if !about || seen[f.by+f.text] || len(text) < 2 {
			continue
		}
		seen[f.by+f.text] = true
		ends, message, _ := strings.Cut(text[1], "  ")
		frames = append(frames, shown{f.at, f.by, ends, message})
	}
	return frames
}

// timeline tells frames line by line.
func timeline(frames []shown, start time.Time) string {
	var lines []string
	for _, f := range frames {
		_, means := meaning(f.message)
		lines = append(lines,
			fmt.Sprintf("  %5.3fs  %-8s  %s", f.at.Sub(start).Seconds(), f.by, f.message),
			fmt.Sprintf("%20s%s  %s", "", f.ends, means))
	}
	return strings.Join(lines, "\n")
}

// meaning is what a message is called in short, and what it says in plain
// words.
func meaning(message string) (short, means string) {
	for _, m := range []struct{ begins, short, means string }{
		{"MLDv2 report: join", "MLD report", `"I listen to this address's group from now on."`},
		{"MLDv2 report: leave", "MLD report", `"I do not listen to it any more."`},
		{"neighbor solicitation", "NS", `"Has anybody this address?"`},
		{"neighbor advertisement", "NA", `"Yes, I have."`},
	} {
		if strings.HasPrefix(message, m.begins) {
			return m.short, m.means
		}
	}
	return "", ""
}
