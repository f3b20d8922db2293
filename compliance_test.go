package tapstack_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/stack"
)

var update = flag.Bool("update", false, "write docs/compliance.md, and take `open` off the requirements that are proved")

const (
	requirementsFile = "docs/requirements.txt"
	complianceFile   = "docs/compliance.md"
)

// docs/compliance.md says of every requirement which tests prove it, or why
// none does. It is made of docs/requirements.txt and of the comments
// "// Spec: …" above the tests, and this fails when it is not what they make.
func TestCompliance(t *testing.T) {
	text := read(t, requirementsFile)
	groups, problems := parseRequirements(text)
	problems = append(problems, prove(t, groups, sources(t))...)
	if *update {
		if proved := withoutOpen(text, groups); proved != text {
			write(t, requirementsFile, proved)
		}
	} else {
		problems = append(problems, unproved(groups)...)
	}
	for _, p := range problems {
		t.Error(p)
	}
	want := complianceDocument(groups) + knobTable(t)
	if *update {
		write(t, complianceFile, want)
	} else if diff := cmp.Diff(strings.Split(read(t, complianceFile), "\n"), strings.Split(want, "\n")); diff != "" {
		t.Errorf("%s is out of date; go test . -run Compliance -update writes it (-there +to be):\n%s", complianceFile, diff)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// group is a heading of docs/requirements.txt with its rows.
type group struct {
	name, title string
	rows        []*requirement
}

// requirement is a row.
type requirement struct {
	id       string
	sources  []source
	sentence string
	untested string // the reason why there is no test
	open     bool
	proofs   []proof
}

// source is where a rule stands and how it is worded there.
type source struct{ place, level string }

// proof is a test that proves a row.
type proof struct{ file, test string }

const (
	placePattern = `(?:RFC \d+, (?:section \d+(?:\.\d+)*|appendix [A-Z])|derived)`
	levelPattern = `(?:MUST|MUST NOT|SHOULD|SHOULD NOT|MAY|must|must not|should|should not|may|REC|DER)`
	idPattern    = `[A-Z0-9]+-R?\d+b?`
)

var (
	groupLine  = regexp.MustCompile(`^\[([A-Z0-9]+)\] (.+)$`)
	sourceText = regexp.MustCompile(`^(` + placePattern + `), (` + levelPattern + `)$`)
	idText     = regexp.MustCompile(`^` + idPattern + `$`)
	// An item of a section, as in "section 2.4 (e)", helps the reader only.
	marker = regexp.MustCompile(`^// Spec: (` + placePattern + `)(?: \([a-z]\))?, (` + levelPattern + `), (` + idPattern + `(?:, ` + idPattern + `)*)$`)
)

// longestSentence is the most characters that a row's sentence may have.
const longestSentence = 120

// parseRequirements reads docs/requirements.txt, and says what is wrong there.
func parseRequirements(text string) (groups []*group, problems []string) {
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if m := groupLine.FindStringSubmatch(line); m != nil {
			groups = append(groups, &group{name: m[1], title: m[2]})
			continue
		}
		row, problem := parseRequirement(line)
		switch {
		case problem != "":
		case len(groups) == 0:
			problem = "a row without a group"
		case !strings.HasPrefix(row.id, groups[len(groups)-1].name+"-"):
			problem = row.id + " is in the group " + groups[len(groups)-1].name
		case seen[row.id]:
			problem = row.id + " is there twice"
		}
		if problem != "" {
			problems = append(problems, fmt.Sprintf("%s:%d: %s", requirementsFile, n, problem))
			continue
		}
		seen[row.id] = true
		groups[len(groups)-1].rows = append(groups[len(groups)-1].rows, row)
	}
	return groups, problems
}

func parseRequirement(line string) (row *requirement, problem string) {
	fields := strings.Split(line, " | ")
	if len(fields) != 3 && len(fields) != 4 {
		return nil, fmt.Sprintf("%d fields, want ID, sources, sentence and perhaps a status", len(fields))
	}
	row = &requirement{id: fields[0], sentence: fields[2]}
	if !idText.MatchString(row.id) {
		return nil, fmt.Sprintf("%q is no ID", row.id)
	}
	for text := range strings.SplitSeq(fields[1], "; ") {
		m := sourceText.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Sprintf("%q is no source", text)
		}
		row.sources = append(row.sources, source{m[1], m[2]})
	}
	if l := utf8.RuneCountInString(row.sentence); l > longestSentence {
		return nil, fmt.Sprintf("a sentence of %d characters", l)
	}
	if len(fields) == 4 {
		row.open = fields[3] == "open"
		row.untested, _ = strings.CutPrefix(fields[3], "untested: ")
		if !row.open && (row.untested == "" || row.untested == fields[3]) {
			return nil, fmt.Sprintf("%q is no status", fields[3])
		}
		if row.open {
			row.untested = ""
		}
	}
	return row, ""
}

