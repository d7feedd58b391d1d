// Package app wires a Gateway from the Store and Queue that it is given, and
// serves its callbacks over HTTP. It imports no backend.
package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"ringback/shared/config"
	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// Parts are what a Gateway is wired from besides its configuration.
type Parts struct {
	Store     storage.Store
	Queue     storage.Queue
	Keys      *keyring.Ring
	Providers map[string]provider.Provider
	Metrics   gateway.Metrics // nil: nothing is counted
	Log       *slog.Logger
	Alone     bool // see gateway.Config

	// Steps makes the steps of jobs that are not the gateway's own, such as
	// transfer.Steps; nil: there are none, as for a process that runs no jobs.
	Steps func(*gateway.Gateway) map[gateway.JobKind]gateway.Step
}

// New returns the gateway that cfg describes.
func New(cfg config.Config, p Parts) (*gateway.Gateway, error) {
	g, err := gateway.New(gateway.Config{
		Store: p.Store, Queue: p.Queue, Keys: p.Keys, Providers: p.Providers, Metrics: p.Metrics, Log: p.Log, Alone: p.Alone,
		Egress:       &egress.Client{Allow: cfg.AllowEndpoints, Own: own(cfg.PublicURL), Paused: cfg.Paused},
		PublicURL:    cfg.PublicURL,
		Kept:         gateway.Kept{History: cfg.History},
		AtOnce:       cfg.Attempts,
		Brake:        cfg.Brake,
		FirstAttempt: cfg.FirstAttempt,
		FairQueues:   cfg.FairQueues,
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

// Callback serves POST /callbacks/<provider>/<source id>/<key> for one provider.
// It takes the last two parts of the path as source and key, whatever stands
// before them.
func Callback(g *gateway.Gateway, providerName string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source, key := sourceAndKey(r.URL.Path)
		cb := &provider.Callback{
			Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, From: caller(r), Received: g.Clock(),
		}
		var err error
		if cb.Body, err = readBody(r); err != nil {
			answer(w, provider.Refuse(provider.ErrUnreadable)) // the connection broke; nobody may read this
			return
		}
		answer(w, g.Ingest(r.Context(), providerName, source, key, cb))
	})
}

func sourceAndKey(path string) (source, key string) {
	i := strings.LastIndexByte(path, '/')
	rest := path[:max(i, 0)]
	return rest[strings.LastIndexByte(rest, '/')+1:], path[i+1:]
}

// readBody reads one byte more than is allowed, so that too much is seen as such.
func readBody(r *http.Request) ([]byte, error) {
	const most = provider.MaxCallbackBytes + 1
	if n := r.ContentLength; n > 0 && n < most {
		b := make([]byte, n)
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	return io.ReadAll(io.LimitReader(r.Body, most))
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
