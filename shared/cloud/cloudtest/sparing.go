package cloudtest

import (
	"context"
	"sync"
	"time"

	"ringback/shared/storage"
)

// sparing is a Store that does not ask for what falls due in a shard where, by
// all that was put, nothing does: in days of virtual time most ticks find
// nothing, and each would ask all shards of both tables.
type sparing struct {
	storage.Store
	mu    sync.Mutex
	puts  int
	noted map[int][]noted // by shard
}

// A noted is a row that was put, or is about to be, with a due time.
type noted struct {
	key storage.Key
	due time.Time
	n   int // of the put
}

// Put notes r before, since it may be done though the answer is lost, and after,
// since what was noted before may have been dropped meanwhile.
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
		s.noted = map[int][]noted{}
	}
	s.puts++
	shard := r.DueShard()
	s.noted[shard] = append(s.noted[shard], noted{r.Key, r.Due, s.puts})
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

// drop forgets what was noted as due until a time, by the first so many puts,
// and is not among rows, which are all that is.
func (s *sparing) drop(shard int, until time.Time, puts int, rows []storage.DueRow) {
	due := map[storage.Key]bool{}
	for _, r := range rows {
		due[r.Key] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []noted
	for _, n := range s.noted[shard] {
		if n.due.After(until) || n.n > puts || due[n.key] {
			kept = append(kept, n)
		}
	}
	s.noted[shard] = kept
}
