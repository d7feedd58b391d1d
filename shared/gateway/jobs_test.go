package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/ident"
	"ringback/shared/limiter"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// start starts a job of a kind for r.
func (w *world) start(kind JobKind, r Registration, change ...func(*Job)) Job {
	w.t.Helper()
	j := Job{Kind: kind, Tenant: r.Tenant, Registration: r.ID, Source: r.Source}
	for _, f := range change {
		f(&j)
	}
	j, err := w.StartJob(w.t.Context(), j)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// job returns a job as it stands.
func (w *world) job(id string) Job {
	w.t.Helper()
	j, err := w.Job(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// finish has the gateway work on messages and on what falls due until a job has
// ended, and returns it.
func (w *world) finish(id string) Job {
	w.t.Helper()
	for range 100 {
		w.redeliver()
		if j := w.job(id); j.Status != JobRunning {
			return j
		}
		time.Sleep(time.Minute)
		if err := w.Retry(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Fatalf("job %s does not end: %+v", id, w.job(id))
	panic("unreachable")
}

// stored writes n deliveries for r, each of an event of its own, as change makes
// them of new ones.
func (w *world) stored(r Registration, n int, change func(d Delivery) Delivery) (ids []string) {
	w.t.Helper()
	for range n {
		w.callbacks++
		id, err := ident.Event(w.source, "", w.Clock(), "stored", fmt.Sprint(w.callbacks))
		if err != nil {
			w.t.Fatal(err)
		}
		e := provider.Event{ID: id, Source: w.source, Provider: "upstream", Type: "happened", Received: w.Clock(), Payload: []byte("{}")}
		key, err := EventKey(id)
		if err != nil {
			w.t.Fatal(err)
		}
		row := storage.Row{Key: key, Body: e.Payload, Expires: w.Clock().Add(w.Retention.History)}
		if err := storage.PutRow(w.t.Context(), w.Store, row, newEventRow(message.InboundEvent{Event: e, Token: "t"}, nil, false, "run", w.Clock()), ""); err != nil {
			w.t.Fatal(err)
		}
		d := change(newDelivery(&e, &r, w.Clock()))
		if err := w.Gateway.deliveries.putDelivery(w.t.Context(), &d, ""); err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func failedFor(w *world) func(Delivery) Delivery {
	return func(d Delivery) Delivery {
		d.Attempts = 10
		return d.end(Failed, reasonExhausted, w.Clock())
	}
}

func heldFor(w *world) func(Delivery) Delivery {
	return func(d Delivery) Delivery { return d.hold(reasonDisabled, w.Clock()) }
}

// TestRevivedDeliveryHasItsWholeScheduleAnew recovers a delivery that used up all
// of its attempts days ago, and releases one that was held after some.
func TestRevivedDeliveryHasItsWholeScheduleAnew(t *testing.T) {
	for _, kind := range []JobKind{JobRecover, JobRelease} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, shortHistory)
			r := w.register()
			revived := map[JobKind]func(Delivery) Delivery{JobRecover: failedFor(w), JobRelease: func(d Delivery) Delivery {
				d.Attempts = 4
				return d.hold(reasonDisabled, w.Clock())
			}}[kind]
			id := w.stored(r, 1, revived)[0]
			since := w.Clock()
			time.Sleep(time.Hour)
			j := w.start(kind, r, func(j *Job) { j.Since = since })
			now := w.Clock()
			w.queue.take(storage.RetryQueue)
			if err := w.runJob(t.Context(), j.header()); err != nil {
				t.Fatal(err)
			}
			d := w.delivery(r, id)
			if hs := w.queue.headers(t, storage.RetryQueue); len(hs) != 1 || hs[0].ID != d.ID || hs[0].Claim != d.Claim || hs[0].SelfSends != 1 {
				t.Errorf("%s: messages %+v, want one of claim %d", kind, hs, d.Claim)
			}
			if d.Status != Pending || d.Attempts != 0 || !d.RestartedAt.Equal(now) || !d.NextAttempt.Equal(now) || !d.due.Equal(now.Add(claimTTL)) || d.Reason != "" || !d.Since.IsZero() || d.scheduleEnd(r.Schedule).Before(now.Add(24*time.Hour)) {
				t.Errorf("%s: %s, %d made, anew %v, start %v, due %v, why %q; want it pending, handed out now, as if it were new", kind, d.Status, d.Attempts, d.RestartedAt, d.NextAttempt, d.due, d.Reason)
			}
			key, _ := EventKey(id)
			if _, row := load[EventRow](w, key); !row.Expires.IsZero() {
				t.Errorf("%s: the event ends at %v, want it kept until the delivery is finished", kind, row.Expires)
			}
			if j = w.finish(j.ID); j.Status != JobDone || j.Done != 1 || j.Skipped != 0 {
				t.Errorf("%s: %+v, want it done with one", kind, j)
			}
		})
	}
}

// shortHistory keeps events for less than the longest schedule lasts.
func shortHistory(c *Config) { c.Retention.History = 8 * 24 * time.Hour }

// TestJobTakesWhatItIsFor looks at which deliveries jobs revive, by what they are
// and since when.
func TestJobTakesWhatItIsFor(t *testing.T) {
	for _, kind := range []JobKind{JobRecover, JobRelease} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r, other := w.register(), w.register()
			w.stored(r, 1, failedFor(w))
			w.stored(r, 1, heldFor(w))
			time.Sleep(time.Millisecond)
			since := w.Clock()
			failed := w.stored(r, 1, failedFor(w))[0]
			held := w.stored(r, 1, heldFor(w))[0]
			w.stored(other, 1, failedFor(w))
			w.stored(other, 1, heldFor(w))
			w.stored(r, 1, func(d Delivery) Delivery { return d.end(Cancelled, ReasonDeleted, w.Clock()) })
			w.stored(r, 1, func(d Delivery) Delivery { return d.end(Succeeded, "", w.Clock()) })
			w.stored(r, 1, func(d Delivery) Delivery { return d.waitUntil(w.Clock().Add(time.Hour), false) })
			time.Sleep(time.Second) // what is listed lags
			j := w.start(kind, r, func(j *Job) { j.Since = since })
			w.stored(r, 1, failedFor(w)) // after its start: the schedule's own end, perhaps of what it revived
			later := w.stored(r, 1, heldFor(w))[0]
			time.Sleep(time.Second)
			want := map[JobKind][]string{JobRecover: {failed}, JobRelease: {held, later}}[kind]
			if got := w.finish(j.ID); got.Status != JobDone || got.Done != len(want) || got.Skipped != 0 {
				t.Errorf("%s: %+v, want %d done and none skipped", kind, got, len(want))
			}
			for _, id := range want {
				if d := w.delivery(r, id); d.Status == Failed || d.Status == Held {
					t.Errorf("%s: %s is %s still", kind, id, d.Status)
				}
			}
		})
	}
}

