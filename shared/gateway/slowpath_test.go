package gateway

import (
	"cmp"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/storage"
)

// took is how long each endpoint takes until it responds 200, if the request lasts
// so long.
type took struct{ time.Duration }

func (d *took) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(d.Duration):
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// drip is how each endpoint responds 200 at once, with a byte a second.
type drip struct{}

func (drip) RoundTrip(r *http.Request) (*http.Response, error) {
	body := func(b []byte) (int, error) {
		select {
		case <-time.After(time.Second):
			b[0] = '.'
			return 1, nil
		case <-r.Context().Done():
			return 0, r.Context().Err()
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(reader(body)), Request: r}, nil
}

type reader func([]byte) (int, error)

func (f reader) Read(b []byte) (int, error) { return f(b) }

// TestEndpointThatDripsIsSlow has an endpoint's responses begin at once, and end with
// their time: on one machine, and where a batch ends with its slowest attempt.
func TestEndpointThatDripsIsSlow(t *testing.T) {
	for _, first := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			endpoint := &struct{ http.RoundTripper }{&took{time.Millisecond}}
			y := newYard(t, FullHistory, func(c *Config) {
				c.FirstAttempt, c.Egress = first, &egress.Client{Transport: endpoint}
			})
			r := y.register("tenant.example")
			y.delivered(r)
			for _, m := range y.out.take(storage.SlowQueue) {
				y.receive(y.RedeliverSlow, m.Body, 1)
			}
			endpoint.RoundTripper = drip{}
			for n := range 4 {
				begun, most := time.Now(), cmp.Or(first, r.timeout())
				d := y.delivered(r)
				if took := time.Since(begun); n < 3 && (d.Status != Succeeded || took != most) {
					t.Errorf("response %d, at most %v: %s after %v", n+1, most, d.Status, took)
				} else if n == 3 && (d.Status != Pending || len(y.out.take(storage.SlowQueue)) != 1) {
					t.Errorf("after three that drip: %s, want it in the slow queue", d.Status)
				}
			}
		})
	}
}

// TestAttemptsOfASlowEndpointTakeTheSlowQueue has an endpoint be slow before its
// first attempt, its second by a message, and its second by the tick.
func TestAttemptsOfASlowEndpointTakeTheSlowQueue(t *testing.T) {
	for _, tt := range []struct {
		name string
		send func(*yard, *Registration) Delivery
	}{
		{"a first attempt", func(y *yard, r *Registration) Delivery { y.slow(r); return y.delivered(r) }},
		{"a second attempt", func(y *yard, r *Registration) Delivery {
			d := y.refused(r)
			time.Sleep(time.Minute)
			y.out.take(storage.RetryQueue)
			y.slow(r)
			y.redelivered(d, 1)
			return y.delivery(r, d.Event)
		}},
		{"a second attempt, by the tick", func(y *yard, r *Registration) Delivery {
			d := y.dueAt(y.refused(r), y.Clock(), func(*Delivery) {})
			y.out.take(storage.RetryQueue)
			y.slow(r)
			if err := y.Retry(y.Context()); err != nil {
				y.Fatal(err)
			}
			return y.delivery(r, d.Event)
		}},
		{"a resend", func(y *yard, r *Registration) Delivery {
			d := y.refused(r)
			y.out.take(storage.RetryQueue)
			y.slow(r)
			d, err := y.Resend(y.Context(), d.ID)
			if err != nil {
				y.Fatal(err)
			}
			return d
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory)
			r := y.register("tenant.example", every(time.Hour, time.Hour))
			d := tt.send(y, r)
			posts, ms := y.made(), y.out.take(storage.SlowQueue)
			if n := len(y.out.take(storage.RetryQueue)); d.Status != Pending || len(ms) != 1 || n != 0 || ms[0].Group != y.tenant {
				t.Fatalf("%s: %s, slow queue %+v, %d messages in the retry queue; want it pending, one in its tenant's group, none", tt.name, d.Status, ms, n)
			}
			y.answer = nil
			time.Sleep(ms[0].Delay)
			if again := y.receive(y.RedeliverSlow, ms[0].Body, 1); again || y.made() != posts+1 || y.delivery(r, d.Event).Status != Succeeded {
				t.Errorf("%s, from the slow queue: %d POSTs after %d, %s: %s", tt.name, y.made(), posts, y.delivery(r, d.Event).Status, y.said.String())
			}
		})
	}
}

