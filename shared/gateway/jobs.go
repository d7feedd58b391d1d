package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

const (
	jobTimeSlice = 20 * time.Second // of one message; then the job continues in another
	jobRetention = 14 * 24 * time.Hour
	// secondPassDelay is how long after its start a job walks a second time: indexes lag, and a worker may have
	// acted on what it knew a moment before.
	secondPassDelay = time.Minute
)

// jobs run durable work in chunks.
type jobs struct {
	*core
	matcher    *matcher
	events     *events
	deliveries *deliveries
	lanes      *lanes
	circuit    *circuits

	// Steps are the steps of jobs of higher packages, set before Redeliver is called.
	Steps map[JobKind]Step
}

// StartJob stores j and sends its first message. A second call with the same id returns the stored job.
func (js *jobs) StartJob(ctx context.Context, j Job) (Job, error) {
	now := js.Clock()
	if j.ID == "" {
		j.ID = ident.New("job", now)
	}
	j.Status, j.Created, j.Updated, j.Claim = JobRunning, now, now, 1
	if j.Tenant != "" {
		if err := storage.Put(ctx, js.Store, TenantLinkKey(j.Tenant, "J", j.ID), Link{j.ID}, storage.AnyRev); err != nil {
			return j, err
		}
	}
	row := storage.Row{Key: JobKey(j.ID), Due: now.Add(claimTTL)}
	switch err := storage.PutRow(ctx, js.Store, row, j, ""); {
	case errors.Is(err, storage.ErrConflict):
		return js.Job(ctx, j.ID)
	case err != nil:
		return j, err
	}
	js.sendSelf(ctx, fastPath, j.header(), 1, 0)
	return j, nil
}

// Job returns a stored job. The error wraps storage.ErrNotFound.
func (js *jobs) Job(ctx context.Context, id string) (Job, error) { return loadJob(ctx, js.Store, id) }

// CancelJob cancels a job; the chunk that runs is finished.
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
	j.Status, j.Reason, j.Updated = s, why, now
	r.Due, r.Expires = time.Time{}, now.Add(jobRetention)
	return nil
}

func (j Job) header() message.Header {
	return message.Header{Kind: message.Job, ID: j.ID, Claim: j.Claim}
}

// claimJob returns a job's row with a new claim, and the header of its message.
func claimJob(row storage.Row, start time.Time) (storage.Row, message.Header, error) {
	var j Job
	if err := storage.Decode(row, &j); err != nil {
		return row, message.Header{}, err
	}
	j.Claim++
	row.Due = start.Add(claimTTL)
	var err error
	row.Data, err = storage.Encode(j)
	return row, j.header(), err
}

// A Step does a page of a job's work and moves the job's cursor. next is when to go on, zero for at once; done
// ends the job. After a crash it may run again with the previous cursor.
type Step func(ctx context.Context, j *Job) (next time.Time, done bool, err error)

func (js *jobs) step(kind JobKind) (Step, bool) {
	own := map[JobKind]Step{JobRelease: js.releaseStep, JobRecover: js.recoverStep, JobReplay: js.replayStep, JobWake: js.wakeStep}
	if s, ok := own[kind]; ok {
		return s, true
	}
	s, ok := js.Steps[kind]
	return s, ok
}

// runJob runs steps of a job for jobTimeSlice, while h's claim is current.
func (js *jobs) runJob(ctx context.Context, h message.Header) error {
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
	if js.SingleProcess { // only Lambda stops chains
		h.SelfSends = 0
	}
	j.SelfSends = h.SelfSends
	end := js.Clock().Add(jobTimeSlice)
	for {
		next, done, err := do(ctx, &j)
		if err != nil {
			return fmt.Errorf("job %s: %w", j.ID, err)
		}
		if next.IsZero() && !done {
			next = j.FullUntil(js.Clock())
		}
		pause := !next.IsZero() || js.Clock().After(end) || timeLeft(ctx) < deadlineMargin+jobTimeSlice/2
		running, err := js.saveJob(ctx, &j, next, done, pause, h.SelfSends)
		if err != nil || !running || pause {
			return err
		}
	}
}

// saveJob stores j's progress, unless the job was cancelled or claimed by another worker, and sends its next
// message if it pauses.
func (js *jobs) saveJob(ctx context.Context, j *Job, next time.Time, done, pause bool, selfSends int) (running bool, err error) {
	now, self, mine := js.Clock(), selfSends < maxSelfSends && next.IsZero(), false
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
			r.Due = now.Add(claimTTL)
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
		js.sendSelf(ctx, fastPath, stored.header(), selfSends+1, 0)
	}
	return running, nil
}

