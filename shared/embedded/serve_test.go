package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

func TestMessageOfAFormerProcessIsVisibleAtOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"}, storage.Message{Body: "delayed", Delay: time.Minute})
		stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			return nil, errors.New("refused by the test")
		}})
		time.Sleep(time.Second)
		stop()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}

		db = openTest(t, dir, Options{})
		start := time.Now()
		got := make(chan storage.Received)
		stop = serve(t, db, storage.EventsQueue, Consumer{Batch: 1, Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			got <- ms[0]
			return nil, nil
		}})
		defer stop()
		if m := <-got; m.Body != "a" || m.Receives != 2 || time.Since(start) != 0 {
			t.Errorf("received %+v after %v, want a at once for the second time", m, time.Since(start))
		}
		if m := <-got; m.Body != "delayed" || m.Receives != 1 || time.Since(start) < 59*time.Second {
			t.Errorf("received %+v after %v, want the delayed one in its time", m, time.Since(start))
		}
	})
}

func TestSlowHandlerLosesItsMessageToAnother(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		start := time.Now()
		var mu sync.Mutex
		var receives []string
		stop := serve(t, db, storage.EventsQueue, Consumer{Concurrency: 4, Timeout: time.Hour, Handler: func(ctx context.Context, ms []storage.Received) ([]string, error) {
			mu.Lock()
			receives = append(receives, fmt.Sprint(ms[0].Receives, " after ", time.Since(start)))
			mu.Unlock()
			if ms[0].Receives == 1 {
				time.Sleep(DefaultVisibility + time.Minute)
				return []string{ms[0].Receipt}, nil // too late to have a say
			}
			return nil, nil
		}})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
		time.Sleep(time.Hour)
		stop()
		if want := []string{"1 after 0s", "2 after 3m0s"}; !cmp.Equal(receives, want) {
			t.Errorf("received %q, want %q", receives, want)
		}
		wantWaiting(t, db, 0)
	})
}

func TestPanicFailsTheBatchAlone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		var calls atomic.Int32
		stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			if calls.Add(1) == 1 {
				panic("by the test")
			}
			return nil, nil
		}})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
		time.Sleep(DefaultVisibility + time.Second)
		stop()
		if n := calls.Load(); n != 2 {
			t.Errorf("handler was called %d times, want 2", n)
		}
		wantWaiting(t, db, 0)
	})
}

func TestUnknownReceiptMakesAllComeAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		received := 0
		stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			received += len(ms)
			if received <= 2 {
				return []string{"7"}, nil
			}
			return nil, nil
		}})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"}, storage.Message{Body: "b"})
		time.Sleep(DefaultVisibility + time.Second)
		stop()
		if received != 4 {
			t.Errorf("received %d messages, want each twice", received)
		}
	})
}

func TestServeWaitsForItsHandlers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		var finished atomic.Int32
		stop := serve(t, db, storage.EventsQueue, Consumer{Concurrency: 3, Batch: 1, Handler: func(ctx context.Context, ms []storage.Received) ([]string, error) {
			time.Sleep(time.Minute)
			if err := ctx.Err(); err != nil {
				t.Errorf("context of a running handler: %v", err)
			}
			finished.Add(1)
			return nil, nil
		}})
		for i := range 5 {
			mustSend(t, db, storage.EventsQueue, storage.Message{Body: fmt.Sprint(i)})
		}
		time.Sleep(time.Second)
		stop()
		if n := finished.Load(); n != 3 {
			t.Errorf("%d handlers had finished when Serve returned, want the 3 that ran", n)
		}
		wantWaiting(t, db, 2)
	})
}

func TestHandlerGetsItsTimeout(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		took := make(chan time.Duration, 1)
		stop := serve(t, db, storage.EventsQueue, Consumer{Timeout: 20 * time.Second, Handler: func(ctx context.Context, _ []storage.Received) ([]string, error) {
			start := time.Now()
			<-ctx.Done()
			took <- time.Since(start)
			return nil, nil
		}})
		defer stop()
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
		if got := <-took; got != 20*time.Second {
			t.Errorf("context ended after %v, want 20s", got)
		}
	})
}

