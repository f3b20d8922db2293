// Package tapstack_test checks what holds for the module as a whole: which
// package imports which, that the protocol machines are pure, that their sum
// types are handled whole, and that the documents speak of what is there.
package tapstack_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const modulePath = "github.com/tapstack/tapstack"

// arrows lists, for each package, the packages of this module that it may
// import. They point one way, from the programs down to the machines. A name
// that ends in /... stands for every package below. Test files are free.
var arrows = map[string][]string{
	"internal/timerq":    {},
	"internal/addrmap":   {},
	"nd":                 {"internal/timerq"},
	"dad":                {"nd", "internal/timerq"},
	"mld":                {"internal/timerq"},
	"rib":                {"internal/timerq"},
	"internal/netstack":  {"nd", "internal/addrmap"},
	"stack":              {"nd", "dad", "mld", "rib", "internal/netstack", "internal/addrmap", "internal/timerq"},
	"tap":                {"nd", "stack", "internal/pcap"},
	"internal/pcap":      {},
	"internal/diagram":   {},
	"internal/control":   {"nd", "dad", "mld", "rib", "stack", "internal/forward"},
	"internal/decode":    {"nd", "mld"},
	"internal/demo":      {"nd", "dad", "mld", "rib", "stack", "tap", "internal/decode", "internal/diagram"},
	"internal/forward":   {"stack"},
	"internal/services":  {"stack"},
	"internal/state":     {"nd"},
	"internal/netnstest": {},
	"conformance":        {"nd", "dad", "mld", "rib", "stack", "tap", "internal/control", "internal/decode", "internal/diagram", "internal/pcap"},
	// The hosts that others can be written after, and what they share.
	"conformance/hostline":  {"nd", "conformance"},
	"conformance/hosts/...": {"nd", "conformance", "conformance/hostline"},
	// The table of what all hosts do.
	"conformance/results": {"conformance", "conformance/hosts/known"},
	"cmd/tapstack":        {"nd", "dad", "mld", "rib", "stack", "tap", "conformance", "internal/..."},
	"cmd/tapstack-bench":  {"nd", "rib", "stack", "internal/addrmap", "internal/control", "cmd/tapstack-bench/internal/..."},
	// The rivals are compiled into this one command.
	"cmd/tapstack-bench/internal/host": {"nd", "stack", "tap"},
	"cmd/tapstack-bench/internal/node": {"cmd/tapstack-bench/internal/host"},
	"examples/...":                     {"nd", "dad", "stack", "tap"},
}

// rivals has gVisor as it comes, to be measured, and gvisorHost, to be judged.
const (
	rivals     = "cmd/tapstack-bench/internal/host"
	gvisorHost = "conformance/hosts/tapstack-host-gvisor"
)

// modules lists, for each module that this one requires, who may import it:
// packages with their tests, "wire" (the files of nd and mld that read and
// write octets) or "tests" (every test file). Of a path and a longer one, the longer counts.
var modules = map[string][]string{
	"gvisor.dev/gvisor":                    {"internal/netstack", rivals, gvisorHost, "tests"},
	"gvisor.dev/gvisor/pkg/tcpip":          {"internal/netstack", rivals, gvisorHost, "wire", "tests"},
	"gvisor.dev/gvisor/pkg/tcpip/checksum": {"internal/netstack", rivals, "wire", "tests"},
	"gvisor.dev/gvisor/pkg/tcpip/header":   {"internal/netstack", rivals, gvisorHost, "wire", "tests"},
	// Whoever has gVisor's own endpoint has gVisor's own host: `tapstack` has not.
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased": {rivals, gvisorHost},
	"github.com/gaissmai/bart":                 {"rib"},
	"github.com/google/go-cmp":                 {"tests"},
	"github.com/google/gopacket":               {"tests"},
	"github.com/songgao/water":                 {"tap"},
	"github.com/spf13/cobra":                   {"cmd/tapstack"},
	"golang.org/x/sys":                         {"tap", "conformance", "internal/control", "internal/netnstest", "internal/state", "cmd/tapstack-bench/internal/...", gvisorHost, "tests"},
	"pgregory.net/rapid":                       {"tests"},
}

