package gateway

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/limiter"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// begun starts a job of a kind for r that makes deliveries of n events due: held
// ones, failed ones, or ones that are missed.
func (w *world) begun(kind JobKind, r Registration, n int, rate float64) (Job, []string) {
	w.t.Helper()
	var ids []string
	switch kind {
	case JobRelease:
		ids = w.stored(r, n, heldFor(w))
	case JobRecover:
		ids = w.stored(r, n, failedFor(w))
	default:
		ids = w.stored(w.register(), n, failedFor(w))
	}
	time.Sleep(time.Second) // lists lag
	return w.start(kind, r, func(j *Job) { j.Rate = rate }), ids
}

var deliveringJobs = []JobKind{JobRelease, JobRecover, JobReplay}

// TestJobDeliversWithinASecond needs no tick for the first deliveries.
func TestJobDeliversWithinASecond(t *testing.T) {
	for _, kind := range deliveringJobs {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.register()
			began := time.Now()
			_, ids := w.begun(kind, r, 10, 0)
			w.redeliver() // the job
			ms := w.queue.take(storage.RetryQueue)
			slices.SortFunc(ms, func(a, b storage.Message) int { return int(a.Delay - b.Delay) })
			if len(ms) != len(ids) || ms[0].Delay != 0 || ms[len(ms)-1].Delay > 9*20*time.Millisecond {
				t.Fatalf("%s: %d messages, %+v; want one a delivery, the first at once, the last within 180 ms", kind, len(ms), ms)
			}
			time.Sleep(ms[len(ms)-1].Delay)
			w.queue.add(storage.RetryQueue, ms)
			w.redeliver()
			if _, posts := w.endpoints.last(); posts != len(ids) || time.Since(began) > 2*time.Second {
				t.Errorf("%s: %d POSTs %v after its start, want %d within a second", kind, posts, time.Since(began)-time.Second, len(ids))
			}
			for _, id := range ids {
				if d := w.delivery(r, id); d.Status != Succeeded || d.Attempts != 1 {
					t.Errorf("%s: %s after %d attempts, want it succeeded", kind, d.Status, d.Attempts)
				}
			}
		})
	}
}

// TestJobWritesADeliveryOnceToHandItOut counts the writes of one that succeeds:
// when it is made due, and its outcome.
func TestJobWritesADeliveryOnceToHandItOut(t *testing.T) {
	for _, kind := range deliveringJobs {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.register()
			j, _ := w.begun(kind, r, 1, 0)
			before := w.store.put("D#" + r.ID)
			w.redeliver()
			w.redeliver()
			if n := w.store.put("D#"+r.ID) - before; n != 2 || w.job(j.ID).Done != 1 {
				t.Errorf("%s: the delivery is written %d times, want 2", kind, n)
			}
		})
	}
}

// TestJobGoesAtItsRegistrationsPace looks when deliveries start, by what is asked
// for and by the limits.
func TestJobGoesAtItsRegistrationsPace(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name                 string
		asked, rate, tenants float64
		apart                time.Duration
	}{
		{"nothing asked for, no limit", 0, 0, 0, 20 * time.Millisecond},
		{"asked for, no limit", 2000, 0, 0, 500 * time.Microsecond},
		{"a slow one asked for", 0.5, 100, 0, 2 * time.Second},
		{"as the registration has it", 0, 1000, 0, 1052631},
		{"as the tenant has it", 0, 0, 10, 105263157},
		{"more asked for than the registration may", 2000, 10, 100, 105263157},
	} {
		for _, kind := range deliveringJobs {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put(TenantKey(w.tenant), Tenant{ID: w.tenant, Limits: Limits{DeliveriesPerSecond: tt.tenants}})
				r := w.register(func(r *Registration) { r.Rate = tt.rate })
				_, ids := w.begun(kind, r, 20, tt.asked)
				now := w.Clock()
				w.redeliver()
				var starts []time.Duration
				for _, id := range ids {
					starts = append(starts, w.delivery(r, id).NextAttempt.Sub(now))
				}
				slices.Sort(starts)
				for i, at := range starts {
					if want := (time.Duration(i) * tt.apart).Truncate(time.Millisecond); at != want {
						t.Fatalf("%s, %s: delivery %d starts after %v, want %v", tt.name, kind, i, at, want)
					}
				}
			})
		}
	}
}

