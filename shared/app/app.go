// Package app makes a Gateway from the caller's Store and Queue, and serves its callbacks over HTTP. It imports no
// backend: a main chooses cloud or embedded, so that no Lambda binary holds SQLite.
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

// Parts are what a Gateway needs beside its configuration.
type Parts struct {
	Store         storage.Store
	Queue         storage.Queue
	Keys          *keyring.Ring
	Providers     map[string]provider.Provider
	Metrics       gateway.Metrics // nil: no metrics
	Log           *slog.Logger
	SingleProcess bool // see gateway.Config

	// Steps returns the steps of the jobs that package gateway does not implement, for example transfer.Steps. Nil in a
	// process that runs no jobs.
	Steps func(*gateway.Gateway) map[gateway.JobKind]gateway.Step
}

// New returns the gateway that cfg describes.
func New(cfg config.Config, p Parts) (*gateway.Gateway, error) {
	g, err := gateway.New(gateway.Config{
		Store: p.Store, Queue: p.Queue, Keys: p.Keys, Providers: p.Providers, Metrics: p.Metrics, Log: p.Log, SingleProcess: p.SingleProcess,
		Egress:         &egress.Client{Allow: cfg.AllowEndpoints, OwnHosts: hostOf(cfg.PublicURL), Paused: cfg.Paused},
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

// hostOf returns the host and port of the public URL, or nil if there is none.
func hostOf(publicURL string) []string {
	u, err := url.Parse(publicURL)
	if err != nil || u.Host == "" {
		return nil
	}
	return []string{u.Host}
}

// Callback serves POST /callbacks/<provider>/<source id>/<key> for one provider. A prefix of the path, such as a stage,
// is ignored. Ingest rejects anything else, logs it and counts it: for example, /callbacks/direct/src-1/key/more has
// no valid key and gets 404.
func Callback(g *gateway.Gateway, providerName string) http.Handler {
	memory := semaphore.NewWeighted(maxBodyBytes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, below, _ := strings.Cut(r.URL.Path, "/callbacks/"+providerName+"/")
		source, key, _ := strings.Cut(below, "/")
		if strings.Contains(key, "/") {
			key = "" // matches no source
		}
		b := &body{r: r, memory: memory}
		defer b.release()
		writeReply(w, g.Ingest(r.Context(), providerName, source, key, &provider.Callback{
			Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, From: caller(r), Received: g.Clock(), Read: b.read,
		}))
	})
}

// caller returns the caller's address, or the invalid address if r.RemoteAddr is none.
func caller(r *http.Request) netip.Addr {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return at.Addr().Unmap()
	}
	a, _ := netip.ParseAddr(r.RemoteAddr)
	return a.Unmap()
}

func writeReply(w http.ResponseWriter, reply provider.Reply) {
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
