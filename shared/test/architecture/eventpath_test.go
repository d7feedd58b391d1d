package architecture

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goFile is the name of a Go file in prose.
var goFile = regexp.MustCompile(`\b[a-z]+\.go\b`)

// steps returns the files of each numbered line of a text, in order.
func steps(text string) (out [][]string) {
	for line := range strings.Lines(text) {
		number, rest, ok := strings.Cut(strings.TrimSpace(line), ". ")
		if ok && strings.Trim(number, "0123456789") == "" && goFile.MatchString(rest) {
			out = append(out, goFile.FindAllString(rest, -1))
		}
	}
	return out
}

// TestPathOfAnEventIsToldFileByFile compares the path of an event in the comment
// of package gateway with the one in architecture.md, and both with the files.
func TestPathOfAnEventIsToldFileByFile(t *testing.T) {
	const folder = "shared/gateway/"
	text, err := fs.ReadFile(repository, folder+"gateway.go")
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "gateway.go", text, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	comment := f.Doc.Text()
	page, err := fs.ReadFile(repository, "shared/docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	inCode, onPage := steps(comment), steps(string(page))
	if len(inCode) < 10 || !slices.EqualFunc(inCode, onPage, slices.Equal) {
		t.Errorf("the path of an event in gateway.go and in architecture.md differ:\n%v\n%v", inCode, onPage)
	}
	files, err := fs.Glob(repository, folder+"*.go")
	if err != nil {
		t.Fatal(err)
	}
	named := goFile.FindAllString(comment, -1)
	var there []string
	for _, file := range files {
		if name := path.Base(file); !strings.HasSuffix(name, "_test.go") {
			there = append(there, name)
			if name != "gateway.go" && !slices.Contains(named, name) {
				t.Errorf("the comment of package gateway does not name %s", name)
			}
		}
	}
	for _, name := range named {
		if !slices.Contains(there, name) {
			t.Errorf("the comment of package gateway names %s, which is not there", name)
		}
	}
}
