package conformance

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tapstack/tapstack/internal/diagram"
)

//go:embed report/page.html
var pageText string

//go:embed report/page.css
var pageStyle string

//go:embed report/page.js
var pageScript string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template shows.
type page struct {
	Title, Made, Software, Policy       string
	Style, DiagramStyle                 template.CSS
	Script                              template.JS
	Rows                                []*pageRow
	Sets                                []pageSet
	Columns                             []*pageColumn
	Spans                               []pageSpan
	Width, Total                        int // columns of the table; results
	Verdicts                            []Verdict
	Legend                              []pageCell
	Groups, Targets, Profiles, Sections []string
	Data                                []pageData
}

// pageColumn is a target by a profile.
type pageColumn struct {
	Index           int
	Target, Profile string
	Count           Count
}

type pageSpan struct {
	Target  string
	Columns int
}

type pageSet struct {
	Group string
	Rows  []*pageRow
}

type pageRow struct {
	*Case
	cells   []int // for each column the index of its result, or -1
	results []Result
}

type pageCell struct{ Class, Sign, Word, Hint string }

type pageData struct {
	Group string
	Text  template.HTML
}

// caseDetails is what the page shows of a case when it is opened.
type caseDetails struct {
	Specs        []string        `json:"specs"`
	Requirements []string        `json:"requirements,omitempty"`
	Extern       []string        `json:"extern,omitempty"`
	Profiles     []string        `json:"profiles,omitempty"`
	File         string          `json:"file"`
	Line         int             `json:"line"`
	Text         []string        `json:"text"`
	Results      []resultDetails `json:"results"`
}

