package conformance

import (
	"time"

	"github.com/tapstack/tapstack/internal/decode"
)

// Verdict is how a case ended.
type Verdict string

const (
	Pass Verdict = "pass"
	Fail Verdict = "fail"
	// Inconclusive: the host did not get as far as the matter of the case, or
	// the target failed.
	Inconclusive Verdict = "inconclusive"
	// NotApplicable: the target cannot do what the case needs, or the case is
	// not about the profile.
	NotApplicable Verdict = "not-applicable"
)

// Result is the outcome of one case against one target.
type Result struct {
	Case         string   `json:"case"`
	Title        string   `json:"title"`
	Group        string   `json:"group"`
	Target       string   `json:"target"`
	Profile      string   `json:"profile"`
	Chance       Chance   `json:"chance"`
	Verdict      Verdict  `json:"verdict"`
	Specs        []string `json:"specs"`
	Requirements []string `json:"requirements,omitempty"`
	Extern       []string `json:"extern,omitempty"`

	// Tries is how often it was played: more than once only in real time.
	Tries int `json:"tries"`

	// What decided, if the case did not pass. Section is the one at stake.
	Section  string `json:"section,omitempty"`
	File     string `json:"file"`
	Line     int    `json:"line"` // of the step that decided, else of the case
	Step     string `json:"step,omitempty"`
	Expected string `json:"expected,omitempty"`
	Observed string `json:"observed,omitempty"`
	// Deviating is the index in Trace of the frame that should not have been,
	// or came closest to what should; -1 if there is none.
	Deviating int `json:"deviating"`
	// Window is when what was expected should have come, or when nothing
	// should have; nil if the matter was none of time.
	Window *Window `json:"window,omitempty"`

	// Trace is what happened, in order of time.
	Trace []Event `json:"trace,omitempty"`
	// Took is how long the case took by the target's clock.
	Took time.Duration `json:"took_ns"`

	// played are the steps up to the one that decided, unless the case passed.
	played []playedStep
}

// Window is a time by the target's clock.
type Window struct {
	From  time.Duration `json:"from_ns"`
	Until time.Duration `json:"until_ns"`
}

// playedStep is a step, and how much of the trace there was before it.
type playedStep struct {
	step
	from int
}

// Event is one thing that happened.
type Event struct {
	At   time.Duration `json:"at_ns"`
	What What          `json:"what"`
	// Text is the command or the step, or the frame in words.
	Text  string `json:"text"`
	Frame []byte `json:"frame,omitempty"` // Ethernet, without its check sequence
	Line  int    `json:"line,omitempty"`  // of the step that did it
}

// What says which kind of thing happened.
type What string

const (
	Sent     What = "sent"     // by the host
	Received What = "received" // by the host, from a node of the tester
	Ordered  What = "command"  // to the host
	Noted    What = "note"     // by the tester
)

// describe is a frame in words.
func describe(frame []byte) string { return decode.Line(frame) }
