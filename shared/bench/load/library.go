package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ringback/shared/app"
	"ringback/shared/config"
	"ringback/shared/control"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"
)

const (
	writers         = 128     // of events at once
	creators        = 4       // of registrations at once: each changes one row of their source
	tenantsOwn      = 50      // registrations of one tenant of a crowd, as is the default limit
	nowhere         = 1 << 20 // an endpoint at which nothing is to arrive
	historyDays     = 13
	historyProgress = 500_000 // events between two lines of progress
)

// A library is the gateway on a stage's file while no runner is, to put into it
// what would take too long from outside. Everything goes through the gateway's
// own verbs and the Store, so rows are what the runner would have written. Only
// the endpoints are played: they accept at once.
type library struct {
	*stage
	db   *embedded.DB
	keys *keyring.Ring
}

// offline stops the runner, lets do write into its file, and starts it again.
func (s *stage) offline(ctx context.Context, do func(*library) error) error {
	if err := s.runner.stop(); err != nil {
		return err
	}
	err := s.write(ctx, do)
	if err == nil {
		s.runner, err = startRunner(s.binary, s.dir)
	}
	return err
}

func (s *stage) write(ctx context.Context, do func(*library) error) error {
	text, err := os.ReadFile(filepath.Join(s.dir, "key-ring"))
	if err != nil {
		return err
	}
	keys, err := keyring.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	db, err := embedded.Open(ctx, s.dir, embedded.Options{Relaxed: true})
	if err != nil {
		return err
	}
	return errors.Join(do(&library{s, db, keys}), db.Close())
}

// gateway returns a gateway that keeps events so long; zero: as by default.
func (lib *library) gateway(history time.Duration) (*gateway.Gateway, error) {
	cfg, err := config.Load(func(string) string { return "" })
	if err != nil {
		return nil, err
	}
	cfg.PublicURL = publicURL
	now := &handover{Queue: lib.db}
	cfg.History, cfg.AllowEndpoints = cmp.Or(history, cfg.History), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	now.g, err = app.New(cfg, app.Parts{Steps: transfer.Steps,
		Store: lib.db, Queue: now, Keys: lib.keys, Providers: all.Providers(), SingleProcess: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return nil, err
	}
	now.g.Egress.Transport = accepting{}
	return now.g, nil
}

// crowd adds n registrations to the source, of many tenants, none of which
// wants the chats that are sent.
func (lib *library) crowd(ctx context.Context, n int) error {
	g, err := lib.gateway(0)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for first := 0; first < n; first += tenantsOwn {
		group.Go(func() error { return lib.crowdOf(ctx, g, first, min(n-first, tenantsOwn)) })
	}
	return group.Wait()
}

// crowdOf makes one tenant with n registrations.
func (lib *library) crowdOf(ctx context.Context, g *gateway.Gateway, first, n int) error {
	tenant, _, err := control.New(g).CreateTenant(ctx, ident.New("ten", time.Now()), "crowd", gateway.Limits{})
	if err != nil {
		return err
	}
	if _, err := control.New(g).CreateGrant(ctx, ident.New("grt", time.Now()), lib.source, tenant.ID, nil); err != nil {
		return err
	}
	c := control.Caller{Scope: control.ScopeFull, Tenant: tenant.ID}
	url := lib.receiver.url(nowhere)
	for i := range n {
		match := gateway.Match{"group": {fmt.Sprintf("crowd-%d", first+i)}}
		ch := control.RegistrationChange{URL: &url, Match: &match}
		if _, _, err := control.New(g).CreateRegistration(ctx, c, ident.New("reg", time.Now()), lib.source, ch); err != nil {
			return err
		}
	}
	return nil
}

// history adds n events that came over the last days, each delivered.
func (lib *library) history(ctx context.Context, n int) error {
	return lib.past(ctx, n, 0, historyDays*24*time.Hour)
}

// past adds n events that came over a time until now, each delivered to all
// that want it, and kept for history; zero: as by default.
func (lib *library) past(ctx context.Context, n int, history, over time.Duration) error {
	g, err := lib.gateway(history)
	if err != nil {
		return err
	}
	text := lib.generator(nil, groupA).body()
	source, key := path.Base(path.Dir(lib.path)), path.Base(lib.path)
	begin := time.Now().Add(-over)
	var next, refused atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range writers {
		group.Go(func() error {
			for i := next.Add(1); i <= int64(n) && ctx.Err() == nil; i = next.Add(1) {
				reply := g.Ingest(ctx, "smartbots", source, key, &provider.Callback{
					Method: http.MethodPost, Header: http.Header{"Content-Type": {formType}}, Body: []byte(text),
					Received: begin.Add(time.Duration(float64(over) * float64(i) / float64(n))),
				})
				if reply.StatusCode != http.StatusOK {
					refused.Add(1)
				}
				if i%historyProgress == 0 {
					lib.say("%s of %s events stored", number(float64(i)), number(float64(n)))
				}
			}
			return ctx.Err()
		})
	}
	return errors.Join(group.Wait(), wrong(refused.Load(), "events of the history were refused"))
}

// A handover is a queue whose messages are worked on before Send returns.
type handover struct {
	storage.Queue
	g *gateway.Gateway
}

// Send implements storage.Queue.
func (h *handover) Send(ctx context.Context, q storage.QueueName, ms []storage.Message) []error {
	if q != storage.EventsQueue {
		return h.Queue.Send(ctx, q, ms)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // an answer's time is too short for an attempt
	defer cancel()
	errs := make([]error, len(ms))
	for i, m := range ms {
		again, err := h.g.FanOut(ctx, []storage.Received{{Body: m.Body, Receipt: "1", Receives: 1}})
		if errs[i] = err; len(again) > 0 {
			errs[i] = errors.Join(err, errors.New("fan-out did not finish"))
		}
	}
	return errs
}

// accepting answers every POST with 200.
type accepting struct{}

func (accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}
