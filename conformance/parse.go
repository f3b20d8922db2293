package conformance

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SyntaxError is a line of a scenario file that cannot be understood.
type SyntaxError struct {
	File string
	Line int
	What string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What) }

// ProfileNames are the profiles that scenarios speak of.
var ProfileNames = []string{"rfc2462", "rfc4862", "current"}

// Parse reads the cases of one file. common is the text of a file of
// definitions. The error is a *SyntaxError.
func Parse(file, text, common string) ([]*Case, error) {
	p := &parser{file: "common.txt"}
	if err := p.blocks(common, true); err != nil {
		return nil, err
	}
	p.file, p.cases = file, nil
	err := p.blocks(text, path.Base(file) == "common.txt")
	return p.cases, err
}

type parser struct {
	file    string
	line    int
	defines []define
	cases   []*Case
}

// define is a line that stands for others.
type define struct {
	head []string // words; {x} takes any
	body []line
}

type line struct {
	number int
	text   string
}

func (p *parser) errorf(format string, args ...any) error {
	return &SyntaxError{p.file, p.line, fmt.Sprintf(format, args...)}
}

// located puts an error at the current line.
func (p *parser) located(err error) error {
	var at *SyntaxError
	if err == nil || errors.As(err, &at) {
		return err
	}
	return p.errorf("%v", err)
}

// blocks divides a text into what begins in the first column and the indented
// lines below it.
func (p *parser) blocks(text string, commonOnly bool) error {
	var head line
	var body []line
	flush := func() error {
		if head.text == "" {
			return nil
		}
		p.line = head.number
		return p.located(p.block(head, body, commonOnly))
	}
	number := 0
	for s := range strings.Lines(text) {
		number++
		s = strings.TrimRight(uncomment(s), " \t\r\n")
		trimmed := strings.TrimLeft(s, " \t")
		switch {
		case trimmed == "":
		case len(trimmed) == len(s):
			if err := flush(); err != nil {
				return err
			}
			head, body = line{number, s}, nil
		case head.text == "":
			return &SyntaxError{p.file, number, "an indented line before the first case or define"}
		default:
			body = append(body, line{number, trimmed})
		}
	}
	return flush()
}

// uncomment cuts a comment off: a # at the start of a word.
func uncomment(s string) string {
	for i := range s {
		if s[i] == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') {
			return s[:i]
		}
	}
	return s
}

func (p *parser) block(head line, body []line, commonOnly bool) error {
	word, rest, _ := strings.Cut(head.text, " ")
	switch {
	case word == "define":
		words := strings.Fields(rest)
		if len(words) == 0 || strings.HasPrefix(words[0], "{") {
			return p.errorf("a define needs a first word of its own")
		}
		// Later ones are found first, so that a file can replace what is common.
		p.defines = slices.Insert(p.defines, 0, define{words, body})
		return nil
	case word == "case" && commonOnly:
		return p.errorf("common.txt has definitions alone")
	case word == "case":
		return p.rows(strings.TrimSpace(rest), head, body)
	}
	return p.errorf("%q: a line in the first column is a case or a define", word)
}

// rows makes one case of a block, or one for each of its rows.
func (p *parser) rows(title string, head line, body []line) error {
	var columns []string
	var rows, rest []line
	for _, l := range body {
		word, value, _ := strings.Cut(l.text, " ")
		switch word {
		case "columns":
			for name := range strings.SplitSeq(value, "|") {
				columns = append(columns, strings.TrimSpace(name))
			}
		case "row":
			rows = append(rows, line{l.number, value})
		default:
			rest = append(rest, l)
		}
	}
	if len(columns) == 0 && len(rows) == 0 {
		return p.newCase(title, head.number, rest)
	}
	if len(columns) == 0 || len(rows) == 0 {
		return p.errorf("columns and rows go together")
	}
	for _, r := range rows {
		p.line = r.number
		values := strings.Split(r.text, "|")
		if len(values) != len(columns) {
			return p.errorf("%d values for the %d columns %s", len(values), len(columns), strings.Join(columns, ", "))
		}
		of := map[string]string{}
		for i, c := range columns {
			of[c] = strings.TrimSpace(values[i])
		}
		var filled []line
		for _, l := range rest {
			// A line that a row leaves nothing of, or nothing but the word of the
			// header, is not there.
			s := strings.TrimSpace(fill(l.text, of))
			if s != l.text && slices.Contains(append(headerWords, ""), s) {
				continue
			}
			filled = append(filled, line{l.number, s})
		}
		if err := p.newCase(fill(title, of), r.number, filled); err != nil {
			return err
		}
	}
	return nil
}

