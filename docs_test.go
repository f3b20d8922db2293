package tapstack_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"
)

// documents returns every Markdown file of the module by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	root := os.DirFS(".")
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		names, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			found[name] = read(t, name)
		}
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	testName   = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`)
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	link       = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	goBlock    = regexp.MustCompile("(?s)```go\n(.*?)```")
	flatSpaces = regexp.MustCompile(`\s+`)
)

// A document that says which test proves something names one that exists.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	exists := map[string]bool{}
	for file, src := range sources(t) {
		if isTest(file) {
			for _, m := range testFunc.FindAllSubmatch(src, -1) {
				exists[string(m[1])] = true
			}
		}
	}
	named := 0
	for file, text := range documents(t) {
		for _, name := range testName.FindAllString(text, -1) {
			named++
			if !exists[name] {
				t.Errorf("%s names %s, and there is no such test", file, name)
			}
		}
	}
	if named == 0 {
		t.Error("no document names a test")
	}
}

func TestDocumentsLinkToFilesThatExist(t *testing.T) {
	for file, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(path.Join(path.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
		}
	}
}

// Every module that go.mod requires directly has its section, and every
// section of a module its requirement.
func TestDependenciesAreDocumented(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{}
	for _, r := range mod.Require {
		required[r.Path] = !r.Indirect
	}
	documented := map[string]bool{}
	for line := range strings.Lines(read(t, "docs/dependencies.md")) {
		title, ok := strings.CutPrefix(strings.TrimSpace(line), "## ")
		if !ok || !strings.Contains(title, ".") {
			continue
		}
		documented[title] = true
		if !required[title] {
			t.Errorf("docs/dependencies.md has a section on %s, which go.mod does not require directly", title)
		}
	}
	for module, direct := range required {
		if direct && !documented[module] {
			t.Errorf("docs/dependencies.md has no section on %s", module)
		}
	}
}

// The Go code that docs/embedding.md shows stands in the example that it walks
// through, and so compiles and is tested. Of white space only the lines count.
func TestEmbeddingShowsTheExample(t *testing.T) {
	example := normalize(read(t, "examples/appliance/main.go"))
	blocks := goBlock.FindAllStringSubmatch(read(t, "docs/embedding.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("docs/embedding.md shows no Go code")
	}
	for _, block := range blocks {
		if !strings.Contains(example, normalize(block[1])) {
			t.Errorf("this is not in examples/appliance/main.go:\n%s", block[1])
		}
	}
}

// The program that docs/conformance.md shows is the one that the tests run.
func TestConformanceShowsTheHost(t *testing.T) {
	if host := read(t, "conformance/hosts/kernel.sh"); !strings.Contains(read(t, "docs/conformance.md"), "```sh\n"+host+"```") {
		t.Error("docs/conformance.md does not show conformance/hosts/kernel.sh as it is")
	}
}

func normalize(code string) string { return flatSpaces.ReplaceAllString(strings.TrimSpace(code), " ") }
