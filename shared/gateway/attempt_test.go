package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/limit"
	"ringback/shared/limiter"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// TestRightToStartIsAskedForAndGivenBack asks for the right to make an attempt in
// a process that makes one at a time, and afterwards whether the next may have it.
func TestRightToStartIsAskedForAndGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &tampered{}
		y := newYard(t, FullHistory, func(c *Config) { c.MaxConcurrency = 1; w.Store, c.Store = c.Store, w })
		open := func(y *yard, r *Registration, probe time.Duration) {
			y.put(HealthKey(r.ID), circuit.Health{Open: true, Interval: 2 * time.Minute, ProbeAt: y.Clock().Add(probe)})
		}
		// waiting has another attempt keep the only place for so long, and then.
		waiting := func(d time.Duration, then func(*yard, *Registration)) func(*yard, *Registration, *task) {
			return func(y *yard, r *Registration, _ *task) {
				y.attempter.shares.TryAcquire("another")
				go func() {
					time.Sleep(d)
					then(y, r)
					y.attempter.shares.Release("another")
				}()
			}
		}
		disable := func(y *yard, r *Registration) { now := *r; now.State = Disabled; y.alter(&now) }
		// waited has the attempt wait so long that what was known is too old, and then.
		waited := func(then func(*yard, *Registration)) func(*yard, *Registration, *task) {
			return func(y *yard, r *Registration, tr *task) {
				tr.requestedAt = time.Now()
				time.Sleep(generationTTL)
				then(y, r)
			}
		}
		for _, tt := range []struct {
			name    string
			prepare func(*yard, *Registration, *task)
			within  time.Duration // 0: without end
			want    permit        // at: counted from the zero time; to: nil means as it was
			starts  bool
			anew    bool // it goes to the registration as it is now
			err     error
			held    time.Duration // how long somebody else keeps the place
		}{
			{name: "nothing is in its way", starts: true},
			{name: "as much time as it may take", within: 15*time.Second + deadlineMargin, starts: true},
			{name: "less time", within: 15*time.Second + deadlineMargin - 1},
			{name: "an open circuit", prepare: func(y *yard, r *Registration, _ *task) { open(y, r, time.Minute) },
				want: permit{circuitOpen: true, retryAt: time.Time{}.Add(132 * time.Second)}},
			{name: "a circuit to be probed", prepare: func(y *yard, r *Registration, _ *task) { open(y, r, 0) }, starts: true, want: permit{probe: true}},
			{name: "a resend behind an open circuit", prepare: func(y *yard, r *Registration, tr *task) { open(y, r, time.Minute); tr.d.Manual = true }, starts: true},
			{name: "health that cannot be read", prepare: func(y *yard, _ *Registration, _ *task) { y.unreadable("H") }, err: errOutage},
			{name: "a tenant that cannot be read", prepare: func(y *yard, _ *Registration, _ *task) { y.unreadable("T") }, err: errOutage},
			{name: "a rate", prepare: func(y *yard, r *Registration, _ *task) {
				r.Rate = 0.1
				y.takes(r)
			}, want: permit{retryAt: time.Time{}.Add(10 * time.Second), rateGranted: true}},
			{name: "a rate that gave it a place", prepare: func(y *yard, r *Registration, tr *task) {
				r.Rate, tr.d.RateGranted = 0.1, true
				y.takes(r)
				time.Sleep(10 * time.Second)
			}, starts: true},
			{name: "a rate that gave it a place too early", prepare: func(y *yard, r *Registration, tr *task) {
				r.Rate, tr.d.RateGranted = 0.1, true
				y.takes(r)
			}, want: permit{retryAt: time.Time{}.Add(10 * time.Second), rateGranted: true}},
			{name: "a concurrency that others use up", prepare: func(y *yard, r *Registration, tr *task) {
				r.Concurrency, tr.d.RateGranted = 1, true
				if leave, _, err := y.limits.Acquire(t.Context(), limit.Request{Leases: LeasesKey(r.ID), Concurrency: 1, Timeout: time.Hour}); leave == nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}, want: permit{retryAt: time.Time{}.Add(2 * time.Second), rateGranted: true}},
			{name: "a resend in spite of a rate", prepare: func(y *yard, r *Registration, tr *task) {
				r.Rate, tr.d.Manual = 0.1, true
				y.takes(r)
			}, starts: true},
			{name: "a slow endpoint", prepare: func(y *yard, r *Registration, _ *task) { y.slow(r) }, want: permit{viaSlowQueue: true}},
			{name: "a slow endpoint, with a place", prepare: func(y *yard, r *Registration, tr *task) { y.slow(r); tr.d.RateGranted = true }, want: permit{viaSlowQueue: true, rateGranted: true}},
			{name: "a slow endpoint, from the slow queue", prepare: func(y *yard, r *Registration, tr *task) { y.slow(r); tr.fromSlowQueue = true }, starts: true},
			{name: "a tenant without room", prepare: func(_ *yard, _ *Registration, tr *task) { tr.overShare = true }, want: permit{viaSlowQueue: true}},
			{name: "a process that is full for longer than anybody waits", prepare: waiting(time.Minute, func(*yard, *Registration) {}),
				want: permit{viaSlowQueue: true, retryAt: time.Time{}.Add(limiter.MaxQueueWait)}, held: time.Minute},
			{name: "a full process, from the slow queue", prepare: func(y *yard, r *Registration, tr *task) {
				waiting(time.Minute, func(*yard, *Registration) {})(y, r, tr)
				tr.fromSlowQueue = true
			}, starts: true, held: time.Minute},
			{name: "a process that was full for a moment", prepare: waiting(generationTTL-1, disable), starts: true},
			{name: "a registration that changed meanwhile", prepare: waited(func(y *yard, r *Registration) { now := *r; now.Description = "new"; y.alter(&now) }), starts: true, anew: true},
			{name: "one that was disabled", prepare: waited(disable)},
			{name: "one that was deleted", prepare: waited(func(y *yard, r *Registration) {
				_ = y.Store.Delete(y.Context(), RegistrationKey(r.ID), storage.AnyRev)
				_ = y.Publish(y.Context(), y.source)
			})},
			{name: "one that cannot be read", prepare: waited(func(y *yard, _ *Registration) { _ = y.Publish(y.Context(), y.source); y.unreadable("R") }), err: errOutage},
		} {
			r := y.register("tenant.example", every(time.Minute, time.Hour))
			r, rev, err := y.matcher.registration(t.Context(), y.source, r.ID)
			if err != nil {
				t.Fatal(err)
			}
			a := y.arrival()
			tr := task{e: &a.Event, r: r, rev: rev, d: newDelivery(&a.Event, r, y.Clock())}
			if tt.prepare != nil {
				tt.prepare(y, r, &tr)
			}
			ctx, begun := t.Context(), y.Clock()
			if tt.within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tt.within)
				defer cancel()
			}
			got, err := y.attempter.mayStart(ctx, &tr)
			w.fail(nil)
			want := tt.want.retryAt
			if !want.IsZero() || !tt.starts && tt.err == nil {
				want = begun.Add(tt.want.retryAt.Sub(time.Time{}))
			}
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil || tt.starts != (got.release != nil) || tt.err == nil && !got.retryAt.Equal(want) ||
				got.viaSlowQueue != tt.want.viaSlowQueue || got.circuitOpen != tt.want.circuitOpen || got.probe != tt.want.probe || got.rateGranted != tt.want.rateGranted {
				t.Errorf("%s: %+v, %v; want it to start %v, else at %v: %+v, %v", tt.name, got, err, tt.starts, want, tt.want, tt.err)
			}
			if tt.starts && (got.registration == r) == tt.anew {
				t.Errorf("%s: it goes to %+v; want the registration as it is now: %v", tt.name, got.registration, tt.anew)
			}
			if tt.starts && (!tr.fromSlowQueue && y.attempter.shares.TryAcquire("another") || y.enters(r)) {
				t.Errorf("%s: another has its place", tt.name)
			}
			if got.release != nil {
				got.release(Attempt{}, false)
			}
			time.Sleep(tt.held)
			synctest.Wait()
			if !y.enters(r) || !y.attempter.shares.TryAcquire("another") {
				t.Errorf("%s: its place is not given back", tt.name)
			}
			y.attempter.shares.Release("another")
		}
	})
}

