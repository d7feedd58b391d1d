package embedded

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

// TestNothingIsAcknowledgedIntoAFileThatIsGone takes files away from a DB, and gives
// them back.
func TestNothingIsAcknowledgedIntoAFileThatIsGone(t *testing.T) {
	was := slog.Default()
	defer slog.SetDefault(was)
	for _, tt := range []struct {
		name  string
		files []string
		after time.Duration
	}{
		{"all", []string{"ringback.db", "ringback.db-wal", "ringback.db-shm", "ringback.lock", "ringback.lock-journal"}, 0},
		{"the database", []string{"ringback.db"}, 0},
		{"its log", []string{"ringback.db-wal"}, filesCheckInterval},
		{"the lock", []string{"ringback.lock"}, filesCheckInterval},
	} {
		for _, replaced := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				var log bytes.Buffer
				slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
				dir, aside := t.TempDir(), t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					db := fixture{openTest(t, dir, Options{})}
					if err := db.put("1", "1", ""); err != nil {
						t.Fatal(err)
					}
					for _, name := range tt.files {
						if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil {
							t.Fatal(err)
						}
						if replaced {
							if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
								t.Fatal(err)
							}
						}
					}
					time.Sleep(tt.after) // of the bubble's clock
					for range 2 {
						if err := db.put("2", "1", ""); !errors.Is(err, ErrMoved) || !errors.Is(err, storage.ErrUnavailable) {
							t.Errorf("Put = %v, want %v", err, ErrMoved)
						}
						if err := db.send(); !errors.Is(err, ErrMoved) {
							t.Errorf("Send = %v, want %v", err, ErrMoved)
						}
					}
					if n := strings.Count(log.String(), `"level":"ERROR"`); n != 1 || !strings.Contains(log.String(), ErrMoved.Error()) {
						t.Errorf("%d lines of errors, want one about the file:\n%s", n, &log)
					}
					if runtime.GOOS == "linux" || runtime.GOOS == "darwin" {
						if second, err := Open(t.Context(), dir, Options{}); !errors.Is(err, errInUse) {
							t.Errorf("a second DB beside it: %v, %v, want %v", second, err, errInUse)
						}
					}
					for _, name := range tt.files {
						if err := os.Rename(filepath.Join(aside, name), filepath.Join(dir, name)); err != nil {
							t.Fatal(err)
						}
					}
					if err := errors.Join(db.put("2", "1", ""), db.send()); err != nil {
						t.Errorf("once the file is back: %v", err)
					}
					wantWaiting(t, db.DB, 1)
				})
			})
		}
	}
}
