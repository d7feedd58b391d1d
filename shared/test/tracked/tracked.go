// Package tracked shows tests the repository as git has it, so that a profile, an
// editor's copy or notes that lie in the tree make no test fail.
package tracked

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
)

// Files returns the files below root that git tracks, in their present state.
// Where root is not the root of a clone, or git is missing, it returns all files.
func Files(root string) fs.FS {
	tree := files{FS: os.DirFS(root), names: map[string]bool{".": true}}
	list, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	names := bytes.Split(list, []byte{0})
	if err != nil || !slices.ContainsFunc(names, func(name []byte) bool { return string(name) == "go.mod" }) {
		return tree.FS
	}
	os.ReadFile(filepath.Join(root, ".git", "index")) // go test keeps no result of before a git add
	for _, name := range names {
		for name := string(name); !tree.names[name]; name = path.Dir(name) {
			tree.names[name] = true
		}
	}
	return tree
}

// files is a tree of which folders list only some names.
type files struct {
	fs.FS
	names map[string]bool // files and their folders
}

// ReadDir makes files an fs.ReadDirFS, by which fs.WalkDir and fs.Glob go.
func (f files) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(f.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !f.names[path.Join(name, e.Name())] }), err
}