// Walk calls f with a page of the shard at j's cursor and moves the cursor past the rows that f handled, whose
// number f returns. ended reports the end of a pass over all shards.
func (js *jobs) Walk(ctx context.Context, j *Job, q func(shard int) storage.Query, f func([]storage.Row) (int, error)) (ended bool, err error) {
	pass, shard, after := shardCursor(j.Cursor)
	part := q(shard)
	part.After = after
	page, err := js.Store.List(ctx, part)
	if err != nil {
		return false, fmt.Errorf("list %s: %w", part.PK, err)
	}
	switch n, err := f(page.Rows); {
	case err != nil || n == 0 && len(page.Rows) > 0:
		return false, err
	case n < len(page.Rows):
		page.Next = page.Rows[n-1].SK
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

// walkInTwoPasses walks all shards, and secondPassDelay after j's start once more, for rows that the first pass
// could not see. What choose skips in the second pass was counted in the first. Example: a delivery stored at
// 12:00:00.2 into shard 0, while the job of 12:00:00 is in shard 3, is found by the pass of 12:01:00.
func (js *jobs) walkInTwoPasses(ctx context.Context, j *Job, q func(pass, shard int) storage.Query, choose chooseDelivery) (next time.Time, done bool, err error) {
	pass, _, _ := shardCursor(j.Cursor)
	second := j.Created.Add(secondPassDelay)
	if wait := second.Sub(js.Clock()); pass == 1 && wait > 0 && wait <= secondPassDelay {
		return second, false, nil
	}
	if err := js.setRate(ctx, j); err != nil {
		return next, false, err
	}
	skipped := j.Skipped
	ended, err := js.Walk(ctx, j, func(shard int) storage.Query { return q(pass, shard) }, func(rows []storage.Row) (int, error) {
		return js.makeDue(ctx, j, rows, choose)
	})
	if pass == 1 {
		j.Skipped = skipped
	}
	return time.Time{}, ended && pass == 1, err
}

// setRate sets how fast j makes deliveries due, by its registration's present limits.
func (js *jobs) setRate(ctx context.Context, j *Job) error {
	j.SetRate(j.Rate, 0)
	r, rev, err := js.matcher.registration(ctx, j.Source, j.Registration)
	if err != nil {
		return ignoring(err, storage.ErrNotFound)
	}
	tenant, err := js.matcher.tenant(ctx, rev, r.Tenant)
	j.SetRate(j.Rate, r.allowance(tenant.Limits, js.MaxConcurrency).Rate)
	return ignoring(err, storage.ErrNotFound)
}

// A chooseDelivery returns the delivery that a job makes due for a row, with the revision that it replaces; nil
// for none. skip says that one exists already.
type chooseDelivery func(context.Context, storage.Row) (d *Delivery, skip bool, err error)

// makeDue makes the deliveries due that look chooses for rows, oldest first, each at its own time by j's rate. It
// returns how many rows it handled: fewer if the rate has no more room for now. Deliveries made due are sent even
// if another row failed.
func (js *jobs) makeDue(ctx context.Context, j *Job, rows []storage.Row, choose chooseDelivery) (n int, err error) {
	began, done, ds, skip := time.Now(), j.Done, make([]*Delivery, len(rows)), make([]bool, len(rows))
	err = j.each(len(rows), func(i int) (err error) {
		ds[i], skip[i], err = choose(ctx, rows[i])
		return err
	})
	if err != nil {
		return 0, err
	}
	for now := js.Clock(); n < len(rows) && j.FullUntil(now).IsZero(); n++ {
		if ds[n] != nil {
			*ds[n] = ds[n].waitUntil(later(j.Take(now), ds[n].NextAttempt), false) // a parked delivery may have to wait longer
		}
	}
	ds = ds[:n]
	err = j.each(n, func(i int) (err error) {
		if ds[i] != nil {
			ds[i], err = js.putDue(ctx, j, *ds[i])
			skip[i] = ds[i] == nil && err == nil
		}
		return err
	})
	for i, d := range ds {
		if d != nil {
			j.Done++
		} else if skip[i] {
			j.Skipped++
		}
	}
	js.deliveries.sendRetries(ctx, ds, j.SelfSends+1, false)
	j.Throttle(ctx, j.Done-done, began)
	return n, err
}

// putDue stores d with a claim for the message that the run sends next. It returns nil if the event is gone, or the
// delivery exists. A new delivery enters its lane first, since after a crash the next run skips a delivery that exists.
func (js *jobs) putDue(ctx context.Context, j *Job, d Delivery) (*Delivery, error) {
	was := d.rev
	if j.SelfSends < maxSelfSends && !d.Lane && d.NextAttempt.Sub(js.Clock()) <= maxSelfSendDelay {
		d = d.newClaim(d.NextAttempt)
	}
	if was == "" {
		mark := storage.Row{Key: ReplayedKey(d.Event, d.Registration), Expires: js.Clock().Add(js.Retention.maxUnfinished())}
		if err := storage.PutRow(ctx, js.Store, mark, Link{d.Registration}, storage.AnyRev); err != nil {
			return nil, err
		}
		if err := js.putInLane(ctx, d); err != nil {
			return nil, err
		}
	}
	switch err := js.deliveries.putDelivery(ctx, &d, was); {
	case errors.Is(err, storage.ErrNotFound) || was == "" && errors.Is(err, storage.ErrConflict):
		return nil, nil
	case err != nil:
		return nil, err
	case was == "":
		return &d, nil
	}
	return &d, js.putInLane(ctx, d)
}

// putInLane appends d to its lane, if it waits in one.
func (js *jobs) putInLane(ctx context.Context, d Delivery) error {
	if !d.Lane || d.Status != Pending {
		return nil
	}
	e, _, err := js.events.LoadEvent(ctx, d.Event)
	if err != nil {
		return err
	}
	return js.lanes.appendToLane(ctx, e, d)
}

// releaseStep makes deliveries due that were held since the job's time.
func (js *jobs) releaseStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	return js.restartDeliveries(ctx, j, func(d Delivery) bool { return d.Status == Held && !d.Since.Before(j.Since) })
}

// recoverStep makes deliveries due again that failed since the job's time.
func (js *jobs) recoverStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	return js.restartDeliveries(ctx, j, func(d Delivery) bool {
		return d.Status == Failed && !d.Since.Before(j.Since) && d.Since.Before(j.Created)
	})
}

