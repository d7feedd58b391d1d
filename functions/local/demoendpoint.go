package main

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A flakyEndpoint is the endpoint of the demo's tenants. It fails some of the deliveries.
type flakyEndpoint struct {
	mu   sync.Mutex
	seen map[string]int // requests by path
}

func (e *flakyEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // so that the connection can be used again
	e.mu.Lock()
	e.seen[r.URL.Path]++
	n := e.seen[r.URL.Path]
	e.mu.Unlock()
	m := responseFor(r.URL.Path, n)
	pause(r.Context(), m.after)
	if m.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(m.retryAfter))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(m.status)
	io.WriteString(w, m.text+"\n")
}

// A response is the endpoint's response to one delivery.
type response struct {
	status     int
	after      time.Duration
	retryAfter int // seconds; 0: no header Retry-After
	text       string
}

// responseFor returns the response to request number n at a path. It never fails ten in a row, which would open the
// circuit.
func responseFor(path string, n int) response {
	switch {
	case path == "/quay/status" && n%10 == 7:
		return response{status: http.StatusTooManyRequests, retryAfter: 20, text: "one moment, please"}
	case path == "/quay/status" && n%4 == 2:
		return response{status: http.StatusInternalServerError, after: 120 * time.Millisecond, text: "the database is locked"}
	case path == "/harbor/bot" && n%9 == 4:
		return response{status: http.StatusServiceUnavailable, after: 900 * time.Millisecond, text: "restarting"}
	case path == "/harbor/bot":
		return response{status: http.StatusOK, after: 60 * time.Millisecond, text: "ok"}
	}
	return response{status: http.StatusOK, after: 5 * time.Millisecond, text: "ok"}
}
