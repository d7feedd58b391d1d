package deployed

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// renewEvery is how long a secret is used before it is read again.
const renewEvery = time.Minute

// A renewed handler is replaced when the secret that it was made with changes, so that a rotated key becomes invalid in
// warm functions too.
type renewed struct {
	read func(context.Context) (string, error)
	make func(secret string) http.Handler

	mu      sync.Mutex
	at      time.Time // when secret was read
	secret  string
	handler http.Handler
}

// Renewed returns a handler that serves with make(secret). It calls read at once, and again at the first request after
// each minute. If a later read fails, it logs that and goes on with the secret that it has.
func Renewed(ctx context.Context, read func(context.Context) (string, error), make func(secret string) http.Handler) (http.Handler, error) {
	secret, err := read(ctx)
	if err != nil {
		return nil, err
	}
	return &renewed{read: read, make: make, at: time.Now(), secret: secret, handler: make(secret)}, nil
}

func (n *renewed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.current(r.Context()).ServeHTTP(w, r)
}

func (n *renewed) current(ctx context.Context) http.Handler {
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.at) < renewEvery {
		return n.handler
	}
	n.at = time.Now()
	switch secret, err := n.read(ctx); {
	case err != nil:
		slog.Error("renew", "outcome", "failed", "why", err.Error())
	case secret != n.secret:
		n.secret, n.handler = secret, n.make(secret)
	}
	return n.handler
}
