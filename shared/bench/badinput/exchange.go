package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/message"
	"ringback/shared/storage"
)

// copied keeps what a handler reads of a body.
type copied struct {
	from  io.ReadCloser
	bytes []byte
}

func (c *copied) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.bytes = append(c.bytes, b[:n]...)
	return n, err
}

func (c *copied) Close() error { return c.from.Close() }

// An answer is the http.ResponseWriter of one request.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, b...)
	return len(b), nil
}

// A sending is what one request sent to the events queue.
type sending struct {
	keep     bool // send it on to the embedded backend
	messages []storage.Message
}

type sendingKey struct{}

// A queue notes what a request sends, under the limits of every queue, and
// sends on what is to be kept. What the worker sends goes on too, but for the
// news that SmartBots took its callback away: it is told once an hour under one
// id, and here comes so often that one would wait for the lease of another.
type queue struct{ *embedded.DB }

func (q queue) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	s, ok := ctx.Value(sendingKey{}).(*sending)
	if !ok {
		return q.DB.Send(ctx, name, slices.DeleteFunc(ms, disconnected))
	}
	errs := storage.CheckSend(name, ms)
	if err := errors.Join(errs...); err != nil {
		return errs
	}
	s.messages = append(s.messages, ms...)
	if s.keep {
		return q.DB.Send(ctx, name, ms)
	}
	return errs
}

func disconnected(m storage.Message) bool {
	_, es, err := message.Read(m.Body)
	return err == nil && len(es) == 1 && es[0].Type == "source.disconnected"
}

// posts is the tenants' network. It counts deliveries, and those that no
// endpoint could read.
type posts struct{ all, unreadable atomic.Int64 }

func (p *posts) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	p.all.Add(1)
	if err != nil || len(body) == 0 || strings.HasSuffix(r.URL.Path, string(gateway.Standard)) && !json.Valid(body) {
		p.unreadable.Add(1)
	}
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
}

// faults is a log that keeps what went wrong: the gateway's own failures, of
// which there must be none.
type faults struct {
	mu  sync.Mutex
	all []string
}

func (f *faults) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (f *faults) WithAttrs([]slog.Attr) slog.Handler           { return f }
func (f *faults) WithGroup(string) slog.Handler                { return f }

func (f *faults) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, text)
	return nil
}

func (f *faults) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}
