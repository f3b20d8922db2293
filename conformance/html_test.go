package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// browse has a browser open a page, run its script to the end, and returns
// what the page is then, with what scripts said.
func browse(t *testing.T, file, fragment string) string {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED, NOT PASSED: chromium is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--user-data-dir="+t.TempDir(),
		"--virtual-time-budget=20000", "--enable-logging=stderr", "--dump-dom", "file://"+file+"#"+fragment)
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("#%s: the page complains: %s", fragment, line)
		}
	}
	return stdout.String()
}

var (
	caseRow = regexp.MustCompile(`<tr class="case" id="([^"]+)"[^>]*>`)
	group   = regexp.MustCompile(`<tbody data-group="([^"]+)"[^>]*>`)
	tags    = regexp.MustCompile(`<[^>]*>`)
)

// visible are the cases of a page that are not hidden.
func visible(dom string) (ids []string) {
	for _, m := range caseRow.FindAllStringSubmatch(dom, -1) {
		if !strings.Contains(m[0], "hidden") {
			ids = append(ids, m[1])
		}
	}
	return ids
}

// twoTargets is a report of a host without a fault and of one with. It is made
// once; nobody changes it.
func twoTargets(t *testing.T) Report {
	t.Helper()
	r, err := theTwoTargets()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var theTwoTargets = sync.OnceValues(func() (r Report, err error) {
	all, err := Scenarios()
	if err != nil {
		return r, err
	}
	for _, pattern := range []string{"DAD-0*", "DAD-1*", "RED-0*"} {
		some, err := Select(all, pattern)
		if err != nil {
			return r, err
		}
		r.Cases = append(r.Cases, some...)
	}
	k := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == "twice as fast" })
	r.Made, r.Software = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), "tapstack"
	for _, d := range []Driver{CoreDriver{}, mutantDriver{CoreDriver{}, mutants[k]}} {
		results := Runner{Driver: d, Profiles: []string{"rfc4862", "current"}}.Run(context.Background(), r.Cases)
		if _, faulty := d.(mutantDriver); faulty {
			for i := range results {
				results[i].Target = "faulty"
			}
		}
		r.Results = append(r.Results, results...)
	}
	return r, nil
})

func writePage(t *testing.T, r Report) (file string) {
	t.Helper()
	dir := t.TempDir()
	if err := r.WriteDir(dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "index.html")
}

// The filters of the fragment decide which cases are seen; one that is opened
// shows what went wrong.
func TestPage_InABrowser(t *testing.T) {
	r := twoTargets(t)
	file := writePage(t, r)
	failed := map[string]bool{}
	var opened Result // its frame that deviates is there to be seen
	for _, result := range r.Results {
		if result.Verdict == Fail && result.Group == "dad" {
			failed[result.Case] = true
			if result.Deviating >= 0 && len(result.Requirements) > 0 {
				opened = result
			}
		}
	}

	t.Run("verdict, group and case", func(t *testing.T) {
		dom := browse(t, file, "verdict=fail&group=dad&case="+opened.Case)
		ids := visible(dom)
		if len(ids) != len(failed) || len(ids) == 0 {
			t.Errorf("%d cases are seen, want %d: %q", len(ids), len(failed), ids)
		}
		for _, id := range ids {
			if !failed[id] {
				t.Errorf("%s is seen and did not fail", id)
			}
		}
		for _, m := range group.FindAllStringSubmatch(dom, -1) {
			if hidden := strings.Contains(m[0], "hidden"); hidden == (m[1] == "dad") {
				t.Errorf("group %s: hidden %v", m[1], hidden)
			}
		}
		details := dom[strings.Index(dom, `<tr class="details">`):]
		details = details[:strings.Index(details, "</tr>")]
		_, section, _ := strings.Cut(opened.Specs[0], "section ")
		rfc := strings.ToLower(strings.ReplaceAll(opened.Specs[0][:8], " ", ""))
		for _, want := range []string{
			`href="https://www.rfc-editor.org/rfc/` + rfc + `#section-` + section + `"`, opened.Requirements[0], "spec " + opened.Specs[0],
			"faulty " + opened.Profile + ": ", "expected", "observed", `href="` + opened.Case + "-" + opened.Profile + `-faulty.pcapng"`,
			"<mark>", `class="dg"`, "dg-wrong", "DAD probe",
		} {
			if !strings.Contains(details, want) {
				t.Errorf("the details do not have %q:\n%s", want, tags.ReplaceAllString(details, " "))
			}
		}
		if strings.Count(dom, `aria-expanded="true"`) != 1 {
			t.Errorf("%d cases are open", strings.Count(dom, `aria-expanded="true"`))
		}
	})
	t.Run("target", func(t *testing.T) {
		dom := browse(t, file, "verdict=fail&target=core")
		if ids := visible(dom); len(ids) != 0 {
			t.Errorf("the Core failed %q", ids)
		}
	})
	t.Run("section and text", func(t *testing.T) {
		dom := browse(t, file, "section=RFC+4862,+section+5.4.4&q=ADVERTISEMENT+tentative")
		ids := visible(dom)
		for _, id := range ids {
			c := caseOf(r.Cases, id)
			if title := strings.ToLower(c.Title); !strings.Contains(title, "tentative") || !strings.Contains(c.Spec(), "section 5.4.4") {
				t.Errorf("%s: %s, %s", id, title, c.Spec())
			}
		}
		if len(ids) == 0 {
			t.Error("no case is seen")
		}
	})
	t.Run("no filter", func(t *testing.T) {
		if ids := visible(browse(t, file, "")); len(ids) != len(r.Cases) {
			t.Errorf("%d cases are seen, want %d", len(ids), len(r.Cases))
		}
	})
}

