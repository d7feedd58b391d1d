package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// pageOfPart is what a Store may answer to q: rows of sks, newest first, fewer
// than there are, or none and yet not the last.
func pageOfPart(q storage.Query, sks []string, rows int) storage.Page {
	var p storage.Page
	for _, sk := range sks {
		switch {
		case q.To != "" && sk >= q.To || sk < q.From:
		case len(p.Rows) < rows:
			p.Rows = append(p.Rows, storage.Row{Key: storage.Key{Table: q.Table, PK: q.PK, SK: sk}})
		case len(p.Rows) > 0:
			p.Next = p.Rows[len(p.Rows)-1].SK
			return p
		default:
			p.Next = sk + "~" // an empty page before it
			return p
		}
	}
	return p
}

func TestMergedPagesJoinToTheWholeInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sources := []string{"src-00000001", "src-vvvvvvvv"}
		var parts []part
		var lists [][]string
		var want []string
		for i := range rapid.IntRange(1, 6).Draw(t, "parts") {
			p := part{storage.Query{Table: storage.Deliveries, PK: fmt.Sprint("D#reg_", i)}, fmt.Sprint("reg_", i), rapid.SampledFrom(sources).Draw(t, "source")}
			var sks []string
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 30), 0, 20, rapid.ID).Draw(t, "events") {
				id, err := ident.Event(p.source, "", time.UnixMilli(int64(1_000_000+n)), "event")
				if err != nil {
					t.Fatal(err)
				}
				sks = append(sks, id)
				want = append(want, id[idNumberChars:]+" "+p.id)
			}
			slices.Sort(sks)
			slices.Reverse(sks)
			parts, lists = append(parts, p), append(lists, sks)
		}
		slices.Sort(want)
		slices.Reverse(want)
		q := Query{Limit: rapid.IntRange(1, 10).Draw(t, "limit")}
		var got []string
		for range 10_000 {
			pages := make([]storage.Page, len(parts))
			for i, p := range parts {
				b, err := q.bound(p)
				if err != nil {
					t.Fatal(err)
				}
				pages[i] = pageOfPart(b, lists[i], rapid.IntRange(0, b.Limit).Draw(t, "rows"))
			}
			rows, next := q.join(parts, pages)
			if len(rows) > q.limit() {
				t.Fatalf("page of %d rows, want at most %d", len(rows), q.limit())
			}
			for _, r := range rows {
				got = append(got, r.SK[idNumberChars:]+" "+strings.TrimPrefix(r.PK, "D#"))
			}
			if q.Cursor = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("rows of all pages (-want +got):\n%s", diff)
		}
	})
}

func TestPartIsReadBetweenItsTimesFromTheCursorOn(t *testing.T) {
	p := part{storage.Query{Table: storage.Deliveries, PK: "D#reg_2#0"}, "reg_2", "src-00000001"}
	at := time.Date(2100, 3, 1, 12, 0, 0, 0, time.UTC)
	floor := func(d time.Duration) string { return ident.EventFloor(p.source, at.Add(d)) }
	event, err := ident.Event(p.source, "", at, "x")
	if err != nil {
		t.Fatal(err)
	}
	cursor := event[idNumberChars:]
	for _, tt := range []struct {
		name     string
		q        Query
		from, to string
		limit    int
	}{
		{"all", Query{}, "", "", 50/4 + 8},
		{"a row a page", Query{Limit: 1}, "", "", 1},
		{"ten rows a page", Query{Limit: 10}, "", "", 10},
		{"the most rows a page", Query{Limit: 100}, "", "", 100/4 + 8},
		{"since a time", Query{Since: at}, floor(-8 * 24 * time.Hour), "", 20},
		{"until a time", Query{Until: at}, "", floor(time.Hour), 20},
		{"from a cursor", Query{Cursor: cursor + ".reg_2"}, "", event, 20},
		{"from the cursor of a registration before", Query{Cursor: cursor + ".reg_1"}, "", event, 20},
		{"from the cursor of a registration after", Query{Cursor: cursor + ".reg_3"}, "", event + "~", 20},
		{"from a cursor, until a time after", Query{Cursor: cursor + ".reg_1", Until: at}, "", event, 20},
		{"from a cursor, until a time before", Query{Cursor: cursor + ".reg_1", Until: at.Add(-2 * time.Hour)}, "", floor(-time.Hour), 20},
	} {
		b, err := tt.q.bound(p)
		if err != nil || b.From != tt.from || b.To != tt.to || b.Limit != tt.limit || !b.Newest || b.PK != p.PK {
			t.Errorf("%s: bound = %+v, %v, want from %q to %q, %d rows", tt.name, b, err, tt.from, tt.to, tt.limit)
		}
	}
	for _, cursor := range []string{"\xff.reg_1", "x", strings.Repeat("x", gateway.MaxName) + "."} {
		if _, err := (Query{Cursor: cursor}).bound(p); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("bound from the cursor %q: %v, want ErrInvalid", cursor, err)
		}
	}
	if _, err := (Query{Cursor: strings.Repeat("x", gateway.MaxName-1) + "."}).bound(p); err != nil {
		t.Errorf("bound from the longest cursor: %v", err)
	}
}

func TestPageNeverEndsBeforeWhereItBegan(t *testing.T) {
	parts := []part{{id: "reg_1", source: "src-00000001"}}
	q := Query{Cursor: "b.reg_1"}
	at := ident.EventPrefix + "00000001"
	for _, tt := range []struct{ next, want string }{
		{at + "a", "a.reg_1"},
		{at + "b", "b.reg_1"},
		{at + "c", "b.reg_1"}, // newer than the cursor
		{"", ""},
	} {
		rows, next := q.join(parts, []storage.Page{{Next: tt.next}})
		if len(rows) != 0 || next != tt.want {
			t.Errorf("an empty page that got to %q: cursor %q, want %q", tt.next, next, tt.want)
		}
	}
}

func TestPartsAreReadSoManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := gateway.New(gateway.Config{Store: slowLists{}, Queue: idle{}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		parts := slices.Repeat([]part{{storage.Query{Table: storage.Deliveries, PK: "D#reg_1#0"}, "reg_1", "src-00000001"}}, 2*parallelReads)
		if _, _, err := New(control.New(g)).merge(t.Context(), parts, Query{}); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("%d lists of a second took %v, %v; want 2s", len(parts), time.Since(began), err)
		}
	})
}

// idle is a Queue that nobody asks.
type idle struct{ storage.Queue }

// slowLists is a Store whose lists take a second.
type slowLists struct{ storage.Store }

// List implements storage.Store.
func (slowLists) List(context.Context, storage.Query) (storage.Page, error) {
	time.Sleep(time.Second)
	return storage.Page{}, nil
}

func TestCursorThatNoPageEndedWithIsRefused(t *testing.T) {
	p := part{storage.Query{Table: storage.Deliveries, PK: "D#reg_1"}, "reg_1", "src-00000001"}
	for _, cursor := range []string{"x", strings.Repeat("x", 300) + ".y"} {
		if _, err := (Query{Cursor: cursor}).bound(p); err == nil {
			t.Errorf("cursor of %d characters: no error", len(cursor))
		}
	}
}