// TestCutAttemptIsNone has an endpoint take longer than attempts in a batch may.
func TestCutAttemptIsNone(t *testing.T) {
	for _, lane := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			endpoint := &took{time.Millisecond}
			y := newYard(t, FullHistory, func(c *Config) {
				c.FirstAttempt = time.Second
				c.Egress = &egress.Client{Transport: endpoint}
			})
			r := y.register("tenant.example", func(r *Registration) { r.Ordered = lane })
			slow := func() storage.Message {
				ms := y.out.take(storage.SlowQueue)
				if len(ms) != 1 || ms[0].Group != y.tenant {
					t.Fatalf("ordered %v: slow queue %+v, want one message in the tenant's group", lane, ms)
				}
				time.Sleep(ms[0].Delay)
				return ms[0]
			}
			unknown := y.delivered(r)
			y.receive(y.RedeliverSlow, slow().Body, 1)
			if d := y.delivery(r, unknown.Event); d.Status != Succeeded || d.Attempts != 1 {
				t.Fatalf("ordered %v: the first of an endpoint is %s after %d attempts", lane, d.Status, d.Attempts)
			}
			endpoint.Duration = 14 * time.Second
			begun := time.Now()
			d := y.delivered(r)
			if lane {
				m := y.out.take(storage.RetryQueue)[0]
				time.Sleep(m.Delay)
				begun = time.Now()
				y.receive(y.Redeliver, m.Body, 1)
				d = y.delivery(r, d.Event)
			}
			if in := time.Since(begun); in != time.Second || d.Status != Pending || d.Attempts != 0 || d.Last != nil || y.counted(AttemptsFailed) != 0 {
				t.Errorf("ordered %v: cut after %v, %s, %d attempts, last %+v; want it pending after 1s, without one", lane, in, d.Status, d.Attempts, d.Last)
			}
			if m := slow(); m.Delay != 0 {
				t.Errorf("ordered %v: attempted again in %v, want at once", lane, m.Delay)
			} else {
				begun = time.Now()
				y.receive(y.RedeliverSlow, m.Body, 1)
			}
			if d = y.delivery(r, d.Event); d.Status != Succeeded || d.Attempts != 1 || time.Since(begun) != 14*time.Second {
				t.Errorf("ordered %v: %s after %d attempts in %v, want one that takes its 14s", lane, d.Status, d.Attempts, time.Since(begun))
			}
			if h, _, err := storage.Load[circuit.Health](t.Context(), y.store, HealthKey(r.ID)); err == nil && h != (circuit.Health{}) {
				t.Errorf("ordered %v: health %+v, want nothing said", lane, h)
			}
		})
	}
}

// TestProcessesTellEachOtherOfSlowEndpoints has one process cut attempts, and a
// tick and another worker go by that 5 s later; and an endpoint move.
func TestProcessesTellEachOtherOfSlowEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &took{time.Millisecond}
		y := newYard(t, FullHistory, func(c *Config) {
			c.FirstAttempt = time.Second
			c.Egress = &egress.Client{Transport: endpoint}
		})
		other := y.as(func(*Config) {})
		r := y.register("tenant.example", every(time.Minute))
		y.delivered(r)
		y.receive(y.RedeliverSlow, y.out.take(storage.SlowQueue)[0].Body, 1)
		batched := func(y *yard) bool {
			d := y.delivered(r)
			y.out.take(storage.SlowQueue)
			return d.Status == Succeeded
		}
		if !batched(y) || !batched(other) {
			t.Fatal("an endpoint that responded fast gets nothing in a batch")
		}
		endpoint.Duration = 14 * time.Second
		for range 3 {
			batched(y)
		}
		endpoint.Duration = time.Millisecond
		if batched(y) {
			t.Error("a process attempts in a batch what it cut three times in a row")
		}
		time.Sleep(5 * time.Second)
		if batched(other) {
			t.Error("another process attempts in a batch what was cut 5 s before")
		}
		d := y.dueAt(y.delivered(r), y.Clock(), func(*Delivery) {})
		y.out.take(storage.SlowQueue)
		if err := other.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(y.out.take(storage.SlowQueue)); n != 1 {
			t.Errorf("a tick hands %d messages of %s to the slow queue, want one", n, d.ID)
		}
		time.Sleep(time.Hour)
		for range 30 {
			y.delivered(r)
			for _, m := range y.out.take(storage.SlowQueue) {
				y.receive(y.RedeliverSlow, m.Body, 1)
			}
			time.Sleep(3 * time.Second)
		}
		if !batched(y) {
			t.Error("after 30 quick responses over 90 s it is still slow")
		}
		r.Endpoint.RedactedURL = "https://moved.example/"
		y.alter(r)
		if time.Sleep(generationTTL); batched(y) {
			t.Error("a new URL is known to be fast")
		}
	})
}

