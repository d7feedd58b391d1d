package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"ringback/shared/storage"
)

// Store tests the contract of storage.Store. Each test uses partitions of its own, so open may return the same tables
// every time. Where an index may lag for a second, the tests wait.
func Store(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, s storage.Store)
	}{
		{"a row comes back as it was put", testRowComesBack},
		{"a row of the largest size comes back", testLargestRow},
		{"tables are apart", testTablesAreApart},
		{"Get returns those that are stored, each once", testGet},
		{"Put refuses what is over the limits", testPutLimits},
		{"Put of a new row conflicts with a stored one", testPutNew},
		{"Put over a revision conflicts with another", testPutOver},
		{"Put of a stored revision is done already", testPutAgain},
		{"Put of any revision writes whatever is there", testPutAny},
		{"of concurrent Puts over one revision one wins", testPutRace},
		{"Delete removes the row of a revision", testDelete},
		{"an expired row is not there", testExpired},
		{"List returns each part of a partition in order", testListParts},
		{"List orders keys by their bytes", testListOrder},
		{"List returns large rows in several pages", testListLarge},
		{"List sees a write in time", testListLag},
		{"List refuses what is no query", testListLimits},
		{"the open index holds keys of open rows", testOpen},
		{"the due index holds rows under their time", testDue},
		{"the due index goes on behind a cursor", testDuePages},
		{"Due refuses what is no query", testDueLimits},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func testRowComesBack(t *testing.T, s storage.Store) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	soon := time.Now().UTC().Add(time.Hour)
	for _, r := range []storage.Row{
		{Data: []byte(`{"a":1}`)},
		{Data: every, Body: every},
		{Data: []byte("{}"), Body: []byte{0}},
		{Data: []byte("{}"), Due: soon.Truncate(time.Millisecond)},
		{Data: []byte("{}"), Open: true},
		{Data: []byte("{}"), Expires: soon.Truncate(time.Second)},
		{Data: []byte("{}"), Body: every, Due: soon.Truncate(time.Millisecond), Open: true, Expires: soon.Truncate(time.Second)},
	} {
		r.Key, r.Rev = newKey("row"), storage.NewRev()
		mustPut(t, s, r, "")
		wantRows(t, s, []storage.Key{r.Key}, r)
	}
}

func testLargestRow(t *testing.T, s storage.Store) {
	r := newRow("largest")
	r.Body = bytes.Repeat([]byte{0xff}, storage.MaxRowBytes-len(r.PK)-len(r.SK)-len(r.Data))
	mustPut(t, s, r, "")
	wantRows(t, s, []storage.Key{r.Key}, r)
}

func testTablesAreApart(t *testing.T, s storage.Store) {
	a := newRow("same")
	b := a
	b.Table, b.Rev, b.Data = storage.Registrations, storage.NewRev(), []byte(`{"other":true}`)
	mustPut(t, s, a, "")
	mustPut(t, s, b, "")
	wantRows(t, s, []storage.Key{a.Key}, a)
	wantRows(t, s, []storage.Key{b.Key}, b)
	if err := s.Delete(t.Context(), b.Key, b.Rev); err != nil {
		t.Fatalf("Delete(%v) = %v", b.Key, err)
	}
	wantRows(t, s, []storage.Key{a.Key, b.Key}, a)
}

func testGet(t *testing.T, s storage.Store) {
	wantRows(t, s, nil)
	rows := make([]storage.Row, storage.MaxPageRows/2)
	var keys []storage.Key
	pk := newKey("").PK
	for i := range rows {
		rows[i] = newRow(fmt.Sprintf("%03d", i))
		rows[i].PK = pk
		mustPut(t, s, rows[i], "")
		absent := rows[i].Key
		absent.SK += "absent"
		keys = append(keys, rows[i].Key, absent)
	}
	wantRows(t, s, keys, rows...)
	wantRows(t, s, []storage.Key{keys[0], keys[1], keys[0]}, rows[0])
	if _, err := s.Get(t.Context(), append(keys, keys[0])...); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("Get of %d keys: %v, want ErrTooLarge", len(keys)+1, err)
	}
	if _, err := s.Get(t.Context(), storage.Key{Table: storage.Deliveries, PK: "p"}); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("Get of a key without SK: %v, want ErrInvalid", err)
	}
}

