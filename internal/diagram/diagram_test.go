package diagram

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the drawings in testdata")

var lines = []Line{{"HOST", "02:00:00:00:00:01"}, {"TN1", "02:00:00:00:01:01"}, {"TR1", "02:00:00:00:02:01"}}

// drawings are what testdata has the drawings of.
var drawings = map[string]Diagram{
	"duplicate": {
		Title: "A duplicate", Desc: "The host tests an address that TN1 has.", Lines: lines,
		Rows: []Row{
			{Kind: Note, Text: "$ up"},
			{At: 12 * time.Millisecond, To: Everyone, Short: "MLD report", Text: "MLDv2 report: join ff02::1:ff00:1 (TO_EX)", Detail: ":: > ff02::16"},
			{At: 964 * time.Millisecond, To: Everyone, Short: "NS", Text: "neighbor solicitation for fe80::ff:fe00:1 (DAD probe)", Detail: ":: > ff02::1:ff00:1"},
			{At: 965 * time.Millisecond, From: 1, To: Everyone, Short: "NA", Text: "neighbor advertisement of fe80::ff:fe00:1", Detail: "fe80::ff:fe00:1 > ff02::1"},
			{At: 966 * time.Millisecond, From: 0, To: 2, Short: "RS", Text: "router solicitation", Wrong: true, Why: "expected  nothing within 5s\nobserved  a router solicitation"},
		},
		Window: &Window{From: 965 * time.Millisecond, Until: 5965 * time.Millisecond},
	},
	"missing": {
		Title: "No answer", Lines: lines[:2],
		Rows: []Row{
			{At: time.Second, From: 1, To: 0, Short: "NS", Text: "neighbor solicitation for fe80::ff:fe00:1"},
			{At: 9 * time.Second, Kind: Missing, To: Everyone, Short: "NA", Text: "na target=HOST by 9s", Wrong: true, Why: "no such frame"},
		},
		Window: &Window{From: time.Second, Until: 9 * time.Second},
	},
	"alone": {Title: "Alone", Lines: lines[:1], Rows: []Row{{To: Everyone, Short: "NS", Text: "neighbor solicitation"}}},
	"empty": {Title: "Nothing"},
	"long":  {Title: "A flood", Lines: lines, Rows: flood(3772)},
}

func flood(n int) (rows []Row) {
	for k := range n {
		rows = append(rows, Row{At: time.Duration(k) * time.Millisecond, From: 1, Short: "echo", Text: fmt.Sprintf("echo request %d", k)})
	}
	rows[2000].Wrong = true
	return rows
}

func draw(t *testing.T, d Diagram) string {
	t.Helper()
	var b strings.Builder
	if err := d.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDrawings(t *testing.T) {
	for name, d := range drawings {
		got, file := draw(t, d), "testdata/"+name+".svg"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// However long a trace is, its drawing is bounded, and what is wrong is in it.
func TestDrawings_LongTracesAreShortened(t *testing.T) {
	got := draw(t, drawings["long"])
	for _, want := range []string{"… 1,978 more frames", "… 1,743 more frames", ">echo request 0<", ">echo request 1992<", ">echo request 2000<", ">echo request 3771<", "dg-wrong"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in the drawing", want)
		}
	}
	if len(got) > 64<<10 {
		t.Errorf("it takes %d octets", len(got))
	}
}

// Whatever the texts are, the drawing is XML and they are texts in it.
func TestDrawings_HostileText(t *testing.T) {
	hostile := `"><script>alert(1)</script>&lt;'` + "\x00\xff\ufffe ]]>\n" + strings.Repeat("é", 500)
	d := Diagram{
		Title: hostile, Desc: hostile, Lines: []Line{{hostile, hostile}, {hostile, hostile}},
		Rows: []Row{
			{From: 0, To: 1, Short: hostile, Text: hostile, Detail: hostile, Wrong: true, Why: hostile}, {Kind: Note, Text: hostile},
			{Kind: Missing, To: Everyone, Text: hostile, Short: hostile},
		},
	}
	elements := map[string]bool{}
	reader := xml.NewDecoder(strings.NewReader(draw(t, d)))
	for {
		token, err := reader.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			elements[e.Name.Local] = true
		}
	}
	if elements["script"] || !elements["svg"] || !elements["desc"] {
		t.Errorf("the drawing has the elements %v", elements)
	}
}

// A fragment is the drawing without the style sheet, of which a document with
// many drawings needs one.
func TestWriteFragment(t *testing.T) {
	var b strings.Builder
	d := drawings["duplicate"]
	if err := d.WriteFragment(&b); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(draw(t, d), "<style>"+Style+"</style>", "", 1); b.String() != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, b.String()))
	}
}