// restartDeliveries makes the deliveries due that is accepts, with a whole new schedule.
func (js *jobs) restartDeliveries(ctx context.Context, j *Job, accepts func(Delivery) bool) (time.Time, bool, error) {
	return js.walkInTwoPasses(ctx, j, func(_, shard int) storage.Query {
		return storage.Query{Table: storage.Deliveries, PK: DeliveryPK(j.Registration, shard), Open: true}
	}, func(ctx context.Context, r storage.Row) (*Delivery, bool, error) {
		d, err := js.deliveries.LoadDelivery(ctx, ident.Delivery(j.Registration, r.SK))
		switch {
		case errors.Is(err, storage.ErrNotFound):
			return nil, true, nil
		case err != nil:
			return nil, false, err
		case !accepts(d):
			return nil, false, js.putInLane(ctx, d) // a crashed chunk may have ended here
		}
		d.Attempts, d.RetryAfterSum, d.RestartedAt = 0, 0, js.Clock()
		d = d.release(d.RestartedAt)
		return &d, false, nil
	})
}

// replayStep creates deliveries of the source's events since the job's time that the registration would have
// received, back to the start of its grant.
func (js *jobs) replayStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	r, rev, err := js.matcher.registration(ctx, j.Source, j.Registration)
	if errors.Is(err, storage.ErrNotFound) || err == nil && r.State == Removed {
		return time.Time{}, true, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	return js.walkInTwoPasses(ctx, j, func(pass, shard int) storage.Query {
		since := j.Since
		if pass == 1 {
			since = later(since, j.Created.Add(-secondPassDelay))
		}
		return storage.Query{Table: storage.Deliveries, PK: EventPK(j.Source, shard), From: ident.EventFloor(j.Source, since.Add(-24*time.Hour))}
	}, func(ctx context.Context, row storage.Row) (*Delivery, bool, error) {
		return js.missedDelivery(ctx, j, r, rev, row)
	})
}

// missedDelivery returns the delivery that a replay must make for an event's row, or nil if r does not want the event,
// may not have it, or has a delivery of it already, which the bool reports.
func (js *jobs) missedDelivery(ctx context.Context, j *Job, r *Registration, rev string, row storage.Row) (*Delivery, bool, error) {
	var er EventRow
	if err := storage.Decode(row, &er); err != nil {
		return nil, false, err
	}
	e := er.Event(j.Source, nil)
	if er.Erased || OwnEvent(e) || e.Received.Before(j.Since) || !j.Until.IsZero() && !e.Received.Before(j.Until) || !r.Wants(e) {
		return nil, false, nil
	}
	if ok, err := js.MayReplay(ctx, rev, e, r); err != nil || !ok {
		return nil, false, err
	}
	if _, err := js.deliveries.LoadDelivery(ctx, ident.Delivery(r.ID, e.ID)); !errors.Is(err, storage.ErrNotFound) {
		return nil, err == nil, err
	}
	d := newDelivery(e, r, js.Clock())
	d.Replay, d.Lane = true, r.Ordered
	return &d, false, nil
}

// MayReplay reports whether e was received after the start of a grant that covers it; for a registration by
// security code, after its creation.
func (js *jobs) MayReplay(ctx context.Context, rev string, e *provider.Event, r *Registration) (bool, error) {
	verdict, _, err := js.matcher.eligibility(ctx, rev, e, r)
	if err != nil || verdict == Cancelled {
		return false, err
	}
	if r.Group != "" {
		return !e.Received.Before(r.Created), nil
	}
	grants, err := js.matcher.grantsOf(ctx, rev, e.Source, r.Tenant)
	for _, gr := range grants {
		if gr.covers(e) && !e.Received.Before(gr.Created) {
			return true, nil
		}
	}
	return false, err
}
