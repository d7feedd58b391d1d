package app_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"ringback/shared/storage"
)

// groupsOf is a Queue that notes the group of each message to the events queue.
type groupsOf struct {
	storage.Queue
	mu   sync.Mutex
	seen []string
}

func (q *groupsOf) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	if name == storage.EventsQueue {
		q.mu.Lock()
		for _, m := range ms {
			q.seen = append(q.seen, m.Group)
		}
		q.mu.Unlock()
	}
	return q.Queue.Send(ctx, name, ms)
}

func TestFairQueuesGroupMessagesByTheirSource(t *testing.T) {
	for _, fair := range []bool{true, false} {
		t.Run(fmt.Sprint(fair), func(t *testing.T) {
			idle(t, func(t *testing.T, w *world) {
				q := &groupsOf{Queue: w.db}
				w.g = w.gatewayOver(q)
				w.g.FairQueues = fair
				s, path := w.smartBots()
				for n := range 3 {
					w.chat(path, groupA, fmt.Sprint(n))
				}
				want := ""
				if fair {
					want = s.ID
				}
				if len(q.seen) != 3 {
					t.Fatalf("%d messages of 3 callbacks", len(q.seen))
				}
				for _, got := range q.seen {
					if got != want {
						t.Errorf("a message has the group %q, want %q", got, want)
					}
				}
			})
		})
	}
}
