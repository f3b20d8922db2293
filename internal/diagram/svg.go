package diagram

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Style is the style sheet of a diagram, for a document that holds several of
// them without it. All classes begin with dg.
const Style = `.dg{--dg-bg:#fff;--dg-ink:#1f2328;--dg-soft:#59636e;--dg-line:#c5ccd3;--dg-arrow:#0757b8;--dg-note:#6b3fa0;--dg-wrong:#c4202b;--dg-gap:#f3f5f7;` +
	`font-family:ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace;font-size:12px;max-width:none}` +
	`@media (prefers-color-scheme:dark){.dg{--dg-bg:#0d1117;--dg-ink:#e6edf3;--dg-soft:#9198a1;--dg-line:#3d444d;--dg-arrow:#6cb0ff;--dg-note:#c9a4f5;--dg-wrong:#ff7b72;--dg-gap:#161b22}}` +
	`@media print{.dg{--dg-bg:#fff;--dg-ink:#000;--dg-soft:#444;--dg-line:#999;--dg-arrow:#0757b8;--dg-note:#6b3fa0;--dg-wrong:#c4202b;--dg-gap:#eee}}` +
	`.dg text{fill:var(--dg-ink)}.dg .dg-bg{fill:var(--dg-bg)}.dg .dg-soft{fill:var(--dg-soft);font-size:10.5px}` +
	`.dg .dg-name{font-weight:600;font-size:13px}.dg .dg-life{stroke:var(--dg-line)}.dg .dg-arrow{stroke:var(--dg-arrow);stroke-width:1.5;fill:none}` +
	`.dg .dg-head{fill:var(--dg-arrow)}.dg .dg-short{fill:var(--dg-arrow);font-size:10.5px;paint-order:stroke;stroke:var(--dg-bg);stroke-width:4px;stroke-linejoin:round}` +
	`.dg .dg-note text{fill:var(--dg-note)}.dg .dg-dot{fill:var(--dg-note)}.dg .dg-gap{fill:var(--dg-gap)}` +
	`.dg .dg-missing .dg-arrow{stroke-dasharray:5 4}.dg .dg-window{stroke:var(--dg-wrong);stroke-width:2;stroke-dasharray:3 3;fill:none}` +
	`.dg .dg-wrong text{fill:var(--dg-wrong)}.dg .dg-wrong .dg-arrow{stroke:var(--dg-wrong);stroke-width:2.5}.dg .dg-wrong .dg-head,.dg .dg-wrong .dg-dot{fill:var(--dg-wrong)}`

// Sizes, in the units of the drawing.
const (
	axis      = 84  // where the time axis is
	lane      = 118 // from one lifeline to the next
	top       = 58  // where the rows begin
	rowHeight = 38
	whyHeight = 15 // of each line that says why
	letter    = 7.25
	small     = 6.4
	maxText   = 110 // letters in a line; what is longer is in the tooltip
	maxWhy    = 12  // lines
)

// WriteSVG writes the diagram as a document of its own.
func (d Diagram) WriteSVG(w io.Writer) error { return d.write(w, "<style>"+Style+"</style>") }

// WriteFragment writes the diagram for a document that has Style.
func (d Diagram) WriteFragment(w io.Writer) error { return d.write(w, "") }

// canvas is a drawing.
type canvas struct {
	strings.Builder
	width, y float64
}

func (d Diagram) write(w io.Writer, style string) error {
	c := &canvas{y: top}
	textX := float64(axis+lane*max(1, len(d.Lines))) + 8
	var last time.Duration
	var from, until float64 // of the window
	for k, p := range shorten(d.Rows) {
		if k > 0 {
			c.pause(p.At - last)
		}
		last = p.At
		if d.Window != nil && from == 0 && p.At >= d.Window.From {
			from = c.y + 4
		}
		switch {
		case p.left > 0:
			c.leftOut(p.left, textX)
		default:
			d.row(c, p.Row, textX)
		}
		if d.Window != nil && p.At <= d.Window.Until {
			until = c.y
		}
	}
	if from > 0 && until > from {
		fmt.Fprintf(c, `<path class="dg-window" d="M%g %gh-6V%gh6"/>`, 9.0, from, until-6)
	}
	c.fit(d.Title, small, 12)
	out := new(canvas)
	height := c.y + 10
	c.width = max(c.width, textX) + 12
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" class="dg" role="group" aria-label="%s" width="%g" height="%g" viewBox="0 0 %g %g">`,
		escape(d.Title), c.width, height, c.width, height)
	fmt.Fprintf(out, "<title>%s</title><desc>%s</desc>%s\n", escape(d.Title), escape(d.Desc), style)
	fmt.Fprintf(out, `<rect class="dg-bg" width="%g" height="%g"/>`+"\n", c.width, height)
	d.lifelines(out, height-6)
	out.WriteString(c.String())
	out.WriteString("</svg>\n")
	_, err := io.WriteString(w, out.String())
	return err
}

// x is where a lifeline is.
func x(line int) float64 { return axis + lane/2 + float64(line)*lane }

func (d Diagram) lifelines(c *canvas, bottom float64) {
	for k, l := range d.Lines {
		fmt.Fprintf(c, `<text class="dg-name" x="%g" y="20" text-anchor="middle">%s</text>`, x(k), escape(cut(l.Name, 14)))
		fmt.Fprintf(c, `<text class="dg-soft" x="%g" y="34" text-anchor="middle">%s</text>`, x(k), escape(cut(l.Detail, 17)))
		fmt.Fprintf(c, `<path class="dg-life" d="M%g 42V%g"/>`+"\n", x(k), bottom)
	}
}

