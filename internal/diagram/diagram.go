// Package diagram draws what crossed a link as a sequence diagram: an SVG that
// needs nothing else, with lifelines for the nodes, an arrow for each frame,
// what it says beside it, and time going down. It follows the reader's choice
// of light or dark, has no script, and its text can be selected.
//
//	d := diagram.Diagram{
//		Title: "A duplicate",
//		Lines: []diagram.Line{{Name: "bob"}, {Name: "alice"}},
//		Rows: []diagram.Row{
//			{From: 0, To: diagram.Everyone, Short: "NS", Text: "neighbor solicitation for 2001:db8::5"},
//			{At: time.Millisecond, From: 1, To: 0, Short: "NA", Text: "neighbor advertisement of 2001:db8::5"},
//		},
//	}
//	err := d.WriteSVG(w)
package diagram

import (
	"slices"
	"time"
)

// Diagram is what crossed a link, in order of time. What it says may be any
// text.
type Diagram struct {
	// Title and Desc say in words what there is to see.
	Title, Desc string
	Lines       []Line // left to right
	Rows        []Row  // top to bottom
	// Window, if not nil, is a time in which something was expected, or in
	// which something was not to be; it is marked beside the time axis.
	Window *Window
}

// Line is the lifeline of one node.
type Line struct {
	Name   string
	Detail string // in small letters below the name
}

// Window is a time in which something is to happen.
type Window struct{ From, Until time.Duration }

// Kind says what a row shows.
type Kind int

const (
	Frame   Kind = iota // an arrow
	Note                // a remark at a lifeline: a command
	Missing             // a frame that was expected and did not come: a dashed arrow
)

// Everyone is the destination of a frame to a group.
const Everyone = -1

// Row is one thing that happened, or should have.
type Row struct {
	At       time.Duration
	Kind     Kind
	From, To int    // indices of Lines; of a note, From alone
	Short    string // on the arrow: "NS"
	Text     string // beside the lifelines
	Detail   string // below Text, in small letters
	// Wrong rows are red. Why is said below them.
	Wrong bool
	Why   string
}

// maxRows is how many rows are drawn. Of more, those at the beginning, around
// what is wrong, and at the end are.
const maxRows = 60

// part is a row, or how many frames are left out at this place.
type part struct {
	Row
	left int
}

// shorten leaves rows out of what is too long.
func shorten(rows []Row) (parts []part) {
	const first, around, last = 14, 8, 20
	wrong := slices.IndexFunc(rows, func(r Row) bool { return r.Wrong })
	for k, r := range rows {
		keep := len(rows) <= maxRows || k < first || k >= len(rows)-last || wrong >= 0 && k >= wrong-around && k <= wrong+around
		switch n := len(parts); {
		case keep:
			parts = append(parts, part{Row: r})
		case n > 0 && parts[n-1].left > 0:
			parts[n-1].left++
		default:
			parts = append(parts, part{Row: r, left: 1})
		}
	}
	return parts
}