// TestJobWalksAllShards has more deliveries than one page holds, in all shards,
// and sees that they come at the pace of jobs, the first at once.
func TestJobWalksAllShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			n     = 3 * HistoryShards
			apart = 20 * time.Millisecond
		)
		w := newWorld(t)
		r := w.register()
		ids := w.stored(r, n, failedFor(w))
		shards := map[int]bool{}
		for _, id := range ids {
			shards[historyShard(id)] = true
		}
		time.Sleep(time.Second)
		j := w.start(JobRecover, r)
		now := w.Clock()
		w.queue.take(storage.RetryQueue)
		if err := w.runJob(t.Context(), j.header()); err != nil {
			t.Fatal(err)
		}
		var starts []time.Duration
		for _, id := range ids {
			d := w.delivery(r, id)
			if d.Status != Pending {
				t.Errorf("%s is %s after a walk over all %d shards", id, d.Status, len(shards))
			}
			starts = append(starts, d.NextAttempt.Sub(now))
		}
		slices.Sort(starts)
		for i, at := range starts {
			if want := time.Duration(i) * apart; at != want {
				t.Fatalf("delivery %d of the job starts after %v, want %v", i, at, want)
			}
		}
		if j = w.job(j.ID); j.Status != JobRunning || j.Cursor != "1 0 " || j.Done != n || !j.Next.Equal(now.Add(n*apart)) {
			t.Errorf("after the first pass: %+v, want %d done, and the second pass to come", j, n)
		}
		if _, row := load[Job](w, JobKey(j.ID)); !row.Due.Equal(j.Created.Add(secondPassDelay)) {
			t.Errorf("the second pass is due %v after the start, want %v", row.Due.Sub(j.Created), secondPassDelay)
		}
	})
}

