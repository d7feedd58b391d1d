package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

const module = "ringback/"

// A source is a package as its author left it, with types.
type source struct {
	target
	fset     *token.FileSet
	files    []*ast.File
	text     map[string][]byte // by the file's full name
	clause   map[string]int    // where its package clause ends
	info     *types.Info
	importer types.Importer
}

// load reads the packages of targets. What they import is compiled, not read.
func load(ctx context.Context, root string, targets []target) ([]*source, error) {
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles", switches}
	for _, t := range targets {
		args = append(args, module+t.folder)
	}
	listing, err := goCommand(ctx, root, args...)
	if err != nil {
		return nil, err
	}
	type listed struct {
		ImportPath, Export, Dir string
		GoFiles                 []string
	}
	packages := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(listing)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		packages[p.ImportPath] = p
	}
	compiled := func(name string) (io.ReadCloser, error) { return os.Open(packages[name].Export) }
	var sources []*source
	for _, t := range targets {
		s := &source{target: t, fset: token.NewFileSet(), text: map[string][]byte{}, clause: map[string]int{}, info: &types.Info{
			Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
		}}
		s.importer = importer.ForCompiler(s.fset, "gc", compiled)
		p := packages[module+t.folder]
		for _, name := range p.GoFiles {
			name = filepath.Join(p.Dir, name)
			if s.text[name], err = os.ReadFile(name); err != nil {
				return nil, err
			}
		}
		if s.files, err = s.check(s.text, s.info); err != nil {
			return nil, err
		}
		for _, f := range s.files {
			at := s.fset.Position(f.Name.End())
			s.clause[at.Filename] = at.Offset
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// check parses text and returns its files, or why the package does not compile.
func (s *source) check(text map[string][]byte, info *types.Info) (files []*ast.File, err error) {
	for name, b := range text {
		f, err := parser.ParseFile(s.fset, name, b, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *ast.File) int {
		return cmp.Compare(s.fset.Position(a.Pos()).Filename, s.fset.Position(b.Pos()).Filename)
	})
	_, err = (&types.Config{Importer: s.importer}).Check(module+s.folder, s.fset, files, info)
	return files, err
}

func goCommand(ctx context.Context, root string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %.2000s", args[0], err, stderr.Bytes())
	}
	return out, nil
}
