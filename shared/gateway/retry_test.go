package gateway_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// TestTickSendsWhatItsShardsHaveTogether lets nine deliveries fall due, which
// lie in several shards of the due index.
func TestTickSendsWhatItsShardsHaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const deliveries = 9 // one more would open the circuit
		out := &outbox{}
		g := newGateway(t, 0)
		worker := processOf(t, g, out, http.StatusInternalServerError)
		c, path := smartBots(t, worker)
		url, waits := "https://tenant.example/", schedule.Schedule{Waits: []time.Duration{time.Hour}}
		if _, _, err := control.New(worker).CreateRegistration(t.Context(), c, ident.New("reg", time.Now()), path.source,
			control.RegistrationChange{URL: &url, Schedule: &waits}); err != nil {
			t.Fatal(err)
		}
		for range deliveries {
			out.pass(t, worker, path)
		}
		time.Sleep(75 * time.Minute)
		retry := &sends{Queue: g.Queue}
		g.Queue = retry
		if err := g.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		if retry.requests != 1 || retry.messages != deliveries {
			t.Errorf("%d requests with %d messages for %d due deliveries, want one with all", retry.requests, retry.messages, deliveries)
		}
	})
}

// sends counts what is sent.
type sends struct {
	storage.Queue
	requests, messages int
}

func (s *sends) Send(ctx context.Context, q storage.QueueName, ms []storage.Message) []error {
	s.requests++
	s.messages += len(ms)
	return s.Queue.Send(ctx, q, ms)
}
