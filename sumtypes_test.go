package tapstack_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Events and actions are sum types: a sealed interface, type Event interface{
// isEvent() }, and the types of its package that declare the method. A file
// that switches on one of them names every member, in switches and type
// assertions together, or has a default, so that a new action cannot be
// forgotten where actions are carried out.
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

// unhandled says which of files leave out a member, and returns the names of
// the sum types.
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
	for file := range parsed {
		if isTest(file) {
			continue
		}
		for sum, missing := range leftOut(parsed[file], path.Dir(file), sums) {
			found = append(found, fmt.Sprintf("%s switches on %s without %s", file, sum, strings.Join(missing, ", ")))
		}
	}
	for sum := range sums {
		names = append(names, sum.String())
	}
	slices.Sort(found)
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

// leftOut returns the members of each sum type for which a file that switches
// on it has neither a case nor a type assertion.
func leftOut(f *ast.File, pkg string, sums map[typeName]map[typeName]bool) map[typeName][]string {
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
	named := map[typeName]bool{}
	switched := map[typeName]bool{} // sum types
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeAssertExpr:
			if name, ok := nameOf(n.Type, pkg, imports); ok {
				named[name] = true
			}
		case *ast.TypeSwitchStmt:
			cases, hasDefault := casesOf(n, pkg, imports)
			for name := range cases {
				named[name] = true
			}
			if sum, ok := sumOf(cases, sums); ok && !hasDefault {
				switched[sum] = true
			}
		}
		return true
	})
	missing := map[typeName][]string{}
	for sum := range switched {
		for member := range sums[sum] {
			if !named[member] {
				missing[sum] = append(missing[sum], member.String())
			}
		}
	}
	for _, members := range missing {
		slices.Sort(members)
	}
	return missing
}

// casesOf returns the types for which a switch has a case.
func casesOf(sw *ast.TypeSwitchStmt, pkg string, imports map[string]string) (cases map[typeName]bool, hasDefault bool) {
	cases = map[typeName]bool{}
	for _, clause := range sw.Body.List {
		list := clause.(*ast.CaseClause).List
		hasDefault = hasDefault || list == nil
		for _, expr := range list {
			if name, ok := nameOf(expr, pkg, imports); ok {
				cases[name] = true
			}
		}
	}
	return cases, hasDefault
}

// sumOf returns the sum type to which all cases of a switch belong.
func sumOf(cases map[typeName]bool, sums map[typeName]map[typeName]bool) (typeName, bool) {
	for sum, members := range sums {
		of := len(cases) > 0
		for name := range cases {
			of = of && members[name]
		}
		if of {
			return sum, true
		}
	}
	return typeName{}, false
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
			[]string{"p/p.go switches on m.Event without m.A"}},
		{"in two switches", use + "func f(e other.Event) { switch e.(type) { case other.A: }; switch e.(type) { case *other.B: } }", nil},
		{"in a switch and an assertion", use + "func f(e other.Event) { switch e.(type) { case other.A: }; _ = e.(*other.B) }", nil},
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
