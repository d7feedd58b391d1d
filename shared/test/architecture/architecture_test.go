package architecture

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"ringback/shared/test/tracked"
)

// repository is what git tracks of the tree.
var repository = tracked.Files("../../..")

func TestImportsPointOneWay(t *testing.T) {
	report(t, repository, wrongImports)
}

func TestTopLevelHoldsNothingElse(t *testing.T) {
	report(t, repository, wrongTopLevel)
}

func TestFoldersSayWhatTheyHold(t *testing.T) {
	report(t, repository, wrongFolders)
}

func TestNoFileNamesAPathOfTheMachineThatBuiltIt(t *testing.T) {
	report(t, repository, machinePaths)
}

// TestRulesCanFail breaks each rule in a small tree.
func TestRulesCanFail(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule rule
		file string
		text string // a Go file if it begins with import
		want string // a part of the only complaint; empty: there is none
	}{
		{"a main with its own provider", wrongImports, "functions/direct/main.go", `import "ringback/shared/provider/direct"`, ""},
		{"a main with another's provider", wrongImports, "functions/direct/main.go", `import "ringback/shared/provider/smartbots"`, "not among"},
		{"a main of a new provider", wrongImports, "functions/pigeon/main.go", `import "ringback/shared/provider/pigeon"`, ""},
		{"a main with the embedded backend", wrongImports, "functions/worker/main.go", `import "ringback/shared/embedded"`, "not among"},
		{"the local runner with both backends", wrongImports, "functions/local/main.go", `import ("ringback/shared/embedded"; "ringback/shared/cloud")`, ""},
		{"a main with the API", wrongImports, "functions/worker/main.go", `import "ringback/shared/api"`, "not among"},
		{"a main with the console", wrongImports, "functions/direct/main.go", `import "ringback/shared/console"`, "not among"},
		{"the API's main with the API", wrongImports, "functions/api/main.go", `import "ringback/shared/api"`, ""},
		{"app with a backend", wrongImports, "shared/app/app.go", `import "ringback/shared/cloud"`, "not among"},
		{"app with the API", wrongImports, "shared/app/app.go", `import "ringback/shared/api"`, "not among"},
		{"app with config", wrongImports, "shared/app/app.go", `import "ringback/shared/config"`, ""},
		{"the API with the providers", wrongImports, "shared/api/api.go", `import "ringback/shared/provider/all"`, "not among"},
		{"the API with config", wrongImports, "shared/api/api.go", `import "ringback/shared/config"`, "not among"},
		{"the console with app", wrongImports, "shared/console/console.go", `import "ringback/shared/app"`, "not among"},
		{"embedded with config", wrongImports, "shared/embedded/file.go", `import "ringback/shared/config"`, "not among"},
		{"a provider with another", wrongImports, "shared/provider/direct/direct.go", `import "ringback/shared/provider/smartbots"`, "not among"},
		{"a provider with a helper", wrongImports, "shared/provider/pigeon/pigeon.go", `import "ringback/shared/provider/form"`, ""},
		{"a helper with a provider", wrongImports, "shared/provider/form/form.go", `import "ringback/shared/provider/direct"`, "not among"},
		{"the list of providers", wrongImports, "shared/provider/all/all.go", `import "ringback/shared/provider/pigeon"`, ""},
		{"a provider with egress", wrongImports, "shared/provider/direct/direct.go", `import "ringback/shared/egress"`, "not among"},
		{"the contract with a provider", wrongImports, "shared/provider/provider.go", `import "ringback/shared/provider/direct"`, "not among"},
		{"the contract with gateway", wrongImports, "shared/provider/provider.go", `import "ringback/shared/gateway"`, "not among"},
		{"a provider with gateway", wrongImports, "shared/provider/direct/direct.go", `import "ringback/shared/gateway"`, "not among"},
		{"a provider with the contract", wrongImports, "shared/provider/direct/direct.go", `import "ringback/shared/provider"`, ""},
		{"storage with gateway", wrongImports, "shared/storage/store.go", `import "ringback/shared/gateway"`, "not among"},
		{"embedded with gateway", wrongImports, "shared/embedded/embedded.go", `import "ringback/shared/gateway"`, "not among"},
		{"cloud with gateway", wrongImports, "shared/cloud/cloud.go", `import "ringback/shared/gateway"`, "not among"},
		{"gateway with a provider", wrongImports, "shared/gateway/gateway.go", `import "ringback/shared/provider/direct"`, "not among"},
		{"gateway with config", wrongImports, "shared/gateway/gateway.go", `import "ringback/shared/config"`, "not among"},
		{"gateway with control", wrongImports, "shared/gateway/gateway.go", `import "ringback/shared/control"`, "not among"},
		{"control with gateway", wrongImports, "shared/control/control.go", `import "ringback/shared/gateway"`, ""},
		{"control with groups", wrongImports, "shared/control/control.go", `import "ringback/shared/groups"`, "not among"},
		{"control with history", wrongImports, "shared/control/control.go", `import "ringback/shared/history"`, "not among"},
		{"groups with transfer", wrongImports, "shared/groups/groups.go", `import "ringback/shared/transfer"`, "not among"},
		{"app with control", wrongImports, "shared/app/app.go", `import "ringback/shared/control"`, "not among"},
		{"storage with its test helpers", wrongImports, "shared/storage/store.go", `import "ringback/shared/storage/storagetest"`, "not among"},
		{"gateway with one more module", wrongImports, "shared/gateway/core.go", `import "github.com/google/uuid"`, "not among"},
		{"gateway with a module of its list", wrongImports, "shared/gateway/core.go", `import "golang.org/x/sync/errgroup"`, ""},
		{"egress with gateway", wrongImports, "shared/egress/egress.go", `import "ringback/shared/gateway"`, "not among"},
		{"the SDK outside of cloud", wrongImports, "shared/app/app.go", `import "github.com/aws/aws-sdk-go-v2/aws"`, "not among"},
		{"the SDK in a test outside of cloud", wrongImports, "shared/app/app_test.go", `import "github.com/aws/aws-sdk-go-v2/service/sqs"`, ""},
		{"the SDK in cloud", wrongImports, "shared/cloud/queue.go", `import "github.com/aws/aws-sdk-go-v2/service/sqs"`, ""},
		{"the SDK in a main", wrongImports, "functions/worker/main.go", `import "github.com/aws/aws-sdk-go-v2/service/sqs"`, "not among"},
		{"SQLite outside of embedded", wrongImports, "functions/local/main.go", `import "modernc.org/sqlite"`, "not among"},
		{"SQLite in embedded", wrongImports, "shared/embedded/conn.go", `import "modernc.org/sqlite"`, ""},
		{"cloud with embedded", wrongImports, "shared/cloud/cloud.go", `import "ringback/shared/embedded"`, "knows no other"},
		{"a test of cloud with embedded", wrongImports, "shared/cloud/cloud_test.go", `import "ringback/shared/embedded"`, "knows no other"},
		{"a test of embedded with cloud's helper", wrongImports, "shared/embedded/file_test.go", `import "ringback/shared/cloud/sqstest"`, "knows no other"},
		{"a test of cloud with its own helper", wrongImports, "shared/cloud/cloud_test.go", `import "ringback/shared/cloud/sqstest"`, ""},
		{"cloud with its own test helper", wrongImports, "shared/cloud/cloud.go", `import "ringback/shared/cloud/sqstest"`, "not among"},
		{"a test that uses more than its folder may", wrongImports, "shared/app/app_test.go", `import "ringback/shared/api"`, ""},
		{"a folder that is not listed", wrongImports, "shared/attic/attic.go", `import "ringback/shared/gateway"`, "not among"},
		{"a folder that is not listed, with the standard library", wrongImports, "shared/attic/attic.go", `import "net/http"`, ""},
		{"gateway with what tests it", wrongImports, "shared/gateway/gateway.go", `import "ringback/shared/test/simulation"`, "the product"},
		{"a main with what measures it", wrongImports, "functions/local/main.go", `import "ringback/shared/bench/bill"`, "the product"},
		{"a provider with what explains it", wrongImports, "shared/provider/direct/direct.go", `import "ringback/shared/docs"`, "the product"},
		{"app with an example", wrongImports, "shared/app/app.go", `import "ringback/shared/examples"`, "the product"},
		{"a test of a main with what explains it", wrongImports, "functions/local/tour_test.go", `import "ringback/shared/docs"`, ""},
		{"what measures with what measures", wrongImports, "shared/bench/scale/ledger.go", `import "ringback/shared/bench/quantile"`, ""},
		{"cgo", wrongImports, "shared/egress/egress.go", `import "C"`, "without cgo"},
		{"a file that is not Go", wrongImports, "shared/egress/egress.go", "imports", "parse"},

		{"a folder of the house", wrongTopLevel, "events/direct-sent.json", "{}", ""},
		{"a file with a dot", wrongTopLevel, ".gitignore", "", ""},
		{"one more folder", wrongTopLevel, "scripts/deploy", "", "scripts"},
		{"one more file", wrongTopLevel, "NOTES.md", "", "NOTES.md"},

		{"a folder by what it holds", wrongFolders, "shared/egress/egress.go", "", ""},
		{"utilities", wrongFolders, "shared/egress/utils/utils.go", "", "utils"},
		{"helpers", wrongFolders, "shared/helpers/a.go", "", "helpers"},
		{"common", wrongFolders, "functions/common/a.go", "", "common"},

		{"a path on the web", machinePaths, "README.md", "https://gateway.example/home/index", ""},
		{"a home folder", machinePaths, "README.md", "see /ho" + "me/ada/ringback", "README.md:1"},
		{"root's home folder", machinePaths, "shared/a.go", "// a\n// in /ro" + "ot/go/pkg", "shared/a.go:2"},
		{"a folder of a Mac", machinePaths, "events/a.json", `{"a":"/Us` + `ers/ada/a"}`, "events/a.json:1"},
		{"a work folder", machinePaths, ".ci/run", "cd /wo" + "rk/main", ".ci/run:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.text
			if strings.HasPrefix(text, "import ") {
				text = "package p\n" + text
			}
			got, err := tt.rule(fstest.MapFS{tt.file: {Data: []byte(text)}})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("complaints %q, want one with %q or none if that is empty", got, tt.want)
			}
		})
	}
}

