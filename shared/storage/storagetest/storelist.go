package storagetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"ringback/shared/storage"
)

// lag is how long an index may be behind in these tests: an emulator on a busy
// machine takes longer than DynamoDB.
const lag = 10 * time.Second

func testListParts(t *testing.T, s storage.Store) {
	pk := newKey("").PK
	rows := putAll(t, s, pk, "b", "b#1", "b#2", "c", "d", "d#1", "e")
	bounds := []string{"", "a", "b", "b#1", "c#", "d", "e", "f"}
	for _, from := range bounds {
		for _, to := range bounds {
			for _, newest := range []bool{false, true} {
				q := storage.Query{Table: storage.Deliveries, PK: pk, From: from, To: to, Newest: newest, Consistent: true}
				q.Limit = 1 + len(from+to)%3
				wantList(t, s, q, part(rows, q)...)
			}
		}
	}
	for _, after := range bounds[1:] {
		for _, q := range []storage.Query{
			{After: after},
			{After: after, Newest: true},
			{After: after, From: "b#1", To: "e"},
			{After: after, From: "b#1", To: "e", Newest: true},
		} {
			q.Table, q.PK, q.Consistent = storage.Deliveries, pk, true
			wantList(t, s, q, part(rows, q)...)
		}
	}
}

// part returns the rows that q selects, in its order.
func part(rows []storage.Row, q storage.Query) (want []storage.Row) {
	for _, r := range rows {
		behind := q.After == "" || !q.Newest && r.SK > q.After || q.Newest && r.SK < q.After
		if r.SK >= q.From && (q.To == "" || r.SK < q.To) && behind {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b storage.Row) int {
		if q.Newest {
			a, b = b, a
		}
		return cmp.Compare(a.SK, b.SK)
	})
	return want
}

// testListOrder fails for a Store that sorts text as UTF-16 or by a language.
func testListOrder(t *testing.T, s storage.Store) {
	pk := newKey("").PK
	rows := putAll(t, s, pk, "\uFF5E", "\U00010000", "a", "Z", "a\u0301", "ä", "a#", "a0", " ", "~")
	q := storage.Query{Table: storage.Deliveries, PK: pk, Consistent: true}
	wantList(t, s, q, part(rows, q)...)
	q.Newest = true
	wantList(t, s, q, part(rows, q)...)
}

func testListLarge(t *testing.T, s storage.Store) {
	pk := newKey("").PK
	var rows []storage.Row
	for i := range 8 {
		r := newRow(fmt.Sprint(i))
		r.PK = pk
		r.Body = []byte(strings.Repeat(fmt.Sprint(i), 300<<10))
		mustPut(t, s, r, "")
		rows = append(rows, r)
	}
	wantList(t, s, storage.Query{Table: storage.Deliveries, PK: pk, Consistent: true}, rows...)
}

func testListLag(t *testing.T, s storage.Store) {
	pk := newKey("").PK
	rows := putAll(t, s, pk, "a", "b")
	q := storage.Query{Table: storage.Deliveries, PK: pk}
	eventuallyList(t, s, q, rows...)
	if err := s.Delete(t.Context(), rows[0].Key, rows[0].Rev); err != nil {
		t.Fatal(err)
	}
	eventuallyList(t, s, q, rows[1])
}

func testListLimits(t *testing.T, s storage.Store) {
	for _, q := range []storage.Query{
		{PK: "p"},
		{Table: storage.Deliveries},
		{Table: storage.Deliveries, PK: "p", Limit: storage.MaxPageRows + 1},
		{Table: storage.Deliveries, PK: "p", Limit: -1},
		{Table: storage.Deliveries, PK: "p", Open: true, Consistent: true},
		{Table: storage.Deliveries, PK: strings.Repeat("p", storage.MaxKeyBytes+1)},
	} {
		if _, err := s.List(t.Context(), q); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("List(%.80v) = %v, want ErrInvalid", q, err)
		}
	}
}

func testOpen(t *testing.T, s storage.Store) {
	pk := newKey("").PK
	var keys []storage.Row
	var rows []storage.Row
	for _, sk := range []string{"a", "b", "c", "d"} {
		r := newRow(sk)
		r.PK, r.Open = pk, sk != "b"
		mustPut(t, s, r, "")
		rows = append(rows, r)
		if r.Open {
			keys = append(keys, storage.Row{Key: r.Key})
		}
	}
	q := storage.Query{Table: storage.Deliveries, PK: pk, Open: true, Limit: 2}
	eventuallyList(t, s, q, keys...)
	q.Newest = true
	eventuallyList(t, s, q, part(keys, q)...)
	q.From, q.To = "b", "d"
	eventuallyList(t, s, q, part(keys, q)...)

	closed := rows[2]
	closed.Rev, closed.Open = storage.NewRev(), false
	mustPut(t, s, closed, rows[2].Rev)
	if err := s.Delete(t.Context(), rows[3].Key, rows[3].Rev); err != nil {
		t.Fatal(err)
	}
	eventuallyList(t, s, storage.Query{Table: storage.Deliveries, PK: pk, Open: true}, keys[0])
}

// putAll puts a small row for each SK of a partition.
func putAll(t *testing.T, s storage.Store, pk string, sks ...string) (rows []storage.Row) {
	t.Helper()
	for _, sk := range sks {
		r := newRow(sk)
		r.PK = pk
		mustPut(t, s, r, "")
		rows = append(rows, r)
	}
	return rows
}

// list reads all pages of q.
func list(t *testing.T, s storage.Store, q storage.Query) (rows []storage.Row) {
	t.Helper()
	for {
		p, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatalf("List(%+v) = %v", q, err)
		}
		if n := q.PageRows(); len(p.Rows) > n {
			t.Fatalf("List(%+v) returned %d rows, at most %d were asked for", q, len(p.Rows), n)
		}
		rows = append(rows, p.Rows...)
		if p.Next == "" {
			return rows
		}
		q.After = p.Next
	}
}

func wantList(t *testing.T, s storage.Store, q storage.Query, want ...storage.Row) {
	t.Helper()
	if diff := diffRows(want, list(t, s, q)); diff != "" {
		t.Fatalf("List(%+v) (-want +got):\n%s", q, diff)
	}
}

func eventuallyList(t *testing.T, s storage.Store, q storage.Query, want ...storage.Row) {
	t.Helper()
	eventually(t, func() string {
		if diff := diffRows(want, list(t, s, q)); diff != "" {
			return fmt.Sprintf("List(%+v) (-want +got):\n%s", q, diff)
		}
		return ""
	})
}

// diffRows compares rows in their order; an empty Body equals none.
func diffRows(want, got []storage.Row, opts ...gocmp.Option) string {
	if len(want) == 0 && len(got) == 0 {
		return ""
	}
	return gocmp.Diff(want, got, append(opts, gocmp.Comparer(bytes.Equal))...)
}

// eventually calls wrong until it returns "", for as long as an index may lag; then the test fails with its result.
func eventually(t *testing.T, wrong func() string) {
	t.Helper()
	eventuallyWithin(t, lag, wrong)
}

func eventuallyWithin(t *testing.T, d time.Duration, wrong func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); ; <-tick.C {
		said := wrong()
		if said == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v: %s", d, said)
		}
	}
}
