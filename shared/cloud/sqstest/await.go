package sqstest

import (
	"context"
	"time"
)

// Await waits until a message of the queue name can be received, and returns
// false if ctx ends before. A receiver that awaits asks only when there is
// something, where one that polls asks every 20 s: virtual time has many.
func (s *Server) Await(ctx context.Context, name string) bool {
	for {
		s.mu.Lock()
		q, err := s.queue(name)
		if err != nil {
			s.mu.Unlock()
			return false
		}
		changed, next := q.changed, time.Time{}
		if len(q.waiting) > 0 {
			next = q.waiting[0].visible
		}
		s.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return false
		case !next.IsZero() && !next.After(time.Now()):
			return true
		case !wait(ctx, changed, next):
			return false
		}
	}
}