func testPutLimits(t *testing.T, s storage.Store) {
	for _, tt := range []struct {
		name   string
		change func(r *storage.Row)
		want   error
	}{
		{"no table", func(r *storage.Row) { r.Table = "" }, storage.ErrInvalid},
		{"no PK", func(r *storage.Row) { r.PK = "" }, storage.ErrInvalid},
		{"no SK", func(r *storage.Row) { r.SK = "" }, storage.ErrInvalid},
		{"long PK", func(r *storage.Row) { r.PK = strings.Repeat("p", storage.MaxKeyBytes+1) }, storage.ErrInvalid},
		{"long SK", func(r *storage.Row) { r.SK = strings.Repeat("s", storage.MaxKeyBytes+1) }, storage.ErrInvalid},
		{"no revision", func(r *storage.Row) { r.Rev = "" }, storage.ErrInvalid},
		{"large Body", func(r *storage.Row) { r.Body = make([]byte, storage.MaxRowBytes) }, storage.ErrTooLarge},
		{"large Data", func(r *storage.Row) { r.Data = make([]byte, storage.MaxRowBytes) }, storage.ErrTooLarge},
	} {
		r := newRow("limits")
		good := r.Key
		tt.change(&r)
		if err := s.Put(t.Context(), r, ""); !errors.Is(err, tt.want) {
			t.Errorf("Put, %s: %v, want %v", tt.name, err, tt.want)
		}
		wantRows(t, s, []storage.Key{good})
	}
	longest := newRow("")
	longest.SK = strings.Repeat("s", storage.MaxKeyBytes)
	mustPut(t, s, longest, "")
	wantRows(t, s, []storage.Key{longest.Key}, longest)
}

func testPutNew(t *testing.T, s storage.Store) {
	stored := newRow("new")
	stored.Body = []byte("stored")
	mustPut(t, s, stored, "")
	other := stored
	other.Rev, other.Body = storage.NewRev(), []byte("other")
	wantConflict(t, s.Put(t.Context(), other, ""), stored)
	wantRows(t, s, []storage.Key{stored.Key}, stored)
}

func testPutOver(t *testing.T, s storage.Store) {
	first := newRow("over")
	first.Body, first.Open, first.Due = []byte("first"), true, time.Now().UTC().Truncate(time.Millisecond)
	wantConflict(t, s.Put(t.Context(), first, storage.NewRev()), storage.Row{})
	mustPut(t, s, first, "")

	second := storage.Row{Key: first.Key, Rev: storage.NewRev(), Data: []byte(`{"n":2}`)}
	wantConflict(t, s.Put(t.Context(), second, storage.NewRev()), first)
	mustPut(t, s, second, first.Rev)
	wantRows(t, s, []storage.Key{first.Key}, second)

	third := storage.Row{Key: first.Key, Rev: storage.NewRev(), Data: []byte(`{"n":3}`)}
	wantConflict(t, s.Put(t.Context(), third, first.Rev), second)
	wantRows(t, s, []storage.Key{first.Key}, second)
}

func testPutAgain(t *testing.T, s storage.Store) {
	first := newRow("again")
	mustPut(t, s, first, "")
	mustPut(t, s, first, "")
	second := first
	second.Rev = storage.NewRev()
	mustPut(t, s, second, first.Rev)
	mustPut(t, s, second, first.Rev)
	mustPut(t, s, second, "")
	wantRows(t, s, []storage.Key{first.Key}, second)
	wantConflict(t, s.Put(t.Context(), first, ""), second)
}

func testPutAny(t *testing.T, s storage.Store) {
	first := newRow("any")
	mustPut(t, s, first, storage.AnyRev)
	second := first
	second.Rev = storage.NewRev()
	mustPut(t, s, second, storage.AnyRev)
	wantRows(t, s, []storage.Key{first.Key}, second)
}

func testPutRace(t *testing.T, s storage.Store) {
	key := newKey("race")
	oldRev := ""
	for range 3 {
		const callers = 16
		revs := make([]string, callers)
		errs := make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			revs[i] = storage.NewRev()
			wg.Go(func() {
				errs[i] = s.Put(context.WithoutCancel(t.Context()), storage.Row{Key: key, Rev: revs[i], Data: []byte("{}")}, oldRev)
			})
		}
		wg.Wait()
		oldRev = winner(t, revs, errs)
		wantRows(t, s, []storage.Key{key}, storage.Row{Key: key, Rev: oldRev, Data: []byte("{}")})
	}
}