// TestJobLooksAgainForStragglers writes a delivery as held that the first pass did
// not see, and one that it skips in both.
func TestJobLooksAgainForStragglers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register()
		gone := w.stored(r, 1, heldFor(w))[0]
		key, _ := EventKey(gone)
		if err := w.Store.Delete(t.Context(), key, storage.AnyRev); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		j := w.start(JobRelease, r)
		w.redeliver()
		if j = w.job(j.ID); j.Status != JobRunning || j.Skipped != 1 || j.Done != 0 {
			t.Errorf("after the first pass: %+v, want it running, one skipped", j)
		}
		straggler := w.stored(r, 1, heldFor(w))[0]
		time.Sleep(secondPassDelay / 2)
		if err := w.Retry(t.Context()); err != nil { // hands the second pass out, ahead of its time
			t.Fatal(err)
		}
		ms := w.queue.take(storage.RetryQueue)
		if len(ms) != 1 || ms[0].Delay != secondPassDelay/2-time.Second && ms[0].Delay != secondPassDelay/2 {
			t.Fatalf("%d messages for the second pass, %+v; want one at its time", len(ms), ms)
		}
		w.queue.add(storage.RetryQueue, ms)
		w.redeliver()
		if j = w.job(j.ID); j.Status != JobRunning || w.delivery(r, straggler).Status != Held {
			t.Errorf("the second pass, before its time: %+v; want it to wait", j)
		}
		time.Sleep(secondPassDelay)
		if j = w.finish(j.ID); j.Status != JobDone || j.Done != 1 || j.Skipped != 1 {
			t.Errorf("after the second pass: %+v, want it done, the straggler too, one skipped", j)
		}
		if d := w.delivery(r, straggler); d.Status == Held {
			t.Error("the straggler is held still")
		}
	})
}

// TestJobStartsOnce starts one twice under the same id, and looks at its rows.
func TestJobStartsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register()
		id := ident.New("job", time.Now())
		first := w.start(JobRecover, r, func(j *Job) { j.ID = id })
		time.Sleep(time.Second)
		second := w.start(JobRelease, r, func(j *Job) { j.ID = id })
		if second.Kind != JobRecover || !second.Created.Equal(first.Created) {
			t.Errorf("started again: %+v, want the first: %+v", second, first)
		}
		hs := w.queue.headers(t, storage.RetryQueue)
		if len(hs) != 1 || hs[0].Kind != message.Job || hs[0].ID != id || hs[0].Claim != 1 || hs[0].SelfSends != 1 {
			t.Errorf("messages %+v, want one of the job", hs)
		}
		j, row := load[Job](w, JobKey(id))
		if j.Status != JobRunning || j.Claim != 1 || !j.Updated.Equal(j.Created) || !row.Due.Equal(first.Created.Add(claimTTL)) || !row.Expires.IsZero() {
			t.Errorf("stored as %+v, due %v, expires %v; want it running, due in %v", j, row.Due, row.Expires, claimTTL)
		}
		if got, _ := load[Link](w, TenantLinkKey(w.tenant, "J", id)); got.ID != id {
			t.Errorf("the tenant's list holds %q, want the job", got.ID)
		}
		of, err := w.StartJob(t.Context(), Job{Kind: JobReseal})
		if err != nil || !strings.HasPrefix(of.ID, "job_") {
			t.Errorf("a job of the operator, without an id: %+v, %v", of, err)
		}
		for _, pk := range []string{"J#", "T#"} {
			w.store.failOn("put", pk)
			if _, err := w.StartJob(t.Context(), Job{Kind: JobRecover, Tenant: w.tenant}); !errors.Is(err, errOutage) {
				t.Errorf("without a row of %s: %v, want the outage", pk, err)
			}
		}
	})
}

// TestCancelledJobGoesNoFurther cancels one between two chunks, and once more.
func TestCancelledJobGoesNoFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register()
		id := w.stored(r, 1, failedFor(w))[0]
		time.Sleep(time.Second)
		j := w.start(JobRecover, r)
		time.Sleep(time.Second)
		for range 2 {
			got, err := w.CancelJob(t.Context(), j.ID)
			if n := w.store.put("J#"); n != 2 {
				t.Errorf("the job is written %d times, want when it starts and once when it is cancelled", n)
			}
			if err != nil || got.Status != JobCancelled || !got.Updated.Equal(j.Created.Add(time.Second)) {
				t.Errorf("cancelled: %+v, %v; want it cancelled then", got, err)
			}
			time.Sleep(time.Second)
		}
		if _, row := load[Job](w, JobKey(j.ID)); !row.Due.IsZero() || !row.Expires.Equal(j.Created.Add(time.Second+jobRetention)) {
			t.Errorf("a cancelled job is due %v and expires %v, want never and in 14 days", row.Due, row.Expires)
		}
		w.redeliver()
		if d := w.delivery(r, id); d.Status != Failed {
			t.Errorf("after its job was cancelled the delivery is %s", d.Status)
		}
		if _, err := w.CancelJob(t.Context(), "job_none"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("cancel of no job: %v, want ErrNotFound", err)
		}
		if _, err := w.Job(t.Context(), "job_none"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("no job: %v, want ErrNotFound", err)
		}
	})
}

