package embedded

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"ringback/shared/storage"
)

// TestPageEndsAtAMebibyte fills a partition with rows of one size each.
func TestPageEndsAtAMebibyte(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	const quarter = maxPageBytes / 4
	for _, tt := range []struct {
		name string
		size int // of a row, with its key
		rows int
		want int
	}{
		{"just as much", quarter, 5, 4},
		{"a little less", quarter - 1, 6, 5},
		{"a little more", quarter + 1, 5, 4},
		{"three with a byte less", (maxPageBytes - 1) / 3, 5, 4},
		{"all of them", quarter - 1, 4, 4},
		{"the largest rows", storage.MaxRowBytes, 4, 3},
	} {
		for _, newest := range []bool{false, true} {
			pk := fmt.Sprint(tt.name, newest)
			for i := range tt.rows {
				r := storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: pk, SK: fmt.Sprint(i)}, Rev: "r", Data: []byte("data")}
				r.Body = make([]byte, tt.size-len(r.PK)-len(r.SK)-len(r.Data))
				mustPut(t, db, r, "")
			}
			q := storage.Query{Table: storage.Deliveries, PK: pk, Newest: newest}
			p, err := db.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Rows) != tt.want || (p.Next != "") != (tt.want < tt.rows) {
				t.Errorf("List(%+v) of %d rows of %d bytes returned %d and the cursor %q, want %d", q, tt.rows, tt.size, len(p.Rows), p.Next, tt.want)
			}
		}
	}
}

func TestCursorOfDueRowsIsReadAsItWasWritten(t *testing.T) {
	const most = "9223372036854775807"
	for _, tt := range []struct {
		cursor string
		want   duePosition
		ok     bool
	}{
		{"", duePosition{due: -1 << 62}, true}, // before all times
		{storage.DueFrom(time.UnixMilli(1234)), duePosition{due: 1234}, true},
		{"1 1 1 ab", duePosition{1, 1, "a", "b"}, true},
		{"1 1 0 ab", duePosition{1, 1, "", "ab"}, true},
		{"1 1 2 ab", duePosition{1, 1, "ab", ""}, true},
		{"-19 10 1 a b c", duePosition{-19, 10, "a", " b c"}, true},
		{most + " " + most + " 1 ab", duePosition{math.MaxInt64, math.MaxInt64, "a", "b"}, true},
		{"1 1 3 ab", duePosition{}, false},
		{"1 1 -1 ab", duePosition{}, false},
		{"1 1 1", duePosition{}, false},
		{"x 1 1 ab", duePosition{}, false},
		{"1 x 1 ab", duePosition{}, false},
		{"1 1 x ab", duePosition{}, false},
		{"1a 1 1 ab", duePosition{}, false},
		{"1 1a 1 ab", duePosition{}, false},
		{"9" + most + " 1 1 ab", duePosition{}, false},
		{"1 9" + most + " 1 ab", duePosition{}, false},
	} {
		got, err := parseDueCursor(tt.cursor)
		if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("parseDueCursor(%q) = %+v, %v, want %+v and success: %v", tt.cursor, got, err, tt.want, tt.ok)
		}
	}
}

func TestBoundsOfAPage(t *testing.T) {
	end := []byte{0}
	for _, tt := range []struct {
		from, to, after string
		newest          bool
		wantFrom        string
		wantTo          any
	}{
		{"", "", "", false, "", end},
		{"b", "d", "", false, "b", "d"},
		{"b", "d", "a", false, "b", "d"},
		{"b", "d", "b", false, "b\x00", "d"},
		{"b", "d", "c", false, "c\x00", "d"},
		{"b", "", "c", false, "c\x00", end},
		{"", "", "", true, "", end},
		{"b", "d", "", true, "b", "d"},
		{"b", "d", "c", true, "b", "c"},
		{"b", "d", "d", true, "b", "d"},
		{"b", "d", "e", true, "b", "d"},
		{"b", "", "c", true, "b", "c"},
	} {
		from, to := bounds(storage.Query{From: tt.from, To: tt.to, After: tt.after, Newest: tt.newest})
		if from != tt.wantFrom || !reflect.DeepEqual(to, tt.wantTo) {
			t.Errorf("bounds of %+v = %q, %q, want %q, %q", tt, from, to, tt.wantFrom, tt.wantTo)
		}
	}
}
