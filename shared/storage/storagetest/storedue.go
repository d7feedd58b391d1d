package storagetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"ringback/shared/storage"
)

// A dueTest has the rows of one test, spread over all shards among those of other tests.
type dueTest struct {
	pk string
	s  storage.Store
	at time.Time
}

func newDueTest(s storage.Store) dueTest {
	return dueTest{pk: newKey("").PK, s: s, at: time.Now().UTC().Add(-time.Hour).Truncate(time.Millisecond)}
}

// row returns a row that is due at the test's time plus after.
func (d dueTest) row(sk string, after time.Duration) storage.Row {
	r := newRow(sk)
	r.PK, r.Due = d.pk, d.at.Add(after)
	return r
}

// read returns the SKs of the test's rows that are due by the test's time plus until, read shard by shard, and what is
// wrong with their order.
func (d dueTest) read(t *testing.T, until time.Duration, limit int) (sks map[string]time.Duration, wrong string) {
	t.Helper()
	sks = map[string]time.Duration{}
	for shard := range storage.DueShards {
		var last time.Time
		for _, r := range readShard(t, d.s, shard, d.at.Add(until), limit) {
			if r.Due.Before(last) {
				return nil, fmt.Sprintf("shard %d: %v after %v, want the oldest first", shard, r.Due, last)
			}
			last = r.Due
			if r.PK != d.pk {
				continue
			}
			if _, twice := sks[r.SK]; twice || r.DueShard() != shard {
				return nil, fmt.Sprintf("row %s twice, or in shard %d instead of %d", r.SK, shard, r.DueShard())
			}
			sks[r.SK] = r.Due.Sub(d.at)
		}
	}
	return sks, ""
}

func readShard(t *testing.T, s storage.Store, shard int, until time.Time, limit int) (rows []storage.DueRow) {
	t.Helper()
	after := ""
	for {
		page, next, err := s.Due(t.Context(), shard, until, after, limit)
		if err != nil {
			t.Fatalf("Due of shard %d = %v", shard, err)
		}
		if len(page) > limit {
			t.Fatalf("Due of shard %d returned %d rows, at most %d were asked for", shard, len(page), limit)
		}
		rows = append(rows, page...)
		if next == "" {
			return rows
		}
		after = next
	}
}

func (d dueTest) want(t *testing.T, until time.Duration, limit int, want map[string]time.Duration) {
	t.Helper()
	eventually(t, func() string {
		got, wrong := d.read(t, until, limit)
		if wrong == "" && fmt.Sprint(got) != fmt.Sprint(want) {
			wrong = fmt.Sprintf("due up to %v: got %v, want %v", until, got, want)
		}
		return wrong
	})
}

func testDue(t *testing.T, s storage.Store) {
	d := newDueTest(s)
	early, late := d.row("early", 0), d.row("late", time.Millisecond)
	never := d.row("never", 0)
	never.Due = time.Time{}
	other := d.row("other table", 0)
	other.Table = storage.Registrations
	for _, r := range []storage.Row{early, late, never, other} {
		mustPut(t, s, r, "")
	}
	d.want(t, 0, 100, map[string]time.Duration{"early": 0, "other table": 0})
	d.want(t, time.Millisecond, 100, map[string]time.Duration{"early": 0, "other table": 0, "late": time.Millisecond})

	moved := d.row("early", time.Minute)
	mustPut(t, s, moved, early.Rev)
	done := late
	done.Rev, done.Due = storage.NewRev(), time.Time{}
	mustPut(t, s, done, late.Rev)
	if err := s.Delete(t.Context(), other.Key, other.Rev); err != nil {
		t.Fatal(err)
	}
	d.want(t, time.Second, 100, map[string]time.Duration{})
	d.want(t, time.Minute, 100, map[string]time.Duration{"early": time.Minute})
}

func testDuePages(t *testing.T, s storage.Store) {
	d := newDueTest(s)
	want := map[string]time.Duration{}
	for i := range 100 {
		after := time.Duration(i/20) * time.Millisecond // many at one time
		r := d.row(fmt.Sprintf("%03d", (i*37)%100), after)
		if i%4 == 0 {
			r.Table = storage.Registrations
		}
		mustPut(t, s, r, "")
		want[r.SK] = after
	}
	d.want(t, time.Second, 1, want)
	d.want(t, time.Second, 3, want)
}

func testDueLimits(t *testing.T, s storage.Store) {
	for _, tt := range []struct {
		name         string
		shard, limit int
		after        string
	}{
		{"shard too high", storage.DueShards, 1, ""},
		{"negative shard", -1, 1, ""},
		{"negative limit", 0, -1, ""},
		{"limit too high", 0, storage.MaxPageRows + 1, ""},
		{"cursor of another", 0, 1, "?"},
	} {
		if _, _, err := s.Due(t.Context(), tt.shard, time.Now(), tt.after, tt.limit); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("Due, %s = %v, want ErrInvalid", tt.name, err)
		}
	}
}