// steps is a job whose chunks do what the test says.
func (w *world) steps(f func(n int, j *Job) (time.Time, bool, error)) JobKind {
	n := 0
	w.Gateway.jobs.Steps = map[JobKind]Step{"test": func(_ context.Context, j *Job) (time.Time, bool, error) {
		n++
		return f(n, j)
	}}
	return "test"
}

// TestJobDoesNotSaveOverTheClaimOfAnother has another take the job up while a
// chunk of it runs: two runs must not overwrite each other's cursor.
func TestJobDoesNotSaveOverTheClaimOfAnother(t *testing.T) {
	for _, end := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			runs := 0
			var id string
			kind := w.steps(func(n int, j *Job) (time.Time, bool, error) {
				runs = n
				time.Sleep(time.Second)
				theirs := *j
				theirs.Claim++
				theirs.Cursor = "theirs"
				w.put(JobKey(id), theirs)
				j.Cursor, j.Done = "ours", 99
				return time.Time{}, end, nil
			})
			j, err := w.StartJob(t.Context(), Job{Kind: kind})
			if err != nil {
				t.Fatal(err)
			}
			id = j.ID
			w.redeliver()
			if got := w.job(id); got.Cursor != "theirs" || got.Done != 0 || got.Status != JobRunning || runs != 1 {
				t.Errorf("ended %v: after %d chunks the job is %+v; want it as the other wrote it, after one", end, runs, got)
			}
			if ms := w.queue.take(storage.RetryQueue); len(ms) != 0 {
				t.Errorf("ended %v: %d messages sent for a job that another has, want none", end, len(ms))
			}
			if n := w.store.put("J#"); n != 2 {
				t.Errorf("ended %v: the job is written %d times, want once when it starts and once by the other", end, n)
			}
			w.redeliver()
			if err := w.runJob(t.Context(), j.header()); err != nil || runs != 1 {
				t.Errorf("ended %v: an old message ran %d chunks, %v; want no more", end, runs-1, err)
			}
		})
	}
}

// TestJobPausesAndGoesOn has chunks of seconds: after 20 s the job goes on in
// another message, after three of these at a tick.
func TestJobPausesAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var chunks []time.Duration
		start := time.Now()
		kind := w.steps(func(n int, j *Job) (time.Time, bool, error) {
			chunks = append(chunks, time.Since(start))
			time.Sleep(7 * time.Second)
			j.Cursor, j.Done = fmt.Sprint(n), n
			return time.Time{}, n == 14, nil
		})
		j, err := w.StartJob(t.Context(), Job{Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		for n, want := range []struct {
			done, claim int
			hops        int // of the next message; 0: none
			due         time.Duration
		}{
			{3, 2, 2, claimTTL}, {6, 3, 3, claimTTL}, {9, 4, 0, 0},
		} {
			w.redeliver()
			got, row := load[Job](w, JobKey(j.ID))
			hs := w.queue.headers(t, storage.RetryQueue)
			if got.Done != want.done || got.Cursor != fmt.Sprint(want.done) || got.Claim != want.claim || row.Due.Sub(w.Clock()) != want.due ||
				!got.Updated.Equal(w.Clock()) || (len(hs) == 1) != (want.hops > 0) || len(hs) == 1 && (hs[0].SelfSends != want.hops || hs[0].Claim != want.claim) {
				t.Errorf("after message %d: %+v, due in %v, messages %+v; want %+v", n, got, row.Due.Sub(w.Clock()), hs, want)
			}
		}
		if err := w.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		if hs := w.queue.headers(t, storage.RetryQueue); len(hs) != 1 || hs[0].SelfSends != 1 || hs[0].Claim != 5 {
			t.Errorf("messages of the tick: %+v, want one of claim 5", hs)
		}
		if _, row := load[Job](w, JobKey(j.ID)); row.Due.Sub(w.Clock()) != claimTTL {
			t.Errorf("handed out, the job is due in %v, want %v", row.Due.Sub(w.Clock()), claimTTL)
		}
		w.redeliver()
		w.redeliver()
		if got, row := load[Job](w, JobKey(j.ID)); got.Status != JobDone || got.Done != 14 || !row.Due.IsZero() || !row.Expires.Equal(got.Updated.Add(jobRetention)) {
			t.Errorf("at the end: %+v, due %v, expires %v; want it done, kept for 14 days", got, row.Due, row.Expires)
		}
		if ms := w.queue.take(storage.RetryQueue); len(ms) != 0 {
			t.Errorf("%d messages for a job that is done", len(ms))
		}
	})
}