// TestCrowdedDeliveryWaitsLongerEachTime looks at the wait before each look.
func TestCrowdedDeliveryWaitsLongerEachTime(t *testing.T) {
	at := &attempter{core: &core{Config: Config{Random: func() float64 { return 0.25 }}}}
	for _, tt := range []struct {
		hops       int
		turn, want time.Duration
	}{
		{0, 0, 1500 * time.Millisecond}, {1, 0, 3750 * time.Millisecond}, {2, 0, 15 * time.Second}, {3, 0, 45 * time.Second}, {4, 0, 45 * time.Second},
		{99, 0, 45 * time.Second}, {0, time.Minute, 45 * time.Second}, {3, 80 * time.Second, time.Minute},
	} {
		if got := at.backoff(tt.hops, tt.turn); got != tt.want {
			t.Errorf("after %d hops, with a turn in %v: %v, want %v", tt.hops, tt.turn, got, tt.want)
		}
	}
}

// TestDeliveryWithoutItsSubjectIsNotAttempted redelivers what is due, while
// something of it is gone or cannot be read.
func TestDeliveryWithoutItsSubjectIsNotAttempted(t *testing.T) {
	alter := func(change func(*EventRow, *storage.Row)) func(*world, Delivery) {
		return func(w *world, d Delivery) {
			key, _ := EventKey(d.Event)
			_, err := storage.Change(w.t.Context(), w.Store, key, func(er *EventRow, r *storage.Row) error { change(er, r); return nil })
			if err != nil {
				w.t.Fatal(err)
			}
		}
	}
	remove := func(w *world, k storage.Key) {
		if err := w.Store.Delete(w.t.Context(), k, storage.AnyRev); err != nil {
			w.t.Fatal(err)
		}
		w.publish()
	}
	earlier := func(er *EventRow, r *storage.Row) { er.Unfinished, r.Expires = nil, time.Now().Add(time.Hour) }
	for _, tt := range []struct {
		name   string
		change func(*world, Delivery)
		want   Status
		why    string
		again  bool
		posts  int
	}{
		{"nothing is gone", func(*world, Delivery) {}, Succeeded, "", false, 1},
		{"the registration", func(w *world, d Delivery) { remove(w, RegistrationKey(d.Registration)) }, Cancelled, ReasonDeleted, false, 0},
		{"the event", func(w *world, d Delivery) { key, _ := EventKey(d.Event); remove(w, key) }, Failed, reasonExpired, false, 0},
		{"the event, which was erased", alter(func(er *EventRow, _ *storage.Row) { er.Erased = true }), Cancelled, ReasonErased, false, 0},
		{"nothing, and an earlier release began it", alter(earlier), Succeeded, "", false, 1},
		{"the registration cannot be read", func(w *world, _ Delivery) { w.publish(); w.store.failOn("get", "R#") }, Pending, "", true, 0},
		{"the event cannot be read", func(w *world, _ Delivery) { w.store.failOn("get", "E#") }, Pending, "", true, 0},
		{"the event cannot be read once", func(w *world, _ Delivery) {
			read := false
			w.store.fail(func(call string, k storage.Key) error {
				if once := call == "get" && k.PK[:2] == "E#" && !read; once {
					read = true
					return errOutage
				}
				return nil
			})
		}, Pending, "", true, 0},
		{"an event of an earlier release cannot be kept", func(w *world, d Delivery) { alter(earlier)(w, d); w.store.failOn("put", "E#") }, Pending, "", true, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.endpoints.code = http.StatusInternalServerError
			r := w.register()
			event := w.happen()
			d := w.delivery(r, event)
			time.Sleep(time.Until(d.NextAttempt))
			w.endpoints.code = 0
			tt.change(w, d)
			open := false
			key, _ := EventKey(event)
			w.endpoints.react = func(*http.Request) (*http.Response, error) {
				er, _ := load[EventRow](w, key)
				open = slices.Contains(er.Unfinished, r.ID)
				return nil, nil
			}
			again := w.work(storage.RetryQueue, w.Redeliver) > 0
			w.store.fail(nil)
			now := w.delivery(r, event)
			_, n := w.endpoints.last()
			if now.Status != tt.want || now.Reason != tt.why || again != tt.again || n != 1+tt.posts || open != (tt.posts > 0) {
				t.Errorf("%s: %s (%s), again %v, %d further POSTs, kept at that %v; want %s (%s), %v, %d", tt.name, now.Status, now.Reason, again, n-1, open, tt.want, tt.why, tt.again, tt.posts)
			}
			if lines := w.log.with(t, "retry"); len(lines) > 0 && lines[0]["stack"] != nil {
				t.Errorf("%s: a panic: %v", tt.name, lines)
			}
		})
	}
}

