package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
)

// TestEventThatBothMatchesWantIsNotMissed changes a registration's match while a
// worker knows the source as it was. An event that the registration wanted before
// and wants after it must find it.
func TestEventThatBothMatchesWantIsNotMissed(t *testing.T) {
	delivered := gateway.Match{"status": {"delivered"}}
	for _, tt := range []struct {
		name          string
		before, after gateway.Match
	}{
		{"from a routing key to the whole source", delivered, nil},
		{"from the whole source to a routing key", nil, delivered},
		{"from one kind of key to another", delivered, gateway.Match{"channel": {"SMS"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // no time goes by
				g := newGateway(t, 0)
				q := &sent{Queue: g.Queue}
				g.Queue = q
				c, source := tenant(t, g)
				other := register(t, g, c, source)
				r := register(t, g, c, source)
				change(t, g, c, other, gateway.Match{"status": {"failed"}})
				change(t, g, c, r, tt.before)

				took := &takes{}
				worker := made(t, gateway.Config{
					Store: g.Store, Queue: q, Keys: g.Keys, Providers: all.Providers(), Egress: &egress.Client{Transport: took},
				})
				fanOut := func(status string) {
					report(t, g, source, status)
					if again, err := worker.FanOut(t.Context(), q.received()); err != nil || len(again) > 0 {
						t.Fatalf("fan-out: %v again, %v", again, err)
					}
				}
				fanOut("failed") // from now on the worker knows the source
				change(t, g, c, r, tt.after)
				took.bodies = nil
				fanOut("delivered")
				if len(took.bodies) != 1 {
					t.Errorf("the event was delivered %d times, want once", len(took.bodies))
				}
			})
		})
	}
}

func change(t *testing.T, g *gateway.Gateway, c control.Caller, r gateway.Registration, m gateway.Match) {
	t.Helper()
	if _, err := control.New(g).ChangeRegistration(t.Context(), c, r.ID, 0, control.RegistrationChange{Match: &m}); err != nil {
		t.Fatal(err)
	}
}

// report has the provider call with one event.
func report(t *testing.T, g *gateway.Gateway, source, status string) {
	t.Helper()
	s, err := control.New(g).Source(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	at, err := control.New(g).FirstCallbackURL(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(u.Path, "/")
	body := fmt.Sprintf(`{"message_uuid":"m-%s","channel_type":"SMS","callback_event":"delivered","status":%q,"status_time":%q}`, status, status, time.Now().Format(time.RFC3339))
	reply := g.Ingest(t.Context(), "direct", source, parts[len(parts)-1], &provider.Callback{
		Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body), Received: time.Now(),
	})
	if reply.StatusCode != http.StatusOK {
		t.Fatalf("the callback is answered %d", reply.StatusCode)
	}
}

// sent is a Queue that keeps what is sent to the events queue, too.
type sent struct {
	storage.Queue
	bodies []string
}

func (q *sent) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	for _, m := range ms {
		if name == storage.EventsQueue {
			q.bodies = append(q.bodies, m.Body)
		}
	}
	return q.Queue.Send(ctx, name, ms)
}

// received returns the messages since it was called last.
func (q *sent) received() []storage.Received {
	var out []storage.Received
	for n, body := range q.bodies {
		out = append(out, storage.Received{Body: body, Receipt: fmt.Sprint(n), Receives: 1})
	}
	q.bodies = nil
	return out
}

// takes is the way to endpoints that accept all.
type takes struct {
	mu     sync.Mutex
	bodies []string
}

func (x *takes) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bodies = append(x.bodies, string(body))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, err
}
