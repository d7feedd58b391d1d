package embedded

import (
	"context"
	"testing"
	"time"

	"ringback/shared/storage"
)

// TestNothingIsRemovedUntilTheClockIsCalm steps a process's wall clock.
func TestNothingIsRemovedUntilTheClockIsCalm(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var c clockWatch
	lead := time.Duration(0)
	for _, tt := range []struct {
		up   time.Duration
		step time.Duration
		want bool
	}{
		{time.Minute, 0, false},
		{59 * time.Minute, 0, false},
		{60 * time.Minute, 0, true},
		{61 * time.Minute, time.Minute, true}, // a drift
		{62 * time.Minute, 20 * day, false},
		{63 * time.Minute, 0, false},
		{121 * time.Minute, 0, false},
		{122 * time.Minute, 0, true},
		{123 * time.Minute, -20 * day, false},
		{182 * time.Minute, 0, false},
		{183 * time.Minute, 61 * time.Second, false},
		{243 * time.Minute, 0, true},
	} {
		lead += tt.step
		if got := c.steady(start.Add(tt.up+lead), tt.up); got != tt.want {
			t.Errorf("after %v, the clock set by %v: %v, want %v", tt.up, tt.step, got, tt.want)
		}
	}
}

// TestMessageThatAWrongClockPutOffIsRecalled sends one by a clock that is 20 days
// ahead, beside one that is delayed as long as may be.
func TestMessageThatAWrongClockPutOffIsRecalled(t *testing.T) {
	db, err := Open(t.Context(), t.TempDir(), Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, body := range []string{"put off", "delayed"} {
		if errs := db.Send(t.Context(), storage.RetryQueue, []storage.Message{{Body: body, Delay: storage.MaxDelay}}); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	far := time.Now().Add(20 * 24 * time.Hour).UnixMilli()
	if err := db.change("UPDATE retry_messages SET visible = ? WHERE body = 'put off'", far); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 2)
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- db.Serve(ctx, storage.RetryQueue, Consumer{Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			for _, m := range ms {
				got <- m.Body
			}
			return nil, nil
		}})
	}()
	if err := db.recall(time.Now()); err != nil {
		t.Fatal(err)
	}
	if body := <-got; body != "put off" {
		t.Errorf("received %q, want the one that was put off", body)
	}
	end()
	if err := <-served; err != nil {
		t.Error(err)
	}
	d, err := db.Depth(t.Context(), storage.RetryQueue)
	if err != nil || d.Delayed != 1 || d.Waiting != 0 {
		t.Errorf("depth %+v, %v; want the other one delayed", d, err)
	}
}

// A statement is a write of the tests' own.
type statement struct {
	waiter
	text string
	args []any
}

func (s statement) apply(w *writer) error { return w.conn.run(s.text, s.args...) }

func (db *DB) change(text string, args ...any) error {
	s := statement{make(waiter, 1), text, args}
	db.writer.submit(s)
	return <-s.waiter
}