// prove gives each row the tests whose comments name it, and says which
// comments claim what they cannot.
func prove(t *testing.T, groups []*group, files map[string][]byte) (problems []string) {
	t.Helper()
	rows := map[string]*requirement{}
	for _, g := range groups {
		for _, row := range g.rows {
			rows[row.id] = row
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, m := range markersOf(t, name, files[name]) {
			if problem := m.apply(rows); problem != "" {
				problems = append(problems, fmt.Sprintf("%s: %s\n\t%s", m.at, problem, m.text))
			}
		}
	}
	return problems
}

// markerLine is a comment "// Spec: …".
type markerLine struct {
	at   token.Position
	text string
	test string // the test above which it stands, "" if it is none
}

// markersOf returns the markers of a file, in order.
func markersOf(t *testing.T, file string, src []byte) (found []markerLine) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[*ast.CommentGroup]string{}
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && isTest(file) && testRuns.MatchString(fn.Name.Name) {
			tests[fn.Doc] = fn.Name.Name
		}
	}
	for _, comment := range f.Comments {
		for _, line := range comment.List {
			if text := strings.TrimLeft(line.Text, "/* \t"); strings.HasPrefix(text, "Spec:") {
				found = append(found, markerLine{fset.Position(line.Pos()), line.Text, tests[comment]})
			}
		}
	}
	return found
}

var testRuns = regexp.MustCompile(`^(?:Test|Fuzz)[A-Z]`)

// apply enters the test at the rows that the marker names.
func (m markerLine) apply(rows map[string]*requirement) (problem string) {
	if m.test == "" {
		return "a marker that is not above a test"
	}
	parts := marker.FindStringSubmatch(m.text)
	if parts == nil {
		return "not of the form // Spec: RFC 4862, section 5.4.3, MUST, DAD-R29"
	}
	from := source{parts[1], parts[2]}
	for id := range strings.SplitSeq(parts[3], ", ") {
		row := rows[id]
		switch {
		case row == nil:
			return id + " is no row of " + requirementsFile
		case !slices.Contains(row.sources, from):
			return fmt.Sprintf("%s has its sources at %v", id, row.sources)
		}
		if p := (proof{m.at.Filename, m.test}); !slices.Contains(row.proofs, p) {
			row.proofs = append(row.proofs, p)
		}
	}
	return ""
}

func (s source) String() string { return s.place + ", " + s.level }

// unproved says which rows have neither a test nor a reason, and which have
// more than they should.
func unproved(groups []*group) (problems []string) {
	for _, g := range groups {
		for _, row := range g.rows {
			switch proved := len(row.proofs) > 0; {
			case !proved && row.untested == "" && !row.open:
				problems = append(problems, row.id+" has neither a test nor a reason why there is none: "+row.sentence)
			case proved && row.untested != "":
				problems = append(problems, fmt.Sprintf("%s has a test, %s, and a reason why it has none", row.id, row.proofs[0].test))
			case proved && row.open:
				problems = append(problems, row.id+" has a test and is marked open")
			}
		}
	}
	return problems
}

// withoutOpen takes "open" off the rows that have a test.
func withoutOpen(text string, groups []*group) string {
	for _, g := range groups {
		for _, row := range g.rows {
			if line := row.sentence + " | open\n"; row.open && len(row.proofs) > 0 {
				text = strings.Replace(text, line, row.sentence+"\n", 1)
				row.open = false
			}
		}
	}
	return text
}

