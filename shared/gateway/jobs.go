package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

const (
	jobSlice = 20 * time.Second // of one message; then the job goes on in another
	jobKept  = 14 * 24 * time.Hour
	// stragglers is how long after its start a job looks again at deliveries or
	// events: lists lag, and a worker may have gone by what it knew a moment before.
	stragglers = time.Minute
)

// jobs run durable work in chunks.
type jobs struct {
	*core
	find       *finder
	events     *events
	deliveries *deliveries
	lanes      *lanes

	// Steps are those of the jobs that the packages above this one have. They are
	// set before Redeliver is called.
	Steps map[JobKind]Step
}

// StartJob stores j and sends its first message. The same id starts it once.
func (js *jobs) StartJob(ctx context.Context, j Job) (Job, error) {
	now := js.Clock()
	if j.ID == "" {
		j.ID = NewID("job", now)
	}
	j.Status, j.Created, j.Updated, j.Claim = JobRunning, now, now, 1
	if j.Tenant != "" {
		if err := storage.Put(ctx, js.Store, OfTenant(j.Tenant, "J", j.ID), struct {
			ID string `json:"id"`
		}{j.ID}, storage.AnyRev); err != nil {
			return j, err
		}
	}
	row := storage.Row{Key: JobKey(j.ID), Due: now.Add(firstHold)}
	switch err := storage.PutRow(ctx, js.Store, row, j, ""); {
	case errors.Is(err, storage.ErrConflict):
		return js.Job(ctx, j.ID)
	case err != nil:
		return j, err
	}
	js.sendSelf(ctx, fastPath, j.header(), 1, 0)
	return j, nil
}

// Job returns a job as it stands. The error wraps storage.ErrNotFound.
func (js *jobs) Job(ctx context.Context, id string) (Job, error) {
	return loadJob(ctx, js.Store, id)
}

// CancelJob ends a job after the chunk that runs now.
func (js *jobs) CancelJob(ctx context.Context, id string) (Job, error) {
	return storage.Change(ctx, js.Store, JobKey(id), func(j *Job, r *storage.Row) error {
		switch {
		case j.ID == "":
			return storage.ErrNotFound
		case j.Status != JobRunning:
			return storage.ErrUnchanged
		}
		return j.end(JobCancelled, "", js.Clock(), r)
	})
}

func (j *Job) end(s JobStatus, why string, now time.Time, r *storage.Row) error {
	j.Status, j.Why, j.Updated = s, why, now
	r.Due, r.Expires = time.Time{}, now.Add(jobKept)
	return nil
}

// header returns the header of the message for j's next chunk.
func (j Job) header() header { return header{Kind: jobMessage, ID: j.ID, Claim: j.Claim} }

// claimJob returns a job's row as it is when it is handed out, and the header of
// its message.
func claimJob(row storage.Row, start time.Time) (storage.Row, header, error) {
	var j Job
	if err := storage.Decode(row, &j); err != nil {
		return row, header{}, err
	}
	j.Claim++
	row.Due = start.Add(firstHold)
	var err error
	row.Data, err = storage.Encode(j)
	return row, j.header(), err
}

// A Step does a page of a job's work and moves its cursor. It returns when to
// go on: zero at once, and true when all is done. It may run again after a
// crash with the cursor from before.
type Step func(ctx context.Context, j *Job) (next time.Time, done bool, err error)

// step returns what does the work of a kind of job.
func (js *jobs) step(kind JobKind) (Step, bool) {
	switch kind {
	case JobRelease:
		return js.releaseStep, true
	case JobRecover:
		return js.recoverStep, true
	case JobReplay:
		return js.replayStep, true
	}
	s, ok := js.Steps[kind]
	return s, ok
}

