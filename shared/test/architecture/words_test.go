package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// privateWords are words that this code once had for itself, each with the
// field's. No identifier of the product has one of them as a part, or is one.
var privateWords = map[string]string{
	"alone": "singleProcess, inline", "anew": "restartedAt", "brake": "maxBacklog", "crowd": "groupCommitMin", "crowded": "concurrencyBackoff",
	"deed": "operation", "doubt": "uncertainBefore, suspectFor", "dropHead": "popHead", "gather": "groupCommitWait", "handOut": "claimAndEnqueue",
	"handedOut": "claimed", "heed": "applyOutcome", "hint": "indexEntry", "hopeless": "shouldDisable", "hops": "selfSends", "horizon": "lookahead",
	"house": "packages", "is": "a name that says what", "leisure": "lazyDelay", "mood": "endpoint", "no": "a name that says what", "nothing": "barrier",
	"of": "a name that says what", "overtime": "scheduleEnd", "pace": "limiter", "patience": "maxQueueWait", "proven": "consentedAt, authenticate",
	"stoodIn": "wasIndexed", "straggler": "lateArrival", "stragglers": "secondPassDelay", "streams": "postings", "tell": "notify", "teller": "notifier",
	"thin": "failuresOnly", "tick": "retryRun", "told": "notified", "tour": "scan", "under": "atGeneration", "walked": "searched",
}

var parts = regexp.MustCompile(`[A-Z]?[a-z0-9]+|[A-Z]+`)

// privateIn returns the private words in an identifier, by themselves or as
// neighbouring parts of it: heedGone holds heed, and handOutDue handOut.
func privateIn(name string) (found []string) {
	p := parts.FindAllString(name, -1)
	for i := range p {
		one := strings.ToLower(p[i])
		if _, ok := privateWords[one]; ok && (len(one) > 2 || name == one) { // errors.Is is the library's
			found = append(found, one)
		}
		if i > 0 {
			if two := strings.ToLower(p[i-1]) + p[i]; privateWords[two] != "" {
				found = append(found, two)
			}
		}
	}
	return found
}

func TestPrivateWordsAreFound(t *testing.T) {
	for name, want := range map[string]string{
		"heedGone": "heed", "handOutDue": "handOut", "is": "is", "isName": "", "offset": "", "nothing": "nothing", "TooManyHints": "", "MaxHint": "hint",
	} {
		if got := strings.Join(privateIn(name), " "); got != want {
			t.Errorf("private words in %s: %q, want %q", name, got, want)
		}
	}
}

// TestProductUsesTheWordsOfTheField looks at each identifier that the product declares.
func TestProductUsesTheWordsOfTheField(t *testing.T) {
	for _, file := range productFiles(t) {
		text, err := fs.ReadFile(repository, file)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			for _, word := range privateIn(id.Name) {
				t.Errorf("%s: %s holds the word %s: want %s", fset.Position(id.Pos()), id.Name, word, privateWords[word])
			}
			return true
		})
	}
}

// productFiles returns the Go files of the product, tests aside.
func productFiles(t *testing.T) (files []string) {
	t.Helper()
	for _, pattern := range []string{"functions/*/*.go", "functions/internal/*/*.go", "shared/*/*.go", "shared/provider/*/*.go", "shared/app/*/*.go"} {
		found, err := fs.Glob(repository, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			if !strings.HasSuffix(file, "_test.go") && !strings.Contains(file, "/examples/") {
				files = append(files, file)
			}
		}
	}
	if len(files) < 100 {
		t.Fatalf("%d files, want those of the whole product", len(files))
	}
	return files
}