const complianceHead = `# Compliance

What the RFCs ask of this host, and what shows that it does so. This page is made
of [requirements.txt](requirements.txt) and of the comments above the tests; it is
written by ` + "`go test . -run Compliance -update`" + `, and ` + "`go test .`" + ` fails when it is out of
date.

The level is the RFC's word: MUST, SHOULD and MAY as RFC 2119 has them, lower case
where the RFC says it in plain prose, REC for a recommendation, DER for what follows
without being said. Where a rule holds for some profiles only, the sentence names
them; the [profiles](#profiles) are at the end.

`

func complianceDocument(groups []*group) string {
	var b strings.Builder
	b.WriteString(complianceHead)
	b.WriteString("| group | rows | proved by a test | without a test, for a reason | open |\n|---|--:|--:|--:|--:|\n")
	var sum tally
	var open []string
	for _, g := range groups {
		c := tallyOf(g)
		fmt.Fprintf(&b, "| [%s](#%s) %s | %v |\n", g.name, strings.ToLower(g.name), g.title, c)
		sum.proved, sum.untested, sum.open = sum.proved+c.proved, sum.untested+c.untested, sum.open+c.open
		for _, row := range g.rows {
			if row.open {
				open = append(open, row.id)
			}
		}
	}
	fmt.Fprintf(&b, "| all | %v |\n", sum)
	if len(open) > 0 {
		fmt.Fprintf(&b, "\nOpen: %s.\n", strings.Join(open, ", "))
	}
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n| ID | source | level | requirement | proved by |\n|---|---|---|---|---|\n", g.name, g.title)
		for _, row := range g.rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.id, row.places(), row.levels(), row.sentence, row.evidence())
		}
	}
	return b.String()
}

// tally counts rows.
type tally struct{ proved, untested, open int }

func tallyOf(g *group) (c tally) {
	for _, row := range g.rows {
		switch {
		case len(row.proofs) > 0:
			c.proved++
		case row.untested != "":
			c.untested++
		default:
			c.open++
		}
	}
	return c
}

func (c tally) String() string {
	return fmt.Sprintf("%d | %d | %d | %d", c.proved+c.untested+c.open, c.proved, c.untested, c.open)
}

// places are the sources, each place once.
func (r *requirement) places() string {
	return r.joined(func(s source) string { return s.place })
}

func (r *requirement) levels() string {
	return r.joined(func(s source) string { return s.level })
}

func (r *requirement) joined(part func(source) string) string {
	var all []string
	for _, s := range r.sources {
		if p := part(s); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return strings.Join(all, "; ")
}

// evidence links to the tests, or says why there is none.
func (r *requirement) evidence() string {
	switch {
	case len(r.proofs) > 0:
	case r.untested != "":
		return "no test: " + r.untested
	default:
		return "open"
	}
	var links []string
	for _, p := range r.proofs {
		links = append(links, fmt.Sprintf("[%s: %s](../%s)", path.Dir(p.file), p.test, p.file))
	}
	return strings.Join(links, ", ")
}

// profileNames are the profiles, oldest first.
var profileNames = []string{"rfc2462", "rfc4862", "current"}

// knobTable says what each knob is in each profile.
func knobTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("\n## Profiles\n\nA profile is a set of knobs, each of which can be set alone.\n\n| knob | values | source |")
	for _, name := range profileNames {
		b.WriteString(" " + name + " |")
	}
	b.WriteString(" what it decides |\n|---|---|---|---|---|---|---|\n")
	for _, k := range stack.Knobs() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |", k.Name, strings.ReplaceAll(k.Values, "|", ", "), k.RFC)
		for _, name := range profileNames {
			p, err := stack.ProfileByName(name)
			if err != nil {
				t.Fatal(err)
			}
			value, err := knobValue(p, k)
			if err != nil {
				t.Errorf("%s in %s: %v", k.Name, name, err)
			}
			fmt.Fprintf(&b, " %s |", value)
		}
		fmt.Fprintf(&b, " %s |\n", k.Doc)
	}
	return b.String()
}