// TestEventOfManyIsKeptAnewAtEachAttempt attempts one of more deliveries than the
// event's row can name, which an endpoint has asked to wait for longer than such a
// row lasts.
func TestEventOfManyIsKeptAnewAtEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.endpoints.code = http.StatusInternalServerError
		r := w.register()
		event := w.happen()
		key, _ := EventKey(event)
		if _, err := storage.Change(t.Context(), w.Store, key, func(er *EventRow, r *storage.Row) error {
			er.ManyUnfinished, er.Unfinished, r.Expires = true, nil, w.Clock().Add(48*time.Hour)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(w.delivery(r, event).NextAttempt))
		w.work(storage.RetryQueue, w.Redeliver)
		if _, row := load[EventRow](w, key); row.Expires.Before(w.Clock().Add(w.Retention.maxUnfinished() - time.Minute)) {
			t.Errorf("after an attempt the event lasts until %v, want %v from now", row.Expires, w.Retention.maxUnfinished())
		}
	})
}

// TestAttemptIsOneLineOfTheLog compares the lines of attempts, field by field.
func TestAttemptIsOneLineOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name   string
			codes  []int // one an attempt
			level  string
			next   bool
			stored bool
		}{
			{"accepted", []int{200}, "DEBUG", false, true},
			{"refused", []int{500}, "INFO", true, true},
			{"refused for the last time", []int{500, 501}, "INFO", false, true},
			{"refused, and not stored", []int{500}, "INFO", false, false},
		} {
			w := newWorld(t)
			r := w.register(every(time.Minute))
			r.Endpoint.RedactedURL = "https://User@Tenant.Example:444/path"
			w.set(r)
			w.endpoints.react = func(req *http.Request) (*http.Response, error) {
				_, n := w.endpoints.last()
				time.Sleep(3 * time.Millisecond)
				return &http.Response{StatusCode: tt.codes[n-1], Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
			}
			event := w.arrive(provider.Item{})[0]
			if !tt.stored {
				w.store.failOn("put", "D#")
			}
			w.fanOut()
			w.store.fail(nil)
			for range tt.codes[1:] {
				time.Sleep(time.Until(w.delivery(r, event).NextAttempt))
				w.redeliver()
			}
			lines := w.log.with(t, "attempt")
			if len(lines) != len(tt.codes) {
				t.Fatalf("%s: %d lines, want one an attempt", tt.name, len(lines))
			}
			line := lines[len(lines)-1]
			n, class := len(tt.codes), egress.OK
			if tt.codes[n-1] != 200 {
				class = egress.Status5xx
			}
			want := map[string]any{"level": tt.level, "provider": "upstream", "source": w.source, "event": event, "tenant": w.tenant, "registration": r.ID,
				"delivery": ident.Delivery(r.ID, event), "number": float64(n), "host": "tenant.example:444", "code": float64(tt.codes[n-1]),
				"outcome": string(class), "took": float64(3 * time.Millisecond), "msg": "attempt", "time": line["time"]}
			if tt.next {
				want["next"] = w.delivery(r, event).NextAttempt.Format(time.RFC3339Nano)
			}
			for k, v := range want {
				if line[k] != v {
					t.Errorf("%s: %s = %v, want %v", tt.name, k, line[k], v)
				}
			}
			if len(line) != len(want) {
				t.Errorf("%s: fields %v, want %v", tt.name, line, want)
			}
		}
	})
}

