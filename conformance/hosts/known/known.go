// Package known has what is known of the hosts that the conformance suite is
// played against: which cases they fail, the sentence of the RFC that says so,
// and what they do instead. There is a file for each target, with its name.
//
//	version Linux 6.18
//
//	DAD-14, DAD-15 RFC 4862, section 5.4.4
//	    the text: "the one deciding sentence"
//	    the host: keeps the address
//
// Entries are apart by an empty line. What belongs to an entry is indented and
// may go on in the next line, deeper. An entry whose section is none of its
// case's says why, after "the section:". The version is of the host that the
// entries were written for. A # at the beginning of a line begins a comment.
package known

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.txt
var files embed.FS

// File is what is known of a host. A host of which nothing is known passes
// everything.
type File struct {
	Version string // of the host; may be empty
	Entries []Entry
}

// Entry is one departure of a host.
type Entry struct {
	Cases   []string // that fail by it
	Section string   // "RFC 4862, section 5.4.4"
	Text    string   // the sentence of the section, without quotation marks
	Host    string   // what the host does
	Why     string   // why the section is none of the case's; empty if it is
	Chance  string   // why the host passes now and then; empty if it never does
	Line    int
}

// Read returns what is known of a target.
func Read(target string) (*File, error) {
	text, err := files.ReadFile(target + ".txt")
	if errors.Is(err, fs.ErrNotExist) {
		return &File{}, nil
	}
	if err != nil {
		return nil, err
	}
	return Parse(target+".txt", string(text))
}

// Of returns the entry of a case, or nil.
func (f *File) Of(id string) *Entry {
	for k := range f.Entries {
		if slices.Contains(f.Entries[k].Cases, id) {
			return &f.Entries[k]
		}
	}
	return nil
}

// Cases are all that have an entry.
func (f *File) Cases() map[string]bool {
	all := map[string]bool{}
	for _, e := range f.Entries {
		for _, id := range e.Cases {
			all[id] = true
		}
	}
	return all
}

// heading is the first line of an entry.
var heading = regexp.MustCompile(`^([A-Z0-9]+-[0-9]+[a-z]?(?:, [A-Z0-9]+-[0-9]+[a-z]?)*) (RFC [0-9]+, (?:section|appendix) [0-9A-Z.]+)$`)

// Parse reads a file. An error names the file and the line.
func Parse(name, text string) (*File, error) {
	p := parser{file: &File{}, seen: map[string]bool{}}
	for line := range strings.Lines(text) {
		p.line++
		if err := p.add(strings.TrimRight(line, " \n")); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
		}
	}
	if err := p.end(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
	}
	return p.file, nil
}

// parser reads one file.
type parser struct {
	file  *File
	line  int
	entry *Entry  // that is being read, or nil
	field *string // that a deeper line goes on with
	seen  map[string]bool
}

func (p *parser) add(line string) error {
	depth := len(line) - len(strings.TrimLeft(line, " "))
	switch {
	case strings.HasPrefix(line, "#"):
		return nil
	case line == "":
		return p.end()
	case depth == 0 && p.entry != nil:
		return errors.New("write an empty line between entries")
	case strings.HasPrefix(line, "version "):
		p.file.Version = strings.TrimPrefix(line, "version ")
		return nil
	case depth == 0:
		return p.begin(line)
	case p.entry == nil:
		return errors.New("this line belongs to no entry")
	case depth > 4 && p.field != nil:
		*p.field += " " + line[depth:]
		return nil
	}
	return p.set(line[depth:])
}

func (p *parser) begin(line string) error {
	m := heading.FindStringSubmatch(line)
	if m == nil {
		return errors.New("write DAD-14, DAD-15 RFC 4862, section 5.4.4")
	}
	p.entry, p.field = &Entry{Cases: strings.Split(m[1], ", "), Section: m[2], Line: p.line}, nil
	for _, id := range p.entry.Cases {
		if p.seen[id] {
			return fmt.Errorf("%s has an entry already", id)
		}
		p.seen[id] = true
	}
	return nil
}

func (p *parser) set(line string) error {
	name, value, _ := strings.Cut(line, ": ")
	p.field = map[string]*string{"the text": &p.entry.Text, "the host": &p.entry.Host, "the section": &p.entry.Why, "the chance": &p.entry.Chance}[name]
	if p.field == nil {
		return errors.New("neither the text: nor the host:, the section: or the chance: of an entry")
	}
	if *p.field != "" {
		return fmt.Errorf("%s: is there already", name)
	}
	*p.field = value
	return nil
}

// end ends the entry that is being read.
func (p *parser) end() error {
	e := p.entry
	if e == nil {
		return nil
	}
	p.entry = nil
	text := strings.TrimSuffix(strings.TrimPrefix(e.Text, `"`), `"`)
	if len(text) == 0 || len(e.Text) != len(text)+2 {
		return fmt.Errorf("the text of %s is to stand between quotation marks", e.Cases[0])
	}
	if e.Host == "" {
		return fmt.Errorf("what does the host do in %s? Write the host: …", e.Cases[0])
	}
	e.Text = text
	p.file.Entries = append(p.file.Entries, *e)
	return nil
}
