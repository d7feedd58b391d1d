package cloud

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"ringback/shared/storage"
)

// TestPagesOfBothTablesAreMerged gives each page as the seconds at which its rows
// fall due, with a plus if DynamoDB has more.
func TestPagesOfBothTablesAreMerged(t *testing.T) {
	for _, tt := range []struct {
		deliveries, registrations string
		limit                     int
		want                      string // with a plus if there are more
	}{
		{"", "", 2, ""},
		{"1", "", 2, "1"},
		{"", "1", 2, "1"},
		{"13", "24", 4, "1234"},
		{"13", "24", 3, "123+"},
		{"13", "24", 5, "1234"},
		{"34", "12", 2, "12+"},
		{"12", "34", 2, "12+"},
		{"12", "", 2, "12"},
		{"12", "", 1, "1+"},
		{"11", "11", 4, "1111"},
		{"12+", "34", 2, "12+"},
		{"12", "34+", 2, "12+"},
		{"12+", "34", 4, "12+"},
		{"12", "3+", 4, "123+"},
		{"12+", "", 2, "12+"},
		{"+", "12", 2, "+"},
		{"12", "+", 2, "+"},
	} {
		pages := []duePage{pageOf(storage.Deliveries, tt.deliveries), pageOf(storage.Registrations, tt.registrations)}
		rows, more := mergeDue(pages, tt.limit)
		got := ""
		for _, r := range rows {
			got += fmt.Sprint(r.Due.Unix())
		}
		if more {
			got += "+"
		}
		if got != tt.want {
			t.Errorf("mergeDue of %q and %q, at most %d = %q, want %q", tt.deliveries, tt.registrations, tt.limit, got, tt.want)
		}
	}
}

func pageOf(table storage.Table, text string) duePage {
	p := duePage{table: table}
	for _, c := range text {
		if c == '+' {
			p.more = true
			continue
		}
		p.rows = append(p.rows, storage.DueRow{Key: storage.Key{Table: table}, Due: time.Unix(int64(c-'0'), 0)})
	}
	return p
}

// TestCursorThatIsCutOrFollowedBySomethingIsInvalid includes one whose first
// bytes are a cursor.
func TestCursorThatIsCutOrFollowedBySomethingIsInvalid(t *testing.T) {
	whole := base64.RawURLEncoding.EncodeToString([]byte(`{} `))
	if c, err := parseDueCursor(whole); err != nil || len(c) != 0 {
		t.Errorf("parseDueCursor(%q) = %v, %v, want an empty cursor", whole, c, err)
	}
	for _, text := range []string{whole + "?", whole + "=", whole[:2], base64.RawURLEncoding.EncodeToString([]byte(`{"deliveries":1}`))} {
		if c, err := parseDueCursor(text); !errors.Is(err, storage.ErrInvalid) || c != nil {
			t.Errorf("parseDueCursor(%q) = %v, %v, want ErrInvalid", text, c, err)
		}
	}
}