// TestJobWaitsUntilItsStepWants has one go on in an hour, and another that is so
// far ahead that it must wait for what it made due.
func TestJobWaitsUntilItsStepWants(t *testing.T) {
	for _, tt := range []struct {
		name  string
		next  time.Duration // from now on; 0: at once
		ahead time.Duration // of the last place
		want  time.Duration
	}{
		{"in an hour", time.Hour, 0, time.Hour},
		{"far ahead", 0, limiter.MaxAhead + time.Minute, limiter.MaxAhead/2 + time.Minute},
		{"far ahead, in an hour", time.Hour, limiter.MaxAhead + time.Minute, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			now := w.Clock()
			kind := w.steps(func(n int, j *Job) (time.Time, bool, error) {
				if n > 1 {
					t.Errorf("%s: chunk %d at once", tt.name, n)
					return time.Time{}, true, nil
				}
				if tt.ahead > 0 {
					j.Next = now.Add(tt.ahead)
				}
				if tt.next > 0 {
					return now.Add(tt.next), false, nil
				}
				return time.Time{}, false, nil
			})
			j, err := w.StartJob(t.Context(), Job{Kind: kind})
			if err != nil {
				t.Fatal(err)
			}
			w.redeliver()
			if got, row := load[Job](w, JobKey(j.ID)); got.Claim != 2 || row.Due.Sub(now) != tt.want || len(w.queue.take(storage.RetryQueue)) != 0 {
				t.Errorf("%s: claim %d, due in %v; want 2, in %v, and no message", tt.name, got.Claim, row.Due.Sub(now), tt.want)
			}
		})
	}
}

// TestJobPausesBeforeTheInvocationEnds runs a chunk with little time left.
func TestJobPausesBeforeTheInvocationEnds(t *testing.T) {
	for left, want := range map[time.Duration]int{deadlineMargin + jobTimeSlice/2: 2, deadlineMargin + jobTimeSlice/2 - 1: 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			chunks := 0
			kind := w.steps(func(n int, _ *Job) (time.Time, bool, error) {
				chunks = n
				return time.Time{}, n == 2, nil
			})
			j, err := w.StartJob(t.Context(), Job{Kind: kind})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			if err := w.runJob(ctx, j.header()); err != nil || chunks != want {
				t.Errorf("with %v left: %d chunks, %v; want %d", left, chunks, err, want)
			}
		})
	}
}

