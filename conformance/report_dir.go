package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Report is what there is to say of one run, or of several: of one target or
// more.
type Report struct {
	// Cases are those that were run; others have no row.
	Cases   []*Case
	Results []Result
	// Made is when, and Software by what; both may be zero.
	Made     time.Time
	Software string
}

// WriteDir writes the report into a directory, which it makes: index.html,
// junit.xml, results.json, and for each case that failed or was inconclusive
// a .pcapng and a .txt, its transcript. Files that are there already are
// replaced, others stay.
func (r Report) WriteDir(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var failed error
	write := func(name string, content func(io.Writer) error) {
		if failed == nil {
			failed = writeFile(filepath.Join(dir, name), content)
		}
	}
	write("results.json", func(w io.Writer) error { return WriteJSON(w, r.Results) })
	write("junit.xml", func(w io.Writer) error { return WriteJUnit(w, r.Results) })
	write("index.html", r.WriteHTML)
	for i, name := range r.fileNames() {
		c := caseOf(r.Cases, r.Results[i].Case)
		if name == "" || c == nil {
			continue
		}
		write(name+".pcapng", r.Results[i].WritePcapng)
		write(name+".txt", func(w io.Writer) error { return r.Results[i].WriteTranscript(w, c) })
	}
	return failed
}

// fileNames are the names, without their ends, of the files about each result;
// empty for those that have none: nothing is wrong, or nothing happened.
func (r Report) fileNames() []string {
	names := make([]string, len(r.Results))
	taken := map[string]bool{}
	for i, result := range r.Results {
		if result.Verdict != Fail && result.Verdict != Inconclusive || len(result.Trace) == 0 {
			continue
		}
		name := fileName(result.Case + "-" + result.Profile + "-" + result.Target)
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s-%d", fileName(result.Case+"-"+result.Profile+"-"+result.Target), n)
		}
		taken[name], names[i] = true, name
	}
	return names
}

// fileName keeps of a text what every file system takes.
func fileName(s string) string {
	s = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			return c
		}
		return '_'
	}, s)
	return s[:min(len(s), 200)]
}

func writeFile(name string, content func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	return errors.Join(content(b), b.Flush(), f.Close())
}