// TestJobFollowsItsRegistrationsRate changes the rate while the job runs.
func TestJobFollowsItsRegistrationsRate(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register(func(r *Registration) { r.Rate = 0.1 })
		j, ids := w.begun(JobRecover, r, 200, 0)
		w.redeliver()
		if got := w.job(j.ID); got.Done == 0 || got.Done > 60 {
			t.Fatalf("at one in 10 s %d deliveries are made due, want those of %v", got.Done, limiter.MaxAhead)
		}
		time.Sleep(limiter.MaxAhead)
		r.Rate = 100
		w.set(r)
		time.Sleep(generationTTL)
		w.finish(j.ID)
		if got := w.job(j.ID); got.Done != len(ids) || time.Since(got.Created) > limiter.MaxAhead+5*time.Minute {
			t.Errorf("at 100/s %d deliveries are made due within %v, want all %d at once", got.Done, time.Since(got.Created), len(ids))
		}
	})
}

// TestSlowJobPlacesNoDeliveryFarAhead goes at one an hour.
func TestSlowJobPlacesNoDeliveryFarAhead(t *testing.T) {
	proofs.Long(t)
	for _, kind := range deliveringJobs {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.register()
			j, ids := w.begun(kind, r, 4, limiter.MinRate)
			for end := time.Now().Add(5 * time.Hour); time.Now().Before(end); time.Sleep(time.Minute) {
				ms := w.queue.take(storage.RetryQueue)
				later := slices.DeleteFunc(slices.Clone(ms), func(m storage.Message) bool { return m.Delay < time.Minute })
				for i := range later {
					later[i].Delay -= time.Minute
				}
				w.queue.add(storage.RetryQueue, slices.DeleteFunc(ms, func(m storage.Message) bool { return m.Delay >= time.Minute }))
				w.redeliver()
				w.queue.add(storage.RetryQueue, later)
				if err := w.Retry(t.Context()); err != nil {
					t.Fatal(err)
				}
				_, posts := w.endpoints.last()
				if hours := int(time.Since(j.Created)/time.Hour) + 1; posts > hours {
					t.Fatalf("%s: %d POSTs in hour %d, want one an hour", kind, posts, hours)
				}
				for _, id := range ids {
					d, err := w.LoadDelivery(t.Context(), ident.Delivery(r.ID, id))
					if err == nil && d.Status == Pending && time.Until(d.NextAttempt) > limiter.MaxAhead {
						t.Fatalf("%s: a delivery starts in %v, want none more than %v ahead", kind, time.Until(d.NextAttempt), limiter.MaxAhead)
					}
				}
			}
			if got := w.job(j.ID); got.Status != JobDone || got.Done != len(ids) {
				t.Errorf("%s: %+v after five hours, want it done with %d", kind, got, len(ids))
			}
			if _, posts := w.endpoints.last(); posts != len(ids) {
				t.Errorf("%s: %d POSTs in five hours, want %d", kind, posts, len(ids))
			}
		})
	}
}

// TestJobThatMayNotSendLeavesDeliveriesToTheTick runs as often in a row as messages
// may be sent.
func TestJobThatMayNotSendLeavesDeliveriesToTheTick(t *testing.T) {
	for _, kind := range deliveringJobs {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.register()
			j, ids := w.begun(kind, r, 1, 0)
			now := w.Clock()
			w.queue.take(storage.RetryQueue)
			h := j.header()
			h.SelfSends = maxSelfSends
			if err := w.runJob(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			if d := w.delivery(r, ids[0]); !d.due.Equal(now) || d.Unacked != 0 || len(w.queue.take(storage.RetryQueue)) != 0 {
				t.Errorf("%s: %+v, due %v; want it due now, and no message", kind, d, d.due)
			}
			if w.finish(j.ID); w.delivery(r, ids[0]).Status != Succeeded {
				t.Errorf("%s: %+v, want it delivered by the tick", kind, w.delivery(r, ids[0]))
			}
		})
	}
}

// TestJobOnOneMachineWaitsForNoTick runs as often in a row.
func TestJobOnOneMachineWaitsForNoTick(t *testing.T) {
	for _, kind := range deliveringJobs {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.SingleProcess = true
			r := w.register()
			j, ids := w.begun(kind, r, 1, 0)
			w.queue.take(storage.RetryQueue)
			h := j.header()
			h.SelfSends = maxSelfSends
			if err := w.runJob(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			if hs := w.queue.headers(t, storage.RetryQueue); len(hs) == 0 || hs[0].ID != w.delivery(r, ids[0]).ID || hs[0].SelfSends != 1 {
				t.Errorf("%s: messages %+v, want the delivery's", kind, hs)
			}
		})
	}
}

