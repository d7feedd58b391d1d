package sqstest

import (
	"context"
	"time"
)

// Await waits until a message of the queue can be received, and returns false if ctx ends before. In virtual time it is
// cheaper than long polling, which makes a request every 20 s of many simulated days.
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
