package architecture

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// TestReadmeNamesOnlyTestsThatExist keeps the table of promises usable. Whether a
// test shows its promise, shared/bench/mutants and TestPlantedBugsAreFound ask.
func TestReadmeNamesOnlyTestsThatExist(t *testing.T) {
	report(t, repository, wrongPromises)
}

var (
	testName = regexp.MustCompile("`(Test[A-Za-z0-9_]*|Fuzz[A-Za-z0-9_]*|Benchmark[A-Za-z0-9_]*)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]*)\(\w+ (?:\*testing\.|testing\.TB)`)
)

// wrongPromises complains of rows in the README's table of promises that name no
// test, and of tests named anywhere in it that there are not.
func wrongPromises(tree fs.FS) (complaints []string, err error) {
	text, err := fs.ReadFile(tree, "README.md")
	if err != nil {
		return nil, err
	}
	tests, err := testsOf(tree)
	if err != nil {
		return nil, err
	}
	for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
		if !tests[m[1]] {
			complaints = append(complaints, fmt.Sprintf("README.md names %s, which there is not", m[1]))
		}
	}
	_, table, found := strings.Cut(string(text), "| promise | test |\n")
	if !found {
		return append(complaints, "README.md has no table of promises"), nil
	}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if !testName.MatchString(line) && !strings.HasPrefix(line, "|---") {
			complaints = append(complaints, fmt.Sprintf("README.md promises without a test: %s", strings.TrimSpace(line)))
		}
	}
	return complaints, nil
}

// testsOf returns the names of all tests of a tree.
func testsOf(tree fs.FS) (map[string]bool, error) {
	names := map[string]bool{}
	err := eachFile(tree, func(name string) error {
		if !strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/testdata/") || path.Dir(name) == "." {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	return names, err
}

// TestReadmeThatNamesOtherTestsIsSeen breaks the rule in small READMEs.
func TestReadmeThatNamesOtherTestsIsSeen(t *testing.T) {
	const head, test = "| promise | test |\n|---|---|\n", "package p\nfunc TestKept(t *testing.T) {}\n"
	for _, tt := range []struct {
		name, readme, want string
	}{
		{"a promise with its test", head + "| a | `TestKept` |\n\n", ""},
		{"a promise with a test that there is not", head + "| a | `TestKept`, `TestLost` |\n\n", "TestLost"},
		{"a promise without a test", head + "| a | trust us |\n| b | `TestKept` |\n\n", "without a test"},
		{"a test that there is not, elsewhere", head + "| a | `TestKept` |\n\nSee `TestGone`.\n", "TestGone"},
		{"no table", "nothing", "no table"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := wrongPromises(fstest.MapFS{"README.md": {Data: []byte(tt.readme)}, "shared/p/p_test.go": {Data: []byte(test)}})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("complaints %q, want one with %q or none if that is empty", got, tt.want)
			}
		})
	}
}
