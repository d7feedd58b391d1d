package embedded

import (
	"context"
	"database/sql/driver"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

// slowSweep has each sweep of rows take a second and find one, as often as rows
// says. It returns when each began, from now on.
func slowSweep(t *testing.T, db *DB, rows int) *[]time.Duration {
	t.Helper()
	start := time.Now()
	var begun []time.Duration
	mustWrite(t, db, step{make(settled, 1), func(w *writer) error {
		w.stmts.sweep.exec = execFunc(func(context.Context, []driver.NamedValue) (driver.Result, error) {
			begun = append(begun, time.Since(start))
			time.Sleep(time.Second)
			return driver.RowsAffected(min(1, max(0, rows+1-len(begun)))), nil
		})
		return nil
	}})
	return &begun
}

func TestSweepLeavesTwoThirdsOfTheTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		begun := slowSweep(t, db, 2)
		if err := db.sweepOnce(time.Now()); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{0, 3 * time.Second, 6 * time.Second}; !slices.Equal(*begun, want) {
			t.Errorf("sweeps of a second began after %v, want %v", *begun, want)
		}
	})
}

func TestSweepEndsWithTheStore(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		begun := slowSweep(t, db, 100)
		swept := make(chan error, 1)
		go func() { swept <- db.sweepOnce(time.Now()) }()
		time.Sleep(2 * time.Second) // it pauses
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-swept; err != nil || len(*begun) != 1 {
			t.Errorf("sweepOnce = %v after %d sweeps, want it to end after one", err, len(*begun))
		}
	})
}

// TestSweepBeginsAfterAnHour looks at a row that expires in the first minute and
// at one that comes later.
func TestSweepBeginsAfterAnHour(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		start := time.Now()
		mustPut(t, db, storage.Row{Key: numbered(1), Rev: "r", Expires: start.Add(time.Second)}, "")
		mustPut(t, db, storage.Row{Key: numbered(2), Rev: "r", Expires: start.Add(calmFor + 90*time.Second)}, "")
		for _, tt := range []struct {
			after time.Duration
			want  int64
		}{
			{calmFor - time.Second, 2},
			{calmFor + time.Second, 1},
			{calmFor + sweepEvery + time.Second, 1},
			{calmFor + 2*sweepEvery + time.Second, 0},
		} {
			time.Sleep(time.Until(start.Add(tt.after)))
			synctest.Wait()
			if n := ask(t, db, "SELECT count(*) FROM rows"); n != tt.want {
				t.Errorf("after %v: %d rows in the file, want %d", tt.after, n, tt.want)
			}
		}
	})
}
