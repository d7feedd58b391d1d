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

// parallelReads is how many partitions of a merged list are read in parallel.
const parallelReads = 32

// An event's id holds the provider's time if there is one. It may be before the receipt by stableSlack, and after
// it by latestSlack.
const (
	stableSlack = 8 * 24 * time.Hour
	latestSlack = time.Hour
)

// idNumberChars is the length of an event id's part before its time.
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

// A cursor is a position in a merged list: the part of an event id after the source's number, so that events of
// different sources sort by time, and the registration.
type cursor struct{ time, id string }

func (p part) cursorOf(sk string) cursor { return cursor{sk[min(idNumberChars, len(sk)):], p.id} }

// compare orders cursors as lists do, newest first.
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

// Limits of one call's scan. On AWS, where reads take longer, the time decides.
const (
	maxScanned = 20_000 // rows
	scanTime   = 800 * time.Millisecond
	wideRows   = 1_000 // of each read except the first
)

// scan merges page after page until find finds something in one and returns how much, the list ends, or the limits
// of a call are reached. It returns the cursor after what was found; cut shortens that to a page and returns its
// last position.
func (h *History) scan(ctx context.Context, parts []part, q Query, find func([]storage.Row) (int, error), cut func(n int) cursor) (string, error) {
	end := time.Now().Add(scanTime)
	for scanned := 0; ; q.wide = true {
		rows, next, err := h.merge(ctx, parts, q)
		if err != nil {
			return "", err
		}
		found, err := find(rows)
		if found > q.limit() {
			next = cut(q.limit()).String()
		}
		scanned += len(rows)
		if err != nil || found > 0 || next == "" || next == q.Cursor || scanned >= maxScanned || time.Now().After(end) {
			return next, err
		}
		q.Cursor = next
	}
}

// ScannedTo returns the time of a list's cursor; zero without one, at the list's end.
func ScannedTo(cursor string) time.Time {
	at, err := parseCursor(cursor)
	if err != nil {
		return time.Time{}
	}
	return ident.EventTime(ident.EventPrefix + strings.Repeat("0", idNumberChars-len(ident.EventPrefix)) + strings.TrimSuffix(at.time, "~"))
}

// merge reads all parts in parallel, newest first, and returns a page of their rows and its cursor. The page ends
// at the earliest point that some part's page did not reach.
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

// bound returns p's query from q's cursor on and between q's times. Ids hold the provider's time, so the range is
// wider than the times of receipt.
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
		to += "~" // the same event for this registration sorts after the cursor
	}
	if b.To == "" || to < b.To {
		b.To = to
	}
	return b, b.Check()
}

// join merges pages into one, newest first. Its cursor is never before q's own: a page may be empty and end where
// it began.
func (q Query) join(parts []part, pages []storage.Page) ([]storage.Row, string) {
	type placed struct {
		cursor
		row storage.Row
	}
	var all []*placed
	var end *cursor // the first position that a part did not reach
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
