package architecture

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringback/shared/test/proofs"
)

// An edit inserts text below the one line of a file that begins with a text,
// white space aside.
type edit struct{ file, below, text string }

// pigeonEdits are what Pigeon Post changes in files that the repository has,
// besides the resources of testdata/pigeon.yaml. Its own files are in
// testdata/pigeon.
var pigeonEdits = []edit{
	{"shared/provider/all/all.go", `"ringback/shared/provider/direct"`, "\t\"ringback/shared/provider/pigeon\"\n"},
	{"shared/provider/all/all.go", `"direct":`, "\t\t\"pigeon\":       pigeon.Provider{},\n"},
	{"README.md", "| `ServerErrors` |", "| `PigeonErrors` | `/readyz` | The function of Pigeon Post's callbacks crashed, timed out or could not start. | Read its log. |\n"},
	{"shared/console/files/facts.json", `"routing_keys": {`, "    \"pigeon\": { \"loft\": \"name of the loft\", \"label\": \"label of the callback URL that was called\" },\n"},
	{"shared/console/files/facts.json", `"default_event_types": {`, "    \"pigeon\": [\"*\"],\n"},
	{"shared/console/files/parts/sources.js", "export const providers = [", "  [\"pigeon\", \"Pigeon Post\"],\n"},
}

// TestPigeonPostIsAddedAsTheReadmeSays adds Pigeon Post to a copy of the
// repository, which must build then and pass the tests that judge providers and
// the template.
func TestPigeonPostIsAddedAsTheReadmeSays(t *testing.T) {
	if !proofs.Full() {
		t.Skip("builds a copy of the repository, for RINGBACK_PROOFS=full")
	}
	copied := t.TempDir()
	copyFiles(t, repository, copied)
	resources, err := os.ReadFile("testdata/pigeon.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range append(slices.Clone(pigeonEdits), edit{"template.yaml", "DisableExecuteApiEndpoint:", string(resources)}) {
		e.do(t, copied)
	}
	copyFiles(t, os.DirFS("testdata/pigeon"), copied)
	for _, args := range [][]string{
		{"vet", "./shared/provider/...", "./functions/pigeon"},
		{"test", "-vet=off", "./shared/provider/all", "./shared/provider/pigeon"},
		{"test", "-vet=off", "-short", "-run", "Each|Routing|Makefile|Import|Folder|Top", "./shared/test/template", "./shared/test/architecture", "./shared/console"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = copied
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CI=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("with Pigeon Post, go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// copyFiles copies the files of tree, except hidden ones at its top.
func copyFiles(t *testing.T, tree fs.FS, to string) {
	t.Helper()
	err := eachFile(tree, func(name string) error {
		if strings.HasPrefix(path.Base(name), ".") && path.Dir(name) == "." {
			return nil
		}
		b, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (e edit) do(t *testing.T, root string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(e.file))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	places := 0
	for line := range strings.Lines(string(b)) {
		out.WriteString(line)
		if strings.HasPrefix(strings.TrimSpace(line), e.below) {
			out.WriteString(e.text)
			places++
		}
	}
	if places != 1 {
		t.Fatalf("%s has %d lines that begin with %q, want 1", e.file, places, e.below)
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
