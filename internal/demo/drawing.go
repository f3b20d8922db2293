package demo

import (
	"fmt"
	"io"
	"time"

	"github.com/tapstack/tapstack/internal/diagram"
)

// note remembers for the drawing what happens at the host.
func (s *story) note(wrong bool, format string, args ...any) {
	s.rows = append(s.rows, diagram.Row{At: time.Since(s.began), Kind: diagram.Note, Text: fmt.Sprintf(format, args...), Wrong: wrong})
}

// arrows remembers frames for the drawing. All of them go to everyone.
func (s *story) arrows(frames []shown) {
	for _, f := range frames {
		short, means := meaning(f.message)
		row := diagram.Row{At: f.at.Sub(s.began), To: diagram.Everyone, Short: short, Text: f.message, Detail: f.ends + "  " + means}
		if f.by != s.host {
			row.From = 1
		}
		s.rows = append(s.rows, row)
	}
}

// draw draws what went over the wire.
func (s *story) draw(w io.Writer) error {
	if w == nil {
		return nil
	}
	return diagram.Diagram{
		Title: "Duplicate Address Detection",
		Desc: fmt.Sprintf("%s adds %s, which nobody has and which is assigned after a second of silence, and %s, which %s has and which is refused.",
			s.host, unique, taken, s.other),
		Lines: []diagram.Line{{Name: s.host, Detail: bob.String()}, {Name: s.other, Detail: s.otherLinkAddr.String()}},
		Rows:  s.rows,
	}.WriteSVG(w)
}
