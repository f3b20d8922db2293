package conformance

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const exampleCase = `
case X-01 A case
    spec RFC 4862, section 5.4
    %s
    expect ns within 1s
`

// A line that cannot be understood is told by its number, and what is wrong
// with it. All of these are on line 4.
func TestSyntaxErrors(t *testing.T) {
	for line, want := range map[string]string{
		"spec 5.4.3":                 "write RFC 4862, section 5.4.3",
		"profiles rfc1":              `"rfc1" is no profile`,
		"profiles":                   "profiles without a value",
		"needs magic":                `"magic" is no capability`,
		"set dad_transmits":          "write set KNOB=VALUE",
		"set dad_transmits=x":        "is not one of 0..255",
		"set nothing=1":              "is none of dad_transmits",
		"set loopback=x":             "is no loopback",
		"jump":                       `"jump" is no step`,
		"TN1":                        "what does TN1 send?",
		"TN1 answers all":            "write TN1 answers ns|probes|nothing",
		"TN1 jump":                   `no message "jump"`,
		"TN1 ns target=nowhere":      `"nowhere" is no address`,
		"TN1 ns target!=HOST":        "is no value for a field",
		"TN1 ns colour=red":          "colour=red: a ns has no such field",
		"TN1 ns code=x":              `"x" is no number`,
		"TN1 ns checksum=good":       `"good" is no checksum`,
		"TN1 ns option=xyz":          "invalid byte",
		"TN1 ns sllao=x":             "x",
		"TN1 ns piece=8":             "is no piece FROM..TO",
		"TN1 ns pieces=7":            "is no multiple of 8",
		"TN1 ra prefix=P1 pref=odd":  "",
		"TN1 ra route=P1 pref=odd":   `"odd" is no preference`,
		"TN1 report record=x(HOST)":  "is no record",
		"TN1 tcp flags=ODD":          `"ODD" is no TCP flag`,
		"TN1 echo dst=sn(nowhere)":   "is no address",
		"TN1 echo dst=f(HOST)":       "no function f()",
		"raw 33":                     "raw is an Ethernet frame",
		"expect":                     "which frame?",
		"expect nonsense":            "is no kind of frame",
		"expect ns colour=red":       `no field "colour"`,
		"expect ns target<=HOST":     "target is no number",
		"expect ns target=nowhere":   "is no address",
		"expect ns ethdst=mac(HOST)": "is no group",
		"expect ns within":           "within : time: invalid duration",
		"expect ns within 2s..1s":    "it is no time from now on",
		"expect ns at soon":          "invalid duration",
		"expect ns at 1s ±x":         "is no tolerance",
		"expect 3 ns":                "Write expect N KIND … every D",
		"no ns":                      "how long?",
		"nothing":                    "how long?",
		"nothing ns within 1s":       "what may come in lines with but",
		"and ns":                     "and goes on with nothing",
		"wait":                       "write wait D",
		"wait 1s after":              "write wait D",
		"label":                      "write label NAME",
		"let A":                      "write let NAME ADDRESS",
		"let A nowhere":              "is no address",
		"add":                        "add which address?",
		"add nowhere":                "is no address",
		"add HOST/129":               "is no prefix length",
		"add HOST sideways":          "add takes anycast",
		"del":                        "del takes 1 words, not 0",
		"filter all-nodes only":      "write filter GROUP",
		"filter all-nodes include x": "is no address",
		"join all-nodes by=0":        "the sockets are 1, 2",
		"join all-nodes HOST":        "join takes 1 words, not 2",
		"filter HOST include TN1*x":  "write ADDRESS*N",
		"route-add P1 over TR1":      "write route-add PREFIX [via ADDRESS]",
		"send src=HOST":              "send to where?",
		"send dst=TN1 size=x":        "invalid syntax",
		"has":                        "write has [no] address|",
		"has address HOST happy":     `"happy" is nothing that an entry of this table has`,
		"has route P1 over TR1":      "write has route",
		"[rfc1] up":                  `"rfc1" is neither a profile nor a capability`,
		"[rfc4862":                   "a condition is [WORD …] before a step",
		"repeat x up":                "write repeat N STEP",
		"repeat 10001 up":            "write repeat N STEP",
		"columns a":                  "columns and rows go together",
	} {
		_, err := Parse("x.txt", strings.Replace(exampleCase, "%s", line, 1), "")
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			continue
		}
		var at *SyntaxError
		if !errors.As(err, &at) || !strings.Contains(at.What, want) || at.Line != 4 && line != "columns a" {
			t.Errorf("%s: error %v, want %q on line 4", line, err, want)
		}
	}
}

