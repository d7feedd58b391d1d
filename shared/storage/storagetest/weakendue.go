package storagetest

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"ringback/shared/storage"
)

func (s *weakStore) Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]storage.DueRow, string, error) {
	about := fmt.Sprint(shard)
	if s.dice.under(s.w.Refused, "due", about) {
		return nil, "", ErrWeak
	}
	rows, err := storage.CheckDue(shard, limit)
	if err != nil {
		return nil, "", err
	}
	limit = rows
	if s.dice.under(s.w.ShortPages, "short due", about) {
		rows = 1 + int(s.dice.roll("due limit", about)*float64(limit))
	}
	found, next, err := s.Store.Due(ctx, shard, until, after, rows)
	if err != nil {
		return found, next, err
	}
	return s.lateDue(found, shard, until, after, limit), next, nil
}

// lateDue returns rows with some entries as they were a moment ago. Entries that are gone come with the first page, if
// there is room.
func (s *weakStore) lateDue(rows []storage.DueRow, shard int, until time.Time, after string, limit int) []storage.DueRow {
	for k, before := range s.past.all() {
		if k.DueShard() != shard || !s.dice.under(s.w.Late, "late due", k.PK, k.SK) {
			continue
		}
		oldRev := before != nil && !before.Due.IsZero() && !before.Due.After(until)
		i := slices.IndexFunc(rows, func(r storage.DueRow) bool { return r.Key == k })
		switch {
		case i >= 0 && !oldRev:
			rows = slices.Delete(rows, i, i+1)
		case i >= 0:
			rows[i].Due = before.Due.Truncate(time.Millisecond)
		case oldRev && after == "" && len(rows) < limit:
			rows = append(rows, storage.DueRow{Key: k, Due: before.Due.Truncate(time.Millisecond)})
		}
	}
	slices.SortStableFunc(rows, func(a, b storage.DueRow) int { return a.Due.Compare(b.Due) })
	return rows
}

// A past holds the rows as they were before the writes of the last moments.
type past struct {
	lag  time.Duration
	mu   sync.Mutex
	were map[storage.Key]moment
	last []storage.Key // in the order of were's times
}

// A moment is a row before a write.
type moment struct {
	row *storage.Row // nil: there was none
	end time.Time    // until when indexes may show it
}

func newPast(lag time.Duration) *past {
	return &past{lag: lag, were: map[storage.Key]moment{}}
}

// keep stores k's row before a write, unless an older state may still be shown.
func (p *past) keep(k storage.Key, before []storage.Row) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget()
	if _, ok := p.were[k]; ok {
		return
	}
	m := moment{end: time.Now().Add(p.lag)}
	if len(before) > 0 {
		m.row = &before[0]
	}
	p.were[k] = m
	p.last = append(p.last, k)
}

// forget drops states that may not be shown any more.
func (p *past) forget() {
	now := time.Now()
	for len(p.last) > 0 && !p.were[p.last[0]].end.After(now) {
		delete(p.were, p.last[0])
		p.last = p.last[1:]
	}
}

// all yields the rows written in the last moments as they were before, nil if there was none, in the order of their
// keys.
func (p *past) all() iter.Seq2[storage.Key, *storage.Row] {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget()
	keys := slices.SortedFunc(slices.Values(p.last), func(a, b storage.Key) int {
		return cmp.Or(cmp.Compare(a.PK, b.PK), cmp.Compare(a.SK, b.SK), cmp.Compare(a.Table, b.Table))
	})
	rows := make([]*storage.Row, len(keys))
	for i, k := range keys {
		rows[i] = p.were[k].row
	}
	return func(yield func(storage.Key, *storage.Row) bool) {
		for i, k := range keys {
			if !yield(k, rows[i]) {
				return
			}
		}
	}
}

// partition yields those of one partition.
func (p *past) partition(t storage.Table, pk string) iter.Seq2[storage.Key, *storage.Row] {
	return func(yield func(storage.Key, *storage.Row) bool) {
		for k, row := range p.all() {
			if k.Table == t && k.PK == pk && !yield(k, row) {
				return
			}
		}
	}
}