// winner returns the one revision whose Put succeeded.
func winner(t *testing.T, revs []string, errs []error) (rev string) {
	t.Helper()
	for i, err := range errs {
		switch {
		case err == nil && rev == "":
			rev = revs[i]
		case err == nil:
			t.Fatalf("two of %d concurrent Puts over one revision succeeded", len(errs))
		case !errors.Is(err, storage.ErrConflict):
			t.Fatalf("concurrent Put = %v, want nil or ErrConflict", err)
		}
	}
	if rev == "" {
		t.Fatalf("none of %d concurrent Puts over one revision succeeded", len(errs))
	}
	return rev
}

func testDelete(t *testing.T, s storage.Store) {
	r := newRow("delete")
	if err := s.Delete(t.Context(), r.Key, r.Rev); err != nil {
		t.Errorf("Delete of a row that was never there = %v", err)
	}
	mustPut(t, s, r, "")
	wantConflict(t, s.Delete(t.Context(), r.Key, storage.NewRev()), r)
	wantRows(t, s, []storage.Key{r.Key}, r)
	for range 2 {
		if err := s.Delete(t.Context(), r.Key, r.Rev); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
	wantRows(t, s, []storage.Key{r.Key})
	mustPut(t, s, r, "")
	if err := s.Delete(t.Context(), r.Key, storage.AnyRev); err != nil {
		t.Errorf("Delete of any revision = %v", err)
	}
	wantRows(t, s, []storage.Key{r.Key})
	if err := s.Delete(t.Context(), storage.Key{Table: storage.Deliveries, SK: "s"}, r.Rev); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("Delete of a key without PK = %v, want ErrInvalid", err)
	}
}

func testExpired(t *testing.T, s storage.Store) {
	r := newRow("expired")
	r.Expires = time.Now().UTC().Add(-time.Minute).Truncate(time.Second)
	mustPut(t, s, r, "")
	wantRows(t, s, []storage.Key{r.Key})
	wantList(t, s, storage.Query{Table: r.Table, PK: r.PK, Consistent: true})
	wantList(t, s, storage.Query{Table: r.Table, PK: r.PK, Newest: true})

	next := newRow("expired")
	next.Key = r.Key
	mustPut(t, s, next, "")
	wantRows(t, s, []storage.Key{r.Key}, next)
}

// newKey returns a key in a partition that no other test uses.
func newKey(sk string) storage.Key {
	return storage.Key{Table: storage.Deliveries, PK: "T#" + storage.NewRev(), SK: sk}
}

// newRow returns a small row in a partition of its own.
func newRow(sk string) storage.Row {
	return storage.Row{Key: newKey(sk), Rev: storage.NewRev(), Data: []byte("{}")}
}

func mustPut(t *testing.T, s storage.Store, r storage.Row, oldRev string) {
	t.Helper()
	if err := s.Put(t.Context(), r, oldRev); err != nil {
		t.Fatalf("Put(%q, was %q) = %v", r.SK, oldRev, err)
	}
}

// wantRows compares what Get returns for keys, in any order.
func wantRows(t *testing.T, s storage.Store, keys []storage.Key, want ...storage.Row) {
	t.Helper()
	got, err := s.Get(t.Context(), keys...)
	if err != nil {
		t.Fatalf("Get of %d keys = %v", len(keys), err)
	}
	bySK := cmpopts.SortSlices(func(a, b storage.Row) bool { return a.SK < b.SK })
	if diff := diffRows(want, got, bySK); diff != "" {
		t.Fatalf("Get of %d keys (-want +got):\n%s", len(keys), diff)
	}
}

func wantConflict(t *testing.T, err error, stored storage.Row) {
	t.Helper()
	var conflict *storage.ConflictError
	if !errors.As(err, &conflict) || !errors.Is(err, storage.ErrConflict) {
		t.Fatalf("got %v, want a conflict", err)
	}
	if diff := diffRows([]storage.Row{stored}, []storage.Row{conflict.Stored}); diff != "" {
		t.Fatalf("stored row of the conflict (-want +got):\n%s", diff)
	}
}
