package history

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// FuzzCursor reads cursors that nobody gave out. What is read must be written
// as it is read, and a page that begins there must end at or after it.
func FuzzCursor(f *testing.F) {
	f.Add("06h05bpdqi.reg_1", "reg_2", 10)
	f.Add(`{"part":1,"id":"ten_1","below":true,"after":"R#1"}`, "", 0)
	f.Add("0 3 evt_1", "~", -1)
	f.Fuzz(func(t *testing.T, text, id string, limit int) {
		if s, err := parseCursor(text); err == nil {
			if back, err := parseCursor(s.String()); err != nil || back != s || s.String() != text {
				t.Errorf("cursor %q is read as %+v, and written %q", text, s, s)
			}
		} else if !errors.Is(err, storage.ErrInvalid) || strings.Contains(err.Error(), text) && len(text) > 3 {
			t.Errorf("parseSpot(%q): %v", text, err)
		}

		q := Query{Cursor: text, Limit: limit}
		p := part{storage.Query{Table: storage.Deliveries, PK: "D#reg_1#0"}, id, "src-00000001"}
		bounded, err := q.bound(p)
		if err != nil {
			return
		}
		if n := bounded.PageRows(); n < 1 || n > storage.MaxPageRows {
			t.Errorf("page of %d rows for a limit of %d", n, limit)
		}
		event, err := ident.Event(p.source, "", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), "k")
		if err != nil {
			t.Fatal(err)
		}
		_, next := q.join([]part{p}, []storage.Page{{Rows: []storage.Row{{Key: storage.Key{Table: storage.Deliveries, PK: p.PK, SK: event}}}, Next: event}})
		if _, err := parseCursor(next); next != "" && err != nil && len(id) < gateway.MaxName/2 && !strings.Contains(id, ".") && text == "" {
			t.Errorf("the page ended with the cursor %q, which is refused: %v", next, err)
		}
	})
}
