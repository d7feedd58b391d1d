package console_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestModulesImportPartsAndNoPageAnother(t *testing.T) {
	imports, err := readImports(os.DirFS("files"))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range wrongModules(imports) {
		t.Error(wrong)
	}
	for module := range imports {
		if !slices.Contains(reachable(imports, "main.js"), module) {
			t.Errorf("%s is not reached from main.js", module)
		}
	}
}

func TestWrongImportsOfModulesAreFound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"as they should be", map[string]string{
			"main.js": "import { page } from \"./pages/a.js\";\n", "pages/a.js": "import {\n  x,\n} from \"../parts/x.js\";\n", "parts/x.js": "",
		}, nil},
		{"a page imports a page", map[string]string{
			"pages/a.js": "import { b } from \"./b.js\";\n", "pages/b.js": "",
		}, []string{"pages/a.js imports pages/b.js: a page may import parts alone"}},
		{"a part imports a page", map[string]string{
			"parts/a.js": "export { b } from \"../pages/b.js\";\n", "pages/b.js": "",
		}, []string{"parts/a.js imports pages/b.js: a part may import parts alone"}},
		{"a part loads main.js", map[string]string{
			"parts/a.js": "const m = await import(\"../main.js\");\n", "main.js": "",
		}, []string{"parts/a.js imports main.js: a part may import parts alone"}},
		{"a circle of three parts", map[string]string{
			"parts/a.js": "import \"./b.js\";\n", "parts/b.js": "import { c } from \"./c.js\";\n", "parts/c.js": "import { a } from './a.js';\n",
		}, []string{"parts/a.js imports itself through others", "parts/b.js imports itself through others", "parts/c.js imports itself through others"}},
		{"an import of what is not there", map[string]string{
			"parts/a.js": "import { b } from \"./b.js\";\n",
		}, []string{"parts/a.js imports parts/b.js, which does not exist"}},
		{"an import of another host", map[string]string{
			"parts/a.js": "import { b } from \"https://example.com/b.js\";\n",
		}, []string{"parts/a.js imports https://example.com/b.js, which does not exist"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, text := range tt.files {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
			imports, err := readImports(files)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, wrongModules(imports)); diff != "" {
				t.Errorf("wrong imports (-want +got):\n%s", diff)
			}
		})
	}
}

// wrongModules returns what is wrong with the imports of modules, sorted.
func wrongModules(imports map[string][]string) []string {
	var wrong []string
	for module, imported := range imports {
		folder := path.Dir(module)
		for _, name := range imported {
			if _, ok := imports[name]; !ok {
				wrong = append(wrong, module+" imports "+name+", which does not exist")
			} else if folder != "." && path.Dir(name) != "parts" {
				wrong = append(wrong, module+" imports "+name+": a "+strings.TrimSuffix(folder, "s")+" may import parts alone")
			}
		}
		if slices.ContainsFunc(imported, func(name string) bool { return slices.Contains(reachable(imports, name), module) }) {
			wrong = append(wrong, module+" imports itself through others")
		}
	}
	slices.Sort(wrong)
	return wrong
}

// reachable returns a module and all that it imports, directly or not.
func reachable(imports map[string][]string, module string) []string {
	found := []string{module}
	for i := 0; i < len(found); i++ {
		for _, name := range imports[found[i]] {
			if !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	return found
}

// importForm is an import or a re-export of a module, also over several lines or
// while the page runs.
var importForm = regexp.MustCompile(`(?m)(?:^import\b(?:[^;"'(]*\bfrom)?\s*|^export\s*[*{][^;"']*\bfrom\s*|\bimport\(\s*)["']([^"']+)["']`)

// readImports returns the modules that each module of a tree names, relative to
// the root of the tree.
func readImports(files fs.FS) (map[string][]string, error) {
	imports := map[string][]string{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".js" {
			return err
		}
		text, err := fs.ReadFile(files, name)
		imports[name] = nil
		for _, m := range importForm.FindAllStringSubmatch(string(text), -1) {
			target := m[1]
			if strings.HasPrefix(target, ".") {
				target = path.Join(path.Dir(name), target)
			}
			imports[name] = append(imports[name], target)
		}
		return err
	})
	return imports, err
}
