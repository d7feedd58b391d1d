package app_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/shared/app"
	"ringback/shared/storage"
)

// TestProviderIsAnsweredInTimeWhileTheFileIsLocked has another process hold the
// database for longer, as a backup does. What waits for a file is real time, so the
// callback has less of it than a provider's.
func TestProviderIsAnsweredInTimeWhileTheFileIsLocked(t *testing.T) {
	w := begun(t, &world{dir: t.TempDir(), paused: true})
	_, path := w.smartBots()
	w.chat(path, groupA, "before")

	db, err := sql.Open("sqlite", filepath.Join(w.dir, "ringback.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader("action=group_chat&group_uuid="+groupA+"&message=meanwhile"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	app.Callback(w.g, "smartbots").ServeHTTP(rec, r)
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || !strings.Contains(w.log.String(), context.DeadlineExceeded.Error()) {
		t.Errorf("answered %d %v, want 503 and Retry-After at the deadline:\n%s", rec.Code, rec.Header(), w.log.String())
	}
	if _, err := db.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	w.chat(path, groupA, "after")
	if d, err := w.db.Depth(t.Context(), storage.EventsQueue); err != nil || d.Waiting != 3 {
		t.Errorf("%d messages, %v; want the two that were taken, and once the one that was begun", d.Waiting, err)
	}
}
