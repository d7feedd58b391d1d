package embedded

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"modernc.org/sqlite"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

func TestFileOfANewerProgramIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := openConn(t.Context(), filepath.Join(dir, "ringback.db"), lockCache, fmt.Sprint("user_version = ", len(migrations)+1))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), dir, Options{})
	if err == nil || !strings.Contains(err.Error(), "use a newer program") {
		t.Errorf("Open = %v, want a word about a newer program", err)
	}
}

func TestExpiredRowsLeaveTheirPlaceToOthers(t *testing.T) {
	proofs.Long(t)
	db := openTest(t, t.TempDir(), Options{})
	now := time.Now()
	var first int64
	for round := range 4 {
		for i := range 200 {
			mustPut(t, db, storage.Row{
				Key:     storage.Key{Table: storage.Deliveries, PK: fmt.Sprint("p", i%16), SK: fmt.Sprintf("%d-%d", round, i)},
				Rev:     "r",
				Body:    bytes.Repeat([]byte{1}, 4000),
				Expires: now.Add(time.Hour),
			}, "")
		}
		if err := db.sweepOnce(now.Add(59*time.Minute), now); err != nil {
			t.Fatal(err)
		}
		wantRowCount(t, db, 200)
		if err := db.sweepOnce(now.Add(61*time.Minute), now); err != nil {
			t.Fatal(err)
		}
		wantRowCount(t, db, 0)
		if round == 0 {
			first = pages(t, db)
		}
	}
	if last := pages(t, db); last > first+first/10 {
		t.Errorf("file of %d pages after one round and %d after four, want as many", first, last)
	}
}

func TestRowWithoutDataHasNoneInTheFile(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	for i, data := range [][]byte{nil, {}, {0}} {
		mustPut(t, db, storage.Row{Key: numbered(i), Rev: "r", Data: data, Body: data}, "")
	}
	if n := ask(t, db, "SELECT count(*) FROM rows WHERE data IS NULL AND body IS NULL"); n != 2 {
		t.Errorf("%d rows have neither data nor body, want the two that were put without", n)
	}
}

func TestTablesKeepTheirNumbersInTheFile(t *testing.T) {
	for table, number := range map[storage.Table]int64{storage.Registrations: 0, storage.Deliveries: 1} {
		if got := tableNumber(table); got != number || tables[number] != table {
			t.Errorf("table %s has number %d, and %d is %s: want %d", table, got, number, tables[number], number)
		}
	}
}

func TestNoRowExpiresEarly(t *testing.T) {
	for at, want := range map[time.Time]int64{time.Unix(7, 0): 7, time.Unix(7, 1): 8, time.Unix(7, 999_999_999): 8, time.Unix(8, 0): 8} {
		if got := seconds(at); got != want {
			t.Errorf("%v expires as second %d, want %d", at, got, want)
		}
	}
}

// wantRowCount counts rows with those that reads do not show.
func wantRowCount(t *testing.T, db *DB, want int64) {
	t.Helper()
	if got := ask(t, db, "SELECT count(*) FROM rows"); got != want {
		t.Errorf("%d rows in the file, want %d", got, want)
	}
}

func pages(t *testing.T, db *DB) int64 {
	t.Helper()
	return ask(t, db, "PRAGMA page_count")
}

func TestOldDeadLettersAreRemoved(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
	b := burial{waiter: make(waiter, 1), q: db.queue(storage.EventsQueue), id: 1}
	db.writer.submit(b)
	if err := <-b.waiter; err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{deadLetterRetention - time.Minute, 1}, {deadLetterRetention + time.Minute, 0}} {
		if err := db.sweepOnce(time.Now().Add(tt.after), time.Now().Add(tt.after-deadLetterRetention)); err != nil {
			t.Fatal(err)
		}
		if d, err := db.Depth(t.Context(), storage.EventsQueue); err != nil || d.Dead != tt.want {
			t.Errorf("after %v: Depth = %+v, %v, want %d dead", tt.after, d, err, tt.want)
		}
	}
}

// A burial makes a message of a queue a dead letter.
type burial struct {
	waiter
	q  *queue
	id int64
}

func (b burial) apply(*writer) error { return b.q.bury(message{id: b.id, body: "a"}) }

