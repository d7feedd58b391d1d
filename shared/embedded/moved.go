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

// ErrMoved is what writes fail with while a file is not where it was opened.
var ErrMoved = fmt.Errorf("the database file was moved or removed: %w", storage.ErrUnavailable)

// files are the open files of a folder. Whoever removes or replaces one leaves the open one without a name:
// what is written there is gone when the process ends. So nothing is written then. The process stays, since
// it alone has what was written before, and goes on when the file is back.
type files struct {
	all       []openFile // the database's is the first
	checkedAt time.Time
	moved     bool
}

type openFile struct {
	path string
	file os.FileInfo
}

var errInUse = errors.New("another runner uses this folder")

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

// check is called before each commit, and by nobody else. It looks at the database each time, which takes one
// microsecond or two, at the others once a second.
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