// enters reports whether an attempt for r may begin in y.
func (y *yard) enters(r *Registration) bool {
	ctx, cancel := context.WithCancel(y.Context())
	cancel() // it does not wait
	leave, _ := y.attempter.limiter.Acquire(ctx, limiter.Request{Registration: r.ID, Allowance: limiter.Allowance{Concurrency: 1}, Slow: true})
	if leave != nil {
		leave(limiter.Outcome{})
	}
	return leave != nil
}

// takes has an attempt for r take the place that a rate of one in ten seconds gives.
func (y *yard) takes(r *Registration) {
	if leave, _, err := y.limits.Acquire(y.Context(), limit.Request{Rate: RateKey(r.ID), PerSecond: 0.1}); leave == nil {
		y.Fatal(err)
	}
}

// slow has so many attempts for r time out that no first one is made.
func (y *yard) slow(r *Registration) {
	for range 3 {
		leave, _ := y.attempter.limiter.Acquire(y.Context(), limiter.Request{Registration: r.ID, Allowance: limiter.Allowance{Concurrency: 1}})
		leave(limiter.Outcome{Attempted: true, Succeeded: true, Took: 14 * time.Second})
	}
}

// unreadable has reads of rows with an SK fail.
func (y *yard) unreadable(sk string) {
	y.Store.(*tampered).fail(func(call string, k storage.Key) error {
		if call == "get" && k.SK == sk {
			return errOutage
		}
		return nil
	})
}