func TestSyntaxErrorsOfBlocks(t *testing.T) {
	for text, want := range map[string]string{
		"    up\n":                          "x.txt:1: an indented line before the first case",
		"step up\n":                         `x.txt:1: "step": a line in the first column`,
		"define\n":                          "x.txt:1: a define needs a first word",
		"case one\n":                        "x.txt:1: a case begins with an identifier and a title",
		"case X-01 A\n  up\n":               "x.txt:1: case X-01 names no section",
		"case X-01 A\n  spec RFC 1\n":       "x.txt:1: case X-01 has no steps",
		"case X-01 A\n  spec RFC 1\n  up\n": "x.txt:1: case X-01 checks nothing",
		"case X-01 A\n  spec RFC 1\n  given expect ns\n":              "x.txt:1: case X-01 checks nothing",
		"case X-01 A\n  spec RFC 1\n  up\n  req DAD-R1\n":             `x.txt:4: "req" belongs before the first step`,
		"case {a} A\n  columns a | b\n  row X-01\n":                   "x.txt:3: 1 values for the 2 columns a, b",
		"define twice\n  twice\ncase X-01 A\n  spec RFC 1\n  twice\n": "definitions within definitions without end",
	} {
		_, err := Parse("x.txt", text, "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// Rows and definitions put words in place, and a case keeps its own lines.
func TestRowsAndDefinitions(t *testing.T) {
	cases, err := Parse("x.txt", `
define twice {what}
    given {what}
    [views] {what}

case {id} {title}
    columns id   | title | extern | target
    row     X-01 | One   | T.1    | HOST
    row     X-02 | Two   |        | sn(HOST)
    spec RFC 4862, section 5.4
    extern {extern}
    twice up
    expect ns target={target} within 1s   # a comment
    or na
`, "")
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range []struct{ title, extern, steps string }{
		{"One", "T.1", "given up|up|expect ns target=HOST within 1s or na checksum=ok code=0 hoplimit=255"},
		{"Two", "", "given up|up|expect ns target=sn(HOST) within 1s or na checksum=ok code=0 hoplimit=255"},
	} {
		var steps []string
		for _, s := range cases[k].steps {
			steps = append(steps, s.String())
		}
		got := strings.Join(steps, "|")
		if cases[k].Title != want.title || strings.Join(cases[k].Extern, " ") != want.extern || strings.ReplaceAll(got, "[views] ", "") != want.steps {
			t.Errorf("case %d: %q, %v, %s", k, cases[k].Title, cases[k].Extern, got)
		}
	}
	if only := cases[0].steps[1].only; len(only) != 1 || only[0] != "views" {
		t.Errorf("the condition of the second step is %v", only)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"scenarios/common.txt", "scenarios/dad.txt"} {
		text, err := scenarioFiles.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Parse("x.txt", text, "")
		var at *SyntaxError
		if err != nil && !errors.As(err, &at) {
			t.Errorf("%v is no syntax error", err)
		}
	})
}

// A host that speaks MLDv1 alone cannot be asked for reports of version 2.
func TestMLDv2IsACapability(t *testing.T) {
	for line, want := range map[string]bool{
		"expect report": true, "given expect report within 1s": true, "[!rfc2462] expect report": true, "expect ns\n    and report": true,
		"expect report\n    or report1": false, "no report within 1s": false, "expect mld join=sn(HOST)": false, "TN1 report record=is_ex(ff1e::1)": false,
	} {
		cases, err := Parse("x.txt", strings.Replace(exampleCase, "%s", line, 1), "")
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := slices.Contains(cases[0].Needs, CanMLDv2); got != want {
			t.Errorf("%s: needs mldv2 %t, want %t", line, got, want)
		}
	}
}