// TestBacklogLiesInTheFile sends more than ready holds, by number and by size.
func TestBacklogLiesInTheFile(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name     string
		messages int
		size     int
	}{
		{"many", 3 * maxReady, 10},
		{"large", 40, 500 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := openTest(t, t.TempDir(), Options{})
			for i := 0; i < tt.messages; {
				var ms []storage.Message
				for size := 0; len(ms) < storage.MaxSend && size+tt.size < storage.MaxMessageBytes && i < tt.messages; i++ {
					size += tt.size + 10
					ms = append(ms, storage.Message{Body: fmt.Sprintf("%09d %s", i, strings.Repeat("x", tt.size))})
				}
				mustSend(t, db, storage.EventsQueue, ms...)
			}
			q := db.queue(storage.EventsQueue)
			if len(q.ready) > maxReady || q.readySize > maxReadyBytes {
				t.Errorf("%d messages of %d bytes in memory, at most %d of %d", len(q.ready), q.readySize, maxReady, maxReadyBytes)
			}
			wantWaiting(t, db, tt.messages)
			got := receiveAll(t, db, storage.EventsQueue)
			if len(got) != tt.messages {
				t.Errorf("received %d messages, want %d", len(got), tt.messages)
			}
			for i, body := range got {
				if !strings.HasPrefix(body, fmt.Sprintf("%09d ", i)) {
					t.Fatalf("message %d begins with %.10q", i, body)
				}
			}
			wantWaiting(t, db, 0)
		})
	}
}

func TestConsumersShareAQueue(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	var n atomic.Int32
	done := make(chan struct{})
	for range 3 {
		stop := serve(t, db, storage.RetryQueue, Consumer{Concurrency: 2, Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			if n.Add(int32(len(ms))) == 100 {
				close(done)
			}
			return nil, nil
		}})
		defer stop()
	}
	for i := range 100 {
		mustSend(t, db, storage.RetryQueue, storage.Message{Body: fmt.Sprint(i)})
	}
	<-done
}

func TestServeRefusesAnInvalidConsumer(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	h := func(context.Context, []storage.Received) ([]string, error) { return nil, nil }
	ended, cancel := context.WithCancel(t.Context())
	cancel() // a consumer that is not refused returns
	for _, tt := range []struct {
		q storage.QueueName
		c Consumer
	}{
		{"other", Consumer{Handler: h}},
		{storage.EventsQueue, Consumer{}},
		{storage.EventsQueue, Consumer{Handler: h, Batch: 11}},
		{storage.EventsQueue, Consumer{Handler: h, Batch: -1}},
		{storage.EventsQueue, Consumer{Handler: h, Concurrency: -1}},
		{storage.EventsQueue, Consumer{Handler: h, Timeout: -1}},
	} {
		if err := db.Serve(ended, tt.q, tt.c); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("Serve(%s, %+v) = %v, want ErrInvalid", tt.q, tt.c, err)
		}
	}
}