// TestJobsDeliveriesAreMadeThoughItsMessagesAreLost ends the process, or the
// queue's service, before the messages are sent.
func TestJobsDeliveriesAreMadeThoughItsMessagesAreLost(t *testing.T) {
	proofs.Long(t)
	for _, kind := range deliveringJobs {
		for _, alone := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.SingleProcess = alone })
				r := w.register()
				j, ids := w.begun(kind, r, 25, 0)
				w.queue.refuse = func(_ context.Context, _ storage.QueueName, ms []storage.Message) []error {
					return slices.Repeat([]error{errOutage}, len(ms))
				}
				w.redeliver()
				w.queue.refuse = nil
				waited := claimTTL + time.Minute
				if alone {
					waited = time.Minute // its own tick sends what was not sent
				}
				for end := time.Now().Add(waited); !time.Now().After(end); time.Sleep(time.Minute) {
					if err := w.Retry(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.redeliver()
				}
				time.Sleep(time.Minute)
				w.redeliver()
				for _, id := range ids {
					if d := w.delivery(r, id); d.Status != Succeeded || d.Attempts != 1 {
						t.Fatalf("%s, alone %v: %s after %d attempts, want it delivered once within %v", kind, alone, d.Status, d.Attempts, waited)
					}
				}
				if _, posts := w.endpoints.last(); posts != len(ids) || w.finish(j.ID).Done != len(ids) {
					t.Errorf("%s, alone %v: %d POSTs, want %d", kind, alone, posts, len(ids))
				}
			})
		}
	}
}

// TestJobThatFailsHalfwaySendsWhatItMadeDue has one delivery that cannot be
// written: the others go out, and once it can, it does too.
func TestJobThatFailsHalfwaySendsWhatItMadeDue(t *testing.T) {
	proofs.Long(t)
	for _, kind := range deliveringJobs {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.register()
			j, ids := w.begun(kind, r, 40, 0)
			w.store.fail(func(call string, k storage.Key) error {
				if call == "put" && k == DeliveryKey(r.ID, ids[7]) {
					return errOutage
				}
				return nil
			})
			if again := w.work(storage.RetryQueue, w.Redeliver); again != 1 {
				t.Errorf("%s: %d messages come again, want the job's", kind, again)
			}
			due := 0
			for _, id := range ids {
				if d, err := w.LoadDelivery(t.Context(), ident.Delivery(r.ID, id)); err == nil && d.Status == Pending {
					due++
				}
			}
			if sent := len(w.queue.headers(t, storage.RetryQueue)) - 1; sent != due || due == len(ids) {
				t.Errorf("%s: %d deliveries are due, %d messages sent; want as many, and not all", kind, due, sent)
			}
			w.store.fail(nil)
			if w.finish(j.ID); w.job(j.ID).Status != JobDone {
				t.Errorf("%s: %+v, want it done", kind, w.job(j.ID))
			}
			if _, posts := w.endpoints.last(); posts != len(ids) {
				t.Errorf("%s: %d POSTs, want %d", kind, posts, len(ids))
			}
		})
	}
}

// TestJobGivesWayToWhoeverWritesADelivery has a resend come between a job's look
// at a delivery and its write: the page comes again.
func TestJobGivesWayToWhoeverWritesADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register()
		j, ids := w.begun(JobRecover, r, 3, 0)
		resent := false
		w.store.fail(func(call string, k storage.Key) error {
			if call == "put" && k == DeliveryKey(r.ID, ids[1]) && !resent {
				resent = true
				_, err := w.Resend(t.Context(), ident.Delivery(r.ID, ids[1]))
				return err
			}
			return nil
		})
		again := w.work(storage.RetryQueue, w.Redeliver)
		w.store.fail(nil)
		if again != 1 || w.delivery(r, ids[1]).Status != Failed {
			t.Errorf("%d messages come again, the delivery is %s; want the job's, and failed", again, w.delivery(r, ids[1]).Status)
		}
		if got := w.finish(j.ID); got.Status != JobDone {
			t.Errorf("%+v, want it done", got)
		}
		for _, id := range ids {
			if d := w.delivery(r, id); d.Status != Succeeded {
				t.Errorf("%s is %s, want it succeeded", id, d.Status)
			}
		}
	})
}

// TestJobNeedsTheLimitsOfNow has its registration's tenant be unreadable, then gone.
func TestJobNeedsTheLimitsOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register()
		j, _ := w.begun(JobRecover, r, 1, 0)
		w.store.failOn("get", "T#")
		if _, _, err := w.recoverStep(t.Context(), &j); !errors.Is(err, errOutage) {
			t.Errorf("without a tenant's row: %v, want the outage", err)
		}
		w.store.fail(nil)
		if err := w.Store.Delete(t.Context(), TenantKey(w.tenant), storage.AnyRev); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.recoverStep(t.Context(), &j); err != nil || j.Interval != 20*time.Millisecond {
			t.Errorf("without a tenant: %v, deliveries %v apart; want those of 50/s", err, j.Interval)
		}
	})
}
