package gateway_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestEndpointThatAnotherProcessFindsWellIsNotDisabled lets one process see
// nothing but two failures, more than five days apart, and another nothing but
// acceptances, so closely after each other that it never asks for the health.
func TestEndpointThatAnotherProcessFindsWellIsNotDisabled(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		fails, accepts := &outbox{}, &outbox{}
		g := newGateway(t, 0)
		unlucky, lucky := processOf(t, g, fails, http.StatusInternalServerError), processOf(t, g, accepts, http.StatusOK)
		c, path := smartBots(t, lucky)
		r := register(t, lucky, c, path.source)
		for range 3 {
			accepts.pass(t, lucky, path)
			time.Sleep(50 * time.Second)
		}
		fails.pass(t, unlucky, path)
		for range 15 {
			accepts.pass(t, lucky, path)
			time.Sleep(50 * time.Second)
		}
		time.Sleep(5*24*time.Hour + time.Hour)
		fails.pass(t, unlucky, path)
		if r, err := control.New(g).Registration(t.Context(), c, r.ID); err != nil || r.State != gateway.Enabled {
			t.Errorf("the registration is %q (%s), %v; want it enabled", r.State, r.Reason, err)
		}
	})
}

// processOf returns another process of the same gateway, whose tenants'
// endpoints all answer with status.
func processOf(t *testing.T, g *gateway.Gateway, q *outbox, status int) *gateway.Gateway {
	t.Helper()
	return made(t, gateway.Config{
		Store: g.Store, Queue: q, Keys: g.Keys, Providers: all.Providers(), PublicURL: g.PublicURL,
		Egress: &egress.Client{Transport: answers(status)},
	})
}

// answers is the status of every answer.
type answers int

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// An outbox keeps what is sent to the events queue until it is passed on, and
// nothing of the retry queue.
type outbox struct {
	storage.Queue
	sent []storage.Message
}

func (o *outbox) Send(_ context.Context, q storage.QueueName, ms []storage.Message) []error {
	if q == storage.EventsQueue {
		o.sent = append(o.sent, ms...)
	}
	return make([]error, len(ms))
}

// pass has g take a callback in and do what it asks for.
func (o *outbox) pass(t *testing.T, g *gateway.Gateway, at callbackPath) {
	t.Helper()
	o.take(t, g, at)
	for _, m := range o.sent {
		if again, err := g.FanOut(t.Context(), []storage.Received{{Body: m.Body, Receipt: "1", Receives: 1}}); err != nil || len(again) > 0 {
			t.Fatalf("FanOut: %v again, %v", again, err)
		}
	}
	o.sent = nil
}

// take has g take a callback in.
func (o *outbox) take(t *testing.T, g *gateway.Gateway, at callbackPath) {
	t.Helper()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	reply := g.Ingest(t.Context(), "smartbots", at.source, at.key, &provider.Callback{
		Method: http.MethodPost, Header: header, Body: []byte("action=group_chat&message=hello"), Received: time.Now(),
	})
	if reply.StatusCode != http.StatusOK {
		t.Fatalf("callback: %d %s", reply.StatusCode, reply.Body)
	}
}

type callbackPath struct{ source, key string }

// smartBots makes a source of smartbots and a tenant with a grant of it.
func smartBots(t *testing.T, g *gateway.Gateway) (control.Caller, callbackPath) {
	t.Helper()
	ctx, name := t.Context(), "bots"
	s, err := control.New(g).CreateSource(ctx, ident.NewSource(), control.SourceChange{Provider: "smartbots", Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	url, err := control.New(g).FirstCallbackURL(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	tn, _, err := control.New(g).CreateTenant(ctx, ident.New("ten", time.Now()), "acme", gateway.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.New(g).CreateGrant(ctx, ident.New("grt", time.Now()), s.ID, tn.ID, nil); err != nil {
		t.Fatal(err)
	}
	return control.Caller{Key: "key", Scope: control.ScopeFull, Tenant: tn.ID}, callbackPath{s.ID, url[strings.LastIndex(url, "/")+1:]}
}
