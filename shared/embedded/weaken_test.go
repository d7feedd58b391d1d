package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/proofs"
)

func TestWeakenedStoreKeepsItsContract(t *testing.T) {
	for seed := range proofs.Length(uint64(1), 2, 3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			db := openTest(t, t.TempDir(), Options{})
			w := storagetest.Weakness{Seed: seed, Late: 0.5, ShortPages: 0.5, EmptyPages: 0.3, Lag: 100 * time.Millisecond}
			s, _ := w.Weaken(db, db)
			storagetest.Store(t, func(*testing.T) storage.Store { return s })
		})
	}
}

func TestLateIndexShowsWhatWas(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		s, _ := storagetest.Weakness{Late: 1, Lag: time.Second}.Weaken(db, db)
		k := storage.Key{Table: storage.Deliveries, PK: "p", SK: "s"}
		first := storage.Row{Key: k, Rev: "1", Open: true, Due: time.Now()}
		mustPut(t, s, first, "")
		wantSeen(t, s, k, "", false, false)
		time.Sleep(time.Second)
		wantSeen(t, s, k, "1", true, true)
		mustPut(t, s, storage.Row{Key: k, Rev: "2"}, "1")
		wantSeen(t, s, k, "1", true, true)
		time.Sleep(time.Second)
		wantSeen(t, s, k, "2", false, false)
		if err := s.Delete(t.Context(), k, "2"); err != nil {
			t.Fatal(err)
		}
		wantSeen(t, s, k, "2", false, false)
		time.Sleep(time.Second)
		wantSeen(t, s, k, "", false, false)
	})
}

// wantSeen compares what the three indexes show of k.
func wantSeen(t *testing.T, s storage.Store, k storage.Key, rev string, open, due bool) {
	t.Helper()
	p, err := s.List(t.Context(), storage.Query{Table: k.Table, PK: k.PK})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	if len(p.Rows) > 0 {
		got = p.Rows[0].Rev
	}
	o, err := s.List(t.Context(), storage.Query{Table: k.Table, PK: k.PK, Open: true})
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := s.Due(t.Context(), k.DueShard(), time.Now().Add(time.Hour), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got != rev || len(o.Rows) == 1 != open || len(d) == 1 != due {
		t.Errorf("index shows revision %q, open %v, due %v; want %q, %v, %v", got, len(o.Rows) == 1, len(d) == 1, rev, open, due)
	}
}

func TestLostAnswerMeansDone(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	s, q := storagetest.Weakness{Lost: 1}.Weaken(db, db)
	r := storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "p", SK: "s"}, Rev: "1"}
	if err := s.Put(t.Context(), r, ""); !errors.Is(err, storagetest.ErrWeak) {
		t.Errorf("Put = %v, want ErrWeak", err)
	}
	if rows, err := db.Get(t.Context(), r.Key); err != nil || len(rows) != 1 {
		t.Errorf("Get = %v, %v, want the row", rows, err)
	}
	if errs := q.Send(t.Context(), storage.EventsQueue, []storage.Message{{Body: "a"}}); !errors.Is(errs[0], storagetest.ErrWeak) {
		t.Errorf("Send = %v, want ErrWeak", errs)
	}
	wantWaiting(t, db, 1)
}

func TestRefusedCallIsNotDone(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	s, q := storagetest.Weakness{Refused: 1}.Weaken(db, db)
	r := storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "p", SK: "s"}, Rev: "1"}
	if err := s.Put(t.Context(), r, ""); !errors.Is(err, storagetest.ErrWeak) {
		t.Errorf("Put = %v, want ErrWeak", err)
	}
	if rows, err := db.Get(t.Context(), r.Key); err != nil || len(rows) != 0 {
		t.Errorf("Get = %v, %v, want no row", rows, err)
	}
	if errs := q.Send(t.Context(), storage.EventsQueue, []storage.Message{{Body: "a"}}); !errors.Is(errs[0], storagetest.ErrWeak) {
		t.Errorf("Send = %v, want ErrWeak", errs)
	}
	wantWaiting(t, db, 0)
}

func TestPartOfASendFails(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	_, q := storagetest.Weakness{Partial: 1}.Weaken(db, db)
	failed, sent := 0, 0
	for i := range 10 {
		ms := make([]storage.Message, 10)
		for j := range ms {
			ms[j].Body = fmt.Sprint(i, j)
		}
		for _, err := range q.Send(t.Context(), storage.EventsQueue, ms) {
			if err != nil {
				failed++
			}
		}
	}
	d, err := db.Depth(t.Context(), storage.EventsQueue)
	if sent = d.Waiting; err != nil || failed == 0 || failed == 100 || sent <= 100-failed || sent == 100 {
		t.Errorf("of 100 messages %d failed and %d were sent (%v), want some failed ones among the sent and some not", failed, sent, err)
	}
}

func TestDuplicatesAreSentTwice(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	_, q := storagetest.Weakness{Duplicates: 1}.Weaken(db, db)
	mustSend(t, q, storage.EventsQueue, storage.Message{Body: "a"})
	wantWaiting(t, db, 2)
}

func TestDelayedMessagesComeInAnotherOrder(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		_, q := storagetest.Weakness{Delayed: 0.5, Lag: 10 * time.Second}.Weaken(db, db)
		var want, got []string
		for i := range 20 {
			want = append(want, fmt.Sprintf("%02d", i))
			mustSend(t, q, storage.EventsQueue, storage.Message{Body: want[i]})
		}
		stop := serve(t, db, storage.EventsQueue, Consumer{Batch: 1, Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			got = append(got, ms[0].Body)
			return nil, nil
		}})
		time.Sleep(time.Minute)
		stop()
		if slices.IsSorted(got) {
			t.Errorf("all came in the order of sending: %v", got)
		}
		if slices.Sort(got); !cmp.Equal(got, want) {
			t.Errorf("received %v, want each of %v", got, want)
		}
	})
}

func TestSameSeedDecidesTheSame(t *testing.T) {
	outcomes := func(seed uint64) (errs []bool) {
		db := openTest(t, t.TempDir(), Options{})
		s, _ := storagetest.Weakness{Seed: seed, Refused: 0.5}.Weaken(db, db)
		for i := range 64 {
			r := storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "p", SK: fmt.Sprint(i % 8)}, Rev: storage.NewRev()}
			errs = append(errs, s.Put(t.Context(), r, storage.AnyRev) != nil)
		}
		return errs
	}
	if a, b := outcomes(1), outcomes(1); !cmp.Equal(a, b) {
		t.Errorf("seed 1 decided\n%v and then\n%v", a, b)
	}
	if a, b := outcomes(1), outcomes(2); cmp.Equal(a, b) {
		t.Errorf("seeds 1 and 2 decided the same:\n%v", a)
	}
}

func mustPut(t *testing.T, s storage.Store, r storage.Row, was string) {
	t.Helper()
	if err := s.Put(t.Context(), r, was); err != nil {
		t.Fatal(err)
	}
}

func wantWaiting(t *testing.T, db *DB, want int) {
	t.Helper()
	d, err := db.Depth(t.Context(), storage.EventsQueue)
	if err != nil || d.Waiting != want {
		t.Errorf("Depth = %+v, %v, want %d waiting", d, err, want)
	}
}