func TestNothingRunsAfterClose(t *testing.T) {
	defer goleak.VerifyNone(t)
	db, err := Open(context.Background(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
	receiveAll(t, db, storage.EventsQueue)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	k := storage.Key{Table: storage.Deliveries, PK: "p", SK: "s"}
	_, getErr := db.Get(context.Background(), k)
	for _, err := range []error{
		getErr,
		db.Put(context.Background(), storage.Row{Key: k, Rev: "r"}, ""),
		db.Send(context.Background(), storage.EventsQueue, []storage.Message{{Body: "a"}})[0],
	} {
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("call after Close = %v, want ErrUnavailable", err)
		}
	}
}

func TestConsumerHasDefaults(t *testing.T) {
	h := func(context.Context, []storage.Received) ([]string, error) { return nil, nil }
	for _, tt := range []struct {
		given              Consumer
		batch, concurrency int
		timeout            time.Duration
	}{
		{Consumer{Handler: h}, maxBatch, 1, time.Minute},
		{Consumer{Handler: h, Batch: 1, Concurrency: 2, Timeout: 1}, 1, 2, 1},
		{Consumer{Handler: h, Batch: maxBatch, Concurrency: 1, Timeout: time.Hour}, maxBatch, 1, time.Hour},
	} {
		got, err := tt.given.withDefaults(time.Minute)
		if err != nil || got.Batch != tt.batch || got.Concurrency != tt.concurrency || got.Timeout != tt.timeout {
			t.Errorf("%+v is taken as %+v, %v, want batches of %d, %d at once, for %v each", tt.given, got, err, tt.batch, tt.concurrency, tt.timeout)
		}
	}
}

// TestShiftedMessagesAreForgotten wants that what was handed out is no longer in
// the memory that they came from.
func TestShiftedMessagesAreForgotten(t *testing.T) {
	src := []message{{id: 1}, {id: 2}, {id: 3}}
	dst, rest := shift(append(make([]message, 0, 3), message{id: 9}), src)
	if fmt.Sprint(dst, rest, src) != "[{9  0 } {1  0 } {2  0 }] [{3  0 }] [{0  0 } {0  0 } {3  0 }]" {
		t.Errorf("shifted two of three to %v, left %v and %v", dst, rest, src)
	}
	if dst, rest = shift(dst, rest); len(dst) != 3 || len(rest) != 1 {
		t.Errorf("shifted to %v where no place was, left %v", dst, rest)
	}
}

// TestReceiptsSayWhatComesAgain handles a batch of two messages, and wants a line
// in the log where the handler failed.
func TestReceiptsSayWhatComesAgain(t *testing.T) {
	ms := []message{{id: 1, body: "a", receives: 1}, {id: 2, body: "b", receives: 4}}
	for _, tt := range []struct {
		name     string
		receipts []string
		err      error
		want     string
		logged   string
	}{
		{"none", nil, nil, "[]", ""},
		{"the first", []string{"0"}, nil, "[{1 a 1 }]", ""},
		{"the second", []string{"1"}, nil, "[{2 b 4 }]", ""},
		{"both", []string{"1", "0"}, nil, "[{2 b 4 } {1 a 1 }]", ""},
		{"one before the first", []string{"-1"}, nil, "[{1 a 1 } {2 b 4 }]", "unknown receipt"},
		{"one after the last", []string{"0", "2"}, nil, "[{1 a 1 } {2 b 4 }]", "unknown receipt"},
		{"no number", []string{""}, nil, "[{1 a 1 } {2 b 4 }]", "unknown receipt"},
		{"an error", []string{"0"}, errBroken, "[{1 a 1 } {2 b 4 }]", errBroken.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines := captureLog(t)
			var given []storage.Received
			c := Consumer{Timeout: time.Minute, Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
				given = ms
				return tt.receipts, tt.err
			}}
			if got := fmt.Sprint(c.handle(t.Context(), storage.EventsQueue, &inFlightBatch{messages: ms})); got != tt.want {
				t.Errorf("receipts %q, %v: %s come again, want %s", tt.receipts, tt.err, got, tt.want)
			}
			if want := []storage.Received{{Body: "a", Receipt: "0", Receives: 1}, {Body: "b", Receipt: "1", Receives: 4}}; !cmp.Equal(given, want) {
				t.Errorf("the handler got %+v, want %+v", given, want)
			}
			if got := lines.String(); (got != "") != (tt.logged != "") || !strings.Contains(got, tt.logged) {
				t.Errorf("logged %q, want a line with %q", got, tt.logged)
			}
		})
	}
}