// fill puts values in the place of {name}.
func fill(s string, values map[string]string) string {
	for name, v := range values {
		s = strings.ReplaceAll(s, "{"+name+"}", v)
	}
	return s
}

var caseID = regexp.MustCompile(`^[A-Z][A-Z0-9]*-[0-9]+[a-z]*$`)

func (p *parser) newCase(title string, number int, body []line) error {
	id, rest, _ := strings.Cut(title, " ")
	p.line = number
	if !caseID.MatchString(id) || strings.TrimSpace(rest) == "" {
		return p.errorf("a case begins with an identifier and a title, as in: case DAD-01 A silent link")
	}
	c := &Case{
		ID: id, Title: strings.TrimSpace(rest), File: p.file, Line: number,
		Group: strings.TrimSuffix(path.Base(p.file), ".txt"),
	}
	p.cases = append(p.cases, c)
	r := &caseReader{parser: p, c: c, ns: newNames(HostLinkAddr)}
	r.ns.reading = true
	for _, l := range body {
		c.Text = append(c.Text, l.text)
		p.line = l.number
		if err := p.located(r.line(l.text, 0)); err != nil {
			return err
		}
	}
	p.line = number
	if slices.ContainsFunc(c.steps, isReportOfVersion2) {
		if err := r.need(CanMLDv2); err != nil {
			return err
		}
	}
	switch {
	case len(c.Specs) == 0:
		return p.errorf("case %s names no section: spec RFC 4862, section 5.4.3", c.ID)
	case len(c.steps) == 0:
		return p.errorf("case %s has no steps", c.ID)
	case !slices.ContainsFunc(c.steps, isCheck):
		return p.errorf("case %s checks nothing", c.ID)
	}
	return nil
}

func isCheck(s step) bool {
	switch s.do.(type) {
	case *expect, *quiet, view:
		return !s.given
	}
	return false
}

// isReportOfVersion2 reports whether a step waits for a report of MLDv2, and
// nothing else will do.
func isReportOfVersion2(s step) bool {
	e, ok := s.do.(*expect)
	return ok && (!e.any || len(e.patterns) < 2) && slices.ContainsFunc(e.patterns, func(p pattern) bool { return p.kind == "report" })
}

// caseReader reads the lines of one case.
type caseReader struct {
	*parser
	c    *Case
	ns   *names
	spec string
}

var specForm = regexp.MustCompile(`^RFC [0-9]+(, (section [0-9]+(\.[0-9]+)*|appendix [A-Z](\.[0-9]+)*))?$`)

// headerWords begin the lines that come before the first step, apart from spec.
var headerWords = []string{"req", "extern", "profiles", "needs", "set"}

// line reads one line, which may stand for others.
func (r *caseReader) line(text string, depth int) error {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil
	}
	value := strings.TrimSpace(strings.TrimPrefix(text, words[0]))
	inHeader := len(r.c.steps) == 0
	switch words[0] {
	case "spec":
		if !specForm.MatchString(value) {
			return fmt.Errorf("%q: write RFC 4862, section 5.4.3", value)
		}
		if inHeader {
			r.c.Specs = append(r.c.Specs, value)
		} else {
			r.spec = value
		}
		return nil
	}
	if slices.Contains(headerWords, words[0]) {
		if !inHeader {
			return fmt.Errorf("%q belongs before the first step", words[0])
		}
		return r.header(words[0], strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == ',' }))
	}
	return r.step(words, step{line: r.parser.line, text: text, own: text}, depth)
}

