package cloud

import (
	"fmt"
	"testing"

	"ringback/shared/storage"
)

// TestEveryWindowHoldsTheRowsOfItsQuery tries all bounds and starts of five rows
// on a DynamoDB that refuses what the real one does: a lower bound above the
// upper one, and a start outside of the bounds.
func TestEveryWindowHoldsTheRowsOfItsQuery(t *testing.T) {
	bounds := []string{"", "a", "b", "c", "d", "e"}
	for i := range len(bounds) * len(bounds) * len(bounds) * 2 {
		q := storage.Query{From: bounds[i%6], To: bounds[i/6%6], After: bounds[i/36%6], Newest: i >= 216}
		empty := q.From != "" && q.To != "" && q.From >= q.To ||
			q.After != "" && (q.Newest && q.After <= q.From || !q.Newest && q.To != "" && q.After >= q.To)
		w, ok := windowOf(q)
		if ok == empty {
			t.Errorf("windowOf(%+v) = %+v, %v, want that it is read: %v", q, w, ok, !empty)
		}
		if !ok {
			continue
		}
		got, err := w.rowsOf("abcde", q.Newest)
		if n := len(got); n > 0 && q.To != "" && got[n-1:] == q.To { // as List does
			got = got[:n-1]
		}
		if want := rowsOf("abcde", q); err != nil || got != want {
			t.Errorf("windowOf(%+v) = %+v, which reads %q, %v, want %q", q, w, got, err, want)
		}
	}
}

// rowsOf returns those of all, in order, that are q's.
func rowsOf(all string, q storage.Query) (rows string) {
	for _, c := range all {
		sk := string(c)
		switch {
		case sk < q.From || q.To != "" && sk >= q.To:
		case q.Newest && (q.After == "" || sk < q.After):
			rows = sk + rows
		case !q.Newest && sk > q.After:
			rows += sk
		}
	}
	return rows
}

// rowsOf returns what DynamoDB does.
func (w window) rowsOf(all string, newest bool) (rows string, err error) {
	holds := func(sk string) bool {
		switch w.condition() {
		case "":
			return true
		case " AND sk >= :from":
			return sk >= w.from
		case " AND sk < :to":
			return sk < w.to
		case " AND sk BETWEEN :from AND :to":
			return sk >= w.from && sk <= w.to
		}
		err = fmt.Errorf("condition %q", w.condition())
		return false
	}
	for name := range w.values("pk") {
		if name == ":from" && w.from == "" || name == ":to" && w.to == "" {
			return "", fmt.Errorf("%s is not used", name)
		}
	}
	if w.from != "" && w.to != "" && w.from > w.to || w.start != "" && !holds(w.start) {
		return "", fmt.Errorf("%+v is refused", w)
	}
	for _, c := range all {
		sk := string(c)
		if holds(sk) && (w.start == "" || newest && sk < w.start || !newest && sk > w.start) {
			if newest {
				rows = sk + rows
			} else {
				rows += sk
			}
		}
	}
	return rows, err
}
