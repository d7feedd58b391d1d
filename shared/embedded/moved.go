package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"ringback/shared/storage"
)

// ErrMoved is the error of writes while a file is not where it was opened.
var ErrMoved = fmt.Errorf("the database file was moved or removed: %w", storage.ErrUnavailable)

// files are the open files of a folder. If somebody removes or replaces one, what is written to the open file is gone
// when the process ends, so nothing is written then. The process keeps running, as it alone still has the earlier
// writes, and writes again once the file is back.
type files struct {
	all       []openFile // the database's is the first
	checkedAt time.Time
	moved     bool
}

type openFile struct {
	path string
	file os.FileInfo
}

var errInUse = errors.New("another process uses this folder")

const filesCheckInterval = time.Second

func findFiles(dir string) (*files, error) {
	f := &files{}
	for _, name := range [...]string{"ringback.db", "ringback.db-wal", "ringback.lock"} {
		path := filepath.Join(dir, name)
		s, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		f.all = append(f.all, openFile{path, s})
	}
	return f, nil
}

// check is called before each commit, by the writer alone. It checks the database file each time, which takes a
// microsecond or two, and the others once a second.
func (f *files) check() error {
	toCheck, now := f.all[:1], time.Now()
	if f.moved || now.Sub(f.checkedAt) >= filesCheckInterval {
		toCheck, f.checkedAt = f.all, now
	}
	for _, p := range toCheck {
		if s, err := os.Stat(p.path); err != nil || !os.SameFile(s, p.file) {
			if !f.moved {
				slog.Error("store", "file", p.path, "outcome", "no writes", "why", ErrMoved.Error())
			}
			f.moved = true
			return ErrMoved
		}
	}
	f.moved = false
	return nil
}