// TestJobThatFailsComesAgain has a step fail, then a kind that nobody knows, and
// a Store that does not answer.
func TestJobThatFailsComesAgain(t *testing.T) {
	w := newWorld(t)
	kind := w.steps(func(n int, j *Job) (time.Time, bool, error) {
		j.Cursor = "not to be saved"
		return time.Time{}, n > 1, map[bool]error{true: errOutage}[n == 1]
	})
	j, err := w.StartJob(t.Context(), Job{Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	if again := w.work(storage.RetryQueue, w.Redeliver); again != 1 || w.job(j.ID).Cursor != "" {
		t.Errorf("after a step that failed %d messages come again, the job is %+v; want one, as it was", again, w.job(j.ID))
	}
	w.store.failOn("get", "J#")
	if err := w.runJob(t.Context(), j.header()); !errors.Is(err, errOutage) {
		t.Errorf("with no answer on the job: %v, want the outage", err)
	}
	w.store.failOn("put", "J#")
	if err := w.runJob(t.Context(), j.header()); !errors.Is(err, errOutage) {
		t.Errorf("with a job that cannot be saved: %v, want the outage", err)
	}
	w.store.fail(nil)
	if err := w.runJob(t.Context(), message.Header{ID: "job_none", Claim: 1}); err != nil {
		t.Errorf("a job that is gone: %v, want nothing to be done", err)
	}
	other, err := w.StartJob(t.Context(), Job{Kind: "unknown"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.runJob(t.Context(), other.header()); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("a job of an unknown kind: %v, want ErrInvalid", err)
	}
}

// TestReplayDeliversWhatWasMissed registers after events came, one of them for
// the registration too, and replays a part of the time.
func TestReplayDeliversWhatWasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shortHistory)
		w.put(GrantKey(w.source, w.tenant, "grt_1"), Grant{ID: "grt_1", Source: w.source, Tenant: w.tenant, Created: time.Now()})
		come := func(items ...provider.Item) string {
			w.arrive(items...)
			id := w.queue.events(t)[0].ID
			w.fanOut()
			time.Sleep(time.Minute)
			return id
		}
		come(provider.Item{})
		since := time.Now()
		missed := come(provider.Item{})
		come(provider.Item{Type: "unwanted"})
		come(provider.Item{Unreadable: true})
		erased := come(provider.Item{})
		key, _ := EventKey(erased)
		er, row := load[EventRow](w, key)
		er.Erased = true
		if err := storage.PutRow(t.Context(), w.Store, storage.Row{Key: key, Expires: row.Expires}, er, storage.AnyRev); err != nil {
			t.Fatal(err)
		}
		r := w.register(func(r *Registration) { r.EventTypes = []string{"happened"} })
		had := come(provider.Item{})
		until := time.Now()
		come(provider.Item{})
		_, posts := w.endpoints.last()
		j := w.start(JobReplay, r, func(j *Job) { j.Since, j.Until = since, until })
		now := w.Clock()
		w.queue.take(storage.RetryQueue)
		if err := w.runJob(t.Context(), j.header()); err != nil {
			t.Fatal(err)
		}
		d := w.delivery(r, missed)
		if d.Status != Pending || !d.Replay || d.Lane || d.Attempts != 0 || !d.NextAttempt.Equal(now) || !d.due.Equal(now.Add(claimTTL)) {
			t.Errorf("what was missed: %+v, due %v; want it pending, handed out now, marked as a replay", d, d.due)
		}
		key, _ = EventKey(missed)
		if _, row := load[EventRow](w, key); !row.Expires.IsZero() {
			t.Errorf("the event ends at %v, want it kept until the delivery is finished", row.Expires)
		}
		link, mark := load[Link](w, ReplayedKey(missed, r.ID))
		if link.ID != r.ID || !mark.Expires.Equal(now.Add(w.Retention.maxUnfinished()).Truncate(time.Second)) {
			t.Errorf("the mark of the replay: %+v until %v", link, mark.Expires)
		}
		if j = w.job(j.ID); j.Done != 1 || j.Skipped != 1 || !j.Next.Equal(now.Add(20*time.Millisecond)) {
			t.Errorf("after the first pass: %+v, want one done, one skipped (%s)", j, had)
		}
		if j = w.finish(j.ID); j.Status != JobDone || j.Done != 1 || j.Skipped != 1 {
			t.Errorf("at the end: %+v, want one done, one skipped", j)
		}
		if err := w.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.redeliver()
		if _, n := w.endpoints.last(); n != posts+1 || w.delivery(r, missed).Status != Succeeded {
			t.Errorf("%d POSTs of the replay, the delivery is %s; want one, succeeded", n-posts, w.delivery(r, missed).Status)
		}
	})
}

// TestReplayEndsWithWhatItIsFor replays to a registration that is gone, removed,
// or may not have the events.
func TestReplayEndsWithWhatItIsFor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *world, r *Registration)
		status JobStatus
	}{
		{"gone", func(w *world, r *Registration) {
			if err := w.Store.Delete(w.t.Context(), RegistrationKey(r.ID), storage.AnyRev); err != nil {
				w.t.Fatal(err)
			}
			w.publish()
		}, JobDone},
		{"removed", func(w *world, r *Registration) { r.State = Removed; w.set(*r) }, JobDone},
		{"without a grant", func(w *world, _ *Registration) { noGrant(w, nil, nil); w.publish() }, JobDone},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			event := w.happen()
			time.Sleep(time.Second)
			r := w.register()
			tt.change(w, &r)
			got := w.finish(w.start(JobReplay, r).ID)
			if _, err := w.LoadDelivery(t.Context(), ident.Delivery(r.ID, event)); !errors.Is(err, storage.ErrNotFound) || got.Status != tt.status || got.Done != 0 || got.Skipped != 0 {
				t.Errorf("%s: %+v, delivery %v; want it done with none", tt.name, got, err)
			}
		})
	}
}