// pause leaves room for time in which nothing happened: more for more.
func (c *canvas) pause(d time.Duration) {
	if d < 500*time.Millisecond {
		return
	}
	room := min(44, 14+5*math.Log2(d.Seconds()*2))
	c.y += room
	fmt.Fprintf(c, `<text class="dg-soft" x="%d" y="%g" text-anchor="end">+%s</text>`+"\n", axis, c.y-room/2+8, clock(d))
}

// leftOut says how many frames are not shown.
func (c *canvas) leftOut(n int, textX float64) {
	text := fmt.Sprintf("… %s more frames", thousands(n))
	fmt.Fprintf(c, `<rect class="dg-gap" x="%d" y="%g" width="%g" height="%d"/><text class="dg-soft" x="%g" y="%g">%s</text>`+"\n",
		axis, c.y+4, textX-axis-8, rowHeight-8, textX, c.y+rowHeight/2+4, text)
	c.fit(text, small, textX)
	c.y += rowHeight
}

func (d Diagram) row(c *canvas, r Row, textX float64) {
	classes := [...]string{Frame: "dg-frame", Note: "dg-note", Missing: "dg-missing"}
	class := classes[r.Kind]
	if r.Wrong {
		class += " dg-wrong"
	}
	middle := c.y + rowHeight/2
	fmt.Fprintf(c, `<g class="%s"><title>%s</title>`, class, escape(clock(r.At)+"  "+strings.TrimSpace(r.Text+"  "+r.Detail)))
	fmt.Fprintf(c, `<text class="dg-time" x="%d" y="%g" text-anchor="end">%s</text>`, axis, middle+4, clock(r.At))
	if r.Kind == Note {
		fmt.Fprintf(c, `<circle class="dg-dot" cx="%g" cy="%g" r="4"/>`, x(r.From), middle)
	} else {
		d.arrow(c, r, middle)
	}
	base := middle - 2
	if r.Detail == "" {
		base = middle + 4
	}
	c.text("", textX, base, cut(r.Text, maxText), letter)
	c.text("dg-soft", textX, middle+12, cut(r.Detail, maxText), small)
	c.y += rowHeight
	if r.Why != "" {
		lines := wrap(r.Why, maxText)
		for _, line := range lines[:min(len(lines), maxWhy)] {
			c.text("", textX, c.y+6, line, letter)
			c.y += whyHeight
		}
		c.y += 4
	}
	c.WriteString("</g>\n")
}

// arrow goes from a lifeline to another, or to all.
func (d Diagram) arrow(c *canvas, r Row, y float64) {
	from, label := x(r.From), x(r.From)
	point := func(to float64) {
		back := math.Copysign(7, from-to)
		fmt.Fprintf(c, `<path class="dg-head" d="M%g %gl%g -4v8z"/>`, to, y, back)
	}
	line := func(to float64) { fmt.Fprintf(c, `<path class="dg-arrow" d="M%g %gH%g"/>`, from, y, to) }
	switch {
	case r.To != Everyone && r.To != r.From:
		line(x(r.To))
		point(x(r.To))
		label = (from + x(r.To)) / 2
	case len(d.Lines) < 2: // nobody else is known
		line(from + lane*0.45)
		point(from + lane*0.45)
	default:
		for k := range d.Lines {
			if k != r.From {
				point(x(k))
			}
		}
		if r.From > 0 {
			line(x(0))
			label = from - lane/2
		}
		if r.From < len(d.Lines)-1 {
			line(x(len(d.Lines) - 1))
			label = from + lane/2
		}
	}
	fmt.Fprintf(c, `<circle class="dg-head" cx="%g" cy="%g" r="3"/>`, from, y)
	fmt.Fprintf(c, `<text class="dg-short" x="%g" y="%g" text-anchor="middle">%s</text>`, label, y-5, escape(cut(r.Short, 13)))
}

// text writes a line, if there is anything in it.
func (c *canvas) text(class string, x, y float64, s string, perLetter float64) {
	if s == "" {
		return
	}
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(c, `<text%s x="%g" y="%g">%s</text>`, class, x, y, escape(s))
	c.fit(s, perLetter, x)
}

// fit makes the drawing wide enough for a text.
func (c *canvas) fit(s string, perLetter, x float64) {
	c.width = max(c.width, math.Ceil(x+perLetter*float64(utf8.RuneCountInString(s))))
}

// clock is a time as it stands at the axis.
func clock(d time.Duration) string {
	if d >= time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// cut shortens what is longer than n letters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// wrap divides a text into lines of n letters at most, between words where
// that is possible.
func wrap(s string, n int) (lines []string) {
	for paragraph := range strings.SplitSeq(s, "\n") {
		line := ""
		for word := range strings.FieldsSeq(paragraph) {
			word = cut(word, n)
			if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > n {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		lines = append(lines, line)
	}
	return lines
}

// escape makes a text harmless in XML. What XML cannot hold is replaced.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

// thousands writes a number in groups of three digits.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for k := len(s) - 3; k > 0; k -= 3 {
		s = s[:k] + "," + s[k:]
	}
	return s
}
