package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/storage"
)

func testDead(t *testing.T, q ServedQueue, name storage.QueueName) {
	var healed atomic.Bool
	m := serve(t, q, name, func([]storage.Received) ([]string, error) {
		if healed.Load() {
			return nil, nil
		}
		return nil, errors.New("refused by the test")
	})
	mustSend(t, q, name, "a", "b")
	eventuallyWithin(t, (storage.MaxReceives+1)*Visibility+lag, func() string {
		return wantDepth(t, q, name, storage.Depth{Dead: 2})
	})
	for _, body := range []string{"a", "b"} {
		if n := m.receives(body); n != storage.MaxReceives {
			t.Errorf("%s was received %d times before it was a dead letter, want %d", body, n, storage.MaxReceives)
		}
	}
	healed.Store(true)
	m.clear()
	if err := q.Redrive(t.Context(), name); err != nil {
		t.Fatalf("Redrive = %v", err)
	}
	eventually(t, func() string { return m.missing([]string{"a", "b"}) })
	eventually(t, func() string { return wantDepth(t, q, name, storage.Depth{}) })
	for _, r := range m.all() {
		if r.Receives != 1 {
			t.Errorf("%s was received %d times after it was moved back, want 1", r.Body, r.Receives)
		}
	}
	if err := q.Redrive(t.Context(), "other"); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("Redrive of another queue = %v, want ErrInvalid", err)
	}
}

func testDepth(t *testing.T, q ServedQueue, name storage.QueueName) {
	mustSend(t, q, name, "a", "b", "c")
	errs := q.Send(t.Context(), name, []storage.Message{{Body: "late", Delay: storage.MaxDelay}})
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	eventually(t, func() string { return wantDepth(t, q, name, storage.Depth{Waiting: 3, Delayed: 1}) })

	release := make(chan struct{})
	serve(t, q, name, func([]storage.Received) ([]string, error) {
		<-release
		return nil, nil
	})
	eventually(t, func() string { return wantDepth(t, q, name, storage.Depth{InFlight: 3, Delayed: 1}) })
	close(release)
	eventually(t, func() string { return wantDepth(t, q, name, storage.Depth{Delayed: 1}) })
	if _, err := q.Depth(t.Context(), "other"); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("Depth of another queue = %v, want ErrInvalid", err)
	}
}

// A mailbox remembers which messages a handler received, and when.
type mailbox struct {
	mu sync.Mutex
	ms []storage.Received
	at []time.Time
}

// serve has h called with name's messages until the test ends; nil finishes them all.
func serve(t *testing.T, q ServedQueue, name storage.QueueName, h func([]storage.Received) ([]string, error)) *mailbox {
	t.Helper()
	m := &mailbox{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- q.Serve(ctx, name, func(_ context.Context, ms []storage.Received) ([]string, error) {
			m.add(ms)
			if len(ms) == 0 || len(ms) > storage.MaxSend {
				t.Errorf("handler was called with %d messages", len(ms))
			}
			if h == nil {
				return nil, nil
			}
			return h(ms)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return m
}

func (m *mailbox) add(ms []storage.Received) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range ms {
		m.ms = append(m.ms, r)
		m.at = append(m.at, time.Now())
	}
}

func (m *mailbox) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ms, m.at = nil, nil
}

func (m *mailbox) all() []storage.Received {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ms)
}

// times returns when body was received.
func (m *mailbox) times(body string) (at []time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range m.ms {
		if r.Body == body {
			at = append(at, m.at[i])
		}
	}
	return at
}

func (m *mailbox) first(body string) time.Time { return m.times(body)[0] }

func (m *mailbox) last(body string) time.Time {
	at := m.times(body)
	return at[len(at)-1]
}

// receives returns the highest receive count of body; a queue may deliver a message twice.
func (m *mailbox) receives(body string) (n int) {
	for _, r := range m.all() {
		if r.Body == body {
			n = max(n, r.Receives)
		}
	}
	return n
}

// missing returns which bodies have not arrived; "" if all have.
func (m *mailbox) missing(want []string) string {
	got := map[string]bool{}
	for _, r := range m.all() {
		got[r.Body] = true
	}
	var absent []string
	for _, body := range want {
		if !got[body] {
			absent = append(absent, fmt.Sprintf("%.40q", body))
		}
	}
	if len(absent) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d messages have not come, as %.10v", len(absent), len(want), absent)
}

func mustSend(t *testing.T, q storage.Queue, name storage.QueueName, bodies ...string) {
	t.Helper()
	ms := make([]storage.Message, len(bodies))
	for i, body := range bodies {
		ms[i].Body = body
	}
	if err := errors.Join(q.Send(t.Context(), name, ms)...); err != nil {
		t.Fatalf("Send of %d messages = %v", len(ms), err)
	}
}

// wantDepth returns how the depth of name differs; "" if it does not.
func wantDepth(t *testing.T, q storage.Queue, name storage.QueueName, want storage.Depth) string {
	t.Helper()
	got, err := q.Depth(t.Context(), name)
	if err != nil || got != want {
		return fmt.Sprintf("Depth = %+v, %v, want %+v", got, err, want)
	}
	return ""
}