// runJob runs chunks of a job for a while, as long as the claim is current.
func (js *jobs) runJob(ctx context.Context, h header) error {
	j, err := js.Job(ctx, h.ID)
	if errors.Is(err, storage.ErrNotFound) || err == nil && (j.Claim != h.Claim || j.Status != JobRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	do, ok := js.step(j.Kind)
	if !ok {
		return fmt.Errorf("job %s of kind %q: %w", j.ID, j.Kind, storage.ErrInvalid)
	}
	end := js.Clock().Add(jobSlice)
	for {
		next, done, err := do(ctx, &j)
		if err != nil {
			return fmt.Errorf("job %s: %w", j.ID, err)
		}
		if next.IsZero() && !done {
			next = j.ahead(js.Clock())
		}
		pause := !next.IsZero() || js.Clock().After(end) || timeLeft(ctx) < answerMargin+jobSlice/2
		running, err := js.saveJob(ctx, &j, next, done, pause, h.Hops)
		if err != nil || !running || pause {
			return err
		}
	}
}

// saveJob writes j's progress, unless it was cancelled or claimed by another,
// and sends its next message if it pauses.
func (js *jobs) saveJob(ctx context.Context, j *Job, next time.Time, done, pause bool, hops int) (running bool, err error) {
	now, self, mine := js.Clock(), hops < maxHops && next.IsZero(), false
	stored, err := storage.Change(ctx, js.Store, JobKey(j.ID), func(s *Job, r *storage.Row) error {
		if mine = s.Claim == j.Claim && s.Status == JobRunning; !mine {
			return storage.ErrUnchanged
		}
		s.Cursor, s.Done, s.Skipped, s.Next, s.Updated = j.Cursor, j.Done, j.Skipped, j.Next, now
		switch {
		case done:
			return s.end(JobDone, "", now, r)
		case pause && self:
			s.Claim++
			r.Due = now.Add(firstHold)
		case pause:
			s.Claim++
			if r.Due = next; next.IsZero() {
				r.Due = now
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	running = mine && stored.Status == JobRunning
	if running && pause && self {
		js.sendSelf(ctx, fastPath, stored.header(), hops+1, 0)
	}
	return running, nil
}

// Walk calls f for a page of the shard in which j's cursor stands, and moves
// the cursor; ended says that the pass is over.
func (js *jobs) Walk(ctx context.Context, j *Job, q func(shard int) storage.Query, f func(storage.Row) error) (ended bool, err error) {
	pass, shard, after := shardCursor(j.Cursor)
	part := q(shard)
	part.After = after
	page, err := js.Store.List(ctx, part)
	if err != nil {
		return false, fmt.Errorf("list %s: %w", part.PK, err)
	}
	for _, r := range page.Rows {
		if err := f(r); err != nil {
			return false, err
		}
	}
	if page.Next == "" {
		shard++
	}
	if shard == HistoryShards {
		pass, shard = pass+1, 0
		ended = true
	}
	j.Cursor = fmt.Sprintf("%d %d %s", pass, shard, page.Next)
	return ended, nil
}

// walkTwice walks, and a minute after j's start once more, for stragglers. What f
// skips then was seen before.
func (js *jobs) walkTwice(ctx context.Context, j *Job, q func(pass, shard int) storage.Query, f func(storage.Row) error) (next time.Time, done bool, err error) {
	pass, _, _ := shardCursor(j.Cursor)
	second := j.Created.Add(stragglers)
	if wait := second.Sub(js.Clock()); pass == 1 && wait > 0 && wait <= stragglers {
		return second, false, nil
	}
	skipped := j.Skipped
	ended, err := js.Walk(ctx, j, func(shard int) storage.Query { return q(pass, shard) }, f)
	if pass == 1 {
		j.Skipped = skipped
	}
	return time.Time{}, ended && pass == 1, err
}

func openDeliveries(registration string) func(int, int) storage.Query {
	return func(_, shard int) storage.Query {
		return storage.Query{Table: storage.Deliveries, PK: DeliveryPK(registration, shard), Open: true}
	}
}

// releaseStep makes held deliveries due, of those held since the job's time.
func (js *jobs) releaseStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	return js.walkTwice(ctx, j, openDeliveries(j.Registration), func(r storage.Row) error {
		return js.revive(ctx, j, r, func(d Delivery) bool { return d.Status == Held && !d.Since.Before(j.Since) })
	})
}

// recoverStep makes due again what failed for good since the job's time.
func (js *jobs) recoverStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	return js.walkTwice(ctx, j, openDeliveries(j.Registration), func(r storage.Row) error {
		return js.revive(ctx, j, r, func(d Delivery) bool {
			return d.Status == Failed && !d.Since.Before(j.Since) && d.Since.Before(j.Created)
		})
	})
}

// revive makes a delivery due, with its whole schedule before it, if is holds.
func (js *jobs) revive(ctx context.Context, j *Job, r storage.Row, is func(Delivery) bool) error {
	id := DeliveryID(j.Registration, r.SK)
	now, changed := js.Clock(), false
	start := j.start(now)
	d, err := js.deliveries.ChangeDelivery(ctx, id, func(d Delivery) (Delivery, error) {
		if changed = is(d); !changed {
			return d, storage.ErrUnchanged
		}
		d.Made, d.Anew = 0, now
		return d.release(start), nil
	})
	switch {
	case errors.Is(err, storage.ErrNotFound):
		j.Skipped++ // it, or its event, is gone
		return nil
	case err != nil:
		return err
	case changed:
		j.Done++
		j.place(now)
	}
	if !d.Lane || d.Status != Pending {
		return nil
	}
	e, _, err := js.events.LoadEvent(ctx, d.Event) // perhaps a chunk before ended here
	if err != nil {
		return err
	}
	return js.lanes.appendToLane(ctx, e, d)
}

// replayStep makes deliveries of events that a registration would have got,
// had it been there: those of the source since the job's time, as far back as
// the grant goes.
func (js *jobs) replayStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	r, rev, err := js.find.registration(ctx, j.Source, j.Registration)
	if errors.Is(err, storage.ErrNotFound) || err == nil && r.State == Removed {
		return time.Time{}, true, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	return js.walkTwice(ctx, j, func(pass, shard int) storage.Query {
		since := j.Since
		if pass == 1 {
			since = later(since, j.Created.Add(-stragglers))
		}
		return storage.Query{Table: storage.Deliveries, PK: EventPK(j.Source, shard), From: EventIDFloor(j.Source, since.Add(-24*time.Hour))}
	}, func(row storage.Row) error { return js.replayEvent(ctx, j, r, rev, row) })
}

func (js *jobs) replayEvent(ctx context.Context, j *Job, r *Registration, rev string, row storage.Row) error {
	var er EventRow
	if err := storage.Decode(row, &er); err != nil {
		return err
	}
	e := er.Event(j.Source, nil)
	if er.Erased || Own(e) || e.Received.Before(j.Since) || !j.Until.IsZero() && !e.Received.Before(j.Until) || !r.Wants(e) {
		return nil
	}
	ok, err := js.MayReplay(ctx, rev, e, r)
	if err != nil || !ok {
		return err
	}
	switch _, err := js.deliveries.LoadDelivery(ctx, DeliveryID(r.ID, e.ID)); {
	case err == nil:
		j.Skipped++
		return nil
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	now := js.Clock()
	d := newDelivery(e, r, now)
	d.Replay, d.Lane = true, r.Ordered
	mark := storage.Row{Key: ReplayedKey(e.ID, r.ID), Expires: now.Add(schedule.MaxWaitsSum + js.Kept.Held)}
	if err := storage.PutRow(ctx, js.Store, mark, Link{r.ID}, storage.AnyRev); err != nil {
		return err
	}
	if d.Lane {
		if err := js.lanes.appendToLane(ctx, e, d); err != nil {
			return err
		}
	}
	d = d.wait(j.start(now), false)
	switch err := js.deliveries.putDelivery(ctx, &d, ""); {
	case errors.Is(err, storage.ErrConflict):
		j.Skipped++
		return nil
	case err != nil:
		return err
	}
	j.Done++
	j.place(now)
	return nil
}

// MayReplay reports whether e came after the start of a grant that covers it,
// or, for a registration by code, after that was made.
func (js *jobs) MayReplay(ctx context.Context, rev string, e *provider.Event, r *Registration) (bool, error) {
	verdict, _, err := js.find.may(ctx, rev, e, r)
	if err != nil || verdict == Cancelled {
		return false, err
	}
	if r.Group != "" {
		return !e.Received.Before(r.Created), nil
	}
	grants, err := js.find.grantsOf(ctx, rev, e.Source, r.Tenant)
	for _, gr := range grants {
		if gr.covers(e) && !e.Received.Before(gr.Created) {
			return true, nil
		}
	}
	return false, err
}
