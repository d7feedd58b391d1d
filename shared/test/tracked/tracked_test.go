package tracked

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestUntrackedFilesAreNotSeen(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("git is not on the PATH")
		}
		t.Skip("git is not on the PATH")
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module m\n", "a/b/kept.go": "package b\n", "a/b/note.go": "package b\n", "cover.out": "mode: set\n", "c/note.md": "a note\n",
	} {
		write(t, filepath.Join(root, name), text)
	}
	if got, want := list(t, Files(root)), []string{"a/b/kept.go", "a/b/note.go", "c/note.md", "cover.out", "go.mod"}; !slices.Equal(got, want) {
		t.Errorf("files of a folder that is no clone: %q, want %q", got, want)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "go.mod", "a/b/kept.go"}} {
		if out, err := exec.Command("git", append([]string{"-C", root}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write(t, filepath.Join(root, "a/b/kept.go"), "package c\n")
	tree := Files(root)
	if got, want := list(t, tree), []string{"a/b/kept.go", "go.mod"}; !slices.Equal(got, want) {
		t.Errorf("files of a clone: %q, want %q", got, want)
	}
	if found, err := fs.Glob(tree, "a/*/*.go"); err != nil || !slices.Equal(found, []string{"a/b/kept.go"}) {
		t.Errorf("a/*/*.go: %q, %v; want the tracked one", found, err)
	}
	if text, err := fs.ReadFile(tree, "a/b/kept.go"); err != nil || string(text) != "package c\n" {
		t.Errorf("a tracked file that was changed: %q, %v; want its present text", text, err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// list returns the names of all files of tree, except git's own.
func list(t *testing.T, tree fs.FS) (names []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
