package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
)

// number stands for that of the mutant in the text of an edit.
const number = "\x00"

// around puts text before and after a node.
func (f *finder) around(n ast.Node, before, after string) []edit {
	start, end := f.offset(n.Pos()), f.offset(n.End())
	return []edit{{start, start, before}, {end, end, after}}
}

// condition decides the other way, always yes, or always no.
func (f *finder) condition(e ast.Expr) {
	if f.constant(e) {
		return
	}
	if b, ok := ast.Unparen(e).(*ast.BinaryExpr); !ok || b.Op != token.EQL && b.Op != token.NEQ { // else operator does it
		f.add(e, f.short(e), "!("+f.short(e)+")", f.around(e, "(mutant.On("+number+") != (", "))")...)
	}
	f.add(e, f.short(e), "true", f.around(e, "(mutant.On("+number+") || (", "))")...)
	f.never(e)
}

func (f *finder) never(e ast.Expr) {
	if !f.constant(e) {
		f.add(e, f.short(e), "false", f.around(e, "(!mutant.On("+number+") && (", "))")...)
	}
}

func (f *finder) constant(e ast.Expr) bool { return f.info.Types[e].Value != nil }

var (
	// choices are operators whose operands are evaluated again.
	choices = map[token.Token]token.Token{
		token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
		token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
	}
	sums    = map[token.Token]token.Token{token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL}
	sumName = map[token.Token]string{token.ADD: "Add", token.SUB: "Sub", token.MUL: "Mul", token.QUO: "Div"}
)

// operator takes the next one: < for <=, && for ||, + for -.
func (f *finder) operator(e *ast.BinaryExpr) {
	if f.constant(e) {
		return
	}
	x, y := f.short(e.X), f.short(e.Y)
	if other, ok := choices[e.Op]; ok {
		mutated := f.written(e.X) + other.String() + f.written(e.Y)
		f.add(e, x+" "+e.Op.String()+" "+y, x+" "+other.String()+" "+y,
			f.around(e, "(!mutant.On("+number+") && (", ") || mutant.On("+number+") && ("+mutated+"))")...)
	}
	t, ok := f.info.TypeOf(e).Underlying().(*types.Basic)
	if other, is := sums[e.Op]; is && ok && t.Info()&types.IsNumeric != 0 {
		at := f.offset(e.OpPos)
		edits := append(f.around(e, "mutant."+sumName[e.Op]+"("+number+", ", ")"), edit{at, at + len(e.Op.String()), ", "})
		f.add(e, x+" "+e.Op.String()+" "+y, x+" "+other.String()+" "+y, edits...)
	}
}

// literal is one more, or one less.
func (f *finder) literal(lit *ast.BasicLit, above []ast.Node) {
	if lit.Kind != token.INT {
		return
	}
	value, exact := constant.Int64Val(constant.MakeFromLiteral(lit.Value, lit.Kind, 0))
	if !exact {
		return
	}
	whole := ast.Expr(lit) // the largest constant expression that lit is part of
	for len(above) > 0 {
		e, ok := above[len(above)-1].(ast.Expr)
		if !ok || !f.constant(e) {
			break
		}
		whole, above = e, above[:len(above)-1]
	}
	for _, n := range above {
		d, ok := n.(*ast.GenDecl)
		if _, array := n.(*ast.ArrayType); array || ok && d.Tok == token.CONST {
			return
		}
	}
	up := above[len(above)-1]
	if r, ok := up.(*ast.ReturnStmt); ok && f.failing(r) {
		return // who gets an error does not look at it
	}
	t := types.TypeString(types.Default(f.info.TypeOf(whole)), func(p *types.Package) string {
		if p.Path() == module+f.folder {
			return ""
		}
		return p.Name()
	})
	shown, ok := up.(ast.Expr)
	if !ok {
		shown = whole
	}
	for _, other := range []int64{value + 1, value - 1} {
		if other >= 0 {
			f.add(whole, f.short(shown), shorten(f.with(shown, lit, other)),
				f.around(whole, "mutant.Pick["+t+"]("+number+", ", ", "+f.with(whole, lit, other)+")")...)
		}
	}
}

// with returns e with another number in place of lit.
func (f *finder) with(e ast.Expr, lit *ast.BasicLit, other int64) string {
	at := f.offset(lit.Pos()) - f.offset(e.Pos())
	text := f.written(e)
	return text[:at] + fmt.Sprint(other) + text[at+len(lit.Value):]
}

// failing reports whether r returns an error that is not nil.
func (f *finder) failing(r *ast.ReturnStmt) bool {
	if len(r.Results) == 0 {
		return false
	}
	last := f.info.Types[r.Results[len(r.Results)-1]]
	return !last.IsNil() && types.AssignableTo(last.Type, types.Universe.Lookup("error").Type())
}

// unneeded are calls without which the process works on, or does not at all.
var unneeded = []string{"Lock", "Unlock", "RLock", "RUnlock", "Close", "Stop", "cancel", "stop"}

// statements leaves out one of a list, or returns no error.
func (f *finder) statements(list []ast.Stmt, above []ast.Node) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if blank, ok := s.Lhs[0].(*ast.Ident); s.Tok != token.DEFINE && (!ok || blank.Name != "_") {
				f.without(s)
			}
		case *ast.IncDecStmt, *ast.BranchStmt:
			if b, ok := s.(*ast.BranchStmt); !ok || b.Tok == token.BREAK || b.Tok == token.CONTINUE {
				f.without(s)
			}
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok {
				f.withoutCall(s, call)
			}
		case *ast.DeferStmt:
			f.withoutCall(s, s.Call)
		case *ast.ReturnStmt:
			f.returns(s, above)
		}
	}
}

func (f *finder) withoutCall(s ast.Stmt, call *ast.CallExpr) {
	if o := f.callee(call); !f.idle(call) && (o == nil || !slices.Contains(unneeded, o.Name())) {
		f.without(s)
	}
}

func (f *finder) without(s ast.Stmt) {
	f.add(s, f.short(s), "nothing", f.around(s, "if !mutant.On("+number+") { ", " }")...)
}

// returns goes on instead, or tells nobody of the error that was found.
func (f *finder) returns(s *ast.ReturnStmt, above []ast.Node) {
	if len(s.Results) == 0 {
		f.without(s)
	} else if i, ok := above[len(above)-1].(*ast.IfStmt); ok && f.failing(s) && f.looksForError(i.Cond) {
		last := s.Results[len(s.Results)-1]
		silent := string(f.text[f.file][f.offset(s.Pos()):f.offset(last.Pos())])
		f.add(s, f.short(s), shorten(silent+"nil"), f.around(s, "if mutant.On("+number+") { "+silent+"nil }; ", "")...)
	}
}

// looksForError reports whether cond has a part such as err != nil.
func (f *finder) looksForError(cond ast.Expr) (found bool) {
	ast.Inspect(cond, func(n ast.Node) bool {
		b, ok := n.(*ast.BinaryExpr)
		found = found || ok && b.Op == token.NEQ && f.info.Types[b.Y].IsNil() && types.Identical(f.info.TypeOf(b.X), types.Universe.Lookup("error").Type())
		return !found
	})
	return found
}
