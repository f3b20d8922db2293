package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
)

// A plot has one panel below the other: bars for a figure, lines for a curve.
const (
	plotWidth   = 720
	labelWidth  = 160
	barHeight   = 16
	curveHeight = 180
	panelGap    = 22
)

var colors = []string{"#1b6ca8", "#7fb3d5", "#d1495b", "#6b6b6b"}

func color(of string) string { return colors[max(0, slices.Index(columns, of))] }

// plot draws the figures of a family as SVG.
func plot(family string, figures []Figure) []byte {
	var body bytes.Buffer
	y := 30
	for len(figures) > 0 {
		n := 1
		for n < len(figures) && figures[0].X != 0 && figures[n].Name == figures[0].Name {
			n++
		}
		f := figures[0]
		fmt.Fprintf(&body, "<text x=\"8\" y=\"%d\" font-weight=\"bold\">%s, %s</text>\n", y+4, html.EscapeString(f.Name), html.EscapeString(f.Unit))
		y += 12
		if n > 1 {
			y = drawCurve(&body, y, figures[:n])
		} else {
			y = drawBars(&body, y, f)
		}
		figures = figures[n:]
	}
	return fmt.Appendf(nil, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n"+
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"8\" y=\"16\" font-size=\"14\" font-weight=\"bold\">%s</text>\n%s</svg>\n",
		plotWidth, y, html.EscapeString(family), body.String())
}

// drawBars draws the medians, with a line from the least to the greatest.
func drawBars(w *bytes.Buffer, y int, f Figure) int {
	top := 0.0
	for _, r := range f.Results {
		top = max(top, r.Max)
	}
	scale := func(v float64) float64 {
		return v / max(top, math.SmallestNonzeroFloat64) * (plotWidth - labelWidth - 140)
	}
	for _, r := range f.Results {
		fmt.Fprintf(w, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", labelWidth-6, y+12, html.EscapeString(r.Of))
		fmt.Fprintf(w, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", labelWidth, y+2, scale(r.Median), barHeight-4, color(r.Of))
		fmt.Fprintf(w, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%[3]d\" stroke=\"black\"/>\n", labelWidth+scale(r.Min), labelWidth+scale(r.Max), y+barHeight/2)
		fmt.Fprintf(w, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", labelWidth+scale(r.Max)+6, y+12, number(r.Median))
		y += barHeight
	}
	return y + panelGap
}

// drawCurve draws the medians over X, both on logarithmic scales.
func drawCurve(w *bytes.Buffer, y int, figures []Figure) int {
	lines := map[string][][2]float64{}
	low, high := math.Inf(1), 0.0
	for _, f := range figures {
		for _, r := range f.Results {
			if r.Median > 0 {
				lines[r.Of] = append(lines[r.Of], [2]float64{float64(f.X), r.Median})
				low, high = min(low, r.Median), max(high, r.Median)
			}
		}
	}
	place := func(v, from, to, begin, end float64) float64 {
		if from == to {
			return (begin + end) / 2
		}
		return begin + (end-begin)*math.Log(v/from)/math.Log(to/from)
	}
	first, last := float64(figures[0].X), float64(figures[len(figures)-1].X)
	left, right, bottom := float64(labelWidth), float64(plotWidth-120), float64(y+curveHeight)
	fmt.Fprintf(w, "<path d=\"M%g %dV%gH%g\" fill=\"none\" stroke=\"#999\"/>\n", left, y, bottom, right)
	fmt.Fprintf(w, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%s</text><text x=\"%[1]g\" y=\"%[4]d\" text-anchor=\"end\">%[5]s</text>\n",
		left-6, bottom, number(low), y+10, number(high))
	for _, f := range figures {
		fmt.Fprintf(w, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%d</text>\n", place(float64(f.X), first, last, left, right), bottom+14, f.X)
	}
	fmt.Fprintf(w, "<text x=\"%g\" y=\"%g\">%s</text>\n", right+30, bottom+14, html.EscapeString(figures[0].XUnit))
	for _, of := range columns {
		path, x, at := "", 0.0, 0.0
		for k, p := range lines[of] {
			x, at = place(p[0], first, last, left, right), place(p[1], low, high, bottom-4, float64(y)+8)
			path += fmt.Sprintf("%c%.1f %.1f", "ML"[min(k, 1)], x, at)
		}
		if path != "" {
			fmt.Fprintf(w, "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/><text x=\"%.1f\" y=\"%.1f\" fill=\"%[2]s\">%[5]s</text>\n",
				path, color(of), x+4, at+4, html.EscapeString(of))
		}
	}
	return y + curveHeight + 18 + panelGap
}