// TestReplayComesAgainAfterAnOutage has each row fail that a replay needs.
func TestReplayComesAgainAfterAnOutage(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		for _, fail := range []struct{ call, pk string }{
			{"get", "R#"}, {"list", "E#"}, {"list", "S#"}, {"get", "D#"}, {"put", "E#"}, {"put", "P#"}, {"put", "D#"}, {"put", "L#"},
		} {
			w := newWorld(t, shortHistory)
			event := w.happen()
			time.Sleep(time.Second)
			r := w.register(func(r *Registration) { r.Ordered = fail.pk == "L#" })
			j := w.start(JobReplay, r)
			w.store.failOn(fail.call, fail.pk)
			if again := w.work(storage.RetryQueue, w.Redeliver); again != 1 {
				t.Errorf("%s of %s fails: %d messages come again, want one", fail.call, fail.pk, again)
			}
			w.store.fail(nil)
			if got := w.finish(j.ID); got.Status != JobDone || got.Done != 1 {
				t.Errorf("%s of %s failed once: %+v, want one done", fail.call, fail.pk, got)
			}
			if d := w.delivery(r, event); d.Lane != r.Ordered {
				t.Errorf("%s of %s failed once: %+v, want it in its lane if it has one", fail.call, fail.pk, d)
			}
		}
	})
}

// TestRevivedDeliveryOfALaneIsPutBack releases what an ordered registration has
// held.
func TestRevivedDeliveryOfALaneIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register(func(r *Registration) { r.Ordered = true })
		id := w.stored(r, 1, func(d Delivery) Delivery {
			d.Lane = true
			return d.hold(reasonDisabled, w.Clock())
		})[0]
		time.Sleep(time.Second)
		j := w.start(JobRelease, r)
		w.store.failOn("put", "L#")
		if again := w.work(storage.RetryQueue, w.Redeliver); again != 1 {
			t.Errorf("with a lane that cannot be written %d messages come again, want one", again)
		}
		w.store.fail(nil)
		w.redeliver()
		hs := w.queue.headers(t, storage.RetryQueue)
		if len(hs) != 1 || hs[0].Kind != message.Lane {
			t.Errorf("messages %+v, want one for the lane", hs)
		}
		w.finish(j.ID)
		if d := w.delivery(r, id); d.Status != Succeeded {
			t.Errorf("the delivery is %s, want it delivered by its lane", d.Status)
		}
		if _, n := w.endpoints.last(); n != 1 {
			t.Errorf("%d POSTs, want one", n)
		}
	})
}

// TestRevivalComesAgainAfterAnOutage has each row fail that a release needs, and
// one that is not to be released, which is not written.
func TestRevivalComesAgainAfterAnOutage(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		for _, fail := range []struct {
			call, pk string
			nth      int32 // call that fails
		}{{"list", "D#", 1}, {"get", "D#", 1}, {"put", "D#", 1}, {"put", "E#", 1}, {"get", "E#", 2}, {"put", "J#", 1}} {
			w := newWorld(t, shortHistory)
			r := w.register(func(r *Registration) { r.Ordered = true })
			id := w.stored(r, 1, func(d Delivery) Delivery {
				d.Lane = true
				return d.hold(reasonDisabled, w.Clock())
			})[0]
			w.stored(r, 1, failedFor(w))
			time.Sleep(time.Second)
			j := w.start(JobRelease, r)
			var calls atomic.Int32 // a job's deliveries are read side by side
			w.store.fail(func(call string, k storage.Key) error {
				if call == fail.call && strings.HasPrefix(k.PK, fail.pk) && calls.Add(1) >= fail.nth {
					return errOutage
				}
				return nil
			})
			if again := w.work(storage.RetryQueue, w.Redeliver); again != 1 {
				t.Errorf("%s of %s fails: %d messages come again, want one", fail.call, fail.pk, again)
			}
			w.store.fail(nil)
			puts := w.store.put("D#")
			w.finish(j.ID)
			if d := w.delivery(r, id); d.Status != Succeeded || w.store.put("D#")-puts > 2 {
				t.Errorf("%s of %s failed once: the delivery is %s, %d were written; want it released and delivered, and no other", fail.call, fail.pk, d.Status, w.store.put("D#")-puts)
			}
		}
	})
}

