package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A brokenStore does not answer: it returns an error, or panics.
type brokenStore struct {
	storage.Store
	err error
}

func (s brokenStore) Get(context.Context, ...storage.Key) ([]storage.Row, error) {
	if s.err == nil {
		panic("boom")
	}
	return nil, s.err
}

// A sink takes every message.
type sink struct{ storage.Queue }

func (sink) Send(_ context.Context, _ storage.QueueName, ms []storage.Message) []error {
	return make([]error, len(ms))
}

// TestFailedMessageIsOneLineOfTheLog has handlers fail and panic, with one event
// in the message and with two.
func TestFailedMessageIsOneLineOfTheLog(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var as []message.InboundEvent
	for _, key := range []string{"first", "second"} {
		id, err := ident.Event("src-00000001", "", now, key)
		if err != nil {
			t.Fatal(err)
		}
		as = append(as, message.InboundEvent{Token: "t", Event: provider.Event{ID: id, Source: "src-00000001", Type: "t", Received: now, Payload: []byte("{}")}})
	}
	body := func(as []message.InboundEvent) string {
		text, err := message.PackOne(as)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	delivery := ident.Delivery("reg_06h1pq6cfqrj3bt6lhmlnp6f6c", as[0].ID)
	retry, err := message.Header{Kind: message.Retry, ID: delivery, Claim: 1}.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		err     error // nil: the Store panics
		queue   storage.QueueName
		body    string
		again   int
		source  string
		event   string
		mention string // in why
	}{
		{"a panic, one event", nil, storage.EventsQueue, body(as[:1]), 1, "src-00000001", as[0].ID, "panic: boom"},
		{"an error, one event", errors.New("no answer"), storage.EventsQueue, body(as[:1]), 1, "src-00000001", as[0].ID, "no answer"},
		{"a panic, two events", nil, storage.EventsQueue, body(as), 0, "src-00000001", "", as[1].ID + ": panic: boom"},
		{"an error, two events", errors.New("no answer"), storage.EventsQueue, body(as), 0, "src-00000001", "", "no answer"},
		{"a panic, a retry", nil, storage.RetryQueue, retry, 1, "src-00000001", as[0].ID, "panic: boom"},
		{"an error, a retry", errors.New("no answer"), storage.RetryQueue, retry, 1, "src-00000001", as[0].ID, "no answer"},
		{"a message that nobody can read", nil, storage.EventsQueue, "{", 1, "", "", "unreadable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			g, err := New(Config{Store: brokenStore{err: tt.err}, Queue: sink{}, Log: slog.New(slog.NewJSONHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			handle := map[storage.QueueName]storage.Handler{storage.EventsQueue: g.FanOut, storage.RetryQueue: g.Redeliver}[tt.queue]
			again, err := handle(t.Context(), []storage.Received{{Body: tt.body, Receipt: "r", Receives: 2}})
			if err != nil || len(again) != tt.again {
				t.Errorf("%q come again, %v; want %d", again, err, tt.again)
			}
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Fatalf("%d lines, want 1:\n%s", n, log.String())
			}
			var line struct {
				Level, Source, Event, Outcome, Why, Stack string
				Receives                                  int
			}
			if err := json.Unmarshal(log.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			panicked := strings.Contains(line.Why, "panic")
			if line.Level != "ERROR" || line.Source != tt.source || line.Event != tt.event || line.Receives != 2 || line.Outcome != "again" ||
				!strings.Contains(line.Why, tt.mention) || panicked != strings.Contains(line.Stack, "brokenStore.Get") {
				t.Errorf("line %s\nwant an error of source %q, event %q, received 2 times, that comes again because of %q, with the stack of a panic",
					log.String(), tt.source, tt.event, tt.mention)
			}
		})
	}
}

func TestWhyOfTheLogIsBounded(t *testing.T) {
	fields := errorFields(errors.New(strings.Repeat("ü", maxErrorText)))
	if text := fields[1].(string); len(text) > maxErrorText || len(text) < maxErrorText-4 {
		t.Errorf("why of %d bytes, want at most %d", len(text), maxErrorText)
	}
}
