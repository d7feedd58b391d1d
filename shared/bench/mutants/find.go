package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A change is one possible mutant: a place, what stands there, and what would.
type change struct {
	source   *source
	file     string // full name
	line     int
	function string
	before   string
	after    string
	nth      int    // of the same changes in one function, from 1
	edits    []edit // what puts it behind its switch
	start    int
	end      int
}

// String identifies c whatever stands above it in its file.
func (c *change) String() string {
	return fmt.Sprintf("%s %s: %s → %s%s", c.name(), c.function, c.before, c.after, c.ordinal())
}

func (c *change) ordinal() string {
	if c.nth == 1 {
		return ""
	}
	return fmt.Sprintf(" #%d", c.nth)
}

// name is that of the file in the repository.
func (c *change) name() string { return path.Join(c.source.folder, filepath.Base(c.file)) }

// findAll returns the possible mutants of all sources, in the order of the text.
func findAll(sources []*source) (all []*change) {
	for _, s := range sources {
		for _, file := range s.files {
			for _, d := range file.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					f := finder{source: s, function: nameOf(fn), file: s.fset.Position(fn.Pos()).Filename, same: map[string]int{}}
					ast.PreorderStack(fn, nil, f.visit)
					all = append(all, f.found...)
				}
			}
		}
	}
	return all
}

func nameOf(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	on := fn.Recv.List[0].Type
	if star, ok := on.(*ast.StarExpr); ok {
		on = star.X
	}
	return types.ExprString(on) + "." + fn.Name.Name
}

// A finder collects the possible mutants of one function.
type finder struct {
	*source
	function string
	file     string
	same     map[string]int
	found    []*change
}

func (f *finder) visit(n ast.Node, above []ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		return !f.idle(n)
	case *ast.IfStmt:
		f.condition(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			f.never(n.Cond) // one that always holds ends by the time limit, which tells little
		}
	case *ast.CaseClause:
		if s, ok := above[len(above)-2].(*ast.SwitchStmt); ok && s.Tag == nil {
			for _, e := range n.List {
				f.condition(e)
			}
		}
		f.statements(n.Body, above)
	case *ast.CommClause:
		f.statements(n.Body, above)
	case *ast.BlockStmt:
		f.statements(n.List, above)
	case *ast.BinaryExpr:
		f.operator(n)
	case *ast.BasicLit:
		f.literal(n, above)
	}
	return true
}

// quiet are packages whose calls no test needs to notice.
var quiet = []string{"log", "log/slog"}

// idle reports whether a mutant in call would change nothing that a caller can
// tell: what is logged, a capacity, the text of a panic.
func (f *finder) idle(call *ast.CallExpr) bool {
	o := f.callee(call)
	if _, ok := o.(*types.Builtin); ok {
		return o.Name() == "panic" || o.Name() == "make"
	}
	return o != nil && (o.Name() == "Grow" || o.Pkg() != nil && slices.Contains(quiet, o.Pkg().Path()))
}

func (f *finder) callee(call *ast.CallExpr) types.Object {
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return f.info.Uses[fun]
	case *ast.SelectorExpr:
		return f.info.Uses[fun.Sel]
	}
	return nil
}

// add notes a possible mutant of the node from start to end.
func (f *finder) add(n ast.Node, before, after string, edits ...edit) {
	at := f.fset.Position(n.Pos())
	c := &change{source: f.source, file: f.file, line: at.Line, function: f.function, before: before, after: after,
		edits: edits, start: at.Offset, end: f.offset(n.End())}
	f.same[before+"→"+after]++
	c.nth = f.same[before+"→"+after]
	f.found = append(f.found, c)
}

func (f *finder) offset(p token.Pos) int { return f.fset.Position(p).Offset }

// written returns n as it stands in the source.
func (f *finder) written(n ast.Node) string {
	return string(f.text[f.file][f.offset(n.Pos()):f.offset(n.End())])
}

// short is written on one line, without the middle of what is long.
func (f *finder) short(n ast.Node) string { return shorten(f.written(n)) }

func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 120 {
		text = string(r[:90]) + " … " + string(r[len(r)-25:])
	}
	return text
}
