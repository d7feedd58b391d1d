package architecture

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// The functions that take callbacks start in a provider's way: what they import,
// and what that imports, has to be read, initialized and paid for at each cold
// start. So it is listed, whole.
var (
	ingests = []string{"functions/smartbots", "functions/tencentchat", "functions/direct"}

	ingestHouse = []string{
		"functions/internal/deployed", "shared/app", "shared/circuit", "shared/cloud", "shared/config", "shared/egress", "shared/gateway", "shared/keyring", "shared/ident", "shared/limit", "shared/message", "shared/limiter", "shared/provider", "shared/schedule", "shared/storage",
		"shared/provider/form", "shared/provider/item", "shared/provider/jsonscan",
	}
	ingestModules = []string{
		"code.dny.dev/ssrf",                   // egress, by which the gateway attempts
		"github.com/aws/aws-lambda-go/events", // what API Gateway hands over
		"github.com/aws/aws-lambda-go/lambda", // Runtime API
		"github.com/aws/aws-sdk-go-v2/aws",
		"github.com/aws/aws-sdk-go-v2/aws/retry",
		"github.com/aws/aws-sdk-go-v2/service/dynamodb",
		"github.com/aws/aws-sdk-go-v2/service/dynamodb/types",
		"github.com/aws/aws-sdk-go-v2/service/secretsmanager", // the key ring
		"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types",
		"github.com/aws/aws-sdk-go-v2/service/sqs",
		"github.com/aws/aws-sdk-go-v2/service/sqs/types",
		"github.com/caarlos0/env/v11",        // config
		"github.com/hashicorp/golang-lru/v2", // sources that are known
		"github.com/klauspost/compress/zstd", // rows that are packed
		"github.com/standard-webhooks/standard-webhooks/libraries/go",
		"golang.org/x/sync/errgroup",
		"golang.org/x/sync/semaphore",
		"golang.org/x/sync/singleflight",
	}
)

func TestIngestImportsNothingThatItDoesNotUse(t *testing.T) {
	report(t, repository, wrongIngest)
	for _, main := range ingests {
		if got, err := reached(repository, main); err != nil || !slices.Contains(got, "shared/gateway") {
			t.Errorf("%s reaches %q, %v; want shared/gateway among it", main, got, err)
		}
	}
}

func TestIngestThatImportsMoreIsSeen(t *testing.T) {
	own := "package main\nimport \"ringback/shared/app\"\n"
	for _, tt := range []struct{ name, file, text, want string }{
		{"nothing more", "shared/app/app.go", `import "ringback/shared/gateway"`, ""},
		{"its own provider", "functions/direct/b.go", `import "ringback/shared/provider/direct"`, ""},
		{"another's provider", "functions/direct/b.go", `import "ringback/shared/provider/smartbots"`, "provider/smartbots"},
		{"every provider", "shared/app/app.go", `import "ringback/shared/provider/all"`, "shared/provider/all"},
		{"the API behind another package", "shared/app/app.go", `import "ringback/shared/api"`, "shared/api"},
		{"control behind another package", "shared/app/app.go", `import "ringback/shared/control"`, "shared/control"},
		{"history behind the gateway", "shared/app/app.go", `import "ringback/shared/history"`, "shared/history"},
		{"groups behind the gateway", "shared/app/app.go", `import "ringback/shared/groups"`, "shared/groups"},
		{"transfer behind the gateway", "shared/app/app.go", `import "ringback/shared/transfer"`, "shared/transfer"},
		{"SQLite", "shared/app/app.go", `import _ "modernc.org/sqlite"`, "modernc.org/sqlite"},
		{"the SDK's configuration", "shared/app/app.go", `import "github.com/aws/aws-sdk-go-v2/config"`, "aws-sdk-go-v2/config"},
		{"a module that a test imports", "shared/app/app_test.go", `import "pgregory.net/rapid"`, ""},
		{"the standard library", "shared/app/app.go", `import "net/http"`, ""},
	} {
		tree := fstest.MapFS{
			"functions/direct/main.go": {Data: []byte(own)},
			tt.file:                    {Data: []byte("package p\n" + tt.text)},
		}
		got, err := wrongIngest(tree)
		if err != nil || tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: complaints %q, %v; want one with %q or none if that is empty", tt.name, got, err, tt.want)
		}
	}
}

// wrongIngest complains of what the functions that take callbacks reach and
// their lists do not hold.
func wrongIngest(tree fs.FS) (complaints []string, err error) {
	for _, main := range ingests {
		all, err := reached(tree, main)
		if err != nil {
			return nil, err
		}
		own := "shared/provider/" + path.Base(main)
		for _, what := range all {
			if what != main && what != own && !slices.Contains(ingestHouse, what) && !slices.Contains(ingestModules, what) {
				complaints = append(complaints, fmt.Sprintf("%s links %s, which is not among what takes a callback", main, what))
			}
		}
	}
	return complaints, nil
}

// reached returns the packages of the house that a folder's code imports, and
// theirs, by their folders, and what all of them import of other modules.
func reached(tree fs.FS, folder string) ([]string, error) {
	seen := []string{folder}
	for i := 0; i < len(seen); i++ {
		imports, err := importsOf(tree, seen[i])
		if err != nil {
			return nil, err
		}
		for _, what := range imports {
			ours, is := strings.CutPrefix(what, "ringback/")
			if is {
				what = ours
			}
			first, _, _ := strings.Cut(what, "/")
			if (is || strings.Contains(first, ".")) && !slices.Contains(seen, what) {
				seen = append(seen, what)
			}
		}
	}
	slices.Sort(seen)
	return seen, nil
}

// importsOf returns what the files of a folder import, tests left out; nothing
// if it is no folder of tree.
func importsOf(tree fs.FS, folder string) (imports []string, err error) {
	files, err := fs.Glob(tree, folder+"/*.go")
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		for _, spec := range f.Imports {
			what, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			imports = append(imports, what)
		}
	}
	return imports, err
}

// An event's path needs nothing of what the API does: the functions that take
// callbacks, and the schedule, can write no tenant and no key.
var (
	pathMains = append([]string{"functions/retry"}, ingests...)
	apiHalf   = []string{"shared/control", "shared/history", "shared/groups", "shared/transfer"}
)

func TestPathReachesNoControl(t *testing.T) { report(t, repository, wrongPath) }

func TestPathThatReachesControlIsSeen(t *testing.T) {
	for _, half := range apiHalf {
		tree := fstest.MapFS{
			"functions/retry/main.go": {Data: []byte("package main\nimport \"ringback/shared/gateway\"\n")},
			"shared/gateway/jobs.go":  {Data: []byte("package gateway\nimport \"ringback/" + half + "\"\n")},
		}
		got, err := wrongPath(tree)
		if err != nil || len(got) != 1 || !strings.Contains(got[0], half) {
			t.Errorf("retry with %s behind the gateway: complaints %q, %v; want one", half, got, err)
		}
	}
}

func wrongPath(tree fs.FS) (complaints []string, err error) {
	for _, main := range pathMains {
		all, err := reached(tree, main)
		if err != nil {
			return nil, err
		}
		for _, what := range all {
			if slices.Contains(apiHalf, what) {
				complaints = append(complaints, fmt.Sprintf("%s links %s, which no event's path needs", main, what))
			}
		}
	}
	return complaints, nil
}