// knobValue is the value that leaves the profile as it is when it is set. Knobs
// that are a range have the RFC's default in every profile.
func knobValue(p stack.Profile, k stack.Knob) (value string, err error) {
	if strings.Contains(k.Values, "..") {
		return "default", nil
	}
	for v := range strings.SplitSeq(k.Values, "|") {
		changed := p
		if changed.Set(k.Name, v) != nil {
			continue // it is forbidden in this profile
		}
		if changed == p && value != "" {
			return "", fmt.Errorf("both %s and %s", value, v)
		}
		if changed == p {
			value = v
		}
	}
	if value == "" {
		return "", fmt.Errorf("none of %s", k.Values)
	}
	return value, nil
}

// What a list of requirements may not say.
func TestComplianceRows(t *testing.T) {
	const good = "A-R1 | RFC 1, section 2.3, MUST | Do it."
	for _, test := range []struct{ name, text, want string }{
		{"a row", "[A] Group\n" + good, ""},
		{"several sources", "[A] Group\nA-1 | RFC 1, section 2, MUST NOT; RFC 2, appendix A, may; derived, DER | Do it.", ""},
		{"a reason", "[A] Group\n" + good + " | untested: no host does it", ""},
		{"open", "[A] Group\n" + good + " | open", ""},
		{"no group", good, "docs/requirements.txt:1: a row without a group"},
		{"another group", "[B] Group\n" + good, "docs/requirements.txt:2: A-R1 is in the group B"},
		{"twice", "[A] Group\n" + good + "\n" + good, "docs/requirements.txt:3: A-R1 is there twice"},
		{"no ID", "[A] Group\nA R1 | derived, DER | Do it.", `docs/requirements.txt:2: "A R1" is no ID`},
		{"an unknown level", "[A] Group\nA-R1 | RFC 1, section 2, WILL | Do it.", `docs/requirements.txt:2: "RFC 1, section 2, WILL" is no source`},
		{"no level", "[A] Group\nA-R1 | RFC 1, section 2 | Do it.", `docs/requirements.txt:2: "RFC 1, section 2" is no source`},
		{"another status", "[A] Group\n" + good + " | later", `docs/requirements.txt:2: "later" is no status`},
		{"an empty reason", "[A] Group\n" + good + " | untested: ", `docs/requirements.txt:2: "untested: " is no status`},
		{"few fields", "[A] Group\nA-R1 | derived, DER", "docs/requirements.txt:2: 2 fields, want ID, sources, sentence and perhaps a status"},
		{"a long sentence", "[A] Group\nA-R1 | derived, DER | " + strings.Repeat("é", 121), "docs/requirements.txt:2: a sentence of 121 characters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := parseRequirements(test.text)
			if diff := cmp.Diff(test.want, strings.Join(problems, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// What a marker may not say.
func TestComplianceMarkers(t *testing.T) {
	const list = "[A] Group\nA-R1 | RFC 1, section 2.3, MUST; RFC 1, appendix B, may | Do it.\nA-R2 | derived, DER | Be it."
	for _, test := range []struct{ name, file, src, want string }{
		{"a row", "a_test.go", "// Spec: RFC 1, section 2.3, MUST, A-R1\nfunc TestA() {}", ""},
		{"an item of a section", "a_test.go", "// Spec: RFC 1, section 2.3 (e), MUST, A-R1\nfunc TestA() {}", ""},
		{"an appendix, after text", "a_test.go", "// Text.\n//\n// Spec: RFC 1, appendix B, may, A-R1\nfunc FuzzA() {}", ""},
		{"derived", "a_test.go", "// Spec: derived, DER, A-R2\nfunc TestA() {}", ""},
		{"an unknown row", "a_test.go", "// Spec: derived, DER, A-R3\nfunc TestA() {}", "a_test.go:2:1: A-R3 is no row of docs/requirements.txt"},
		{"the second of two", "a_test.go", "// Spec: derived, DER, A-R2, A-R3\nfunc TestA() {}", "a_test.go:2:1: A-R3 is no row of docs/requirements.txt"},
		{"another section", "a_test.go", "// Spec: RFC 1, section 2, MUST, A-R1\nfunc TestA() {}",
			"a_test.go:2:1: A-R1 has its sources at [RFC 1, section 2.3, MUST RFC 1, appendix B, may]"},
		{"another level", "a_test.go", "// Spec: RFC 1, section 2.3, must, A-R1\nfunc TestA() {}",
			"a_test.go:2:1: A-R1 has its sources at [RFC 1, section 2.3, MUST RFC 1, appendix B, may]"},
		{"an unknown level", "a_test.go", "// Spec: RFC 1, section 2.3, WILL, A-R1\nfunc TestA() {}",
			"a_test.go:2:1: not of the form // Spec: RFC 4862, section 5.4.3, MUST, DAD-R29"},
		{"no ID", "a_test.go", "// Spec: RFC 1, section 2.3, MUST\nfunc TestA() {}",
			"a_test.go:2:1: not of the form // Spec: RFC 4862, section 5.4.3, MUST, DAD-R29"},
		{"without the space", "a_test.go", "//Spec: derived, DER, A-R2\nfunc TestA() {}",
			"a_test.go:2:1: not of the form // Spec: RFC 4862, section 5.4.3, MUST, DAD-R29"},
		{"a benchmark", "a_test.go", "// Spec: derived, DER, A-R2\nfunc BenchmarkA() {}", "a_test.go:2:1: a marker that is not above a test"},
		{"a helper", "a_test.go", "// Spec: derived, DER, A-R2\nfunc testA() {}", "a_test.go:2:1: a marker that is not above a test"},
		{"a method", "a_test.go", "// Spec: derived, DER, A-R2\nfunc (x) TestA() {}", "a_test.go:2:1: a marker that is not above a test"},
		{"a line too high", "a_test.go", "// Spec: derived, DER, A-R2\n\nfunc TestA() {}", "a_test.go:2:1: a marker that is not above a test"},
		{"within a test", "a_test.go", "func TestA() {\n// Spec: derived, DER, A-R2\n}", "a_test.go:3:1: a marker that is not above a test"},
		{"in the code", "a.go", "// Spec: derived, DER, A-R2\nfunc TestA() {}", "a.go:2:1: a marker that is not above a test"},
	} {
		t.Run(test.name, func(t *testing.T) {
			groups, problems := parseRequirements(list)
			if len(problems) != 0 {
				t.Fatal(problems)
			}
			got := prove(t, groups, map[string][]byte{test.file: []byte("package p\n" + test.src)})
			for i := range got {
				got[i], _, _ = strings.Cut(got[i], "\n")
			}
			if diff := cmp.Diff(test.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if claims := len(groups[0].rows[0].proofs) + len(groups[0].rows[1].proofs); (claims == 0) == (test.want == "") && test.name != "the second of two" {
				t.Errorf("%d rows are proved", claims)
			}
		})
	}
}

// A row needs exactly one of a test, a reason, and being open, which -update
// takes off once there is a test.
func TestComplianceOfARow(t *testing.T) {
	const list = "[A] Group\n" +
		"A-R1 | derived, DER | One.\nA-R2 | derived, DER | Two. | untested: no host does it\nA-R3 | derived, DER | Three. | open\n" +
		"A-R4 | derived, DER | Four.\nA-R5 | derived, DER | Five. | untested: no host does it\nA-R6 | derived, DER | Six. | open\n"
	groups, _ := parseRequirements(list)
	if problems := prove(t, groups, map[string][]byte{"a_test.go": []byte("package p\n// Spec: derived, DER, A-R4, A-R5, A-R6\nfunc TestA() {}")}); problems != nil {
		t.Fatal(problems)
	}
	want := []string{
		"A-R1 has neither a test nor a reason why there is none: One.",
		"A-R5 has a test, TestA, and a reason why it has none",
		"A-R6 has a test and is marked open",
	}
	if diff := cmp.Diff(want, unproved(groups)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(strings.Replace(list, "Six. | open", "Six.", 1), withoutOpen(list, groups)); diff != "" {
		t.Errorf("without what is open no more (-want +got)\n%s", diff)
	}
}