// A rule returns a complaint for each thing in a tree that breaks it.
type rule func(tree fs.FS) ([]string, error)

func report(t *testing.T, tree fs.FS, broken rule) {
	t.Helper()
	complaints, err := broken(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range complaints {
		t.Error(c)
	}
}

// wrongImports complains of imports that house does not allow.
func wrongImports(tree fs.FS) (complaints []string, err error) {
	err = eachFile(tree, func(name string) error {
		if path.Ext(name) != ".go" || strings.Contains(name, "/testdata/") {
			return nil // the go command does not build it
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			complaints = append(complaints, fmt.Sprintf("parse %v", err))
			return nil
		}
		for _, spec := range f.Imports {
			what, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := wrongImport(path.Dir(name), what, strings.HasSuffix(name, "_test.go")); why != "" {
				complaints = append(complaints, fmt.Sprintf("%s imports %s: %s", name, what, why))
			}
		}
		return nil
	})
	return complaints, err
}

// topLevel is all that stands there, except names with a dot.
var topLevel = []string{"functions", "shared", "template.yaml", "samconfig.toml", "events", "go.mod", "go.sum", "README.md", "LICENSE"}

func wrongTopLevel(tree fs.FS) (complaints []string, err error) {
	entries, err := fs.ReadDir(tree, ".")
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			complaints = append(complaints, fmt.Sprintf("%s does not belong at the top: want only %s", name, strings.Join(topLevel, ", ")))
		}
	}
	return complaints, err
}