func TestFullDiskFailsCallsAndLeavesTheRest(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	key := func(i int) storage.Key { return storage.Key{Table: storage.Deliveries, PK: "p", SK: fmt.Sprint(i)} }
	put := func(i int) error {
		return db.Put(t.Context(), storage.Row{Key: key(i), Rev: "r", Body: make([]byte, 300<<10)}, "")
	}
	limitPages(t, db, 200)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = put(n)
	}
	if err == nil || errors.Is(err, storage.ErrConflict) {
		t.Fatalf("Put on a full disk = %v", err)
	}
	if rows, err := db.Get(t.Context(), key(n-2), key(n-1)); err != nil || len(rows) != 1 {
		t.Errorf("Get of the last row that was stored and of the one that was not: %d rows, %v", len(rows), err)
	}
	limitPages(t, db, 100_000)
	if err := put(n - 1); err != nil {
		t.Errorf("Put after there was room again = %v", err)
	}
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
	if got := receiveAll(t, db, storage.EventsQueue); len(got) != 1 {
		t.Errorf("received %v", got)
	}
}

// A pageLimit is as a disk that has room for so many pages.
type pageLimit struct {
	waiter
	pages int
}

func (l pageLimit) apply(w *writer) error {
	return w.conn.run(fmt.Sprint("PRAGMA max_page_count = ", l.pages))
}

func limitPages(t *testing.T, db *DB, n int) {
	t.Helper()
	l := pageLimit{make(waiter, 1), n}
	db.writer.submit(l)
	if err := <-l.waiter; err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, db *DB, text string) (n int64) {
	t.Helper()
	r, err := db.reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.release()
	err = r.conn.each(text, func(v []driver.Value) error {
		n = v[0].(int64)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFolderThatCannotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(file, "folder")
	if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open = %v, want %v and the folder's name", err, syscall.ENOTDIR)
	}
}

func TestLogStaysShortUnderLoad(t *testing.T) {
	if !proofs.Full() {
		t.Skip("writes 160 MB, for RINGBACK_PROOFS=full")
	}
	dir := t.TempDir()
	db := openTest(t, dir, Options{Relaxed: true})
	const rows, writers = 24_000, 32
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < rows; i += writers {
				r := storage.Row{Key: numbered(i), Rev: "r", Body: make([]byte, 7000)}
				if err := db.Put(context.Background(), r, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	log, err := os.Stat(filepath.Join(dir, "ringback.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if size, most := log.Size(), int64(8*maxWALPages*8192); size > most {
		t.Errorf("log of %d MiB after %d MiB were written, at most %d MiB are wanted", size>>20, rows*7000>>20, most>>20)
	}
}

func TestPagesInMemoryKeepToTheirLimit(t *testing.T) {
	proofs.Long(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		const rows, limit = 4000, (writerCache + readers*readerCache + checkpointCache + lockCache) << 10
		for round := range proofs.Length(4, 4, 12) {
			was := ""
			if round > 0 {
				was = fmt.Sprint(round - 1)
			}
			var wg sync.WaitGroup
			for i := range rows {
				wg.Go(func() {
					r := storage.Row{Key: numbered(i * 7919 % rows), Rev: fmt.Sprint(round), Body: make([]byte, 4000)}
					if err := db.Put(context.Background(), r, was); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for range readers {
				ask(t, db, "SELECT sum(length(body)) FROM rows")
			}
		}
		synctest.Wait() // the writer looks at the log after it has settled
		if used := pagesInMemory(t, db); used > limit+limit/20 {
			t.Errorf("%d KiB of pages in memory, at most %d are wanted", used>>10, limit>>10)
		}
	})
}

// pagesInMemory returns the bytes of all connections' pages.
func pagesInMemory(t *testing.T, db *DB) (used int) {
	t.Helper()
	conns := []*conn{db.lock, db.checkpoint.conn, db.writer.conn}
	for range readers {
		r, err := db.reader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.release()
		conns = append(conns, r.conn)
	}
	for _, c := range conns {
		n, _, err := c.c.(sqlite.DBStatus).Status(sqlite.DBStatusCacheUsed, false)
		if err != nil {
			t.Fatal(err)
		}
		used += n
	}
	return used
}
