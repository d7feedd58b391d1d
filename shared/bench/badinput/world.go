package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"ringback/shared/app"
	"ringback/shared/config"
	"ringback/shared/control"
	"ringback/shared/egress"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"
)

// The accounts that are called, under fixed ids, so that a finding can be
// played again.
const (
	sdkAppID = 1400123456
	token    = "xxxxyyyy"
	secret   = "badinput0callback0key00000000000"
	label    = "acme"
	formats  = 2 // of registrations for all of each source
)

var (
	login   = provider.Login{Name: "tenant-7", Password: "pa:ss wörd"}
	sources = map[string]string{"smartbots": "src-badinpu1", "tencent-chat": "src-badinpu2", "direct": "src-badinpu3"}
)

func path(provider string) string {
	return "/callbacks/" + provider + "/" + sources[provider] + "/" + secret
}

// A world is a gateway with a source of each provider, on the embedded backend,
// whose handlers are called without a socket. What its worker delivers goes to
// an endpoint that accepts everything.
type world struct {
	g        *gateway.Gateway
	handlers map[string]http.Handler
	db       *embedded.DB
	dir      string
	stop     context.CancelFunc
	working  sync.WaitGroup
	posts    posts
	faults   faults
}

// plant changes parts of a world, so that a test sees what is reported then.
type plant struct {
	provider func(provider.Provider) provider.Provider
	queue    func(storage.Queue) storage.Queue
	handler  func(http.Handler) http.Handler
}

func newWorld(ctx context.Context, p plant) (*world, error) {
	dir, err := os.MkdirTemp("", "badinput-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, handlers: map[string]http.Handler{}}
	if w.db, err = embedded.Open(ctx, dir, embedded.Options{Relaxed: true}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := w.wire(ctx, p); err != nil {
		return nil, errors.Join(err, w.close())
	}
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	w.working.Go(func() {
		err := w.db.Serve(ctx, storage.EventsQueue, embedded.Consumer{Handler: w.g.FanOut, Concurrency: 8, Timeout: time.Minute})
		if err != nil && ctx.Err() == nil {
			panic(err) // unreachable: the file is this process's own
		}
	})
	return w, nil
}

func (w *world) wire(ctx context.Context, p plant) error {
	cfg, err := config.Load(func(string) string { return "" })
	if err != nil {
		return err
	}
	keys, err := keyring.Parse("1 a key ring of no fewer than 32 characters")
	if err != nil {
		return err
	}
	providers := all.Providers()
	for name := range providers {
		if p.provider != nil {
			providers[name] = p.provider(providers[name])
		}
	}
	var q storage.Queue = queue{w.db}
	if p.queue != nil {
		q = p.queue(q)
	}
	w.g, err = app.New(cfg, app.Parts{Steps: transfer.Steps,
		Store: w.db, Queue: q, Keys: keys, Providers: providers, Alone: true, Log: slog.New(&w.faults),
	})
	if err != nil {
		return err
	}
	w.g.Egress = &egress.Client{Transport: &w.posts}
	for name := range providers {
		w.handlers[name] = app.Callback(w.g, name)
		if p.handler != nil {
			w.handlers[name] = p.handler(w.handlers[name])
		}
		if err := w.add(ctx, name); err != nil {
			return fmt.Errorf("source of %s: %w", name, err)
		}
	}
	return nil
}

// add makes a source of the provider, and a tenant that registers for all of it
// in both formats.
func (w *world) add(ctx context.Context, provider string) error {
	now, source := time.Now(), sources[provider]
	ch := control.SourceChange{Provider: provider, Name: &provider}
	switch provider {
	case "tencent-chat":
		ch.SDKAppID, ch.Token = new(uint64(sdkAppID)), new(token)
	case "direct":
		ch.Basic = &login
	}
	tenant := ident.New("ten", now)
	_, errSource := control.New(w.g).CreateSource(ctx, source, ch)
	_, errKey := control.New(w.g).PutCallbackKey(ctx, ident.New("cbk", now), source, label, secret)
	_, _, errTenant := control.New(w.g).CreateTenant(ctx, tenant, provider, gateway.Limits{})
	_, errGrant := control.New(w.g).CreateGrant(ctx, ident.New("grt", now), source, tenant, nil)
	if err := errors.Join(errSource, errKey, errTenant, errGrant); err != nil {
		return err
	}
	c := control.Caller{Scope: control.ScopeFull, Tenant: tenant, Limits: gateway.Limits{}.OrDefault()}
	for _, format := range [formats]gateway.Format{gateway.Standard, gateway.Raw} {
		ch := control.RegistrationChange{URL: new("https://tenant.example/" + string(format)), EventTypes: &[]string{"*"}, Format: &format}
		if _, _, err := control.New(w.g).CreateRegistration(ctx, c, ident.New("reg", now), source, ch); err != nil {
			return err
		}
	}
	return nil
}

// drained waits until nothing waits in the queue, or something could not be
// handled, which would come again minutes later and fail again.
func (w *world) drained(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := w.db.Depth(ctx, storage.EventsQueue)
		if err != nil || d.Waiting+d.InFlight+d.Delayed == 0 || len(w.faults.told()) > 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *world) close() error {
	if w.stop != nil {
		w.stop()
	}
	w.working.Wait()
	return errors.Join(w.db.Close(), os.RemoveAll(w.dir))
}