func (r *caseReader) header(word string, values []string) error {
	if len(values) == 0 {
		return fmt.Errorf("%s without a value", word)
	}
	for _, v := range values {
		switch word {
		case "req":
			r.c.Requirements = append(r.c.Requirements, v)
		case "extern":
			r.c.Extern = append(r.c.Extern, v)
		case "profiles":
			if !slices.Contains(ProfileNames, v) {
				return fmt.Errorf("%q is no profile: there are %s", v, strings.Join(ProfileNames, ", "))
			}
			r.c.Profiles = append(r.c.Profiles, v)
		case "needs":
			if err := r.need(Capability(v)); err != nil {
				return err
			}
		case "set":
			knob, value, ok := strings.Cut(v, "=")
			if !ok {
				return fmt.Errorf("%q: write set KNOB=VALUE", v)
			}
			if err := checkSetting(Setting{knob, value}); err != nil {
				return err
			}
			r.c.Knobs = append(r.c.Knobs, Setting{knob, value})
		}
	}
	return nil
}

func (r *caseReader) need(c Capability) error {
	if !slices.Contains(capabilities, c) {
		return fmt.Errorf("%q is no capability: there are %v", c, capabilities)
	}
	if !slices.Contains(r.c.Needs, c) {
		r.c.Needs = append(r.c.Needs, c)
	}
	return nil
}

// step reads a step: its condition, given, then what it does.
func (r *caseReader) step(words []string, s step, depth int) error {
	if strings.HasPrefix(words[0], "[") {
		end := slices.IndexFunc(words, func(w string) bool { return strings.HasSuffix(w, "]") })
		if end < 0 || end == len(words)-1 {
			return errors.New("a condition is [WORD …] before a step")
		}
		s.only = strings.Fields(strings.Trim(strings.Join(words[:end+1], " "), "[]"))
		for _, w := range s.only {
			if w = strings.TrimPrefix(w, "!"); !slices.Contains(ProfileNames, w) && !slices.Contains(capabilities, Capability(w)) {
				return fmt.Errorf("%q is neither a profile nor a capability", w)
			}
		}
		words = words[end+1:]
	}
	if words[0] == "given" && len(words) > 1 {
		s.given, words = true, words[1:]
	}
	if body, of, ok := r.lookup(words); ok {
		return r.expand(body, of, s, depth)
	}
	if words[0] == "repeat" {
		return r.repeat(words, s, depth)
	}
	do, err := r.action(words)
	if err != nil {
		return err
	}
	if do == nil {
		return nil // it belongs to the step before
	}
	s.do, s.spec, s.words = do, r.spec, strings.Join(words, " ")
	r.c.steps = append(r.c.steps, s)
	return nil
}

// lookup finds the definition that a line stands for.
func (r *caseReader) lookup(words []string) (body []line, of map[string]string, ok bool) {
	for _, d := range r.defines {
		if len(d.head) != len(words) {
			continue
		}
		of, ok = map[string]string{}, true
		for i, w := range d.head {
			if strings.HasPrefix(w, "{") {
				of[strings.Trim(w, "{}")] = words[i]
			} else if w != words[i] {
				ok = false
			}
		}
		if ok {
			return d.body, of, true
		}
	}
	return nil, nil, false
}

// maxDepth bounds definitions that use each other.
const maxDepth = 8

func (r *caseReader) expand(body []line, of map[string]string, as step, depth int) error {
	if depth == maxDepth {
		return errors.New("definitions within definitions without end")
	}
	for _, l := range body {
		first := len(r.c.steps)
		if err := r.line(fill(l.text, of), depth+1); err != nil {
			return fmt.Errorf("%w (in what %q stands for)", err, as.text)
		}
		for i := first; i < len(r.c.steps); i++ {
			s := &r.c.steps[i]
			s.given = s.given || as.given
			s.only = append(s.only, as.only...)
			if depth == 0 {
				s.text = as.text + ": " + s.text
			}
		}
	}
	return nil
}

const maxRepeat = 10000

