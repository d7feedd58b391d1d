package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/history"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// A naming is a provider that gives each item of another the same natural key.
type naming struct {
	provider.Provider
	key     string
	stable  time.Time
	forever bool
}

func (n *naming) Parse(cb *provider.Callback) (provider.Reading, error) {
	r, err := n.Provider.Parse(cb)
	for i := range r.Items {
		r.Items[i].NaturalKey, r.Items[i].StableTime, r.Items[i].UniqueForever = n.key, n.stable, n.forever
	}
	return r, err
}

// TestNaturalKeyCountsByWhatTheProviderSaysOfIt sends the same callback again and
// again, under what natural keys may be, and counts the events and the repeats
// that were recognised.
func TestNaturalKeyCountsByWhatTheProviderSaysOfIt(t *testing.T) {
	proofs.Long(t)
	const week = 7 * 24 * time.Hour
	for _, tt := range []struct {
		name    string
		key     string
		age     time.Duration // of the stable time; 0: there is none
		forever bool
		apart   time.Duration
		want    float64 // events of three callbacks
	}{
		{"no key", "", 0, false, time.Second, 3},
		{"a key with its time", "k", time.Hour, false, 30 * time.Hour, 1},
		{"a key whose time is an hour ahead", "k", -time.Hour, false, 0, 3},
		{"a key whose time is nearly an hour ahead", "k", 1 - time.Hour, false, 0, 1},
		{"a key whose time is a week back", "k", week, false, 0, 3},
		{"a key whose time is nearly a week back", "k", week - 1, false, 0, 1},
		{"a key without a time", "k", 0, false, 0, 3},
		{"a key that is unique for ever", "k", 0, true, 49 * time.Hour, 1},
		{"a key that is unique for ever, after it is forgotten", "k", 0, true, 9 * 24 * time.Hour, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.apart > week && !proofs.Full() {
				t.Skip("lets 18 days go by, for RINGBACK_PROOFS=full")
			}
			synctest.Test(t, func(t *testing.T) {
				counted := metricsOf{}
				g, out := newGateway(t, 0), &outbox{}
				worker := processOf(t, g, out, http.StatusOK)
				n := &naming{Provider: all.Providers()["smartbots"], key: tt.key, forever: tt.forever}
				worker.Providers, worker.Metrics = map[string]provider.Provider{"smartbots": n}, counted
				c, path := smartBots(t, worker)
				register(t, worker, c, path.source)
				if tt.age != 0 {
					n.stable = storage.UTC(time.Now()).Add(-tt.age)
				}
				for i := range 3 {
					if i > 0 {
						time.Sleep(tt.apart)
					}
					out.pass(t, worker, path)
				}
				if events, posts, repeats := counted[gateway.Events], counted[gateway.AttemptsSucceeded], counted[gateway.DuplicateEvents]; events != tt.want || posts != tt.want || repeats != 3-tt.want {
					t.Errorf("%v events, %v POSTs and %v repeats, want %v, %v and %v", events, posts, repeats, tt.want, tt.want, 3-tt.want)
				}
			})
		})
	}
}

// TestEventWhoseKeyIsUniqueForEverGoesOnAfterACrash has a worker end after it
// claimed the key, and its message come again.
func TestEventWhoseKeyIsUniqueForEverGoesOnAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, out := newGateway(t, 0), &outbox{}
		worker := processOf(t, g, out, http.StatusOK)
		worker.Providers = map[string]provider.Provider{"smartbots": &naming{Provider: all.Providers()["smartbots"], key: "k", forever: true}}
		c, path := smartBots(t, worker)
		r := register(t, worker, c, path.source)
		for _, failing := range []string{"E#", "D#"} {
			worker.Store = &refusing{g.Store, failing}
			out.passed(t, worker, path, 1)
		}
		worker.Store = g.Store
		time.Sleep(2 * time.Hour)
		out.passed(t, worker, path, 0)
		ds, _, err := history.New(control.New(g)).Deliveries(t.Context(), c, history.Query{Registration: r.ID})
		if err != nil || len(ds) != 1 || ds[0].Status != gateway.Succeeded {
			t.Errorf("deliveries %+v, %v, want the one of the first callback, succeeded", ds, err)
		}
	})
}

// A refusing is a Store that writes no row of a kind.
type refusing struct {
	storage.Store
	prefix string // of the PKs
}

func (s *refusing) Put(ctx context.Context, r storage.Row, was string) error {
	if len(r.PK) > len(s.prefix) && r.PK[:len(s.prefix)] == s.prefix {
		return fmt.Errorf("put: %w", storage.ErrUnavailable)
	}
	return s.Store.Put(ctx, r, was)
}

// passed hands to g what is in o, after a callback if o is empty, and wants so
// many messages to come again; those stay in o.
func (o *outbox) passed(t *testing.T, g *gateway.Gateway, at callbackPath, again int) {
	t.Helper()
	if len(o.sent) == 0 {
		o.take(t, g, at)
	}
	left := o.sent[:0:0]
	for _, m := range o.sent {
		receipts, err := g.FanOut(t.Context(), []storage.Received{{Body: m.Body, Receipt: "1", Receives: 1}})
		if err != nil {
			t.Fatalf("FanOut: %v", err)
		}
		if len(receipts) > 0 {
			left = append(left, m)
		}
	}
	if o.sent = left; len(left) != again {
		t.Fatalf("%d messages come again, want %d", len(left), again)
	}
}

// metricsOf adds up what is counted.
type metricsOf map[gateway.Metric]float64

func (m metricsOf) Add(name gateway.Metric, v float64) { m[name] += v }
