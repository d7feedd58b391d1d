package embedded

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ringback/shared/storage"
)

// TestFilesAreTheirOwnersAlone opens a new file, and one whose files all can read.
func TestFilesAreTheirOwnersAlone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		folder os.FileMode
		umask  int
	}{
		{"a folder of all", 0o777, 0},
		{"a folder that all can read", 0o755, 0o022},
		{"a folder of its own", 0o700, 0o022},
		{"a umask that leaves nothing", 0o700, 0o777},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, tt.folder); err != nil {
				t.Fatal(err)
			}
			for _, files := range []string{"new", "of all"} {
				umask := syscall.Umask(tt.umask)
				db, err := Open(t.Context(), dir, Options{})
				syscall.Umask(umask)
				if err != nil {
					t.Fatal(err)
				}
				mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
				found, err := filepath.Glob(filepath.Join(dir, "*"))
				if err != nil || len(found) < 5 {
					t.Errorf("%s: found %q, %v; want the database, the lock and what SQLite has beside them", files, found, err)
				}
				for _, path := range found {
					if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
						t.Errorf("%s: %s has mode %v, %v; want 0600", files, filepath.Base(path), s.Mode(), err)
					}
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"ringback.db", "ringback.db-wal", "ringback.lock"} { // as after a crash of an older program
					f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE, 0o666)
					if err != nil {
						t.Fatal(err)
					}
					if err := f.Close(); err != nil {
						t.Fatal(err)
					}
					if err := os.Chmod(f.Name(), 0o666); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}
