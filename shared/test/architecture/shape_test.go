package architecture

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ringback/shared/test/tracked"
)

// -tree measures another checkout: go test -run Shape -v ./shared/test/architecture -args -tree DIR
var otherTree = flag.String("tree", "", "`folder` of a checkout to measure in place of this one")

// Bounds of the product, so that a reader can hold a package in mind: lines
// without tests, methods on one type, and files that all depend on each other.
const (
	mostLines   = 29_000 // of all packages
	mostMethods = 80
	mostKnotted = 12
)

// packageLines are the bounds of packages that everything else leans on.
var packageLines = map[string]int{"shared/storage": 700, "shared/gateway": 6500, "shared/control": 4000}

// TestShapeStaysReadable prints, with -v, a row a package.
func TestShapeStaysReadable(t *testing.T) {
	tree := repository
	if *otherTree != "" {
		tree = tracked.Files(*otherTree)
	}
	shapes, err := shapesOf(tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(table(shapes))
	for _, c := range misshapen(shapes) {
		t.Error(c)
	}
}

// TestShapesAreMeasured measures a small tree.
func TestShapesAreMeasured(t *testing.T) {
	shapes, err := shapesOf(fstest.MapFS{
		"shared/egress/b.go":      {Data: []byte("package egress\n\ntype B struct{ a A }\n\nfunc (b *B) One() {}\nfunc (b B) Two() { three() }\n")},
		"shared/egress/a.go":      {Data: []byte("package egress\n\nimport \"ringback/shared/storage\"\n\ntype A struct{ storage.Row }\n\nfunc three() { _ = B{} }\n")},
		"shared/egress/c.go":      {Data: []byte("package egress\n\nfunc c() { new(B).One() }\n")},
		"shared/egress/b_test.go": {Data: []byte("package egress\n")},
		"shared/storage/s.go":     {Data: []byte("package storage\n\ntype Row struct{}\n")},
		"shared/test/x/x.go":      {Data: []byte("package x\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []shape{
		{folder: "shared/egress", lines: 16, imports: []string{"shared/storage"}, largest: "B", methods: 2, knot: []string{"a.go", "b.go"}},
		{folder: "shared/storage", lines: 3},
	}
	if got := fmt.Sprint(shapes); got != fmt.Sprint(want) {
		t.Errorf("shapes %v, want %v", shapes, want)
	}
}

func TestShapesCanBeWrong(t *testing.T) {
	knot := make([]string, mostKnotted+1)
	for _, tt := range []struct {
		s    shape
		want string // a part of the only complaint; empty: there is none
	}{
		{shape{folder: "shared/control", lines: 4000, methods: mostMethods, knot: knot[1:]}, ""},
		{shape{folder: "shared/control", lines: 4001}, "4001 lines"},
		{shape{folder: "shared/api", lines: mostLines + 1}, "the product has"},
		{shape{folder: "shared/api", largest: "T", methods: mostMethods + 1}, "T has 81 methods"},
		{shape{folder: "shared/api", knot: knot}, "13 files"},
	} {
		got := misshapen([]shape{tt.s})
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%+v: complaints %q, want one with %q or none if that is empty", tt.s, got, tt.want)
		}
	}
}

// A shape is what a package of the product is like.
type shape struct {
	folder  string
	lines   int      // without tests
	imports []string // of this module
	largest string   // the type with the most methods
	methods int      // on it
	knot    []string // the most files of it that all depend on each other
}

func table(shapes []shape) string {
	var b strings.Builder
	all := 0
	for _, s := range shapes {
		all += s.lines
	}
	fmt.Fprintf(&b, "\n| package | lines | share | largest type | methods | largest knot | imports |\n|---|---:|---:|---|---:|---:|---|\n")
	for _, s := range shapes {
		fmt.Fprintf(&b, "| %s | %d | %d %% | %s | %d | %d | %s |\n", s.folder, s.lines, 100*s.lines/max(all, 1), s.largest, s.methods,
			len(s.knot), strings.ReplaceAll(strings.Join(s.imports, ", "), "shared/", ""))
	}
	fmt.Fprintf(&b, "| all | %d | | | | | |\n", all)
	return b.String()
}

// misshapen complains of what is over a bound.
func misshapen(shapes []shape) (complaints []string) {
	all := 0
	for _, s := range shapes {
		all += s.lines
		if most := packageLines[s.folder]; most > 0 && s.lines > most {
			complaints = append(complaints, fmt.Sprintf("%s has %d lines: want at most %d", s.folder, s.lines, most))
		}
		if s.methods > mostMethods {
			complaints = append(complaints, fmt.Sprintf("%s: %s has %d methods: want at most %d", s.folder, s.largest, s.methods, mostMethods))
		}
		if len(s.knot) > mostKnotted {
			complaints = append(complaints, fmt.Sprintf("%s: %d files all depend on each other: want at most %d: %v", s.folder, len(s.knot), mostKnotted, s.knot))
		}
	}
	if all > mostLines {
		complaints = append(complaints, fmt.Sprintf("the product has %d lines: want at most %d", all, mostLines))
	}
	return complaints
}

// support are folders that only tests link, beside those of aside.
var support = []string{"*test", "awsproxy"}

// shapesOf measures the packages of the product, by folder.
func shapesOf(tree fs.FS) ([]shape, error) {
	folders := map[string][]string{}
	err := eachFile(tree, func(name string) error {
		folder := path.Dir(name)
		tests := slices.ContainsFunc(support, func(p string) bool { ok, _ := path.Match(p, path.Base(folder)); return ok })
		if path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") && strings.Contains(name, "/") && !strings.HasPrefix(name, ".") &&
			!strings.Contains(name, "/testdata/") && !tests && !slices.ContainsFunc(aside, func(a string) bool { return below(a, folder) }) {
			folders[folder] = append(folders[folder], name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c := &checker{tree: tree, folders: folders, fset: token.NewFileSet(), known: map[string]*types.Package{}}
	for folder := range folders {
		if _, err := c.check(folder); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(c.shapes, func(a, b shape) int { return cmp.Compare(a.folder, b.folder) })
	return c.shapes, nil
}

// A checker resolves names as the compiler does, in the packages of this module
// alone: of others nothing is known, and nothing is asked.
type checker struct {
	tree    fs.FS
	folders map[string][]string
	fset    *token.FileSet
	known   map[string]*types.Package
	shapes  []shape
}

// Import makes c a types.Importer.
func (c *checker) Import(name string) (*types.Package, error) {
	if inside, ours := strings.CutPrefix(name, module); ours && c.folders[inside] != nil {
		return c.check(inside)
	}
	if c.known[name] == nil {
		c.known[name] = types.NewPackage(name, path.Base(name))
		c.known[name].MarkComplete()
	}
	return c.known[name], nil
}

// check reads a package, once, and measures it.
func (c *checker) check(folder string) (*types.Package, error) {
	if p := c.known[folder]; p != nil {
		return p, nil
	}
	s := shape{folder: folder}
	var files []*ast.File
	for _, name := range c.folders[folder] {
		text, err := fs.ReadFile(c.tree, name)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(c.fset, path.Base(name), text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.lines += strings.Count(string(text), "\n")
		files = append(files, f)
		for _, spec := range f.Imports {
			if inside, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module); ours && !slices.Contains(s.imports, inside) {
				s.imports = append(s.imports, inside)
			}
		}
	}
	slices.Sort(s.imports)
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	unknown := func(error) {} // what stands in other modules
	p, _ := (&types.Config{Importer: c, Error: unknown}).Check(module+folder, c.fset, files, info)
	c.known[folder] = p
	s.largest, s.methods = mostMethodsOf(files)
	s.knot = largestKnot(c.dependencies(p, files, info))
	c.shapes = append(c.shapes, s)
	return p, nil
}

func mostMethodsOf(files []*ast.File) (largest string, methods int) {
	counts := map[string]int{}
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				name := strings.TrimPrefix(types.ExprString(fn.Recv.List[0].Type), "*")
				if counts[name]++; counts[name] > methods || counts[name] == methods && name < largest {
					largest, methods = name, counts[name]
				}
			}
		}
	}
	return largest, methods
}

// dependencies returns which files of p use something that another declares.
func (c *checker) dependencies(p *types.Package, files []*ast.File, info *types.Info) map[string][]string {
	file := func(at token.Pos) string { return c.fset.Position(at).Filename }
	on := map[string][]string{}
	for _, f := range files {
		on[file(f.Pos())] = nil
	}
	for use, o := range info.Uses {
		v, local := o.(*types.Var)
		local = local && !v.IsField() && v.Parent() != p.Scope()
		from := file(use.Pos())
		if to := file(o.Pos()); o.Pkg() == p && !local && to != from && !slices.Contains(on[from], to) {
			on[from] = append(on[from], to)
		}
	}
	return on
}

// largestKnot returns the largest set of more than one name of which each leads
// to all others (R. Tarjan, "Depth-first search and linear graph algorithms").
func largestKnot(on map[string][]string) (largest []string) {
	order, low, stack := map[string]int{}, map[string]int{}, []string{}
	var visit func(string)
	visit = func(name string) {
		order[name] = len(order) + 1
		low[name] = order[name]
		stack = append(stack, name)
		for _, next := range on[name] {
			switch {
			case order[next] == 0:
				visit(next)
				low[name] = min(low[name], low[next])
			case slices.Contains(stack, next):
				low[name] = min(low[name], order[next])
			}
		}
		if low[name] == order[name] {
			i := slices.Index(stack, name)
			if knot := stack[i:]; len(knot) > 1 && len(knot) > len(largest) {
				largest = slices.Sorted(slices.Values(knot))
			}
			stack = stack[:i]
		}
	}
	for name := range on {
		if order[name] == 0 {
			visit(name)
		}
	}
	return largest
}
