package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
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

// notYet are packages with words that are still to go. A word that is gone from
// one must go from here.
var notYet = map[string][]string{
	"functions/local": {"alone", "mood", "of", "pace", "tick"},
	"shared/api":      {"of", "pace", "proven"},
	"shared/app":      {"alone"},
	"shared/control":  {"is", "no", "of", "tell"},
	"shared/embedded": {"gather"},
	"shared/gateway":  {"handedOut", "hops", "tell", "thin", "under"},
	"shared/groups":   {"of", "tell"},
	"shared/history":  {"of"},
	"shared/limit":    {"gather"},
	"shared/limiter":  {"alone"},
	"shared/transfer": {"nothing", "of", "tour"},
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
	left := map[string][]string{}
	for _, file := range productFiles(t) {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		folder := folderOf(t, file)
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			for _, word := range privateIn(id.Name) {
				left[folder] = append(left[folder], word)
				if !slices.Contains(notYet[folder], word) {
					t.Errorf("%s: %s holds the word %s: want %s", fset.Position(id.Pos()), id.Name, word, privateWords[word])
				}
			}
			return true
		})
	}
	for folder, words := range notYet {
		for _, word := range words {
			if !slices.Contains(left[folder], word) {
				t.Errorf("%s has no %s any more: take it out of notYet", folder, word)
			}
		}
	}
}

// folderOf returns the folder of a file, from the root of the repository.
func folderOf(t *testing.T, file string) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
}

// productFiles returns the Go files of the product, tests aside.
func productFiles(t *testing.T) (files []string) {
	t.Helper()
	for _, pattern := range []string{"../../../functions/*/*.go", "../../../functions/internal/*/*.go", "../../*/*.go", "../../provider/*/*.go", "../../app/*/*.go"} {
		found, err := filepath.Glob(pattern)
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
