package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// parallelReads is how many partitions of a merged list are read at the same time.
const parallelReads = 32

// An event's id holds a time of the provider's if there is one. A repeat may bring it later than that by
// stableSlack; it is never further ahead than latestSlack.
const (
	stableSlack = 8 * 24 * time.Hour
	latestSlack = time.Hour
)

// idNumberChars are those of an event id that come before its time.
const idNumberChars = len(ident.EventPrefix) + 8

// A part is one partition of a merged list.
type part struct {
	storage.Query
	id     string // registration, or source
	source string
}

func deliveryParts(rs []gateway.Registration, open bool) (parts []part) {
	for _, r := range rs {
		for shard := range gateway.HistoryShards {
			q := storage.Query{Table: storage.Deliveries, PK: gateway.DeliveryPK(r.ID, shard), Open: open}
			parts = append(parts, part{q, r.ID, r.Source})
		}
	}
	return parts
}

func byID(rs []gateway.Registration) map[string]gateway.Registration {
	byRegistration := make(map[string]gateway.Registration, len(rs))
	for _, r := range rs {
		byRegistration[r.ID] = r
	}
	return byRegistration
}

// A cursor is a place in a merged list: what an event id holds after the source's number, so that the events of
// different sources sort by time, and the registration.
type cursor struct{ time, id string }

func (p part) cursorOf(sk string) cursor { return cursor{sk[min(idNumberChars, len(sk)):], p.id} }

// compare orders spots as lists do, newest first.
func (a cursor) compare(b cursor) int {
	return cmp.Or(cmp.Compare(b.time, a.time), cmp.Compare(b.id, a.id))
}

func (s cursor) String() string { return s.time + "." + s.id }

func parseCursor(text string) (cursor, error) {
	at, id, found := strings.Cut(text, ".")
	if !found || len(text) > gateway.MaxName {
		return cursor{}, fmt.Errorf("cursor: %w: want one that a page ended with", storage.ErrInvalid)
	}
	return cursor{at, id}, nil
}

// How far one call looks for a row that is wanted: on AWS, where a look takes longer, so long.
const (
	maxScanned = 20_000 // rows
	scanTime   = 800 * time.Millisecond
	wideRows   = 1_000 // of each look but the first
)

// scan merges page after page until find finds something in one, and says how much, the
// list ends or it has looked far enough. It returns the cursor behind what was found,
// which cut leaves so much of as a page may hold, and whose last place it returns.
func (h *History) scan(ctx context.Context, parts []part, q Query, find func([]storage.Row) (int, error), cut func(n int) cursor) (string, error) {
	end := time.Now().Add(scanTime)
	for looked := 0; ; q.wide = true {
		rows, next, err := h.merge(ctx, parts, q)
		if err != nil {
			return "", err
		}
		found, err := find(rows)
		if found > q.limit() {
			next = cut(q.limit()).String()
		}
		looked += len(rows)
		if err != nil || found > 0 || next == "" || next == q.Cursor || looked >= maxScanned || time.Now().After(end) {
			return next, err
		}
		q.Cursor = next
	}
}

// ScannedTo returns the time of the place that a list's cursor is at; zero if there is none: the list ended.
func ScannedTo(cursor string) time.Time {
	at, err := parseCursor(cursor)
	if err != nil {
		return time.Time{}
	}
	return ident.EventTime(ident.EventPrefix + strings.Repeat("0", idNumberChars-len(ident.EventPrefix)) + strings.TrimSuffix(at.time, "~"))
}

// merge reads all parts at once, newest first, and returns a page of what they hold together, and its cursor.
// What a part did not get to within its page bounds how far the whole page goes.
func (h *History) merge(ctx context.Context, parts []part, q Query) ([]storage.Row, string, error) {
	pages := make([]storage.Page, len(parts))
	var group errgroup.Group
	group.SetLimit(parallelReads)
	for i, p := range parts {
		bounded, err := q.bound(p)
		if err != nil {
			return nil, "", err
		}
		group.Go(func() error {
			var err error
			pages[i], err = h.gw.Store.List(ctx, bounded)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, "", fmt.Errorf("list history: %w", err)
	}
	rows, next := q.join(parts, pages)
	return rows, next, nil
}

// bound returns p's query from q's cursor on, between q's times. An event's id holds the time of the provider
// if there is one, so the range is wider than the times of receipt.
func (q Query) bound(p part) (storage.Query, error) {
	b := p.Query
	b.Newest, b.Limit = true, min(q.rows(), q.rows()/4+8, storage.MaxPageRows)
	if !q.Since.IsZero() {
		b.From = ident.EventFloor(p.source, q.Since.Add(-stableSlack))
	}
	if !q.Until.IsZero() {
		b.To = ident.EventFloor(p.source, q.Until.Add(latestSlack))
	}
	if q.Cursor == "" {
		return b, nil
	}
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return b, err
	}
	to := ident.EventPrefix + strings.TrimPrefix(p.source, ident.SourcePrefix+"-") + at.time
	if p.id < at.id {
		to += "~" // the same event for this registration comes after the cursor
	}
	if b.To == "" || to < b.To {
		b.To = to
	}
	return b, b.Check()
}

// join merges pages into one, newest first. Its cursor is never before q's own:
// a page may be empty and end where it began.
func (q Query) join(parts []part, pages []storage.Page) ([]storage.Row, string) {
	type placed struct {
		cursor
		row storage.Row
	}
	var all []*placed
	var end *cursor // the first place that a part did not get to
	for i, p := range pages {
		for _, r := range p.Rows {
			all = append(all, &placed{parts[i].cursorOf(r.SK), r})
		}
		if s := parts[i].cursorOf(p.Next); p.Next != "" && (end == nil || s.compare(*end) < 0) {
			end = &s
		}
	}
	if began, err := parseCursor(q.Cursor); err == nil && end != nil && end.compare(began) < 0 {
		end = &began
	}
	slices.SortFunc(all, func(a, b *placed) int { return a.compare(b.cursor) })
	var rows []storage.Row
	for _, p := range all {
		if end != nil && end.compare(p.cursor) < 0 {
			break
		}
		rows = append(rows, p.row)
		if len(rows) == q.rows() {
			return rows, p.String()
		}
	}
	if end != nil {
		return rows, end.String()
	}
	return rows, ""
}
