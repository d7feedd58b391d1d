package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"ringback/shared/storage"
)

// guard wraps all routes: it sets the headers that every response has, turns
// panics and unknown paths into problems, and logs one line a call.
func (s *server) guard() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := &call{}
		r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		out := &statusWriter{ResponseWriter: w}
		secure(out.Header(), r.URL.Path)
		if strings.HasPrefix(s.g.PublicURL, "https://") {
			out.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		defer func() {
			if p := recover(); p != nil {
				s.g.Log.Error("api", "operation", c.operation, "outcome", "panic", "why", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
				if out.status == 0 {
					s.writeError(r.Context(), out, fmt.Errorf("panic"))
				}
			}
			s.logCall(c, out.status, time.Since(start))
		}()
		s.route(out, r)
	})
}

// secure sets the headers of every response. A browser must not show, frame or cache anything of the API.
func secure(h http.Header, path string) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	if path != "/openapi.json" {
		h.Set("Cache-Control", "no-store")
	}
}

// maxQuery is the size of the largest query in bytes: it is parsed for each of an operation's parameters.
const maxQuery = 16 << 10

// route calls the handler of the request's path. It replaces the mux's own responses, which repeat the path, by
// problems.
func (s *server) route(w http.ResponseWriter, r *http.Request) {
	if !clean(r.URL.Path) {
		s.writeError(r.Context(), w, storage.ErrNotFound)
		return
	}
	if len(r.URL.RawQuery) > maxQuery {
		s.writeError(r.Context(), w, fmt.Errorf("query: %w", storage.ErrTooLarge))
		return
	}
	mux := s.own
	h, pattern := mux.Handler(r)
	if pattern == "" {
		mux = s.routes()
		h, pattern = mux.Handler(r)
	}
	if pattern != "" {
		callOf(r.Context()).pattern = pattern
		mux.ServeHTTP(w, r)
		return
	}
	refusal := &discardWriter{header: http.Header{}}
	h.ServeHTTP(refusal, r)
	if refusal.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", refusal.header.Get("Allow"))
		s.writeError(r.Context(), w, errMethod)
		return
	}
	s.writeError(r.Context(), w, storage.ErrNotFound)
}

func clean(p string) bool {
	c := path.Clean(p)
	return c == p || c+"/" == p
}

// Clean appends a part to a path that is not clean, such as //v1/me, and cleans it, so that h finds nothing there:
// a ServeMux would redirect it, and no provider follows.
func Clean(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !clean(r.URL.Path) {
			u := *r.URL
			u.Path, u.RawPath = path.Join("/", u.Path, "-"), ""
			r = r.WithContext(r.Context())
			r.URL = &u
		}
		h.ServeHTTP(w, r)
	})
}

func (s *server) logCall(c *call, status int, took time.Duration) {
	level := slog.LevelDebug
	outcome := "done"
	switch {
	case status >= 500:
		level, outcome = slog.LevelError, "failed"
	case status >= 400 || c.why != "":
		level, outcome = slog.LevelWarn, "refused"
	}
	s.g.Log.Log(context.Background(), level, "api", "key", c.caller.Key, "tenant", c.caller.Tenant, "operation", c.operation,
		"route", strings.TrimSpace(c.pattern), "code", status, "outcome", outcome, "why", cut(c.why, maxWhy), "took", took)
}

// A statusWriter remembers the status that is sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = cmp.Or(s.status, status)
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusWriter) Write(b []byte) (int, error) {
	s.status = cmp.Or(s.status, http.StatusOK)
	return s.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController, which sets the body's read deadline.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// A discardWriter remembers a response's status and header, and drops its body.
type discardWriter struct {
	header http.Header
	status int
}

func (d *discardWriter) Header() http.Header         { return d.header }
func (d *discardWriter) WriteHeader(status int)      { d.status = status }
func (d *discardWriter) Write(b []byte) (int, error) { return len(b), nil }
