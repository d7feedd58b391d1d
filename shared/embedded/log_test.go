package embedded

import (
	"bytes"
	"database/sql/driver"
	"path/filepath"
	"testing"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestLogShrinksWhenALongReaderIsGone has one from outside, such as a backup.
func TestLogShrinksWhenALongReaderIsGone(t *testing.T) {
	if !proofs.Full() {
		t.Skip("writes 100 MB, for RINGBACK_PROOFS=full")
	}
	dir := t.TempDir()
	db := openTest(t, dir, Options{Relaxed: true})
	n := 0
	put := func() {
		n++
		mustPut(t, db, storage.Row{Key: numbered(n), Rev: "r", Body: bytes.Repeat([]byte{1}, 200<<10)}, "")
	}
	put()
	reader, err := openConn(t.Context(), filepath.Join(dir, "ringback.db"), lockCache)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"BEGIN", "SELECT count(*) FROM rows"} {
		if err := reader.each(text, func([]driver.Value) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for db.WALBytes() < 2*maxWALBytes {
		put()
	}
	if err := reader.close(); err != nil {
		t.Fatal(err)
	}
	for end := n + 10_000; db.WALBytes() > maxWALBytes && n < end; {
		put()
	}
	if size := db.WALBytes(); size > maxWALBytes || size == 0 {
		t.Errorf("the log has %d bytes after %d more writes, want at most %d", size, n, maxWALBytes)
	}
}
