package tapstack_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Events and actions are sum types: a sealed interface, type Event interface{
// isEvent() }, and the types of its package that declare the method. A type
// switch on one of them names every member or has a default, so that a new
// action cannot be forgotten where actions are carried out.
func TestSumTypesAreHandledWhole(t *testing.T) {
	found, sums := unhandled(t, sources(t))
	for _, v := range found {
		t.Error(v)
	}
	if len(sums) < 8 {
		t.Errorf("found %d sum types, fewer than the events and actions of the machines: %v", len(sums), sums)
	}
}

// typeName is a type of this module.
type typeName struct{ pkg, name string }

func (n typeName) String() string { return n.pkg + "." + n.name }

// unhandled says which type switches of files leave out a member, and returns
// the names of the sum types.
func unhandled(t *testing.T, files map[string][]byte) (found []string, names []string) {
	t.Helper()
	fset := token.NewFileSet()
	parsed := map[string]*ast.File{}
	sums := map[typeName]map[typeName]bool{} // members
	sealedBy := map[typeName]typeName{}      // package and method → sum type
	for file, src := range files {
		f, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed[file] = f
		for name, method := range sealedInterfaces(f) {
			sum := typeName{path.Dir(file), name}
			sums[sum] = map[typeName]bool{}
			sealedBy[typeName{path.Dir(file), method}] = sum
		}
	}
	for file, f := range parsed {
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv != nil {
				if sum, ok := sealedBy[typeName{path.Dir(file), fn.Name.Name}]; ok {
					member, _ := nameOf(fn.Recv.List[0].Type, path.Dir(file), nil)
					sums[sum][member] = true
				}
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(parsed)) {
		if isTest(file) {
			continue
		}
		ast.Inspect(parsed[file], func(n ast.Node) bool {
			if sw, ok := n.(*ast.TypeSwitchStmt); ok {
				if missing := leftOut(sw, path.Dir(file), parsed[file], sums); len(missing) > 0 {
					found = append(found, fmt.Sprintf("%s: no case for %s, and no default", fset.Position(sw.Pos()), strings.Join(missing, ", ")))
				}
			}
			return true
		})
	}
	for sum := range sums {
		names = append(names, sum.String())
	}
	slices.Sort(names)
	return found, names
}

// sealedInterfaces returns the interfaces of f whose name ends in Event or
// Action and whose one method is unexported, with that method. Messages are no
// sum types of this kind: who gets one ignores those that are not its own.
func sealedInterfaces(f *ast.File) map[string]string {
	found := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !strings.HasSuffix(spec.Name.Name, "Event") && !strings.HasSuffix(spec.Name.Name, "Action") {
			return true
		}
		i, ok := spec.Type.(*ast.InterfaceType)
		if !ok || len(i.Methods.List) != 1 || len(i.Methods.List[0].Names) != 1 {
			return true
		}
		if method := i.Methods.List[0].Names[0]; !method.IsExported() {
			found[spec.Name.Name] = method.Name
		}
		return true
	})
	return found
}

// leftOut returns the members of the sum type that sw is about for which it
// has no case.
func leftOut(sw *ast.TypeSwitchStmt, pkg string, f *ast.File, sums map[typeName]map[typeName]bool) (missing []string) {
	imports := map[string]string{}
	for _, spec := range f.Imports {
		if own, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), modulePath+"/"); ok {
			name := path.Base(own)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			imports[name] = own
		}
	}
	cases := map[typeName]bool{}
	for _, clause := range sw.Body.List {
		list := clause.(*ast.CaseClause).List
		if list == nil {
			return nil // default
		}
		for _, expr := range list {
			if name, ok := nameOf(expr, pkg, imports); ok {
				cases[name] = true
			}
		}
	}
	for _, members := range sums {
		about := len(cases) > 0
		for name := range cases {
			about = about && members[name]
		}
		if !about {
			continue
		}
		for member := range members {
			if !cases[member] {
				missing = append(missing, member.String())
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// nameOf returns the name of a type, or of what it points to.
func nameOf(expr ast.Expr, pkg string, imports map[string]string) (typeName, bool) {
	switch expr := expr.(type) {
	case *ast.StarExpr:
		return nameOf(expr.X, pkg, imports)
	case *ast.Ident:
		return typeName{pkg, expr.Name}, expr.Name != "nil"
	case *ast.SelectorExpr:
		if x, ok := expr.X.(*ast.Ident); ok {
			return typeName{imports[x.Name], expr.Sel.Name}, true
		}
	}
	return typeName{}, false
}

func TestUnhandled(t *testing.T) {
	const sum = "package m\ntype Event interface{ isEvent() }\ntype (A struct{}; B struct{}; C struct{ A })\n" +
		"func (A) isEvent() {}\nfunc (*B) isEvent() {}\n"
	use := "package p\nimport other \"" + modulePath + "/m\"\n"
	for _, test := range []struct {
		name, src string
		want      []string
	}{
		{"whole", use + "func f(e other.Event) { switch e.(type) { case other.A: case *other.B: } }", nil},
		{"in one case", use + "func f(e other.Event) { switch e.(type) { case nil: case other.A, *other.B: } }", nil},
		{"with a default", use + "func f(e other.Event) { switch e.(type) { case other.A: default: } }", nil},
		{"one left out", use + "func f(e other.Event) { switch e := e.(type) { case *other.B: _ = e } }",
			[]string{"p/p.go:3:25: no case for m.A, and no default"}},
		{"another type", use + "func f(e any) { switch e.(type) { case other.C: } }", nil},
		{"a type of the same name", use + "type A int\nfunc f(e any) { switch e.(type) { case A: } }", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, names := unhandled(t, map[string][]byte{"m/m.go": []byte(sum), "p/p.go": []byte(test.src)})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("unhandled (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"m.Event"}, names); diff != "" {
				t.Errorf("sum types (-want +got):\n%s", diff)
			}
		})
	}
}
