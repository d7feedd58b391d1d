package cloud_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"ringback/shared/cloud"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/storage"

	"github.com/google/go-cmp/cmp"
)

func TestRowComesBackAsItWasPut(t *testing.T) {
	s := openStore(t)
	at := time.Date(2100, 1, 2, 3, 4, 5, 678e6, time.UTC)
	noise := make([]byte, 3<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for _, tt := range []struct {
		name string
		row  storage.Row
	}{
		{"no content", storage.Row{}},
		{"empty content", storage.Row{Data: []byte{}, Body: []byte{}}},
		{"data", storage.Row{Data: []byte(`{"a":"b"}`)}},
		{"data with a NUL", storage.Row{Data: []byte("{\"a\":\"\x00\"}")}},
		{"data that is not UTF-8", storage.Row{Data: []byte{0xff, 0xfe, 0}}},
		{"body of all byte values", storage.Row{Data: []byte("{}"), Body: allBytes()}},
		{"packed", storage.Row{Data: []byte("{}"), Body: bytes.Repeat([]byte("payload "), 500)}},
		{"packed without body", storage.Row{Data: bytes.Repeat([]byte("data "), 500)}},
		{"packed with empty body", storage.Row{Data: bytes.Repeat([]byte("data "), 500), Body: []byte{}}},
		{"too random to pack", storage.Row{Data: []byte("{}"), Body: noise}},
		{"in every index", storage.Row{Data: []byte("{}"), Due: at, Open: true, Expires: at.Truncate(time.Second)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.row
			want.Key, want.Rev = newKey(), storage.NewRev()
			if err := s.Put(t.Context(), want, ""); err != nil {
				t.Fatalf("Put: %v", err)
			}
			got := getOne(t, s, want.Key)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Get after Put (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDuePagesAreExactWhereManyRowsFallDueAtOnce(t *testing.T) {
	s := openStore(t)
	at := time.UnixMilli(1_900_000_000_000).UTC()
	want := map[storage.Key]bool{}
	shard := newKey().DueShard()
	for n := 0; len(want) < 25; n++ {
		r := storage.Row{Key: newKey(), Rev: storage.NewRev(), Due: at.Add(time.Duration(n%2) * time.Millisecond)}
		if n%3 == 0 {
			r.Table = storage.Registrations
		}
		if r.DueShard() != shard {
			continue
		}
		want[r.Key] = true
		if err := s.Put(t.Context(), r, ""); err != nil {
			t.Fatalf("Put: %v", err)
		}
	}
	for _, limit := range []int{1, 2, 7, 100} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			got := map[storage.Key]bool{}
			var last time.Time
			for after, n := "", 0; ; n++ {
				rows, next, err := s.Due(t.Context(), shard, at.Add(time.Millisecond), after, limit)
				if err != nil || len(rows) > limit || n > len(want) {
					t.Fatalf("page %d of Due(%d) = %d rows, %v", n, limit, len(rows), err)
				}
				for _, r := range rows {
					if got[r.Key] || r.Due.Before(last) {
						t.Errorf("Due(%d) returned %v a second time or after a later one", limit, r)
					}
					got[r.Key], last = true, r.Due
				}
				if after = next; after == "" {
					break
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows of all pages of Due(%d) (-want +got):\n%s", limit, diff)
			}
		})
	}
}

func TestPutOverAnExpiredRowSucceeds(t *testing.T) {
	s := openStore(t)
	old := storage.Row{Key: newKey(), Rev: storage.NewRev(), Expires: time.Now().Add(-2 * time.Second)}
	if err := s.Put(t.Context(), old, ""); err != nil {
		t.Fatalf("Put of an expired row: %v", err)
	}
	fresh := storage.Row{Key: old.Key, Rev: storage.NewRev()}
	if err := s.Put(t.Context(), fresh, ""); err != nil {
		t.Fatalf("Put over an expired row: %v", err)
	}
	if got := getOne(t, s, old.Key); got.Rev != fresh.Rev {
		t.Errorf("Get after Put over an expired row: revision %q, want %q", got.Rev, fresh.Rev)
	}
}

func TestNewestPageBelowABoundLeavesTheBoundOut(t *testing.T) {
	s := openStore(t)
	pk := newKey().PK
	for _, sk := range []string{"a", "b", "c", "d"} {
		r := storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: pk, SK: sk}, Rev: storage.NewRev(), Open: true}
		if err := s.Put(t.Context(), r, ""); err != nil {
			t.Fatalf("Put: %v", err)
		}
	}
	for _, tt := range []struct {
		q    storage.Query
		want string
	}{
		{storage.Query{}, "abcd"},
		{storage.Query{Newest: true}, "dcba"},
		{storage.Query{From: "b", To: "d"}, "bc"},
		{storage.Query{From: "b", To: "d", Newest: true}, "cb"},
		{storage.Query{To: "c"}, "ab"},
		{storage.Query{To: "c", Newest: true}, "ba"},
		{storage.Query{From: "c"}, "cd"},
		{storage.Query{From: "c", Newest: true}, "dc"},
		{storage.Query{From: "b", To: "d", After: "b"}, "c"},
		{storage.Query{From: "b", To: "d", After: "a"}, "bc"},
		{storage.Query{From: "b", To: "d", After: "d"}, ""},
		{storage.Query{From: "b", To: "d", After: "d", Newest: true}, "cb"},
		{storage.Query{From: "b", To: "d", After: "b", Newest: true}, ""},
		{storage.Query{From: "b", To: "d", After: "a", Newest: true}, ""},
		{storage.Query{To: "b", After: "c", Newest: true}, "a"},
		{storage.Query{From: "c", After: "bb"}, "cd"},
		{storage.Query{From: "c", To: "b"}, ""},
	} {
		for _, open := range []bool{false, true} {
			for _, limit := range []int{0, 1, 2} {
				q := tt.q
				q.Table, q.PK, q.Open, q.Limit, q.Consistent = storage.Deliveries, pk, open, limit, !open
				if got := listed(t, s, q); got != tt.want {
					t.Errorf("List(%+v) gave %q, want %q", q, got, tt.want)
				}
			}
		}
	}
}

func TestCursorThatIsNotOursIsInvalid(t *testing.T) {
	s := openStore(t)
	_, _, err := s.Due(t.Context(), 0, time.Now(), "?", 1)
	if !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("Due after %q: %v, want ErrInvalid", "?", err)
	}
}

// openStore returns a Store with fresh tables.
func openStore(t *testing.T) *cloud.Store {
	t.Helper()
	return openBackend(t, cloud.Endpoints{DynamoDB: dynamotest.Endpoint(t)}).Store
}

// openBackend returns a Backend on endpoints, with tables of its own if there
// is a DynamoDB among them.
func openBackend(t *testing.T, endpoints cloud.Endpoints) *cloud.Backend {
	t.Helper()
	b, err := cloud.Open(t.Context(), testConfig(endpoints))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(b.Close)
	if endpoints.DynamoDB != "" {
		if err := b.Store.CreateTables(t.Context()); err != nil {
			t.Fatalf("CreateTables: %v", err)
		}
	}
	return b
}

func newKey() storage.Key {
	return storage.Key{Table: storage.Deliveries, PK: "P#" + storage.NewRev(), SK: "S"}
}

func getOne(t *testing.T, s storage.Store, k storage.Key) storage.Row {
	t.Helper()
	rows, err := s.Get(t.Context(), k)
	if err != nil || len(rows) != 1 {
		t.Fatalf("Get(%v) = %d rows, %v; want one row", k, len(rows), err)
	}
	return rows[0]
}

// listed returns the SKs of all pages of q.
func listed(t *testing.T, s storage.Store, q storage.Query) string {
	t.Helper()
	var all string
	for pages := 0; ; {
		page, err := s.List(context.WithoutCancel(t.Context()), q)
		if err != nil {
			t.Fatalf("List(%+v): %v", q, err)
		}
		for _, r := range page.Rows {
			all += r.SK
		}
		if pages++; pages > 100 {
			t.Fatalf("List(%+v) has no end after %q", q, all)
		}
		if q.After = page.Next; q.After == "" {
			return all
		}
	}
}

func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
