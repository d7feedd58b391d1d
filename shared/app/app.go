// Package app wires a Gateway from the Store and Queue that it is given, and
// serves its callbacks over HTTP. It imports no backend.
package app

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/sync/semaphore"

	"ringback/shared/config"
	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// Parts are what a Gateway is wired from besides its configuration.
type Parts struct {
	Store         storage.Store
	Queue         storage.Queue
	Keys          *keyring.Ring
	Providers     map[string]provider.Provider
	Metrics       gateway.Metrics // nil: nothing is counted
	Log           *slog.Logger
	SingleProcess bool // see gateway.Config

	// Steps makes the steps of jobs that are not the gateway's own, such as
	// transfer.Steps; nil: there are none, as for a process that runs no jobs.
	Steps func(*gateway.Gateway) map[gateway.JobKind]gateway.Step
}

// New returns the gateway that cfg describes.
func New(cfg config.Config, p Parts) (*gateway.Gateway, error) {
	g, err := gateway.New(gateway.Config{
		Store: p.Store, Queue: p.Queue, Keys: p.Keys, Providers: p.Providers, Metrics: p.Metrics, Log: p.Log, SingleProcess: p.SingleProcess,
		Egress:         &egress.Client{Allow: cfg.AllowEndpoints, OwnHosts: own(cfg.PublicURL), Paused: cfg.Paused},
		PublicURL:      cfg.PublicURL,
		Retention:      gateway.Retention{History: cfg.History},
		MaxConcurrency: cfg.MaxConcurrency,
		MaxBacklog:     cfg.MaxBacklog,
		FirstAttempt:   cfg.FirstAttempt,
		FairQueues:     cfg.FairQueues,
	})
	if err == nil && p.Steps != nil {
		g.Steps = p.Steps(g)
	}
	return g, err
}

func own(publicURL string) []string {
	u, err := url.Parse(publicURL)
	if err != nil || u.Host == "" {
		return nil
	}
	return []string{u.Host}
}

// Callback serves POST /callbacks/<provider>/<source id>/<key> for one provider,
// whatever stands before it, and refuses all else below its path.
func Callback(g *gateway.Gateway, providerName string) http.Handler {
	room := semaphore.NewWeighted(bodiesInFlight)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, below, _ := strings.Cut(r.URL.Path, "/callbacks/"+providerName+"/")
		source, key, _ := strings.Cut(below, "/")
		if strings.Contains(key, "/") {
			key = "" // nobody's
		}
		b := &body{r: r, room: room}
		defer b.done()
		answer(w, g.Ingest(r.Context(), providerName, source, key, &provider.Callback{
			Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, From: caller(r), Received: g.Clock(), Read: b.read,
		}))
	})
}

// caller returns the address of who called; invalid if it cannot be read.
func caller(r *http.Request) netip.Addr {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return at.Addr().Unmap()
	}
	a, _ := netip.ParseAddr(r.RemoteAddr)
	return a.Unmap()
}

func answer(w http.ResponseWriter, reply provider.Reply) {
	h := w.Header()
	for name, value := range reply.Header {
		h.Set(name, value)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if reply.ContentType != "" {
		h.Set("Content-Type", reply.ContentType)
	}
	w.WriteHeader(reply.StatusCode)
	w.Write(reply.Body)
}
