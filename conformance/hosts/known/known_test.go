package known_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapstack/tapstack/conformance"
	"github.com/tapstack/tapstack/conformance/hosts/known"
)

const entry = `DAD-14, DAD-15 RFC 4862, section 5.4.4
    the text: "It is so,
        and not otherwise."
    the host: keeps the address
`

func TestParse(t *testing.T) {
	got, err := known.Parse("x.txt", "# A comment.\nversion Linux 6.18\n\n"+entry+"\nRA-01 RFC 4861, section 6.3.7\n"+
		"    the text: \"They are three.\"\n    the host: sends one\n    the section: the case is about 6.3.4\n")
	if err != nil {
		t.Fatal(err)
	}
	want := &known.File{Version: "Linux 6.18", Entries: []known.Entry{
		{Cases: []string{"DAD-14", "DAD-15"}, Section: "RFC 4862, section 5.4.4", Text: "It is so, and not otherwise.", Host: "keeps the address", Line: 4},
		{Cases: []string{"RA-01"}, Section: "RFC 4861, section 6.3.7", Text: "They are three.", Host: "sends one", Why: "the case is about 6.3.4", Line: 9},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e := got.Of("DAD-15"); e == nil || e.Line != 4 {
		t.Errorf("the entry of DAD-15: %v", e)
	}
	if e := got.Of("DAD-16"); e != nil {
		t.Errorf("the entry of DAD-16: %v", e)
	}
}

func TestParse_Errors(t *testing.T) {
	for text, want := range map[string]string{
		"DAD-14\n":           "x.txt:1: write DAD-14, DAD-15 RFC 4862, section 5.4.4",
		"DAD-14 RFC 4862\n":  "x.txt:1: write DAD-14, DAD-15 RFC 4862, section 5.4.4",
		entry + entry:        "x.txt:5: write an empty line between entries",
		entry + "\n" + entry: "x.txt:6: DAD-14 has an entry already",
		"    the host: x\n":  "x.txt:1: this line belongs to no entry",
		strings.Replace(entry, "the host", "he", 1):              "x.txt:4: neither the text: nor the host:, the section: or the chance: of an entry",
		strings.Replace(entry, `."`, ".", 1):                     "x.txt:4: the text of DAD-14 is to stand between quotation marks",
		entry + "    the host: x\n":                              "x.txt:5: the host: is there already",
		"DAD-14 RFC 4862, section 5\n    the text: \"It is.\"\n": "x.txt:2: what does the host do in DAD-14? Write the host: …",
	} {
		if _, err := known.Parse("x.txt", text); err == nil || err.Error() != want {
			t.Errorf("%s\nwant %s\ngot  %v", text, want, err)
		}
	}
}

// A host of which nothing is known passes everything.
func TestRead_NoFile(t *testing.T) {
	if f, err := known.Read("nobody"); err != nil || len(f.Entries) > 0 {
		t.Errorf("%v, %v", f, err)
	}
}

// between is the end of a sentence that another one follows.
var between = regexp.MustCompile(`[.!?]["”)]? +["“(]?[A-Z]`)

// Every entry is of cases that there are, is about a section that each of them
// names, or says why not, and quotes one sentence and no more.
func TestFiles(t *testing.T) {
	cases, err := conformance.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(os.DirFS("."), "*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		f, err := known.Read(strings.TrimSuffix(name, ".txt"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, e := range f.Entries {
			for _, id := range e.Cases {
				k := slices.IndexFunc(cases, func(c *conformance.Case) bool { return c.ID == id })
				if k < 0 {
					t.Errorf("%s:%d: there is no case %s", name, e.Line, id)
					continue
				}
				if named := cases[k].Sections(); !slices.Contains(named, e.Section) && e.Why == "" {
					t.Errorf("%s:%d: case %s is about %s, not %s: say why, with the section:", name, e.Line, id, strings.Join(named, "; "), e.Section)
				}
			}
			if between.MatchString(e.Text) || !strings.ContainsAny(e.Text[len(e.Text)-1:], ".:;") {
				t.Errorf("%s:%d: this is not one sentence: %s", name, e.Line, e.Text)
			}
		}
	}
}
