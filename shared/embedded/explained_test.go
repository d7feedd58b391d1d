package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFolderThatCannotBeUsedIsTold stands in the way of the files, each in its own way.
func TestFolderThatCannotBeUsedIsTold(t *testing.T) {
	blocked := func(name string) func(dir string) error {
		return func(dir string) error { return os.Mkdir(filepath.Join(dir, name), 0o700) }
	}
	for _, tt := range []struct {
		name    string
		prepare func(dir string) error
		want    string
	}{
		{"a lock that cannot be opened", blocked("ringback.lock"), "this user may not make files there"},
		{"a database that cannot be opened", blocked("ringback.db"), "this user may not make files there"},
		{"no folder", func(dir string) error { return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)) }, syscall.ENOTDIR.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.prepare(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), dir, Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open = %v, want one line with %q and the folder", err, tt.want)
			}
		})
	}
}
