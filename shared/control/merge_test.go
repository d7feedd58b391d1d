package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ringback/shared/gateway"
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
				id, err := gateway.EventID(p.source, "", time.UnixMilli(int64(1_000_000+n)), "event")
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
		q := HistoryQuery{Limit: rapid.IntRange(1, 10).Draw(t, "limit")}
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

func TestCursorThatNoPageEndedWithIsRefused(t *testing.T) {
	p := part{storage.Query{Table: storage.Deliveries, PK: "D#reg_1"}, "reg_1", "src-00000001"}
	for _, cursor := range []string{"x", strings.Repeat("x", 300) + ".y"} {
		if _, err := (HistoryQuery{Cursor: cursor}).bound(p); err == nil {
			t.Errorf("cursor of %d characters: no error", len(cursor))
		}
	}
}