// The machines, and the Core that is made of them, are pure: what they do
// follows from their configuration, the calls so far and the answers of
// Random. So they have no clock, no chance, no input, no output and no
// concurrency of their own.
var (
	purePackages = []string{"internal/timerq", "nd", "dad", "mld", "rib"}
	pureFiles    = []string{"stack/core*.go", "stack/profile.go"}

	pureImports = []string{
		"bytes", "cmp", "container/heap", "container/list", "crypto/hmac", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt", "iter",
		"maps", "math", "math/bits", "net/netip", "slices", "sort", "strconv", "strings", "time", "unique",
	}
	clock = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}
)

func TestArchitecture(t *testing.T) {
	seen := map[string]bool{}
	for file, src := range sources(t) {
		seen[path.Dir(file)] = true
		for _, v := range violations(t, file, src) {
			t.Error(v)
		}
	}
	for pkg := range arrows {
		if !strings.HasSuffix(pkg, "/...") && !seen[pkg] {
			t.Errorf("there are rules for package %s, but no such package", pkg)
		}
	}
}

// sources returns every Go file of the module, for whatever system it is, by
// its path from the root.
func sources(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && file != "."):
			return fs.SkipDir
		case !d.IsDir() && path.Ext(file) == ".go":
			files[file], err = os.ReadFile(file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// violations says what in a file breaks the rules.
func violations(t *testing.T, file string, src []byte) (found []string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	pure := isPure(file)
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if reason := refuse(file, imported, pure); reason != "" {
			found = append(found, fmt.Sprintf("%s imports %s: %s", fset.Position(spec.Pos()), imported, reason))
		}
	}
	if pure {
		for pos, what := range impurities(f) {
			found = append(found, fmt.Sprintf("%s: %s in a pure file", fset.Position(pos), what))
		}
		slices.Sort(found)
	}
	return found
}

func isPure(file string) bool {
	if isTest(file) {
		return false
	}
	return slices.Contains(purePackages, path.Dir(file)) ||
		slices.ContainsFunc(pureFiles, func(pattern string) bool {
			matched, _ := path.Match(pattern, file)
			return matched
		})
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// isWire reports whether a file turns messages into octets or back.
func isWire(file string) bool {
	dir, base := path.Split(file)
	return (dir == "nd/" || dir == "mld/") && strings.HasPrefix(base, "wire") && !isTest(file)
}

// refuse says why a file may not import a package, or nothing.
func refuse(file, imported string, pure bool) string {
	pkg := path.Dir(file)
	switch own, ok := strings.CutPrefix(imported, modulePath+"/"); {
	case ok && isTest(file):
		return ""
	case ok:
		allowed, ok := rule(arrows, pkg)
		switch {
		case !ok:
			return "package " + pkg + " has no row in the table of arrows"
		case !matchesAny(allowed, own):
			return "against the direction of imports"
		case pure && !slices.Contains(purePackages, own):
			return "a pure file needs nothing impure"
		}
		return ""
	case !strings.Contains(strings.Split(imported, "/")[0], "."):
		if pure && !slices.Contains(pureImports, imported) {
			return "not among the packages that pure files may use"
		}
		return ""
	}
	module := longestPrefix(modules, imported)
	allowed := modules[module]
	switch {
	case module == "":
		return "no module that this one uses directly"
	case matchesAny(allowed, pkg),
		slices.Contains(allowed, "tests") && isTest(file),
		slices.Contains(allowed, "wire") && isWire(file):
		return ""
	}
	return "only for " + strings.Join(allowed, ", ")
}

// rule returns the row for pkg: its own, or that of a pattern.
func rule(table map[string][]string, pkg string) ([]string, bool) {
	for name, row := range table {
		if matchesAny([]string{name}, pkg) {
			return row, true
		}
	}
	return nil, false
}

// matchesAny reports whether pkg is one of names, or below one that ends in
// "/...".
func matchesAny(names []string, pkg string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		parent, ok := strings.CutSuffix(name, "...")
		return pkg == name || ok && strings.HasPrefix(pkg, parent)
	})
}

