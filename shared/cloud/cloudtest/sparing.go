package cloudtest

import (
	"context"
	"sync"
	"time"

	"ringback/shared/storage"
)

// sparing is a Store that answers Due from memory where no row of a shard can be due. In days of virtual time most
// runs of retry find nothing, and each would query every shard of both tables.
type sparing struct {
	storage.Store
	mu    sync.Mutex
	puts  int
	noted map[int][]dueNote // by shard
}

// A dueNote is a row with a due time that was put or is about to be.
type dueNote struct {
	key storage.Key
	due time.Time
	n   int // of the put
}

// Put notes r twice: before the put, since a put whose response is lost may still be done, and after it, since a
// concurrent Due may have dropped the first note.
func (s *sparing) Put(ctx context.Context, r storage.Row, was string) error {
	s.note(r)
	defer s.note(r)
	return s.Store.Put(ctx, r, was)
}

func (s *sparing) note(r storage.Row) {
	if r.Due.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noted == nil {
		s.noted = map[int][]dueNote{}
	}
	s.puts++
	shard := r.DueShard()
	s.noted[shard] = append(s.noted[shard], dueNote{r.Key, r.Due, s.puts})
}

func (s *sparing) Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]storage.DueRow, string, error) {
	s.mu.Lock()
	puts, any := s.puts, after != ""
	for _, n := range s.noted[shard] {
		any = any || !n.due.After(until)
	}
	s.mu.Unlock()
	if !any {
		return nil, "", nil
	}
	rows, next, err := s.Store.Due(ctx, shard, until, after, limit)
	if err == nil && after == "" && next == "" {
		s.drop(shard, until, puts, rows)
	}
	return rows, next, err
}

// drop removes the notes of the first puts that are due by until and not in rows, the list of all that is due by then.
func (s *sparing) drop(shard int, until time.Time, puts int, rows []storage.DueRow) {
	due := map[storage.Key]bool{}
	for _, r := range rows {
		due[r.Key] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var still []dueNote
	for _, n := range s.noted[shard] {
		if n.due.After(until) || n.n > puts || due[n.key] {
			still = append(still, n)
		}
	}
	s.noted[shard] = still
}