// press has the page take keys, one after the other, before it is looked at.
// The test's own script is added to what the policy allows.
func press(t *testing.T, file, fragment string, keys ...string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	for _, key := range keys {
		script += fmt.Sprintf("(document.activeElement || document.body).dispatchEvent(new KeyboardEvent('keydown', { key: %q, bubbles: true }));\n", key)
	}
	script = "addEventListener('load', () => {\n" + script + "document.body.dataset.active = document.activeElement.textContent || document.activeElement.name;\n});"
	policy := strings.ReplaceAll(digest(script), "'", "&#39;")
	page := strings.Replace(string(text), "script-src ", "script-src "+policy+" ", 1)
	page = strings.Replace(page, "</body>", "<script>"+script+"</script></body>", 1)
	file = filepath.Join(t.TempDir(), "keys.html")
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	return browse(t, file, fragment)
}

// Keys do what the line of keys says.
func TestPage_Keys(t *testing.T) {
	file := writePage(t, twoTargets(t))
	failed := visible(browse(t, file, "verdict=fail,inconclusive"))
	for _, c := range []struct {
		fragment string
		keys     []string
		active   string
		seen     int // cases; 0: all
	}{
		{"", []string{"j", "j", "j", "k"}, "DAD-02", 0},
		{"", []string{"/"}, "q", 0},
		{"", []string{"f"}, "", len(failed)},
		{"verdict=fail&q=probe", []string{"Escape"}, "", 0},
	} {
		dom := press(t, file, c.fragment, c.keys...)
		if c.active != "" && !strings.Contains(dom, `data-active="`+c.active+`"`) {
			t.Errorf("%q: %s is not where the reader is", c.keys, c.active)
		}
		want := c.seen
		if want == 0 {
			want = len(caseRow.FindAllString(dom, -1))
		}
		if n := len(visible(dom)); n != want {
			t.Errorf("#%s, %q: %d cases are seen, want %d", c.fragment, c.keys, n, want)
		}
	}
}

// Whatever a target or a scenario says is text on the page: nothing of it runs,
// and it ends no element.
func TestPage_HostileText(t *testing.T) {
	hostile := `</script></title><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>` + "\x00\xff'\"]]>"
	cases, err := Parse("evil.txt", "case X-01 "+strings.ReplaceAll(hostile, "\x00", "")+"\n    spec RFC 4861\n    expect ns\n", "")
	if err != nil {
		t.Fatal(err)
	}
	r := verdict(t, scriptedDriver{frames: says(t, "1s ns")}, "up; expect na within 2s")
	r.Group, r.Target, r.Profile, r.Title, r.Expected, r.Observed, r.Step = "evil", hostile, hostile, hostile, hostile, hostile, hostile
	for i := range r.Trace {
		r.Trace[i].Text = hostile
	}
	file := writePage(t, Report{Cases: cases, Results: []Result{r}, Software: hostile})
	dom := browse(t, file, "case=X-01")
	if strings.Contains(dom, "<title>owned") || strings.Contains(dom, "<img") {
		t.Error("what the target said became part of the page")
	}
	if !strings.Contains(dom, "&lt;img src=x") || !strings.Contains(dom, `class="dg"`) {
		t.Error("the details were not shown")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("<script>")); n != 1 {
		t.Errorf("the page has %d scripts", n)
	}
}

// The page asks nobody for anything: its policy forbids it, and nothing in it
// tries.
func TestPage_StandsAlone(t *testing.T) {
	var b bytes.Buffer
	if err := (Report{Cases: scenarios(t)[:3]}).WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "default-src &#39;none&#39;") {
		t.Error("no policy that forbids everything")
	}
	if m := regexp.MustCompile(`(?i)\b(src|href)=|@import|url\(|fetch\(|XMLHttpRequest|innerHTML`).FindAllString(b.String(), -1); m != nil {
		t.Errorf("the page has %q", m)
	}
}