// TestLaneOfASlowEndpointTakesTheSlowQueue has a lane be woken, pause, and fall due
// while its endpoint is slow.
func TestLaneOfASlowEndpointTakesTheSlowQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", inOrder, every(time.Minute, 2*time.Hour))
		y.slow(r)
		y.answer = refuses
		d := y.delivered(r)
		next := func(when string) storage.Message {
			ms := y.out.take(storage.SlowQueue)
			if n := len(y.out.take(storage.RetryQueue)); len(ms) != 1 || n != 0 || ms[0].Group != y.tenant {
				t.Fatalf("%s: slow queue %+v, %d messages in the retry queue; want one in its tenant's group, none", when, ms, n)
			}
			time.Sleep(ms[0].Delay)
			return ms[0]
		}
		y.receive(y.RedeliverSlow, next("woken").Body, 1)
		y.receive(y.RedeliverSlow, next("after an attempt").Body, 1)
		_, row := y.laneNow(y.laneOf(r))
		time.Sleep(row.Due.Sub(y.Clock()))
		if err := y.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		y.answer = nil
		y.receive(y.RedeliverSlow, next("fallen due").Body, 1)
		if d = y.delivery(r, d.Event); d.Status != Succeeded || d.Attempts != 3 {
			t.Errorf("%s after %d attempts, want 3", d.Status, d.Attempts)
		}
	})
}

// TestFullQueueHoldsUpNoOther has a fast and a slow endpoint's deliveries be due
// while one of their queues is above its brake, or nobody takes its messages.
func TestFullQueueHoldsUpNoOther(t *testing.T) {
	full, idle := storage.Depth{Waiting: 21, InFlight: 1}, storage.Depth{Waiting: 1}
	for _, tt := range []struct {
		name        string
		retry, slow storage.Depth
		ticks       int
		wantRetry   int
		wantSlow    int
	}{
		{"neither", storage.Depth{}, storage.Depth{}, 1, 1, 1},
		{"a full slow queue", storage.Depth{}, full, 1, 1, 0},
		{"a full retry queue", full, storage.Depth{}, 1, 0, 1},
		{"a slow queue that nobody serves", storage.Depth{}, idle, idleRuns, 1, 0},
		{"a retry queue that nobody serves", idle, storage.Depth{}, idleRuns, 0, 1},
		{"two full queues", full, full, 1, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory, func(c *Config) { c.MaxBacklog = 20 })
			fast, slow := y.register("fast.example", every(time.Minute)), y.register("slow.example", every(time.Minute))
			y.answer = refuses
			a := y.arrival()
			y.fanOut(1, a)
			y.slow(slow)
			y.out.depth, y.out.slow = tt.retry, tt.slow
			for n := range tt.ticks {
				if n == tt.ticks-1 {
					for _, r := range []*Registration{fast, slow} {
						y.dueAt(y.delivery(r, a.ID), y.Clock(), func(*Delivery) {})
					}
				}
				y.out.take(storage.RetryQueue)
				y.out.take(storage.SlowQueue)
				if err := y.Retry(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if r, s := len(y.out.take(storage.RetryQueue)), len(y.out.take(storage.SlowQueue)); r != tt.wantRetry || s != tt.wantSlow {
				t.Errorf("%s: handed out %d to the retry queue and %d to the slow queue, want %d and %d", tt.name, r, s, tt.wantRetry, tt.wantSlow)
			}
		})
	}
}

// TestTickHandsOutSoManyOfOneRegistration has far more of one registration be due
// than of another, and before it.
func TestTickHandsOutSoManyOfOneRegistration(t *testing.T) {
	due := func(registration string, n int) (rows []storage.DueRow) {
		for range n {
			rows = append(rows, storage.DueRow{Key: storage.Key{PK: "D#" + registration + "#" + storage.NewRev()}})
		}
		return rows
	}
	fast := func(string) bool { return false }
	const most = 100
	tk := &retryRun{}
	handed := map[string]int{}
	for _, page := range [][]storage.DueRow{due("many", most-1), due("many", 5), append(due("many", 5), due("few", 3)...)} {
		for _, d := range tk.withinShare(page, most, fast) {
			handed[d.PK[2:5]]++
		}
	}
	if handed["man"] != most || handed["few"] != 3 {
		t.Errorf("handed out %v, want %d of many and all of few", handed, most)
	}
	if rows := (&retryRun{recover: true}).withinShare(due("many", most+1), most, fast); len(rows) != most+1 {
		t.Errorf("a process that begins hands out %d, want all %d", len(rows), most+1)
	}
}