// longestPrefix returns the longest key that is imported or a path above it.
// Below gVisor's tcpip only what is listed by name is for wire files.
func longestPrefix(table map[string][]string, imported string) (longest string) {
	for key, row := range table {
		below := strings.HasPrefix(imported, key+"/") && !slices.Contains(row, "wire")
		if (imported == key || below) && len(key) > len(longest) {
			longest = key
		}
	}
	return longest
}

// impurities finds the uses of a clock and of concurrency.
func impurities(f *ast.File) map[token.Pos]string {
	timeName := ""
	for _, spec := range f.Imports {
		if spec.Path.Value == `"time"` {
			timeName = "time"
			if spec.Name != nil {
				timeName = spec.Name.Name
			}
		}
	}
	found := map[token.Pos]string{}
	if timeName == "." {
		found[f.Name.Pos()] = "a dot import of time"
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found[n.Pos()] = "a go statement"
		case *ast.SelectStmt:
			found[n.Pos()] = "a select statement"
		case *ast.ChanType:
			found[n.Pos()] = "a channel type"
		case *ast.SendStmt:
			found[n.Pos()] = "a send to a channel"
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				found[n.Pos()] = "a receive from a channel"
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == timeName && slices.Contains(clock, n.Sel.Name) {
				found[n.Pos()] = "time." + n.Sel.Name
			}
		}
		return true
	})
	return found
}