// vague are names that do not say what a folder holds.
var vague = []string{"util", "utils", "common", "types", "models", "handlers", "helpers"}

func wrongFolders(tree fs.FS) (complaints []string, err error) {
	err = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && slices.Contains(vague, e.Name()) {
			complaints = append(complaints, fmt.Sprintf("folder %s does not say what it holds", name))
		}
		return nil
	})
	return complaints, err
}

// machinePath is a file of a machine's user, or of one that builds.
var machinePath = regexp.MustCompile(`(?:^|[^\w.-])/(?:work|root|home|Users)/\w`)

func machinePaths(tree fs.FS) (complaints []string, err error) {
	err = eachFile(tree, func(name string) error {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if at := machinePath.FindIndex(text); at != nil {
			line := 1 + strings.Count(string(text[:at[0]+1]), "\n")
			complaints = append(complaints, fmt.Sprintf("%s:%d names a path of one machine", name, line))
		}
		return nil
	})
	return complaints, err
}

// eachFile calls f for the files of tree that are part of the house.
func eachFile(tree fs.FS, f func(name string) error) error {
	return fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if wrong, _ := wrongTopLevel(fstest.MapFS{name: {}}); len(wrong) > 0 || !e.Type().IsRegular() {
			return nil // what stands wrongly at the top is another rule's
		}
		return f(name)
	})
}