func (r *caseReader) repeat(words []string, s step, depth int) error {
	n, err := strconv.Atoi(word(words, 1))
	if err != nil || n < 1 || n > maxRepeat || len(words) < 3 {
		return fmt.Errorf("write repeat N STEP, with N up to %d", maxRepeat)
	}
	for i := range n {
		of := map[string]string{"i": strconv.Itoa(i + 1), "x": strconv.FormatInt(int64(i+1), 16)}
		if err := r.step(strings.Fields(fill(strings.Join(words[2:], " "), of)), s, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// word returns words[i], or nothing.
func word(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return ""
}

// action reads what a step does. It is nil for a line that goes on with the
// step before.
func (r *caseReader) action(words []string) (action, error) {
	first, rest := words[0], words[1:]
	switch first {
	case "expect":
		return r.expect(rest)
	case "no":
		q := &quiet{}
		pat, err := r.pattern(rest, &q.window)
		q.not = []pattern{pat}
		return q, orMissing(err, q.hi, "no "+pat.String()+" within D")
	case "nothing":
		q := &quiet{}
		words, err := r.window(rest, &q.window)
		if err == nil && len(words) > 0 {
			err = fmt.Errorf("%q: write nothing within D, and what may come in lines with but", words[0])
		}
		return q, orMissing(err, q.hi, "nothing within D")
	case "and", "or", "without", "but":
		return nil, r.goOn(first, rest)
	case "wait":
		return r.wait(rest)
	case "settle":
		return settle{}, nil
	case "label":
		if len(rest) != 1 {
			return nil, errors.New("write label NAME")
		}
		return label{rest[0]}, nil
	case "let":
		if len(rest) != 2 {
			return nil, errors.New("write let NAME ADDRESS")
		}
		_, err := r.ns.addr(rest[1])
		return let{rest[0], rest[1]}, err
	case "reflect":
		return reflection{}, nil
	case "raw":
		octets, err := hex.DecodeString(strings.Join(rest, ""))
		if err != nil || len(octets) < ethernetLen {
			return nil, errors.New("raw is an Ethernet frame in hexadecimal")
		}
		return rawFrame{octets}, nil
	case "has":
		return r.view(rest)
	}
	if need, ok := commandNeeds[first]; ok {
		return r.order(first, rest, need)
	}
	if n, ok := nodeByName(first); ok {
		return r.node(n, rest)
	}
	return nil, fmt.Errorf("%q is no step", first)
}

func orMissing(err error, hi time.Duration, form string) error {
	if err == nil && hi == 0 {
		return fmt.Errorf("how long? Write %s", form)
	}
	return err
}

func (r *caseReader) expect(words []string) (action, error) {
	e := &expect{}
	p, err := r.pattern(words, &e.window)
	if err == nil && e.count > 1 && e.every == 0 {
		err = errors.New("several at what distance? Write expect N KIND … every D")
	}
	e.patterns = []pattern{p.withDefaults()}
	return e, err
}

// goOn adds a pattern to the last step.
func (r *caseReader) goOn(how string, words []string) error {
	var none window
	p, err := r.pattern(words, &none)
	if err != nil {
		return err
	}
	if none != (window{}) {
		return fmt.Errorf("%s has the time of the line that it goes on with", how)
	}
	if len(r.c.steps) == 0 {
		return fmt.Errorf("%s goes on with nothing", how)
	}
	switch last := r.c.steps[len(r.c.steps)-1].do.(type) {
	case *expect:
		several := len(last.patterns) > 1
		switch {
		case how == "without":
			last.without = append(last.without, p)
		case how == "and" && !(several && last.any) && last.count < 2, how == "or" && (!several || last.any):
			last.any = how == "or"
			last.patterns = append(last.patterns, p.withDefaults())
		default:
			return fmt.Errorf("%s does not go with what is before it", how)
		}
		return nil
	case *quiet:
		if how == "but" && len(last.not) == 0 {
			last.but = append(last.but, p)
			return nil
		}
		if how == "and" && len(last.not) > 0 {
			last.not = append(last.not, p)
			return nil
		}
	}
	return fmt.Errorf("%s does not go with what is before it", how)
}

// pattern reads KIND FIELD… with the words of a window anywhere among them.
func (r *caseReader) pattern(words []string, w *window) (pattern, error) {
	words, err := r.window(words, w)
	if err != nil {
		return pattern{}, err
	}
	if len(words) == 0 {
		return pattern{}, errors.New("which frame?")
	}
	p := pattern{kind: words[0]}
	for _, word := range words[1:] {
		p.fields = append(p.fields, parseField(word))
	}
	return p, p.validate(r.ns)
}

// window takes the words that say when and how often out of a line.
func (r *caseReader) window(words []string, w *window) (rest []string, err error) {
	for i := 0; i < len(words); i++ {
		percent, tolerant := strings.CutPrefix(words[i], "±")
		n, err := strconv.Atoi(words[i])
		switch {
		case slices.Contains([]string{"within", "at", "every", "since"}, words[i]):
			if err := w.set(words[i], word(words, i+1)); err != nil {
				return nil, err
			}
			i++
		case tolerant:
			v, err := strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64)
			if err != nil || v < 0 || v > 100 {
				return nil, fmt.Errorf("%q is no tolerance: write ±10%%", words[i])
			}
			w.tolerance = v / 100
		case err == nil && len(rest) == 0 && n > 0:
			w.count = n
		default:
			rest = append(rest, words[i])
		}
	}
	return rest, nil
}

// set reads the word behind within, at, every or since.
func (w *window) set(name, arg string) (err error) {
	switch name {
	case "within":
		from, to, ok := strings.Cut(arg, "..")
		if !ok {
			from, to = "0s", arg
		}
		if w.lo, err = time.ParseDuration(from); err == nil {
			w.hi, err = time.ParseDuration(to)
		}
	case "at":
		w.lo, err = time.ParseDuration(arg)
		w.hi = w.lo
	case "every":
		w.every, err = time.ParseDuration(arg)
	case "since":
		w.since = arg
	}
	if err == nil && (w.lo < 0 || w.hi < w.lo || w.every < 0 || arg == "") {
		err = errors.New("it is no time from now on")
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", name, arg, err)
	}
	return nil
}

func (r *caseReader) wait(words []string) (action, error) {
	d, err := time.ParseDuration(word(words, 0))
	w := wait{d: d}
	switch {
	case err != nil || d < 0:
		return nil, errors.New("write wait D, or wait D since LABEL")
	case len(words) == 3 && words[1] == "since":
		w.since = words[2]
	case len(words) != 1:
		return nil, errors.New("write wait D, or wait D since LABEL")
	}
	return w, nil
}

// views are the tables and what may be said of their lines.
var views = []string{"address", "duplicate", "route", "group", "neighbor"}

func (r *caseReader) view(words []string) (action, error) {
	v := view{}
	if word(words, 0) == "no" {
		v.no, words = true, words[1:]
	}
	if len(words) < 2 || !slices.Contains(views, words[0]) {
		return nil, fmt.Errorf("write has [no] %s NAME …", strings.Join(views, "|"))
	}
	v.what, v.words = words[0], words[1:]
	return v, v.validate(r.ns)
}

func (r *caseReader) order(op string, words []string, need Capability) (action, error) {
	o := order{op, words}
	cmd, err := o.command(r.ns)
	if err != nil {
		return nil, err
	}
	switch {
	case cmd.Mode == "anycast":
		err = r.need(CanAnycast)
	case cmd.Mode == "optimistic":
		err = r.need(CanOptimist)
	case cmd.Valid != 0 || cmd.Preferred != 0:
		err = r.need(CanLifetimes)
	}
	return o, errors.Join(err, r.need(need))
}

func (r *caseReader) node(n node, words []string) (action, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("what does %s send?", n.name)
	}
	if words[0] == "answers" {
		if len(words) != 2 || !slices.Contains([]string{"ns", "probes", "nothing"}, words[1]) {
			return nil, fmt.Errorf("write %s answers ns|probes|nothing", n.name)
		}
		return answers{n, words[1]}, nil
	}
	s := stimulus{from: n, kind: words[0]}
	for _, w := range words[1:] {
		s.fields = append(s.fields, parseField(w))
	}
	if s.kind == "echo" {
		if err := r.need(CanEcho); err != nil {
			return nil, err
		}
	}
	_, err := build(r.ns, n, s.kind, s.fields, nil)
	return s, err
}