type resultDetails struct {
	Target   string   `json:"target"`
	Profile  string   `json:"profile"`
	Verdict  Verdict  `json:"verdict"`
	Chance   Chance   `json:"chance"`
	Tries    int      `json:"tries"`
	Section  string   `json:"section,omitempty"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Step     string   `json:"step,omitempty"`
	Expected string   `json:"expected,omitempty"`
	Observed string   `json:"observed,omitempty"`
	Files    string   `json:"files,omitempty"`
	Drawing  string   `json:"drawing,omitempty"`
	Trace    []string `json:"trace,omitempty"`
}

// WriteHTML writes the report as one page that needs nothing else: cases by
// targets and profiles, with filters, and of each case what it is about, how
// it went, and drawings of what did not pass and of one that did.
//
// What is shown when a case is opened is in the page as compressed text, a
// piece for each group. Nothing in it is more than text, whatever a target
// says, and the page may load nothing (its Content-Security-Policy).
func (r Report) WriteHTML(w io.Writer) error {
	p := &page{
		Title: "Conformance to the RFCs of IPv6", Software: r.Software, Total: len(r.Results),
		Style: template.CSS(pageStyle), DiagramStyle: template.CSS(diagram.Style), Script: template.JS(pageScript),
		Verdicts: []Verdict{Pass, Fail, Inconclusive, NotApplicable},
	}
	if !r.Made.IsZero() {
		p.Made = r.Made.Format("2006-01-02 15:04 MST")
	}
	p.Policy = fmt.Sprintf("default-src 'none'; style-src %s %s; script-src %s; base-uri 'none'; form-action 'none'",
		digest(pageStyle), digest(diagram.Style), digest(pageScript))
	for _, v := range p.Verdicts {
		p.Legend = append(p.Legend, cells[v])
	}
	p.table(r)
	if err := p.details(r); err != nil {
		return err
	}
	return pageTemplate.Execute(w, p)
}

// digest is what a Content-Security-Policy calls a text by.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// table lays out columns and rows.
func (p *page) table(r Report) {
	columns := map[[2]string]*pageColumn{}
	for _, result := range r.Results {
		key := [2]string{result.Target, result.Profile}
		if columns[key] == nil {
			columns[key] = &pageColumn{Target: result.Target, Profile: result.Profile, Count: Count{}}
			p.Columns = append(p.Columns, columns[key])
		}
		columns[key].Count[result.Verdict]++
	}
	// The profiles of a target stand together, in the order in which they came.
	for _, c := range p.Columns {
		if !slices.Contains(p.Targets, c.Target) {
			p.Targets = append(p.Targets, c.Target)
		}
		if !slices.Contains(p.Profiles, c.Profile) {
			p.Profiles = append(p.Profiles, c.Profile)
		}
	}
	slices.SortStableFunc(p.Columns, func(a, b *pageColumn) int {
		return slices.Index(p.Targets, a.Target) - slices.Index(p.Targets, b.Target)
	})
	for k, c := range p.Columns {
		c.Index = k
		if n := len(p.Spans); n > 0 && p.Spans[n-1].Target == c.Target {
			p.Spans[n-1].Columns++
			continue
		}
		p.Spans = append(p.Spans, pageSpan{c.Target, 1})
	}
	p.Width = len(p.Columns) + 1
	p.rows(r, columns)
}

func (p *page) rows(r Report, columns map[[2]string]*pageColumn) {
	rows, sections := map[string]*pageRow{}, map[string]bool{}
	for _, c := range r.Cases {
		row := &pageRow{Case: c, results: r.Results, cells: slices.Repeat([]int{-1}, len(p.Columns))}
		rows[c.ID] = row
		p.Rows = append(p.Rows, row)
		if n := len(p.Sets); n == 0 || p.Sets[n-1].Group != c.Group {
			p.Sets, p.Groups = append(p.Sets, pageSet{Group: c.Group}), append(p.Groups, c.Group)
		}
		set := &p.Sets[len(p.Sets)-1]
		set.Rows = append(set.Rows, row)
		for _, s := range c.Specs {
			sections[s] = true
			rfc, _, _ := strings.Cut(s, ",")
			sections[rfc] = true
		}
	}
	for i, result := range r.Results {
		if row := rows[result.Case]; row != nil {
			row.cells[columns[[2]string{result.Target, result.Profile}].Index] = i
		}
	}
	p.Sections = slices.SortedFunc(maps.Keys(sections), bySection)
}

// bySection puts section 5.4 before 5.10.
func bySection(a, b string) int {
	pad := func(s string) string {
		var out strings.Builder
		for part := range strings.FieldsFuncSeq(s, func(c rune) bool { return c == ' ' || c == '.' || c == ',' }) {
			fmt.Fprintf(&out, "%8s", part)
		}
		return out.String()
	}
	return strings.Compare(pad(a), pad(b))
}

var cells = map[Verdict]pageCell{
	Pass: {Class: "p", Sign: "✓", Word: "pass"}, Fail: {Class: "f", Sign: "✗", Word: "fail"},
	Inconclusive: {Class: "i", Sign: "?", Word: "inconclusive"}, NotApplicable: {Class: "n", Sign: "–", Word: "not-applicable"},
}

// Specs is the sections of the case in one line.
func (row *pageRow) Specs() string { return row.Spec() }

// Cells are the verdicts by column. That of a case that did not pass says by
// which chance.
func (row *pageRow) Cells() (all []pageCell) {
	for _, i := range row.cells {
		if i < 0 {
			all = append(all, pageCell{})
			continue
		}
		result := row.results[i]
		cell := cells[result.Verdict]
		cell.Hint = fmt.Sprintf("%s by %s: %s", result.Target, result.Profile, result.Verdict)
		switch result.Verdict {
		case Fail, Inconclusive:
			cell.Word, cell.Hint = string(result.Chance), cell.Hint+": "+clip(result.Observed)
		case NotApplicable:
			cell.Hint += ": " + clip(result.Observed)
		case Pass:
		}
		all = append(all, cell)
	}
	return all
}

// clip keeps a hint short.
func clip(s string) string {
	const longest = 160
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}

// Letters are the verdicts by column in one letter each, for filters.
func (row *pageRow) Letters() string {
	var b strings.Builder
	for _, i := range row.cells {
		letter := " "
		if i >= 0 {
			letter = cells[row.results[i].Verdict].Class
		}
		b.WriteString(letter)
	}
	return b.String()
}

// Bar is the shares of the verdicts.
func (c *pageColumn) Bar() (parts []struct{ Class, Width string }) {
	total := 0
	for _, n := range c.Count {
		total += n
	}
	for _, v := range []Verdict{Pass, Fail, Inconclusive, NotApplicable} {
		if n := c.Count[v]; n > 0 {
			parts = append(parts, struct{ Class, Width string }{cells[v].Class, fmt.Sprintf("%.2f%%", 100*float64(n)/float64(total))})
		}
	}
	return parts
}

// details packs what is shown of each case when it is opened.
func (p *page) details(r Report) error {
	names := r.fileNames()
	for _, set := range p.Sets {
		of := map[string]caseDetails{}
		for _, row := range set.Rows {
			d, err := row.details(names)
			if err != nil {
				return err
			}
			of[row.ID] = d
		}
		text, err := json.Marshal(of)
		if err != nil {
			return err
		}
		packed, err := pack(text)
		if err != nil {
			return err
		}
		p.Data = append(p.Data, pageData{set.Group, template.HTML(packed)})
	}
	return nil
}

// pack compresses a text and writes it in letters.
func pack(text []byte) (string, error) {
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := z.Write(text); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// details are drawn for what did not pass, and for the first that did. What
// did not pass comes first.
func (row *pageRow) details(names []string) (caseDetails, error) {
	c := row.Case
	d := caseDetails{c.Specs, c.Requirements, c.Extern, c.Profiles, c.File, c.Line, c.Text, nil}
	example := false
	for _, i := range row.cells {
		if i < 0 {
			continue
		}
		r := row.results[i]
		of := resultDetails{
			Target: r.Target, Profile: r.Profile, Verdict: r.Verdict, Chance: r.Chance, Tries: r.Tries, Section: r.Section,
			File: r.File, Line: r.Line, Step: r.Step, Expected: r.Expected, Observed: r.Observed, Files: names[i],
		}
		if r.Verdict == Fail || r.Verdict == Inconclusive || r.Verdict == Pass && !example {
			example = example || r.Verdict == Pass
			var b strings.Builder
			if err := r.diagram().WriteFragment(&b); err != nil {
				return d, err
			}
			of.Drawing, of.Trace = b.String(), r.shortTrace()
		}
		d.Results = append(d.Results, of)
	}
	slices.SortStableFunc(d.Results, func(a, b resultDetails) int { return rank(a.Verdict) - rank(b.Verdict) })
	return d, nil
}

// rank orders verdicts by how much there is to see.
func rank(v Verdict) int { return slices.Index([]Verdict{Fail, Inconclusive, Pass, NotApplicable}, v) }

// shortTrace is the trace, of which the middle is left out if it is long.
func (r Result) shortTrace() (lines []string) {
	const first, last = 50, 150
	for i := range r.Trace {
		if i == first && len(r.Trace) > first+last {
			lines = append(lines, fmt.Sprintf("  … %d more", len(r.Trace)-first-last))
		}
		if i < first || i >= len(r.Trace)-last || i == r.Deviating {
			lines = append(lines, strings.TrimRight(r.traceLine(i), " "))
		}
	}
	return lines
}
