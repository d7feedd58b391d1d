package deployed

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// renewEvery is how long a secret that was read is good for.
const renewEvery = time.Minute

// A renewed handler is made anew when the secret that it is made of changes, so that a key which was rotated
// ends in functions that are warm.
type renewed struct {
	read func(context.Context) (string, error)
	make func(secret string) http.Handler

	mu      sync.Mutex
	at      time.Time // when secret was read
	secret  string
	handler http.Handler
}

// Renewed serves with what make returns for the secret that read reads. It reads that at once, and again with
// the first call after each minute; while it cannot be read, the one before holds.
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