// TestWalkGoesOnWhereAPageEnded walks over pages of one row, three of which lie in
// one shard.
func TestWalkGoesOnWhereAPageEnded(t *testing.T) {
	w := newWorld(t)
	for _, k := range []string{"0 a", "0 b", "0 c", "7 a"} {
		shard, sk, _ := strings.Cut(k, " ")
		w.put(storage.Key{Table: storage.Deliveries, PK: "W#" + shard, SK: sk}, Link{k})
	}
	var j Job
	got, pages := []string{}, 0
	for ended := false; !ended; pages++ {
		var err error
		ended, err = w.Walk(t.Context(), &j, func(shard int) storage.Query {
			return storage.Query{Table: storage.Deliveries, PK: fmt.Sprint("W#", shard), Limit: 1, Consistent: true}
		}, func(rows []storage.Row) (int, error) {
			for _, r := range rows {
				got = append(got, r.PK+r.SK)
			}
			return len(rows), nil
		})
		if err != nil || pages > 4*HistoryShards {
			t.Fatalf("after %d pages: %v", pages, err)
		}
	}
	if want := "[W#0a W#0b W#0c W#7a]"; fmt.Sprint(got) != want || j.Cursor != "1 0 " {
		t.Errorf("walked over %v and stands at %q, want %s once and the next pass", got, j.Cursor, want)
	}
}

// TestSecondPassOfAReplayIsShort replays an event of days ago: it is not looked at
// for stragglers.
func TestSecondPassOfAReplayIsShort(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.happen()
		time.Sleep(26 * time.Hour)
		r := w.register()
		w.put(GrantKey(w.source, w.tenant, "grt_1"), Grant{ID: "grt_1", Source: w.source, Tenant: w.tenant})
		w.publish()
		j := w.start(JobReplay, r)
		w.redeliver()
		first := w.store.got("D#" + r.ID)
		j.Claim = w.job(j.ID).Claim
		time.Sleep(secondPassDelay)
		if err := w.runJob(t.Context(), j.header()); err != nil {
			t.Fatal(err)
		}
		if again := w.store.got("D#"+r.ID) - first; first != 1 || again != 0 || w.job(j.ID).Status != JobDone {
			t.Errorf("the delivery was looked for %d times, and %d times in the second pass, the job is %s; want once, never, done", first, again, w.job(j.ID).Status)
		}
	})
}

// TestReplayGivesWayToAnother has the event's own fan-out write the delivery while
// a replay is about to, and one whose row cannot be read.
func TestReplayGivesWayToAnother(t *testing.T) {
	w := newWorld(t)
	event := w.happen()
	r := w.register()
	e, _, err := w.LoadEvent(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	j := w.start(JobReplay, r)
	w.store.fail(func(call string, k storage.Key) error {
		if call == "put" && strings.HasPrefix(k.PK, "P#") {
			d := newDelivery(e, &r, w.Clock()).end(Succeeded, "", w.Clock())
			row, err := d.row(w.Retention)
			row.Rev = storage.NewRev()
			return errors.Join(err, w.store.Store.Put(t.Context(), row, ""))
		}
		return nil
	})
	w.redeliver()
	if got := w.job(j.ID); got.Done != 0 || got.Skipped != 1 || w.delivery(r, event).Status != Succeeded {
		t.Errorf("%+v, the delivery is %s; want one skipped, and the other's", got, w.delivery(r, event).Status)
	}
	w.store.fail(nil)
	key, _ := EventKey(event)
	w.spoil(key)
	w.start(JobReplay, r)
	if again := w.work(storage.RetryQueue, w.Redeliver); again != 1 {
		t.Errorf("with an event that cannot be read %d messages come again, want one", again)
	}
}

func TestJobThatCannotBeReadIsNotHandedOut(t *testing.T) {
	if _, h, err := claimJob(storage.Row{Data: []byte(`{"v":99}`)}, noon); err == nil {
		t.Errorf("handed out as %+v", h)
	}
}

// TestRecoveredEndpointIsToldOf opens a circuit and lets it close.
func TestRecoveredEndpointIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.endpoints.code = http.StatusInternalServerError
		r := w.register()
		var told []string
		look := func() {
			for _, e := range w.queue.events(t) {
				told = append(told, e.Type)
			}
			w.queue.take(storage.EventsQueue)
		}
		for range circuit.OpenAfter + 1 {
			time.Sleep(circuit.SuspectFor)
			w.happen()
			look()
		}
		h, _ := load[circuit.Health](w, HealthKey(r.ID))
		if !h.Open || fmt.Sprint(told) != "["+registrationFailing+"]" {
			t.Fatalf("after %d failures: %+v, told %v; want it open, told once", circuit.OpenAfter+1, h, told)
		}
		w.endpoints.code = 0
		time.Sleep(time.Until(h.ProbeAt))
		w.happen() // the probe
		look()
		h, _ = load[circuit.Health](w, HealthKey(r.ID))
		if h.Open || h.Failing() || fmt.Sprint(told) != "["+registrationFailing+" "+registrationRecovered+"]" {
			t.Errorf("after a probe that was accepted: %+v, told %v; want it closed, told once", h, told)
		}
	})
}
