package main

import (
	"fmt"
	"slices"

	"github.com/tapstack/tapstack/cmd/tapstack-bench/internal/host"
)

// Figure is one thing that was measured, of several hosts beside each other.
type Figure struct {
	Family string `json:"family"`
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	// X, if not 0, says that the figures of this name are a curve over it.
	X       int       `json:"x,omitempty"`
	XUnit   string    `json:"x_unit,omitempty"`
	Results []Result  `json:"results"`
	Bounds  []Verdict `json:"bounds,omitempty"`

	bounds []bound
}

// Result is what one host came to.
type Result struct {
	Of      string    `json:"of"`
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Samples []float64 `json:"samples"`
}

// Verdict is a bound beside what was measured.
type Verdict struct {
	Bound string  `json:"bound"`
	Value float64 `json:"value"` // of what the bound limits
	Met   bool    `json:"met"`
	// MissedBy is the share of the limit that is missing, or too much.
	MissedBy float64 `json:"missed_by,omitempty"`
}

// bound limits a host's median: by a number, or by a multiple of a rival's.
type bound struct {
	atLeast, atMost float64 // one of them is not 0
	times           string  // the rival; empty: none
	of              string  // who is judged; empty: tapstack
}

func atLeast(limit float64) bound                { return bound{atLeast: limit} }
func atMost(limit float64) bound                 { return bound{atMost: limit} }
func atLeastTimes(f float64, rival string) bound { return bound{atLeast: f, times: rival} }
func atMostTimes(f float64, rival string) bound  { return bound{atMost: f, times: rival} }

// newResult sums up the samples of a host.
func newResult(of string, samples []float64) Result {
	return Result{Of: of, Median: quantile(samples, 0.5), Min: slices.Min(samples), Max: slices.Max(samples), Samples: samples}
}

// quantile returns the q-th quantile of samples: of an even number, the median
// is between the two in the middle.
func quantile(samples []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	at := q * float64(len(s)-1)
	k := int(at)
	if k+1 == len(s) {
		return s[k]
	}
	return s[k] + (s[k+1]-s[k])*(at-float64(k))
}

// result returns what a host came to, if it was measured.
func (f *Figure) result(of string) (Result, bool) {
	k := slices.IndexFunc(f.Results, func(r Result) bool { return r.Of == of })
	if k < 0 {
		return Result{}, false
	}
	return f.Results[k], true
}

// judge compares the results with the bounds. A bound on a host that was not
// measured, or a multiple of one, gives no verdict.
func (f *Figure) judge() {
	for _, b := range f.bounds {
		if b.of == "" {
			b.of = host.Tapstack
		}
		r, ok := f.result(b.of)
		if !ok {
			continue
		}
		value, unit := r.Median, " "+f.Unit
		if b.times != "" {
			rival, ok := f.result(b.times)
			if !ok || rival.Median == 0 {
				continue
			}
			value, unit = r.Median/rival.Median, " × "+b.times
		}
		f.Bounds = append(f.Bounds, b.verdict(value, unit))
	}
}

func (b bound) verdict(value float64, unit string) Verdict {
	sign, limit, by := "≥", b.atLeast, 1-value/b.atLeast
	if b.atMost != 0 {
		sign, limit, by = "≤", b.atMost, value/b.atMost-1
	}
	v := Verdict{Bound: fmt.Sprintf("%s %s%s", sign, number(limit), unit), Value: value, Met: by <= 0}
	if b.of != host.Tapstack {
		v.Bound = b.of + " " + v.Bound
	}
	if !v.Met {
		v.MissedBy = by
	}
	return v
}

// String is for people: "met", or by how much the bound is missed.
func (v Verdict) String() string {
	if v.Met {
		return fmt.Sprintf("%s: met, %s", v.Bound, number(v.Value))
	}
	return fmt.Sprintf("%s: MISSED by %.0f %%, %s", v.Bound, 100*v.MissedBy, number(v.Value))
}

// number prints three digits that count, and all of a whole number.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 1e9:
		return number(v/1e9) + " G"
	case v >= 1e6:
		return number(v/1e6) + " M"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
