package embedded

import (
	"fmt"
	"testing"

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
