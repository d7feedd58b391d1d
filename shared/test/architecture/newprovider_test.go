package architecture

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ringback/shared/test/proofs"
)

// The README's steps to add a provider are done in a copy of the repository,
// which must build then and pass the tests that judge providers and the
// template.
func TestReadmeAddsAProvider(t *testing.T) {
	if !proofs.Full() {
		t.Skip("builds a copy of the repository, for RINGBACK_PROOFS=full")
	}
	copied := t.TempDir()
	copyRepository(t, copied)
	for _, s := range providerSteps(t) {
		s.do(t, copied)
	}
	for _, args := range [][]string{
		{"vet", "./shared/provider/...", "./functions/pigeon"},
		{"test", "-vet=off", "./shared/provider/all", "./shared/provider/pigeon"},
		{"test", "-vet=off", "-short", "-run", "Each|Routing|Makefile|Import|Folder|Top", "./shared/test/template", "./shared/test/architecture", "./shared/console"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = copied
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CI=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("with the README's provider, go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	cmd := exec.CommandContext(t.Context(), "gofmt", "-l", "shared/provider", "functions/pigeon")
	cmd.Dir = copied
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt would change what the README says to write: %s %v", out, err)
	}
}

// copyRepository copies all files of the house.
func copyRepository(t *testing.T, to string) {
	t.Helper()
	err := eachFile(repository, func(name string) error {
		if strings.HasPrefix(path.Base(name), ".") && path.Dir(name) == "." {
			return nil
		}
		b, err := fs.ReadFile(repository, name)
		if err != nil {
			return err
		}
		return write(filepath.Join(to, filepath.FromSlash(name)), b)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// A step writes a block of the README into a file: as the whole of it, or below
// the one line that begins with a text.
type step struct{ file, below, block string }

var stepForm = regexp.MustCompile("(?ms)`([^`\n]+)`(?:, below (`+)([^\n]+?)`+)?:\n\n```\\w+\n(.*?)^```\n")

// providerSteps reads the steps of the section.
func providerSteps(t *testing.T) (steps []step) {
	t.Helper()
	readme, err := fs.ReadFile(repository, "README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## Add a provider\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range stepForm.FindAllStringSubmatch(section, -1) {
		steps = append(steps, step{file: m[1], below: m[3], block: m[4]})
	}
	if blocks := strings.Count(section, "\n```") / 2; !found || len(steps) < 8 || len(steps) != blocks {
		t.Fatalf("the README says how to add a provider in %d steps of %d blocks, want 8 or more and each to name its file", len(steps), blocks)
	}
	return steps
}

func (s step) do(t *testing.T, root string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(s.file))
	if s.below == "" {
		if _, err := os.Stat(file); err == nil {
			t.Fatalf("%s is there already", s.file)
		}
		if err := write(file, []byte(s.block)); err != nil {
			t.Fatal(err)
		}
		return
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	places := 0
	for line := range strings.Lines(string(b)) {
		out.WriteString(line)
		if strings.HasPrefix(strings.TrimSpace(line), s.below) {
			out.WriteString(s.block)
			places++
		}
	}
	if places != 1 {
		t.Fatalf("%s has %d lines that begin with %q, want 1", s.file, places, s.below)
	}
	if err := write(file, []byte(out.String())); err != nil {
		t.Fatal(err)
	}
}
