package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"

	"ringback/shared/control"
	"ringback/shared/gateway"
)

// An insight serves /readyz to anybody and /metrics to the operator.
type insight struct {
	g            *gateway.Gateway
	metrics      *metrics
	ready        *readiness
	logBytes     func() int64 // size of the database's write-ahead log
	operatorKey  string
	smartBotsURL string // of SmartBots' own API
}

// serveReady responds with 200 if the process does its work, otherwise with 503 and the reason.
func (o *insight) serveReady(w http.ResponseWriter, r *http.Request) {
	body, status := map[string]string{"status": "ready"}, http.StatusOK
	if err := o.ready.check(r.Context()); err != nil {
		body, status = map[string]string{"status": "not ready", "why": err.Error()}, http.StatusServiceUnavailable
	}
	o.header(w, "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// serveMetrics responds in Prometheus' text format to requests with the operator's key, or another API key of its
// scope, as bearer token.
func (o *insight) serveMetrics(w http.ResponseWriter, r *http.Request) {
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	o.header(w, "text/plain; charset=utf-8")
	if !o.operator(r.Context(), strings.TrimSpace(key)) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "want the operator's key", http.StatusUnauthorized)
		return
	}
	var b bytes.Buffer
	o.metrics.write(&b)
	writeProcess(&b)
	writeLog(&b, o.logBytes())
	if err := writeDepths(r.Context(), &b, o.g.Queue); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	o.header(w, "text/plain; version=0.0.4; charset=utf-8")
	w.Write(b.Bytes())
}

func (o *insight) header(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

// operator reports whether key is one of the operator's.
func (o *insight) operator(ctx context.Context, key string) bool {
	given, own := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(o.operatorKey))
	if subtle.ConstantTimeCompare(given[:], own[:]) == 1 {
		return true
	}
	c, _, err := control.New(o.g).CallerOf(ctx, key)
	return err == nil && c.Scope == control.ScopeOperator
}