// The rules can be broken: each line here breaks one, or shows what is allowed
// beside it.
func TestViolations(t *testing.T) {
	imports := func(paths ...string) string {
		src := "package p\n"
		for _, p := range paths {
			src += fmt.Sprintf("import %q\n", p)
		}
		return src
	}
	const own = modulePath + "/"
	for _, test := range []struct {
		name, file, src string
		want            []string
	}{
		{"down the arrow", "dad/a.go", imports(own + "nd"), nil},
		{"up the arrow", "nd/a.go", imports(own + "dad"),
			[]string{"nd/a.go:2:8 imports github.com/tapstack/tapstack/dad: against the direction of imports"}},
		{"up the arrow in a test", "nd/a_test.go", imports(own + "dad"), nil},
		{"stack on tap", "stack/a.go", imports(own + "tap"),
			[]string{"stack/a.go:2:8 imports github.com/tapstack/tapstack/tap: against the direction of imports"}},
		{"a pattern", "examples/x/a.go", imports(own + "stack"), nil},
		{"a package without a row", "newcomer/a.go", imports(own + "nd"),
			[]string{"newcomer/a.go:2:8 imports github.com/tapstack/tapstack/nd: package newcomer has no row in the table of arrows"}},
		{"the Core on the sockets", "stack/core_a.go", imports(own + "internal/netstack"),
			[]string{"stack/core_a.go:2:8 imports github.com/tapstack/tapstack/internal/netstack: a pure file needs nothing impure"}},
		{"the shell on the sockets", "stack/a.go", imports(own + "internal/netstack"), nil},

		{"gVisor in its place", "internal/netstack/a.go", imports("gvisor.dev/gvisor/pkg/tcpip/stack"), nil},
		{"gVisor elsewhere", "stack/a.go", imports("gvisor.dev/gvisor/pkg/tcpip/stack"),
			[]string{"stack/a.go:2:8 imports gvisor.dev/gvisor/pkg/tcpip/stack: only for internal/netstack, cmd/tapstack-bench/internal/host, conformance/hosts/tapstack-host-gvisor, tests"}},
		{"gVisor's own host", "internal/netstack/a.go", imports("gvisor.dev/gvisor/pkg/tcpip/link/fdbased"),
			[]string{"internal/netstack/a.go:2:8 imports gvisor.dev/gvisor/pkg/tcpip/link/fdbased: only for cmd/tapstack-bench/internal/host, conformance/hosts/tapstack-host-gvisor"}},
		{"gVisor's types elsewhere", "stack/a.go", imports("gvisor.dev/gvisor/pkg/tcpip"),
			[]string{"stack/a.go:2:8 imports gvisor.dev/gvisor/pkg/tcpip: only for internal/netstack, cmd/tapstack-bench/internal/host, conformance/hosts/tapstack-host-gvisor, wire, tests"}},
		{"gVisor's headers in a wire file", "mld/wire.go", imports("gvisor.dev/gvisor/pkg/tcpip/header"), nil},
		{"gVisor's headers beside the wire file", "mld/v1.go", imports("gvisor.dev/gvisor/pkg/tcpip/header"),
			[]string{"mld/v1.go:2:8 imports gvisor.dev/gvisor/pkg/tcpip/header: only for internal/netstack, cmd/tapstack-bench/internal/host, conformance/hosts/tapstack-host-gvisor, wire, tests"}},
		{"more of gVisor in a wire file", "nd/wire.go", imports("gvisor.dev/gvisor/pkg/tcpip/stack"),
			[]string{"nd/wire.go:2:8 imports gvisor.dev/gvisor/pkg/tcpip/stack: only for internal/netstack, cmd/tapstack-bench/internal/host, conformance/hosts/tapstack-host-gvisor, tests"}},
		{"water in tap", "tap/a.go", imports("github.com/songgao/water"), nil},
		{"water in a test of tap", "tap/a_test.go", imports("github.com/songgao/water"), nil},
		{"water elsewhere", "cmd/tapstack/a.go", imports("github.com/songgao/water"),
			[]string{"cmd/tapstack/a.go:2:8 imports github.com/songgao/water: only for tap"}},
		{"gopacket in a test", "stack/a_test.go", imports("github.com/google/gopacket/layers"), nil},
		{"gopacket in the stack", "stack/a.go", imports("github.com/google/gopacket/layers"),
			[]string{"stack/a.go:2:8 imports github.com/google/gopacket/layers: only for tests"}},
		{"an unknown module", "tap/a.go", imports("example.com/m"),
			[]string{"tap/a.go:2:8 imports example.com/m: no module that this one uses directly"}},
		{"an unknown module in a test", "tap/a_test.go", imports("example.com/m"),
			[]string{"tap/a_test.go:2:8 imports example.com/m: no module that this one uses directly"}},

		{"pure", "rib/a.go", imports("net/netip", "time"), nil},
		{"the network", "rib/a.go", imports("net"),
			[]string{"rib/a.go:2:8 imports net: not among the packages that pure files may use"}},
		{"logs", "stack/core.go", imports("log/slog"),
			[]string{"stack/core.go:2:8 imports log/slog: not among the packages that pure files may use"}},
		{"logs in the shell", "stack/loop.go", imports("log/slog"), nil},
		{"atomics in a test", "dad/a_test.go", imports("sync/atomic"), nil},
		{"atomics", "dad/a.go", imports("sync/atomic"),
			[]string{"dad/a.go:2:8 imports sync/atomic: not among the packages that pure files may use"}},
		{"chance", "stack/profile.go", imports("math/rand/v2"),
			[]string{"stack/profile.go:2:8 imports math/rand/v2: not among the packages that pure files may use"}},
		{"the clock", "mld/a.go", "package mld; import \"time\"\nvar t = time.Now()\nvar d time.Duration",
			[]string{"mld/a.go:2:9: time.Now in a pure file"}},
		{"the clock by another name", "mld/a.go", "package mld; import clock \"time\"\nvar f = clock.Since",
			[]string{"mld/a.go:2:9: time.Since in a pure file"}},
		{"the clock without a name", "mld/a.go", "package mld; import . \"time\"\nvar f = Since",
			[]string{"mld/a.go:1:9: a dot import of time in a pure file"}},
		{"a goroutine", "nd/a.go", "package nd\nfunc f() { go f() }",
			[]string{"nd/a.go:2:12: a go statement in a pure file"}},
		{"channels", "nd/a.go", "package nd\nfunc f(c chan int) {\nc <- 1\n<-c\nselect {}\n}",
			[]string{
				"nd/a.go:2:10: a channel type in a pure file",
				"nd/a.go:3:1: a send to a channel in a pure file",
				"nd/a.go:4:1: a receive from a channel in a pure file",
				"nd/a.go:5:1: a select statement in a pure file",
			}},
		{"channels in the shell", "stack/loop.go", "package stack\nfunc f(c chan int) { go f(c) }", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, violations(t, test.file, []byte(test.src))); diff != "" {
				t.Errorf("violations of %s (-want +got):\n%s\n%s", test.file, diff, test.src)
			}
		})
	}
}
